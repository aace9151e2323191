/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/lwip_harness.c tests/domains/echo/serve.c
// FLAGS: -Idomains/lwip -Ibuild/lwip/src/include -Idomains/include -DMEM_LIBC_MALLOC=1 -DMEMP_MEM_MALLOC=1 -include tests/unit/lwip_malloc.h -w -Wl,--no-as-needed -lcrypto
/* lwIP between the front-end and the echo's servers: what it answers, which checksums it leaves to the back-end and believes it, and frames that
 * nobody should send. Its buffers are malloc's here, so that the sanitizer sees the end of each. */
#include "unit.h"
#include "lwip_harness.h"
#include "../domains/echo/echo.h"
#include <lwip/dhcp.h>
#include <lwip/inet_chksum.h>
#include <lwip/tcp.h>

#define SYN 2
#define RST 4
#define ACK 16
#define PSH 8
#define FIN 1

static uint8_t frame[PAGE_SIZE];

int setup_all(void **unused)
{
    net_open("ip=10.0.2.30/24 gw=10.0.2.2");
    assert_false(vif.netif.chksum_flags & NETIF_CHECKSUM_GEN_TCP);
    return echo_serve();
}

int setup(void **unused)
{
    net_in(frame, net_arp(frame), false);
    net_later(3000); /* the IPv6 address is its own by then */
    outs = 0;
    return 0;
}

