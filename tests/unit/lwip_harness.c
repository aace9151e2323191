/* SPDX-License-Identifier: MIT */
// LINK: domains/lwip/vif.c domains/lwip/random.c domains/random.c domains/cmdline.c
// LINK: build/lwip/src/core/init.c build/lwip/src/core/def.c build/lwip/src/core/inet_chksum.c build/lwip/src/core/ip.c build/lwip/src/core/mem.c
// LINK: build/lwip/src/core/memp.c build/lwip/src/core/netif.c build/lwip/src/core/pbuf.c build/lwip/src/core/raw.c build/lwip/src/core/stats.c
// LINK: build/lwip/src/core/tcp.c build/lwip/src/core/tcp_in.c build/lwip/src/core/tcp_out.c build/lwip/src/core/timeouts.c build/lwip/src/core/udp.c
// LINK: build/lwip/src/core/ipv4/dhcp.c build/lwip/src/core/ipv4/etharp.c build/lwip/src/core/ipv4/icmp.c build/lwip/src/core/ipv4/igmp.c build/lwip/src/core/ipv4/ip4.c
// LINK: build/lwip/src/core/ipv4/ip4_addr.c build/lwip/src/core/ipv4/ip4_frag.c build/lwip/src/core/ipv6/ethip6.c build/lwip/src/core/ipv6/icmp6.c
// LINK: build/lwip/src/core/ipv6/inet6.c build/lwip/src/core/ipv6/ip6.c build/lwip/src/core/ipv6/ip6_addr.c build/lwip/src/core/ipv6/ip6_frag.c
// LINK: build/lwip/src/core/ipv6/mld6.c build/lwip/src/core/ipv6/nd6.c build/lwip/src/netif/ethernet.c
#include "lwip_harness.h"
#include <errno.h>
#include <lwip/inet_chksum.h>
#include <lwip/sys.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lwip_vif vif;
struct bh_self self;
uint8_t out[PAGE_SIZE];
unsigned out_len, outs;
bool out_blank, ring_full;
void (*out_hook)(void);
static uint64_t clock_ns = 1000 * NS_PER_S;
static netfront_rx_fn to_lwip;
struct netfront *front;
static void *front_arg;

size_t lwip_used;
unsigned lwip_refused, lwip_fails;
static unsigned connections;

/* The sanitizer's malloc knows the size of each as it was asked for. */
static bool is_connection(size_t n) { return n == LWIP_MEM_ALIGN_SIZE(sizeof(struct tcp_pcb)); }

void *lwip_malloc(size_t n)
{
    static unsigned times;
    void *p = NULL;

    /* A timer is never refused: their pool is as large as it has to be. */
    if (n <= 32 || (lwip_used + n <= LWIP_MOST && (!lwip_fails || ++times % lwip_fails) &&
                    (!is_connection(n) || connections < MEMP_NUM_TCP_PCB)))
        p = malloc(n);
    if (!p) {
        lwip_refused++;
        return p;
    }
    connections += is_connection(n);
    lwip_used += n;
    return p;
}

void lwip_free(void *p)
{
    size_t n = malloc_usable_size(p);

    connections -= is_connection(n);
    lwip_used -= n;
    free(p);
}

uint64_t now_ns(void) { return clock_ns; }
unsigned event_wait(uint64_t until_ns)
{
    clock_ns = until_ns > clock_ns ? until_ns : clock_ns + NS_PER_MS;
    return 0;
}
bool *panics;
jmp_buf panicked;
void bh_panic(const char *fmt, ...)
{
    va_list ap;

    if (panics) {
        *panics = true;
        longjmp(panicked, 1);
    }

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    abort();
}

int netfront_open(struct netfront *nf, unsigned devid, netfront_rx_fn fn, void *arg)
{
    memset(nf, 0, sizeof(*nf));
    memcpy(nf->mac, MY_MAC, 6);
    front = nf;
    nf->devid = devid;
    front_arg = arg;
    nf->connected = true;
    nf->csum_offload = true;
    to_lwip = fn;
    fn(nf, (const uint8_t *)MY_MAC, 6, false, arg); /* what comes early hurts nobody */
    return 0;
}
uint8_t *netfront_frame(struct netfront *nf) { return ring_full ? NULL : out; }
int netfront_send(struct netfront *nf, unsigned len, bool csum_blank)
{
    nf->tx.req_prod_pvt++;
    out_len = len;
    out_blank = csum_blank;
    outs++;
    if (out_hook)
        out_hook();
    return 0;
}

