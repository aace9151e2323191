/* SPDX-License-Identifier: MIT */
/*
 * Intel's 82574L as the uplink ("82574 GbE Controller Family Datasheet", 3.4: section numbers are its): one receive and one transmit queue,
 * extended receive descriptors, one MSI-X vector for frames and link. Registers, descriptors, and the driver's state.
 *
 * The wire sees what the guests' addresses are, not the NIC's own: it receives everything, and the switch chooses.
 */
#pragma once
#include <bh.h>
#include "nic.h"

#define E1000E_VENDOR 0x8086
#define E1000E_82574L 0x10d3
#define E1000E_REGS   0x6000u /* bytes of BAR 0 that are used; it has 128 KiB */

/* 10.2: registers */
#define E_CTRL     0x0000u
#define E_STATUS   0x0008u
#define E_CTRL_EXT 0x0018u
#define E_ICR      0x00c0u
#define E_IMS      0x00d0u
#define E_IMC      0x00d8u
#define E_EIAC     0x00dcu
#define E_IAM      0x00e0u
#define E_IVAR     0x00e4u
#define E_EITR     0x00e8u
#define E_RCTL     0x0100u
#define E_TCTL     0x0400u
#define E_RDBAL    0x2800u
#define E_RDBAH    0x2804u
#define E_RDLEN    0x2808u
#define E_RDH      0x2810u
#define E_RDT      0x2818u
#define E_TDBAL    0x3800u
#define E_TDBAH    0x3804u
#define E_TDLEN    0x3808u
#define E_TDH      0x3810u
#define E_TDT      0x3818u
#define E_TXDCTL   0x3828u
#define E_RXCSUM   0x5000u
#define E_RFCTL    0x5008u

#define E_CTRL_FD           (1u << 0)
#define E_CTRL_MASTER_OFF   (1u << 2)
#define E_CTRL_SLU          (1u << 6) /* the PHY says what the link is */
#define E_CTRL_1000         (2u << 8)
#define E_CTRL_FORCE        (3u << 11) /* speed and duplex */
#define E_CTRL_RST          (1u << 26) /* all but the PHY (bit 31) and configuration space */
#define E_STATUS_LU         (1u << 1)
#define E_STATUS_MASTER     (1u << 19)
#define E_CTRL_EXT_EIAME    (1u << 24) /* an interrupt masks what IAM says */
#define E_CTRL_EXT_DRV_LOAD (1u << 28)
#define E_CTRL_EXT_PBA_CLR  (1u << 31)
#define E_INT_LSC           (1u << 2)
#define E_INT_RXQ0          (1u << 20)
#define E_INT_OTHER         (1u << 24)
#define E_INT_USED          (E_INT_LSC | E_INT_RXQ0 | E_INT_OTHER)
#define E_IVAR_BOTH         (8u << 0 | 8u << 16) /* RxQ0 and others: vector 0, valid */
#define E_EITR_PER_S        20000u
#define E_EITR_NS           256u
#define E_RCTL_EN           (1u << 1)
#define E_RCTL_ALL          (1u << 3 | 1u << 4 | 1u << 15) /* unicast, multicast, broadcast */
#define E_RCTL_LPE          (1u << 5) /* also longer frames than 1,522 bytes with their CRC */
#define E_RCTL_LBM_MAC      (1u << 6)
#define E_RCTL_SECRC        (1u << 26)
#define E_TCTL_EN           (1u << 1)
#define E_TCTL_PSP          (1u << 3)
#define E_TCTL_COLLISIONS   (0xfu << 4 | 0x3fu << 12)
/* Write each descriptor back at once; threshold in descriptors; bit 22 "must be 1". */
#define E_TXDCTL_ONE_BY_ONE (1u << 16 | 1u << 22 | 1u << 24)
#define E_RXCSUM_BOTH       (1u << 8 | 1u << 9) /* IP, TCP and UDP */
#define E_RFCTL_EXSTEN      (1u << 15)
#define E_RFCTL_NO_EXTRAS \
    (1u << 0 | 1u << 6 | 1u << 7 | 1u << 12) /* iSCSI, NFS, interrupts for ACKs */

#define E_RX_NR  256u  /* all but one are the device's: RDH = RDT would say that it has none */
#define E_RX_BUF 2048u /* as RCTL has it after a reset */
#define E_TX_NR \
    512u /* each frame has as many descriptors as buffers, and may want a context before them */

/* 7.1.5: extended receive descriptor, as it is given and as it comes back */
struct e_rx_desc {
    uint64_t addr;
    uint64_t back; /* 0 when given; status and errors, length << 32, tag << 48 */
};
#define E_RX_DD     (1u << 0)
#define E_RX_EOP    (1u << 1)
#define E_RX_IXSM   (1u << 2)  /* says nothing of checksums */
#define E_RX_L4CS   (1u << 5)  /* TCP or UDP checksum looked at ... */
#define E_RX_L4E    (1u << 29) /* ... and wrong */
#define E_RX_BROKEN (1u << 24 | 1u << 25 | 1u << 26 | 1u << 28 | 1u << 31)

/* 7.2.10, 7.2.11: TCP/IP context and data descriptor */
struct e_tx_desc {
    union {
        uint64_t addr;
        struct {
            uint8_t ip_start, ip_csum;
            uint16_t ip_end;
            uint8_t l4_start, l4_csum;
            uint16_t l4_end; /* 0: the frame's */
        };
    };
    uint32_t cmd;  /* length, type, command */
    uint32_t back; /* of data: DD, offloads; of a context: header length, MSS */
};
_Static_assert(sizeof(struct e_rx_desc) == 16 && sizeof(struct e_tx_desc) == 16, "7.1.5, 7.2.10");
_Static_assert(offsetof(struct e_tx_desc, l4_end) == 6 && offsetof(struct e_tx_desc, back) == 12,
               "7.2.10");
#define E_TX_DATA   (1u << 20)
#define E_TX_TCP    (1u << 24) /* of a context */
#define E_TX_IPV4   (1u << 25)
#define E_TX_EOP    (1u << 24) /* of data */
#define E_TX_IFCS   (1u << 25)
#define E_TX_RS     (1u << 27)
#define E_TX_DEXT   (1u << 29)
#define E_TX_DD     (1u << 0)
#define E_TX_L4CSUM (1u << 9)

struct e1000e {
    struct nic nic;
    volatile uint8_t *regs;
    struct e_rx_desc *rx;
    struct e_tx_desc *tx;
    struct pkt *rx_pkt[E_RX_NR];
    /* The frames that it has, in order; each by the index of its last descriptor. Indices of frames and descriptors run on. */
    struct pkt *tx_pkt[E_TX_NR];
    uint16_t tx_last[E_TX_NR];
    uint32_t rx_next, rx_told, tx_next, tx_told, tx_first_frame, tx_next_frame;
    struct e_tx_desc context; /* the one that it has, 0: none */
    bool armed;
    bool rx_rest; /* in the middle of a frame that was dropped */
};
extern const struct nic_ops e1000e_nic; /* of a struct e1000e */
bool e1000e_is(const struct bh_pci_info *dev);
/* Tries its IOMMU unit (trial.h). NULL, or why it must not be used. */
const char *e1000e_trial(const struct bh_pci_info *dev);
