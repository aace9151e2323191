/* SPDX-License-Identifier: MIT */
/* The learning switch: see switch.h. No allocation, no system call, bounded work for each frame. */
#include "switch.h"
#include <string.h>
#include "pkt.h"

static bool mac_eq(const uint8_t *a, const uint8_t *b) { return memcmp(a, b, 6) == 0; }

/* First of the SW_WAYS entries in which an address may live. */
static struct sw_mac *mac_set(struct sw *sw, const uint8_t *mac)
{
    uint32_t lo, h;

    memcpy(&lo, mac + 2, 4);
    h = (lo ^ (uint32_t)(mac[0] << 8 | mac[1])) * 0x9e3779b1u;
    return &sw->table[(h >> 16) & (SW_MACS - SW_WAYS)];
}

static void learn(struct sw *sw, unsigned port, const uint8_t *mac, uint64_t now)
{
    struct sw_mac *set = mac_set(sw, mac), *slot = NULL;

    for (unsigned i = 0; i < SW_WAYS; i++) {
        if (set[i].used && mac_eq(set[i].mac, mac)) {
            slot = &set[i];
            break;
        }
        if (!slot || !set[i].used || (slot->used && set[i].seen_ns < slot->seen_ns))
            slot = &set[i];
    }
    memcpy(slot->mac, mac, 6);
    slot->port = (uint8_t)port;
    slot->used = true;
    slot->seen_ns = now;
}

static int lookup(struct sw *sw, const uint8_t *mac, uint64_t now)
{
    struct sw_mac *set = mac_set(sw, mac);

    for (unsigned i = 0; i < SW_WAYS; i++) {
        if (!set[i].used || !mac_eq(set[i].mac, mac))
            continue;
        if (now > set[i].seen_ns + SW_AGE_NS) {
            set[i].used = false;
            return -1;
        }
        return set[i].port;
    }
    return -1;
}

static int fixed_owner(const struct sw *sw, const uint8_t *mac)
{
    EACH_PORT(i, sw->up)
    {
        if (sw->port[i].fixed && mac_eq(sw->port[i].mac, mac))
            return (int)i;
    }
    return -1;
}

void switch_port_down(struct sw *sw, unsigned port)
{
    sw->up &= ~(1u << port);
    for (unsigned i = 0; i < SW_MACS; i++) {
        if (sw->table[i].port == port)
            sw->table[i].used = false;
    }
}

void switch_port_up(struct sw *sw, unsigned port, const uint8_t *mac)
{
    struct sw_port *p = &sw->port[port];

    switch_port_down(sw, port);
    memset(p, 0, sizeof(*p));
    sw->up |= 1u << port;
    p->fixed = mac != NULL;
    if (!mac)
        return;
    memcpy(p->mac, mac, 6);
    /* What somebody taught us about this address no longer counts. */
    struct sw_mac *set = mac_set(sw, mac);
    for (unsigned i = 0; i < SW_WAYS; i++) {
        if (mac_eq(set[i].mac, mac))
            set[i].used = false;
    }
}

/* What of a frame lies in one piece. */
static unsigned head_len(unsigned len) { return len < PKT_PULL ? len : PKT_PULL; }

/* A fixed port speaks for its own address only, also inside ARP (RFC 826: sender hardware address at byte 8). */
static bool source_allowed(const struct sw_port *p, const uint8_t *frame, unsigned len)
{
    unsigned type;

    if (!mac_eq(frame + 6, p->mac))
        return false;
    unsigned at = frame_payload(frame, head_len(len), &type);
    if (type != 0x0806)
        return true;
    return head_len(len) >= at + 28 && mac_eq(frame + at + 8, p->mac);
}

/* Everybody but the sender; unknown unicast spares the ports that have one known address. */
static uint32_t flood(const struct sw *sw, unsigned from, bool unicast)
{
    uint32_t set = 0;

    EACH_PORT(i, sw->up)
    {
        if (i != from && !(unicast && sw->port[i].fixed))
            set |= 1u << i;
    }
    return set;
}

/* The ports that a frame of a port that may send it goes to. */
static uint32_t receivers(struct sw *sw, unsigned from, const uint8_t *dst, uint64_t now)
{
    if (dst[0] & 1)
        return flood(sw, from, false);
    int to = fixed_owner(sw, dst);
    if (to < 0)
        to = lookup(sw, dst, now);
    if (to < 0)
        return flood(sw, from, true);
    return (unsigned)to == from || !(sw->up & 1u << to) ? 0 : 1u << to;
}

uint32_t switch_route(struct sw *sw, unsigned from, const uint8_t *frame, unsigned len, uint64_t now)
{
    struct sw_port *p = &sw->port[from];
    unsigned type;

    if (!(sw->up & 1u << from))
        return 0;
    if (len < ETH_HLEN || len > FRAME_MAX) {
        p->bad_length++;
        return 0;
    }
    const uint8_t *src = frame + 6;
    if (p->fixed) {
        if (!source_allowed(p, frame, len)) {
            p->spoofed++;
            return 0;
        }
    } else {
        /* A group address is nobody's source; a fixed port's address comes from that port alone. */
        if ((src[0] & 1) || fixed_owner(sw, src) >= 0) {
            p->spoofed++;
            return 0;
        }
        learn(sw, from, src, now);
    }
    p->forwarded++;
    uint32_t to = receivers(sw, from, frame, now);
    if ((to & 1u << SW_UPLINK) && len - frame_payload(frame, head_len(len), &type) > WIRE_MTU) {
        p->wire_long++;
        to &= ~(1u << SW_UPLINK);
    }
    return to;
}