static void offload(bool on)
{
    vif.netif.chksum_flags &= (uint16_t)~NETIF_CHECKSUM_GEN_TCP;
    if (!on)
        vif.netif.chksum_flags |= NETIF_CHECKSUM_GEN_TCP;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

TEST(arp_and_ping)
{
    net_in(frame, net_arp(frame), false);
    assert_int_equal(outs, 1);
    assert_memory_equal(out,
                        PEER_MAC MY_MAC "\x08\x06\0\1\x08\0\6\4\0\2" MY_MAC MY_IP PEER_MAC PEER_IP,
                        42);
    net_in(frame, net_ping(frame, 56), false);
    assert_int_equal(outs, 2);
    assert_int_equal(out_len, 34 + 64);
    assert_int_equal(out[34], 0);
    assert_memory_equal(out + 38, frame + 38, 60);
    ring_full = true;
    uint64_t before = vif.dropped;
    net_in(frame, net_ping(frame, 56), false);
    ring_full = false;
    assert_int_equal(outs, 2);
    assert_int_equal(vif.dropped, before + 1);
    net_in(frame, net_ping(frame, 56), false);
    assert_int_equal(outs, 3);
}

TEST(datagram)
{
    unsigned len = net_udp(frame, 4000, 7, "hello", 5);

    net_in(frame, len, false);
    assert_int_equal(outs, 1);
    assert_memory_equal(out + 42, "hello", 5);
    assert_false(out_blank); /* it may leave in fragments */
    assert_int_equal(net_sum(out + 14, 17, 13), 0);
    frame[40] ^= 1;
    net_in(frame, len, false);
    assert_int_equal(outs, 1);
    net_in(frame, len, true); /* the back-end says that it is all right */
    assert_int_equal(outs, 2);
    net_in(frame, len, false); /* of the last one */
    assert_int_equal(outs, 2);
}

/* Opens, says hello, hears it back, closes. Its first sequence number. */
static uint32_t talk(unsigned port, bool blank)
{
    net_in(frame, net_tcp(frame, port, 7, 1000, 0, SYN, "", 0), false);
    assert_int_equal(out[47], SYN | ACK);
    assert_int_equal(out_blank, blank);
    uint32_t iss = get32(out + 38);
    assert_int_equal(get32(out + 42), 1001);
    net_in(frame, net_tcp(frame, port, 7, 1001, iss + 1, ACK, "", 0), false);
    net_in(frame, net_tcp(frame, port, 7, 1001, iss + 1, ACK | PSH, "hello", 5), false);
    assert_memory_equal(out + 54, "hello", 5);
    assert_int_equal(out_blank, blank);
    assert_int_equal(net_sum(out + 14, 6, 25) == 0, !blank);
    net_in(frame, net_tcp(frame, port, 7, 1006, iss + 6, ACK | FIN, "", 0), false);
    assert_int_equal(out[47] & (FIN | ACK), FIN | ACK);
    net_in(frame, net_tcp(frame, port, 7, 1007, iss + 7, ACK, "", 0), false);
    return iss;
}

TEST(connection)
{
    offload(false);
    uint32_t a = talk(4001, false), b = talk(4002, false);
    assert_true(b - a > 1000000 &&
                a - b > 1000000); /* not the next one; once in 2,000 runs it may be near */
    offload(true);
    talk(4003, true);
    unsigned len = net_tcp(frame, 4004, 7, 1000, 0, SYN, "", 0);
    frame[50] ^= 1;
    outs = 0;
    net_in(frame, len, false);
    assert_int_equal(outs, 0);
    net_in(frame, len, true);
    assert_int_equal(outs, 1);
    net_in(frame, net_tcp(frame, 4004, 7, 1001, get32(out + 38) + 1, RST | ACK, "", 0), false);
}

/* Peers that open connections and are not heard of again: the oldest of theirs makes room for the next. */
TEST(connections_left_open)
{
    size_t before = lwip_used;

    offload(true);
    for (unsigned i = 0; i < 100; i++) {
        net_in(frame, net_tcp(frame, 5000 + i, 7, 1000, 0, SYN, "", 0), false);
        net_in(frame, net_tcp(frame, 5000 + i, 7, 1001, get32(out + 38) + 1, ACK, "", 0), false);
    }
    assert_true(lwip_refused > 0);
    talk(4005, true);
    for (unsigned i = 0; i < 100; i++)
        net_in(frame, net_tcp(frame, 5000 + i, 7, 1001, 0, RST, "", 0), false);
    net_later(200000);
    assert_true(lwip_used <= before);
}

/* --- frames that nobody should send --- */
#define LL "\xfe\x80\0\0\0\0\0\0\x02\x16\x3e\xff\xfe\0\0"
static const struct {
    unsigned len;
    const char *bytes;
} ip6[] = {
    /* a neighbour solicitation, a router advertisement with a prefix and an MTU, an echo, a fragment, options, a multicast query */
    { 72, "\x60\0\0\0\0\x20\x3a\xff" LL "\1" LL "\x1e\x87\0\0\0\0\0\0\0" LL "\x1e\1\1" PEER_MAC },
    { 96,
      "\x60\0\0\0\0\x38\x3a\xff" LL
      "\1\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x86\0\0\0\x40\0\x07\x08\0\0\0\0\0\0\0\0\3\4\x40\xc0\0\0\1\0\0\0\1\0\0\0\0\0\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\5\1\0\0\0\0\5\0" },
    { 56, "\x60\0\0\0\0\x10\x3a\xff" LL "\1" LL "\x1e\x80\0\0\0\0\1\0\1abcdefgh" },
    { 64, "\x60\0\0\0\0\x18\x2c\xff" LL "\1" LL "\x1e\x3a\0\0\1\0\0\0\1\x80\0\0\0\0\1\0\1abcdefgh" },
    { 64, "\x60\0\0\0\0\x18\0\xff" LL "\1" LL "\x1e\x3a\0\1\4\0\0\0\0\x80\0\0\0\0\1\0\1abcdefgh" },
    { 72,
      "\x60\0\0\0\0\x20\0\1" LL
      "\1\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x3a\0\5\2\0\0\1\0\x82\0\0\0\x03\xe8\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" },
};

static unsigned template(void)
{
    char data[600];
    unsigned i = rnd(12), n;

    memset(data, (int)rnd(256), sizeof(data));
    switch (i) {
    case 0: return net_arp(frame);
    case 1: return net_ping(frame, rnd(600));
    case 2: return net_udp(frame, 4000, 7, data, rnd(600));
    case 3: /* to a DHCP client */ return net_udp(frame, 67, 68, data, 240 + rnd(300));
    case 4:
    case 5:
        n = net_tcp(frame, 6000 + rnd(4), 7, 1000 + rnd(2) * rnd(2000),
                    vif.dropped + get32(out + 38) + rnd(3), (unsigned)rnd(64), data, rnd(600));
        frame[46] = (uint8_t)((5 + rnd(2) * rnd(11)) << 4);
        return n;
    case 6: { /* a fragment */
        n = net_udp(frame, 4000, 7, data, 8 * rnd(75));
        frame[18] = 0, frame[19] = (uint8_t)rnd(3);
        frame[20] = (uint8_t)(rnd(2) << 5 | (rnd(8) ? 0 : rnd(32)));
        frame[21] = (uint8_t)rnd(256);
        uint16_t sum = 0;
        memcpy(frame + 24, &sum, 2);
        sum = inet_chksum(frame + 14, 20);
        memcpy(frame + 24, &sum, 2);
        return n;
    }
    default:
        i = rnd(ARRAY_SIZE(ip6));
        memcpy(frame, MY_MAC PEER_MAC "\x86\xdd", 14);
        memcpy(frame + 14, ip6[i].bytes, ip6[i].len);
        return 14 + ip6[i].len;
    }
}

/* Checksums that the stack looks at itself are made right again, else nothing would get further than these. */
static void right_sums(unsigned len)
{
    unsigned ihl = (frame[14] & 15u) * 4;
    uint16_t sum = 0;

    if (frame[12] == 8 && frame[13] == 0 && len >= 14 + ihl && ihl >= 20) {
        memcpy(frame + 24, &sum, 2);
        sum = inet_chksum(frame + 14, (uint16_t)ihl);
        memcpy(frame + 24, &sum, 2);
    }
    vif.netif.chksum_flags &= (uint16_t) ~(NETIF_CHECKSUM_CHECK_ICMP | NETIF_CHECKSUM_CHECK_ICMP6);
}

TEST(hostile)
{
    size_t before = lwip_used;

    offload(true);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned len = template();

        for (unsigned n = rnd(4); n; n--)
            frame[rnd(2) ? rnd(len) : 12 + rnd(60)] = (uint8_t)rnd(256);
        if (!rnd(4))
            len = 1 + rnd(len);
        if (!rnd(50))
            len = 1 + rnd(PAGE_SIZE);
        right_sums(len);
        net_in(frame, len, rnd(8));
        if (!rnd(20))
            net_later(rnd(500));
        if (!rnd(2000))
            net_later(30000);
        lwip_fails = i % 1000 < 500 ? 0 : 2 + i / 1000; /* memory is short now and then */
    }
    lwip_fails = 0;
    vif.netif.chksum_flags = NETIF_CHECKSUM_ENABLE_ALL & ~NETIF_CHECKSUM_GEN_TCP;
    net_later(1000000);
    net_in(frame, net_arp(frame), false);
    net_in(frame, net_ping(frame, 56), false);
    assert_int_equal(out[34], 0);
    talk(4006, true);
    net_later(200000);
    assert_true(lwip_used <= before);
}

