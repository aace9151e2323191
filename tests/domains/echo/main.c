/* SPDX-License-Identifier: MIT */
/*
 * A guest of a few KiB that answers ARP and ping on its vif, and pings somebody itself if told so: a network peer for
 * tests without Linux. Command line: ip=A.B.C.D [ping=A.B.C.D] [interval=MS] [count=N].
 *
 * Lines for tests: `echo: ready IP MAC`; every second while pinging, and at the end of count,
 * `echo: ping IP sent N received N lost N gap_ms N rtt_us N broken N` (gap: longest time without a reply; rtt: mean;
 * broken: violations of the ring protocol by the back-end).
 */
#include <bh.h>
#include <netfront.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct eth {
    uint8_t dst[6], src[6];
    uint16_t type;
} __attribute__((packed));
struct arp {
    uint16_t htype, ptype;
    uint8_t hlen, plen;
    uint16_t op;
    uint8_t sha[6];
    uint32_t spa;
    uint8_t tha[6];
    uint32_t tpa;
} __attribute__((packed));
struct ip {
    uint8_t vhl, tos;
    uint16_t len, id, frag;
    uint8_t ttl, proto;
    uint16_t sum;
    uint32_t src, dst;
} __attribute__((packed));
struct icmp {
    uint8_t type, code;
    uint16_t sum, id, seq;
    uint64_t sent_ns;
} __attribute__((packed));
struct ping_frame {
    struct eth e;
    struct ip i;
    struct icmp c;
} __attribute__((packed));

#define be16(x) __builtin_bswap16(x)
#define ETH_ARP be16(0x0806)
#define ETH_IP  be16(0x0800)

static struct netfront nf;
static uint32_t my_ip, peer_ip;
static uint8_t peer_mac[6];
static bool have_peer;
static uint64_t interval, count, sent, received, last_reply, gap, rtt_sum;
static struct dtimer ping_timer, report_timer;

int main(void);

