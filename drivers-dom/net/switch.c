/* SPDX-License-Identifier: MIT */
/* The learning switch: see switch.h. No allocation, no system call, bounded work for each frame. */
#include "switch.h"
#include <stdio.h>
#include <string.h>
#include "guard.h"
#include "pkt.h"

static bool mac_eq(const uint8_t *a, const uint8_t *b) { return memcmp(a, b, 6) == 0; }

/* 8 bits: the highest of a product are of all bits of its factor, those of an address's last byte as well. */
static uint32_t mac_hash(const uint8_t *mac, unsigned vid)
{
    uint32_t lo;

    memcpy(&lo, mac + 2, 4);
    return ((lo ^ (uint32_t)(mac[0] << 8 | mac[1]) ^ vid << 16) * 0x9e3779b1u) >> 24;
}

/* First of the SW_WAYS entries in which an address of a VLAN may live. */
static struct sw_mac *mac_set(struct sw *sw, unsigned bridge, const uint8_t *mac, unsigned vid)
{
    return &sw->table[bridge][mac_hash(mac, vid) & (SW_MACS - SW_WAYS)];
}

static void learn(struct sw *sw, unsigned port, const uint8_t *mac, unsigned vid, uint64_t now)
{
    struct sw_mac *set = mac_set(sw, sw->port[port].conf.bridge, mac, vid), *slot = NULL;

    for (unsigned i = 0; i < SW_WAYS; i++) {
        if (set[i].used && set[i].vid == vid && mac_eq(set[i].mac, mac)) {
            slot = &set[i];
            break;
        }
        if (!slot || !set[i].used || (slot->used && set[i].seen_ns < slot->seen_ns))
            slot = &set[i];
    }
    memcpy(slot->mac, mac, 6);
    slot->vid = (uint16_t)vid;
    slot->port = (uint8_t)port;
    slot->used = true;
    slot->seen_ns = now;
}

static int lookup(struct sw *sw, unsigned bridge, const uint8_t *mac, unsigned vid, uint64_t now)
{
    struct sw_mac *set = mac_set(sw, bridge, mac, vid);

    for (unsigned i = 0; i < SW_WAYS; i++) {
        if (!set[i].used || set[i].vid != vid || !mac_eq(set[i].mac, mac))
            continue;
        if (now > set[i].seen_ns + SW_AGE_NS) {
            set[i].used = false;
            return -1;
        }
        return set[i].port;
    }
    return -1;
}

/* Whose the address is on that bridge, wherever that is: nobody else is believed. */
static int fixed_owner(const struct sw *sw, unsigned bridge, const uint8_t *mac)
{
    for (uint32_t h = mac_hash(mac, 0); sw->fixed[h % SW_FIXED]; h++) {
        unsigned port = sw->fixed[h % SW_FIXED];
        if (sw->port[port].conf.bridge == bridge && mac_eq(sw->port[port].mac, mac))
            return (int)port;
    }
    return -1;
}

/* The lowest port of an address is found first. */
static void fixed_fill(struct sw *sw)
{
    memset(sw->fixed, 0, sizeof(sw->fixed));
    EACH_PORT(i, sw->up & ~SW_WIRES)
    {
        uint32_t h = mac_hash(sw->port[i].mac, 0);
        while (sw->fixed[h % SW_FIXED])
            h++;
        if (sw->port[i].fixed)
            sw->fixed[h % SW_FIXED] = (uint8_t)i;
    }
}

void switch_port_down(struct sw *sw, unsigned port)
{
    struct sw_mac *table = sw->table[sw->port[port].conf.bridge];

    sw->up &= ~port_bit(port);
    for (unsigned i = 0; i < SW_MACS; i++) {
        if (table[i].port == port)
            table[i].used = false;
    }
    fixed_fill(sw);
}

