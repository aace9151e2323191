/* SPDX-License-Identifier: MIT */
/* iperf 2: over TCP by lwIP's lwiperf, over UDP by udp.c. */
#pragma once
#include <stdbool.h>
#include <lwip/ip_addr.h>

/* Each transfer's end is told by a line. */
bool iperf_server(void);
bool iperf_client(const ip_addr_t *to, unsigned seconds);
bool iperf_udp_server(void);
bool iperf_udp_client(const ip_addr_t *to, unsigned seconds, unsigned kbits);
/* What the client has to do now; when it is to be called again, 0: never. */
uint64_t iperf_udp_turn(void);
