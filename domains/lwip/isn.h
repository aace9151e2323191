/* SPDX-License-Identifier: MIT */
/* The first sequence number of a connection, which lwIP asks for (LWIP_HOOK_TCP_ISN). */
#pragma once
#include <lwip/ip_addr.h>

uint32_t lwip_isn(const ip_addr_t *here, uint16_t port, const ip_addr_t *there, uint16_t peer_port);
