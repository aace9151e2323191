/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/net/rss.c drivers-dom/net/pkt.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net
/* Which flow a frame belongs to: the vectors of "Verifying the RSS hash calculation", through the frames that have them, and what has no ports. */
#include <arpa/inet.h>
#include "unit.h"
#include "pkt.h"
#include "rss.h"

static const struct {
    const char *dst, *src;
    uint16_t dport, sport;
    uint32_t addrs, ports;
} v4[] = { { "161.142.100.80", "66.9.149.187", 1766, 2794, 0x323e8fc2, 0x51ccc178 },
           { "65.69.140.83", "199.92.111.2", 4739, 14230, 0xd718262a, 0xc626b0ea },
           { "12.22.207.184", "24.19.198.95", 38024, 12898, 0xd2d0a5de, 0x5c2b394a },
           { "209.142.163.6", "38.27.205.30", 2217, 48228, 0x82989176, 0xafc7327f },
           { "202.188.127.2", "153.39.163.191", 1303, 44251, 0x5d1809c5, 0x10e828a2 } },
  v6[] = { { "3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x2cc18cd5, 0x40207d3d },
           { "ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0x0f0c461c, 0xdde51bbf },
           { "fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251,
             0x4b61e985, 0x02d1feef } };

static uint8_t f[128];
static unsigned at, l4;

static void tags(unsigned n)
{
    memset(f, 0, sizeof(f));
    for (at = 14; n--; at += 4)
        f[at - 2] = n ? 0x88 : 0x81, f[at - 1] = n ? 0xa8 : 0;
}
static void ports(uint16_t s, uint16_t d)
{
    f[l4] = (uint8_t)(s >> 8), f[l4 + 1] = (uint8_t)s, f[l4 + 2] = (uint8_t)(d >> 8),
    f[l4 + 3] = (uint8_t)d;
}
static void frame4(unsigned i, unsigned proto, unsigned nr_tags, unsigned options)
{
    tags(nr_tags);
    f[at - 2] = 8, f[at - 1] = 0;
    f[at] = (uint8_t)(0x45 + options), f[at + 9] = (uint8_t)proto;
    inet_pton(AF_INET, v4[i].src, f + at + 12);
    inet_pton(AF_INET, v4[i].dst, f + at + 16);
    l4 = at + 20 + 4 * options;
    ports(v4[i].sport, v4[i].dport);
}
/* next: a header of 8 bytes between, 0: none */
static void frame6(unsigned i, unsigned proto, unsigned nr_tags, unsigned next)
{
    tags(nr_tags);
    f[at - 2] = 0x86, f[at - 1] = 0xdd;
    f[at] = 0x60, f[at + 6] = (uint8_t)(next ? next : proto);
    f[at + 40] = (uint8_t)proto;
    inet_pton(AF_INET6, v6[i].src, f + at + 8);
    inet_pton(AF_INET6, v6[i].dst, f + at + 24);
    l4 = at + 40 + (next ? 8 : 0);
    ports(v6[i].sport, v6[i].dport);
}

TEST(published_vectors)
{
    static const unsigned with_ports[] = { 6, 17 }, without[] = { 1, 58, 47, 255 };

    for (unsigned tag = 0; tag < 3; tag++) {
        for (unsigned i = 0; i < ARRAY_SIZE(v4); i++) {
            for (unsigned k = 0; k < 2; k++) {
                frame4(i, with_ports[k], tag, 3 * k);
                assert_int_equal(rss_hash(f, l4 + 4), v4[i].ports);
                assert_int_equal(rss_hash(f, l4 + 3), v4[i].addrs); /* cut off */
            }
            for (unsigned k = 0; k < ARRAY_SIZE(without); k++) {
                frame4(i, without[k], tag, 0);
                assert_int_equal(rss_hash(f, sizeof(f)), v4[i].addrs);
            }
        }
        for (unsigned i = 0; i < ARRAY_SIZE(v6); i++) {
            for (unsigned k = 0; k < 2; k++) {
                frame6(i, with_ports[k], tag, k ? 60 : 0);
                assert_int_equal(rss_hash(f, l4 + 4), v6[i].ports);
                assert_int_equal(rss_hash(f, l4 + 3), v6[i].addrs);
            }
            for (unsigned k = 0; k < ARRAY_SIZE(without); k++) {
                frame6(i, without[k], tag, 0);
                assert_int_equal(rss_hash(f, sizeof(f)), v6[i].addrs);
            }
        }
    }
}

/* The first fragment has ports and the others have not: all go the same way. */
TEST(fragments)
{
    for (unsigned i = 0; i < 3; i++) {
        frame4(i, 17, 0, 0);
        f[at + 6] = 0x20; /* more of them */
        assert_int_equal(rss_hash(f, 60), v4[i].addrs);
        f[at + 6] = 0, f[at + 7] = 185;
        assert_int_equal(rss_hash(f, 60), v4[i].addrs);
        f[at + 6] = 0x40, f[at + 7] = 0; /* "do not" is none */
        assert_int_equal(rss_hash(f, 60), v4[i].ports);
        frame6(i, 17, 0, 44);
        assert_int_equal(rss_hash(f, 100), v6[i].addrs);
    }
}

TEST(what_is_no_ip)
{
    frame4(0, 6, 0, 0);
    for (unsigned len = 14; len < at + 20; len++)
        assert_int_equal(rss_hash(f, len), 0);
    f[13] = 6; /* ARP */
    assert_int_equal(rss_hash(f, sizeof(f)), 0);
    frame6(0, 6, 0, 0);
    for (unsigned len = 14; len < at + 40; len++)
        assert_int_equal(rss_hash(f, len), 0);
    for (unsigned len = 14; len < sizeof(f); len++) { /* in a block of its own: AddressSanitizer looks */
        uint8_t *own = malloc(len);
        for (unsigned k = 0; k < 200; k++) {
            for (unsigned i = 0; i < len; i++)
                own[i] = (uint8_t)rand();
            own[12] = k & 1 ? 0x86 : 8, own[13] = k & 1 ? 0xdd : 0;
            if (len > 14)
                if (len > 14)
                    own[14] = (uint8_t)((k & 1 ? 0x60 : 0x40) | (rand() & 15));
            (void)rss_hash(own, len);
        }
        free(own);
    }
}
