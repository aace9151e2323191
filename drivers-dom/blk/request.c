/* SPDX-License-Identifier: MIT */
/* Requests on their way between a front-end's pages and the device: see blkback.h. What a ring is is not known here. */
#include <blame.h>
#include <errno.h>
#include <string.h>
#include "blkback.h"

#define SECT 512u

/* --- lists and pools --------------------------------------------------------------------------------------- */

static void push(struct bb_list *l, struct bb_req *q)
{
    q->next = NULL;
    *l->tail = q;
    l->tail = &q->next;
}

static struct bb_req *pop(struct bb_list *l)
{
    struct bb_req *q = l->head;

    if (q && !(l->head = q->next))
        l->tail = &l->head;
    return q;
}

static uint8_t *page_of(const struct bb *bb, const struct bb_req *q, unsigned i)
{
    return bb->page[q->page[i]];
}

/* --- checks ------------------------------------------------------------------------------------------------ */

/* [sector, + n), n in 512-byte units, lies in the volume and on the device's sectors. */
static bool range_ok(const struct bb_disk *d, uint64_t sector, uint64_t n)
{
    uint64_t align = d->sector_size / SECT;

    if (!n || sector > d->nr_sectors / d->unit || n > d->nr_sectors - sector * d->unit)
        return false;
    return (sector * d->unit) % align == 0 && n % align == 0;
}

/* Length of a segment in 512-byte units; 0: it is not within its page. */
static unsigned seg_len(const struct bb_disk *d, unsigned first, unsigned last)
{
    return first <= last && last < PAGE_SIZE / SECT / d->unit ? (last - first + 1) * d->unit : 0;
}

static int8_t validate_direct(const struct bb_disk *d, const struct keep_entry *e, unsigned *pages)
{
    unsigned total = 0;

    if (e->nr > BB_DIRECT || (!e->nr && !bb_is_flush(e)))
        return BLKIF_RSP_ERROR;
    for (unsigned i = 0; i < e->nr; i++) {
        unsigned n = seg_len(d, e->seg.sect[i][0], e->seg.sect[i][1]);
        if (!n)
            return BLKIF_RSP_ERROR;
        total += n;
    }
    if (e->nr && (!range_ok(d, e->sector, total) || (d->ro && e->op != BLKIF_OP_READ)))
        return BLKIF_RSP_ERROR;
    *pages = (unsigned)((total * SECT + PAGE_SIZE - 1) / PAGE_SIZE);
    return BLKIF_RSP_OKAY;
}

static int8_t validate(const struct bb_disk *d, const struct keep_entry *e, unsigned *pages)
{
    *pages = 0;
    switch (e->op) {
    case BLKIF_OP_READ:
    case BLKIF_OP_WRITE:
    case BLKIF_OP_WRITE_BARRIER:
    case BLKIF_OP_FLUSH_DISKCACHE: return validate_direct(d, e, pages);
    case BLKIF_OP_INDIRECT: /* its segments are checked when they are here */
        if ((e->sub != BLKIF_OP_READ && e->sub != BLKIF_OP_WRITE) || !e->nr ||
            e->nr > d->max_segs || (d->ro && e->sub == BLKIF_OP_WRITE))
            return BLKIF_RSP_ERROR;
        *pages = e->nr + 1u;
        return BLKIF_RSP_OKAY;
    case BLKIF_OP_DISCARD:
        if (!d->discard || e->sub & BLKIF_DISCARD_SECURE)
            return BLKIF_RSP_EOPNOTSUPP;
        if (e->discard > d->nr_sectors / d->unit || !range_ok(d, e->sector, e->discard * d->unit) ||
            d->ro)
            return BLKIF_RSP_ERROR;
        return BLKIF_RSP_OKAY;
    default: return BLKIF_RSP_EOPNOTSUPP;
    }
}

/* --- steps ------------------------------------------------------------------------------------------------- */

