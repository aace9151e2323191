/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/vnet/vxlan.c domains/devname.c drivers-dom/net/rss.c drivers-dom/net/pkt.c drivers-dom/net/gso.c
// FLAGS: -Idomains/include -Idrivers-dom/net -Idrivers-dom/vnet
/* A segment of VXLAN: whose datagrams are frames, who is learnt and for how long, where a frame goes. */
#include <devname.h>
#include "unit.h"
#include "vxlan.h"

#define IP(a, b, c, d)    ((uint32_t)(d) << 24 | (c) << 16 | (b) << 8 | (a))
#define A                 IP(10, 0, 0, 3)
#define B                 IP(10, 0, 0, 4)
#define C                 IP(10, 0, 0, 5)
#define HERE              IP(10, 0, 0, 2)
#define assert_end(e, ip) assert_memory_equal((e).a, vxlan_end4(ip).a, 16)

static struct vxlan v;
static struct vxlan_end to[VXLAN_TOLD + 1];
static uint64_t now = NS_PER_S;

static void begin(const char *peers, const char *group)
{
    assert_null(vxlan_begin(&v, "97", NULL, peers, group));
    v.here = vxlan_end4(HERE);
}

/* A datagram of that segment with a frame from station `from` to `dst`. */
static const uint8_t *datagram(uint32_t vni, unsigned from)
{
    static uint8_t d[VXLAN_HLEN + 14];

    memset(d, 0, sizeof(d));
    d[0] = 8;
    d[4] = (uint8_t)(vni >> 16), d[5] = (uint8_t)(vni >> 8), d[6] = (uint8_t)vni;
    memset(d + 8, 0xff, 6);
    d[14] = 2;
    d[18] = (uint8_t)(from >> 8), d[19] = (uint8_t)from;
    return d;
}
static bool take(uint32_t ip, unsigned from)
{
    return vxlan_take(&v, vxlan_end4(ip), datagram(97, from), VXLAN_HLEN + 60, now);
}
/* How many ends a frame to that station goes to; to[0] is the first. */
static unsigned ways(unsigned station)
{
    const uint8_t frame[14] = { 2, 0, 0, 0, (uint8_t)(station >> 8), (uint8_t)station, 2, 0xff };
    return vxlan_ways(&v, frame, now, to);
}

