/* SPDX-License-Identifier: MIT */
/*
 * Multicast control (<xen/io/netif.h>, feature-multicast-control): a front-end that asked for it when it connected gets multicast to the addresses of
 * its list alone, which it changes by extra infos. The list lies in the keep record of its first queue: it is still there after a crash. A change
 * that is done twice is done once. Pure.
 */
#pragma once
#include "netback.h"

/* false: no group address, or there is no room for one more. */
bool mcast_change(struct keep_vif *k, const uint8_t mac[6], bool add);
/* Whether a frame to that address goes to it. */
bool mcast_passes(const struct nb_vif *v, const uint8_t dst[6]);
