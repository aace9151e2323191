/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/tcp_frame.c drivers-dom/net/pkt.c drivers-dom/net/gso.c drivers-dom/net/vlan.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net
/* TCP cut into segments in software, against a plain one that goes byte by byte; what is no such packet; chains of buffers. */
#include "unit.h"
#include "pkt.h"
#include "tcp_frame.h"
#include "vlan.h"

enum { POOL = 80 };
static struct pkt pkts[POOL];
static _Alignas(4096) uint8_t mem[POOL * PKT_BUF];
static struct pkt_pool pool;
static uint8_t frame[FRAME_MAX + 1], got[FRAME_MAX + 1], want[FRAME_MAX + 1];

int setup(void **state)
{
    pkt_pool_init(&pool, pkts, mem, POOL);
    return 0;
}

/* In buffers of random lengths, the first of `first` bytes. */
static struct pkt *packet(const uint8_t *f, unsigned len, unsigned first)
{
    struct pkt *p = pkt_alloc(&pool), *last = p;

    for (unsigned at = 0; at < len;) {
        unsigned n = at ? 2000 + (unsigned)rand() % 2097 : first;
        n = n < len - at ? n : len - at;
        if (at)
            last = pkt_grow(&pool, p, last);
        memcpy(last->data, f + at, n);
        last->len = (uint16_t)n;
        p->rest += at ? n : 0;
        at += n;
    }
    return p;
}

static unsigned flat(uint8_t *to, const struct pkt *p)
{
    unsigned at = 0, nr = 0;

    for (const struct pkt *b = p; b; b = b->next, nr++) {
        memcpy(to + at, b->data, b->len);
        at += b->len;
        assert_true(b->len && (uintptr_t)b->data % PKT_BUF + b->len <= PKT_BUF);
    }
    assert_int_equal(at, pkt_len(p));
    assert_int_equal(nr, p->nr);
    return at;
}

/* blank: what the sender leaves in the checksum's place says nothing. */
static struct pkt *large(const struct shape *s)
{
    unsigned len = make(frame, s, 0, s->payload, s->flags, s->id),
             room = PKT_BUF - PKT_HEAD - head_of(s);
    struct pkt *p;

    put16(frame + tcp_at(s) + 16, (unsigned)rand() & 0xffff);
    p = packet(frame, len, head_of(s) + (unsigned)rand() % room);
    p->flags = PKT_CSUM_BLANK | PKT_CSUM_VALID;
    p->gso = s->v6 ? PKT_GSO_TCP6 : PKT_GSO_TCP4;
    p->gso_size = (uint16_t)s->gso_size;
    p->from = 3;
    return p;
}

static void cut(const struct shape *s)
{
    struct pkt *p = large(s);
    unsigned segments = (s->payload + s->gso_size - 1) / s->gso_size;

    assert_true(pkt_gso_find(p));
    assert_int_equal(p->gso != PKT_WHOLE, s->payload > s->gso_size);
    if (!p->gso) {
        pkt_put(&pool, p);
        return;
    }
    assert_int_equal(p->hdr_len, head_of(s));
    assert_true(p->tagged == (s->tags > 0) && p->ipv6 == s->v6);
    assert_int_equal(pkt_segments(p), segments);
    assert_int_equal(pkt_wire_len(p), head_of(s) + s->gso_size);
    unsigned before = flat(want, p), free = pool.nr_free;
    for (unsigned i = 0; i < segments; i++) {
        unsigned from = i * s->gso_size,
                 n = s->payload - from < s->gso_size ? s->payload - from : s->gso_size;
        unsigned flags = s->flags & ~(i ? 0x80u : 0) & ~(i + 1 < segments ? 9u : 0);
        struct pkt *seg = pkt_segment(&pool, p, i);
        assert_non_null(seg);
        unsigned len = make(frame, s, from, n, flags, s->id + i);
        assert_int_equal(pkt_len(seg), len);
        assert_int_equal(pkt_segment_len(p, i), len);
        assert_int_equal(pkt_bufs(len), seg->nr);
        assert_true(seg->flags == (PKT_CSUM_BLANK | PKT_CSUM_VALID) && !seg->gso && seg->from == 3);
        assert_int_equal(seg->csum_start, tcp_at(s));
        assert_int_equal(seg->csum_offset, 16);
        assert_true((uintptr_t)seg->data % PKT_BUF == PKT_HEAD);
        /* blank as a device wants it: the pseudo-header's sum */
        assert_int_equal(seg->data[tcp_at(s) + 16] << 8 | seg->data[tcp_at(s) + 17],
                         plain_sum(frame + net_at(s) + (s->v6 ? 8 : 12), s->v6 ? 32 : 8,
                                   6 + len - tcp_at(s)));
        pkt_csum_fill(seg);
        flat(got, seg);
        assert_memory_equal(got, frame, len);
        pkt_put(&pool, seg);
        assert_int_equal(pool.nr_free, free);
    }
    assert_int_equal(flat(got, p), before); /* itself is as it was: others have it too */
    assert_memory_equal(got, want, before);
    pkt_put(&pool, p);
    assert_int_equal(pool.nr_free, POOL);
}

