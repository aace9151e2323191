/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/lwip_harness.c drivers-dom/vnet/tunnel.c drivers-dom/vnet/vxlan.c drivers-dom/vnet/uplinks.c domains/devname.c drivers-dom/net/net.c drivers-dom/net/nic.c drivers-dom/net/rss.c drivers-dom/net/pkt.c
// LINK: drivers-dom/net/gso.c drivers-dom/net/switch.c drivers-dom/net/guard.c
// FLAGS: -Idomains/lwip -Ibuild/lwip/src/include -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net -Idrivers-dom/vnet -DMEM_LIBC_MALLOC=1 -DMEMP_MEM_MALLOC=1 -include tests/unit/lwip_malloc.h -w -Wl,--no-as-needed -lcrypto
/* The tunnel between a NIC's interface and lwIP: what arrives as frames, what leaves as datagrams, how much may be under way; and datagrams that nobody should send. */
#include <errno.h>
#include "unit.h"
#include "lwip_harness.h"
#include "net.h"
#include "tunnel.h"
#include <lwip/etharp.h>
#include <lwip/inet_chksum.h>

#define SLOTS 56u

static _Alignas(4096) uint8_t mem[128][PKT_BUF];
static struct pkt pkts[128];
static struct nic *n;
static char said[512];

void shared_stored(void) {}
void wakes_only(uint32_t port, void *arg) {}
void *page_alloc(unsigned nr) { return NULL; }
void netfront_poll(struct netfront *nf) {}
bool netfront_arm(struct netfront *nf) { return false; }
static bool plugged, anew;
char **xs_ls(uint32_t tx, const char *path, unsigned *nr)
{
    static char *const there[] = { "7", "3" };
    char **list = malloc(sizeof(there));

    memcpy(list, there, sizeof(there));
    if (anew)
        list[1] = "9";
    *nr = plugged ? 2 : 0;
    return list;
}
static watch_fn plug_watch;
int xs_watch(const char *path, watch_fn fn, void *arg)
{
    assert_string_equal(path, "device/vif");
    plug_watch = fn;
    return 0;
}
int xs_write(uint32_t tx, const char *path, const char *val)
{
    assert_string_equal(path, "vnet");
    snprintf(said, sizeof(said), "%s", val);
    return 0;
}

static unsigned came, came_len;
static uint8_t last[PKT_BUF];
static void on_frame(void *arg, struct pkt *p)
{
    came++;
    came_len = p->len;
    memcpy(last, p->data, p->len);
    assert_int_equal(p->rest, 0);
    assert_int_equal(p->flags | p->gso, 0);
}

/* The Ethernet frame of the peer's that carries `len` bytes of a frame from station `from`, for that segment. */
static uint8_t outer[PAGE_SIZE];
static unsigned carrying(unsigned vni, unsigned from, unsigned len)
{
    uint8_t d[2000] = { 8, 0, 0, 0, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8), (uint8_t)vni };

    memset(d + 8, 0xff, 6);
    d[14] = 2, d[19] = (uint8_t)from;
    for (unsigned i = 20; i < 8 + len; i++)
        d[i] = (uint8_t)i;
    return net_udp(outer, 50000, 4789, d, 8 + len);
}

static unsigned get16(const uint8_t *p) { return p[0] << 8 | p[1]; }

int setup_all(void **state)
{
    pkt_pool_init(&net.pool, pkts, mem[0], ARRAY_SIZE(pkts));
    snprintf(self.cmdline, sizeof(self.cmdline), "vnet=97 ip=10.0.2.30/24 peers=10.0.2.15,10.0.2.16");
    uplinks_find();
    n = net.uplink[0];
    assert_non_null(n);
    assert_string_equal(net.refusal[0], "");
    assert_string_equal(net.refusal[1], "there is no such bridge");
    assert_int_equal(net.sw.port[0].mtu, 1450);
    assert_true(n->mtu_max > 1500 &&
                n->mtu_max + WIRE_HEAD <= PKT_BUF - PKT_HEAD); /* a frame is in one buffer */
    assert_true(n->ops->store(n) > 0);                         /* not plugged yet: it looks again */
    assert_false(n->no_link);
    net_later(100);
    plugged = true;
    (void)n->ops->store(n);
    assert_int_equal(front->devid, 3); /* the least of them */
    assert_string_equal(tunnel_text(), "vnet 97, 10.0.2.30 port 4789");
    net_in(outer, net_arp(outer), false);
    return 0;
}

int setup(void **state)
{
    front->tx.rsp_cons = front->tx.req_prod_pvt;
    nic_notify(n);
    outs = came = 0;
    return 0;
}

