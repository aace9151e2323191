/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/lwip_harness.c drivers-dom/vnet/tunnel.c drivers-dom/vnet/vxlan.c drivers-dom/vnet/uplinks.c domains/devname.c drivers-dom/net/net.c drivers-dom/net/nic.c drivers-dom/net/rss.c
// LINK: drivers-dom/net/pkt.c drivers-dom/net/gso.c drivers-dom/net/switch.c drivers-dom/net/guard.c
// FLAGS: -Idomains/lwip -Ibuild/lwip/src/include -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net -Idrivers-dom/vnet -DMEM_LIBC_MALLOC=1 -DMEMP_MEM_MALLOC=1 -include tests/unit/lwip_malloc.h -w -Wl,--no-as-needed -lcrypto
/* The tunnel between ends of IPv6: what it takes, what it sends, with a checksum, and from which moment on. test_tunnel.c has what is the same. */
#include <lwip/inet_chksum.h>
#include <lwip/nd6.h>
#include <lwip/netif.h>
#include "unit.h"
#include "lwip_harness.h"
#include "net.h"
#include "tunnel.h"

#define ME "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x1e"
#define SIX \
    "fd00::11,fd00::12,fd00::13,fd00::14,fd00::15,fd00::16,fd00::17,fd00::18,fd00::19,fd00::1a,fd00::1b,fd00::1c,fd00::1d"
#define THEM "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0f"

static _Alignas(4096) uint8_t mem[128][PKT_BUF];
static struct pkt pkts[128];
static struct nic *n;
static char said[512];

void shared_stored(void) {}
void wakes_only(uint32_t port, void *arg) {}
void *page_alloc(unsigned nr) { return NULL; }
void netfront_poll(struct netfront *nf) {}
bool netfront_arm(struct netfront *nf) { return false; }
char **xs_ls(uint32_t tx, const char *path, unsigned *nr)
{
    char **list = malloc(sizeof(*list));

    list[0] = "0";
    *nr = 1;
    return list;
}
int xs_watch(const char *path, watch_fn fn, void *arg) { return 0; }
int xs_write(uint32_t tx, const char *path, const char *val)
{
    snprintf(said, sizeof(said), "%s", val);
    return 0;
}

static unsigned came_len;
static uint8_t last[PKT_BUF], frame[PAGE_SIZE];
static void on_frame(void *arg, struct pkt *p)
{
    came_len = p->len;
    memcpy(last, p->data, p->len);
}

/* Of IPv6's pseudo header and what is behind: 0 if right. */
static uint16_t sum(const uint8_t *f, unsigned proto, unsigned len)
{
    uint8_t pseudo[PAGE_SIZE] = { 0 };

    memcpy(pseudo, f + 14 + 8, 32);
    pseudo[34] = (uint8_t)(len >> 8), pseudo[35] = (uint8_t)len, pseudo[39] = (uint8_t)proto;
    memcpy(pseudo + 40, f + 54, len);
    return inet_chksum(pseudo, (uint16_t)(40 + len));
}

/* What is at frame + 54, with the headers of that peer's. */
static unsigned six(const char *from, unsigned proto, unsigned at, unsigned len)
{
    net_eth(frame, 0x86dd);
    memcpy(frame + 14, "\x60\0\0\0\0\0\0\xff", 8);
    frame[18] = (uint8_t)(len >> 8), frame[19] = (uint8_t)len, frame[20] = (uint8_t)proto;
    memcpy(frame + 22, from, 16);
    memcpy(frame + 38, ME, 16);
    memset(frame + 54 + at, 0, 2);
    uint16_t s = sum(frame, proto, len);
    memcpy(frame + 54 + at, &s, 2);
    return 54 + len;
}

