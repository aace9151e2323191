/* SPDX-License-Identifier: MIT */
/* A segment of VXLAN: see vxlan.h. */
#include "vxlan.h"
#include <devname.h>
#include <stdlib.h>
#include <string.h>
#include "rss.h"

#define FLAG_VNI 0x08u /* the others are to be ignored */

/* --- the configuration ------------------------------------------------------------------------------------ */

static bool number(const char *s, unsigned long max, unsigned long *v)
{
    size_t n = strspn(s, "0123456789");

    *v = strtoul(s, NULL, 10);
    return n && n < 10 && !s[n] && *v && *v <= max;
}

/* Up to a comma or the end. NULL: it is none. */
static const char *address(const char *s, struct vxlan_end *e)
{
    const char *end;
    bool good = ip_parse(s, &end, (uint8_t *)e->a);

    return good && (!*end || *end == ',') ? end : NULL;
}

struct vxlan_end vxlan_end4(uint32_t ip)
{
    struct vxlan_end e = { { 0 } };

    memset((uint8_t *)e.a + 10, 0xff, 2);
    memcpy((uint8_t *)e.a + 12, &ip, 4);
    return e;
}

static uint32_t ip4(struct vxlan_end e) { return (uint32_t)(e.a[1] >> 32); }
static bool is(struct vxlan_end e, struct vxlan_end o)
{
    return e.a[0] == o.a[0] && e.a[1] == o.a[1];
}
bool vxlan_is4(struct vxlan_end e) { return is(e, vxlan_end4(ip4(e))); }
static bool any(struct vxlan_end e) { return e.a[0] || e.a[1]; }

/* 0.0.0.0/8, groups, and what is kept back above them are nobody's, as are ::/8 and ff00::/8. */
static bool is_host(struct vxlan_end e)
{
    const uint8_t *a = (const uint8_t *)e.a;

    return vxlan_is4(e) ? a[12] && a[12] < 224 : a[0] && a[0] != 0xff;
}

static bool is_told(const struct vxlan *v, struct vxlan_end e)
{
    for (unsigned i = 0; i < v->nr_told; i++)
        if (is(v->peer[i].ip, e))
            return true;
    return false;
}

static const char *peers_read(struct vxlan *v, const char *s)
{
    struct vxlan_end ip;

    for (; *s; s += *s == ',') {
        if (!strncmp(s, "any", 3) && (!s[3] || s[3] == ',')) {
            v->any = true;
            s += 3;
            continue;
        }
        const char *end = address(s, &ip);
        if (!end || !is_host(ip))
            return "peers has something that is no address of a peer";
        s = end;
        if (is_told(v, ip))
            continue;
        if (v->nr_told == VXLAN_TOLD)
            return "peers has more than 16";
        v->peer[v->nr_told++].ip = ip;
    }
    return NULL;
}

const char *vxlan_begin(struct vxlan *v, const char *vni, const char *port, const char *peers,
                        const char *group)
{
    unsigned long n = VXLAN_PORT;
    const char *end;

    memset(v, 0, sizeof(*v));
    if (port && !number(port, 0xffff, &n))
        return "its port is none";
    v->port = (uint16_t)n;
    if (!vni || !number(vni, VXLAN_VNIS - 1, &n))
        return "its number is not between 1 and 16777215";
    v->vni = (uint32_t)n;
    if (group) {
        end = address(group, &v->group);
        if (!end || *end || !vxlan_is4(v->group) || (ip4(v->group) & 0xf0) != 0xe0)
            return "group is no address of a group";
    }
    return peers ? peers_read(v, peers) : NULL;
}

/* --- who is where ----------------------------------------------------------------------------------------- */

static struct vxlan_mac *set_of(struct vxlan *v, const uint8_t mac[6])
{
    uint64_t h = 0;

    memcpy(&h, mac, 6);
    h *= 0x9e3779b97f4a7c15u;
    return &v->table[h >> 56 & (VXLAN_MACS - VXLAN_WAYS)]; /* the last byte of the address counts in the upper bits alone */
}

