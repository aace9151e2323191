/* SPDX-License-Identifier: MIT */
/*
 * Packet buffers and the transport checksum (RFC 1071). Reading of headers is bounded by what the first buffer holds: the frame is a guest's
 * word, but the copy is ours, so nothing changes under the parser.
 */
#include "pkt.h"
#include <string.h>

void pkt_pool_init(struct pkt_pool *pool, struct pkt *pkts, uint8_t *mem, unsigned n)
{
    pool->free = NULL;
    pool->nr = pool->nr_free = n;
    while (n--) {
        pkts[n] = (struct pkt){ .next = pool->free, .buf = mem + (size_t)n * PKT_BUF };
        pool->free = &pkts[n];
    }
}

static struct pkt *take(struct pkt_pool *pool, unsigned head)
{
    struct pkt *p = pool->free;

    if (!p)
        return NULL;
    pool->free = p->next;
    pool->nr_free--;
    p->next = NULL;
    p->data = p->buf + head;
    p->len = 0;
    return p;
}

static void give(struct pkt_pool *pool, struct pkt *p)
{
    p->next = pool->free;
    pool->free = p;
    pool->nr_free++;
}

struct pkt *pkt_alloc(struct pkt_pool *pool)
{
    struct pkt *p = take(pool, PKT_HEAD);

    if (!p)
        return NULL;
    p->nr = p->refs = 1;
    p->rest = 0;
    p->flags = p->from = p->gso = 0;
    return p;
}

void pkt_put(struct pkt_pool *pool, struct pkt *p)
{
    struct pkt *next;

    if (--p->refs)
        return;
    for (; p; p = next) {
        next = p->next;
        give(pool, p);
    }
}

struct pkt *pkt_grow(struct pkt_pool *pool, struct pkt *p, struct pkt *last)
{
    struct pkt *b = take(pool, 0);

    if (b)
        pkt_append(p, last, b);
    return b;
}

void pkt_append(struct pkt *p, struct pkt *last, struct pkt *b)
{
    last->next = b;
    p->nr++;
    p->rest += b->len;
}

struct pkt *pkt_copy(struct pkt_pool *pool, const struct pkt *p)
{
    struct pkt *q = NULL, *last = NULL;

    if (pool->nr_free < p->nr)
        return NULL;
    for (const struct pkt *b = p; b; b = b->next) {
        struct pkt *to = take(pool, (unsigned)(b->data - b->buf)), fresh = *p;
        memcpy(to->data, b->data, b->len);
        to->len = b->len;
        if (last) {
            last->next = to;
        } else { /* all that is said of it, but for where it is */
            fresh.next = NULL;
            fresh.buf = to->buf;
            fresh.data = to->data;
            fresh.refs = 1;
            *to = fresh;
            q = to;
        }
        last = to;
    }
    return q;
}

void pkt_pull(struct pkt_pool *pool, struct pkt *p)
{
    struct pkt *b;

    while (p->len < PKT_PULL && (b = p->next)) {
        unsigned n = b->len < PKT_PULL - p->len ? b->len : PKT_PULL - p->len;
        memcpy(p->data + p->len, b->data, n);
        p->len = (uint16_t)(p->len + n);
        p->rest -= n;
        b->data += n;
        b->len = (uint16_t)(b->len - n);
        if (!b->len) {
            p->next = b->next;
            p->nr--;
            give(pool, b);
        }
    }
}

static uint16_t be16(const uint8_t *b) { return (uint16_t)(b[0] << 8 | b[1]); }

/* Loads wherever they lie: memcpy would be called for each. */
typedef uint32_t any32 __attribute__((aligned(1), may_alias));
typedef uint16_t any16 __attribute__((aligned(1), may_alias));