TEST(test_segments)
{
    for (unsigned i = 0; i < 1500; i++) {
        struct shape s = { .v6 = i & 1,
                           .tags = (unsigned)rand() % 4 * (i % 3 == 0),
                           .ip_options = (i & 1 ? 8u : 4u) * ((unsigned)rand() % 5),
                           .tcp_options = 4u * ((unsigned)rand() % 11),
                           .gso_size = i % 5 ? 1000 + (unsigned)rand() % 500
                                             : GSO_MIN + (unsigned)rand() % 9000,
                           .flags = (unsigned)rand() & 0xff,
                           .id = i % 7 ? (unsigned)rand() & 0xffff : 0xfffe };
        s.payload = 1 + (unsigned)rand() % (i % 11 ? 8000 : 60000);
        cut(&s);
    }
    struct shape most = { .gso_size = 1448, .tcp_options = 12, .payload = 65535 - 14 - 52 };
    cut(&most);
}

/* Headers are in the first PKT_PULL bytes: those that fill a buffer would not lie in one with a tag. */
TEST(test_long_headers)
{
    for (unsigned options = 168; options <= 184; options += 8) {
        struct shape s = { .v6 = true, .ip_options = options, .gso_size = 1000, .payload = 5000 };
        struct pkt *p = large(&s);
        assert_true(pkt_gso_find(p) == (head_of(&s) <= PKT_PULL));
        pkt_put(&pool, p);
    }
    struct shape s = {
        .v6 = true, .ip_options = 1904 + 2048, .tcp_options = 4, .gso_size = 1000, .payload = 5000
    };
    struct pkt *p = large(&s);
    uint8_t *second = p->data + 14 + 40 + 1904;
    p->data[14 + 40] = 60;
    second[0] = 6, second[1] = 255;
    bool found = pkt_gso_find(p);
    if (found) {
        vlan_push(p, 10);
        flat(got, pkt_segment(&pool, p, 0));
    }
    assert_false(found);
}

/* Without buffers there is no segment, and nothing is lost. */
TEST(test_no_buffers)
{
    struct shape s = { .gso_size = 8948, .payload = 20000 };
    struct pkt *p = large(&s), *all[POOL];
    unsigned n = 0;

    assert_true(pkt_gso_find(p));
    while ((all[n] = pkt_alloc(&pool)))
        n++;
    for (unsigned have = 0; have < 3; have++) {
        assert_null(pkt_segment(&pool, p, 1));
        assert_int_equal(pool.nr_free, have);
        pkt_put(&pool, all[--n]);
    }
    struct pkt *seg = pkt_segment(&pool, p, 1);
    assert_non_null(seg);
    pkt_put(&pool, seg);
}

