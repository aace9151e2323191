/* SPDX-License-Identifier: MIT */
/*
 * Packet buffers and the transport checksum (RFC 1071). Header walks are bounded by the frame's length: the frame is a guest's
 * word, but the copy is ours, so nothing changes under the parser.
 */
#include "pkt.h"
#include <string.h>

void pkt_pool_init(struct pkt_pool *pool, struct pkt *pkts, uint8_t *mem, unsigned n)
{
    pool->free = NULL;
    pool->nr_free = n;
    while (n--) {
        pkts[n] = (struct pkt){.next = pool->free, .data = mem + (size_t)n * PKT_BUF + PKT_HEAD};
        pool->free = &pkts[n];
    }
}

struct pkt *pkt_alloc(struct pkt_pool *pool)
{
    struct pkt *p = pool->free;

    if (!p)
        return NULL;
    pool->free = p->next;
    pool->nr_free--;
    p->next = NULL;
    p->len = 0;
    p->flags = p->from = 0;
    p->refs = 1;
    return p;
}

void pkt_put(struct pkt_pool *pool, struct pkt *p)
{
    if (--p->refs)
        return;
    p->next = pool->free;
    pool->free = p;
    pool->nr_free++;
}

static uint16_t be16(const uint8_t *b) { return (uint16_t)(b[0] << 8 | b[1]); }

/* One's complement sum of n bytes in memory order (byte order does not matter to it, RFC 1071 2B). */
static uint64_t sum_bytes(const uint8_t *b, size_t n, uint64_t sum)
{
    for (; n >= 8; n -= 8, b += 8) {
        uint64_t v;
        memcpy(&v, b, 8);
        sum += (uint32_t)v;
        sum += v >> 32;
    }
    for (; n >= 2; n -= 2, b += 2) {
        uint16_t v;
        memcpy(&v, b, 2);
        sum += v;
    }
    return n ? sum + *b : sum;
}

static uint16_t sum_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* Offset of the transport header in an IPv4 packet at `at`, 0 if there is none to speak of. */
static unsigned ipv4_transport(const struct pkt *p, unsigned at, uint8_t *proto)
{
    if (at + 20 > p->len || p->data[at] >> 4 != 4)
        return 0;
    unsigned ihl = (p->data[at] & 15u) * 4;
    /* A fragment has no transport header of its own (more-fragments bit or an offset). */
    if (ihl < 20 || at + ihl > p->len || (be16(p->data + at + 6) & 0x3fff))
        return 0;
    *proto = p->data[at + 9];
    return at + ihl;
}

/* The same for IPv6, over hop-by-hop, routing and destination options (RFC 8200 4). */
static unsigned ipv6_transport(const struct pkt *p, unsigned at, uint8_t *proto)
{
    if (at + 40 > p->len || p->data[at] >> 4 != 6)
        return 0;
    uint8_t next = p->data[at + 6];
    unsigned off = at + 40;
    while (next == 0 || next == 43 || next == 60) {
        if (off + 8 > p->len)
            return 0;
        next = p->data[off];
        off += 8 + p->data[off + 1] * 8u;
    }
    *proto = next;
    return off;
}

bool pkt_csum_find(struct pkt *p, bool *ipv6)
{
    unsigned at = ETH_HLEN, off, addrs, naddrs;
    uint8_t proto = 0;

    if (p->len < ETH_HLEN + 4)
        return false;
    uint16_t type = be16(p->data + 12);
    if (type == 0x8100) { /* one VLAN tag */
        type = be16(p->data + 16);
        at += 4;
    }
    *ipv6 = type == 0x86dd;
    if (type == 0x0800) {
        off = ipv4_transport(p, at, &proto);
        addrs = at + 12;
        naddrs = 8;
    } else if (*ipv6) {
        off = ipv6_transport(p, at, &proto);
        addrs = at + 8;
        naddrs = 32;
    } else {
        return false;
    }
    unsigned field = proto == 6 ? 16 : 6;
    if (!off || (proto != 6 && proto != 17) || off + field + 2 > p->len)
        return false;
    /* IPv4's total length bounds the segment: short frames carry padding. */
    unsigned end = *ipv6 ? at + 40u + be16(p->data + at + 4) : at + (unsigned)be16(p->data + at + 2);
    if (end < off + field + 2 || end > p->len)
        return false;
    unsigned seg = end - off;
    uint8_t tail[4] = {0, proto, (uint8_t)(seg >> 8), (uint8_t)seg};
    uint16_t sum = sum_fold(sum_bytes(tail, 4, sum_bytes(p->data + addrs, naddrs, 0)));
    memcpy(p->data + off + field, &sum, 2);
    p->csum_start = (uint16_t)off;
    p->csum_offset = (uint16_t)field;
    return true;
}

bool pkt_csum_fill(struct pkt *p)
{
    bool ipv6;

    if (!pkt_csum_find(p, &ipv6))
        return false;
    /* Padding behind the segment must not count. */
    unsigned at = p->data[12] == 0x81 && p->data[13] == 0 ? ETH_HLEN + 4 : ETH_HLEN;
    unsigned end = ipv6 ? at + 40u + be16(p->data + at + 4) : at + (unsigned)be16(p->data + at + 2);
    uint16_t sum = (uint16_t)~sum_fold(sum_bytes(p->data + p->csum_start, end - p->csum_start, 0));
    /* UDP: zero would say "no checksum" (RFC 768). TCP takes either form of zero. */
    if (!sum)
        sum = 0xffff;
    memcpy(p->data + p->csum_start + p->csum_offset, &sum, 2);
    p->flags = (uint8_t)((p->flags & ~PKT_CSUM_BLANK) | PKT_CSUM_VALID);
    return true;
}
