/* SPDX-License-Identifier: MIT */
/*
 * TCP segmentation in software (pkt.h): for receivers that take single segments only, be it a front-end or a NIC. A packet is cut one segment at
 * a time, when there is room for that, so a large one waits as what it is.
 *
 * A segment is what its sender's TCP would have made: the headers again; lengths, the IPv4 identification and its header's checksum, the
 * sequence number of its own; FIN and PSH in the last, CWR in the first alone (RFC 3168 6.1.2).
 */
#include <string.h>
#include "pkt.h"

#define TCP_FIN 0x01u
#define TCP_PSH 0x08u

static uint32_t be(const uint8_t *b, unsigned n)
{
    uint32_t v = 0;

    while (n--)
        v = v << 8 | *b++;
    return v;
}

static void put_be(uint8_t *b, unsigned n, uint32_t v)
{
    for (; n--; v >>= 8)
        b[n] = (uint8_t)v;
}

bool pkt_gso_find(struct pkt *p)
{
    if (!pkt_csum_find(p) || p->csum_offset != 16 || p->ipv6 != (p->gso == PKT_GSO_TCP6) ||
        p->csum_end != pkt_len(p))
        return false;
    unsigned tcp = (p->data[p->csum_start + 12] >> 4) * 4u, head = p->csum_start + tcp;
    /* A segment begins with all of them, in one buffer, and there may be a tag before it by then. */
    if (tcp < 20 || head > PKT_PULL || head > p->len || head >= pkt_len(p))
        return false;
    p->hdr_len = (uint16_t)head;
    if (pkt_len(p) - head <= p->gso_size)
        p->gso = PKT_WHOLE;
    return true;
}

unsigned pkt_segments(const struct pkt *p)
{
    return (pkt_len(p) - p->hdr_len + p->gso_size - 1) / p->gso_size;
}

unsigned pkt_segment_len(const struct pkt *p, unsigned i)
{
    unsigned left = pkt_len(p) - p->hdr_len - i * p->gso_size;

    return p->hdr_len + (left < p->gso_size ? left : p->gso_size);
}

/* Copies n bytes of p, from `at` on, behind what s holds. false: no buffers. */
static bool copy(struct pkt_pool *pool, struct pkt *s, const struct pkt *p, unsigned at, unsigned n)
{
    unsigned room = PKT_BUF - PKT_HEAD - s->len;
    struct pkt *to = s;

    for (; at >= p->len; p = p->next)
        at -= p->len;
    while (n) {
        unsigned part = p->len - at;
        part = part < n ? part : n;
        part = part < room ? part : room;
        memcpy(to->data + to->len, p->data + at, part);
        to->len = (uint16_t)(to->len + part);
        s->rest += to == s ? 0 : part;
        n -= part;
        room -= part;
        at += part;
        if (at == p->len) {
            p = p->next;
            at = 0;
        }
        if (n && !room) {
            to = pkt_grow(pool, s, to);
            if (!to)
                return false;
            room = PKT_BUF;
        }
    }
    return true;
}

static void ipv4_set(uint8_t *ip, unsigned len, unsigned i)
{
    unsigned head = (ip[0] & 15u) * 4;
    uint32_t sum = 0;

    put_be(ip + 2, 2, len);
    put_be(ip + 4, 2, be(ip + 4, 2) + i);
    put_be(ip + 10, 2, 0);
    for (unsigned k = 0; k < head; k += 2)
        sum += be(ip + k, 2);
    sum = (sum & 0xffff) + (sum >> 16);
    put_be(ip + 10, 2, ~(sum + (sum >> 16)));
}

struct pkt *pkt_segment(struct pkt_pool *pool, const struct pkt *p, unsigned i)
{
    unsigned type, at = i * p->gso_size, len = pkt_segment_len(p, i),
                   net = frame_payload(p->data, p->len, &type);
    struct pkt *s = pkt_alloc(pool);

    if (!s)
        return NULL;
    memcpy(s->data, p->data, p->hdr_len);
    s->len = p->hdr_len;
    if (!copy(pool, s, p, p->hdr_len + at, len - p->hdr_len)) {
        pkt_put(pool, s);
        return NULL;
    }
    uint8_t *tcp = s->data + p->csum_start;
    if (p->ipv6)
        put_be(s->data + net + 4, 2, len - net - 40);
    else
        ipv4_set(s->data + net, len - net, i);
    put_be(tcp + 4, 4, be(tcp + 4, 4) + at);
    if (i)
        tcp[13] &= (uint8_t)~TCP_CWR;
    if (i + 1 < pkt_segments(p))
        tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    s->flags = p->flags;
    s->from = p->from;
    bool found = pkt_csum_find(s); /* as it was in p: the headers are the same */
    (void)found;
    return s;
}
