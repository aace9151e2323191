/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/net/e1000e.c drivers-dom/net/intel.c drivers-dom/net/nic.c drivers-dom/net/gso.c drivers-dom/net/pkt.c tests/unit/tcp_frame.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net
/* The 82574L's driver, and what it has alike with others (intel.c), against a device made of memory (intel_world.h). */
#include "e1000e.h"

#define DEVICE  E1000E_82574L
#define OPS     e1000e_nic
#define TX_DATA E_TX_DATA
#define TX_CUT  E_TX_TSE
#include "intel_world.h"
#include "tcp_frame.h"

static void runs_more(bool was_reset) { (void)was_reset; }

static struct e_tx_context context(void)
{
    struct e_tx_context c;

    memcpy(&c, &sim.context, sizeof(c));
    return c;
}

/* --- start ---------------------------------------------------------------------------------------------------- */

TEST(test_start)
{
    world();
    assert_true(sim.dma);
    assert_true(reg(E_CTRL) & E_CTRL_SLU);
    assert_false(reg(E_CTRL) & (E_CTRL_MASTER_OFF | 1u << 31)); /* nor was the PHY reset */
    assert_int_equal(reg(E_RDT), E_RX_NR - 1);
    assert_int_equal(reg(E_TDT), 0);
    assert_int_equal(reg(E_IVAR), 0x80008);
    assert_int_equal(e.nic.tx_size, 255);
    assert_memory_equal(e.nic.mac, "RTabcd", 6);
    assert_false(e.nic.no_link);
    assert_true(e1000e_is(&pci));
    struct bh_pci_info other = pci;
    other.device = 0x10d4;
    assert_false(e1000e_is(&other));
    other.bar[0].size = 0x1000;
    assert_string_equal(e1000e_trial(&other), "its registers cannot be mapped");
    assert_string_equal(nic_start(&e.nic, &e1000e_nic, &other, &pool, NULL, NULL),
                        "its registers cannot be mapped");
}

TEST(test_trial)
{
    world();
    assert_null(e1000e_trial(&pci));
    assert_int_equal(written, 2);
    assert_null(starts()); /* nothing of it is left */
    assert_false(reg(E_RCTL) & E_RCTL_LBM_MAC);
    assert_false(reg(E_CTRL) & E_CTRL_FORCE);
    sim.forgets_nothing = true;
    set(E_STATUS, E_STATUS_MASTER);
    assert_string_equal(e1000e_trial(&pci),
                        "it has no link, without which its IOMMU unit cannot be tried");
}

/* Whatever a dead instance left in the registers, also of a device that a reset does not make forget. */
TEST(test_start_over_anything)
{
    uint32_t r = 1;

    for (unsigned life = 0; life < 200; life++) {
        memset(&sim, 0, sizeof(sim));
        sim.forgets_nothing = life % 2;
        for (unsigned off = 0; off < INTEL_REGS; off += 4) {
            r = r * 1664525 + 1013904223;
            set(off, r ^ r >> 16);
        }
        set(E_STATUS, E_STATUS_LU | E_STATUS_1000 | E_STATUS_MASTER);
        assert_null(starts());
        assert_false(reg(E_CTRL) & E_CTRL_MASTER_OFF);
        assert_true(arrives(60, 0));
        assert_int_equal(takes(64), 1);
        assert_int_equal(nr_delivered, 1);
    }
}

