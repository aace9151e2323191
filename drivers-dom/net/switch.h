/* SPDX-License-Identifier: MIT */
/*
 * The learning switch: port 0 is the uplink, ports 1.. are vifs. Pure: a frame goes in, sets of ports come out.
 *
 * It is up to SW_UPLINKS bridges, which have nothing in common: each port is on the one that its `conf` says, nothing goes from one to another, and an
 * address may be on each of them. Port 0 is the first one's uplink, those of the others come after all vifs (sw_uplink).
 *
 * A *fixed* port has one MAC address: frames from it must carry it as source (guard.h), frames to it go nowhere else,
 * and it is not flooded with unknown unicast. Addresses behind open ports (the uplink, vifs without a configured address), and the further
 * ones that a fixed port may have, are learnt in a bounded table, for each VLAN apart, and age. A frame never returns to the port it came from.
 *
 * VLANs (IEEE 802.1Q) are as Open vSwitch has them (ovs-vswitchd.conf.db(5)). A port with `vlan` alone is an access port: it sees that VLAN
 * without tags, and a tag that it sends is refused. One with `trunk` sees those VLANs with tags, and `vlan`, if it has one, without.
 * One with neither, as the uplink is, sees all as they are; what has no tag is in VLAN 0, which is the same as a tag of 0. Only the outermost tag of
 * type 8100 counts. What a trunk would see without that one, but with another behind it, does not go there.
 *
 * What goes to many (broadcast, multicast, unknown) is limited for each port that it comes from.
 */
#pragma once
#include <bh.h>
#include <slot_table.h>

#define SW_VIFS    65u /* ports 1 to 64 are vifs */
#define SW_UPLINKS SLOT_BRIDGES
#define SW_PORTS   (SW_VIFS + SW_UPLINKS - 1)
#define SW_UPLINK  0u
#define SW_FIXED   256u /* power of two */
#define SW_MACS    256u /* likewise: mac_hash */
#define SW_WAYS    4u
#define SW_AGE_NS  (300 * NS_PER_S)
/* Frames to many that a port may send a second, and at once. */
#define SW_FLOOD_RATE   2000u
#define SW_FLOOD_BURST  500u
#define SW_FLOOD_UPLINK 10u /* times as many of each */

struct sw_port {
    bool fixed;
    uint8_t mac[6];
    uint16_t mtu;         /* of an uplink: bytes behind the tags */
    struct slot_vif conf; /* bridge, VLANs, further addresses; all zero: the first one, none */
    uint64_t flood_ns;    /* when its allowance to flood is whole again */
    /* Of frames from this port. wire_long: did not go to the uplink, which takes `mtu` bytes behind the tags. no_csum: blank, and
     * nothing there that a checksum could be filled into (main.c). storm: over the allowance. vlan: of a VLAN that it is not in. no_room: for a copy with another tag. */
    uint64_t spoofed, bad_length, wire_long, no_csum, storm, vlan, no_room, forwarded;
    char refused[96]; /* the first refusal that nobody has read, "": none */
};

struct sw_mac {
    uint8_t mac[6];
    uint16_t vid;
    uint8_t port;
    bool used;
    uint64_t seen_ns;
};

/* A set of ports. */
typedef unsigned __int128 ports_t;
_Static_assert(SW_PORTS <= 8 * sizeof(ports_t), "sets of ports");
_Static_assert(SW_PORTS < SW_FIXED, "a search for a fixed port ends");
static inline ports_t port_bit(unsigned port) { return (ports_t)1 << port; }
static inline unsigned port_first(ports_t set) /* of one that is not empty */
{
    return (uint64_t)set ? (unsigned)__builtin_ctzl((uint64_t)set)
                         : 64u + (unsigned)__builtin_ctzl((uint64_t)(set >> 64));
}
/* Each port of a set, as it is when the loop begins. */
#define EACH_PORT(i, set)                         \
    for (ports_t left_ = (set); left_; left_ = 0) \
        for (unsigned i; left_ && (i = port_first(left_), true); left_ &= left_ - 1)

static inline unsigned sw_uplink(unsigned bridge)
{
    return bridge ? SW_VIFS - 1 + bridge : SW_UPLINK;
}
#define SW_WIRES (port_bit(SW_UPLINK) | (port_bit(SW_UPLINKS - 1) - 1) << SW_VIFS)

struct sw {
    ports_t up;
    uint8_t fixed[SW_FIXED]; /* ports that are up and fixed, by their address; 0: none (uplinks are not) */
    struct sw_port port[SW_PORTS];
    struct sw_mac table[SW_UPLINKS][SW_MACS];
};

/* Where a frame goes: to the ports of `to`; those of `other`, which are among them, see it with its outermost tag taken off if it has one
 * (`tagged`), with a tag of `vid` if it has none. */
struct sw_way {
    ports_t to, other;
    uint16_t vid;
    bool tagged;
};

void switch_port_up(struct sw *sw, unsigned port, const uint8_t *mac /* NULL: open */,
                    const struct slot_vif *conf /* NULL: nothing more */);
void switch_port_down(struct sw *sw, unsigned port); /* forgets what was learnt there */
/* len: of the longest frame that it is on a wire (pkt_wire_len), of which PKT_PULL bytes are looked at. to = 0 is a drop, counted at the port that it
 * is from. */
struct sw_way switch_route(struct sw *sw, unsigned from, const uint8_t *frame, unsigned len,
                           uint64_t now);
