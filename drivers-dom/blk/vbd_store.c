/* SPDX-License-Identifier: MIT */
/* What a vbd's two directories say, and what we say in ours: opening its volume, advertising, reading the front-end's side. */
#include "vbd.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/protocols.h>
#include <xen/io/xenbus.h>

/* --- counters ---------------------------------------------------------------------------------------------- */

#define STATS_NS NS_PER_S

_Static_assert(sizeof(struct bb_stats) == BH_BLK_STATS * sizeof(uint64_t) &&
                   BH_BLK_STATS <= COUNTERS_MAX,
               "nothing but counters");

uint64_t vbds_say_stats(void)
{
    static uint64_t next;
    bool unsaid = false;
    char path[BE_KEY];

    if (now_ns() < next)
        return next; /* without looking: that comes with each request */
    EACH_VBD(v)
    unsaid |= v->connected &&
              counters_unsaid(&v->counters, (const uint64_t *)&v->disk.stats, BH_BLK_STATS);
    if (!unsaid)
        return 0;
    next = now_ns() + STATS_NS;
    EACH_VBD(v)
    {
        /* One that is looked at again may be gone: a node of ours would bring its directory back. */
        if (!v->connected || v->be.dirty || v->be.later)
            continue;
        be_key_path(&v->be, path, BH_KEY_STATS);
        if (!counters_say(&v->counters, path, (const uint64_t *)&v->disk.stats, BH_BLK_STATS))
            return next;
    }
    return 0;
}

/* --- opening and advertising ----------------------------------------------------------------------------------- */

/* Said once: whatever touches its directory makes us try again. */
static void vbd_error(struct vbd *v, const char *why)
{
    if (be_refuse(&v->be, why))
        printf("vbd%u.%u: '%s' not opened: %s\n", v->be.dom, v->be.devid, QUOTED(v->spec), why);
}

/* It lets go, or is to: we may not have looked at it since. */
static bool leaves(const struct vbd *o)
{
    struct slot_entry e;

    return o->draining || !be_slot(SLOT_VBD, o->be.dom, o->be.devid, &e) ||
           slot_gen(&e) != o->be.gen || slot_state(&e) == SLOT_DETACHING;
}

/* Whoever has a part of it is about to let go, so there is no need to refuse it. */
static bool user_leaves(const struct vbd *v)
{
    EACH_VBD(o)
    {
        if (o != v && o->claim.claimed && volume_overlap(&o->claim, &v->claim) && leaves(o))
            return true;
    }
    return false;
}

/* It may be what this domain does not look at. */
static const char *not_found(const char *why)
{
    static char text[240];

    if (blk.nr_devs != 1 || !blk.dev[0]->left_out)
        return why;
    snprintf(text, sizeof(text), "%s; %s", why, blk.dev[0]->left_out);
    return text;
}

/* Finds and claims the volume. false: there is an error in the store, or none and it is tried again. */
static bool vbd_open(struct vbd *v)
{
    struct slot_entry e;

    if (v->claim.claimed)
        return true;
    if (!be_slot(SLOT_VBD, v->be.dom, v->be.devid, &e) || slot_gen(&e) != v->be.gen ||
        slot_state(&e) == SLOT_DETACHING)
        return false; /* whoever changed that says so in our directory */
    v->claim.nr = 0;
    const char *why = vbd_claim(v, &e);
    if (why && ((v->claim.nr && user_leaves(v)) || (blk.devs_to_come && now_ns() < blk.devs_by)))
        be_retry(&v->be);
    else if (why)
        vbd_error(v, v->claim.nr ? why : not_found(why));
    return !why;
}

static unsigned log2_of(unsigned n) { return n < 2 ? 0 : 1 + log2_of(n / 2); }

/* Queues and ring pages that this vbd may have, each of which takes a journal page. */
static bool vbd_promise(struct vbd *v)
{
    unsigned left = keep_free_pages(&blk.keep), q = KEEP_QUEUES, pages = KEEP_RING_PAGES, others = 0;

    EACH_VBD(o)
    {
        if (o != v && !o->connected && !o->stalled)
            left -= o->queues << o->order;
        others += o != v && !o->connected && !o->stalled && !o->queues;
    }
    if ((int)left < 1)
        return false;
    while (q * pages > keep_share(left, others)) {
        if (pages > 1)
            pages /= 2;
        else
            q /= 2;
    }
    v->queues = q;
    v->order = log2_of(pages);
    return true;
}

