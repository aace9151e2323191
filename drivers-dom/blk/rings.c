/* SPDX-License-Identifier: MIT */
/* The rings: see blkback.h for the round and the order that is kept. */
#include <blame.h>
#include <string.h>
#include "blkback.h"

#define SLOTS_AT 64u /* behind the indices, DEFINE_RING_TYPES */
_Static_assert(offsetof(struct blkif_sring, ring) == SLOTS_AT, "blkif ring");
_Static_assert(sizeof(union blkif_sring_entry) == 112, "64-bit slot");
_Static_assert(__CONST_RING_SIZE(blkif, 4096) == KEEP_ENTRIES,
               "an entry for each slot of a ring page");
_Static_assert((4 * 4096 - SLOTS_AT) / 108 < 2 * JOURNAL_MAX, "... in the 32-bit layout, too");
_Static_assert(offsetof(struct blkif_request, id) == 8 && offsetof(struct blkif_request, seg) == 24,
               "64-bit request");
_Static_assert(offsetof(struct blkif_request_indirect, indirect_grefs) == 28,
               "64-bit indirect request");
_Static_assert(offsetof(struct blkif_request_discard, nr_sectors) == 24, "64-bit discard request");
_Static_assert(offsetof(struct blkif_response, status) == 10, "response");
_Static_assert(sizeof(struct blkif_request_segment) == 8, "segment");

static struct blkif_sring *sring(const struct bb_ring *r) { return (struct blkif_sring *)r->sring; }

/* What it had to run again is not waited for: neither by its disk's other rings nor by who closes it. */
static void ring_break(struct bb_ring *r, const char *why)
{
    if (r->broken)
        return;
    r->broken = why;
    r->disk->replays_waiting -= r->nr_replay - r->replay_at;
    r->disk->replays -= r->nr_replay - r->replay_at;
    if (r->replay_at < r->replay_flush)
        r->disk->replays_data -= r->replay_flush - r->replay_at;
    r->replay_at = r->nr_replay;
}

/* Requests in [req_cons, the ring's req_prod), which may not pass what the front-end may have outstanding. */
static unsigned ring_avail(struct bb_ring *r)
{
    uint32_t n;

    if (ring_requests(&sring(r)->req_prod, r->j.req_cons, r->j.rsp_pub, r->j.size, &n))
        return n;
    ring_break(r, "request index out of bounds");
    return 0;
}

static uint32_t *slot(const struct bb_ring *r, uint32_t i)
{
    unsigned stride = r->proto == PROTO_X86_32 ? 108 : 112;

    return (uint32_t *)(r->sring + SLOTS_AT + (i & (r->j.size - 1)) * stride);
}

/* The one read of a slot. Both layouts have the same fields; in the 32-bit one those from id on lie 4 bytes lower, because there a
 * 64-bit number needs no more than that alignment. */
static struct keep_entry snapshot(const struct bb_ring *r, uint32_t i)
{
    const uint32_t *from = slot(r, i);
    uint32_t w[28] = { 0 };
    const uint8_t *b = (const uint8_t *)w;
    unsigned id = r->proto == PROTO_X86_32 ? 4 : 8;
    struct keep_entry e = { .state = 0 };

    for (unsigned k = 0; k < (r->proto == PROTO_X86_32 ? 27u : 28u); k++)
        w[k] = READ_ONCE(from[k]);
    e.op = b[0];
    memcpy(&e.id, b + id, 8);
    memcpy(&e.sector, b + id + 8, 8);
    if (e.op == BLKIF_OP_INDIRECT) {
        e.sub = b[1];
        memcpy(&e.nr, b + 2, 2);
        memcpy(e.indirect, b + id + 20, sizeof(e.indirect)); /* behind the handle */
    } else if (e.op == BLKIF_OP_DISCARD) {
        e.sub = b[1];
        memcpy(&e.discard, b + id + 16, 8);
    } else {
        e.nr = b[1];
        for (unsigned k = 0; k < BB_DIRECT; k++) {
            const uint8_t *s = b + id + 16 + 8 * k;
            memcpy(&e.seg.gref[k], s, 4);
            e.seg.sect[k][0] = s[4];
            e.seg.sect[k][1] = s[5];
        }
    }
    return e;
}