void net_open(const char *cmdline)
{
    snprintf(self.cmdline, sizeof(self.cmdline), "%s", cmdline);
    int rc = lwip_vif_open(&vif, 0);
    if (rc)
        bh_panic("lwip_vif_open: %d", rc);
}

void net_in(const void *frame, unsigned len, bool good)
{
    uint8_t *exact = malloc(len); /* its end is the end */

    memcpy(exact, frame, len);
    to_lwip(front, exact, len, good, front_arg);
    free(exact);
}

void net_later(uint64_t ms)
{
    for (uint64_t end = clock_ns + ms * NS_PER_MS; clock_ns < end; clock_ns += 100 * NS_PER_MS)
        sys_check_timeouts();
}

static void put16(uint8_t *p, unsigned v) { p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v; }
static void put32(uint8_t *p, uint32_t v) { put16(p, v >> 16), put16(p + 2, v & 0xffff); }

unsigned net_eth(uint8_t *frame, unsigned type)
{
    memcpy(frame, MY_MAC PEER_MAC, 12);
    put16(frame + 12, type);
    return 14;
}

unsigned net_arp(uint8_t *frame)
{
    net_eth(frame, 0x0806);
    memcpy(frame + 14, "\0\1\x08\0\6\4\0\1" PEER_MAC PEER_IP "\0\0\0\0\0\0" MY_IP, 28);
    return 42;
}

unsigned net_ip(uint8_t *frame, unsigned proto, unsigned len)
{
    uint8_t *ip = frame + net_eth(frame, 0x0800);

    memset(ip, 0, 20);
    ip[0] = 0x45;
    put16(ip + 2, 20 + len);
    ip[8] = 64;
    ip[9] = (uint8_t)proto;
    memcpy(ip + 12, PEER_IP MY_IP, 8);
    uint16_t sum = inet_chksum(ip, 20);
    memcpy(ip + 10, &sum, 2);
    return 34 + len;
}

uint16_t net_sum(const uint8_t *ip, unsigned proto, unsigned len)
{
    uint8_t pseudo[PAGE_SIZE];

    memcpy(pseudo, ip + 12, 8);
    put16(pseudo + 8, proto);
    put16(pseudo + 10, len);
    memcpy(pseudo + 12, ip + 20, len);
    return inet_chksum(pseudo, (uint16_t)(12 + len));
}

unsigned net_ping(uint8_t *frame, unsigned len)
{
    uint8_t *icmp = frame + 34;

    memset(icmp, 'p', 8 + len);
    memcpy(icmp, "\x08\0\0\0\0\x07\0\1", 8);
    uint16_t sum = inet_chksum(icmp, (uint16_t)(8 + len));
    memcpy(icmp + 2, &sum, 2);
    return net_ip(frame, 1, 8 + len);
}

unsigned net_udp(uint8_t *frame, unsigned from, unsigned to, const void *data, unsigned len)
{
    uint8_t *udp = frame + 34;

    put16(udp, from);
    put16(udp + 2, to);
    put16(udp + 4, 8 + len);
    put16(udp + 6, 0);
    memcpy(udp + 8, data, len);
    unsigned whole = net_ip(frame, 17, 8 + len);
    uint16_t sum = net_sum(frame + 14, 17, 8 + len);
    memcpy(udp + 6, &sum, 2);
    return whole;
}

unsigned net_tcp(uint8_t *frame, unsigned from, unsigned to, uint32_t seq, uint32_t ack,
                 unsigned flags, const void *data, unsigned len)
{
    uint8_t *tcp = frame + 34;

    memset(tcp, 0, 20);
    put16(tcp, from);
    put16(tcp + 2, to);
    put32(tcp + 4, seq);
    put32(tcp + 8, ack);
    tcp[12] = 5 << 4;
    tcp[13] = (uint8_t)flags;
    put16(tcp + 14, 0xffff);
    memcpy(tcp + 20, data, len);
    unsigned whole = net_ip(frame, 6, 20 + len);
    uint16_t sum = net_sum(frame + 14, 6, 20 + len);
    memcpy(tcp + 16, &sum, 2);
    return whole;
}

uint32_t rnd(uint32_t below)
{
    static uint32_t seed = 1;

    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % below;
}
