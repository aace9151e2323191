/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/copies.c drivers-dom/net/queues.c drivers-dom/net/rss.c drivers-dom/net/netback.c drivers-dom/net/mcast.c drivers-dom/net/adopt.c drivers-dom/lib/blame.c drivers-dom/lib/keep_record.c drivers-dom/net/pkt.c drivers-dom/net/gso.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net -lz
/* What the queues of a vif share: a round, the wire, the rate, buffers, and the fault of one of them. What one queue does, test_netback.c shows. */
#include "copies.h"
#include "netback.h"
#include "rss.h"

enum { POOL = 600, VIFS = 12 };
static _Alignas(4096) uint8_t tx_page[VIFS][KEEP_QUEUES][4096], rx_page[VIFS][KEEP_QUEUES][4096],
    keep_page[VIFS][KEEP_QUEUES][4096];
static struct nb_vif vif[VIFS];
static struct nb_items items;
static struct batch batch;
static struct pkt_pool pool;
static struct pkt pkts[POOL];
static _Alignas(4096) uint8_t pool_mem[POOL * PKT_BUF];
static unsigned delivered[VIFS];
static uint64_t clock_ns;

void shared_stored(void) {}
int batch_copy_from(struct batch *b, domid_t dom, uint32_t ref, unsigned off, void *dst, unsigned len)
{
    return copy_put(b, ref, off, dst, len, GNTCOPY_source_gref);
}
int batch_copy_to(struct batch *b, domid_t dom, uint32_t ref, unsigned off, const void *src,
                  unsigned len)
{
    return copy_put(b, ref, off, (void *)(uintptr_t)src, len, GNTCOPY_dest_gref);
}
static void deliver(void *arg, struct pkt *p) { ++*(unsigned *)arg; }

static void connects(unsigned i, unsigned nr)
{
    struct keep_vif_head head[KEEP_QUEUES];

    vif[i] = (struct nb_vif){ .pool = &pool, .items = &items, .nr_queues = nr };
    for (unsigned q = 0; q < nr; q++) {
        struct nb *nb = &vif[i].q[q];
        *nb = (struct nb){ .vif = &vif[i],
                           .txs = (void *)tx_page[i][q],
                           .rxs = (void *)rx_page[i][q],
                           .keep = (void *)keep_page[i][q] };
        head[q] = (struct keep_vif_head){ .queue = (uint8_t)q, .nr_queues = (uint8_t)nr };
    }
    assert_int_equal(nb_vif_attach(&vif[i], head), 0);
}

int setup(void **state)
{
    memset(tx_page, 0, sizeof(tx_page));
    memset(rx_page, 0, sizeof(rx_page));
    memset(keep_page, 0, sizeof(keep_page));
    memset(&batch, 0, sizeof(batch));
    memset(&items, 0, sizeof(items));
    memset(delivered, 0, sizeof(delivered));
    pkt_pool_init(&pool, pkts, pool_mem, POOL);
    return 0;
}

static void sends(unsigned i, unsigned q, unsigned n, unsigned size)
{
    netif_tx_sring_t *s = vif[i].q[q].txs;

    while (n--)
        s->ring[s->req_prod++ & 255].req = (struct netif_tx_request){ .gref = 1,
                                                                      .size = (uint16_t)size };
}
static unsigned answers(unsigned i, unsigned q) { return vif[i].q[q].txs->rsp_prod; }
static unsigned all_answers(unsigned i)
{
    unsigned n = 0;

    for (unsigned q = 0; q < vif[i].nr_queues; q++)
        n += answers(i, q);
    return n;
}

/* Of the first n vifs. */
static unsigned rounds(unsigned n)
{
    struct nb_vif *all[VIFS] = { 0 };

    for (unsigned i = 0; i < n; i++) {
        all[i] = &vif[i];
        vif[i].now = clock_ns;
    }
    unsigned work = nb_collect(all, n, &batch);
    for (unsigned i = 0; i < batch.nr_copies; i++)
        batch.copy[i].status = GNTST_okay;
    batch.nr_copies = 0;
    for (unsigned i = 0; i < n; i++)
        nb_vif_finish(&vif[i], &batch, deliver, &delivered[i]);
    batch.nr_sends = 0;
    assert_int_equal(items.used, 0);
    assert_int_equal(items.live, 0);
    return work;
}

