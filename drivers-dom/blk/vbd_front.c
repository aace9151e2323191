/* SPDX-License-Identifier: MIT */
/* A disk that another domain's back-end has: vbd_front.h. */
#include "vbd_front.h"
#include <errno.h>
#include <string.h>
#include "driver.h"

#define PART_BYTES (VF_SEGS * (uint32_t)PAGE_SIZE)
#define SLOT_AT(i) ((i) % VF_SLOTS)

_Static_assert(__CONST_RING_SIZE(blkif, PAGE_SIZE) == VF_SLOTS, "a ring of one page");
_Static_assert(sizeof(struct blkif_request_discard) <= sizeof(struct blkif_request), "one slot");

static struct vbd_front *front_of(struct blkdev *d) { return (struct vbd_front *)d; }

/* --- lists ------------------------------------------------------------------------------------------------ */

static void list_clear(struct vf_list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

static void list_put(struct vf_list *l, struct vf_io *v)
{
    v->next = NULL;
    *l->tail = v;
    l->tail = &v->next;
}

static struct vf_io *list_get(struct vf_list *l)
{
    struct vf_io *v = l->head;

    if (v && !(l->head = v->next))
        l->tail = &l->head;
    return v;
}

/* --- done ------------------------------------------------------------------------------------------------- */

static void io_done(struct vbd_front *f, struct vf_io *v)
{
    struct blk_io *io = v->io;

    io->status = v->status;
    v->io = NULL;
    f->nr_ios--;
    if (io->status && io->status != -EOPNOTSUPP)
        disk_complain(io, f->dev.model, (unsigned)-io->status);
    io->done(io); /* may submit again */
}

static void io_answered(struct vbd_front *f, struct vf_io *v)
{
    if (v->out || !v->asked)
        return;
    if (v->io->op == BLK_WRITE && f->through && !v->status)
        list_put(&f->flush, v);
    else
        io_done(f, v);
}

/* The flush that `covered` waited for. */
static void flushed(struct vbd_front *f, int status)
{
    struct vf_io *v;

    f->flushing = false;
    while ((v = list_get(&f->covered))) {
        v->status = status;
        io_done(f, v);
    }
}

/* --- asking ----------------------------------------------------------------------------------------------- */

static uint8_t *page_of(const struct vbd_front *f, const struct vf_slot *s, unsigned i)
{
    return f->data + s->page[i] * PAGE_SIZE;
}

/* Between a part's pages and those of its request, whose segments are whole pages but for the end. */
static void part_copy(const struct vbd_front *f, const struct vf_slot *s, bool out)
{
    const struct blk_io *io = s->v->io;
    uint32_t off = s->at;
    unsigned seg = 0;

    while (off >= io->seg[seg].len)
        off -= io->seg[seg++].len;
    for (uint32_t done = 0, i = 0, n; done < s->bytes; done += n, i++) {
        n = s->bytes - done < PAGE_SIZE ? s->bytes - done : (uint32_t)PAGE_SIZE;
        uint8_t *own = (uint8_t *)io->seg[seg].va + off;
        if (out)
            memcpy(page_of(f, s, i), own, n);
        else
            memcpy(own, page_of(f, s, i), n);
        off += n;
        if (off >= io->seg[seg].len) {
            off = 0;
            seg++;
        }
    }
}

static struct vf_slot *slot_free(struct vbd_front *f)
{
    for (unsigned i = 0; i < VF_SLOTS; i++) {
        if (!f->slot[i].busy)
            return &f->slot[i];
    }
    return NULL;
}

static void slot_give(struct vbd_front *f, struct vf_slot *s)
{
    while (s->nr)
        f->free_page[f->nr_free_pages++] = s->page[--s->nr];
    s->busy = false;
}

/* Into the ring; req_prod goes on later. */
static void slot_ask(struct vbd_front *f, struct vf_slot *s, uint64_t sector, uint64_t discard)
{
    unsigned index = (unsigned)(s - f->slot);
    struct blkif_request q = { .operation = s->op, .sector_number = sector };

    s->busy = true;
    s->turn++;
    q.id = index | (uint64_t)s->turn << 8;
    if (s->op == BLKIF_OP_DISCARD) {
        struct blkif_request_discard d = {
            .operation = s->op, .id = q.id, .sector_number = sector, .nr_sectors = discard
        };
        memcpy(&q, &d, sizeof(d));
    } else {
        q.nr_segments = s->nr;
        for (uint32_t i = 0, left = s->bytes, n; i < s->nr; i++, left -= n) {
            n = left < PAGE_SIZE ? left : (uint32_t)PAGE_SIZE;
            q.seg[i] = (struct blkif_request_segment){ .gref = (grant_ref_t)f->ref[s->page[i]],
                                                       .last_sect = (uint8_t)(n / 512 - 1) };
        }
    }
    memcpy(&f->ring->ring[SLOT_AT(f->req_prod)].req, &q, sizeof(q));
    f->req_prod++;
}

static bool ask_flush(struct vbd_front *f, struct vf_io *v)
{
    struct vf_slot *s = slot_free(f);

    if (!s)
        return false;
    s->op = BLKIF_OP_FLUSH_DISKCACHE;
    s->v = v;
    s->bytes = 0;
    slot_ask(f, s, 0, 0);
    return true;
}

/* The next part of a read or write. false: there is no room. */
static bool ask_part(struct vbd_front *f, struct vf_io *v)
{
    uint32_t left = v->io->nr_sectors * 512 - v->at, bytes = left < PART_BYTES ? left : PART_BYTES;
    unsigned nr = (unsigned)((bytes + PAGE_SIZE - 1) / PAGE_SIZE);
    struct vf_slot *s = f->nr_free_pages < nr ? NULL : slot_free(f);

    if (!s)
        return false;
    s->op = v->io->op == BLK_READ ? BLKIF_OP_READ : BLKIF_OP_WRITE;
    s->v = v;
    s->at = v->at;
    s->bytes = bytes;
    while (s->nr < nr)
        s->page[s->nr++] = f->free_page[--f->nr_free_pages];
    if (s->op == BLKIF_OP_WRITE)
        part_copy(f, s, true);
    slot_ask(f, s, v->io->sector + v->at / 512, 0);
    v->at += bytes;
    v->asked = v->at == v->io->nr_sectors * 512;
    return true;
}

static bool ask_discard(struct vbd_front *f, struct vf_io *v)
{
    struct vf_slot *s = slot_free(f);

    if (!s)
        return false;
    s->op = BLKIF_OP_DISCARD;
    s->v = v;
    s->bytes = 0;
    slot_ask(f, s, v->io->sector, v->io->nr_sectors);
    return true;
}

/* One more request to the ring for it. false: there is no room. */
static bool ask_one(struct vbd_front *f, struct vf_io *v)
{
    bool data = v->io->op == BLK_READ || v->io->op == BLK_WRITE;

    if (data) {
        if (!ask_part(f, v))
            return false;
    } else if (!(v->io->op == BLK_FLUSH ? ask_flush(f, v) : ask_discard(f, v))) {
        return false;
    } else {
        v->asked = true;
    }
    v->out++;
    return true;
}

/* What it says that it cannot is not asked: another back-end may have been able to. */
static bool impossible(struct vbd_front *f, struct vf_io *v)
{
    if (v->io->op == BLK_DISCARD && !f->can_discard)
        v->status = -EOPNOTSUPP;
    else if (v->io->op != BLK_FLUSH || f->can_flush)
        return false;
    v->asked = true;
    io_answered(f, v);
    return true;
}

static void ask(struct vbd_front *f)
{
    struct vf_io *v;

    if (f->flush.head && !f->flushing && ask_flush(f, NULL)) {
        f->covered = f->flush;
        list_clear(&f->flush);
        f->flushing = true;
    }
    while ((v = f->ask.head)) {
        if (!v->asked && !v->at && impossible(f, v)) {
            (void)list_get(&f->ask);
            continue;
        }
        if (!ask_one(f, v))
            break;
        if (v->asked)
            (void)list_get(&f->ask);
    }
}

/* What was put into the ring is the back-end's. */
static void tell(struct vbd_front *f)
{
    uint32_t old = f->told;

    if (old == f->req_prod)
        return;
    wmb(); /* requests before their index */
    WRITE_ONCE(f->ring->req_prod, f->told = f->req_prod);
    mb(); /* the back-end sees req_prod, or we see its req_event */
    if (f->req_prod - READ_ONCE(f->ring->req_event) < f->req_prod - old)
        batch_send(f->batch, (uint32_t)f->port);
}

/* --- answers ---------------------------------------------------------------------------------------------- */

static void breach(struct vbd_front *f, const char *why)
{
    f->breach = why;
    vf_down(f);
}

static int status_of(const struct vf_slot *s, int16_t status)
{
    bool data = s->op == BLKIF_OP_READ || s->op == BLKIF_OP_WRITE;

    return status == BLKIF_RSP_OKAY                  ? 0
           : status == BLKIF_RSP_EOPNOTSUPP && !data ? -EOPNOTSUPP
                                                     : -EIO;
}

static void answered(struct vbd_front *f, struct vf_slot *s, int status)
{
    struct vf_io *v = s->v;

    if (!v) {
        slot_give(f, s);
        flushed(f, status ? -EIO : 0);
        return;
    }
    if (s->op == BLKIF_OP_READ && !status)
        part_copy(f, s, false);
    slot_give(f, s);
    v->out--;
    if (status)
        v->status = status;
    io_answered(f, v);
}

/* One answer. false: it is none. */
static bool answer(struct vbd_front *f)
{
    struct blkif_response r;

    memcpy(&r, &f->ring->ring[SLOT_AT(f->rsp_cons)].rsp, sizeof(r));
    barrier(); /* the copy is what is looked at */
    f->rsp_cons++;
    struct vf_slot *s = &f->slot[r.id % VF_SLOTS];
    if (!s->busy || r.id != ((uint64_t)(s - f->slot) | (uint64_t)s->turn << 8) || r.operation != s->op)
        return false;
    answered(f, s, status_of(s, r.status));
    return true;
}

static unsigned answers(struct vbd_front *f)
{
    uint32_t prod = READ_ONCE(f->ring->rsp_prod), n = prod - f->rsp_cons;

    rmb();
    if (n > f->told - f->rsp_cons) {
        breach(f, "it answers more than it was asked");
        return 0;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!answer(f)) {
            breach(f, "it answers what it was not asked");
            return i;
        }
    }
    return n;
}