int teardown(void **state)
{
    front->tx.rsp_cons = front->tx.req_prod_pvt;
    nic_receive(n, 1000, on_frame, NULL);
    nic_notify(n);
    assert_int_equal(n->tx_out, 0);
    assert_int_equal(net.pool.nr_free, net.pool.nr);
    return 0;
}

TEST(in)
{
    for (unsigned sum = 0; sum < 2; sum++) {
        unsigned len = carrying(97, 1, 60);
        if (!sum)
            memset(outer + 40, 0, 2); /* no checksum: taken as well */
        net_in(outer, len, false);
        assert_true(n->ops->arm(n));
        assert_int_equal(nic_receive(n, 64, on_frame, NULL), 1);
        assert_int_equal(came_len, 60);
        assert_memory_equal(last, outer + 50, 60);
        assert_false(n->ops->arm(n));
    }
    net_in(outer, carrying(98, 1, 60), false);
    net_in(outer, carrying(97, 1, 13), false);
    net_in(outer, carrying(97, 1, 0), false);
    unsigned len = carrying(97, 1, 60);
    outer[40] ^= 1; /* a wrong checksum */
    net_in(outer, len, false);
    assert_int_equal(nic_receive(n, 64, on_frame, NULL), 0);
    uint64_t before = n->rx_length;
    net_in(outer, carrying(97, 1, 1450 + 22), false);
    assert_int_equal(nic_receive(n, 64, on_frame, NULL), 1);
    net_in(outer, carrying(97, 1, 1450 + 23), false);
    assert_int_equal(nic_receive(n, 64, on_frame, NULL), 0);
    assert_int_equal(n->rx_length, before + 1);
    /* More than there is room for */
    before = n->rx_dropped;
    for (unsigned i = 0; i < 100; i++)
        net_in(outer, carrying(97, 1, 60), false);
    assert_int_equal(n->rx_dropped, before + 36);
    assert_int_equal(nic_receive(n, 10, on_frame, NULL), 10);
    assert_int_equal(nic_receive(n, 100, on_frame, NULL), 54);
}

/* A frame to a station, of so many bytes in two buffers. */
static struct pkt *frame_to(unsigned station, unsigned len)
{
    struct pkt *p = pkt_alloc(&net.pool), *b;

    memset(p->data, 0, 300);
    memset(p->data, station ? 0 : 0xff, 6);
    if (station)
        p->data[0] = 2, p->data[5] = (uint8_t)station;
    p->data[6] = 2, p->data[11] = 0x77;
    p->data[12] = 0x88, p->data[13] = 0xb5;
    p->len = (uint16_t)(len < 300 ? len : 300);
    if (len > 300) {
        b = pkt_grow(&net.pool, p, p);
        memset(b->data, 'z', len - 300);
        b->len = (uint16_t)(len - 300);
        p->rest = len - 300;
    }
    return p;
}
static void send_to(unsigned station, unsigned len)
{
    struct pkt *p = frame_to(station, len);

    nic_send(n, p);
    pkt_put(&net.pool, p);
}

TEST(out_to_one_and_to_all)
{
    net_in(outer, carrying(97, 5, 60), false);
    nic_receive(n, 64, on_frame, NULL);
    send_to(5, 1464);
    assert_int_equal(outs, 1);
    assert_int_equal(out_len, 1514);
    assert_memory_equal(out, PEER_MAC MY_MAC "\x08\0\x45", 15);
    assert_memory_equal(out + 26, MY_IP PEER_IP, 8);
    assert_true(get16(out + 34) >= 49152);
    assert_int_equal(get16(out + 36), 4789);
    assert_int_equal(get16(out + 38), 8 + 8 + 1464);
    assert_int_equal(get16(out + 40), 0);
    assert_memory_equal(out + 42, "\x08\0\0\0\0\0\x61\0\x02\0\0\0\0\x05\x02\0\0\0\0\x77", 20);
    assert_int_equal(out[42 + 8 + 299], 0);
    assert_int_equal(out[42 + 8 + 300], 'z');
    uint64_t dropped = n->tx_dropped;
    send_to(5, 1465); /* a datagram is not cut */
    assert_int_equal(outs, 1);
    assert_int_equal(n->tx_dropped, dropped + 1);
    outs = 0;
    send_to(0, 60); /* to both peers: one of them is asked for its address first */
    assert_int_equal(outs, 2);
    assert_int_equal(get16(out + 12), 0x0806);
    assert_memory_equal(out + 38, "\x0a\0\2\x10", 4);
    send_to(9, 60); /* nobody was heard from */
    assert_true(outs >= 3);
}