/* The response at ring index i to entry: id; operation (of an indirect request the inner one: blkfront compares) and status. */
static void body_store(const struct bb_ring *r, uint32_t i, unsigned entry, int8_t status)
{
    const struct keep_entry *e = journal_entry(&r->j, entry);
    uint8_t op = e->op == BLKIF_OP_INDIRECT ? e->sub : e->op;
    uint32_t *to = slot(r, i);

    SHARED_STORE(&to[0], (uint32_t)e->id);
    SHARED_STORE(&to[1], (uint32_t)(e->id >> 32));
    SHARED_STORE(&to[2], op | (uint32_t)(uint16_t)(int16_t)status << 16);
}

static void answer(struct bb_ring *r, unsigned entry, int8_t status)
{
    if (!r->broken)
        body_store(r, journal_commit(&r->j, entry, status), entry, status);
}

static void req_done(struct bb_req *q, int8_t status)
{
    struct bb_ring *r = q->ring;

    answer(r, q->entry, status);
    r->inflight--;
    if (q->e.op == BLKIF_OP_WRITE_BARRIER)
        r->barrier = false;
    if (q->replay) {
        r->disk->replays--;
        r->disk->replays_data -= !bb_is_flush(&q->e);
    }
}

/* --- taking ------------------------------------------------------------------------------------------------- */

static bool rate_passes(struct bb *bb, const struct bb_rate *t)
{
    if (!t->per_s || bb->now >= t->next)
        return true;
    if (!bb->retry || t->next < bb->retry)
        bb->retry = t->next;
    return false;
}

void bb_limit(struct bb_rate *t, uint64_t per_s)
{
    if (t->per_s != per_s)
        *t = (struct bb_rate){ .per_s = per_s };
}

/* What has to come first: see the order in blkback.h. */
static bool in_turn(const struct bb_ring *r, const struct keep_entry *e, bool replay)
{
    const struct bb_disk *d = r->disk;

    if (r->barrier || (!replay && d->replays_waiting))
        return false;
    if (!bb_is_flush(e))
        return true;
    if (replay ? d->replays_data : d->replays)
        return false;
    return e->op != BLKIF_OP_WRITE_BARRIER || !r->inflight;
}

/* The next request of a ring, one of the last life first. false: there is none, or it has to wait. */
static bool ring_take(struct bb *bb, struct bb_ring *r)
{
    struct bb_disk *d = r->disk;
    bool replay = r->replay_at < r->nr_replay;
    unsigned entry = 0;
    struct keep_entry e;
    int8_t status;

    r->blocked = false;
    if (r->broken || (!replay && (d->closing || !ring_avail(r))))
        return false;
    blame(d->gen); /* until it is another's turn, or the end of the round */
    if (replay)
        entry = r->replay[r->replay_at];
    e = replay ? *journal_entry(&r->j, entry) : snapshot(r, r->j.req_cons);
    r->blocked = true;
    if (!in_turn(r, &e, replay) ||
        (!replay && !(rate_passes(bb, &d->ops) && rate_passes(bb, &d->bytes))))
        return false;
    struct bb_req *q = bb_open(bb, d, &e, !bb->starving, &status);
    if (!q && status >= BLKIF_RSP_OKAY) {
        if (!bb->starving && status != BB_SHARE)
            bb->starving = r;
        return false;
    }
    r->blocked = false;
    if (replay) {
        r->replay_at++;
        d->replays_waiting--;
        d->stats.replayed++;
    } else {
        entry = journal_take(&r->j, &e);
    }
    if (q) {
        q->ring = r;
        q->entry = (uint16_t)entry;
        q->replay = replay;
        r->inflight++;
        r->barrier |= e.op == BLKIF_OP_WRITE_BARRIER;
        bb_charge(bb, &d->ops, 1);
        bb_start(bb, q);
        return true;
    }
    d->stats.malformed++;
    if (replay) {
        d->replays--;
        d->replays_data -= !bb_is_flush(&e);
    }
    answer(r, entry, status);
    return true;
}

/* Who starved has been served: the next disk comes first now, and of that disk the next ring. */
static void turn_pass(struct bb *bb, const struct bb_ring *r)
{
    struct bb_disk *d = r->disk;

    d->turn = (unsigned)(r - d->ring) + 1;
    for (unsigned k = 0; k < bb->nr_disks; k++) {
        if (bb->disk[k] == d)
            bb->turn = k + 1;
    }
}

