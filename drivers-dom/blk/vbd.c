/* SPDX-License-Identifier: MIT */
/* The vbds: opening, connecting, adopting and closing. See vbd.h for the states. */
#include "vbd.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/protocols.h>
#include <xen/io/xenbus.h>

static struct vbd vbds[BB_MAX_DISKS];

#define EACH_VBD(v) for (struct vbd *v = vbds; v < vbds + BB_MAX_DISKS; v++)

/* --- rings ------------------------------------------------------------------------------------------------ */

/* The event says "look": every round looks at every ring. */
static void ring_event(uint32_t port, void *arg) { (void)port, (void)arg; }

static void rings_unmap(struct vbd *v)
{
    for (unsigned q = 0; q < KEEP_QUEUES; q++) {
        if (v->disk.ring[q].port)
            event_close(v->disk.ring[q].port);
        v->disk.ring[q].port = 0;
        if (v->map[q].va)
            grant_unmap(&v->map[q]);
    }
}

/* Maps the rings and binds the ports that v->conn names, and sets up v->disk but for the journals. */
static const char *rings_map(struct vbd *v)
{
    const struct keep_head *h = &v->conn.head;
    struct bb_disk *d = &v->disk;

    memset(d, 0, sizeof(*d));
    d->dev = blk.dev;
    d->first = h->first;
    d->nr_sectors = h->nr_sectors;
    d->sector_size = h->sector_size;
    d->unit = h->flags & KEEP_F_LARGE ? h->sector_size / 512 : 1;
    d->max_segs = h->max_segs;
    d->ro = !(h->flags & KEEP_F_WRITE);
    d->discard = blk.dev->discard && !d->ro;
    d->dom = h->domid;
    for (unsigned q = 0; q < h->nr_queues; q++) {
        const struct keep_queue *kq = &v->conn.q[q];
        const char *why = "its rings cannot be mapped";
        if (!grant_map(&v->map[q], h->domid, kq->ref, h->nr_pages, 0)) {
            d->ring[q].sring = v->map[q].va;
            int port = event_bind_interdomain(h->domid, kq->port, ring_event, v);
            d->ring[q].port = port > 0 ? (uint32_t)port : 0;
            why = port > 0 ? NULL : "its event channel cannot be bound";
        }
        if (why) {
            rings_unmap(v);
            return why;
        }
    }
    return NULL;
}

static void vbd_unplug(struct vbd *v)
{
    const struct bb_stats *s = &v->disk.stats;

    batch_flush(&blk.batch); /* sends to ports that are about to close */
    keep_close(&blk.keep, &v->conn); /* first: from here on there is nothing to adopt */
    rings_unmap(v);
    bb_detach(&blk.bb, &v->disk);
    v->connected = v->draining = v->told = false;
    printf("vbd%u.%u: off (%lu reads of %lu KiB, %lu writes of %lu KiB, %lu flushes, %lu discards; %lu errors, %lu malformed)\n",
           v->dom, v->devid, s->reads, s->read_bytes >> 10, s->writes, s->write_bytes >> 10, s->flushes, s->discards,
           s->errors, s->malformed);
}

/* false: requests are in flight, come again. */
static bool vbd_disconnect(struct vbd *v)
{
    if (v->stalled) {
        if (v->conn.q[0].page[0])
            keep_close(&blk.keep, &v->conn);
        v->stalled = NULL;
        v->said = false;
    }
    if (!v->connected)
        return true;
    v->draining = !bb_close(&v->disk);
    if (!v->draining)
        vbd_unplug(v);
    return !v->draining;
}

/* --- adoption ----------------------------------------------------------------------------------------------- */

static const char *volume_same(const struct keep_head *h)
{
    const struct blkdev *dev = blk.dev;

    if (!dev)
        return "its disk is not there";
    if (h->sector_size != dev->sector_size || h->first > dev->nr_sectors || h->nr_sectors > dev->nr_sectors - h->first)
        return "its disk is another one than before";
    if (h->max_segs > BLK_MAX_SEGS || h->max_segs > dev->max_segs || h->max_segs * BLK_SEG_BYTES > dev->max_bytes)
        return "its disk can do less than before";
    return NULL;
}

