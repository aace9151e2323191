/* SPDX-License-Identifier: MIT */
/*
 * An interface of lwIP's on a small domain's vif. Its addresses stand on the command line:
 *
 *     ip=A.B.C.D[/PREFIX]   one of its own (/24 if it does not say); gw=A.B.C.D: who knows the rest of the world
 *     dhcp                  the network gives one
 *     ip6=ADDRESS           beside the link-local one, and those that routers announce; gw6=ADDRESS: who knows the rest of the world, routers apart
 *
 * Whoever has one turns lwip_wait instead of event_wait: lwIP has timers.
 */
#pragma once
#include <lwip/netif.h>
#include <netfront.h>

struct lwip_vif {
    struct netif netif;
    struct netfront front;
    ip6_addr_t gw6;
    bool no_routers; /* those of IPv6 are not believed: an address and a way are said, or there are none */
    uint64_t dropped; /* frames that came when there was no memory for them, and those that lwIP wanted to send when the ring was full */
};

/* Opens vif `devid` of this domain: 0 once it is connected and has its IPv4 address; -errno. */
int lwip_vif_open(struct lwip_vif *v, unsigned devid);
/* The same for who has other things to do meanwhile: 0 once it is begun; then 0 once it is up, -EAGAIN until then. */
int lwip_vif_begin(struct lwip_vif *v, unsigned devid);
int lwip_vif_up(struct lwip_vif *v);
/* One turn of the main loop: event_wait, and lwIP's timers. */
void lwip_wait(uint64_t until_ns);