static unsigned rings_take(struct bb *bb)
{
    struct bb_ring *hungry = bb->starving;
    unsigned n = 0;

    bb->retry = 0;
    bb->starving = NULL;
    bb->short_of_pages = false;
    if (hungry && ring_take(bb, hungry)) {
        turn_pass(bb, hungry);
        n++;
    }
    for (unsigned k = 0; k < bb->nr_disks; k++) {
        struct bb_disk *d = bb->disk[(bb->turn + k) % bb->nr_disks];
        for (unsigned q = 0; q < d->nr_rings; q++) {
            struct bb_ring *r = &d->ring[(d->turn + q) % d->nr_rings];
            for (unsigned i = 0; i < BB_ROUND && ring_take(bb, r); i++)
                n++;
        }
    }
    if (!bb->starving)
        bb->turn = bb->nr_disks ? (bb->turn + 1) % bb->nr_disks : 0;
    return n;
}

/* --- publishing ------------------------------------------------------------------------------------------- */

static unsigned ring_publish(struct bb *bb, struct bb_ring *r)
{
    uint32_t old = r->j.rsp_pub;

    if (r->broken || r->j.rsp_next == old)
        return 0;
    blame(r->disk->gen);
    journal_publish(&r->j, &sring(r)->rsp_prod);
    bb->answered = true;
    mb(); /* the front-end sees rsp_prod, or we see its rsp_event */
    if (ring_event_due(&sring(r)->rsp_event, old, r->j.rsp_pub))
        batch_send(bb->b, r->port);
    return 1;
}

#define EACH_RING(bb, r)                               \
    for (unsigned k_ = 0; k_ < (bb)->nr_disks; k_++)   \
        for (struct bb_ring *r = (bb)->disk[k_]->ring; \
             r < (bb)->disk[k_]->ring + (bb)->disk[k_]->nr_rings; r++)

bool bb_round(struct bb *bb, struct blkdev *const *devs, unsigned nr_devs)
{
    unsigned work = 0, sends = bb->b->nr_sends;

    bb->nr_devs = nr_devs;
    for (unsigned i = 0; i < nr_devs; i++) {
        devs[i]->busy = false;
        work += devs[i]->ops->poll(devs[i]);
    }
    work += rings_take(bb);
    work += bb_step_all(bb, sends && work);
    EACH_RING(bb, r)
    work += ring_publish(bb, r);
    blame(0);
    return work != 0;
}

bool bb_arm(struct bb *bb, struct blkdev *const *devs, unsigned nr_devs)
{
    bool again = false;

    for (unsigned i = 0; i < nr_devs; i++)
        again |= devs[i]->ops->arm(devs[i]);
    EACH_RING(bb, r)
    {
        if (!r->broken && !r->disk->closing)
            SHARED_STORE(&sring(r)->req_event, r->j.req_cons + 1);
    }
    mb(); /* the front-end sees req_event, or we see its req_prod */
    EACH_RING(bb, r)
    {
        if (!r->broken && !r->disk->closing && !r->blocked && ring_avail(r))
            again = true;
    }
    return again;
}

/* --- life of a disk ------------------------------------------------------------------------------------------ */

void bb_pool_add(struct bb *bb, void *mem, unsigned pages)
{
    unsigned n = bb->nr_pages;

    for (; pages && n < BB_MAX_PAGES; pages--, mem = (uint8_t *)mem + PAGE_SIZE)
        bb->page[n++] = mem;
    for (unsigned i = n; i-- > bb->nr_pages;)
        bb->free_page[bb->nr_free_pages++] = (uint16_t)i;
    bb->nr_pages = n;
}

void bb_init(struct bb *bb, struct batch *b)
{
    memset(bb, 0, sizeof(*bb));
    bb->b = b;
    bb->done = req_done;
    for (unsigned i = 0; i < BB_REQS; i++) {
        bb->req[i].next = bb->free_req;
        bb->free_req = &bb->req[i];
    }
    bb->copy.tail = &bb->copy.head;
    bb->copying.tail = &bb->copying.head;
    bb->submit.tail = &bb->submit.head;
}