TEST(test_start_fails)
{
    static const struct {
        bool *what;
        const char *says;
    } bad[] = {
        { &sim.never_resets, "it does not reset" }, { &sim.cannot_stop, "it does not reset" },
        { &sim.refused, "DMA was refused" },        { &sim.no_irq, "no vector" },
        { &sim.no_memory, "out of memory" },
    };

    for (unsigned i = 0; i < 5; i++) {
        memset(&sim, 0, sizeof(sim));
        *bad[i].what = true;
        assert_string_equal(starts(), bad[i].says);
        assert_false(sim.dma);
        assert_true(i < 3 || sim.offs);
        assert_true(i == 1 || !((reg(E_RCTL) | reg(E_TCTL)) & 2));
    }
    memset(&sim, 0, sizeof(sim));
    sim.stuck = true; /* what it asked for never comes: the reset is over that */
    set(E_STATUS, E_STATUS_LU | E_STATUS_1000 | E_STATUS_MASTER);
    uint64_t before = now;
    assert_null(starts());
    assert_in_range(now - before, 100 * NS_PER_MS, 1000 * NS_PER_MS);
    memset(&sim, 0, sizeof(sim));
    pkt_pool_init(&pool, pkts, mem, E_RX_NR - 1);
    memset(&e, 0, sizeof(e));
    assert_string_equal(nic_start(&e.nic, &e1000e_nic, &pci, &pool, NULL, NULL), "out of buffers");
    assert_true(sim.offs && !sim.dma);
}

/* --- receive -------------------------------------------------------------------------------------------------- */

TEST(test_receive)
{
    static const struct {
        unsigned len;
        uint32_t status;
        unsigned flags;
    } good[] = {
        { 60, 0, 0 },
        { WIRE_MAX, E_RX_L4CS, PKT_CSUM_VALID },
        { 1514, E_RX_L4CS | E_RX_L4E, 0 }, /* for the guest to find out */
        { 61, E_RX_L4CS | E_RX_IXSM, 0 },
        { ETH_HLEN, E_RX_L4E, 0 },
    };

    world();
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 5; i++) {
            assert_true(arrives(good[i].len, good[i].status));
            assert_int_equal(takes(64), 1);
            assert_int_equal(nr_delivered, 1);
            assert_int_equal(delivered.len, good[i].len);
            assert_int_equal(delivered.flags, good[i].flags);
        }
        arrives(WIRE_MAX + 1, 0);
        arrives(13, 0);
        arrives(4014, E_RX_L4CS);
        arrives(2048 * 3, 0);
        arrives(60, E_RX_BROKEN);
        arrives(1514, 0);
        for (unsigned n = 0; n < 8;) /* the budget may end in the middle of a frame */
            n += takes(3);
        assert_int_equal(e.nic.rx_length, 4 * (round + 1));
        assert_int_equal(e.nic.rx_errors, round + 1);
        assert_int_equal(e.nic.rx_packets, 6 * (round + 1));
        assert_int_equal(delivered.len, 1514);
        assert_int_equal(pool.nr_free, POOL - E_RX_NR);
    }
    assert_int_equal(e.nic.rx_dropped, 0);
    unsigned n = 0;
    while (arrives(60, 0))
        n++;
    assert_int_equal(n, E_RX_NR - 1);
    while (takes(64))
        ;
    assert_true(arrives(60, 0));
}

