/* SPDX-License-Identifier: MIT */
/* Intel 82574L: see e1000e.h. Section numbers are those of its datasheet. */
#include "e1000e.h"
#include <string.h>

/* QEMU's forgets nothing at a reset but its address (up to 7.2); intel_reset relies on nothing of that. */
static bool rings(volatile uint8_t *regs)
{
    intel_set(regs, E_TXDCTL, E_TXDCTL_ONE_BY_ONE);
    intel_set(regs, E_RFCTL, E_RFCTL_EXSTEN | E_RFCTL_NO_EXTRAS);
    return true;
}

static void irqs(volatile uint8_t *regs)
{
    intel_set(regs, E_IVAR, E_IVAR_BOTH);
    intel_set(regs, E_EIAC, E_INT_RXQ0 | E_INT_OTHER);
    intel_set(regs, E_IAM, E_INT_RXQ0 | E_INT_OTHER);
    intel_set(regs, E_EITR, (uint32_t)(NS_PER_S / E_INT_PER_S / E_EITR_NS));
    intel_set(regs, E_CTRL_EXT, intel_reg(regs, E_CTRL_EXT) | E_CTRL_EXT_EIAME | E_CTRL_EXT_PBA_CLR);
}

static void unmask(volatile uint8_t *regs)
{
    intel_set(regs, E_ICR, E_INT_USED);
    intel_set(regs, E_IMS, E_INT_USED);
}

static void irq(uint32_t port, void *arg)
{
    (void)port;
    ((struct intel *)arg)->armed = false;
}

/* 7.2.10.1: it counts in bytes. */
static bool context(struct e_tx_desc *d, const struct pkt *p)
{
    unsigned type, ip = frame_payload(p->data, p->len, &type);
    struct e_tx_context c = {
        .ip_start = (uint8_t)ip,
        .ip_csum = (uint8_t)(ip + 10),
        .ip_end = (uint16_t)(p->csum_start - 1),
        .l4_start = (uint8_t)p->csum_start,
        .l4_csum = (uint8_t)(p->csum_start + p->csum_offset),
        .cmd = E_TX_DEXT | (p->csum_offset == 16 ? E_TX_TCP : 0) | (p->ipv6 ? 0 : E_TX_IPV4) |
               (p->gso ? E_TX_TSE | (pkt_len(p) - p->hdr_len) : 0),
        .back = p->gso ? (uint32_t)p->gso_size << 16 | (uint32_t)p->hdr_len << 8 : 0,
    };

    memcpy(d, &c, sizeof(c));
    return p->csum_start + p->csum_offset <= UINT8_MAX;
}

static const struct intel_kind kind = { .device = E1000E_82574L,
                                        .tx_data = E_TX_DATA,
                                        .tx_cut = E_TX_TSE,
                                        .cuts_fast = true,
                                        .reset = intel_reset,
                                        .rings = rings,
                                        .irqs = irqs,
                                        .unmask = unmask,
                                        .context = context,
                                        .irq = irq };

bool e1000e_is(const struct bh_pci_info *dev) { return intel_is(dev, &kind); }

const char *e1000e_trial(const struct bh_pci_info *dev) { return intel_trial(dev, &kind); }

/* fn and arg: an event of ours wakes as well as theirs would. */
static const char *start(struct nic *n, const struct bh_pci_info *dev, event_fn fn, void *arg)
{
    (void)fn, (void)arg;
    return intel_start(intel_of(n), dev, &kind);
}

const struct nic_ops e1000e_nic = INTEL_NIC("e1000e", start);