/* A datagram with a frame of so many bytes from station `from`. */
static unsigned carrying(const char *peer, unsigned from, unsigned len)
{
    memset(frame, 0, 100);
    memcpy(frame + 54, "\xc3\x50\x12\xb5", 4);
    frame[58] = (uint8_t)((16 + len) >> 8), frame[59] = (uint8_t)(16 + len);
    memcpy(frame + 62, "\x08\0\0\0\0\0\x61\0\xff\xff\xff\xff\xff\xff\x02\0\0\0\0", 19);
    frame[81] = (uint8_t)from;
    return six(peer, 17, 6, 16 + len);
}

/* Where the peer is: it asks for us, and says its own. */
static void meet(void)
{
    memset(frame + 54, 0, 32);
    frame[54] = 135;
    memcpy(frame + 62, ME, 16);
    memcpy(frame + 78, "\1\1" PEER_MAC, 8);
    net_in(frame, six(THEM, 58, 2, 32), false);
}

int setup_all(void **state)
{
    pkt_pool_init(&net.pool, pkts, mem[0], ARRAY_SIZE(pkts));
    snprintf(self.cmdline, sizeof(self.cmdline),
             "vnet=97 ip6=fd00::1e gw6=fd00::1 peers=fd00::f,fd00::10," SIX ",fd01::10");
    uplinks_find();
    n = net.uplink[0];
    assert_non_null(n);
    assert_int_equal(net.sw.port[0].mtu, 1430);
    (void)n->ops->store(n);
    assert_string_equal(tunnel_text(), "vnet 97, fd00::1e port 4789");
    return 0;
}

/* At once, a vnet that came back does not wait to see whether its address is free. */
TEST(from_the_first_moment)
{
    outs = 0;
    meet();
    assert_int_equal(outs, 1);
    assert_int_equal(out[54], 136); /* it answers for its address */
    assert_memory_equal(out + 62, ME, 16);
}

