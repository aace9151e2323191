/* SPDX-License-Identifier: MIT */
/* Who a fixed port may say that it is: see guard.h. Every read is bounded by the frame's length. */
#include "guard.h"
#include <string.h>
#include "pkt.h"

enum { ICMP6 = 58, UDP = 17 };
enum { ND_RS = 133, ND_RA, ND_NS, ND_NA, ND_REDIRECT };

struct look {
    const struct sw_port *p;
    const uint8_t *f, **what;
    unsigned len, *n;
    bool whole; /* there is nothing behind len */
};

static const char *refuse(const struct look *l, const uint8_t *what, unsigned n, const char *why)
{
    *l->what = what;
    *l->n = n;
    return why;
}

static bool own_mac(const struct sw_port *p, const uint8_t *mac)
{
    static const uint8_t none[6];
    bool own = !memcmp(mac, p->mac, 6);

    for (unsigned i = 0; i < SLOT_MACS && !own; i++)
        own = memcmp(p->conf.other[i], none, 6) && !memcmp(mac, p->conf.other[i], 6);
    return own;
}

static bool in_prefix(const uint8_t *addr, const struct slot_ip *ip)
{
    unsigned bytes = ip->bits / 8, bits = ip->bits % 8;

    return ip->bits <= 128 && !memcmp(addr, ip->addr, bytes) &&
           (!bits || !((addr[bytes] ^ ip->addr[bytes]) >> (8 - bits)));
}

static bool mapped(const uint8_t *addr)
{
    static const uint8_t v4[12] = { [10] = 0xff, 0xff };
    return !memcmp(addr, v4, 12);
}

/* As addr[16] of a slot_ip. A prefix of IPv6 holds no IPv4 address, however short it is. */
static bool given_ip(const struct sw_port *p, const uint8_t *addr)
{
    for (unsigned i = 0; i < p->conf.nr_ips && i < SLOT_IPS; i++)
        if (mapped(addr) == mapped(p->conf.ip[i].addr) && in_prefix(addr, &p->conf.ip[i]))
            return true;
    return false;
}

static bool given_ip4(const struct sw_port *p, const uint8_t *addr)
{
    uint8_t a[16] = { [10] = 0xff, 0xff };

    memcpy(a + 12, addr, 4);
    return given_ip(p, a);
}

static bool link_local(const struct sw_port *p, const uint8_t *addr)
{
    const uint8_t *m = p->mac;
    const uint8_t own[16] = { 0xfe, 0x80, 0,    0,    0,    0,    0,   0, (uint8_t)(m[0] ^ 2),
                              m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5] };
    return !memcmp(addr, own, 16);
}

static bool own_ip6(const struct sw_port *p, const uint8_t *addr)
{
    return given_ip(p, addr) || link_local(p, addr);
}

static bool zero(const uint8_t *a, unsigned n)
{
    while (n && !a[n - 1])
        n--;
    return !n;
}

/* RFC 826: the sender's hardware address at 8, its protocol address at 14. */
static const char *arp(const struct look *l, unsigned at)
{
    if (at + 28 > l->len)
        return refuse(l, NULL, 0, "an ARP packet that is cut off");
    if (!own_mac(l->p, l->f + at + 8))
        return refuse(l, l->f + at + 8, 6, "an ARP sender");
    const uint8_t *ip = l->f + at + 14;
    if (l->p->conf.nr_ips && !zero(ip, 4) && !given_ip4(l->p, ip))
        return refuse(l, ip, 4, "an ARP sender");
    return NULL;
}

static const char *ip4(const struct look *l, unsigned at)
{
    const uint8_t *h = l->f + at;

    if (at + 20 > l->len)
        return refuse(l, NULL, 0, "an IPv4 header that is cut off");
    if (given_ip4(l->p, h + 12))
        return NULL;
    unsigned ihl = (h[0] & 15u) * 4;
    bool asks = zero(h + 12, 4) && h[9] == UDP && at + ihl + 4 <= l->len && !h[ihl + 2] &&
                h[ihl + 3] == 67;
    return asks ? NULL : refuse(l, h + 12, 4, "a source address");
}

