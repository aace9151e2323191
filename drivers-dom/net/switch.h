/* SPDX-License-Identifier: MIT */
/*
 * The learning switch: port 0 is the uplink, ports 1.. are vifs. Pure: a frame goes in, a set of ports comes out.
 *
 * A *fixed* port has one MAC address: frames from it must carry it as source (and as ARP sender), frames to it go nowhere else,
 * and it is not flooded with unknown unicast. Addresses behind open ports (the uplink, vifs without a configured address) are
 * learnt in a bounded table and age. A frame never returns to the port it came from.
 */
#pragma once
#include <bh.h>

#define SW_PORTS  16u
#define SW_UPLINK 0u
#define SW_MACS   256u /* power of two */
#define SW_WAYS   4u
#define SW_AGE_NS (300 * NS_PER_S)

struct sw_port {
    bool fixed;
    uint8_t mac[6];
    /* Of frames from this port. wire_long: did not go to the uplink, which takes WIRE_MTU bytes behind the tags. no_csum: blank, and
     * nothing there that a checksum could be filled into (main.c). */
    uint64_t spoofed, bad_length, wire_long, no_csum, forwarded;
};

struct sw_mac {
    uint8_t mac[6];
    uint8_t port;
    bool used;
    uint64_t seen_ns;
};

struct sw {
    uint32_t up; /* a set of ports */
    struct sw_port port[SW_PORTS];
    struct sw_mac table[SW_MACS];
};
_Static_assert(SW_PORTS <= 32, "sets of ports");

/* Each port of a set, as it is when the loop begins. */
#define EACH_PORT(i, set)                                                                \
    for (uint32_t left_ = (set), i; left_ && (i = (uint32_t)__builtin_ctz(left_), true); \
         left_ &= left_ - 1)

void switch_port_up(struct sw *sw, unsigned port, const uint8_t *mac /* NULL: open */);
void switch_port_down(struct sw *sw, unsigned port); /* forgets what was learnt there */
/* The ports that a frame goes to, as a bit set; 0 is a drop. len: of the longest frame that it is on a wire (pkt_wire_len), of which PKT_PULL bytes are
 * looked at. */
uint32_t switch_route(struct sw *sw, unsigned from, const uint8_t *frame, unsigned len, uint64_t now);