/* One's complement sum of n bytes in memory order (byte order does not matter to it, RFC 1071 2B). */
static uint64_t sum_bytes(const uint8_t *b, size_t n, uint64_t sum)
{
    for (; n >= 32; n -= 32, b += 32) {
        const any32 *v = (const any32 *)b;
        sum += (uint64_t)v[0] + v[1] + v[2] + v[3] + v[4] + v[5] + v[6] + v[7];
    }
    for (; n >= 2; n -= 2, b += 2)
        sum += *(const any16 *)b;
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

unsigned frame_ip6_transport(const uint8_t *frame, unsigned len, unsigned at, uint8_t *proto)
{
    if (at + 40 > len || frame[at] >> 4 != 6)
        return 0;
    uint8_t next = frame[at + 6];
    unsigned off = at + 40;
    while (next == 0 || next == 43 || next == 60) {
        if (off + 8 > len)
            return 0;
        next = frame[off];
        off += 8 + frame[off + 1] * 8u;
    }
    *proto = next;
    return off;
}

unsigned frame_payload(const uint8_t *frame, unsigned len, unsigned *type)
{
    unsigned at = ETH_HLEN;

    *type = be16(frame + at - 2);
    while (frame_is_tag(*type) && len >= at + 4) {
        at += 4;
        *type = be16(frame + at - 2);
    }
    return at;
}

/* What pkt_csum_find sets; *addrs: where the addresses are that the pseudo-header has. Nothing is written to the frame. */
static bool locate(struct pkt *p, unsigned *addrs, uint8_t *proto)
{
    unsigned type, off;

    if (p->len < ETH_HLEN)
        return false;
    unsigned at = frame_payload(p->data, p->len, &type);
    p->tagged = at > ETH_HLEN;
    p->ipv6 = type == 0x86dd;
    if (type == 0x0800) {
        off = ipv4_transport(p, at, proto);
        *addrs = at + 12;
    } else if (p->ipv6) {
        off = frame_ip6_transport(p->data, p->len, at, proto);
        *addrs = at + 8;
    } else {
        return false;
    }
    unsigned field = *proto == 6 ? 16 : 6;
    if (!off || (*proto != 6 && *proto != 17) || off + field + 2 > p->len)
        return false;
    /* The packet's own length bounds the segment: short frames carry padding, which must not count. */
    unsigned end = p->ipv6 ? at + 40u + be16(p->data + at + 4)
                           : at + (unsigned)be16(p->data + at + 2);
    if (end < off + field + 2 || end > pkt_len(p))
        return false;
    p->csum_start = (uint16_t)off;
    p->csum_offset = (uint16_t)field;
    p->csum_end = end;
    return true;
}

bool pkt_csum_find(struct pkt *p)
{
    unsigned addrs;
    uint8_t proto = 0;

    if (!locate(p, &addrs, &proto))
        return false;
    unsigned seg = p->csum_end - p->csum_start;
    uint8_t tail[4] = { 0, proto, (uint8_t)(seg >> 8), (uint8_t)seg };
    uint16_t sum = sum_fold(sum_bytes(tail, 4, sum_bytes(p->data + addrs, p->ipv6 ? 32 : 8, 0)));
    memcpy(p->data + p->csum_start + p->csum_offset, &sum, 2);
    return true;
}

/* Of the frame's bytes [at, end). A buffer that begins in the middle of a word has its bytes the other way round (RFC 1071 2B). */
static uint16_t sum_frame(const struct pkt *p, unsigned at, unsigned end)
{
    uint64_t sum = 0;
    bool odd = false;

    for (; p && end > at; p = p->next) {
        if (at < p->len) {
            unsigned n = (end < p->len ? end : p->len) - at;
            uint16_t s = sum_fold(sum_bytes(p->data + at, n, 0));
            sum += odd ? (uint16_t)(s << 8 | s >> 8) : s;
            odd ^= n & 1;
            at = p->len;
        }
        at -= p->len;
        end -= end < p->len ? end : p->len;
    }
    return sum_fold(sum);
}

static void fill(struct pkt *p, unsigned start, unsigned offset, unsigned end)
{
    uint16_t sum = (uint16_t)~sum_frame(p, start, end);

    /* UDP: zero would say "no checksum" (RFC 768). TCP takes either form of zero. */
    if (!sum)
        sum = 0xffff;
    memcpy(p->data + start + offset, &sum, 2);
    p->flags = (uint8_t)((p->flags & ~PKT_CSUM_BLANK) | PKT_CSUM_VALID);
}

void pkt_csum_fill(struct pkt *p) { fill(p, p->csum_start, p->csum_offset, p->csum_end); }

bool pkt_csum_told(struct pkt *p, unsigned start, unsigned offset)
{
    unsigned addrs;
    uint8_t proto = 0;

    if (start + offset + 2 > p->len)
        return false;
    p->flags = PKT_CSUM_BLANK | PKT_CSUM_VALID;
    if (locate(p, &addrs, &proto) && p->csum_start == start && p->csum_offset == offset)
        return true;
    if (p->gso)
        return false; /* of the one that is blank in each segment there is only one */
    fill(p, start, offset, pkt_len(p));
    return true;
}