/* What says that it is to be cut and is not TCP of that kind, whole, with nothing behind it. */
TEST(test_not_found)
{
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned v6 = 0; v6 < 2; v6++) {
            struct shape s = { .gso_size = 1000, .payload = 6000, .v6 = v6 };
            struct pkt *p;
            setup(NULL);
            p = large(&s);
            uint8_t *net = p->data + 14, *tcp = p->data + tcp_at(&s);
            switch (i) {
            case 0: p->gso = v6 ? PKT_GSO_TCP4 : PKT_GSO_TCP6; break;
            case 1: net[v6 ? 6 : 9] = 17; break;
            case 2: net[v6 ? 6 : 9] = 47; break;
            case 3: tcp[12] = 0x40; break;
            case 4: net[v6 ? 4 : 2]--; break; /* bytes behind it */
            case 5: net[v6 ? 4 : 2]++; break; /* not all of it */
            case 6: net[0] = v6 ? 0x45 : 0x65; break;
            case 7: p->data[12] ^= 1; break;
            case 8: /* its options are not there */
                tcp[12] = 0xf0;
                p->rest += (uint32_t)(p->len - head_of(&s) - 4u);
                p->len = (uint16_t)(head_of(&s) + 4);
                break;
            case 9: /* nor any payload */
                pkt_put(&pool, p);
                s.payload = 0;
                p = large(&s);
                break;
            }
            assert_false(pkt_gso_find(p));
        }
    }
    struct shape s = { .gso_size = 1000, .payload = 6000 };
    struct pkt *p = large(&s);
    p->data[14 + 6] = 0x20; /* a fragment */
    assert_false(pkt_gso_find(p));
}

/* Frames of random bytes in chains: what is found stays in its bounds, and can be cut. */
TEST(test_random)
{
    for (unsigned i = 0; i < 100000; i++) {
        struct shape s = { .v6 = i & 1,
                           .gso_size = GSO_MIN + (unsigned)rand() % 300,
                           .payload = (unsigned)rand() % 3000 };
        setup(NULL);
        struct pkt *p = large(&s);
        for (unsigned k = 0; k < 1 + i % 3; k++)
            p->data[12 + (unsigned)rand() % (head_of(&s) - 12)] = (uint8_t)rand();
        p->gso = 1 + (unsigned)rand() % 2;
        if (!pkt_gso_find(p) || !p->gso)
            continue;
        for (unsigned k = 0; k < pkt_segments(p); k++) {
            struct pkt *seg = pkt_segment(&pool, p, k);
            assert_non_null(seg);
            pkt_csum_fill(seg);
            pkt_put(&pool, seg);
        }
    }
}

/* However its bytes are spread, the first buffer has the headers, and the sum is the same. */
TEST(test_pull_and_sum)
{
    for (unsigned i = 0; i < 3000; i++) {
        struct shape s = { .v6 = i & 1, .payload = (unsigned)rand() % 1500 };
        unsigned len = make(frame, &s, 0, s.payload, 0x10, 1), at = 0;
        struct pkt *p = pkt_alloc(&pool), *last = p;
        memcpy(want, frame, len);
        put16(frame + tcp_at(&s) + 16, 0);
        while (at < len) {
            unsigned n = 1 + (unsigned)rand() % (i % 4 ? 90 : 700);
            n = n < len - at ? n : len - at;
            if (at && pool.nr_free == 1)
                n = len - at;
            if (at)
                last = pkt_grow(&pool, p, last);
            memcpy(last->data, frame + at, n);
            last->len = (uint16_t)n;
            p->rest += at ? n : 0;
            at += n;
        }
        pkt_pull(&pool, p);
        assert_int_equal(flat(got, p), len);
        assert_memory_equal(got, frame, len);
        assert_true(p->len >= (len < PKT_PULL ? len : PKT_PULL));
        p->flags = PKT_CSUM_BLANK;
        assert_true(pkt_csum_find(p));
        pkt_csum_fill(p);
        flat(got, p);
        assert_memory_equal(got, want, len);
        pkt_put(&pool, p);
        assert_int_equal(pool.nr_free, POOL);
    }
}
