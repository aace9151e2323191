/* SPDX-License-Identifier: MIT */
/*
 * lwiperf is taken in as text, for two things that it has no call for: how long a transfer lasts, and a connection that the peer reset. That one is
 * gone when lwIP tells of it, and lwiperf would close it once more (it is so in 2.1.3). What of it nobody calls (lwiperf_abort, lwiperf_start_tcp_client,
 * lwiperf_start_tcp_server) the linker leaves out.
 */
#include "iperf.h"
#include <lwip/tcp.h>
#include <stdio.h>

static void ended(void *arg, err_t err);
#define tcp_err(pcb, fn) tcp_err(pcb, (fn) ? ended : (tcp_err_fn)NULL)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Waddress"
#include <../apps/lwiperf/lwiperf.c>
#pragma GCC diagnostic pop
#undef tcp_err

static void tell(void *arg, enum lwiperf_report_type type, const ip_addr_t *here, uint16_t port,
                 const ip_addr_t *peer, uint16_t peer_port, uint32_t bytes, uint32_t ms,
                 uint32_t kbits)
{
    static const char *const how[] = { "done server",   "done client", "aborted here",
                                       "aborted: data", "aborted: tx", "aborted there" };

    (void)arg, (void)here, (void)port;
    printf("iperf: %s %s:%u: %u bytes in %u ms, %u kbit/s\n", how[type], ipaddr_ntoa(peer),
           peer_port, bytes, ms, kbits);
}

static void ended(void *arg, err_t err)
{
    lwiperf_state_tcp_t *c = arg;
    struct tcp_pcb gone = { .remote_port = 0 };

    (void)err;
    lwiperf_list_remove(&c->base);
    c->conn_pcb = &gone;
    lwip_tcp_conn_report(c, LWIPERF_TCP_ABORTED_REMOTE);
    LWIPERF_FREE(lwiperf_state_tcp_t, c);
}

bool iperf_server(void) { return lwiperf_start_tcp_server_default(tell, NULL); }

bool iperf_client(const ip_addr_t *to, unsigned seconds)
{
    lwiperf_state_tcp_t *c = lwiperf_start_tcp_client_default(to, tell, NULL);

    if (c)
        c->settings.amount = lwip_htonl(-(seconds * 100));
    return c;
}