static void count(struct bb_disk *d, const struct bb_req *q)
{
    if (q->op == BLKIF_OP_READ) {
        d->stats.reads++;
        d->stats.read_bytes += q->bytes;
    } else if (q->op == BLKIF_OP_DISCARD) {
        d->stats.discards++;
    } else {
        d->stats.flushes += q->op != BLKIF_OP_WRITE;
        d->stats.writes += q->bytes != 0;
        d->stats.write_bytes += q->bytes;
    }
}

static void finish(struct bb *bb, struct bb_req *q, int8_t status)
{
    if (status == BLKIF_RSP_OKAY)
        count(q->disk, q);
    bb->done(q, status);
    q->disk->dev->held_reqs--;
    q->disk->dev->held_pages -= q->nr_pages;
    for (unsigned i = 0; i < q->nr_pages; i++)
        bb->free_page[bb->nr_free_pages++] = q->page[i];
    q->next = bb->free_req;
    bb->free_req = q;
}

/* The pool's pages as the device gets them, neighbours joined. */
static void segs_build(const struct bb *bb, struct bb_req *q)
{
    struct blk_io *io = &q->io;

    io->nr_segs = 0;
    for (unsigned at = 0, i = 0; at < q->bytes; at += (unsigned)PAGE_SIZE, i++) {
        uint32_t n = q->bytes - at < PAGE_SIZE ? q->bytes - at : (uint32_t)PAGE_SIZE;
        struct blk_seg *last = io->nr_segs ? &io->seg[io->nr_segs - 1] : NULL;
        uint8_t *va = page_of(bb, q, i);
        if (last && (uint8_t *)last->va + last->len == va)
            last->len += n;
        else
            io->seg[io->nr_segs++] = (struct blk_seg){ va, n };
    }
}

static void discard_step(const struct bb_disk *d, struct bb_req *q)
{
    uint64_t align = d->sector_size / SECT,
             max = d->dev->max_discard_sectors ? d->dev->max_discard_sectors : 0xffff0000u;
    uint64_t n = q->discard_left < max ? q->discard_left : max / align * align;

    q->io.op = BLK_DISCARD;
    q->io.nr_segs = 0;
    q->io.sector = d->first + (q->e.sector + q->e.discard) * d->unit - q->discard_left;
    q->io.nr_sectors = (uint32_t)n;
    q->discard_left -= n;
}

/* Hands the next step to the device, or ends. */
static void step(struct bb *bb, struct bb_req *q)
{
    struct bb_disk *d = q->disk;

    q->phase = BB_SUBMIT;
    if (q->flush_before || (!q->data && !q->discard_left && q->flush_after)) {
        if (q->flush_before)
            q->flush_before = false;
        else
            q->flush_after = false;
        q->io.op = BLK_FLUSH;
        q->io.sector = q->io.nr_sectors = q->io.nr_segs = 0;
    } else if (q->data) {
        q->data = false;
        q->io.op = q->op == BLKIF_OP_READ ? BLK_READ : BLK_WRITE;
        q->io.sector = d->first + q->e.sector * d->unit;
        q->io.nr_sectors = q->bytes / SECT;
        segs_build(bb, q);
    } else if (q->discard_left) {
        discard_step(d, q);
    } else {
        finish(bb, q, BLKIF_RSP_OKAY);
        return;
    }
    push(&bb->submit, q);
}

static void device_done(struct blk_io *io)
{
    struct bb_req *q = (struct bb_req *)io;
    struct bb *bb = io->arg;

    blame(q->disk->gen);
    if (io->status) {
        /* EOPNOTSUPP for a flush would make Linux never flush again. */
        bool unsupported = io->status == -EOPNOTSUPP && q->op == BLKIF_OP_DISCARD;
        q->disk->stats.errors++;
        finish(bb, q, unsupported ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR);
    } else if (io->op == BLK_READ) {
        q->phase = BB_COPY_OUT;
        push(&bb->copy, q);
    } else {
        step(bb, q);
    }
    blame(0);
}