static void disk_add(struct bb *bb, struct bb_disk *d)
{
    for (unsigned q = 0; q < d->nr_rings; q++)
        d->ring[q].disk = d;
    d->closing = false;
    bb->disk[bb->nr_disks++] = d;
}

static void rings_from(struct bb_disk *d, const struct keep_conn *c)
{
    d->nr_rings = c->head.nr_queues;
    for (unsigned q = 0; q < d->nr_rings; q++) {
        memcpy(d->ring[q].j.page, c->q[q].page, sizeof(d->ring[q].j.page));
        d->ring[q].j.size = c->head.nr_pages * KEEP_ENTRIES;
        d->ring[q].proto = c->head.proto;
    }
}

void bb_attach(struct bb *bb, struct bb_disk *d, const struct keep_conn *c)
{
    rings_from(d, c);
    for (unsigned q = 0; q < d->nr_rings; q++)
        journal_begin(&d->ring[q].j, c->q[q].start);
    disk_add(bb, d);
}

/* Data first, flushes and barriers after them, each in the order of the requests. */
static void replay_plan(struct bb_disk *d, struct bb_ring *r, const struct journal_replay *p)
{
    for (unsigned flush = 0; flush < 2; flush++) {
        r->replay_flush = r->nr_replay;
        for (unsigned i = 0; i < p->nr_run; i++) {
            if (bb_is_flush(journal_entry(&r->j, p->run[i])) == flush)
                r->replay[r->nr_replay++] = p->run[i];
        }
    }
    d->replays += r->nr_replay;
    d->replays_waiting += r->nr_replay;
    d->replays_data += r->replay_flush;
}

/* docs/restart-protocol.md 6: the dead instance may have published and not notified, exactly if rsp_event lies at or before rsp_prod; a send
 * without progress counts as spurious in Linux and throttles the port. */
static void notify_missed(struct bb *bb, struct bb_ring *r)
{
    mb(); /* rsp_prod is visible before rsp_event is read */
    if (ring_event_missed(&sring(r)->rsp_event, r->j.rsp_pub))
        batch_send(bb->b, r->port);
    SHARED_STORE(&sring(r)->req_event, r->j.req_cons + 1);
    mb(); /* then the first round reads req_prod */
}

const char *bb_adopt(struct bb *bb, struct bb_disk *d, const struct keep_conn *c)
{
    static struct journal_replay plan[KEEP_QUEUES];
    const char *why = NULL;

    rings_from(d, c);
    for (unsigned q = 0; q < d->nr_rings && !why; q++)
        why = journal_check(&d->ring[q].j, READ_ONCE(sring(&d->ring[q])->rsp_prod), &plan[q]);
    if (why)
        return why;
    d->replays = d->replays_waiting = d->replays_data = 0;
    for (unsigned q = 0; q < d->nr_rings; q++) {
        struct bb_ring *r = &d->ring[q];
        for (unsigned i = 0; i < plan[q].nr_answer; i++) {
            unsigned e = plan[q].answer[i];
            uint64_t state = journal_entry(&r->j, e)->state;
            body_store(r, keep_rsp_of(state), e, keep_status_of(state));
        }
        journal_settle(&r->j, &plan[q], &sring(r)->rsp_prod);
        replay_plan(d, r, &plan[q]);
        notify_missed(bb, r);
    }
    disk_add(bb, d);
    return NULL;
}

bool bb_close(struct bb_disk *d)
{
    unsigned left = 0;

    d->closing = true;
    for (unsigned q = 0; q < d->nr_rings; q++) {
        struct bb_ring *r = &d->ring[q];
        left += r->inflight;
        left += r->nr_replay - r->replay_at;
        if (!r->broken)
            left += r->j.rsp_next != r->j.rsp_pub;
    }
    return !left;
}

void bb_detach(struct bb *bb, struct bb_disk *d)
{
    for (unsigned i = 0; i < bb->nr_disks; i++) {
        if (bb->disk[i] == d)
            bb->disk[i] = bb->disk[--bb->nr_disks];
    }
    if (bb->starving && bb->starving->disk == d)
        bb->starving = NULL;
    bb->turn = 0;
    memset(d->ring, 0, sizeof(d->ring));
    d->nr_rings = 0;
}