/* As many are under way as the front-end's ring has room for; they come back when the back-end says so. */
TEST(under_way)
{
    bool idle;

    net_in(outer, carrying(97, 5, 60), false);
    nic_receive(n, 64, on_frame, NULL);
    for (unsigned i = 0; i < SLOTS; i++)
        send_to(5, 60);
    assert_int_equal(nic_room(n, 0, &idle), 0);
    uint64_t dropped = n->tx_dropped, done = n->tx_done;
    send_to(5, 60);
    assert_int_equal(n->tx_dropped, dropped + 1);
    front->tx.rsp_cons = front->tx.req_prod_pvt - 6;
    nic_notify(n);
    assert_int_equal(n->tx_done, done + SLOTS - 6);
    assert_int_equal(n->tx_out, 6);
    ring_full = true;
    send_to(5, 60); /* lwIP has no room: it is gone, and not under way for ever */
    ring_full = false;
}

#define HERE6  "\xfe\x80\0\0\0\0\0\0\x02\x16\x3e\xff\xfe\0\0\x1e"
#define THERE6 "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x66"
/* By IPv6, of the link alone. */
static void icmp6(unsigned len)
{
    uint8_t pseudo[200] = { 0 };

    net_eth(outer, 0x86dd);
    memcpy(outer + 14, "\x60\0\0\0\0\0\x3a\xff" THERE6 HERE6, 40);
    outer[19] = (uint8_t)len;
    memcpy(pseudo, outer + 22, 32);
    pseudo[35] = (uint8_t)len, pseudo[39] = 58;
    memcpy(pseudo + 40, outer + 54, len);
    uint16_t s = inet_chksum(pseudo, (uint16_t)(40 + len));
    memcpy(outer + 56, &s, 2);
    net_in(outer, 54 + len, false);
}
static void not_more(void) { assert_true(outs < 1000); }

/* A vnet by IPv4 has IPv6 as well: it answers, and is not led to cut its answers for ever. */
TEST(too_big)
{
    out_hook = not_more;
    net_later(5000);
    memset(outer + 54, 0, 48);
    outer[54] = 135;
    memcpy(outer + 62, HERE6 "\1\1" PEER_MAC, 24);
    icmp6(32);
    for (unsigned mtu = 40; mtu < 60; mtu++) {
        memset(outer + 54, 0, 48);
        outer[54] = 2, outer[61] = (uint8_t)mtu;
        outer[62] = 0x60;
        memcpy(outer + 70, HERE6 THERE6, 32);
        icmp6(48);
        memset(outer + 54, 0, 64);
        outer[54] = 128;
        outs = 0;
        icmp6(64);
        assert_int_equal(outs, 1);
        assert_int_equal(out[54], 129);
    }
    out_hook = NULL;
}

TEST(what_is_said)
{
    net_later(5000);
    net_in(outer, carrying(97, 5, 60), false);
    net_in(outer, carrying(98, 5, 60), false);
    (void)n->ops->store(n);
    assert_non_null(strstr(said, " 10.0.2.15 "));
    assert_non_null(strstr(said, " 10.0.2.16 0 "));
    assert_int_equal(said[0], '0');
}

/* 100,000 datagrams and fragments, damaged at random inside and outside: the sanitizer sees each byte that is read too far. */
TEST(hostile)
{
    for (unsigned i = 0; i < 100000; i++) {
        unsigned len = carrying(rnd(4) ? 97 : rnd(1 << 24), rnd(256), rnd(8) ? rnd(100) : rnd(1480));
        for (unsigned k = rnd(4); k; k--)
            outer[rnd(2) ? rnd(60) % len : rnd(len)] = (uint8_t)rnd(256);
        if (!rnd(8))
            len = 1 + rnd(len);
        if (!rnd(16))
            outer[20] |= 0x20; /* more fragments */
        net_in(outer, len, rnd(2));
        if (!rnd(3))
            nic_receive(n, rnd(64), on_frame, NULL);
        if (!rnd(4))
            send_to(rnd(3) ? rnd(256) : 0, 14 + rnd(1500));
        if (!rnd(8)) {
            front->tx.rsp_cons = front->tx.req_prod_pvt;
            nic_notify(n);
        }
        if (!rnd(500))
            net_later(1000);
    }
    net_later(60000);
    assert_true(came > 1000 && outs > 1000);
}

/* Its interface is another one, whatever became of the first: this life is over, the next one opens it. */
TEST(plugged_anew)
{
    bool ended = false;

    front->connected = false; /* closed */
    (void)n->ops->store(n);
    plug_watch("device/vif", NULL);
    (void)n->ops->store(n);
    uint64_t dropped = n->tx_dropped;
    send_to(5, 60);
    assert_int_equal(n->tx_dropped, dropped + 1);
    assert_false(n->no_link);
    net_later(4000);
    (void)n->ops->store(n);
    assert_true(n->no_link);
    anew = true;
    (void)n->ops->store(n); /* it does not look without being told */
    plug_watch("device/vif", NULL);
    panics = &ended;
    if (!setjmp(panicked))
        (void)n->ops->store(n);
    assert_true(ended);
}
