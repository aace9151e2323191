/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/net/switch.c drivers-dom/net/pkt.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net
/* The switch and packet checksums. */
#include "unit.h"
#include "pkt.h"
#include "switch.h"

uint64_t now_ns(void) { return 0; }
volatile void *mmio_map(uint64_t gpa, uint64_t len) { return NULL; }
void shared_stored(void) {}
void *page_alloc(unsigned n) { return NULL; }

static struct sw sw;
static uint8_t frame[2048];
static const uint8_t mac_a[6] = { 0, 0x16, 0x3e, 0, 0, 1 }, mac_b[6] = { 0, 0x16, 0x3e, 0, 0, 2 };
static const uint8_t mac_x[6] = { 0x52, 0x54, 0, 1, 2, 3 }, mac_y[6] = { 0x52, 0x54, 0, 1, 2, 4 };
static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };

int setup(void **state)
{
    memset(&sw, 0, sizeof(sw));
    switch_port_up(&sw, 0, NULL);
    switch_port_up(&sw, 1, mac_a);
    switch_port_up(&sw, 2, mac_b);
    return 0;
}

static uint32_t pass(unsigned from, const uint8_t *dst, const uint8_t *src, unsigned type,
                     unsigned len, uint64_t now)
{
    memcpy(frame, dst, 6);
    memcpy(frame + 6, src, 6);
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
    return switch_route(&sw, from, frame, len, now);
}

TEST(test_forwarding)
{
    assert_int_equal(pass(1, mac_b, mac_a, 0x800, 60, 0), 1 << 2);
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, 0), 1 << 0); /* unknown: not to the neighbour */
    assert_int_equal(pass(0, mac_a, mac_x, 0x800, 60, 0), 1 << 1);
    assert_int_equal(pass(0, mac_y, mac_x, 0x800, 60, 0), 0); /* nobody here */
    assert_int_equal(pass(1, all, mac_a, 0x800, 60, 0), 1 << 0 | 1 << 2);
    assert_int_equal(pass(0, all, mac_x, 0x800, 60, 0), 1 << 1 | 1 << 2);
    assert_int_equal(pass(0, mac_x, mac_y, 0x800, 60, 0), 0); /* no hairpin */
    assert_int_equal(pass(1, mac_a, mac_a, 0x800, 60, 0), 0);
    assert_int_equal(pass(3, all, mac_a, 0x800, 60, 0), 0); /* port that is down */
}

TEST(test_lengths)
{
    for (unsigned len = 0; len < FRAME_MAX + 10; len++)
        assert_int_equal(pass(1, mac_b, mac_a, 0x800, len, 0),
                         len >= 14 && len <= FRAME_MAX ? 1 << 2 : 0);
    assert_int_equal(sw.port[1].bad_length, 14 + 9);
}

/* 1500 bytes behind however many tags go to the wire; more goes to neighbours alone and is counted. */
TEST(test_wire_lengths)
{
    static const uint8_t tags[8] = { 0x88, 0xa8, 0, 100, 0x81, 0, 0, 10 };

    for (unsigned n = 0; n <= 2; n++) {
        setup(NULL);
        memcpy(frame + 12, tags + 8 - 4 * n, 4 * n);
        memcpy(frame, all, 6);
        memcpy(frame + 6, mac_a, 6);
        frame[12 + 4 * n] = 8, frame[13 + 4 * n] = 0;
        for (unsigned len = 60; len <= 1600; len++)
            assert_int_equal(switch_route(&sw, 1, frame, len, 0),
                             len <= 1514 + 4 * n ? 1 << 0 | 1 << 2 : 1 << 2);
        assert_int_equal(sw.port[1].wire_long, 1600 - 1514 - 4 * n);
    }
}