static bool vbd_adopt(struct vbd *v, bool complete)
{
    const struct keep_head *h = &v->conn.head;
    const char *why = complete ? volume_same(h) : "a page of its keep record is damaged";

    v->used = v->dirty = true;
    v->dom = h->domid;
    v->devid = h->devid;
    v->mode = (h->flags & KEEP_F_WRITE ? VOLUME_WRITE : VOLUME_READ) | (h->flags & KEEP_F_FORCE ? VOLUME_FORCE : 0u);
    memcpy(v->fe_path, h->fe_path, sizeof(v->fe_path));
    memcpy(v->spec, h->spec, sizeof(v->spec));
    /* Also of a stalled one: its front-end still believes in the disk. It was allowed before. */
    v->claim = (struct volume_claim){.domid = v->dom, .mode = v->mode | VOLUME_FORCE, .first = h->first, .nr = h->nr_sectors};
    (void)volume_claim(&v->claim);
    if (!why)
        why = rings_map(v);
    if (!why) {
        why = bb_adopt(&blk.bb, &v->disk, &v->conn);
        if (why)
            rings_unmap(v);
    }
    v->connected = !why;
    v->stalled = why;
    if (why)
        printf("vbd%u.%u: not adopted: %s\n", v->dom, v->devid, why);
    return !why;
}

unsigned vbds_adopt(void)
{
    unsigned at = 0, n = 0, i = 0;
    enum keep_found f;

    while (i < BB_MAX_DISKS && (f = keep_next(&blk.keep, &at, &vbds[i].conn)) != KEEP_END) {
        if (f == KEEP_DAMAGED) { /* whose it was the store will say: both sides connected, and no record */
            printf("%s: keep page %u is damaged\n", self.name, at);
            SHARED_STORE(&blk.keep.page[at - 1].head.magic, 0u);
            continue;
        }
        n += vbd_adopt(&vbds[i++], f == KEEP_VALID);
    }
    return n;
}

/* --- the store ------------------------------------------------------------------------------------------------ */

static bool rescan, watching;
static uint64_t retry_at; /* a store call failed: again then */
static struct dtimer retry_timer;

static void retry_due(struct dtimer *t) { (void)t; }

/* A store that does not answer is no reason to change anything: ask again. */
static void retry_later(struct vbd *v)
{
    if (v)
        v->dirty = true;
    retry_at = now_ns() + 200000000;
    retry_timer.fn = retry_due;
    dtimer_set(&retry_timer, retry_at);
}

static void be_key(const struct vbd *v, char *buf, size_t n, const char *key)
{
    snprintf(buf, n, "backend/vbd/%u/%u/%s", v->dom, v->devid, key);
}

static char *be_read(const struct vbd *v, const char *key)
{
    char path[96];

    be_key(v, path, sizeof(path), key);
    return xs_read(0, path);
}

static bool be_write(struct vbd *v, const char *key, const char *val)
{
    char path[96];

    be_key(v, path, sizeof(path), key);
    if (!xs_write(0, path, val))
        return true;
    retry_later(v);
    return false;
}

static bool be_number(struct vbd *v, const char *key, uint64_t n)
{
    char val[24];

    snprintf(val, sizeof(val), "%lu", n);
    return be_write(v, key, val);
}

/* A number under dir, `absent` if there is no such node; false: the store gave no answer. */
static bool read_number(const char *dir, const char *key, uint64_t absent, uint64_t *val)
{
    char path[KEEP_PATH + 48];

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    int rc = xs_read_uint(0, path, val);
    if (rc == -ENOENT || rc == -EINVAL) {
        *val = absent;
        return true;
    }
    return rc == 0;
}

static void set_state(struct vbd *v, int state)
{
    if (v->state != state && be_number(v, "state", (uint64_t)state))
        v->state = state;
}

static void fe_changed(const char *path, void *arg)
{
    (void)path;
    ((struct vbd *)arg)->dirty = true;
}

static void vbd_unwatch(struct vbd *v)
{
    char path[KEEP_PATH + 8];

    if (!v->watched)
        return;
    snprintf(path, sizeof(path), "%s/state", v->fe_path);
    xs_unwatch(path, fe_changed, v);
    v->watched = false;
}

static void vbd_forget(struct vbd *v)
{
    if (!vbd_disconnect(v))
        return;
    vbd_unwatch(v);
    volume_release(&v->claim);
    memset(v, 0, sizeof(*v));
}