/* Long frames are chains of buffers, up to what the uplink takes; nothing of any other is kept. */
TEST(test_long)
{
    static const struct {
        unsigned len;
        bool good;
    } what[] = { { 2048, true },  { 2049, true },  { 4096, true },   { 8192, true },
                 { 9022, true },  { 9023, false }, { 16000, false }, { WIRE_MAX, true },
                 { 9216, false }, { 9000, true } };

    world();
    assert_int_equal(e.nic.mtu, 1500);
    nic_set_mtu(&e.nic, 65000);
    assert_int_equal(e.nic.mtu, 9000);
    for (unsigned round = 0; round < 100; round++) {
        uint64_t before = e.nic.rx_length;
        for (unsigned i = 0; i < 10; i++) {
            assert_true(arrives(what[i].len, E_RX_L4CS));
            for (unsigned left = (what[i].len + 2047) / 2048, n = 0; n < left;) {
                n += takes(2);
                assert_int_equal(nr_delivered, n == left && what[i].good);
            }
            if (what[i].good)
                assert_int_equal(delivered.len, what[i].len);
        }
        assert_int_equal(e.nic.rx_length - before, 3);
        assert_true(arrives(5000, E_RX_BROKEN));
        takes(64);
        assert_int_equal(e.nic.rx_errors, round + 1);
        assert_int_equal(pool.nr_free, POOL - E_RX_NR);
    }
    /* In more buffers than any packet here has. */
    for (unsigned i = 0; i < 30; i++)
        e.rx[(e.rx_next + i) % E_RX_NR].back = 100ull << 32 | E_RX_DD | (i == 29 ? E_RX_EOP : 0);
    sim.rdh = (sim.rdh + 30) % E_RX_NR;
    takes(64);
    assert_int_equal(nr_delivered, 0);
    assert_int_equal(e.nic.rx_length, 301);
    /* Buffers end in the middle of one: all of it is given back. */
    while (pool.nr_free > 2)
        assert_non_null(pkt_alloc(&pool));
    assert_true(arrives(9000, 0));
    takes(64);
    assert_int_equal(nr_delivered, 0);
    assert_int_equal(e.nic.rx_dropped, 1);
    assert_int_equal(pool.nr_free, 2);
    assert_true(arrives(4000, 0));
    takes(64);
    assert_int_equal(delivered.len, 4000);
    /* Its first buffer holds little: the headers are together again. */
    assert_true(arrives(4000, 0));
    e.rx[e.rx_next % E_RX_NR].back -= 2018ull << 32;
    takes(64);
    assert_int_equal(delivered.len, 1982);
}

TEST(test_receive_without_buffers)
{
    world();
    while (pkt_alloc(&pool))
        ;
    for (unsigned i = 0; i < 600; i++) {
        assert_true(arrives(1514, 0));
        assert_int_equal(takes(64), 1);
        assert_int_equal(nr_delivered, 0);
    }
    assert_int_equal(e.nic.rx_dropped, 600);
}

TEST(test_lies)
{
    static unsigned len;

    for (len = E_RX_BUF + 1; len < 0x10000; len += 0x3f00) {
        world();
        arrives(60, 0);
        e.rx[0].back = (uint64_t)len << 32 | E_RX_DD | E_RX_EOP;
        DIES(takes(64));
    }
    world();
    arrives(4000, 0);
    e.rx[1].back = E_RX_DD; /* more of it, which is nothing */
    DIES(takes(64));
    /* What it says of descriptors that are not its own is not believed. */
    world();
    for (unsigned i = 0; i < E_TX_NR; i++)
        e.tx[i].back = ~0u;
    nic_notify(&e.nic);
    assert_int_equal(pool.nr_free, POOL - E_RX_NR);
    set(E_STATUS, ~0u);
    assert_false(nic_sane(&e.nic));
}

/* --- transmit ------------------------------------------------------------------------------------------------- */

TEST(test_transmit)
{
    world();
    send(frame(1, 42, 0));
    assert_int_equal(sends(9, true), 0); /* not told yet */
    nic_notify(&e.nic);
    assert_int_equal(sends(9, true), 1);
    assert_int_equal(sim.last.cmd & 0xffff, ETH_MIN);
    assert_int_equal(sim.last.back & E_TX_L4CSUM, 0);
    assert_int_equal(*((uint8_t *)sim.last.addr + 42), 0); /* not another guest's bytes */
    nic_notify(&e.nic);
    assert_int_equal(e.nic.tx_out, 0);
    assert_int_equal(pool.nr_free, POOL - E_RX_NR);
}