TEST(test_spoofing)
{
    assert_int_equal(pass(1, mac_b, mac_x, 0x800, 60, 0), 0);
    assert_int_equal(pass(1, all, mac_b, 0x800, 60, 0), 0);
    assert_int_equal(sw.port[1].spoofed, 2);
    /* ARP: the sender address inside counts as well, behind VLAN tags too */
    memset(frame, 0, sizeof(frame));
    memcpy(frame + 22, mac_b, 6);
    assert_int_equal(pass(1, all, mac_a, 0x806, 60, 0), 0);
    memcpy(frame + 22, mac_a, 6);
    assert_int_equal(pass(1, all, mac_a, 0x806, 60, 0), 1 << 0 | 1 << 2);
    assert_int_equal(pass(1, all, mac_a, 0x806, 41, 0), 0); /* cut off */
    frame[16] = 8;
    frame[17] = 6;
    memcpy(frame + 26, mac_b, 6);
    assert_int_equal(pass(1, all, mac_a, 0x8100, 64, 0), 0);
    memcpy(frame + 26, mac_a, 6);
    assert_int_equal(pass(1, all, mac_a, 0x8100, 64, 0), 1 << 0 | 1 << 2);
    /* two tags, of each kind */
    static const uint8_t qinq[][4] = { { 0x88, 0xa8, 0x81, 0 },
                                       { 0x91, 0, 0x81, 0 },
                                       { 0x81, 0, 0x81, 0 } };
    for (unsigned i = 0; i < 3; i++) {
        frame[16] = qinq[i][2], frame[17] = qinq[i][3], frame[20] = 8, frame[21] = 6;
        memcpy(frame + 30, mac_b, 6);
        assert_int_equal(pass(1, all, mac_a, (unsigned)qinq[i][0] << 8 | qinq[i][1], 64, 0), 0);
        memcpy(frame + 30, mac_a, 6);
        assert_int_equal(pass(1, all, mac_a, (unsigned)qinq[i][0] << 8 | qinq[i][1], 64, 0),
                         1 << 0 | 1 << 2);
    }
    for (unsigned len = 14; len < 64; len++) /* tags up to the end of a short frame */
        for (unsigned i = 14; i < 64; i += 2)
            frame[i] = 0x81, frame[i + 1] = 0, (void)pass(1, all, mac_a, 0x8100, len, 0);
    /* from outside nobody speaks as one of ours, nor as a group */
    assert_int_equal(pass(0, mac_b, mac_a, 0x800, 60, 0), 0);
    assert_int_equal(pass(0, mac_b, all, 0x800, 60, 0), 0);
    assert_int_equal(pass(1, mac_b, mac_a, 0x800, 60, 0), 1 << 2);
}

TEST(test_learning)
{
    switch_port_up(&sw, 5, NULL); /* open vif */
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, 0), 1 << 0 | 1 << 5);
    pass(5, mac_a, mac_x, 0x800, 60, 10);
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, 20), 1 << 5);
    pass(0, mac_a, mac_x, 0x800, 60, 30); /* moved */
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, 40), 1 << 0);
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, 31 + SW_AGE_NS), 1 << 0 | 1 << 5); /* aged */
    pass(5, mac_a, mac_y, 0x800, 60, 50);
    assert_int_equal(pass(1, mac_y, mac_a, 0x800, 60, 49), 1 << 5); /* the clock is behind the stamp */
    switch_port_down(&sw, 5);
    assert_int_equal(pass(1, mac_y, mac_a, 0x800, 60, 60), 1 << 0);
    /* many addresses: bounded, and the newest of a set stay */
    for (uint32_t i = 0; i < 100000; i++) {
        uint8_t m[6] = { 2, 1, (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 7 };
        pass(0, mac_a, m, 0x800, 60, 100 + i);
        assert_int_equal(pass(1, m, mac_a, 0x800, 60, 100 + i), 1 << 0);
    }
    assert_int_equal(pass(1, mac_b, mac_a, 0x800, 60, 0), 1 << 2);
}

/* --- checksums -------------------------------------------------------------------------------------------------- */