/* Segments are known and checked: what comes before the device. */
static void data_ready(struct bb *bb, struct bb_req *q)
{
    bb_charge(bb, &q->disk->bytes, q->bytes);
    if (q->data && q->op != BLKIF_OP_READ) {
        q->phase = BB_COPY_IN;
        push(&bb->copy, q);
    } else {
        step(bb, q);
    }
}

/* Whether that many pages more are a disk's due: of several each leaves enough for the others, and for one that may come. A share of pages that
 * is too small for a request is enough for one. */
static bool in_share(struct bb *bb, const struct blkdev *d, unsigned pages)
{
    unsigned n = bb->nr_devs + 1, reqs = BB_REQS / n;

    if (d->held_reqs >= reqs || d->held_reqs >= d->queue_depth)
        return false;
    if (!d->held_pages || d->held_pages + pages <= bb->nr_pages / n)
        return true;
    bb->short_of_pages = true;
    return false;
}

struct bb_req *bb_open(struct bb *bb, struct bb_disk *d, const struct keep_entry *e, bool may,
                       int8_t *status)
{
    bool flush = bb_is_flush(e) && d->dev->flush;
    unsigned pages;

    *status = validate(d, e, &pages);
    if (*status != BLKIF_RSP_OKAY)
        return NULL;
    if (d->dev->name && !in_share(bb, d->dev, pages)) {
        *status = BB_SHARE;
        return NULL;
    }
    if (!may || !bb->free_req || bb->nr_free_pages < pages)
        return NULL;
    struct bb_req *q = bb->free_req;
    bb->free_req = q->next;
    q->disk = d;
    q->e = *e;
    q->op = e->op == BLKIF_OP_INDIRECT ? e->sub : e->op;
    q->io.done = device_done;
    q->io.arg = bb;
    q->io.status = 0;
    q->nr_segs = e->op == BLKIF_OP_DISCARD ? 0 : e->nr;
    q->data = q->nr_segs != 0;
    q->flush_before = flush;
    q->flush_after = flush && q->data && e->op == BLKIF_OP_WRITE_BARRIER;
    q->discard_left = e->op == BLKIF_OP_DISCARD ? e->discard * d->unit : 0;
    q->bytes = 0;
    d->dev->held_reqs++;
    d->dev->held_pages += pages;
    for (q->nr_pages = 0; q->nr_pages < pages; q->nr_pages++)
        q->page[q->nr_pages] = bb->free_page[--bb->nr_free_pages];
    return q;
}

void bb_start(struct bb *bb, struct bb_req *q)
{
    const struct keep_entry *e = &q->e;

    if (e->op == BLKIF_OP_INDIRECT) {
        q->phase = BB_INDIRECT;
        push(&bb->copy, q);
        return;
    }
    for (unsigned i = 0; i < q->nr_segs; i++) {
        q->seg[i] = (struct bb_seg){ e->seg.gref[i], e->seg.sect[i][0], e->seg.sect[i][1] };
        q->bytes += seg_len(q->disk, q->seg[i].first, q->seg[i].last) * SECT;
    }
    data_ready(bb, q);
}

/* The indirect segments, copied once, checked now. */
static void indirect_ready(struct bb *bb, struct bb_req *q)
{
    const struct blkif_request_segment *s = (const void *)page_of(bb, q, q->nr_pages - 1);
    const struct bb_disk *d = q->disk;

    for (unsigned i = 0; i < q->nr_segs; i++) {
        unsigned n = seg_len(d, s[i].first_sect, s[i].last_sect);
        if (!n)
            break;
        q->seg[i] = (struct bb_seg){ s[i].gref, s[i].first_sect, s[i].last_sect };
        q->bytes += n * SECT;
        if (i + 1 == q->nr_segs && range_ok(d, q->e.sector, q->bytes / SECT)) {
            data_ready(bb, q);
            return;
        }
    }
    q->disk->stats.malformed++;
    finish(bb, q, BLKIF_RSP_ERROR);
}

