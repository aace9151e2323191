/* SPDX-License-Identifier: MIT */
/* What is done to rings, requests in flight and events. See blkhostile.h. */
#include <string.h>
#include "blkhostile.h"

static unsigned ends(const struct fe *f)
{
    return f->sectors / 8 < 4096 ? (unsigned)(f->sectors / 8) : 4096u;
}

void fill_rings(struct fe *f)
{
    for (unsigned q = 0; q < f->queues; q++) {
        struct ring *r = &f->q[q];
        for (unsigned i = 0; i < r->size; i++) {
            union rq rq = rw(i & 1 && f->rw ? BLKIF_OP_WRITE : BLKIF_OP_READ, rnd() % ends(f) * 8,
                             3 + i % 8);
            rq.rw.id = i;
            put(f, q, &rq);
        }
        push(f, q);
    }
}

/* --- indices -------------------------------------------------------------------------------------------------- */

/* After it the ring must be left alone: its good request is not answered, and rsp_prod stays. */
static const char *index_moved(struct fe *f, uint32_t move)
{
    struct ring *r = &f->q[0];
    uint32_t was = *rsp_prod_of(r);

    *req_prod_of(r) = was + move;
    mb();
    event_send(r->port);
    nap(30);
    union rq rq = rw(BLKIF_OP_READ, 0, 3);
    r->req_prod = was;
    for (unsigned i = 0; i < 3; i++)
        put(f, 0, &rq);
    push(f, 0); /* back in bounds: too late */
    nap(100);
    if (*rsp_prod_of(r) != was)
        return why("req_prod at rsp_prod + 0x%x: rsp_prod went from %u to %u", move, was,
                   *rsp_prod_of(r));
    for (unsigned q = 1; q < f->queues; q++) {
        const char *bad = good(f, q);
        if (bad)
            return why("beside a broken queue: %s", bad);
    }
    return NULL;
}

const char *indices(struct fe *f)
{
    static const uint32_t ahead[] = { 1, 1000, 0x7fffff00, 0x80000000, 0xffffff00 },
                          back[] = { 1, 2, 100 };
    const char *bad = NULL;

    for (unsigned i = 0; i < 8 && !bad; i++) {
        unsigned order = i % 3;
        if (i)
            bad = fe_reconnect(f, i % 2 ? QUEUES : 1, order, false);
        if (!bad)
            bad = index_moved(f, i < 5 ? f->q[0].size + ahead[i] : -back[i - 5]);
    }
    return bad ? bad : fe_reconnect(f, 2, 0, false);
}

/* --- in flight ------------------------------------------------------------------------------------------------ */

/* Each is answered somehow. What is read or written is at best half of what was wanted: ours to bear. */
const char *grants_ended(struct fe *f)
{
    uint32_t g[32];
    const char *bad = NULL;

    for (unsigned turn = 0; turn < 20 && !bad; turn++) {
        unsigned q = turn % f->queues;
        for (unsigned i = 0; i < 32; i++) {
            union rq rq = rw(i & 1 && f->rw ? BLKIF_OP_WRITE : BLKIF_OP_READ, 8 * i, 0);
            g[i] = (uint32_t)grant_give(f->be, mem[3 + i % 8], 0);
            rq.rw.seg[0].gref = g[i];
            put(f, q, &rq);
        }
        push(f, q);
        for (uint64_t until = now_ns() + turn * 50000; now_ns() < until;)
            barrier();
        for (unsigned i = 0; i < 32; i++) {
            uint64_t until = now_ns() + 10 * NS_PER_S;
            int rc;
            while ((rc = grant_end(g[i])) && now_ns() < until)
                barrier(); /* a copy is being made at this moment */
            if (rc)
                return why("a grant stays in use: %d", rc);
        }
        bad = all_answered(f, q);
    }
    for (unsigned q = 0; q < f->queues && !bad; q++)
        for (unsigned p = 0; p < f->q[q].pages && !bad; p++)
            if (!grant_end(f->q[q].ref[p]))
                bad = why("the ring's grant could be ended: it is not mapped");
    return bad ? bad : all_good(f);
}

static void scribble(uint8_t *p, unsigned bytes)
{
    for (unsigned i = 0; i + 8 <= bytes; i += 8) {
        uint64_t v = rnd();
        memcpy(p + i, &v, 8);
    }
}

/* Requests change between any two looks at them. */
const char *slots_changed(struct fe *f)
{
    const char *bad = NULL;

    for (unsigned turn = 0; turn < 100 && !bad; turn++) {
        unsigned q = turn % f->queues;
        struct ring *r = &f->q[q];
        union rq a = rw(BLKIF_OP_READ, 0, 3), b = a;
        b.rw.operation = turn & 1 ? BLKIF_OP_INDIRECT : BLKIF_OP_WRITE;
        b.rw.nr_segments = turn & 2 ? 255 : 1;
        b.rw.sector_number = turn & 4 ? ~0ull - 7 : f->sectors - 8;
        b.rw.seg[0].last_sect = turn & 8 ? 255 : 3;
        uint32_t first = r->req_prod, done = first;
        for (unsigned i = 0; i < r->size; i++)
            put(f, q, &a);
        push(f, q);
        for (unsigned k = 0; k < 2000 && done != r->req_prod; k++) {
            for (uint32_t i = done; i != r->req_prod; i++)
                memcpy(slot_of(f, r, i) + 8, (k & 1 ? a : b).byte + 8, 24),
                    slot_of(f, r, i)[k % 2] = (k & 2 ? a : b).byte[k % 2];
            done = *rsp_prod_of(r);
        }
        bad = all_answered(f, q);
    }
    return bad ? bad : all_good(f);
}