/* --- an address from the network --- */
static void dhcp_says(unsigned type, uint8_t last)
{
    uint8_t m[300] = { 2, 1, 6 };

    memcpy(m + 4, out + 46, 4); /* its number */
    memcpy(m + 16, PEER_IP, 4);
    m[19] = last;
    memcpy(m + 28, MY_MAC, 6);
    memcpy(m + 236, "\x63\x82\x53\x63\x35\1\0\x36\4" PEER_IP "\1\4\xff\xff\xff\0\x33\4\0\0\1\0\xff",
           26);
    m[242] = (uint8_t)type;
    net_in(frame, net_udp(frame, 67, 68, m, sizeof(m)), false);
}

TEST(dhcp)
{
    assert_int_equal(dhcp_start(&vif.netif), 0);
    assert_memory_equal(out + 282, "\x35\1\1", 3); /* who gives addresses? */
    dhcp_says(2, 99);
    assert_memory_equal(out + 282, "\x35\1\3", 3); /* that one, please */
    dhcp_says(5, 99);
    net_later(5000); /* nobody else has it */
    assert_true(dhcp_supplied_address(&vif.netif));
    assert_int_equal(netif_ip4_addr(&vif.netif)->addr, htonl(0x0a000263));
    for (unsigned i = 0; i < 20000; i++) {
        dhcp_says(rnd(9), 99);
        for (unsigned n = 1 + rnd(4); n; n--)
            frame[42 + rnd(300)] = (uint8_t)rnd(256);
        net_in(frame, 42 + rnd(300), true);
        if (!rnd(100))
            net_later(rnd(200) * 1000);
    }
}