TEST(words)
{
    static const char *const bad[][4] = {
        { NULL },
        { "0" },
        { "16777216" },
        { "97x" },
        { "-1" },
        { "99999999999" },
        { "97", "0" },
        { "97", "65536" },
        { "97", "a" },
        { "97", NULL, "10.0.0" },
        { "97", NULL, "10.0.0.256" },
        { "97", NULL, "10.0.0.3.4" },
        { "97", NULL, "0.0.0.0" },
        { "97", NULL, "224.0.0.1" },
        { "97", NULL, "255.255.255.255" },
        { "97", NULL, "anyone" },
        { "97", NULL, "10.0.0.3,,10.0.0.4" },
        { "97", NULL, "10.0.0.3 " },
        { "97", NULL, "fd00::3::" },
        { "97", NULL, "fd00::3/64" },
        { "97", NULL,
          "1.0.0.1,1.0.0.2,1.0.0.3,1.0.0.4,1.0.0.5,1.0.0.6,1.0.0.7,1.0.0.8,1.0.0.9,1.0.0.10,"
          "1.0.0.11,1.0.0.12,1.0.0.13,1.0.0.14,1.0.0.15,1.0.0.16,1.0.0.17" },
        { "97", NULL, NULL, "10.0.0.1" },
        { "97", NULL, NULL, "239.1.1.1,239.1.1.2" },
        { "97", NULL, NULL, "239" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_non_null(vxlan_begin(&v, bad[i][0], bad[i][1], bad[i][2], bad[i][3]));
    assert_null(vxlan_begin(&v, "16777215", "8472", "10.0.0.3,any,10.0.0.4,10.0.0.3", "239.1.1.1"));
    assert_int_equal(v.vni, 0xffffff);
    assert_int_equal(v.port, 8472);
    assert_int_equal(v.nr_told, 2);
    assert_true(v.any);
    assert_end(v.group, IP(239, 1, 1, 1));
    assert_null(vxlan_begin(&v, "1", NULL, NULL, NULL));
    assert_int_equal(v.port, 4789);
    assert_false(v.any);
}

TEST(who_is_heard)
{
    begin("10.0.0.3,10.0.0.4", NULL);
    assert_true(take(A, 1));
    assert_true(take(B, 2));
    assert_false(take(C, 3)); /* nobody told us of it */
    assert_int_equal(v.strangers, 1);
    assert_int_equal(ways(3), 2); /* and it is not learnt */
    assert_false(take(HERE, 1));
    assert_false(vxlan_take(&v, vxlan_end4(A), datagram(98, 4), 100, now));
    assert_false(vxlan_take(&v, vxlan_end4(A), datagram(97 | 1 << 16, 4), 100, now));
    assert_int_equal(v.foreign, 2);
    assert_int_equal(ways(4), 2);
    assert_int_equal(v.peer[0].in, 1);
    begin("any", NULL);
    assert_true(take(C, 3));
    assert_int_equal(ways(3), 1);
    assert_end(to[0], C);
    assert_int_equal(ways(4), 0); /* nobody to flood to */
    assert_false(take(0, 1));
    assert_false(take(IP(224, 0, 0, 1), 1));
    assert_false(take(IP(255, 255, 255, 255), 1));
    assert_false(take(HERE, 1));
}

TEST(no_frames)
{
    uint8_t d[VXLAN_HLEN + 14];

    begin("10.0.0.3", NULL);
    for (unsigned len = 0; len < VXLAN_HLEN + 14; len++)
        assert_false(vxlan_take(&v, vxlan_end4(A), datagram(97, 1), len, now));
    assert_true(vxlan_take(&v, vxlan_end4(A), datagram(97, 1), VXLAN_HLEN + 14, now));
    memcpy(d, datagram(97, 2), sizeof(d));
    d[0] = 0; /* it names no segment */
    assert_false(vxlan_take(&v, vxlan_end4(A), d, sizeof(d), now));
    memset(d, 0xff, 4), d[7] = 0xff; /* the rest is to be ignored */
    assert_true(vxlan_take(&v, vxlan_end4(A), d, sizeof(d), now));
    d[14] |= 1; /* from a group */
    assert_false(vxlan_take(&v, vxlan_end4(A), d, sizeof(d), now));
    memset(d + 14, 0, 6);
    assert_false(vxlan_take(&v, vxlan_end4(A), d, sizeof(d), now));
    assert_int_equal(v.bad, 22 + 3);
}

TEST(where_to)
{
    begin("10.0.0.3,10.0.0.4,10.0.0.2", "239.1.1.1"); /* ourselves among them */
    assert_int_equal(ways(1), 3);
    assert_end(to[0], A);
    assert_end(to[1], B);
    assert_end(to[2], IP(239, 1, 1, 1));
    take(B, 1);
    assert_int_equal(ways(1), 1);
    assert_end(to[0], B);
    take(A, 1); /* it moved */
    assert_int_equal(ways(1), 1);
    assert_end(to[0], A);
    now += VXLAN_AGE_NS - 1;
    assert_int_equal(ways(1), 1);
    now++;
    assert_int_equal(ways(1), 3);
    uint8_t all[14];
    memset(all, 0xff, sizeof(all));
    assert_int_equal(vxlan_ways(&v, all, now, to), 3);
    assert_int_equal(v.peer[0].out, 1 + 1 + 1 + 1 + 1); /* three floods, two known */
}

/* Thousands of stations: the table is no larger, who was silent for longest goes, and whom we do not know any more is flooded to. */
TEST(bounds)
{
    begin("10.0.0.3,10.0.0.4,any", NULL);
    for (unsigned i = 1; i < 5000; i++) {
        now++;
        assert_true(take(i % 2 ? A : B, i));
        assert_int_equal(ways(i), 1);
        assert_end(to[0], i % 2 ? A : B);
    }
    unsigned known = 0;
    for (unsigned i = 1; i < 5000; i++)
        known += ways(i) == 1;
    assert_true(known > 100 && known <= VXLAN_MACS);
    for (unsigned i = 0; i < 1000; i++) {
        now++;
        assert_true(take(IP(10, 1, i >> 8, i & 255), i));
    }
    assert_end(v.peer[0].ip, A);
    assert_end(v.peer[1].ip, B);
    unsigned last = 0;
    for (unsigned i = 2; i < VXLAN_PEERS; i++)
        last += v.peer[i].ip.a[1] == vxlan_end4(IP(10, 1, 999 >> 8, 999 & 255)).a[1];
    assert_int_equal(last, 1);
}

/* Ends of IPv6: the same, and one is told from another by all of its address. */
TEST(six)
{
    static const char *const nobody[] = { "::", "::1", "ff02::1", "::10.0.0.3" };
    struct vxlan_end a, b;
    const char *end;

    begin("fd00::3,fd00::1:3,fd00:0:0:0:0:0:0:3", NULL);
    assert_int_equal(v.nr_told, 2);
    assert_true(ip_parse("fd00::3", &end, (uint8_t *)a.a) && !*end);
    assert_true(ip_parse("fd01::3", &end, (uint8_t *)b.a) && !*end);
    assert_false(vxlan_is4(a));
    assert_true(vxlan_take(&v, a, datagram(97, 1), 60, now));
    assert_false(vxlan_take(&v, b, datagram(97, 2), 60, now));
    assert_false(take(A, 2));
    assert_int_equal(v.strangers, 2);
    assert_int_equal(ways(1), 1);
    assert_memory_equal(to[0].a, a.a, 16);
    assert_int_equal(ways(2), 2);
    begin("any", NULL);
    assert_true(vxlan_take(&v, b, datagram(97, 2), 60, now));
    for (unsigned i = 0; i < ARRAY_SIZE(nobody); i++) {
        assert_true(ip_parse(nobody[i], &end, (uint8_t *)b.a) && !*end);
        assert_false(vxlan_take(&v, b, datagram(97, 2), 60, now));
        assert_non_null(vxlan_begin(&v, "97", NULL, nobody[i], NULL));
        v.any = true;
    }
    assert_non_null(vxlan_begin(&v, "97", NULL, NULL, "ff02::1"));
}

TEST(header_and_port)
{
    uint8_t h[VXLAN_HLEN], frame[60] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45 };
    bool seen[4] = { 0 };

    assert_null(vxlan_begin(&v, "1193046", NULL, NULL, NULL));
    vxlan_head(&v, h);
    assert_memory_equal(h, "\x08\0\0\0\x12\x34\x56\0", 8);
    frame[23] = 17;
    unsigned port = vxlan_source_port(frame, sizeof(frame));
    assert_int_equal(vxlan_source_port(frame, sizeof(frame)), port);
    for (unsigned i = 0; i < 1000; i++) {
        frame[34] = (uint8_t)(i >> 8), frame[35] = (uint8_t)i;
        port = vxlan_source_port(frame, sizeof(frame));
        assert_true(port >= 49152 && port < 65536);
        seen[port >> 12 & 3] = true;
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
    frame[12] = 0x88, frame[13] = 0xb5;
    unsigned a = vxlan_source_port(frame, sizeof(frame));
    frame[5] = 9;
    assert_int_not_equal(vxlan_source_port(frame, sizeof(frame)), a);
    (void)vxlan_source_port(frame, 14);
}
