/* SPDX-License-Identifier: MIT */
/* The front-end: see blkhostile.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "blkhostile.h"

#define SLOTS_AT 64u

static uint64_t next_id = 0x100000001;

/* --- the store ---------------------------------------------------------------------------------------------- */

void fe_write_text(struct fe *f, const char *key, const char *val)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/%s", f->path, key);
    if (xs_write(0, path, val))
        say("blkhostile: cannot write %s: %d\n", path, xs_error);
}

void fe_write(struct fe *f, const char *key, uint64_t val)
{
    char text[24];

    snprintf(text, sizeof(text), "%lu", val);
    fe_write_text(f, key, text);
}

void fe_rm(struct fe *f, const char *key)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/%s", f->path, key);
    (void)xs_rm(0, path);
}

static uint64_t be_number(struct fe *f, const char *key, uint64_t absent)
{
    char path[96];
    uint64_t v;

    snprintf(path, sizeof(path), "%s/%s", f->backend, key);
    return xs_read_uint(0, path, &v) ? absent : v;
}

unsigned be_state(struct fe *f) { return (unsigned)be_number(f, "state", XenbusStateUnknown); }

const char *be_wait(struct fe *f, unsigned mask)
{
    uint64_t until = now_ns() + 30 * NS_PER_S;
    unsigned s;

    while (!(1u << (s = be_state(f)) & mask)) {
        if (now_ns() > until)
            return why("the back-end is in state %u, expected one of mask 0x%x", s, mask);
        nap(2);
    }
    return NULL;
}

const char *fe_open(struct fe *f, unsigned devid)
{
    char path[64];
    uint64_t id;

    memset(f, 0, sizeof(*f));
    f->devid = devid;
    snprintf(f->path, sizeof(f->path), "device/vbd/%u", devid);
    snprintf(path, sizeof(path), "%s/backend", f->path);
    char *text = xs_read(0, path);
    if (!text)
        return why("no vbd %u", devid);
    strlcpy(f->backend, text, sizeof(f->backend));
    free(text);
    snprintf(path, sizeof(path), "%s/backend-id", f->path);
    if (xs_read_uint(0, path, &id))
        return why("no backend-id");
    f->be = (domid_t)id;
    return NULL;
}

const char *fe_ready(struct fe *f)
{
    const char *bad;

    fe_write(f, "state", XenbusStateInitialising);
    bad = be_wait(f, 1u << XenbusStateInitWait);
    if (bad)
        return bad;
    f->sectors = be_number(f, "sectors", 0);
    f->rw = !(be_number(f, "info", 0) & VDISK_READONLY);
    f->discard = be_number(f, "feature-discard", 0);
    f->max_queues = (unsigned)be_number(f, "multi-queue-max-queues", 1);
    f->max_order = (unsigned)be_number(f, "max-ring-page-order", 0);
    f->max_segs = (unsigned)be_number(f, "feature-max-indirect-segments", 0);
    if (f->sectors < 1024 || !f->max_queues || f->max_queues > QUEUES || f->max_order > 2 ||
        !f->max_segs || f->max_segs > MAX_SEGS)
        return why("odd offer: %lu sectors, %u queues, order %u, %u segments", f->sectors,
                   f->max_queues, f->max_order, f->max_segs);
    return NULL;
}

static void nothing(uint32_t port, void *arg) { (void)port, (void)arg; }

const char *fe_rings(struct fe *f, unsigned queues, unsigned order, bool narrow)
{
    f->queues = queues < f->max_queues ? queues : f->max_queues;
    f->order = order < f->max_order ? order : f->max_order;
    f->narrow = narrow;
    for (unsigned q = 0; q < f->queues; q++) {
        struct ring *r = &f->q[q];
        int port = event_alloc_unbound(f->be, nothing, NULL);
        *r = (struct ring){ .pages = 1u << f->order,
                            .size = 32u << f->order,
                            .port = port > 0 ? (uint32_t)port : 0 };
        r->sring = page_alloc(r->pages);
        if (port < 0 || !r->sring)
            return why("no port (%d) or no memory for a ring", port);
        ((struct blkif_sring *)r->sring)->req_event = ((struct blkif_sring *)r->sring)->rsp_event = 1;
        for (unsigned p = 0; p < r->pages; p++) {
            int g = grant_give(f->be, r->sring + p * PAGE_SIZE, 0);
            if (g < 0)
                return why("no grant: %d", g);
            r->ref[p] = (uint32_t)g;
        }
    }
    return NULL;
}

