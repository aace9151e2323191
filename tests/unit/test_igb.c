/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/net/igb.c drivers-dom/net/intel.c drivers-dom/net/nic.c drivers-dom/net/gso.c drivers-dom/net/pkt.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net
/* What of the 82576's driver is its own, against a device made of memory (intel_world.h); what it has alike with others is test_e1000e.c's. */
#include "igb.h"

#define DEVICE  IGB_82576
#define OPS     igb_nic
#define TX_DATA IGB_TX_DATA
#include "intel_world.h"

/* Its PHY, and how long some things take. */
static struct {
    uint16_t control, status;
    bool dumb, broken, forgets, stubborn;
    unsigned restarts, answers;
} phy;

static void phy_runs(void)
{
    uint32_t m = reg(IGB_MDIC), at = m >> IGB_MDIC_REG & 31, data = m & 0xffff;

    if (!(m & (IGB_MDIC_READ | IGB_MDIC_WRITE)) || (m & IGB_MDIC_READY) || phy.dumb)
        return;
    assert_int_equal(m >> 21 & 31, 1);
    assert_in_range(at, PHY_CONTROL, PHY_STATUS);
    phy.answers++;
    if (m & IGB_MDIC_WRITE) {
        assert_int_equal(at, PHY_CONTROL);
        assert_false(data & (1u << 15 | 1u << 11)); /* neither reset nor switched off */
        phy.restarts += (data & PHY_RESTART) != 0;
        phy.control = data & (uint16_t)~PHY_RESTART;
    } else {
        data = at == PHY_CONTROL ? phy.control : phy.status;
    }
    set(IGB_MDIC, (m & 0x0fff0000) | data | IGB_MDIC_READY | (phy.broken ? IGB_MDIC_ERROR : 0));
}

static void runs_more(bool was_reset)
{
    phy_runs();
    if (phy.stubborn)
        set(IGB_RXDCTL, reg(IGB_RXDCTL) & ~IGB_DCTL_ENABLE);
    if (!was_reset)
        return;
    set(IGB_EECD, IGB_EECD_READ);
    if (phy.forgets)
        phy.status &= (uint16_t)~PHY_IS_NEGOTIATED;
}

static void phy_is(uint16_t control, uint16_t status)
{
    memset(&phy, 0, sizeof(phy));
    phy.control = control, phy.status = status;
}

static void alive(void)
{
    phy_is(0x1140, 0x796d);
    world();
}

TEST(test_start)
{
    alive();
    assert_true(sim.dma);
    assert_true(reg(E_CTRL) & E_CTRL_SLU);
    assert_false(reg(E_CTRL) & (E_CTRL_MASTER_OFF | 1u << 31)); /* nor was the PHY reset */
    assert_int_equal(phy.restarts, 0);
    assert_int_equal(reg(IGB_SRRCTL), 2 | 1u << 25);
    assert_true(reg(IGB_RXDCTL) & 1u << 25 && reg(E_TXDCTL) & 1u << 25);
    assert_int_equal(reg(E_RDT), E_RX_NR - 1);
    assert_int_equal(reg(IGB_GPIE), 1u << 31 | 1u << 4);
    assert_int_equal(reg(IGB_IVAR), 0x80); /* sending interrupts nobody */
    assert_int_equal(reg(IGB_IVAR_MISC), 0x8000);
    assert_int_equal(reg(IGB_EITR), 50 << 2);
    assert_true(igb_is(&pci));
    struct bh_pci_info other = pci;
    other.device = 0x10ca; /* a virtual function */
    assert_false(igb_is(&other));
}

TEST(test_trial)
{
    alive();
    assert_null(igb_trial(&pci));
    assert_int_equal(written, 2);
    assert_null(starts());
    assert_false(reg(E_RCTL) & E_RCTL_LBM_MAC);
    phy.stubborn = true;
    assert_string_equal(igb_trial(&pci), "its queues do not begin");
}

/* Whatever a dead instance left in the registers, also of a device that a reset does not make forget. */
TEST(test_start_over_anything)
{
    uint32_t r = 1;

    phy_is(0x1140, 0x796d);
    for (unsigned life = 0; life < 200; life++) {
        memset(&sim, 0, sizeof(sim));
        sim.forgets_nothing = life % 2;
        for (unsigned off = 0; off < INTEL_REGS; off += 4) {
            r = r * 1664525 + 1013904223;
            set(off, off == IGB_MDIC ? 0 : r ^ r >> 16);
        }
        set(E_STATUS, E_STATUS_LU | E_STATUS_MASTER);
        assert_null(starts());
        assert_int_equal(reg(IGB_MRQC), 0);
        assert_int_equal(reg(IGB_RLPML), 9728);
        assert_int_equal(reg(IGB_IVAR) & 0xff, 0x80);
        assert_true(arrives(60, 0));
        assert_int_equal(takes(64), 1);
        assert_int_equal(nr_delivered, 1);
    }
}