/* --- blkdev.h --------------------------------------------------------------------------------------------- */

static int front_submit(struct blkdev *d, struct blk_io *io)
{
    struct vbd_front *f = front_of(d);

    for (struct vf_io *v = f->ios; v < f->ios + VF_IOS; v++) {
        if (v->io)
            continue;
        *v = (struct vf_io){ .io = io, .born = f->born++ };
        if (!f->nr_ios++)
            f->progress = now_ns();
        list_put(&f->ask, v);
        return 0;
    }
    return -EBUSY;
}

static unsigned front_poll(struct blkdev *d)
{
    struct vbd_front *f = front_of(d);
    unsigned n = f->up ? answers(f) : 0;

    if (n)
        f->progress = now_ns();
    if (f->up) {
        ask(f);
        tell(f);
    }
    return n;
}

static bool front_arm(struct blkdev *d)
{
    struct vbd_front *f = front_of(d);

    if (!f->up)
        return false;
    ask(f);
    tell(f);
    WRITE_ONCE(f->ring->rsp_event, f->rsp_cons + 1);
    mb(); /* the back-end sees rsp_event, or we see its rsp_prod */
    return READ_ONCE(f->ring->rsp_prod) != f->rsp_cons;
}

static const struct blkdev_ops front_ops = { .submit = front_submit,
                                             .poll = front_poll,
                                             .arm = front_arm };