void fe_publish(struct fe *f)
{
    char key[32], dir[12] = "";

    fe_write_text(f, "protocol", f->narrow ? "x86_32-abi" : "x86_64-abi");
    fe_write(f, "multi-queue-num-queues", f->queues);
    fe_write(f, "ring-page-order", f->order);
    for (unsigned q = 0; q < f->queues; q++) {
        if (f->queues > 1)
            snprintf(dir, sizeof(dir), "queue-%u/", q);
        snprintf(key, sizeof(key), "%sevent-channel", dir);
        fe_write(f, key, f->q[q].port);
        for (unsigned p = 0; p < f->q[q].pages; p++) {
            if (f->order)
                snprintf(key, sizeof(key), "%sring-ref%u", dir, p);
            else
                snprintf(key, sizeof(key), "%sring-ref", dir);
            fe_write(f, key, f->q[q].ref[p]);
        }
    }
}

const char *fe_connect(struct fe *f, unsigned queues, unsigned order, bool narrow)
{
    const char *bad = fe_ready(f);

    if (!bad)
        bad = fe_rings(f, queues, order, narrow);
    if (bad)
        return bad;
    fe_publish(f);
    fe_write(f, "state", XenbusStateInitialised);
    bad = be_wait(f, 1u << XenbusStateConnected);
    if (!bad)
        fe_write(f, "state", XenbusStateConnected);
    return bad;
}

/* The back-end has let go of what it was given: the core would say EBUSY. */
static const char *rings_drop(struct fe *f)
{
    for (unsigned q = 0; q < QUEUES; q++) {
        struct ring *r = &f->q[q];
        if (r->port)
            event_close(r->port);
        for (unsigned p = 0; r->sring && p < r->pages; p++) {
            int rc = r->ref[p] ? grant_end(r->ref[p]) : 0;
            if (rc)
                return why("the back-end closed and holds page %u of ring %u: %d", p, q, rc);
        }
        if (r->sring)
            page_free(r->sring, r->pages);
        memset(r, 0, sizeof(*r));
    }
    return NULL;
}

const char *fe_close(struct fe *f)
{
    const char *bad;

    fe_rm(f, "ring-ref");
    for (unsigned q = 0; q < QUEUES; q++) {
        char key[16];
        snprintf(key, sizeof(key), "ring-ref%u", q);
        fe_rm(f, key);
        snprintf(key, sizeof(key), "queue-%u", q);
        fe_rm(f, key);
    }
    fe_write(f, "state", XenbusStateClosing);
    bad = be_wait(f, 1u << XenbusStateClosing | 1u << XenbusStateClosed);
    if (bad)
        return bad;
    fe_write(f, "state", XenbusStateClosed);
    bad = be_wait(f, 1u << XenbusStateClosed);
    return bad ? bad : rings_drop(f);
}

const char *fe_reconnect(struct fe *f, unsigned queues, unsigned order, bool narrow)
{
    const char *bad = fe_close(f);

    if (!bad)
        bad = fe_connect(f, queues, order, narrow);
    return bad ? bad : all_good(f);
}

/* --- rings ------------------------------------------------------------------------------------------------ */

volatile uint32_t *req_prod_of(struct ring *r)
{
    return &((struct blkif_sring *)r->sring)->req_prod;
}
volatile uint32_t *rsp_prod_of(struct ring *r)
{
    return &((struct blkif_sring *)r->sring)->rsp_prod;
}

uint8_t *slot_of(struct fe *f, struct ring *r, uint32_t i)
{
    return r->sring + SLOTS_AT + (i & (r->size - 1)) * (f->narrow ? 108u : 112u);
}

/* In the 32-bit layout what follows the first four bytes lies four lower. */
void put(struct fe *f, unsigned q, const union rq *rq)
{
    struct ring *r = &f->q[q];
    uint8_t *s = slot_of(f, r, r->req_prod++);

    memcpy(s, rq->byte, 4);
    memcpy(s + (f->narrow ? 4 : 8), rq->byte + 8, 104);
}

void push(struct fe *f, unsigned q)
{
    wmb();
    *req_prod_of(&f->q[q]) = f->q[q].req_prod;
    mb();
    event_send(f->q[q].port);
}

static bool wait_rsp(struct ring *r, uint32_t upto, uint64_t until)
{
    while ((int32_t)(*rsp_prod_of(r) - upto) < 0) {
        if (now_ns() > until)
            return false;
        ((struct blkif_sring *)r->sring)->rsp_event = *rsp_prod_of(r) + 1;
        mb();
        if ((int32_t)(*rsp_prod_of(r) - upto) < 0)
            event_wait(now_ns() + 20 * NS_PER_MS);
    }
    return true;
}

const char *all_answered(struct fe *f, unsigned q)
{
    struct ring *r = &f->q[q];
    uint64_t until = now_ns() + patience * NS_PER_MS;

    if (!wait_rsp(r, r->req_prod, until) || *rsp_prod_of(r) != r->req_prod)
        return why("queue %u: %u requests, %u responses", q, r->req_prod, *rsp_prod_of(r));
    r->rsp_cons = r->req_prod;
    return NULL;
}

