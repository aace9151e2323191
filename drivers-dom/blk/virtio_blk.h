/* SPDX-License-Identifier: MIT */
/*
 * virtio-blk: features, configuration and requests ("Virtual I/O Device (VIRTIO) Version 1.1", 5.2). The driver is
 * virtio_blk_driver (blkdev.h).
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* 5.2.3 */
#define VIRTIO_BLK_F_SIZE_MAX (1ull << 1)
#define VIRTIO_BLK_F_SEG_MAX  (1ull << 2)
#define VIRTIO_BLK_F_RO       (1ull << 5)
#define VIRTIO_BLK_F_BLK_SIZE (1ull << 6)
#define VIRTIO_BLK_F_FLUSH    (1ull << 9)
#define VIRTIO_BLK_F_TOPOLOGY (1ull << 10)
#define VIRTIO_BLK_F_DISCARD  (1ull << 13)

/* 5.2.4; little-endian, read field by field: a device may have less than all of it */
#define VBLK_CFG_CAPACITY        0 /* 64 bits, 512-byte sectors */
#define VBLK_CFG_SIZE_MAX        8
#define VBLK_CFG_SEG_MAX         12
#define VBLK_CFG_BLK_SIZE        20
#define VBLK_CFG_PHYS_EXP        24 /* 8 bits: log2 of logical blocks in a physical one */
#define VBLK_CFG_DISCARD_SECTORS 36
#define VBLK_CFG_DISCARD_ALIGN   44

/* 5.2.6 */
#define VBLK_T_IN      0u
#define VBLK_T_OUT     1u
#define VBLK_T_FLUSH   4u
#define VBLK_T_GET_ID  8u
#define VBLK_T_DISCARD 11u
#define VBLK_ID_LEN    20u
#define VBLK_S_OK      0
#define VBLK_S_IOERR   1
#define VBLK_S_UNSUPP  2
struct vblk_head {
    uint32_t type, reserved;
    uint64_t sector;
};
struct vblk_discard {
    uint64_t sector;
    uint32_t nr_sectors, flags;
};
_Static_assert(sizeof(struct vblk_head) == 16, "5.2.6");
_Static_assert(sizeof(struct vblk_discard) == 16, "5.2.6");