TEST(test_contexts)
{
    struct pkt *p;

    world();
    for (unsigned i = 0; i < 5; i++)
        send(frame(1, 1000 + i, PKT_CSUM_BLANK));
    send(frame(1, 1000, 0));
    send(frame(1, 1000, PKT_CSUM_BLANK));
    nic_notify(&e.nic);
    assert_int_equal(sends(99, true), 7);
    assert_int_equal(sim.contexts, 1); /* the same place: said once */
    assert_true(sim.last.back & E_TX_L4CSUM);
    assert_int_equal(context().l4_start, 34);
    assert_int_equal(context().l4_csum, 50);
    assert_int_equal(context().l4_end, 0);
    assert_int_equal(context().cmd, E_TX_DEXT | E_TX_TCP | E_TX_IPV4);
    p = frame(1, 100, PKT_CSUM_BLANK); /* UDP over IPv6 */
    p->ipv6 = true;
    p->csum_start = 54;
    p->csum_offset = 6;
    send(p);
    send(frame(1, 54, PKT_CSUM_BLANK)); /* its padding is no part of the segment */
    nic_notify(&e.nic);
    assert_int_equal(sends(1, true), 1);
    assert_int_equal(context().l4_end, 0);
    assert_int_equal(context().cmd, E_TX_DEXT);
    assert_int_equal(sends(99, true), 1);
    assert_int_equal(sim.last.cmd & 0xffff, 54);
    assert_true(sim.last.back & E_TX_L4CSUM);
    p = frame(1, 100, PKT_CSUM_BLANK); /* something behind the segment that does not count */
    p->csum_end = 90;
    send(pkt_get(p));
    assert_int_equal(p->flags, PKT_CSUM_VALID);
    pkt_put(&pool, p);
    nic_notify(&e.nic);
    assert_int_equal(sends(99, true), 1);
    assert_false(sim.last.back & E_TX_L4CSUM);
    p = frame(1, 400, PKT_CSUM_BLANK); /* further than it can say */
    p->csum_start = 240;
    p->data[300] = 1;
    uint16_t sum;
    send(pkt_get(p));
    memcpy(&sum, p->data + 256, 2);
    assert_int_not_equal(sum, 0x5555);
    assert_int_equal(p->flags, PKT_CSUM_VALID);
    pkt_put(&pool, p);
    nic_notify(&e.nic);
    assert_int_equal(sends(99, true), 1);
    assert_false(sim.last.back & E_TX_L4CSUM);
}

/* A frame in several buffers is one frame. */
TEST(test_scattered)
{
    world();
    for (unsigned round = 0; round < 400; round++) {
        struct pkt *p = frame(1, 300, round % 2 ? PKT_CSUM_BLANK : 0), *b = p;
        for (unsigned i = 0; i < round % 4; i++) {
            b = pkt_grow(&pool, p, b);
            b->len = 200;
            p->rest += 200;
        }
        p->csum_end = pkt_len(p);
        p->csum_start = (uint16_t)(34 + round % 8);
        send(p);
        nic_notify(&e.nic);
        assert_int_equal(e.nic.tx_out, 1 + round % 4);
        assert_int_equal(sends(9, true), 1);
        nic_notify(&e.nic);
        assert_int_equal(e.nic.tx_out, 0);
    }
    assert_int_equal(sim.frames, 400);
    assert_int_equal(pool.nr_free, POOL - E_RX_NR);
}

/* TCP, in several buffers. */
static struct pkt *large(const struct shape *t)
{
    static uint8_t f[FRAME_MAX];
    unsigned len = make(f, t, 0, t->payload, t->flags, t->id), at = 0;
    struct pkt *p = pkt_alloc(&pool), *b = p;

    while (at < len) {
        unsigned n = at ? PKT_BUF : head_of(t) + at % 999 + 1, left = len - at;
        n = n < left ? n : left;
        b = at ? pkt_grow(&pool, p, b) : p;
        memcpy(b->data, f + at, n);
        b->len = (uint16_t)n;
        p->rest += at ? n : 0;
        at += n;
    }
    p->from = 1;
    p->flags = PKT_CSUM_BLANK | PKT_CSUM_VALID;
    p->gso = t->v6 ? PKT_GSO_TCP6 : PKT_GSO_TCP4;
    p->gso_size = (uint16_t)t->gso_size;
    assert_true(pkt_gso_find(p) && p->gso);
    return p;
}