static unsigned indirect_segs(const struct blkdev *dev)
{
    unsigned n = dev->max_segs < BLK_MAX_SEGS ? dev->max_segs : BLK_MAX_SEGS;

    return dev->max_bytes / BLK_SEG_BYTES < n ? dev->max_bytes / BLK_SEG_BYTES : n;
}

bool vbd_properties(struct vbd *v, unsigned unit)
{
    const struct blkdev *dev = v->dev;
    unsigned physical = dev->physical_sector_size ? dev->physical_sector_size : dev->sector_size;

    return be_write_number(&v->be, "sectors", v->claim.nr / unit) &&
           be_write_number(&v->be, "sector-size", dev->sector_size) &&
           be_write_number(&v->be, "physical-sector-size", physical) &&
           be_write_number(&v->be, "info", v->mode & VOLUME_WRITE ? 0 : VDISK_READONLY);
}

static bool discard_possible(const struct vbd *v)
{
    return v->dev->discard && v->discard && v->mode & VOLUME_WRITE;
}

static bool discard_offer(struct vbd *v)
{
    const struct blkdev *dev = v->dev;

    if (!discard_possible(v))
        return be_write_number(&v->be, "feature-discard", 0);
    unsigned gran = dev->discard_granularity ? dev->discard_granularity : dev->sector_size;
    uint64_t align = (gran - (v->claim.first - dev->base) * 512 % gran) % gran;
    return be_write_number(&v->be, "discard-granularity", gran) &&
           be_write_number(&v->be, "discard-alignment", align) &&
           be_write_number(&v->be, "discard-secure", 0) &&
           be_write_number(&v->be, "feature-discard", 1);
}

/* For the control domain, which puts it into our entry once: the next instance holds it against the disk's table. */
static bool extent_say(struct vbd *v)
{
    char text[48];

    snprintf(text, sizeof(text), "%lu %lu", v->claim.first, v->claim.nr);
    return be_write(&v->be, BH_KEY_EXTENT, text);
}

/* InitWait with everything that we offer. Sectors are 512 bytes here, whatever the sector size: that is what Linux means. */
void vbd_advertise(struct vbd *v)
{
    if (!vbd_open(v))
        return;
    if (!vbd_promise(v)) {
        vbd_error(v, "too many vbds: no keep page is left for its journal");
        volume_release(&v->claim);
        return;
    }
    bool said = be_write_number(&v->be, "feature-flush-cache", 1) &&
                be_write_number(&v->be, "feature-barrier", 1) &&
                be_write_number(&v->be, "feature-persistent", 0) &&
                be_write_number(&v->be, BH_KEY_KEPT, 1) &&
                be_write_number(&v->be, "feature-max-indirect-segments", indirect_segs(v->dev)) &&
                be_write_number(&v->be, "max-ring-page-order", v->order) &&
                be_write_number(&v->be, "max-ring-pages", 1u << v->order) &&
                be_write_number(&v->be, "multi-queue-max-queues", v->queues) && discard_offer(v) &&
                vbd_properties(v, 1) && extent_say(v);
    if (!said)
        return;
    be_admit(&v->be);
    be_set_state(&v->be, XenbusStateInitWait);
}

/* A former life advertised: the front-end may have read that, so it holds. */
void vbd_reopen(struct vbd *v)
{
    uint64_t queues, order;

    if (!be_read_number(&v->be, "multi-queue-max-queues", 1, &queues) ||
        !be_read_number(&v->be, "max-ring-page-order", 0, &order))
        return;
    v->queues = queues && queues < KEEP_QUEUES ? (unsigned)queues : KEEP_QUEUES;
    v->order = order < 2 ? (unsigned)order : 2;
    if (vbd_open(v))
        be_admit(&v->be);
}