/* Where the front-end is; once, a watch on its state. false: try again, or it is gone. */
static bool vbd_identify(struct vbd *v)
{
    char path[KEEP_PATH + 8], *fe = be_read(v, "frontend");
    bool same = fe && !strcmp(fe, v->fe_path);

    if (!fe) {
        if (xs_error == ENOENT)
            vbd_forget(v);
        else
            retry_later(v);
        return false;
    }
    if (!same && vbd_disconnect(v)) {
        vbd_unwatch(v);
        v->state = 0;
        strlcpy(v->fe_path, fe, sizeof(v->fe_path));
        same = true;
    }
    free(fe);
    if (!same || v->watched)
        return same;
    snprintf(path, sizeof(path), "%s/state", v->fe_path);
    if (xs_watch(path, fe_changed, v)) {
        retry_later(v);
        return false;
    }
    v->watched = true;
    return true;
}

/* --- opening and advertising ----------------------------------------------------------------------------------- */

/* Said once: whatever touches its directory makes us try again. */
static void vbd_error(struct vbd *v, const char *why)
{
    uint32_t crc = keep_crc(why, strlen(why));

    if (v->error == crc)
        return;
    v->error = crc;
    printf("vbd%u.%u: '%s' not opened: %s\n", v->dom, v->devid, v->spec, why);
    (void)be_write(v, "bh-error", why);
}

static void vbd_no_error(struct vbd *v)
{
    char path[96];

    if (!v->error)
        return;
    v->error = 0;
    be_key(v, path, sizeof(path), "bh-error");
    (void)xs_rm(0, path);
}

/* Finds and claims the volume. false: there is an error in the store, or none and it is tried again. */
static bool vbd_open(struct vbd *v)
{
    const char *why = NULL;
    uint64_t first, nr;

    if (v->claim.claimed)
        return true;
    char *params = be_read(v, "params");
    char *mode = params ? be_read(v, "mode") : NULL;
    if (!params || !mode) {
        if (xs_error != ENOENT)
            retry_later(v);
        free(params);
        return false;
    }
    int m = volume_mode_parse(mode);
    strlcpy(v->spec, params, sizeof(v->spec));
    if (strlen(params) >= sizeof(v->spec))
        why = "its name is too long";
    else if (m < 0)
        why = "its mode is none of r, w, r!, w!";
    else if (!blk.dev)
        why = "this domain has no disk";
    else
        why = volume_find(v->spec, &first, &nr);
    if (!why) {
        v->mode = (unsigned)m;
        v->claim = (struct volume_claim){.domid = v->dom, .mode = v->mode, .first = first, .nr = nr};
        why = volume_claim(&v->claim);
    }
    free(params);
    free(mode);
    if (why)
        vbd_error(v, why);
    return !why;
}

static unsigned log2_of(unsigned n) { return n < 2 ? 0 : 1 + log2_of(n / 2); }

/* Queues and ring pages that this vbd may have, each of which takes a journal page: generous while there are many, so that there is
 * always something left for another vbd. */
static bool vbd_promise(struct vbd *v)
{
    unsigned left = keep_free_pages(&blk.keep), q = KEEP_QUEUES, pages = KEEP_RING_PAGES;

    EACH_VBD(o) {
        if (o != v && !o->connected && !o->stalled)
            left -= o->queues << o->order;
    }
    if ((int)left < 1)
        return false;
    while (q * pages > 1 && q * pages > left / 3) {
        if (pages > 1)
            pages /= 2;
        else
            q /= 2;
    }
    v->queues = q;
    v->order = log2_of(pages);
    return true;
}

static unsigned indirect_segs(void)
{
    unsigned n = blk.dev->max_segs < BLK_MAX_SEGS ? blk.dev->max_segs : BLK_MAX_SEGS;

    return blk.dev->max_bytes / BLK_SEG_BYTES < n ? blk.dev->max_bytes / BLK_SEG_BYTES : n;
}

static bool vbd_properties(struct vbd *v, unsigned unit)
{
    const struct blkdev *dev = blk.dev;
    unsigned physical = dev->physical_sector_size ? dev->physical_sector_size : dev->sector_size;

    return be_number(v, "sectors", v->claim.nr / unit) && be_number(v, "sector-size", dev->sector_size) &&
           be_number(v, "physical-sector-size", physical) && be_number(v, "info", v->mode & VOLUME_WRITE ? 0 : VDISK_READONLY);
}