/* The same with the page that holds an indirect request's segments. */
const char *segments_changed(struct fe *f)
{
    struct blkif_request_segment *s = (void *)mem[2];
    const char *bad = NULL;

    for (unsigned turn = 0; turn < 50 && !bad; turn++) {
        unsigned q = turn % f->queues, n = f->max_segs < 16 ? f->max_segs : 16;
        union rq rq = { .in = { .operation = BLKIF_OP_INDIRECT,
                                .indirect_op = f->rw ? turn & 1 : BLKIF_OP_READ,
                                .nr_segments = (uint16_t)n,
                                .indirect_grefs = { ref[2] } } };
        for (unsigned i = 0; i < f->q[q].size; i++)
            put(f, q, &rq);
        push(f, q);
        for (unsigned k = 0; k < 500 && *rsp_prod_of(&f->q[q]) != f->q[q].req_prod; k++)
            for (unsigned i = 0; i < n; i++) {
                s[i].gref = k & 1 ? ref[3 + i % 8] : (uint32_t)rnd();
                s[i].last_sect = k & 2 ? 7 : (uint8_t)rnd();
                s[i].first_sect = k & 4 ? 0 : (uint8_t)rnd();
            }
        bad = all_answered(f, q);
    }
    return bad ? bad : all_good(f);
}

const char *events_flooded(struct fe *f)
{
    for (unsigned i = 0; i < 50000; i++)
        event_send(f->q[i % f->queues].port);
    /* An event wanted for each response and more. */
    for (unsigned turn = 0; turn < 20; turn++) {
        fill_rings(f);
        for (unsigned q = 0; q < f->queues; q++) {
            for (unsigned k = 0; k < 500; k++) {
                ((struct blkif_sring *)f->q[q].sring)->rsp_event = (uint32_t)rnd();
                ((struct blkif_sring *)f->q[q].sring)->req_event = (uint32_t)rnd();
                event_send(f->q[q].port);
            }
            const char *bad = all_answered(f, q);
            if (bad)
                return bad;
        }
    }
    return all_good(f);
}

/* --- garbage ------------------------------------------------------------------------------------------------ */

const char *rings_garbage(struct fe *f)
{
    const char *bad = NULL;

    for (unsigned turn = 0; turn < 16 && !bad; turn++) {
        fill_rings(f);
        for (unsigned q = 0; q < f->queues; q++) {
            struct ring *r = &f->q[q];
            uint32_t prod = *req_prod_of(r);
            if (turn % 3 == 2)
                memset(r->sring, 0, r->pages * PAGE_SIZE);
            else
                scribble(r->sring, (unsigned)(r->pages * PAGE_SIZE));
            if (turn % 3 == 1) /* in bounds: all of it is looked at */
                *req_prod_of(r) = prod;
            event_send(r->port);
        }
        nap(20);
        bad = fe_reconnect(f, 1 + turn % QUEUES, turn % 3, turn % 4 == 3);
    }
    return bad;
}

/* Spoils the rings while requests are in flight and leaves them so for a while: for who may be restarted meanwhile. */
const char *garbage_held(struct fe *f)
{
    static unsigned turn;

    fill_rings(f);
    for (unsigned q = 0; q < f->queues; q++) {
        struct ring *r = &f->q[q];
        if (turn % 5 == 0)
            scribble(r->sring, (unsigned)(r->pages * PAGE_SIZE));
        else if (turn % 5 == 1)
            scribble(r->sring + 64, (unsigned)(r->pages * PAGE_SIZE) - 64);
        else if (turn % 5 == 2)
            *rsp_prod_of(r) += 1 + rnd() % 100;
        else if (turn % 5 == 3)
            memset(r->sring, 0, r->pages * PAGE_SIZE);
        else
            event_close(r->port); /* its other end stays, and may not be bound again */
        mb();
    }
    turn++;
    nap(700);
    return NULL;
}

/* Reads into the ring's own pages: the device's data become requests and indices. */
const char *ring_as_data(struct fe *f)
{
    const char *bad = NULL;

    for (unsigned turn = 0; turn < 8 && !bad; turn++) {
        union rq w = rw(BLKIF_OP_WRITE, 64, 3), r = rw(BLKIF_OP_READ, 64, 3);
        scribble(mem[3], PAGE_SIZE);
        int rc = call(f, 0, &w);
        if (rc)
            return why("a write was answered %d", rc);
        w.rw.seg[0].gref = f->q[0].ref[turn % f->q[0].pages];
        rc = call(f, 0, &w);
        if (rc)
            return why("a write from the ring was answered %d", rc);
        r.rw.seg[0].gref = f->q[0].ref[turn % f->q[0].pages];
        put(f, 0, &r);
        push(f, 0);
        nap(30);
        bad = fe_reconnect(f, 1 + turn % 2, turn % 3, false);
    }
    return bad;
}

/* --- connecting all the time --------------------------------------------------------------------------------- */

const char *storm(struct fe *f)
{
    const char *bad = NULL;

    for (unsigned turn = 0; turn < 25 && !bad; turn++) {
        fill_rings(f);
        bad = fe_close(f);
        if (!bad)
            bad = fe_connect(f, 1 + turn % QUEUES, turn % 3, turn % 5 == 4);
    }
    return bad ? bad : all_good(f);
}
