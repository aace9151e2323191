/* SPDX-License-Identifier: MIT */
/*
 * iperf 2 as a small guest: a peer for measuring a network path without another Linux. Command line: what <lwip_vif.h> has, and
 *     server            takes what iperf clients send to port 5001
 *     client=ADDRESS    sends to the iperf server there, for seconds=N (10); with udp=KBITS datagrams, so many kbit a second
 *
 * Lines for tests: `iperf: ready ADDRESS`, and at the end of each transfer `iperf: done server|client PEER:PORT: N bytes in N ms, N kbit/s`;
 * of datagrams `iperf: done udp server|client ...`, and at its end `, N of N datagrams lost`.
 */
#include <bh.h>
#include <lwip_vif.h>
#include <stdio.h>
#include <stdlib.h>
#include "iperf.h"

static struct lwip_vif vif;

int main(void);

static unsigned number(const char *word) { return (unsigned)strtoul(word, NULL, 10); }

int main(void)
{
    char word[48], seconds[12] = "10", kbits[12] = "";
    ip_addr_t to;
    int rc = lwip_vif_open(&vif, 0);

    if (rc)
        bh_panic("iperf: no network: %d", rc);
    printf("iperf: ready %s\n", ip4addr_ntoa(netif_ip4_addr(&vif.netif)));
    if (cmdline_get("server", word, sizeof(word)) && !(iperf_server() && iperf_udp_server()))
        bh_panic("iperf: no server");
    cmdline_get("seconds", seconds, sizeof(seconds));
    bool udp = cmdline_get("udp", kbits, sizeof(kbits));
    if (cmdline_get("client", word, sizeof(word)) &&
        !(ipaddr_aton(word, &to) && (udp ? iperf_udp_client(&to, number(seconds), number(kbits))
                                         : iperf_client(&to, number(seconds)))))
        bh_panic("iperf: no client of %s", word);
    for (;;)
        lwip_wait(iperf_udp_turn());
}