/* --- connecting --------------------------------------------------------------------------------------------- */

struct reader { /* of the front-end's directory */
    bool again; /* the store gave no answer */
    char dir[BE_PATH + 16];
};

static uint32_t number_of(struct reader *r, const char *key, uint32_t absent)
{
    uint64_t val;

    if (!be_number(r->dir, key, absent, &val))
        r->again = true;
    return r->again || val >> 32 ? absent : (uint32_t)val;
}

static const char *protocol_of(const struct vbd *v, struct reader *r, uint8_t *proto)
{
    char path[BE_PATH + 16];

    snprintf(path, sizeof(path), "%s/protocol", v->be.fe_path);
    char *p = xs_read(0, path);
    if (!p && !be_nothing_there(xs_error))
        r->again = true;
    bool narrow = p && !strcmp(p, XEN_IO_PROTO_ABI_X86_32),
         wide = !p || !strcmp(p, XEN_IO_PROTO_ABI_X86_64);
    free(p);
    *proto = narrow ? PROTO_X86_32 : PROTO_NATIVE;
    return narrow || wide ? NULL : "it speaks an unknown protocol";
}

static const char *queue_read(const struct vbd *v, struct reader *r, struct keep_conn *c, unsigned q)
{
    char key[16];

    if (c->head.nr_queues > 1)
        snprintf(r->dir, sizeof(r->dir), "%s/queue-%u", v->be.fe_path, q);
    else
        snprintf(r->dir, sizeof(r->dir), "%s", v->be.fe_path);
    c->q[q].port = number_of(r, "event-channel", 0);
    c->q[q].ref[0] = c->head.nr_pages == 1 ? number_of(r, "ring-ref", 0) : 0;
    for (unsigned p = 0; p < c->head.nr_pages; p++) {
        snprintf(key, sizeof(key), "ring-ref%u", p);
        if (!c->q[q].ref[p])
            c->q[q].ref[p] = number_of(r, key, 0);
        if (!c->q[q].ref[p])
            return "it names no ring";
    }
    return c->q[q].port ? NULL : "it names no event channel";
}

/* What the front-end wrote. NULL, or what is wrong with it; r->again: the store gave no answer. */
static const char *conn_read(struct vbd *v, struct keep_conn *c, struct reader *r)
{
    struct keep_head *h = &c->head;
    const char *why;

    memset(c, 0, sizeof(*c));
    r->again = false;
    snprintf(r->dir, sizeof(r->dir), "%s", v->be.fe_path);
    uint32_t nq = number_of(r, "multi-queue-num-queues", 1);
    uint32_t order = number_of(r, "ring-page-order", log2_of(number_of(r, "num-ring-pages", 1)));
    uint32_t large = number_of(r, "feature-large-sector-size", 0);
    why = protocol_of(v, r, &h->proto);
    if (why)
        return why;
    if (!nq || nq > v->queues)
        return "it wants more queues than it may have";
    if (order > v->order)
        return "it wants more ring pages than it may have";
    h->devid = v->be.devid;
    h->gen = now_ns() ^ (uint64_t)v->be.dom << 48;
    h->domid = v->be.dom;
    h->nr_queues = (uint8_t)nq;
    h->nr_pages = (uint8_t)(1u << order);
    h->flags = (uint8_t)((v->mode & VOLUME_WRITE ? KEEP_F_WRITE : 0) |
                         (v->mode & VOLUME_FORCE ? KEEP_F_FORCE : 0) | (large ? KEEP_F_LARGE : 0) |
                         (discard_possible(v) ? KEEP_F_DISCARD : 0));
    h->first = v->claim.first;
    h->nr_sectors = v->claim.nr;
    h->sector_size = v->dev->sector_size;
    h->max_segs = indirect_segs(v->dev);
    h->slot_gen = v->be.gen;
    for (unsigned q = 0; q < nq && !why; q++)
        why = queue_read(v, r, c, q);
    return why;
}

const char *vbd_read_conn(struct vbd *v, struct keep_conn *c, bool *again)
{
    struct reader r;
    const char *why = conn_read(v, c, &r);

    *again = r.again;
    return why;
}