/* A router's prefix makes no further address, which net0 would not let out: 3 and a prefix of 64 bits, for a minute. */
TEST(no_other_address)
{
    memset(frame + 54, 0, 48);
    memcpy(frame + 54, "\x86\0\0\0\x40\0\7\x08", 8);
    memcpy(frame + 70, "\3\4\x40\xc0\0\0\0\x3c\0\0\0\x3c\0\0\0\0\xfd\x01", 18);
    net_in(frame, six("\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 58, 2, 48), false);
    net_later(3000);
    for (unsigned i = 2; i < LWIP_IPV6_NUM_ADDRESSES; i++)
        assert_true(ip6_addr_isinvalid(netif_ip6_addr_state(netif_default, i)));
}

/* From someone else, to all: that address is its own. */
static void claim(void)
{
    memset(frame + 54, 0, 32);
    frame[54] = 136, frame[58] = 0x20;
    memcpy(frame + 62, ME, 16);
    memcpy(frame + 78, "\2\1\2\2\2\2\2\2", 8);
    (void)six("\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x66", 58, 2, 32);
    memcpy(frame, "\x33\x33\0\0\0\1", 6);
    memcpy(frame + 38, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    memset(frame + 56, 0, 2);
    uint16_t s = sum(frame, 58, 32);
    memcpy(frame + 56, &s, 2);
    net_in(frame, 86, false);
}

/* An address is not given up because somebody says so. */
TEST(keeps_its_address)
{
    claim();
    net_later(5000);
    outs = 0;
    meet();
    assert_int_equal(outs, 1);
    assert_int_equal(out[54], 136);
    net_in(frame, carrying(THEM, 5, 60), false);
    assert_int_equal(nic_receive(n, 64, on_frame, NULL), 1);
}

TEST(in_and_out)
{
    struct pkt *p = pkt_alloc(&net.pool);

    meet();
    net_in(frame, carrying(THEM, 5, 60), false);
    assert_int_equal(nic_receive(n, 64, on_frame, NULL), 1);
    assert_int_equal(came_len, 60);
    assert_memory_equal(last, frame + 70, 60);
    net_in(frame, carrying("\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0e", 6, 60), false); /* a stranger */
    unsigned len = carrying(THEM, 6, 60);
    frame[60] ^= 1;
    net_in(frame, len, false); /* a wrong checksum */
    assert_int_equal(nic_receive(n, 64, on_frame, NULL), 0);

    memset(p->data, 'z', 1444);
    memcpy(p->data, "\2\0\0\0\0\5\2\0\0\0\0\x77\x88\xb5", 14);
    p->len = 1444;
    outs = 0;
    nic_send(n, p);
    assert_int_equal(outs, 1);
    assert_int_equal(out_len, 1514);
    assert_memory_equal(out, PEER_MAC MY_MAC "\x86\xdd\x60", 15);
    assert_memory_equal(out + 22, ME THEM, 32);
    assert_memory_equal(out + 56, "\x12\xb5", 2);
    assert_true(out[60] || out[61]); /* which IPv6 must have */
    assert_int_equal(sum(out, 17, out_len - 54), 0);
    assert_memory_equal(out + 70, p->data, 1444);
    uint64_t dropped = n->tx_dropped;
    pkt_put(&net.pool, p);
    p = pkt_alloc(&net.pool);
    memcpy(p->data, "\2\0\0\0\0\5\2\0\0\0\0\x77\x88\xb5", 14);
    p->len = 1445;
    nic_send(n, p); /* a datagram is not cut */
    pkt_put(&net.pool, p);
    assert_int_equal(outs, 1);
    assert_int_equal(n->tx_dropped, dropped + 1);
    net_later(2000);
    (void)n->ops->store(n);
    assert_non_null(strstr(said, "1 0 0 fd00::f 2 1 fd00::10 0 0"));
}

static void whole(unsigned station)
{
    struct pkt *p = pkt_alloc(&net.pool);

    memset(p->data, 'z', 1444);
    memcpy(p->data, "\2\0\0\0\0\5\2\0\0\0\0\x77\x88\xb5", 14);
    p->data[5] = (uint8_t)station;
    p->len = 1444;
    outs = 0;
    nic_send(n, p);
    pkt_put(&net.pool, p);
    front->tx.rsp_cons = front->tx.req_prod_pvt;
    nic_notify(n);
}

/* Who cuts for ever fails here. */
static void not_more(void) { assert_true(outs < 1000); }

/* "Too big": anybody may say so, of a way that takes 50 bytes, too. What leaves is whole. */
TEST(too_big)
{
    ip6_addr_t them;

    out_hook = not_more;
    meet();
    for (unsigned mtu = 40; mtu < 60; mtu++) {
        memset(frame + 54, 0, 48);
        frame[54] = 2, frame[61] = (uint8_t)mtu;
        frame[62] = 0x60;
        memcpy(frame + 70, ME THEM, 32);
        net_in(frame, six("\x20\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x99", 58, 2, 48), false);
        whole(5);
        assert_int_equal(outs, 1);
        assert_int_equal(out_len, 1514);
    }
    memset(&them, 0, sizeof(them));
    memcpy(them.addr, THEM, 16);
    assert_int_equal(nd6_get_destination_mtu(&them, netif_default),
                     1500); /* nor are segments of a TCP cut down to nothing */
    out_hook = NULL;
}

#define ROUTER "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
/* A router says that the link takes 1280: by itself, behind options, in a fragment that is all. */
TEST(routers)
{
    static const struct {
        unsigned proto, before;
        const char *head;
    } as[] = { { 58, 0, "" },
               { 0, 8, "\x3a\0\1\4\0\0\0\0" },
               { 60, 8, "\x3a\0\1\4\0\0\0\0" },
               { 44, 8, "\x3a\0\0\0\0\0\0\1" } };
    unsigned mtu = netif_default->mtu6;

    for (unsigned i = 0; i < ARRAY_SIZE(as); i++) {
        uint8_t *icmp = frame + 54 + as[i].before;
        memset(frame + 54, 0, 48);
        memcpy(frame + 54, "\x86\0\0\0\x40\0\7\x08", 8);
        memcpy(frame + 70, "\5\1\0\0\0\0\5\0", 8);
        (void)six(ROUTER, 58, 2, 24);
        memmove(icmp, frame + 54, 24);
        memcpy(frame + 54, as[i].head, as[i].before);
        frame[20] = (uint8_t)as[i].proto;
        frame[19] = (uint8_t)(24 + as[i].before);
        net_in(frame, 78 + as[i].before, false);
        assert_int_equal(netif_default->mtu6, mtu);
    }
}

/* A router knows a better way to the peer. */
TEST(redirected)
{
    meet();
    whole(5);
    memset(frame + 54, 0, 48);
    frame[54] = 137;
    memcpy(frame + 62, ROUTER THEM "\2\1\2\2\2\2\2\2", 40);
    net_in(frame, six(ROUTER, 58, 2, 48), false);
    whole(5);
    assert_int_equal(outs, 1);
    assert_memory_equal(out, PEER_MAC, 6);
    assert_int_equal(out[20], 17);
}

/* What a querier asks has a header before it, and is answered. */
TEST(groups)
{
    memset(frame + 54, 0, 48);
    memcpy(frame + 54, "\x82\0\0\0\0\x0a", 6);
    (void)six(ROUTER, 58, 2, 24);
    memcpy(frame + 38, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    memset(frame + 56, 0, 2);
    uint16_t s = sum(frame, 58, 24);
    memcpy(frame + 56, &s, 2);
    memmove(frame + 62, frame + 54, 24);
    memcpy(frame + 54, "\x3a\0\5\2\0\0\1\0", 8);
    frame[19] = 32, frame[20] = 0, frame[21] = 1;
    memcpy(frame, "\x33\x33\0\0\0\1", 6);
    outs = 0;
    net_in(frame, 86, false);
    net_later(3000);
    assert_true(outs > 0);
    assert_int_equal(out[62], 131);
}

static uint8_t asked[64][16];
static unsigned nr_asked, left;
static void look(void)
{
    if (out[20] == 58 && out[54] == 135)
        memcpy(asked[nr_asked++ % 64], out + 62, 16);
    left += out[20] == 17;
}
static void answer(void)
{
    for (unsigned i = 0; i < nr_asked; i++) {
        memset(frame + 54, 0, 32);
        frame[54] = 136, frame[58] = 0x60;
        memcpy(frame + 62, asked[i], 16);
        memcpy(frame + 78, "\2\1\2\2\2\2\2", 7);
        frame[85] = asked[i][15];
        net_in(frame, six((const char *)asked[i], 58, 2, 32), false);
    }
}

/* As many peers as there may be, one of them behind the gateway: what goes to all goes to each, and nobody is asked for twice. */
TEST(sixteen_peers)
{
    net_later(1000);
    out_hook = look;
    for (unsigned i = 0; i < 3; i++) {
        nr_asked = left = 0;
        whole(0xff);
        assert_true(i ? nr_asked == 0 : nr_asked >= 15);
        for (unsigned k = 0; k < nr_asked; k++)
            assert_memory_equal(asked[k], "\xfd\0", 2); /* not fd01::10 */
        answer();
        net_later(100);
        assert_int_equal(left, 16);
    }
    out_hook = NULL;
}

/* Damaged inside and outside, cut off, in fragments: the sanitizer sees each byte that is read too far. */
TEST(hostile)
{
    unsigned frames = 0;

    for (unsigned i = 0; i < 30000; i++) {
        unsigned len = carrying(THEM, rnd(256), rnd(8) ? rnd(100) : rnd(1440));
        for (unsigned k = rnd(4); k; k--)
            frame[rnd(2) ? rnd(80) % len : rnd(len)] = (uint8_t)rnd(256);
        if (!rnd(8))
            len = 1 + rnd(len);
        if (!rnd(16))
            frame[20] = 44;
        net_in(frame, len, rnd(2));
        if (!rnd(3))
            frames += nic_receive(n, rnd(64), on_frame, NULL);
        if (!rnd(500))
            net_later(1000);
    }
    net_later(60000);
    assert_true(frames > 1000);
}
