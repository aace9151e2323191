/* SPDX-License-Identifier: MIT */
/*
 * What Intel's 82574L and 82576 have alike (sections: "82574 GbE Controller Family Datasheet", 3.4): the registers of one receive and one transmit
 * queue, the descriptors' frame, reset, and the trial of an IOMMU unit. What they have not is a struct intel_kind (e1000e.c, igb.c).
 *
 * The wire sees what the guests' addresses are, not the NIC's own: it receives everything, and the switch chooses.
 */
#pragma once
#include <bh.h>
#include "nic.h"

#define INTEL_VENDOR 0x8086
#define INTEL_REGS   0x6000u /* bytes of BAR 0 that are used; it has 128 KiB */

/* 10.2: registers */
#define E_CTRL     0x0000u
#define E_STATUS   0x0008u
#define E_CTRL_EXT 0x0018u
#define E_ICR      0x00c0u
#define E_IMS      0x00d0u
#define E_IMC      0x00d8u
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
#define E_RAL      0x5400u /* its address */
#define E_RAH      0x5404u

#define E_CTRL_FD           (1u << 0)
#define E_CTRL_MASTER_OFF   (1u << 2)
#define E_CTRL_SLU          (1u << 6) /* the PHY says what the link is */
#define E_CTRL_1000         (2u << 8)
#define E_CTRL_FORCE        (3u << 11) /* speed and duplex */
#define E_CTRL_RST          (1u << 26) /* all but the PHY (bit 31) and configuration space */
#define E_STATUS_LU         (1u << 1)
#define E_STATUS_1000       (1u << 7)
#define E_STATUS_MASTER     (1u << 19)
#define E_CTRL_EXT_DRV_LOAD (1u << 28)
#define E_INT_LSC           (1u << 2)
#define E_INT_PER_S         20000u
#define E_RCTL_EN           (1u << 1)
#define E_RCTL_ALL          (1u << 3 | 1u << 4 | 1u << 15) /* unicast, multicast, broadcast */
#define E_RCTL_LPE          (1u << 5) /* also longer frames than 1,522 bytes with their CRC */
#define E_RCTL_LBM_MAC      (1u << 6)
#define E_RCTL_SECRC        (1u << 26)
#define E_TCTL_EN           (1u << 1)
#define E_TCTL_PSP          (1u << 3)
#define E_TCTL_COLLISIONS   (0xfu << 4 | 0x3fu << 12)
#define E_RAH_VALID         (1u << 31)
#define E_RXCSUM_BOTH       (1u << 8 | 1u << 9) /* IP, TCP and UDP */

#define E_RX_NR  256u  /* all but one are the device's: RDH = RDT would say that it has none */
#define E_RX_BUF 2048u /* as RCTL has it after a reset */
#define E_MTU    9000u /* 1.3.2: 9,018 bytes with header and CRC */
#define E_TX_NR  1024u
#define E_TX_FRAMES \
    256u /* each has as many descriptors as buffers, and may want a context and its headers before them */

/* 7.1.5: receive descriptor (the 82574L's extended, the 82576's advanced one), as it is given and as it comes back */
struct e_rx_desc {
    uint64_t addr;
    uint64_t back; /* 0 when given; status and errors, length << 32, tag << 48 */
};
#define E_RX_DD     (1u << 0)
#define E_RX_EOP    (1u << 1)
#define E_RX_IXSM   (1u << 2)  /* says nothing of checksums; 0 in an 82576 */
#define E_RX_L4CS   (1u << 5)  /* TCP or UDP checksum looked at ... */
#define E_RX_L4E    (1u << 29) /* ... and wrong */
#define E_RX_BROKEN (1u << 24 | 1u << 25 | 1u << 26 | 1u << 28 | 1u << 31)

/* 7.2.11: data descriptor; a context has the same length, and bits that say that it is one in the same place */
struct e_tx_desc {
    uint64_t addr;
    uint32_t cmd;  /* length, type, command */
    uint32_t back; /* DD, offloads */
};
_Static_assert(sizeof(struct e_rx_desc) == 16 && sizeof(struct e_tx_desc) == 16, "7.1.5, 7.2.11");
#define E_TX_EOP    (1u << 24)
#define E_TX_IFCS   (1u << 25)
#define E_TX_RS     (1u << 27)
#define E_TX_DEXT   (1u << 29)
#define E_TX_DD     (1u << 0)
#define E_TX_IPCSUM (1u << 8)
#define E_TX_L4CSUM (1u << 9)