static uint16_t checksum(const void *data, unsigned len)
{
    const uint8_t *p = data;
    uint32_t sum = 0;

    for (; len > 1; len -= 2, p += 2)
        sum += (uint32_t)(p[0] | p[1] << 8);
    if (len)
        sum += *p;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static bool parse_ip(const char *key, uint32_t *ip)
{
    char text[32], *at = text;
    uint8_t b[4];

    if (!cmdline_get(key, text, sizeof(text)))
        return false;
    for (unsigned i = 0; i < 4; i++) {
        b[i] = (uint8_t)strtoul(at, &at, 10);
        if (*at != (i < 3 ? '.' : '\0'))
            return false;
        at++;
    }
    memcpy(ip, b, 4);
    return true;
}

static const char *ip_text(uint32_t ip)
{
    static char text[2][16];
    static unsigned turn;
    const uint8_t *b = (const uint8_t *)&ip;

    turn ^= 1;
    snprintf(text[turn], sizeof(text[0]), "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
    return text[turn];
}

static void send_arp(uint16_t op, const uint8_t *to_mac, uint32_t to_ip)
{
    struct {
        struct eth e;
        struct arp a;
    } __attribute__((packed)) f;

    memcpy(f.e.dst, to_mac, 6);
    memcpy(f.e.src, nf.mac, 6);
    f.e.type = ETH_ARP;
    f.a = (struct arp){ be16(1), ETH_IP, 6, 4, be16(op), { 0 }, my_ip, { 0 }, to_ip };
    memcpy(f.a.sha, nf.mac, 6);
    if (op == 2)
        memcpy(f.a.tha, to_mac, 6);
    netfront_send(&nf, &f, sizeof(f));
}

static void on_arp(const struct eth *e, const uint8_t *data, unsigned len)
{
    struct arp a;

    if (len < sizeof(a))
        return;
    memcpy(&a, data, sizeof(a));
    if (a.spa == peer_ip) {
        memcpy(peer_mac, a.sha, 6);
        have_peer = true;
    }
    if (a.op == be16(1) && a.tpa == my_ip)
        send_arp(2, e->src, a.spa);
}

static void on_reply(const struct icmp *c)
{
    uint64_t now = now_ns();

    if (c->id != be16(self.domid))
        return;
    received++;
    rtt_sum += now - c->sent_ns;
    if (last_reply && now - last_reply > gap)
        gap = now - last_reply;
    last_reply = now;
}

static void on_ip(const uint8_t *frame, unsigned len)
{
    static uint8_t reply[NETFRONT_FRAME];
    struct ip i;

    if (len < sizeof(struct eth) + sizeof(i) + 8 || len > sizeof(reply))
        return;
    memcpy(&i, frame + sizeof(struct eth), sizeof(i));
    unsigned hlen = (i.vhl & 15) * 4u, total = be16(i.len), at = sizeof(struct eth) + hlen;
    if (i.vhl >> 4 != 4 || hlen < sizeof(i) || total > len - sizeof(struct eth) ||
        total < hlen + 8 || i.dst != my_ip || i.proto != 1)
        return;
    if (frame[at] == 0 && total >= hlen + sizeof(struct icmp)) {
        struct icmp c;
        memcpy(&c, frame + at, sizeof(c));
        on_reply(&c);
    }
    if (frame[at] != 8)
        return;
    memcpy(reply, frame, len);
    memcpy(reply, frame + 6, 6);
    memcpy(reply + 6, nf.mac, 6);
    struct ip *o = (struct ip *)(reply + sizeof(struct eth));
    o->src = i.dst;
    o->dst = i.src;
    o->ttl = 64;
    o->sum = 0;
    o->sum = checksum(o, hlen);
    reply[at] = 0;
    memset(reply + at + 2, 0, 2);
    uint16_t sum = checksum(reply + at, total - hlen);
    memcpy(reply + at + 2, &sum, 2);
    netfront_send(&nf, reply, sizeof(struct eth) + total);
}

static void on_frame(struct netfront *n, const uint8_t *frame, unsigned len, void *arg)
{
    struct eth e;

    (void)n, (void)arg;
    if (len < sizeof(e))
        return;
    memcpy(&e, frame, sizeof(e));
    if (e.type == ETH_ARP)
        on_arp(&e, frame + sizeof(e), len - sizeof(e));
    else if (e.type == ETH_IP)
        on_ip(frame, len);
}

static void report(struct dtimer *t)
{
    uint64_t now = now_ns(),
             open = last_reply && now - last_reply > 2 * interval ? now - last_reply : 0;

    printf("echo: ping %s sent %lu received %lu lost %lu gap_ms %lu rtt_us %lu broken %lu\n",
           ip_text(peer_ip), sent, received, sent - received, (open > gap ? open : gap) / NS_PER_MS,
           received ? rtt_sum / received / 1000 : 0, nf.violations);
    if (!count || sent < count)
        dtimer_set(t, now + 1000 * NS_PER_MS);
}

static void ping(struct dtimer *t)
{
    static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    struct ping_frame f;

    if (!have_peer) {
        send_arp(1, all, peer_ip);
        dtimer_set(t, now_ns() + 200 * NS_PER_MS);
        return;
    }
    memcpy(f.e.dst, peer_mac, 6);
    memcpy(f.e.src, nf.mac, 6);
    f.e.type = ETH_IP;
    f.i = (struct ip){ 0x45, 0, be16(sizeof(f.i) + sizeof(f.c)), 0, 0, 64, 1, 0, my_ip, peer_ip };
    f.i.sum = checksum(&f.i, sizeof(f.i));
    f.c = (struct icmp){ 8, 0, 0, be16(self.domid), be16((uint16_t)sent), now_ns() };
    f.c.sum = checksum(&f.c, sizeof(f.c));
    netfront_send(&nf, &f, sizeof(f));
    if (++sent == count) {
        dtimer_set(&report_timer, now_ns() + 500 * NS_PER_MS);
        return;
    }
    dtimer_set(t, now_ns() + interval);
}

int main(void)
{
    char word[32];

    if (!parse_ip("ip", &my_ip))
        bh_panic("echo: no ip= on the command line");
    int rc = netfront_open(&nf, 0, on_frame, NULL);
    if (rc)
        bh_panic("echo: no vif 0: %d", rc);
    while (!nf.connected)
        event_wait(0);
    printf("echo: ready %s %02x:%02x:%02x:%02x:%02x:%02x\n", ip_text(my_ip), nf.mac[0], nf.mac[1],
           nf.mac[2], nf.mac[3], nf.mac[4], nf.mac[5]);
    interval = cmdline_get("interval", word, sizeof(word)) ? strtoul(word, NULL, 0) * NS_PER_MS
                                                           : 1000 * NS_PER_MS;
    count = cmdline_get("count", word, sizeof(word)) ? strtoul(word, NULL, 0) : 0;
    if (parse_ip("ping", &peer_ip)) {
        ping_timer.fn = ping;
        report_timer.fn = report;
        dtimer_set(&ping_timer, now_ns());
        dtimer_set(&report_timer, now_ns() + 1000 * NS_PER_MS);
    }
    for (;;)
        event_wait(0);
}