static bool discard_offer(struct vbd *v)
{
    const struct blkdev *dev = blk.dev;
    uint64_t on;
    char dir[48];

    snprintf(dir, sizeof(dir), "backend/vbd/%u/%u", v->dom, v->devid);
    if (!read_number(dir, "discard-enable", 1, &on)) {
        retry_later(v);
        return false;
    }
    if (!dev->discard || !on || !(v->mode & VOLUME_WRITE))
        return be_number(v, "feature-discard", 0);
    unsigned gran = dev->discard_granularity ? dev->discard_granularity : dev->sector_size;
    uint64_t align = (gran - v->claim.first * 512 % gran) % gran;
    return be_number(v, "discard-granularity", gran) && be_number(v, "discard-alignment", align) &&
           be_number(v, "discard-secure", 0) && be_number(v, "feature-discard", 1);
}

/* InitWait with everything that we offer. Sectors are 512 bytes here, whatever the sector size: that is what Linux means. */
static void vbd_advertise(struct vbd *v)
{
    if (!vbd_open(v))
        return;
    if (!vbd_promise(v)) {
        vbd_error(v, "too many vbds: no keep page is left for its journal");
        volume_release(&v->claim);
        return;
    }
    bool said = be_number(v, "feature-flush-cache", 1) && be_number(v, "feature-barrier", 1) &&
                be_number(v, "feature-persistent", 0) && be_number(v, "feature-max-indirect-segments", indirect_segs()) &&
                be_number(v, "max-ring-page-order", v->order) && be_number(v, "max-ring-pages", 1u << v->order) &&
                be_number(v, "multi-queue-max-queues", v->queues) && discard_offer(v) && vbd_properties(v, 1);
    if (!said)
        return;
    vbd_no_error(v);
    set_state(v, XenbusStateInitWait);
}

/* A former life advertised: the front-end may have read that, so it holds. */
static void vbd_reopen(struct vbd *v)
{
    uint64_t queues, order;
    char dir[48];

    snprintf(dir, sizeof(dir), "backend/vbd/%u/%u", v->dom, v->devid);
    if (!read_number(dir, "multi-queue-max-queues", 1, &queues) || !read_number(dir, "max-ring-page-order", 0, &order)) {
        retry_later(v);
        return;
    }
    v->queues = queues && queues < KEEP_QUEUES ? (unsigned)queues : KEEP_QUEUES;
    v->order = order < 2 ? (unsigned)order : 2;
    (void)vbd_open(v);
}

/* --- connecting --------------------------------------------------------------------------------------------- */

struct reader { /* of the front-end's directory */
    bool again; /* the store gave no answer */
    char dir[KEEP_PATH + 16];
};

static uint32_t number_of(struct reader *r, const char *key, uint32_t absent)
{
    uint64_t val;

    if (!read_number(r->dir, key, absent, &val))
        r->again = true;
    return r->again || val >> 32 ? absent : (uint32_t)val;
}

static const char *protocol_of(const struct vbd *v, struct reader *r, uint8_t *proto)
{
    char path[KEEP_PATH + 16];

    snprintf(path, sizeof(path), "%s/protocol", v->fe_path);
    char *p = xs_read(0, path);
    if (!p && xs_error != ENOENT)
        r->again = true;
    bool narrow = p && !strcmp(p, XEN_IO_PROTO_ABI_X86_32), wide = !p || !strcmp(p, XEN_IO_PROTO_ABI_X86_64);
    free(p);
    *proto = narrow ? PROTO_X86_32 : PROTO_NATIVE;
    return narrow || wide ? NULL : "it speaks an unknown protocol";
}