int call(struct fe *f, unsigned q, const union rq *rq)
{
    struct ring *r = &f->q[q];
    struct blkif_response rsp;
    union rq mine = *rq;

    mine.rw.id = next_id++;
    put(f, q, &mine);
    push(f, q);
    if (!wait_rsp(r, r->rsp_cons + 1, now_ns() + patience * NS_PER_MS))
        return NO_ANSWER;
    rmb();
    memcpy(&rsp, slot_of(f, r, r->rsp_cons++), sizeof(rsp));
    uint8_t op = mine.byte[0] == BLKIF_OP_INDIRECT ? mine.byte[1] : mine.byte[0];
    if (rsp.id != mine.rw.id || rsp.operation != op || *rsp_prod_of(r) != r->rsp_cons) {
        say("blkhostile: response of id %lx op %u for id %lx op %u, rsp_prod %u at %u\n", rsp.id,
            rsp.operation, mine.rw.id, op, *rsp_prod_of(r), r->rsp_cons);
        return NO_ANSWER - 1;
    }
    return rsp.status;
}

/* --- good requests ---------------------------------------------------------------------------------------- */

union rq rw(uint8_t op, uint64_t sector, unsigned page)
{
    union rq r = { .rw = { .operation = op,
                           .nr_segments = 1,
                           .sector_number = sector,
                           .seg[0] = { .gref = ref[page], .last_sect = 7 } } };

    return r;
}

static void pattern(uint8_t *p, uint64_t seed, unsigned bytes)
{
    for (unsigned i = 0; i < bytes / 8; i++)
        ((uint64_t *)p)[i] = (seed + i) * 0x9e3779b97f4a7c15ull;
}

static const char *compare(const uint8_t *p, uint64_t seed, unsigned bytes)
{
    for (unsigned i = 0; i < bytes / 8; i++)
        if (((const uint64_t *)p)[i] != (seed + i) * 0x9e3779b97f4a7c15ull)
            return why("byte %u is not what was written", i * 8);
    return NULL;
}

static uint64_t somewhere(const struct fe *f, unsigned pages)
{
    return rnd() % (f->sectors / 8 - pages) * 8;
}

static const char *not_good(struct fe *f, unsigned q, const char *what, int rc)
{
    if (rc != NO_ANSWER)
        return why("queue %u of %u: a good %s was answered %d", q, f->queues, what, rc);
    return why("queue %u of %u: a good %s was not answered, request %u, %u responses", q, f->queues,
               what, f->q[q].req_prod, *rsp_prod_of(&f->q[q]));
}

const char *good(struct fe *f, unsigned q)
{
    uint64_t at = somewhere(f, 1), seed = rnd();
    union rq w = rw(BLKIF_OP_WRITE, at, 0), r = rw(BLKIF_OP_READ, at, 1);
    int rc = 0;

    pattern(mem[0], seed, PAGE_SIZE);
    memset(mem[1], 0x5a, PAGE_SIZE);
    if (f->rw && (rc = call(f, q, &w)))
        return not_good(f, q, "write", rc);
    if ((rc = call(f, q, &r)))
        return not_good(f, q, "read", rc);
    return f->rw ? compare(mem[1], seed, PAGE_SIZE) : NULL;
}

/* Four pages each way, by a page of segments. */
static const char *good_indirect(struct fe *f, unsigned q)
{
    uint64_t at = somewhere(f, 4), seed = rnd();
    struct blkif_request_segment *s = (void *)mem[2];
    union rq rq = { .in = { .operation = BLKIF_OP_INDIRECT,
                            .indirect_op = BLKIF_OP_WRITE,
                            .nr_segments = 4,
                            .sector_number = at,
                            .indirect_grefs = { ref[2] } } };

    for (unsigned i = 0; i < 4; i++) {
        pattern(mem[4 + i], seed + i, PAGE_SIZE);
        s[i] = (struct blkif_request_segment){ .gref = ref[4 + i], .last_sect = 7 };
    }
    int rc = f->rw ? call(f, q, &rq) : 0;
    if (rc)
        return not_good(f, q, "indirect write", rc);
    for (unsigned i = 0; i < 4; i++) {
        s[i].gref = ref[8 + i];
        memset(mem[8 + i], 0x5a, PAGE_SIZE);
    }
    rq.in.indirect_op = BLKIF_OP_READ;
    if ((rc = call(f, q, &rq)))
        return not_good(f, q, "indirect read", rc);
    for (unsigned i = 0; f->rw && i < 4; i++) {
        const char *bad = compare(mem[8 + i], seed + i, PAGE_SIZE);
        if (bad)
            return bad;
    }
    return NULL;
}

const char *all_good(struct fe *f)
{
    const char *bad = NULL;

    for (unsigned q = 0; q < f->queues && !bad; q++) {
        bad = good(f, q);
        if (!bad)
            bad = good_indirect(f, q);
    }
    return bad;
}