/* Options of a neighbour message (RFC 4861, 4.6): no link-layer address but its own. */
static const char *options(const struct look *l, unsigned at, unsigned end)
{
    while (at + 8 <= end) {
        const uint8_t *o = l->f + at;
        if (!o[1])
            break; /* hosts drop the packet */
        if ((o[0] == 1 || o[0] == 2) && !own_mac(l->p, o + 2))
            return refuse(l, o + 2, 6, "a neighbour's link address");
        at += o[1] * 8u;
    }
    return l->whole ? NULL : refuse(l, NULL, 0, "a neighbour message that is too long");
}

/* From no address, a solicitation asks whether its target is free: who asks that of another's forbids it that one. */
static const char *icmp6(const struct look *l, unsigned at, unsigned end, bool nobody)
{
    const uint8_t *m = l->f + at;

    if (at + 8 > end || (at + 24 > end && (m[0] == ND_NS || m[0] == ND_NA)))
        return refuse(l, NULL, 0, "an ICMPv6 header that is cut off");
    switch (m[0]) {
    case ND_RA: return refuse(l, NULL, 0, "a router advertisement");
    case ND_REDIRECT: return refuse(l, NULL, 0, "a redirect");
    case ND_RS: return options(l, at + 8, end);
    case ND_NA:
        if (!own_ip6(l->p, m + 8))
            return refuse(l, m + 8, 16, "a neighbour advertisement");
        /* fall through */
    case ND_NS:
        if (nobody && !own_ip6(l->p, m + 8))
            return refuse(l, m + 8, 16, "a search for an address's owner");
        return options(l, at + 24, end);
    }
    return NULL;
}

static const char *ip6(const struct look *l, unsigned at)
{
    const uint8_t *h = l->f + at;
    uint8_t proto;

    if (at + 40 > l->len)
        return refuse(l, NULL, 0, "an IPv6 header that is cut off");
    unsigned transport = frame_ip6_transport(l->f, l->len, at, &proto);
    bool icmp = proto == ICMP6;
    if (!transport)
        return refuse(l, NULL, 0, "IPv6 headers that are cut off");
    bool nobody = zero(h + 8, 16);
    if (!own_ip6(l->p, h + 8) && !(icmp && nobody))
        return refuse(l, h + 8, 16, "a source address");
    return icmp ? icmp6(l, transport, l->len, nobody) : NULL;
}

/* Some hosts take behind SNAP (RFC 1042; with 0xf8: IEEE 802.1H) what they take behind the Ethernet header. */
static unsigned behind_snap(const struct look *l, unsigned at, unsigned *type)
{
    const uint8_t *h = l->f + at;

    if (*type >= 0x600 || at + 8 > l->len || memcmp(h, "\xaa\xaa\3\0", 5) || (h[5] && h[5] != 0xf8))
        return at;
    *type = (unsigned)h[6] << 8 | h[7];
    return at + 8;
}

const char *guard_refuses(const struct sw_port *p, const uint8_t *frame, unsigned len, bool whole,
                          const uint8_t **what, unsigned *n)
{
    struct look l = { .p = p, .f = frame, .what = what, .len = len, .n = n, .whole = whole };
    unsigned type, at = frame_payload(frame, len, &type);

    if (!own_mac(p, frame + 6))
        return refuse(&l, frame + 6, 6, "a source address");
    at = behind_snap(&l, at, &type);
    if (frame_is_tag(type)) /* hosts take off as many as there are */
        return refuse(&l, NULL, 0, "a frame whose tags do not end");
    if (type == 0x0806)
        return arp(&l, at);
    if (!p->conf.nr_ips)
        return NULL;
    return type == 0x0800 ? ip4(&l, at) : type == 0x86dd ? ip6(&l, at) : NULL;
}
