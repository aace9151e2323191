/* SPDX-License-Identifier: MIT */
/* What lwIP asks for: the first sequence number of a connection (LWIP_HOOK_TCP_ISN), and who knows the way there (LWIP_HOOK_ND6_GET_GW) or NULL. */
#pragma once
#include <lwip/ip_addr.h>

struct netif;

uint32_t lwip_isn(const ip_addr_t *here, uint16_t port, const ip_addr_t *there, uint16_t peer_port);
const ip6_addr_t *lwip_gateway6(struct netif *netif, const ip6_addr_t *there);
