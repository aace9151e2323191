/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/net/vlan.c drivers-dom/net/pkt.c drivers-dom/net/gso.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net
/* Tags that are put on and taken off; copies of packets; a vif's rate. */
#include "unit.h"
#include "rate.h"
#include "vlan.h"

uint64_t now_ns(void) { return 0; }
volatile void *mmio_map(uint64_t gpa, uint64_t len) { return NULL; }
void shared_stored(void) {}
void *page_alloc(unsigned n) { return NULL; }

#define NR 8
static struct pkt_pool pool;
static struct pkt pkts[NR];
static uint8_t mem[NR * PKT_BUF] __attribute__((aligned(4096)));

int setup(void **state)
{
    pkt_pool_init(&pool, pkts, mem, NR);
    return 0;
}

/* TCP over IPv4 of `payload` bytes, its checksum blank and found. */
static struct pkt *segment(unsigned payload)
{
    struct pkt *p = pkt_alloc(&pool);
    uint8_t *d = p->data;

    p->len = (uint16_t)(14 + 40 + payload);
    for (unsigned i = 0; i < p->len; i++)
        d[i] = (uint8_t)rand();
    d[12] = 8, d[13] = 0, d[14] = 0x45, d[16] = (uint8_t)((40 + payload) >> 8),
    d[17] = (uint8_t)(40 + payload);
    d[20] = d[21] = 0, d[23] = 6;
    p->flags = PKT_CSUM_BLANK;
    assert_true(pkt_csum_find(p));
    return p;
}

TEST(test_tags)
{
    struct pkt *p = segment(100), *q;
    uint8_t was[200], *tcp = p->data + 34;

    memcpy(was, p->data, 154);
    vlan_push(p, 0xabc);
    assert_int_equal(p->len, 158);
    assert_true(p->tagged && p->csum_start == 38 && p->csum_end == 158);
    assert_true(p->data + 38 == tcp); /* nothing of the payload was moved */
    assert_memory_equal(p->data, was, 12);
    assert_memory_equal(p->data + 12, ((uint8_t[]){ 0x81, 0, 0xa, 0xbc }), 4);
    assert_memory_equal(p->data + 16, was + 12, 142);
    vlan_push(p, 1);
    vlan_pop(p);
    assert_true(p->tagged);
    p->data[14] |= 0xe0; /* a priority */
    vlan_name(p, 0x123);
    assert_memory_equal(p->data + 12, ((uint8_t[]){ 0x81, 0, 0xe1, 0x23 }), 4);
    q = pkt_copy(&pool, p);
    vlan_pop(p);
    assert_true(!p->tagged && p->csum_start == 34 && p->len == 154);
    assert_memory_equal(p->data, was, 154);
    pkt_csum_fill(p);
    pkt_csum_fill(q);
    assert_memory_equal(p->data + 14, q->data + 18, 140);
    pkt_put(&pool, p);
    pkt_put(&pool, q);
    assert_int_equal(pool.nr_free, NR);
}

TEST(test_copies)
{
    struct pkt *p = segment(1000), *last = p, *q, *none;

    for (unsigned i = 0; i < 3; i++) {
        last = pkt_grow(&pool, p, last);
        last->len = (uint16_t)(10 + i);
        memset(last->data, (int)i, last->len);
        p->rest += last->len;
    }
    p->gso = PKT_GSO_TCP4, p->gso_size = 500, p->from = 3;
    q = pkt_copy(&pool, p);
    assert_true(q && q != p && q->nr == 4 && q->rest == 33 && q->len == p->len && q->refs == 1);
    assert_true(q->gso == PKT_GSO_TCP4 && q->gso_size == 500 && q->from == 3);
    for (const struct pkt *a = p, *b = q; a || b; a = a->next, b = b->next) {
        assert_true(a && b && a->buf != b->buf && a->len == b->len);
        assert_memory_equal(a->data, b->data, a->len);
    }
    none = pkt_copy(&pool, p); /* there is no room: nothing is taken */
    assert_null(none);
    assert_int_equal(pool.nr_free, 0);
    pkt_put(&pool, q);
    pkt_put(&pool, p);
    assert_int_equal(pool.nr_free, NR);
}

/* Over ten seconds what goes is the rate and one burst, whatever the lengths. */
TEST(test_rate)
{
    static const struct {
        uint64_t bytes, burst;
        unsigned len;
    } row[] = {
        { 1250000, 62500, 1500 }, { 1000, 50, 1500 }, { 125000000, 6250000, 65000 }, { 250000, 1, 60 }
    };
    struct rate r;

    rate_set(&r, 0, 0);
    rate_take(&r, 5, 1u << 30);
    assert_int_equal(rate_when(&r), 0);
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        uint64_t start = 77 * NS_PER_S, now = start, sent = 0;
        rate_set(&r, row[i].bytes, row[i].burst);
        while (now < start + 10 * NS_PER_S) {
            if (rate_when(&r) > now) {
                now = rate_when(&r);
                continue;
            }
            rate_take(&r, now, row[i].len);
            sent += row[i].len;
        }
        assert_in_range(sent, 10 * row[i].bytes - row[i].len,
                        10 * row[i].bytes + row[i].burst + 2 * row[i].len);
        now += 3600 * NS_PER_S; /* no more is saved up than one burst */
        for (sent = 0; rate_when(&r) <= now; sent += row[i].len)
            rate_take(&r, now, row[i].len);
        assert_in_range(sent, row[i].burst, row[i].burst + row[i].len);
    }
}