static uint16_t plain_sum(const uint8_t *b, unsigned n, uint32_t sum)
{
    for (unsigned i = 0; i < n; i++)
        sum += i & 1 ? b[i] : (uint32_t)b[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* Builds a frame, fills its checksum in, and adds everything up the slow way. */
static void check_csum(bool v6, bool udp, unsigned payload, unsigned options, unsigned padding,
                       unsigned tags)
{
    static uint8_t buf[PKT_BUF];
    struct pkt p = { .data = buf + PKT_HEAD, .flags = PKT_CSUM_BLANK };
    static const uint8_t kind[3][2] = { { 0x81, 0 }, { 0x88, 0xa8 }, { 0x91, 0 } };
    unsigned at = 14 + 4 * tags, iph = (v6 ? 40 : 20) + options, th = udp ? 8 : 20,
             seg = th + payload;
    uint8_t *d = p.data, *ip = d + at, proto = udp ? 17 : 6;

    for (unsigned i = 0; i < PKT_BUF - PKT_HEAD; i++)
        d[i] = (uint8_t)rand();
    for (unsigned i = 0; i < tags; i++)
        memcpy(d + 12 + 4 * i, kind[rand() % 3], 2);
    d[at - 2] = v6 ? 0x86 : 8, d[at - 1] = v6 ? 0xdd : 0;
    if (v6) {
        unsigned n = options + seg;
        ip[0] = 0x60, ip[4] = (uint8_t)(n >> 8), ip[5] = (uint8_t)n, ip[6] = options ? 0 : proto;
        if (options)
            ip[40] = proto, ip[41] = (uint8_t)(options / 8 - 1);
    } else {
        unsigned n = iph + seg;
        ip[0] = (uint8_t)(0x40 | iph / 4), ip[2] = (uint8_t)(n >> 8), ip[3] = (uint8_t)n,
        ip[6] = 0x40, ip[7] = 0, ip[9] = proto;
    }
    p.len = (uint16_t)(at + iph + seg + padding);
    assert_true(pkt_csum_find(&p));
    assert_true(p.tagged == (tags > 0) && p.ipv6 == v6);
    pkt_csum_fill(&p);
    assert_int_equal(p.flags, PKT_CSUM_VALID);
    assert_int_equal(p.csum_start, at + iph);
    uint32_t pseudo = plain_sum(v6 ? ip + 8 : ip + 12, v6 ? 32 : 8, proto + seg);
    assert_int_equal(plain_sum(ip + iph, seg, pseudo), 0xffff);
    if (udp)
        assert_true(ip[iph + 6] || ip[iph + 7]);
}

TEST(test_checksums)
{
    for (unsigned i = 0; i < 4000; i++)
        check_csum(i & 1, i & 2, (unsigned)rand() % 1300, i & 4 ? (i & 1 ? 16 : 12) : 0,
                   (unsigned)rand() % 20, (i >> 3) % 6);
}

TEST(test_checksum_bounds)
{
    uint8_t *buf = malloc(PKT_BUF); /* exact ends, for the sanitizer */
    struct pkt p = { 0 };

    for (unsigned i = 0; i < 300000; i++) {
        unsigned len = (unsigned)rand() % 120;
        p.len = (uint16_t)len;
        p.data = buf + PKT_BUF - len;
        for (unsigned k = 0; k < len; k++)
            p.data[k] = (uint8_t)rand();
        if (len > 20) {
            p.data[12] = i & 1 ? 0x86 : 8;
            p.data[13] = i & 1 ? 0xdd : 0;
            p.data[14] = i & 1 ? 0x60 : (uint8_t)(0x40 | rand() % 16);
            p.data[16] = p.data[18] = 0;
        }
        p.flags = PKT_CSUM_BLANK;
        if (i % 3 == 0 && len > 20) /* tags, and half of them nothing but tags */
            for (unsigned k = 12; k + 2 <= len && (i & 8 || k < 24); k += 4)
                p.data[k] = 0x81, p.data[k + 1] = 0;
        if (pkt_csum_find(&p)) {
            assert_true(p.csum_start + p.csum_offset + 2 <= (int)p.csum_end && p.csum_end <= len);
            pkt_csum_fill(&p);
        }
        unsigned start = (unsigned)rand() % 140, offset = (unsigned)rand() % 20;
        assert_true(pkt_csum_told(&p, start, offset) == (start + offset + 2 <= len));
    }
    free(buf);
}

/* What a device says is blank: left alone where a receiver finds it too; inside of a tunnel filled in, and the outer checksum stays. */
TEST(test_checksum_told)
{
    static uint8_t buf[PKT_BUF];
    struct pkt p = { .data = buf + PKT_HEAD, .len = 14 + 20 + 8 + 30 };
    uint8_t *d = p.data;

    memset(d, 0, p.len);
    d[12] = 8, d[14] = 0x45, d[17] = 58, d[23] = 17; /* IPv4, UDP */
    d[40] = 0xab, d[41] = 0xcd;                      /* the outer checksum */
    assert_true(pkt_csum_told(&p, 34, 6));
    assert_int_equal(p.flags, PKT_CSUM_BLANK | PKT_CSUM_VALID);
    assert_true(d[40] == 0xab && d[41] == 0xcd);
    d[56] = 0x12; /* the sum of an inner pseudo-header at 50 + 6 */
    assert_true(pkt_csum_told(&p, 50, 6));
    assert_int_equal(p.flags, PKT_CSUM_VALID);
    assert_true(d[40] == 0xab && d[41] == 0xcd);
    assert_int_equal(plain_sum(d + 50, p.len - 50u, 0x1200), 0xffff);
}