/* --- copies ------------------------------------------------------------------------------------------------ */

/* Segments one after the other in the pool's pages; neither end of a copy may cross a page. */
static void data_copies(struct bb *bb, const struct bb_req *q)
{
    const struct bb_disk *d = q->disk;
    unsigned at = 0;

    for (unsigned i = 0; i < q->nr_segs; i++) {
        unsigned off = q->seg[i].first * d->unit * SECT,
                 left = seg_len(d, q->seg[i].first, q->seg[i].last) * SECT;
        while (left) {
            unsigned in = at % (unsigned)PAGE_SIZE, room = (unsigned)PAGE_SIZE - in,
                     n = left < room ? left : room;
            uint8_t *own = page_of(bb, q, at / (unsigned)PAGE_SIZE) + in;
            if (q->phase == BB_COPY_IN)
                (void)batch_copy_from(bb->b, d->dom, q->seg[i].gref, off, own, n); /* room was checked */
            else
                (void)batch_copy_to(bb->b, d->dom, q->seg[i].gref, off, own, n);
            at += n;
            off += n;
            left -= n;
        }
    }
}

/* Into the batch, as many as it takes. */
static void copies(struct bb *bb)
{
    struct bb_req *q;

    /* A segment is cut at most once, and not more often than there are pages. */
    while ((q = bb->copy.head) && bb->b->nr_copies + 2 * q->nr_segs <= BH_BATCH_COPIES) {
        (void)pop(&bb->copy);
        blame(q->disk->gen);
        q->copy0 = (uint16_t)bb->b->nr_copies;
        if (q->phase == BB_INDIRECT)
            (void)batch_copy_from(bb->b, q->disk->dom, q->e.indirect[0], 0,
                                  page_of(bb, q, q->nr_pages - 1),
                                  q->nr_segs * (unsigned)sizeof(struct blkif_request_segment));
        else
            data_copies(bb, q);
        q->ncopies = (uint16_t)(bb->b->nr_copies - q->copy0);
        push(&bb->copying, q);
    }
}

static void copied(struct bb *bb)
{
    struct bb_req *q;

    while ((q = pop(&bb->copying))) {
        bool good = true;
        blame(q->disk->gen);
        for (unsigned i = 0; i < q->ncopies; i++)
            good &= bb->b->copy[q->copy0 + i].status == GNTST_okay;
        if (!good) {
            q->disk->stats.errors++;
            finish(bb, q, BLKIF_RSP_ERROR);
        } else if (q->phase == BB_INDIRECT) {
            indirect_ready(bb, q);
        } else if (q->phase == BB_COPY_IN) {
            step(bb, q);
        } else {
            finish(bb, q, BLKIF_RSP_OKAY);
        }
    }
}

/* A disk that is busy keeps its requests in their order, and the others' go past them. */
static unsigned submit(struct bb *bb)
{
    struct bb_req **at = &bb->submit.head, *q;
    unsigned n = 0;

    while ((q = *at)) {
        struct blkdev *dev = q->disk->dev;
        int rc = -EBUSY;
        if (!dev->busy) {
            blame(q->disk->gen);
            q->io.status = 0;
            rc = dev->ops->submit(dev, &q->io);
        }
        if (rc == -EBUSY) {
            if (!dev->name) /* there are no others */
                break;
            dev->busy = true;
            at = &q->next;
            continue;
        }
        if (!(*at = q->next))
            bb->submit.tail = at;
        q->phase = BB_DEVICE;
        n++;
        if (rc) {
            q->io.status = rc;
            device_done(&q->io);
        }
    }
    return n;
}

unsigned bb_step_all(struct bb *bb, bool more)
{
    copies(bb);
    unsigned n = bb->b->nr_copies;
    if (n || more) {
        blame(0); /* all of them */
        batch_flush(bb->b);
    }
    copied(bb);
    return n + submit(bb);
}
