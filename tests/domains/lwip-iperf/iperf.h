/* SPDX-License-Identifier: MIT */
/* iperf 2 over TCP, by lwIP's lwiperf. */
#pragma once
#include <stdbool.h>
#include <lwip/ip_addr.h>

/* Each transfer's end is told by a line. */
bool iperf_server(void);
bool iperf_client(const ip_addr_t *to, unsigned seconds);