/* Its entry, or the one that it would get: a free one, else that of who was silent for longest. */
static struct vxlan_mac *entry(struct vxlan *v, const uint8_t mac[6])
{
    struct vxlan_mac *set = set_of(v, mac), *best = set;

    for (struct vxlan_mac *m = set; m < set + VXLAN_WAYS; m++) {
        if (any(m->ip) && !memcmp(m->mac, mac, 6))
            return m;
        if (any(best->ip) && (!any(m->ip) || m->seen_ns < best->seen_ns))
            best = m;
    }
    return best;
}

static void learn(struct vxlan *v, const uint8_t mac[6], struct vxlan_end ip, uint64_t now)
{
    struct vxlan_mac *m = entry(v, mac);

    memcpy(m->mac, mac, 6);
    m->ip = ip;
    m->seen_ns = now;
}

static struct vxlan_peer *peer_of(struct vxlan *v, struct vxlan_end ip)
{
    for (unsigned i = 0; i < VXLAN_PEERS; i++)
        if (is(v->peer[i].ip, ip))
            return &v->peer[i];
    return NULL;
}

/* One that nobody told us of counts in the place of the one that was not heard for longest. */
static void heard(struct vxlan *v, struct vxlan_end ip, uint64_t now)
{
    struct vxlan_peer *p = peer_of(v, ip);

    if (!p) {
        p = &v->peer[v->nr_told];
        for (struct vxlan_peer *o = p; o < v->peer + VXLAN_PEERS; o++)
            if (o->seen_ns < p->seen_ns)
                p = o;
        *p = (struct vxlan_peer){ .ip = ip };
    }
    p->in++;
    p->seen_ns = now;
}

bool vxlan_take(struct vxlan *v, struct vxlan_end from, const uint8_t *head, unsigned len,
                uint64_t now)
{
    static const uint8_t none[6];
    const uint8_t *source = head + VXLAN_HLEN + 6;

    if (!is_host(from) || is(from, v->here) || (!v->any && !is_told(v, from))) {
        v->strangers++;
        return false;
    }
    if (len < VXLAN_HLEN + 14 || !(head[0] & FLAG_VNI)) {
        v->bad++;
        return false;
    }
    if (((uint32_t)head[4] << 16 | (uint32_t)head[5] << 8 | head[6]) != v->vni) {
        v->foreign++;
        return false;
    }
    if ((source[0] & 1) || !memcmp(source, none, 6)) {
        v->bad++;
        return false;
    }
    heard(v, from, now);
    learn(v, source, from, now);
    return true;
}

unsigned vxlan_ways(struct vxlan *v, const uint8_t *frame, uint64_t now,
                    struct vxlan_end to[VXLAN_TOLD + 1])
{
    const struct vxlan_mac *m = entry(v, frame);
    bool known = !(frame[0] & 1) && any(m->ip) && !memcmp(m->mac, frame, 6) &&
                 now - m->seen_ns < VXLAN_AGE_NS;
    unsigned n = 0;

    if (known)
        to[n++] = m->ip;
    for (unsigned i = 0; !known && i < v->nr_told; i++)
        if (!is(v->peer[i].ip, v->here))
            to[n++] = v->peer[i].ip;
    if (!known && any(v->group))
        to[n++] = v->group;
    for (unsigned i = 0; i < n; i++) {
        struct vxlan_peer *p = peer_of(v, to[i]);
        if (p)
            p->out++;
    }
    return n;
}

/* --- the header ------------------------------------------------------------------------------------------- */

void vxlan_head(const struct vxlan *v, uint8_t head[VXLAN_HLEN])
{
    memset(head, 0, VXLAN_HLEN);
    head[0] = FLAG_VNI;
    head[4] = (uint8_t)(v->vni >> 16);
    head[5] = (uint8_t)(v->vni >> 8);
    head[6] = (uint8_t)v->vni;
}

uint16_t vxlan_source_port(const uint8_t *frame, unsigned len)
{
    uint32_t h = rss_hash(frame, len);

    if (!h) /* not IP: its addresses are its flow */
        for (unsigned i = 0; i < 12; i++)
            h = h * 31 + frame[i];
    return (uint16_t)(49152 + (h ^ h >> 16) % 16384);
}