struct intel_kind {
    uint16_t device;
    uint8_t tx_length; /* where data descriptors say the frame's length, beside the offloads: shift; 0: nowhere */
    uint32_t tx_data, tx_cut;              /* their type; that the device cuts it */
    bool cuts_fast;                        /* it is given such ones at 1,000 Mb/s alone */
    bool (*reset)(volatile uint8_t *regs); /* brings it to rest: intel_reset, and what is its own */
    bool (*rings)(volatile uint8_t *regs); /* its own registers of both queues; false: they do not begin */
    void (*irqs)(volatile uint8_t *regs); /* that of frames and the link is vector 0 */
    void (*unmask)(volatile uint8_t *regs); /* what it has to say that has been seen is cleared, then it may interrupt */
    event_fn irq;                           /* of a struct intel; armed becomes false */
    /* Says where a blank checksum goes, and how a large packet is cut; the pseudo-header's sum is in the field already. false: it cannot be said. */
    bool (*context)(struct e_tx_desc *d, const struct pkt *p);
};

struct intel { /* of either kind: main.c has one for its NIC */
    struct nic nic;
    const struct intel_kind *kind;
    volatile uint8_t *regs;
    struct e_rx_desc *rx;
    struct e_tx_desc *tx;
    struct pkt *rx_pkt[E_RX_NR];
    /* The frames that it has, in order; each by the index of its last descriptor. Indices of frames and descriptors run on. */
    struct pkt *tx_pkt[E_TX_FRAMES];
    uint16_t tx_last[E_TX_FRAMES];
    uint8_t (*tx_head)[PKT_PULL]; /* of those that it cuts */
    uint32_t rx_next, rx_told, tx_next, tx_told, tx_first_frame, tx_next_frame;
    struct e_tx_desc context; /* the one that it has, 0: none */
    bool armed;
    bool rx_rest;                   /* a frame goes on in the next descriptor */
    struct pkt *rx_frame, *rx_last; /* what there is of it, NULL: it is dropped; its last buffer */
};
static inline struct intel *intel_of(struct nic *n) { return (struct intel *)n; }
_Static_assert(!offsetof(struct intel, nic), "a driver's own begins with its nic");

static inline uint32_t intel_reg(volatile const uint8_t *regs, unsigned off)
{
    return *(volatile const uint32_t *)(regs + off);
}
static inline void intel_set(volatile uint8_t *regs, unsigned off, uint32_t v)
{
    *(volatile uint32_t *)(regs + off) = v;
}
/* Until these bits of a register are `want`. */
bool intel_wait(volatile uint8_t *regs, unsigned off, uint32_t bits, uint32_t want, uint64_t ns);
bool intel_is(const struct bh_pci_info *dev, const struct intel_kind *kind);
bool intel_reset(volatile uint8_t *regs);
void intel_link_on(volatile uint8_t *regs); /* as a reset leaves it: it may use the bus, and has the PHY's link */
/* For a driver's start, then for its nic_ops, which are all but that alike. */
const char *intel_start(struct intel *e, const struct bh_pci_info *dev,
                        const struct intel_kind *kind);
unsigned intel_receive(struct nic *n, unsigned budget, nic_deliver *deliver, void *arg);
void intel_send(struct nic *n, struct pkt *p);
void intel_reclaim(struct nic *n);
void intel_notify(struct nic *n);
bool intel_arm(struct nic *n);
bool intel_sane(struct nic *n);
#define INTEL_NIC(called, begin)                                                               \
    {                                                                                          \
        .name = called, .start = begin, .receive = intel_receive, .send = intel_send,          \
        .reclaim = intel_reclaim, .notify = intel_notify, .arm = intel_arm, .sane = intel_sane \
    }
/* Tries its IOMMU unit (trial.h). NULL, or why it must not be used. */
const char *intel_trial(const struct bh_pci_info *dev, const struct intel_kind *kind);