/* 7.3.6: each segment gets the headers again, with lengths and sums filled in: what is in a sum's place counts as its beginning. They are what their
 * sender's TCP would have made. */
static unsigned device_cuts(const struct shape *t)
{
    static uint8_t want[FRAME_MAX], got[FRAME_MAX];
    struct e_tx_context c = context();
    unsigned head = c.back >> 8 & 0xff, mss = c.back >> 16, payload = c.cmd & 0xfffff, nr = 0;
    bool v4 = c.cmd & E_TX_IPV4;

    assert_true(c.cmd & E_TX_TSE && c.cmd & E_TX_TCP && !(c.back & 0xff));
    assert_int_equal(sim.last.back & (E_TX_L4CSUM | E_TX_IPCSUM),
                     E_TX_L4CSUM | (v4 ? E_TX_IPCSUM : 0));
    assert_int_equal(sim.sent_len, head + payload);
    for (unsigned at = 0; at < payload; at += mss, nr++) {
        unsigned n = payload - at < mss ? payload - at : mss;
        bool last = at + n == payload;
        memcpy(got, sim.sent, head);
        memcpy(got + head, sim.sent + head + at, n);
        uint8_t *ip = got + c.ip_start, *tcp = got + c.l4_start;
        put16(ip + (v4 ? 2 : 4), head + n - c.ip_start - (v4 ? 0 : 40));
        if (v4) {
            put16(ip + 4, ((unsigned)ip[4] << 8 | ip[5]) + nr);
            put16(got + c.ip_csum, (uint16_t)~plain_sum(ip, c.ip_end + 1u - c.ip_start, 0));
        }
        uint32_t seq = ((uint32_t)tcp[4] << 24 | (uint32_t)tcp[5] << 16 | (uint32_t)tcp[6] << 8 |
                        tcp[7]) +
                       at;
        put16(tcp + 4, seq >> 16), put16(tcp + 6, seq & 0xffff);
        tcp[13] &= last ? 0xff : 0xf6;
        put16(got + c.l4_csum,
              (uint16_t)~plain_sum(tcp, head - c.l4_start + n, head - c.l4_start + n));
        unsigned len = make(want, t, at, n, t->flags & (last ? 0xff : 0xf6), t->id + nr);
        assert_int_equal(len, head + n);
        assert_memory_equal(got, want, len);
    }
    return nr;
}

/* TCP is cut by the device, over either IP, with and without a tag. What it cannot be told, and at less than full speed, is cut before. */
TEST(test_cut)
{
    for (unsigned i = 0; i < 800; i++) {
        struct shape t = { .v6 = i & 1,
                           .tags = i / 2 % 3,
                           .ip_options = i % 7 ? 0 : 8,
                           .tcp_options = i % 5 * 8,
                           .gso_size = 500 + i,
                           .flags = i % 2 ? 0x19 : 0x10,
                           .id = 0xfff0 + i,
                           .payload = 501 + i + i * 79 };
        bool slow = i % 13 == 0, told = t.tags < 2 && !(t.v6 && t.ip_options) && !slow;
        world();
        set(E_STATUS, reg(E_STATUS) & ~(slow ? E_STATUS_1000 : 0u));
        assert_true(nic_sane(&e.nic));
        struct pkt *p = large(&t);
        unsigned segments = pkt_segments(p);
        send(p);
        for (nic_notify(&e.nic); sends(999, true); nic_notify(&e.nic))
            assert_int_equal(sim.last.cmd & E_TX_TSE, told ? E_TX_TSE : 0);
        assert_int_equal(sim.frames, told ? 1 : segments);
        if (told)
            assert_int_equal(device_cuts(&t), segments);
        assert_int_equal(pool.nr_free, POOL - E_RX_NR);
    }
}

