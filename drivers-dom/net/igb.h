/* SPDX-License-Identifier: MIT */
/*
 * Intel's 82576 as the uplink ("82576EB Gigabit Ethernet Controller Datasheet", 2.7: section numbers are its): the first of its 16 receive and 16
 * transmit queues (docs/decisions.md), advanced descriptors with one buffer, one MSI-X vector for frames and link. What it has alike with others is
 * in intel.h: the registers of the first four queues are also where the 82575 had them (8.1.3), and there the 82574L has its own.
 */
#pragma once
#include "intel.h"

#define IGB_82576 0x10c9

/* 8.1.3: registers */
#define IGB_EECD      0x0010u
#define IGB_MDIC      0x0020u
#define IGB_GPIE      0x1514u
#define IGB_EIMS      0x1524u
#define IGB_EIMC      0x1528u
#define IGB_EIAC      0x152cu
#define IGB_EICR      0x1580u
#define IGB_EITR      0x1680u
#define IGB_IVAR      0x1700u
#define IGB_IVAR_MISC 0x1740u
#define IGB_SRRCTL    0x280cu
#define IGB_RXDCTL    0x2828u
#define IGB_RLPML     0x5004u
#define IGB_MRQC      0x5818u

#define IGB_EECD_READ     (1u << 9) /* what a reset sets is set */
#define IGB_MDIC_REG      16u       /* shift */
#define IGB_MDIC_PHY      (1u << 21)
#define IGB_MDIC_WRITE    (1u << 26)
#define IGB_MDIC_READ     (2u << 26)
#define IGB_MDIC_READY    (1u << 28)
#define IGB_MDIC_ERROR    (1u << 30)
#define IGB_GPIE_MSIX     (1u << 4)  /* a cause is a vector's, which IVAR says */
#define IGB_GPIE_PBA      (1u << 31) /* EIMS takes the pending bit away */
#define IGB_VECTOR        (1u << 0)  /* in EICR and the like: vector 0 */
#define IGB_IVAR_RX       0x80u      /* receive queue 0: vector 0, valid */
#define IGB_IVAR_OTHER    0x8000u
#define IGB_EITR_US       2u         /* shift: microseconds */
#define IGB_SRRCTL_KIB    1024u      /* unit of a buffer's size */
#define IGB_SRRCTL_ONE    (1u << 25) /* advanced descriptors, one buffer */
#define IGB_DCTL_ENABLE   (1u << 25)
#define IGB_RXDCTL_SINGLY (1u << 16) /* written back one by one; sending does so by itself */
#define IGB_RLPML_MOST    0x2600u    /* the longest frame that it has room for, with its CRC */

/* IEEE 802.3 22.2.4.1 and 22.2.4.2, by MDIC */
#define PHY_CONTROL       0u
#define PHY_STATUS        1u
#define PHY_RESTART       (1u << 9)  /* of negotiation */
#define PHY_NEGOTIATES    (1u << 12) /* of control */
#define PHY_IS_NEGOTIATED (1u << 5)  /* of status */

/* 7.2.2.2, 7.2.2.3: context, data */
struct igb_context {
    uint16_t lengths; /* of the IP header; of what is before it, << 9 */
    uint16_t vlan;
    uint32_t ipsec;
    uint32_t cmd;
    uint32_t tcp; /* header's length << 8, payload of a segment << 16 */
};
_Static_assert(sizeof(struct igb_context) == sizeof(struct e_tx_desc) &&
                   offsetof(struct igb_context, cmd) == offsetof(struct e_tx_desc, cmd) &&
                   offsetof(struct igb_context, tcp) == 12,
               "7.2.2.2");
#define IGB_TX_CONTEXT (2u << 20)
#define IGB_TX_DATA    (3u << 20)
#define IGB_TX_IPV4    (1u << 10) /* of a context */
#define IGB_TX_TCP     (1u << 11)
#define IGB_TX_MAC     9u         /* shift, of lengths */
#define IGB_TX_CUT     (1u << 31) /* of data */
#define IGB_TX_LEN     14u        /* shift: the frame's length */
#define IGB_IP_MAX     511u       /* what a context can say */
#define IGB_MAC_MAX    127u

extern const struct nic_ops igb_nic; /* of a struct intel */
bool igb_is(const struct bh_pci_info *dev);
/* Tries its IOMMU unit (trial.h). NULL, or why it must not be used. */
const char *igb_trial(const struct bh_pci_info *dev);