/* --- connections ------------------------------------------------------------------------------------------ */

void vf_init(struct vbd_front *f, struct batch *batch)
{
    memset(f, 0, sizeof(*f));
    f->batch = batch;
    f->dev.ops = &front_ops;
    f->dev.max_bytes = BLK_MAX_BYTES;
    f->dev.max_segs = BLK_MAX_SEGS;
    f->dev.queue_depth = VF_IOS;
    list_clear(&f->ask);
    list_clear(&f->flush);
    list_clear(&f->covered);
}

static void wakes(uint32_t port, void *arg) { (void)port, (void)arg; }

int vf_offer(struct vbd_front *f, domid_t back)
{
    if (!f->ring)
        f->ring = page_alloc(1);
    if (!f->data)
        f->data = page_alloc(VF_PAGES);
    if (!f->ring || !f->data)
        return -ENOMEM;
    /* The pages were another domain's perhaps, and what is in them was for that one. */
    memset(f->ring, 0, PAGE_SIZE);
    memset(f->data, 0, VF_PAGES * PAGE_SIZE);
    SHARED_RING_INIT(f->ring);
    f->back = back;
    f->breach = NULL;
    f->req_prod = f->told = f->rsp_cons = 0;
    f->ring_ref = grant_give(back, f->ring, 0);
    int rc = f->ring_ref < 0 ? f->ring_ref : 0;
    f->nr_free_pages = 0;
    for (unsigned i = 0; i < VF_PAGES && !rc; i++) {
        f->ref[i] = grant_give(back, f->data + i * PAGE_SIZE, 0);
        rc = f->ref[i] < 0 ? f->ref[i] : 0;
        f->free_page[f->nr_free_pages++] = (uint8_t)i;
    }
    if (!rc) {
        f->port = event_alloc_unbound(back, wakes, NULL);
        rc = f->port < 0 ? f->port : 0;
    }
    return rc;
}