void switch_port_up(struct sw *sw, unsigned port, const uint8_t *mac, const struct slot_vif *conf)
{
    struct sw_port *p = &sw->port[port];

    switch_port_down(sw, port);
    memset(p, 0, sizeof(*p));
    sw->up |= port_bit(port);
    if (conf)
        p->conf = *conf;
    p->mtu = WIRE_MTU;
    p->fixed = mac != NULL;
    if (!mac)
        return;
    memcpy(p->mac, mac, 6);
    fixed_fill(sw);
    /* What somebody taught us about this address no longer counts. */
    for (unsigned i = 0; i < SW_MACS; i++) {
        if (mac_eq(sw->table[p->conf.bridge][i].mac, mac))
            sw->table[p->conf.bridge][i].used = false;
    }
}

/* --- VLANs ------------------------------------------------------------------------------------------------ */

static unsigned be16(const uint8_t *b) { return (unsigned)b[0] << 8 | b[1]; }

static bool in_trunk(const struct slot_vif *c, unsigned vid)
{
    for (unsigned i = 0; i < SLOT_TRUNKS && c->trunk[i]; i++)
        if (c->trunk[i] == vid)
            return true;
    return false;
}

static bool sees_all(const struct slot_vif *c) { return !c->vlan && !c->trunk[0]; }

/* The VLAN of a frame that the port sends, tagged with `tag` (0: not, or for the priority's sake). false: it is in none that the port is in. */
static bool vlan_of(const struct slot_vif *c, unsigned tag, unsigned *vid)
{
    *vid = tag ? tag : c->vlan;
    return sees_all(c) || (tag ? in_trunk(c, tag) : c->vlan != 0);
}

static bool is_member(const struct slot_vif *c, unsigned bridge, unsigned vid)
{
    return c->bridge == bridge && (sees_all(c) || (vid && (c->vlan == vid || in_trunk(c, vid))));
}

/* Whether the port sees frames of a VLAN that it is in with a tag. */
static bool sees_tag(const struct slot_vif *c, unsigned vid) { return vid && c->vlan != vid; }

/* --- who gets it ------------------------------------------------------------------------------------------ */

/* Everybody of the sender's bridge and the VLAN but itself; unknown unicast spares the ports that have one known address and no other. */
static ports_t flood(const struct sw *sw, unsigned from, unsigned vid, bool unicast)
{
    static const uint8_t none[6];
    ports_t set = 0;

    EACH_PORT(i, sw->up)
    {
        const struct sw_port *p = &sw->port[i];
        bool spared = unicast && p->fixed && mac_eq(p->conf.other[0], none);
        if (i != from && !spared && is_member(&p->conf, sw->port[from].conf.bridge, vid))
            set |= port_bit(i);
    }
    return set;
}

/* One frame of the port's allowance, which fills up again with time. */
static bool may_flood(struct sw_port *p, unsigned times, uint64_t now)
{
    const uint64_t each = NS_PER_S / SW_FLOOD_RATE / times, whole = each * SW_FLOOD_BURST * times;
    uint64_t ready = p->flood_ns > now && p->flood_ns <= now + whole ? p->flood_ns : now;

    if (ready + each > now + whole) {
        p->storm++;
        return false;
    }
    p->flood_ns = ready + each;
    return true;
}

/* The ports that a frame of a port that may send it goes to. */
static ports_t receivers(struct sw *sw, unsigned from, const uint8_t *dst, unsigned vid, uint64_t now)
{
    static const uint8_t bridges[5] = { 1, 0x80, 0xc2 };
    unsigned bridge = sw->port[from].conf.bridge;
    bool group = dst[0] & 1;

    /* For the next bridge alone (802.1Q, 8.6.3): a guest's PAUSE or BPDU would have the other end of the wire stop for all of us. */
    if (!memcmp(dst, bridges, 5) && dst[5] < 16)
        return 0;
    int to = group ? -1 : fixed_owner(sw, bridge, dst);

    if (!group && to < 0)
        to = lookup(sw, bridge, dst, vid, now);
    if (to >= 0)
        return (unsigned)to != from && is_member(&sw->port[to].conf, bridge, vid)
                   ? sw->up & port_bit((unsigned)to)
                   : 0;
    ports_t set = flood(sw, from, vid, !group);
    bool many = group || set & (set - 1);
    return many && set &&
                   !may_flood(&sw->port[from], port_bit(from) & SW_WIRES ? SW_FLOOD_UPLINK : 1, now)
               ? 0
               : set;
}