/* What has begun to be cut before is cut to its end, though the device may do it by then. */
TEST(test_cut_begun)
{
    struct shape t = { .gso_size = 1000, .payload = 20000, .flags = 0x10 };

    world();
    set(E_STATUS, reg(E_STATUS) & ~E_STATUS_1000);
    assert_true(nic_sane(&e.nic));
    e.nic.tx_share = 5;
    send(large(&t));
    set(E_STATUS, reg(E_STATUS) | E_STATUS_1000);
    assert_true(nic_sane(&e.nic));
    for (unsigned i = 0; i < 20; i++) {
        nic_notify(&e.nic);
        sends(999, true);
    }
    assert_int_equal(sim.frames, 20);
    assert_int_equal(pool.nr_free, POOL - E_RX_NR);
}

/* Each frame another place for its checksum, so each has two descriptors, and a device that does nothing: the ring is never full. */
TEST(test_full)
{
    world();
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < 300; i++) {
            struct pkt *p = frame(1, 1000, PKT_CSUM_BLANK);
            p->csum_start = (uint16_t)(34 + i % 2);
            send(p);
        }
        nic_notify(&e.nic);
        assert_int_equal(e.nic.tx_out, 255);
        assert_int_equal(e.nic.tx_dropped, 45 * (round + 1));
        assert_in_range((reg(E_TDT) - sim.tdh) % E_TX_NR, 1, E_TX_NR - 1);
        assert_int_equal(sends(999, true), 255);
        nic_notify(&e.nic);
        assert_int_equal(e.nic.tx_out, 0);
    }
    assert_int_equal(pool.nr_free, POOL - E_RX_NR);
    /* The others' share is left to them. */
    e.nic.tx_share = 127;
    for (unsigned i = 0; i < 200; i++)
        send(frame(1, 100, 0));
    send(frame(2, 100, 0));
    nic_notify(&e.nic);
    assert_int_equal(e.nic.tx_held[1], 127);
    assert_int_equal(e.nic.tx_held[2], 1);
    /* In order only: that the second is out says nothing of the first. */
    e.tx[(e.tx_last[(e.tx_first_frame + 1) % E_TX_FRAMES])].back |= E_TX_DD;
    nic_notify(&e.nic);
    assert_int_equal(e.nic.tx_out, 128);
}

/* --- interrupts, link ----------------------------------------------------------------------------------------- */

TEST(test_arm)
{
    world();
    set(E_IMS, 0);
    assert_false(nic_arm(&e.nic));
    assert_int_equal(reg(E_IMS), E_INT_USED);
    set(E_IMS, 0);
    assert_false(nic_arm(&e.nic)); /* it may still: nothing is said twice */
    assert_int_equal(reg(E_IMS), 0);
    arrives(60, 0);
    assert_true(nic_arm(&e.nic));
    takes(64);
    sim.irq(0, sim.irq_arg);
    assert_false(nic_arm(&e.nic));
    assert_int_equal(reg(E_IMS), E_INT_USED);
}

TEST(test_link)
{
    world();
    assert_true(nic_sane(&e.nic));
    set(E_STATUS, reg(E_STATUS) & ~E_STATUS_LU);
    sim.irq(0, sim.irq_arg);
    (void)nic_arm(&e.nic);
    assert_true(e.nic.no_link);
    send(frame(1, 100, 0)); /* it would come out whenever there is a link again */
    assert_int_equal(e.nic.tx_dropped, 1);
    assert_int_equal(e.nic.tx_out, 0);
    set(E_STATUS, reg(E_STATUS) | E_STATUS_LU);
    assert_true(nic_sane(&e.nic)); /* looked at with every deadline, too */
    assert_false(e.nic.no_link);
    send(frame(1, 100, 0));
    assert_int_equal(e.nic.tx_out, 1);
}
