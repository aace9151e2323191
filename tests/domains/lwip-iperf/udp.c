/* SPDX-License-Identifier: MIT */
/*
 * iperf 2 over UDP, which lwiperf has not. A datagram begins with its number, from 1 on; the last one has a negative number, and is sent again until it
 * is answered by what came. Of 64 bits (iperf 2.1) the lower half suffices here: the sign is in both.
 */
#include "iperf.h"
#include <bh.h>
#include <lwip/udp.h>
#include <stdio.h>
#include <string.h>

#define PORT    5001
#define SIZE    1470 /* as iperf's */
#define TICK_MS 1
#define LAST_MS 250
#define LASTS   10

struct header {
    uint32_t id, sec, usec, id_high;
};

struct report {
    struct header header;
    uint32_t flags, bytes_high, bytes, sec, usec, lost, out_of_order, datagrams, jitter[2];
    uint32_t more[8]; /* none of it, by the flags */
};
#define REPORT_IS_THERE 0x80000000u

struct flow {
    ip_addr_t peer;
    uint16_t port;
    bool ended;
    uint64_t begin, last, bytes; /* ns */
    uint32_t sent, came;
};

static uint32_t lost(const struct flow *f) { return f->sent - f->came; }

static void tell(const char *end, const struct flow *f)
{
    uint64_t ms = (f->last - f->begin) / NS_PER_MS;

    printf("iperf: done udp %s %s:%u: %lu bytes in %lu ms, %lu kbit/s, %u of %u datagrams lost\n",
           end, ipaddr_ntoa(&f->peer), f->port, f->bytes, ms, ms ? f->bytes * 8 / ms : 0, lost(f),
           f->sent);
}

static void put(struct udp_pcb *pcb, const ip_addr_t *to, uint16_t port, const void *data,
                uint16_t len)
{
    struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, len, PBUF_RAM);

    if (!p)
        return;
    pbuf_take(p, data, len);
    udp_sendto(pcb, p, to, port);
    pbuf_free(p);
}

/* --- the server: one client at a time, the one that came last --- */
static void answer(struct udp_pcb *pcb, const struct flow *f)
{
    uint64_t us = (f->last - f->begin) / 1000;
    struct report r = { .flags = lwip_htonl(REPORT_IS_THERE),
                        .bytes_high = lwip_htonl((uint32_t)(f->bytes >> 32)),
                        .bytes = lwip_htonl((uint32_t)f->bytes),
                        .sec = lwip_htonl((uint32_t)(us / 1000000)),
                        .usec = lwip_htonl((uint32_t)(us % 1000000)),
                        .lost = lwip_htonl(lost(f)),
                        .datagrams = lwip_htonl(f->sent) };

    put(pcb, &f->peer, f->port, &r, sizeof(r));
}

static void on_datagram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                        u16_t port)
{
    static struct flow f;
    struct header h;
    bool whole = pbuf_copy_partial(p, &h, sizeof(h), 0) == sizeof(h),
         same = f.port == port && ip_addr_cmp(&f.peer, from);
    uint32_t id = lwip_ntohl(h.id);

    (void)arg;
    if (whole && (int32_t)id < 0) {
        if (same && !f.ended) {
            f.ended = true;
            f.sent = LWIP_MAX(-id - 1, f.came);
            tell("server", &f);
        }
        if (same)
            answer(pcb, &f);
    } else if (whole) {
        if (!same || f.ended) {
            f = (struct flow){ .port = port, .begin = now_ns() };
            ip_addr_copy(f.peer, *from);
        }
        f.last = now_ns();
        f.bytes += p->tot_len;
        f.came++;
    }
    pbuf_free(p);
}

bool iperf_udp_server(void)
{
    struct udp_pcb *pcb = udp_new_ip_type(IPADDR_TYPE_ANY);

    if (!pcb || udp_bind(pcb, IP_ANY_TYPE, PORT))
        return false;
    udp_recv(pcb, on_datagram, NULL);
    return true;
}

/* --- the client --- */
static struct {
    struct udp_pcb *pcb;
    struct flow f;
    uint64_t end, next;
    unsigned kbits, lasts;
} client;

static bool send_one(uint32_t id)
{
    uint64_t us = now_ns() / 1000;
    struct header h = { .id = lwip_htonl(id),
                        .sec = lwip_htonl((uint32_t)(us / 1000000)),
                        .usec = lwip_htonl((uint32_t)(us % 1000000)) };
    struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, SIZE, PBUF_RAM);
    err_t rc = ERR_MEM;

    if (p) {
        memset(p->payload, 0, SIZE);
        pbuf_take(p, &h, sizeof(h));
        rc = udp_send(client.pcb, p);
        pbuf_free(p);
    }
    return rc == ERR_OK;
}

/* Its last datagram, which nobody has answered yet. */
static void send_last(void)
{
    if (client.lasts++ == LASTS) {
        printf("iperf: udp: nobody answers\n");
        client.f.ended = true;
        return;
    }
    send_one(-client.f.sent - 1);
    client.next = now_ns() + LAST_MS * NS_PER_MS;
}

uint64_t iperf_udp_turn(void)
{
    struct flow *f = &client.f;
    uint64_t now = now_ns(), due = (now - f->begin) / NS_PER_MS * client.kbits / 8;

    if (!client.pcb || f->ended)
        return 0;
    if (now < client.end) {
        while (f->bytes <= due && send_one(f->sent + 1)) {
            f->bytes += SIZE;
            f->sent++;
        }
        f->last = now;
        client.next = now + TICK_MS * NS_PER_MS;
    } else if (now >= client.next) {
        send_last();
    }
    return client.next;
}

static void on_report(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                      u16_t port)
{
    struct report r;

    (void)arg, (void)pcb, (void)from, (void)port;
    if (client.lasts && !client.f.ended &&
        pbuf_copy_partial(p, &r, sizeof(r), 0) >= offsetof(struct report, more)) {
        client.f.ended = true;
        client.f.came = client.f.sent - lwip_ntohl(r.lost);
        tell("client", &client.f);
    }
    pbuf_free(p);
}

bool iperf_udp_client(const ip_addr_t *to, unsigned seconds, unsigned kbits)
{
    client.pcb = udp_new_ip_type(IP_GET_TYPE(to));
    if (!client.pcb || udp_connect(client.pcb, to, PORT))
        return false;
    udp_recv(client.pcb, on_report, NULL);
    ip_addr_copy(client.f.peer, *to);
    client.f.port = PORT;
    client.f.begin = now_ns();
    client.end = client.f.begin + seconds * NS_PER_S;
    client.kbits = kbits;
    return true;
}