/* A flow has one queue, whatever its packets say besides; all queues are used. */
TEST(flows)
{
    unsigned seen[KEEP_QUEUES][KEEP_QUEUES] = { 0 };

    for (unsigned n = 1; n <= KEEP_QUEUES; n++) {
        setup(NULL);
        connects(0, n);
        for (unsigned i = 0; i < 2000; i++) {
            struct pkt *p = pkt_alloc(&pool);
            for (unsigned k = 0; k < 60; k++)
                p->data[k] = (uint8_t)rand();
            memcpy(p->data + 12, (uint8_t[]){ 8, 0, 0x45, 0, 0, 46, 1, 2, 0, 0, 64, 6 }, 12);
            p->len = 60;
            unsigned q = nb_vif_queue(&vif[0], p);
            assert_in_range(q, 0, n - 1);
            seen[n - 1][q]++;
            p->data[2] ^= 1, p->data[16] ^= 3, p->data[22] ^= 7; /* address, length, hops */
            p->data[38] ^= 9, p->data[47] ^= 2;                  /* sequence number, flags */
            assert_int_equal(nb_vif_queue(&vif[0], p), q);
            pkt_put(&pool, p);
        }
        for (unsigned q = 0; q < n; q++)
            assert_in_range(seen[n - 1][q], 2000 / n - 200, 2000 / n + 200);
    }
}

/* A vif of four queues has no more of a round than one of a single queue; its queues come one after the other. */
TEST(a_round)
{
    connects(0, 4);
    connects(1, 1);
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned q = 0; q < 4; q++)
            sends(0, q, 250 - (vif[0].q[q].txs->req_prod - answers(0, q)), 60);
        sends(1, 0, 250 - (vif[1].q[0].txs->req_prod - answers(1, 0)), 60);
        unsigned was[2] = { all_answers(0), all_answers(1) };
        assert_int_equal(rounds(2), 2 * NB_ROUND);
        assert_int_equal(all_answers(0) - was[0], NB_ROUND);
        assert_int_equal(all_answers(1) - was[1], NB_ROUND);
    }
    for (unsigned q = 0; q < 4; q++)
        assert_int_equal(answers(0, q), 4 * NB_ROUND);
}

/* As many packets in 18 slots as there is room for in the ring. */
static void sends_long(unsigned i)
{
    netif_tx_sring_t *s = vif[i].q[0].txs;

    while (s->req_prod - s->rsp_prod + 18 <= 256) {
        for (unsigned k = 0; k < 18; k++)
            s->ring[s->req_prod++ & 255].req = (struct netif_tx_request){
                .gref = 1, .flags = k < 17 ? NETTXF_more_data : 0, .size = k ? 10 : 300
            };
    }
}

/* Who fills the batch each time comes first each second time; then there is nothing for the other, who does not lose a queue's turn by that. */
TEST(a_full_batch)
{
    connects(0, 2);
    connects(1, 1);
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned q = 0; q < 2; q++)
            sends(0, q, 200 - (vif[0].q[q].txs->req_prod - answers(0, q)), 60);
        sends_long(1);
        rounds(2);
    }
    assert_true(answers(0, 0) >= 2 * NB_ROUND && answers(0, 1) >= 2 * NB_ROUND);
}

/* Whoever else comes and goes, one that stays has its turn: the others cannot choose their number so that it never has. */
TEST(turns)
{
    for (unsigned guess = 0; guess < 60; guess++) { /* of how many rounds there were */
        unsigned served = 0;
        setup(NULL);
        for (unsigned i = 0; i < 5; i++)
            connects(i, 1);
        for (unsigned i = 0; i < 60; i++) {
            unsigned others = 1, was = answers(0, 0);
            while (others < 4 && (guess + i) % (others + 1) == 0)
                others++;
            sends(0, 0, 100 - (vif[0].q[0].txs->req_prod - was), 60);
            for (unsigned k = 1; k <= others; k++)
                sends_long(k);
            rounds(others + 1);
            served += answers(0, 0) != was;
        }
        assert_true(served >= 60 / 5);
    }
}

TEST(the_rate)
{
    connects(0, 4);
    rate_set(&vif[0].rate, 1000000, 10000);
    for (unsigned q = 0; q < 4; q++)
        sends(0, q, 200, 1000);
    clock_ns = NS_PER_S;
    rounds(1);
    assert_in_range(delivered[0], 10, 12); /* a burst, once */
    assert_true(nb_vif_waits(&vif[0]));
    unsigned n = delivered[0];
    for (unsigned i = 0; i < 100; i++, clock_ns += NS_PER_MS)
        rounds(1);
    assert_in_range(delivered[0] - n, 95, 105);
    for (unsigned q = 0; q < 4; q++) /* each has its turn */
        assert_in_range(answers(0, q), 20, 40);
}

TEST(the_wire)
{
    struct nb_room room = { .bufs = 3 };

    connects(0, 4);
    vif[0].room = &room;
    for (unsigned q = 0; q < 4; q++)
        sends(0, q, 30, 60);
    for (unsigned i = 1; i < 40; i++) {
        assert_int_equal(rounds(1), 3);
        assert_true(nb_vif_waits(&vif[0]));
    }
    for (unsigned q = 0; q < 4; q++)
        assert_true(answers(0, q) >= 15);
    vif[0].room = NULL;
    rounds(1);
    assert_false(nb_vif_waits(&vif[0]));
}