/* A link that is there stays; a PHY that has agreed with nobody is told to, once; one that does not answer holds nobody up. */
TEST(test_phy)
{
    phy_is(0x1140, 0x794d);
    world();
    assert_int_equal(phy.restarts, 1);
    assert_int_equal(phy.control, 0x1140);
    phy_is(0x1140, 0x796d);
    phy.forgets = true;
    world();
    assert_int_equal(phy.restarts, 1);
    phy_is(0x0140, 0x794d); /* somebody set its speed by hand */
    world();
    assert_int_equal(phy.restarts, 0);
    phy_is(0x1140, 0x794d);
    phy.broken = true;
    world();
    assert_int_equal(phy.restarts, 0);
    phy_is(0x1140, 0x794d);
    phy.dumb = true;
    uint64_t before = now;
    world();
    assert_in_range(now - before, 0, 100 * NS_PER_MS);
    assert_int_equal(phy.answers, 0);
}

TEST(test_queues_do_not_begin)
{
    phy_is(0x1140, 0x796d);
    phy.stubborn = true;
    assert_string_equal(begins(), "its queues do not begin");
    assert_false(sim.dma);
    assert_true(sim.offs);
}

TEST(test_receive)
{
    alive();
    for (unsigned round = 0; round < 300; round++) {
        assert_true(arrives(1514, E_RX_L4CS));
        assert_int_equal(takes(64), 1);
        assert_int_equal(delivered.flags, PKT_CSUM_VALID);
        assert_true(arrives(WIRE_MAX, E_RX_L4CS | E_RX_L4E));
        assert_int_equal(takes(64), 1);
        assert_int_equal(delivered.flags, 0);
        assert_true(arrives(60, 1u << 31));
        assert_int_equal(takes(64), 1);
        assert_int_equal(nr_delivered, 0);
    }
    assert_int_equal(e.nic.rx_errors, 300);
    arrives(60, 0);
    e.rx[e.rx_next % E_RX_NR].back = 2049ull << 32 | E_RX_DD | E_RX_EOP;
    DIES(takes(64));
}

/* --- transmit ------------------------------------------------------------------------------------------------- */

static struct igb_context context(void)
{
    struct igb_context c;

    memcpy(&c, &sim.context, sizeof(c));
    return c;
}

/* Tags before a TCP segment over IPv4; what it says of them is in sim. */
static void send_tagged(unsigned tags)
{
    struct pkt *p = frame(1, 1000, PKT_CSUM_BLANK);

    for (unsigned i = 0; i < tags; i++)
        memcpy(p->data + 12 + 4 * i, "\x81\x00\x00\x05", 4);
    memcpy(p->data + 12 + 4 * tags, "\x08\x00", 2);
    p->csum_start = (uint16_t)(34 + 4 * tags);
    send(p);
    nic_notify(&e.nic);
    assert_int_equal(sends(9, true), 1);
    nic_notify(&e.nic);
}

TEST(test_transmit)
{
    alive();
    send(frame(1, 42, 0));
    nic_notify(&e.nic);
    assert_int_equal(sends(9, true), 1);
    assert_int_equal(sim.last.cmd & 0xffff, ETH_MIN);
    assert_int_equal(sim.last.back >> 14, ETH_MIN);
    for (unsigned tags = 0; tags < 3; tags++) {
        send_tagged(tags);
        send_tagged(tags);
        assert_int_equal(sim.contexts, 1 + tags); /* the same place: said once */
        assert_true(sim.last.back & E_TX_L4CSUM);
        assert_int_equal(sim.last.back >> 14, 1000);
        assert_int_equal(context().lengths, 20 | (14 + 4 * tags) << 9);
        assert_int_equal(context().cmd, IGB_TX_CONTEXT | E_TX_DEXT | 1u << 10 | 1u << 11);
    }
    send_tagged(29); /* more than it can say */
    assert_int_equal(sim.contexts, 3);
    assert_false(sim.last.back & E_TX_L4CSUM);
    struct pkt *p = frame(1, 100, PKT_CSUM_BLANK); /* UDP over IPv6 */
    p->ipv6 = true;
    p->csum_start = 54;
    p->csum_offset = 6;
    send(p);
    nic_notify(&e.nic);
    assert_int_equal(sends(9, true), 1);
    assert_int_equal(context().lengths, 40 | 14 << 9);
    assert_int_equal(context().cmd, IGB_TX_CONTEXT | E_TX_DEXT);
    nic_notify(&e.nic);
    assert_int_equal(pool.nr_free, POOL - E_RX_NR);
}

/* --- interrupts ------------------------------------------------------------------------------------------------ */

TEST(test_arm)
{
    alive();
    set(E_ICR, 0);
    assert_false(nic_arm(&e.nic));
    assert_int_equal(reg(IGB_EIMS), 1);
    assert_int_equal(reg(IGB_EICR), 1);
    assert_int_equal(reg(E_ICR), E_INT_LSC); /* or it would not tell of the next change */
    assert_int_equal(reg(E_IMS), E_INT_LSC);
    set(IGB_EIMS, 0);
    set(IGB_EIMC, 0);
    assert_false(nic_arm(&e.nic)); /* it may still */
    assert_int_equal(reg(IGB_EIMS), 0);
    sim.irq(0, sim.irq_arg);
    assert_int_equal(reg(IGB_EIMC), 1); /* once is enough */
    set(E_STATUS, reg(E_STATUS) & ~E_STATUS_LU);
    assert_false(nic_arm(&e.nic));
    assert_int_equal(reg(IGB_EIMS), 1);
    assert_true(e.nic.no_link);
}
