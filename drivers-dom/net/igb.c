/* SPDX-License-Identifier: MIT */
/* Intel 82576: see igb.h. Section numbers are those of its datasheet. */
#include "igb.h"
#include <string.h>

#define SET_NS   (10 * NS_PER_MS) /* 4.3: what a reset sets */
#define PHY_NS   (5 * NS_PER_MS)  /* 8.2.4: 64 us */
#define BEGIN_NS (10 * NS_PER_MS) /* 4.5.9, 4.5.10: a queue */
_Static_assert(E_RX_BUF % IGB_SRRCTL_KIB == 0, "8.10.2");

/* A register of the PHY is read or written. -1: nobody answers. */
static int phy(volatile uint8_t *regs, uint32_t what, uint32_t reg)
{
    intel_set(regs, IGB_MDIC, what | reg << IGB_MDIC_REG | IGB_MDIC_PHY);
    if (!intel_wait(regs, IGB_MDIC, IGB_MDIC_READY, IGB_MDIC_READY, PHY_NS))
        return -1;
    uint32_t got = intel_reg(regs, IGB_MDIC);
    return got & IGB_MDIC_ERROR ? -1 : (int)(got & UINT16_MAX);
}

/* A PHY that has agreed with its neighbour is left alone: the link stays. QEMU's forgets it with each reset of the MAC, and does nothing until it
 * is told. */
static void negotiate(volatile uint8_t *regs)
{
    int control = phy(regs, IGB_MDIC_READ, PHY_CONTROL),
        status = phy(regs, IGB_MDIC_READ, PHY_STATUS);

    if (control < 0 || status < 0 || !((uint32_t)control & PHY_NEGOTIATES) ||
        ((uint32_t)status & PHY_IS_NEGOTIATED))
        return;
    (void)phy(regs, IGB_MDIC_WRITE | (uint32_t)control | PHY_RESTART, PHY_CONTROL);
}

/* 4.3: what comes from the EEPROM is set some milliseconds after the reset, over what was written meanwhile. QEMU's does not say that it is. */
static bool reset(volatile uint8_t *regs)
{
    intel_set(regs, IGB_EIMC, ~0u);
    if (!intel_reset(regs))
        return false;
    (void)intel_wait(regs, IGB_EECD, IGB_EECD_READ, IGB_EECD_READ, SET_NS);
    intel_set(regs, IGB_EIMC, ~0u);
    intel_link_on(regs);
    negotiate(regs);
    return true;
}

static bool rings(volatile uint8_t *regs)
{
    intel_set(regs, IGB_MRQC, 0); /* one queue takes all */
    intel_set(regs, IGB_RLPML, IGB_RLPML_MOST);
    intel_set(regs, IGB_SRRCTL, E_RX_BUF / IGB_SRRCTL_KIB | IGB_SRRCTL_ONE);
    intel_set(regs, IGB_RXDCTL, IGB_DCTL_ENABLE | IGB_RXDCTL_SINGLY);
    intel_set(regs, E_TXDCTL, IGB_DCTL_ENABLE);
    return intel_wait(regs, IGB_RXDCTL, IGB_DCTL_ENABLE, IGB_DCTL_ENABLE, BEGIN_NS) &&
           intel_wait(regs, E_TXDCTL, IGB_DCTL_ENABLE, IGB_DCTL_ENABLE, BEGIN_NS);
}

/* 7.3: GPIE before the others, which it gives their meaning. */
static void irqs(volatile uint8_t *regs)
{
    intel_set(regs, IGB_GPIE, IGB_GPIE_MSIX | IGB_GPIE_PBA);
    intel_set(regs, IGB_IVAR, IGB_IVAR_RX);
    intel_set(regs, IGB_IVAR_MISC, IGB_IVAR_OTHER);
    intel_set(regs, IGB_EIAC, IGB_VECTOR);
    intel_set(regs, IGB_EITR, 1000000u / E_INT_PER_S << IGB_EITR_US);
    intel_set(regs, E_IMS, E_INT_LSC);
}

static void unmask(volatile uint8_t *regs)
{
    intel_set(regs, E_ICR, E_INT_LSC);
    intel_set(regs, IGB_EICR, IGB_VECTOR);
    intel_set(regs, IGB_EIMS, IGB_VECTOR);
}

/* Masked here and not by the device (EIAM), which QEMU's does not do: it would interrupt all the time while frames come. */
static void irq(uint32_t port, void *arg)
{
    struct intel *e = arg;

    (void)port;
    intel_set(e->regs, IGB_EIMC, IGB_VECTOR);
    e->armed = false;
}

/* 7.2.2.2: it counts from header to header, however many tags are before the first one. */
static bool context(struct e_tx_desc *d, const struct pkt *p)
{
    unsigned type, mac = frame_payload(p->data, p->len, &type), ip = p->csum_start - mac;
    struct igb_context c = { .lengths = (uint16_t)(ip | mac << IGB_TX_MAC),
                             .cmd = IGB_TX_CONTEXT | E_TX_DEXT | (p->ipv6 ? 0 : IGB_TX_IPV4) |
                                    (p->csum_offset == 16 ? IGB_TX_TCP : 0) };

    if (p->gso)
        c.tcp = (uint32_t)(p->hdr_len - p->csum_start) << 8 | (uint32_t)p->gso_size << 16;
    memcpy(d, &c, sizeof(c));
    return mac <= IGB_MAC_MAX && ip <= IGB_IP_MAX;
}

static const struct intel_kind kind = { .device = IGB_82576,
                                        .tx_data = IGB_TX_DATA,
                                        .tx_cut = IGB_TX_CUT,
                                        .tx_length = IGB_TX_LEN,
                                        .reset = reset,
                                        .rings = rings,
                                        .irqs = irqs,
                                        .unmask = unmask,
                                        .context = context,
                                        .irq = irq };

bool igb_is(const struct bh_pci_info *dev) { return intel_is(dev, &kind); }

const char *igb_trial(const struct bh_pci_info *dev) { return intel_trial(dev, &kind); }

/* fn and arg: an event of ours wakes as well as theirs would. */
static const char *start(struct nic *n, const struct bh_pci_info *dev, event_fn fn, void *arg)
{
    (void)fn, (void)arg;
    return intel_start(intel_of(n), dev, &kind);
}

const struct nic_ops igb_nic = INTEL_NIC("igb", start);
