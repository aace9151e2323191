/* SPDX-License-Identifier: MIT */
/*
 * A small guest that answers ping, and TCP and UDP at port 7, on its vif, and pings somebody itself if told so: a network peer for tests
 * without Linux. Command line: ip=A.B.C.D and what <lwip_vif.h> has, [ping=A.B.C.D] [interval=MS] [count=N].
 *
 * Lines for tests: `echo: ready IP MAC`; every second while pinging, and at the end of count,
 * `echo: ping IP sent N received N lost N gap_ms N rtt_us N broken N` (gap: longest time without a reply; rtt: mean;
 * broken: violations of the ring protocol by the back-end).
 */
#include <bh.h>
#include <lwip/icmp.h>
#include <lwip/inet_chksum.h>
#include <lwip/ip.h>
#include <lwip/raw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lwip_vif.h>
#include "echo.h"

struct ping {
    struct icmp_echo_hdr icmp;
    uint64_t sent_ns;
} __attribute__((packed));

static struct lwip_vif vif;
static struct raw_pcb *raw;
static ip_addr_t peer;
static uint64_t interval, count, sent, received, last_reply, gap, rtt_sum;
static struct dtimer ping_timer, report_timer;

int main(void);

/* Of ICMP that comes, 1: an answer to us, freed. */
static uint8_t on_icmp(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from)
{
    struct ping c;
    uint64_t now = now_ns();

    (void)arg, (void)pcb;
    if (!ip_addr_cmp(from, &peer) ||
        pbuf_copy_partial(p, &c, sizeof(c), ip_current_header_tot_len()) != sizeof(c) ||
        c.icmp.type != ICMP_ER || c.icmp.id != lwip_htons(self.domid))
        return 0;
    received++;
    rtt_sum += now - c.sent_ns;
    if (last_reply && now - last_reply > gap)
        gap = now - last_reply;
    last_reply = now;
    pbuf_free(p);
    return 1;
}

static void report(struct dtimer *t)
{
    uint64_t now = now_ns(),
             open = last_reply && now - last_reply > 2 * interval ? now - last_reply : 0;

    printf("echo: ping %s sent %lu received %lu lost %lu gap_ms %lu rtt_us %lu broken %lu\n",
           ipaddr_ntoa(&peer), sent, received, sent - received, (open > gap ? open : gap) / NS_PER_MS,
           received ? rtt_sum / received / 1000 : 0, vif.front.violations);
    if (!count || sent < count)
        dtimer_set(t, now + 1000 * NS_PER_MS);
}

static void ping(struct dtimer *t)
{
    struct pbuf *p = pbuf_alloc(PBUF_IP, sizeof(struct ping), PBUF_RAM);
    struct ping c = { .icmp = { .type = ICMP_ECHO,
                                .id = lwip_htons(self.domid),
                                .seqno = lwip_htons((uint16_t)sent) },
                      .sent_ns = now_ns() };

    if (p) {
        c.icmp.chksum = inet_chksum(&c, sizeof(c));
        pbuf_take(p, &c, sizeof(c));
        raw_sendto(raw, p, &peer);
        pbuf_free(p);
    }
    if (++sent == count) {
        dtimer_set(&report_timer, now_ns() + 500 * NS_PER_MS);
        return;
    }
    dtimer_set(t, now_ns() + interval);
}

static void start_pinging(const char *whom)
{
    char word[32];

    raw = raw_new_ip_type(IPADDR_TYPE_V4, IP_PROTO_ICMP);
    if (!raw || !ipaddr_aton(whom, &peer))
        bh_panic("echo: cannot ping %s", whom);
    raw_recv(raw, on_icmp, NULL);
    interval = cmdline_get("interval", word, sizeof(word)) ? strtoul(word, NULL, 0) * NS_PER_MS
                                                           : 1000 * NS_PER_MS;
    count = cmdline_get("count", word, sizeof(word)) ? strtoul(word, NULL, 0) : 0;
    ping_timer.fn = ping;
    report_timer.fn = report;
    dtimer_set(&ping_timer, now_ns());
    dtimer_set(&report_timer, now_ns() + 1000 * NS_PER_MS);
}

int main(void)
{
    const uint8_t *mac = vif.front.mac;
    char word[32];
    int rc = lwip_vif_open(&vif, 0);

    if (!rc)
        rc = echo_serve();
    if (rc)
        bh_panic("echo: no network: %d", rc);
    printf("echo: ready %s %02x:%02x:%02x:%02x:%02x:%02x\n",
           ip4addr_ntoa(netif_ip4_addr(&vif.netif)), mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    if (cmdline_get("ping", word, sizeof(word)))
        start_pinging(word);
    for (;;)
        lwip_wait(0);
}