static const char *queue_read(const struct vbd *v, struct reader *r, struct keep_conn *c, unsigned q)
{
    char key[16];

    if (c->head.nr_queues > 1)
        snprintf(r->dir, sizeof(r->dir), "%s/queue-%u", v->fe_path, q);
    else
        snprintf(r->dir, sizeof(r->dir), "%s", v->fe_path);
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
static const char *conn_read(const struct vbd *v, struct keep_conn *c, struct reader *r)
{
    struct keep_head *h = &c->head;
    const char *why;

    memset(c, 0, sizeof(*c));
    r->again = false;
    strlcpy(r->dir, v->fe_path, sizeof(r->dir));
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
    h->devid = v->devid;
    h->gen = now_ns() ^ (uint64_t)v->dom << 48;
    h->domid = v->dom;
    h->nr_queues = (uint8_t)nq;
    h->nr_pages = (uint8_t)(1u << order);
    h->flags = (uint8_t)((v->mode & VOLUME_WRITE ? KEEP_F_WRITE : 0) | (v->mode & VOLUME_FORCE ? KEEP_F_FORCE : 0) |
                         (large ? KEEP_F_LARGE : 0));
    h->first = v->claim.first;
    h->nr_sectors = v->claim.nr;
    h->sector_size = blk.dev->sector_size;
    h->max_segs = indirect_segs();
    memcpy(h->fe_path, v->fe_path, sizeof(h->fe_path));
    memcpy(h->spec, v->spec, sizeof(h->spec));
    for (unsigned q = 0; q < nq && !why; q++)
        why = queue_read(v, r, c, q);
    return why;
}

static const char *vbd_plug(struct vbd *v)
{
    const char *why = rings_map(v);

    if (why)
        return why;
    for (unsigned q = 0; q < v->conn.head.nr_queues; q++)
        v->conn.q[q].start = READ_ONCE(((struct blkif_sring *)v->disk.ring[q].sring)->rsp_prod);
    if (keep_open(&blk.keep, &v->conn)) {
        rings_unmap(v);
        return "no keep page is left for its journal";
    }
    /* The record is valid, the store still says InitWait: a life that begins here adopts, and writes the state. */
    bb_attach(&blk.bb, &v->disk, &v->conn);
    v->connected = true;
    return NULL;
}

static void vbd_connect(struct vbd *v)
{
    struct reader r;
    const char *why = conn_read(v, &v->conn, &r);

    if (!r.again && !why && v->conn.head.flags & KEEP_F_LARGE)
        r.again = !vbd_properties(v, blk.dev->sector_size / 512);
    if (r.again) {
        retry_later(v);
        return;
    }
    if (!why)
        why = vbd_plug(v);
    if (why) {
        printf("vbd%u.%u: not connected: %s\n", v->dom, v->devid, why);
        return;
    }
    set_state(v, XenbusStateConnected);
    printf("vbd%u.%u: connected, '%s' %s, %u queue%s of %u page%s%s\n", v->dom, v->devid, v->spec,
           v->mode & VOLUME_WRITE ? "rw" : "ro", v->conn.head.nr_queues, v->conn.head.nr_queues > 1 ? "s" : "",
           v->conn.head.nr_pages, v->conn.head.nr_pages > 1 ? "s" : "",
           v->conn.head.proto == PROTO_X86_32 ? ", 32-bit protocol" : "");
}

/* --- following ------------------------------------------------------------------------------------------------ */

static void vbd_say_stalled(struct vbd *v)
{
    if (!v->stalled)
        v->stalled = "its keep record was damaged"; /* both sides say Connected and we have no rings */
    if (v->said)
        return;
    v->said = be_write(v, "bh-stalled", v->stalled);
    printf("vbd%u.%u: stalled: %s\n", v->dom, v->devid, v->stalled);
}

/* The front-end has rings, or says so. */
static void vbd_follow_live(struct vbd *v, bool online)
{
    if (v->connected) {
        set_state(v, online ? XenbusStateConnected : XenbusStateClosing);
    } else if (v->stalled || v->state == XenbusStateConnected || v->state == XenbusStateClosing) {
        vbd_say_stalled(v);
    } else if (online) {
        if (v->state != XenbusStateInitWait)
            vbd_advertise(v);
        if (v->state == XenbusStateInitWait && v->claim.claimed)
            vbd_connect(v);
    }
}

static void vbd_follow(struct vbd *v, uint64_t fe, bool online)
{
    if (online && v->state == XenbusStateInitWait && !v->claim.claimed)
        vbd_reopen(v);
    if (fe == XenbusStateInitialised || fe == XenbusStateConnected) {
        vbd_follow_live(v, online);
        return;
    }
    bool was = v->connected || v->stalled;
    if (!vbd_disconnect(v))
        return; /* vbds_store_work comes back */
    if (fe == XenbusStateClosing && online) {
        set_state(v, XenbusStateClosing);
    } else if (!online) {
        volume_release(&v->claim);
        set_state(v, XenbusStateClosed);
    } else if (fe == XenbusStateClosed) {
        set_state(v, XenbusStateClosed);
    } else if (fe == XenbusStateInitialising) {
        if (v->state != XenbusStateInitWait || was)
            vbd_advertise(v);
    } else if (v->state == XenbusStateInitialising) { /* unknown: not there yet, or gone */
        vbd_advertise(v);
    } else if (v->state != XenbusStateInitWait) {
        set_state(v, XenbusStateClosed);
    }
}

static void vbd_update(struct vbd *v)
{
    uint64_t state, fe, online, ops, bytes;
    char dir[48];

    v->dirty = false;
    if (!vbd_identify(v))
        return;
    snprintf(dir, sizeof(dir), "backend/vbd/%u/%u", v->dom, v->devid);
    if (!v->state) {
        if (!read_number(dir, "state", XenbusStateInitialising, &state)) {
            retry_later(v);
            return;
        }
        v->state = state && state <= XenbusStateClosed ? (int)state : XenbusStateInitialising;
    }
    if (!read_number(dir, "online", 1, &online) || !read_number(dir, "bh-limit-ops", 0, &ops) ||
        !read_number(dir, "bh-limit-bytes", 0, &bytes) || !read_number(v->fe_path, "state", XenbusStateUnknown, &fe)) {
        retry_later(v);
        return;
    }
    vbd_follow(v, fe, online);
    v->disk.ops.per_s = ops;
    v->disk.bytes.per_s = bytes;
}

static void vbd_found(unsigned dom, unsigned devid)
{
    struct vbd *spare = NULL;

    EACH_VBD(v) {
        if (v->used && v->dom == dom && v->devid == devid) {
            v->dirty = true;
            return;
        }
        if (!v->used && !spare)
            spare = v;
    }
    if (!spare) {
        printf("vbd%u.%u: more than %u vbds\n", dom, devid, BB_MAX_DISKS);
        return;
    }
    spare->used = spare->dirty = true;
    spare->dom = (domid_t)dom;
    spare->devid = devid;
}

static bool number(const char *s, unsigned max, unsigned *v)
{
    char *end;
    unsigned long n = strtoul(s, &end, 10);

    *v = (unsigned)n;
    return end != s && (!*end || *end == '/') && n <= max;
}

static void scan(void)
{
    unsigned ndoms, ndevs, dom, devid;
    char path[48];

    rescan = false;
    EACH_VBD(v)
        v->dirty = v->used;
    char **doms = xs_ls(0, "backend/vbd", &ndoms);
    for (unsigned i = 0; doms && i < ndoms; i++) {
        if (!number(doms[i], DOMID_FIRST_RESERVED - 1, &dom))
            continue;
        snprintf(path, sizeof(path), "backend/vbd/%u", dom);
        char **devs = xs_ls(0, path, &ndevs);
        for (unsigned k = 0; devs && k < ndevs; k++) {
            if (number(devs[k], ~0u, &devid))
                vbd_found(dom, devid);
        }
        free(devs);
    }
    free(doms);
}

/* Something under backend/vbd: one vbd if the path names it, else all. Our own writes come by here too. */
static void be_changed(const char *path, void *arg)
{
    static const char *const ours[] = {"/online", "/frontend", "/params", "/mode", "/bh-limit-ops", "/bh-limit-bytes"};
    const char *at = strstr(path, "backend/vbd/"), *slash, *key;
    unsigned dom, devid;
    bool look = false;

    (void)arg;
    slash = at ? strchr(at + 12, '/') : NULL;
    if (!slash || !number(at + 12, DOMID_FIRST_RESERVED - 1, &dom) || !number(slash + 1, ~0u, &devid)) {
        rescan = true;
        return;
    }
    key = strchr(slash + 1, '/');
    for (unsigned i = 0; key && i < ARRAY_SIZE(ours); i++)
        look |= !strcmp(key, ours[i]);
    if (!key || look)
        vbd_found(dom, devid);
}

static void say_broken(struct vbd *v)
{
    for (unsigned q = 0; v->connected && !v->told && q < v->disk.nr_rings; q++) {
        if (!v->disk.ring[q].broken)
            continue;
        v->told = true;
        printf("vbd%u.%u: front-end broke the protocol: %s; queue %u is not served any more\n", v->dom, v->devid,
               v->disk.ring[q].broken, q);
    }
}

void vbds_store_work(void)
{
    EACH_VBD(v) {
        say_broken(v);
        if (v->draining && bb_close(&v->disk)) {
            v->draining = false;
            v->dirty = true;
        }
    }
    if (retry_at && now_ns() < retry_at)
        return;
    retry_at = 0;
    if (!watching) {
        watching = !xs_watch("backend/vbd", be_changed, NULL);
        if (!watching) {
            retry_later(NULL);
            return;
        }
    }
    if (rescan)
        scan();
    EACH_VBD(v) {
        if (v->used && v->dirty)
            vbd_update(v);
    }
}