static void say_refused(struct sw_port *p, const char *why, const uint8_t *what, unsigned n)
{
    unsigned at;

    p->spoofed++;
    if (p->refused[0])
        return;
    at = (unsigned)snprintf(p->refused, sizeof(p->refused), "%s", why);
    for (unsigned i = 0; i < n && at < sizeof(p->refused); i++) {
        const char *between = !i ? " " : n == 4 ? "." : n == 16 && i % 2 ? "" : ":";
        at += (unsigned)snprintf(p->refused + at, sizeof(p->refused) - at,
                                 n == 4 ? "%s%u" : "%s%02x", between, what[i]);
    }
}

/* What of a frame lies in one piece. */
static unsigned head_len(unsigned len) { return len < PKT_PULL ? len : PKT_PULL; }

static bool may_send(struct sw *sw, unsigned from, const uint8_t *frame, unsigned len)
{
    struct sw_port *p = &sw->port[from];
    const uint8_t *what = frame + 6;
    unsigned n = 6, have = head_len(len);
    const char *why;

    if (p->fixed)
        why = guard_refuses(p, frame, have, have == len, &what, &n);
    else /* A group address is nobody's source; a fixed port's address comes from that port alone. */
        why = (what[0] & 1) || fixed_owner(sw, p->conf.bridge, what) >= 0 ? "a source address" : NULL;
    if (why)
        say_refused(p, why, what, n);
    return !why;
}

struct sw_way switch_route(struct sw *sw, unsigned from, const uint8_t *frame, unsigned len,
                           uint64_t now)
{
    struct sw_port *p = &sw->port[from];
    struct sw_way w = { .to = 0 };
    unsigned type, vid;

    if (!(sw->up & port_bit(from)))
        return w;
    if (len < ETH_HLEN || len > FRAME_MAX) {
        p->bad_length++;
        return w;
    }
    if (!may_send(sw, from, frame, len))
        return w;
    bool tag = len >= ETH_HLEN + 4 && be16(frame + 12) == 0x8100,
         more = frame_is_tag(be16(frame + (tag ? 16 : 12)));
    unsigned named = tag ? be16(frame + 14) & 0xfff : 0;
    /* One for the priority's sake hides none behind it. */
    if (!vlan_of(&p->conf, named, &vid) || (tag && !named && more && !sees_all(&p->conf))) {
        p->vlan++;
        return w;
    }
    if (!p->fixed || !mac_eq(frame + 6, p->mac))
        learn(sw, from, frame + 6, vid, now);
    p->forwarded++;
    w = (struct sw_way){ .to = receivers(sw, from, frame, vid, now),
                         .vid = (uint16_t)vid,
                         .tagged = tag };
    unsigned put = !tag && vid ? 4 : 0, /* before it, for a wire, which sees all */
        head = put + frame_payload(frame, head_len(len), &type);
    /* NICs have room for two tags: more are as long as what is behind them. */
    if ((w.to & SW_WIRES) && put + len - (head < WIRE_HEAD ? head : WIRE_HEAD) >
                                 sw->port[sw_uplink(p->conf.bridge)].mtu) {
        p->wire_long++;
        w.to &= ~SW_WIRES;
    }
    EACH_PORT(i, w.to)
    {
        const struct slot_vif *c = &sw->port[i].conf;
        if (more && c->trunk[0] && !sees_tag(c, vid)) { /* it would take that one for the VLAN's */
            p->vlan++;
            w.to &= ~port_bit(i);
            continue;
        }
        /* Who sees all sees it as it is, if that says all: a tag for the priority's sake stays. */
        if (sees_all(c) ? !tag && vid : tag != sees_tag(c, vid))
            w.other |= port_bit(i);
    }
    return w;
}