void vf_up(struct vbd_front *f)
{
    f->up = true;
    f->dev.away = false;
    f->progress = now_ns();
}

/* What was not done is to be asked again, in the order in which it came. */
static void ask_again(struct vbd_front *f)
{
    struct vf_io *next;

    list_clear(&f->ask);
    list_clear(&f->flush);
    list_clear(&f->covered);
    f->flushing = false;
    for (uint64_t from = 0;; from = next->born + 1) {
        next = NULL;
        for (struct vf_io *v = f->ios; v < f->ios + VF_IOS; v++) {
            if (v->io && v->born >= from && (!next || v->born < next->born))
                next = v;
        }
        if (!next)
            return;
        next->at = next->out = 0;
        next->status = 0;
        next->asked = false;
        list_put(&f->ask, next);
    }
}

void vf_down(struct vbd_front *f)
{
    if (f->port > 0)
        event_close((uint32_t)f->port);
    f->port = 0;
    f->up = false;
    f->dev.away = true;
    for (unsigned i = 0; i < VF_SLOTS; i++)
        slot_give(f, &f->slot[i]);
    ask_again(f);
}

static unsigned still_has(int *ref)
{
    if (*ref > 0 && grant_end((uint32_t)*ref) == -EBUSY)
        return 1;
    *ref = 0;
    return 0;
}

unsigned vf_let_go(struct vbd_front *f)
{
    unsigned n = still_has(&f->ring_ref);

    for (unsigned i = 0; i < VF_PAGES; i++)
        n += still_has(&f->ref[i]);
    return n;
}

void vf_forget(struct vbd_front *f)
{
    for (unsigned i = 0; i < VF_IOS; i++)
        f->ios[i].io = NULL;
    f->nr_ios = 0;
    ask_again(f);
}
