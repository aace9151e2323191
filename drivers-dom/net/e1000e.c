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

static const struct intel_kind kind = { .device = E1000E_82574L,
                                        .tx_data = E_TX_DATA,
                                        .reset = intel_reset,
                                        .rings = rings,
                                        .irqs = irqs,
                                        .unmask = unmask,
                                        .irq = irq };

bool e1000e_is(const struct bh_pci_info *dev) { return intel_is(dev, &kind); }

const char *e1000e_trial(const struct bh_pci_info *dev) { return intel_trial(dev, &kind); }

/* fn and arg: an event of ours wakes as well as theirs would. */
static const char *start(struct nic *n, const struct bh_pci_info *dev, event_fn fn, void *arg)
{
    (void)fn, (void)arg;
    n->can = NIC_CSUM | NIC_SCATTER;
    return intel_start(intel_of(n), dev, &kind);
}

/* Says where the checksum goes. A pseudo-header's sum is in the field already (7.2.10.1). */
static void context(struct intel *e, const struct pkt *p)
{
    struct e_tx_context c = {
        .ip_start = ETH_HLEN,
        .ip_csum = ETH_HLEN + 10,
        .ip_end = (uint16_t)(p->csum_start - 1),
        .l4_start = (uint8_t)p->csum_start,
        .l4_csum = (uint8_t)(p->csum_start + p->csum_offset),
        .cmd = E_TX_DEXT | (p->csum_offset == 16 ? E_TX_TCP : 0) | (p->ipv6 ? 0 : E_TX_IPV4),
    };
    struct e_tx_desc d;

    memcpy(&d, &c, sizeof(d));
    intel_tx_context(e, &d);
}

static void send(struct nic *n, struct pkt *p)
{
    uint32_t offload = 0, len = nic_wire_len(p);

    /* It counts in bytes, and QEMU's takes the segment to be as long as the frame: a short one with a checksum it has to pad itself. */
    if ((p->flags & PKT_CSUM_BLANK) &&
        (p->csum_start + p->csum_offset > UINT8_MAX || p->csum_end != pkt_len(p)))
        pkt_csum_fill(p);
    if (p->flags & PKT_CSUM_BLANK) {
        context(intel_of(n), p);
        offload = E_TX_L4CSUM;
        len = p->len;
    }
    intel_tx_frame(intel_of(n), p, len, offload);
}

const struct nic_ops e1000e_nic = { .name = "e1000e",
                                    .start = start,
                                    .receive = intel_receive,
                                    .send = send,
                                    .reclaim = intel_reclaim,
                                    .notify = intel_notify,
                                    .arm = intel_arm,
                                    .sane = intel_sane };
