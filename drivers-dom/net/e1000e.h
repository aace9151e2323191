/* SPDX-License-Identifier: MIT */
/*
 * Intel's 82574L as the uplink ("82574 GbE Controller Family Datasheet", 3.4: section numbers are its): one receive and one transmit queue,
 * extended receive descriptors, one MSI-X vector for frames and link. What it has alike with others is in intel.h.
 */
#pragma once
#include "intel.h"

#define E1000E_82574L 0x10d3

/* 10.2: registers */
#define E_EIAC  0x00dcu
#define E_IAM   0x00e0u
#define E_IVAR  0x00e4u
#define E_EITR  0x00e8u
#define E_RFCTL 0x5008u

#define E_CTRL_EXT_EIAME   (1u << 24) /* an interrupt masks what IAM says */
#define E_CTRL_EXT_PBA_CLR (1u << 31)
#define E_INT_RXQ0         (1u << 20)
#define E_INT_OTHER        (1u << 24)
#define E_INT_USED         (E_INT_LSC | E_INT_RXQ0 | E_INT_OTHER)
#define E_IVAR_BOTH        (8u << 0 | 8u << 16) /* RxQ0 and others: vector 0, valid */
#define E_EITR_NS          256u
/* Write each descriptor back at once; threshold in descriptors; bit 22 "must be 1". */
#define E_TXDCTL_ONE_BY_ONE (1u << 16 | 1u << 22 | 1u << 24)
#define E_RFCTL_EXSTEN      (1u << 15)
#define E_RFCTL_NO_EXTRAS \
    (1u << 0 | 1u << 6 | 1u << 7 | 1u << 12) /* iSCSI, NFS, interrupts for ACKs */

/* 7.2.10: TCP/IP context */
struct e_tx_context {
    uint8_t ip_start, ip_csum;
    uint16_t ip_end;
    uint8_t l4_start, l4_csum;
    uint16_t l4_end; /* 0: the frame's */
    uint32_t cmd;
    uint32_t back; /* header length, MSS */
};
_Static_assert(sizeof(struct e_tx_context) == sizeof(struct e_tx_desc) &&
                   offsetof(struct e_tx_context, l4_end) == 6 &&
                   offsetof(struct e_tx_context, back) == 12,
               "7.2.10");
#define E_TX_DATA (1u << 20)
#define E_TX_TCP  (1u << 24) /* of a context */
#define E_TX_IPV4 (1u << 25)
#define E_TX_TSE  (1u << 26) /* of either: the frame is cut */

extern const struct nic_ops e1000e_nic; /* of a struct intel */
bool e1000e_is(const struct bh_pci_info *dev);
/* Tries its IOMMU unit (trial.h). NULL, or why it must not be used. */
const char *e1000e_trial(const struct bh_pci_info *dev);
