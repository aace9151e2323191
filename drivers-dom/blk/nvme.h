/* SPDX-License-Identifier: MIT */
/*
 * NVM Express registers, queue entries and identify data, as NVM Express 1.4 lays them out (section numbers are its). The driver
 * is nvme_driver (blkdev.h).
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* 3.1: controller registers */
#define NVME_CAP       0x00 /* 64 bits */
#define NVME_VS        0x08
#define NVME_INTMS     0x0c
#define NVME_CC        0x14
#define NVME_CSTS      0x1c
#define NVME_AQA       0x24
#define NVME_ASQ       0x28 /* 64 bits */
#define NVME_ACQ       0x30 /* 64 bits */
#define NVME_DOORBELLS 0x1000

#define NVME_CAP_MQES(c)   ((uint32_t)((c)&0xffff) + 1)
#define NVME_CAP_TO_NS(c)  (((c) >> 24 & 0xff) * (NS_PER_S / 2))
#define NVME_CAP_STRIDE(c) (4u << ((c) >> 32 & 0xf))
#define NVME_CAP_CSS_NVM   (1ull << 37)
#define NVME_CAP_MPSMIN(c) ((unsigned)((c) >> 48 & 0xf))

#define NVME_CC_EN 1u
#define NVME_CC_ENTRIES \
    (6u << 16 | 4u << 20) /* 64-byte commands, 16-byte completions; NVM command set, 4 KiB pages */
#define NVME_CSTS_RDY 1u
#define NVME_CSTS_CFS 2u

/* 4.2 */
struct nvme_cmd {
    uint8_t opcode, flags;
    uint16_t cid;
    uint32_t nsid;
    uint64_t reserved, metadata, prp1, prp2;
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_cmd) == 64, "4.2");
_Static_assert(offsetof(struct nvme_cmd, prp1) == 24, "4.2");
_Static_assert(offsetof(struct nvme_cmd, cdw10) == 40, "4.2");

/* 4.6 */
struct nvme_cqe {
    uint32_t result, reserved;
    uint16_t sq_head, sq_id, cid, status; /* status: bit 0 is the phase */
};
_Static_assert(sizeof(struct nvme_cqe) == 16, "4.6");
_Static_assert(offsetof(struct nvme_cqe, cid) == 12, "4.6");

#define NVME_STATUS(s)     ((unsigned)(s) >> 1 & 0x7ff) /* type and code */
#define NVME_STATUS_DNR    0x8000u                      /* do not retry */
#define NVME_SC_BAD_OPCODE 0x001u

/* 5 and 6: opcodes */
#define NVME_ADM_CREATE_SQ    0x01
#define NVME_ADM_CREATE_CQ    0x05
#define NVME_ADM_IDENTIFY     0x06
#define NVME_ADM_SET_FEATURES 0x09
#define NVME_FEAT_QUEUES      0x07
#define NVME_CMD_FLUSH        0x00
#define NVME_CMD_WRITE        0x01
#define NVME_CMD_READ         0x02
#define NVME_CMD_DSM          0x09
#define NVME_DSM_DEALLOCATE   4u

#define NVME_QUEUE_PC  1u /* physically contiguous */
#define NVME_QUEUE_IEN 2u

/* 6.7: one range of a dataset management command */
struct nvme_range {
    uint32_t attributes, blocks;
    uint64_t first;
};
_Static_assert(sizeof(struct nvme_range) == 16, "6.7");

/* 5.15.2: what we read of the identify pages */
#define NVME_CNS_NAMESPACE  0u
#define NVME_CNS_CONTROLLER 1u
#define NVME_CNS_ACTIVE     2u
#define NVME_IDC_MODEL      24 /* 40 characters */
#define NVME_IDC_MDTS       77
#define NVME_IDC_ONCS       520 /* 16 bits */
#define NVME_IDC_VWC        525
#define NVME_ONCS_DSM       4u
#define NVME_IDN_NSZE       0 /* 64 bits */
#define NVME_IDN_NSFEAT     24
#define NVME_IDN_FLBAS      26
#define NVME_IDN_NPWG       64 /* 16 bits, from 0 */
#define NVME_IDN_NPDG       68 /* 16 bits, from 0 */
#define NVME_IDN_NSATTR     99 /* bit 0: write-protected */
#define NVME_IDN_LBAF \
    128 /* 16 of: metadata bytes (16 bits), log2 of the block (8), performance (8) */
#define NVME_NSFEAT_OPTPERF 0x10u