/* A front-end that takes nothing holds half of what is free, through however many queues. */
TEST(buffers)
{
    unsigned taken = 0;

    connects(0, 4);
    for (unsigned i = 0; i < 4 * NB_RXQ; i++) {
        struct pkt *p = pkt_alloc(&pool);
        p->len = 60;
        for (unsigned k = 0; k < 2; k++)
            pkt_grow(&pool, p, k ? p->next : p)->len = 1;
        taken += nb_queue_rx(&vif[0].q[i % 4], p) ? p->nr : 0;
        pkt_put(&pool, p);
    }
    assert_in_range(taken, POOL / 3 - 9, POOL / 3);
    assert_int_equal(vif[0].rxq_bufs, taken);
    nb_vif_detach(&vif[0]);
    assert_int_equal(vif[0].rxq_bufs, 0);
    assert_int_equal(pool.nr_free, POOL);
}

/* What breaks one queue's protocol ends them all: nothing is stored to any ring from then on, and nothing is held. */
TEST(a_broken_one)
{
    for (unsigned bad = 0; bad < 4; bad++) {
        static uint8_t was[KEEP_QUEUES][4096];
        setup(NULL);
        connects(0, 4);
        for (unsigned q = 0; q < 4; q++) {
            struct pkt *p = pkt_alloc(&pool);
            p->len = 60;
            assert_true(nb_queue_rx(&vif[0].q[q], p));
            pkt_put(&pool, p);
            sends(0, q, 10, 60);
        }
        vif[0].q[bad].txs->req_prod += 1000;
        memcpy(was, tx_page[0], sizeof(was));
        rounds(1);
        assert_non_null(vif[0].broken);
        assert_false(nb_vif_arm(&vif[0]));
        assert_int_equal(rounds(1), 0);
        assert_memory_equal(was, tx_page[0], sizeof(was));
        assert_int_equal(delivered[0], 0);
        assert_int_equal(pool.nr_free, POOL);
    }
}

/* More packets that make no sense than a round has places for: all are answered, some later. */
TEST(places)
{
    for (unsigned i = 0; i < VIFS; i++) {
        connects(i, 4);
        for (unsigned q = 0; q < 4; q++)
            sends(i, q, 40, 3);
    }
    assert_int_equal(rounds(VIFS), NB_ITEMS);
    unsigned n = 0;
    while (rounds(VIFS))
        assert_in_range(++n, 1, 10);
    for (unsigned i = 0; i < VIFS; i++) {
        assert_int_equal(all_answers(i), 160);
        assert_int_equal(vif[i].stats.tx_errors, 160);
    }
}

/* Who was armed and has nothing left is not looked at until there is an event; what waits for the wire, or is queued for it, has none to come. */
TEST(sleep)
{
    struct nb_room room = { .bufs = 0 };

    connects(0, 4);
    assert_true(vif[0].awake);
    for (unsigned q = 0; q < 4; q++)
        sends(0, q, 1, 60);
    assert_int_equal(rounds(1), 4); /* as it was attached, without an event */
    assert_false(nb_vif_arm(&vif[0]));
    assert_false(vif[0].awake);
    for (unsigned q = 0; q < 4; q++)
        sends(0, q, 1, 60);
    assert_int_equal(rounds(1), 0);
    assert_false(nb_vif_arm(&vif[0]));
    nb_wake(&vif[0].q[2]);
    assert_int_equal(rounds(1), 1);
    assert_int_equal(answers(0, 2), 2);
    assert_false(nb_vif_arm(&vif[0]) || vif[0].awake);
    nb_vif_wake(&vif[0]);
    vif[0].room = &room;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rounds(1), 0);
        assert_false(nb_vif_arm(&vif[0]));
        assert_true(nb_vif_waits(&vif[0]) && vif[0].awake);
    }
    vif[0].room = NULL;
    assert_int_equal(rounds(1), 3);
    assert_false(nb_vif_arm(&vif[0]) || vif[0].awake);
    struct pkt *p = pkt_alloc(&pool);
    p->len = 60;
    vif[0].q[1].rxs->ring[0].req = (struct netif_rx_request){ 1, 0, 5 };
    vif[0].q[1].rxs->req_prod = 1;
    assert_true(nb_queue_rx(&vif[0].q[1], p));
    pkt_put(&pool, p);
    assert_int_equal(rounds(1), 1);
    assert_int_equal(vif[0].stats.rx_packets, 1);
    assert_false(nb_vif_arm(&vif[0]) || vif[0].awake);
}

/* One that sleeps and holds packets gives them back when another breaks the protocol. */
TEST(a_broken_one_wakes)
{
    struct pkt *p = pkt_alloc(&pool);

    p->len = 60;
    connects(0, 2);
    assert_true(nb_queue_rx(&vif[0].q[0], p));
    pkt_put(&pool, p);
    rounds(1);
    assert_false(nb_vif_arm(&vif[0]) || vif[0].awake);
    vif[0].q[1].txs->req_prod = 1000;
    nb_wake(&vif[0].q[1]);
    rounds(1);
    assert_non_null(vif[0].broken);
    assert_int_equal(pool.nr_free, POOL);
}
