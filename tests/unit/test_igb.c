/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/net/igb.c drivers-dom/net/intel.c drivers-dom/net/nic.c drivers-dom/net/gso.c drivers-dom/net/pkt.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net
/* What of the 82576's driver is its own, against a device made of memory (intel_world.h); what it has alike with others is test_e1000e.c's. */
#include "igb.h"

#define DEVICE  IGB_82576
#define OPS     igb_nic
#define TX_DATA IGB_TX_DATA
#define TX_CUT  IGB_TX_CUT
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
    assert_int_equal(pool.nr_free, POOL); /* the other bridges have them */
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

/* --- large packets --------------------------------------------------------------------------------------------- */

static uint32_t be(const uint8_t *b, unsigned n) { return n ? be(b, n - 1) << 8 | b[n - 1] : 0; }
static void put_be(uint8_t *b, unsigned n, uint32_t v)
{
    while (n--)
        b[n] = (uint8_t)v, v >>= 8;
}

static uint16_t sum(const uint8_t *b, unsigned n, uint32_t s)
{
    for (unsigned i = 0; i < n; i++)
        s += i % 2 ? b[i] : (uint32_t)b[i] << 8;
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)s;
}

/* The i-th frame that the device makes of what it was given (7.2.4), by the context that it has. Its length. */
static unsigned segment(unsigned i, bool ipv6, uint8_t *f)
{
    struct igb_context c = context();
    unsigned mac = c.lengths >> 9, ip = c.lengths & 511, tcp = c.tcp >> 8 & 255, mss = c.tcp >> 16,
             head = mac + ip + tcp, left = sim.sent_len - head - i * mss,
             len = left < mss ? left : mss;
    uint8_t *n = f + mac, *t = n + ip;

    assert_int_equal(sim.last.back >> IGB_TX_LEN, sim.sent_len - head);
    memcpy(f, sim.sent, head);
    memcpy(f + head, sim.sent + head + i * mss, len);
    if (ipv6) {
        put_be(n + 4, 2, ip - 40 + tcp + len);
    } else {
        assert_int_equal(be(n + 2, 2) | be(n + 10, 2), 0);
        put_be(n + 2, 2, ip + tcp + len);
        put_be(n + 4, 2, be(n + 4, 2) + i);
        put_be(n + 10, 2, ~sum(n, ip, 0));
    }
    put_be(t + 4, 4, be(t + 4, 4) + i * mss);
    if (left > mss)
        t[13] &= 0xf6; /* FIN, PSH */
    put_be(t + 16, 2, ~sum(t, tcp + len, tcp + len));
    return head + len;
}

/* One of `len` bytes behind the headers, in buffers of at most `part` bytes, the first of which holds them all. */
static struct pkt *large(bool ipv6, unsigned len, unsigned part, unsigned mss)
{
    unsigned ip = ipv6 ? 40 : 24, head = 14 + ip + 32, left = len;
    struct pkt *p = frame(1, head, PKT_CSUM_BLANK), *b = p;
    uint8_t *n = p->data + 14, *t = n + ip;

    for (unsigned i = 0; i < head; i++)
        p->data[i] = (uint8_t)(i * 37 + len);
    put_be(p->data + 12, 2, ipv6 ? 0x86dd : 0x0800);
    n[0] = ipv6 ? 0x60 : 0x46;
    put_be(n + (ipv6 ? 4 : 2), 2, head - 14 + len - (ipv6 ? 40 : 0));
    n[ipv6 ? 6 : 9] = 6;
    if (!ipv6) {
        put_be(n + 6, 2, 0x4000);
        put_be(n + 10, 2, 0);
        put_be(n + 10, 2, ~sum(n, ip, 0));
    }
    t[12] = 0x80;
    t[13] = 0x19; /* FIN, PSH, ACK */
    for (unsigned room = part > head ? part - head : 0; left; room = part) {
        unsigned now_in = left < room ? left : room;
        for (unsigned i = 0; i < now_in; i++)
            b->data[b->len + i] = (uint8_t)(left - i);
        b->len = (uint16_t)(b->len + now_in);
        p->rest += b == p ? 0 : now_in;
        left -= now_in;
        if (left)
            b = pkt_grow(&pool, p, b);
    }
    p->gso = ipv6 ? PKT_GSO_TCP6 : PKT_GSO_TCP4;
    p->gso_size = (uint16_t)mss;
    assert_true(pkt_gso_find(p));
    return p;
}

/* What the device makes of it is what is made of it in software, and the frame is as it was: others may have it. */
TEST(test_large)
{
    static const struct {
        unsigned len, part, mss;
    } what[] = { { 1449, 4000, 1448 }, { 3900, 4032, 1448 },  { 2896, 4032, 1448 },
                 { 1000, 70, 536 },    { 65000, 4032, 1448 }, { 9000, 4000, 48 } };
    static uint8_t made[FRAME_MAX], before[4096];

    alive();
    assert_int_equal(e.nic.can, NIC_LARGE | NIC_TSO_TOLD);
    for (unsigned k = 0; k < 12; k++) {
        bool ipv6 = k % 2;
        struct pkt *p = large(ipv6, what[k / 2].len, what[k / 2].part, what[k / 2].mss);
        memcpy(before, p->data, p->len);
        send(pkt_get(p));
        nic_notify(&e.nic);
        assert_int_equal(e.nic.tx_out, p->nr);
        assert_int_equal(sends(9, true), 1);
        assert_memory_equal(before, p->data, p->len);
        for (unsigned i = 0; i < pkt_segments(p); i++) {
            struct pkt *s = pkt_segment(&pool, p, i);
            unsigned len = segment(i, ipv6, made), at = 0;
            pkt_csum_fill(s);
            assert_int_equal(len, pkt_len(s));
            for (const struct pkt *b = s; b; at += b->len, b = b->next)
                assert_memory_equal(made + at, b->data, b->len);
            pkt_put(&pool, s);
        }
        nic_notify(&e.nic);
        assert_int_equal(e.nic.tx_out, 0);
        pkt_put(&pool, p);
        assert_int_equal(pool.nr_free, POOL - E_RX_NR);
    }
    /* Each with a context, headers and one buffer: the ring is never full. */
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 300; i++)
            send(large(i % 2, 2000, 4000, 1448 - i % 3));
        nic_notify(&e.nic);
        assert_int_equal(e.nic.tx_out, 255);
        assert_in_range((reg(E_TDT) - sim.tdh) % E_TX_NR, 3 * 255 - 1, E_TX_NR - 1);
        assert_int_equal(sends(999, true), 255);
        nic_notify(&e.nic);
        assert_int_equal(e.nic.tx_out, 0);
    }
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
