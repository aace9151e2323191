/* SPDX-License-Identifier: MIT */
/* Port 7. What came by TCP and does not fit into the way out yet stays in lwIP's buffers, and is acknowledged to the peer's window when it is out. */
#include <errno.h>
#include <lwip/tcp.h>
#include <lwip/udp.h>
#include "echo.h"

#define ECHO_PORT 7

/* The argument of a connection: what waits, or NULL. */
static err_t push(struct tcp_pcb *pcb, struct pbuf *p)
{
    while (p) {
        uint16_t n = p->len < tcp_sndbuf(pcb) ? p->len : tcp_sndbuf(pcb);
        if (!n || tcp_write(pcb, p->payload, n, TCP_WRITE_FLAG_COPY))
            break;
        tcp_recved(pcb, n);
        p = pbuf_free_header(p, n);
    }
    tcp_arg(pcb, p);
    return tcp_output(pcb);
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, uint16_t len)
{
    (void)len;
    return push(pcb, arg);
}

static err_t on_poll(void *arg, struct tcp_pcb *pcb) { return push(pcb, arg); }

static void on_error(void *arg, err_t err)
{
    (void)err;
    if (arg)
        pbuf_free(arg);
}

static err_t on_data(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct pbuf *waits = arg;

    (void)err;
    if (!p) { /* the peer has said everything; what it closes with answers still to come is its loss */
        tcp_arg(pcb, NULL);
        tcp_err(pcb, NULL);
        if (waits)
            pbuf_free(waits);
        return tcp_close(pcb);
    }
    if (waits) {
        if (waits->tot_len + p->tot_len > UINT16_MAX) /* it is offered again */
            return ERR_MEM;
        pbuf_cat(waits, p);
    } else {
        waits = p;
    }
    return push(pcb, waits);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg;
    if (err || !pcb)
        return ERR_VAL;
    tcp_setprio(pcb, TCP_PRIO_MIN); /* the oldest makes room for a new one */
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, on_data);
    tcp_sent(pcb, on_sent);
    tcp_poll(pcb, on_poll, 2);
    tcp_err(pcb, on_error);
    return ERR_OK;
}

static void on_datagram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                        uint16_t port)
{
    (void)arg;
    udp_sendto(pcb, p, from, port);
    pbuf_free(p);
}

int echo_serve(void)
{
    struct udp_pcb *udp = udp_new_ip_type(IPADDR_TYPE_ANY);
    struct tcp_pcb *tcp = tcp_new_ip_type(IPADDR_TYPE_ANY);

    if (!udp || !tcp || udp_bind(udp, IP_ANY_TYPE, ECHO_PORT) ||
        tcp_bind(tcp, IP_ANY_TYPE, ECHO_PORT))
        return -ENOMEM;
    udp_recv(udp, on_datagram, NULL);
    tcp = tcp_listen(tcp);
    if (!tcp)
        return -ENOMEM;
    tcp_accept(tcp, on_accept);
    return 0;
}
