/* SPDX-License-Identifier: MIT */
/* The vbds: opening, connecting, adopting and closing. See vbd.h for the states. */
#include "vbd.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xenbus.h>

struct vbd vbds[BB_MAX_DISKS];

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
    memset(&v->conn, 0, sizeof(v->conn));
    v->connected = v->draining = v->told = false;
    bb_stats_add(&v->before, s);
    v->stats_said = 0;
    vbd_say(v, &v->comings,
            "off (%lu reads of %lu KiB, %lu writes of %lu KiB, %lu flushes, %lu discards; %lu errors, %lu malformed)",
            s->reads, s->read_bytes >> 10, s->writes, s->write_bytes >> 10, s->flushes, s->discards, s->errors, s->malformed);
}

/* false: requests are in flight, come again. */
static bool vbd_disconnect(struct vbd *v)
{
    if (v->stalled) {
        if (v->conn.q[0].page[0])
            keep_close(&blk.keep, &v->conn);
        memset(&v->conn, 0, sizeof(v->conn));
        v->stalled = NULL;
        if (v->said)
            vbd_remove(v, "bh-stalled");
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
    char path[KEEP_PATH + 8], *fe = vbd_read(v, "frontend");
    bool same = fe && !strcmp(fe, v->fe_path);

    if (!fe) {
        if (xs_error == ENOENT)
            vbd_forget(v);
        else
            vbd_retry(v);
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
        vbd_retry(v);
        return false;
    }
    v->watched = true;
    return true;
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
    bool again;
    const char *why = vbd_read_conn(v, &v->conn, &again);

    if (!again && !why && v->conn.head.flags & KEEP_F_LARGE)
        again = !vbd_properties(v, blk.dev->sector_size / 512);
    if (again) {
        vbd_retry(v);
        return;
    }
    if (!why)
        why = vbd_plug(v);
    if (why) {
        vbd_say(v, &v->comings, "not connected: %s", why);
        return;
    }
    vbd_set_state(v, XenbusStateConnected);
    vbd_say(v, &v->comings, "connected, '%s' %s, %u queue%s of %u page%s%s", v->spec, v->mode & VOLUME_WRITE ? "rw" : "ro",
            v->conn.head.nr_queues, v->conn.head.nr_queues > 1 ? "s" : "", v->conn.head.nr_pages,
            v->conn.head.nr_pages > 1 ? "s" : "", v->conn.head.proto == PROTO_X86_32 ? ", 32-bit protocol" : "");
}

/* --- following ------------------------------------------------------------------------------------------------ */

static void vbd_say_stalled(struct vbd *v)
{
    if (!v->stalled)
        v->stalled = "its keep record was damaged"; /* both sides say Connected and we have no rings */
    if (v->said)
        return;
    v->said = vbd_write(v, "bh-stalled", v->stalled);
    printf("vbd%u.%u: stalled: %s\n", v->dom, v->devid, v->stalled);
}

/* The front-end has rings, or says so. */
static void vbd_follow_live(struct vbd *v, bool online)
{
    int closing = online ? XenbusStateClosing : XenbusStateClosed;

    if (v->draining) { /* it was about to close, and nothing new is taken since: no way back but to connect anew */
        if (!bb_close(&v->disk))
            return;
        vbd_set_state(v, closing);
        if (v->state != closing)
            return;
        (void)vbd_disconnect(v);
    }
    if (v->connected) {
        vbd_set_state(v, online ? XenbusStateConnected : XenbusStateClosing);
    } else if (v->stalled || v->state == XenbusStateConnected || (v->state == XenbusStateClosing && !online)) {
        vbd_say_stalled(v);
    } else if (!online) {
        volume_release(&v->claim);
        vbd_set_state(v, XenbusStateClosed);
    } else {
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
        vbd_set_state(v, XenbusStateClosing);
    } else if (!online) {
        volume_release(&v->claim);
        vbd_set_state(v, XenbusStateClosed);
    } else if (fe == XenbusStateClosed) {
        vbd_set_state(v, XenbusStateClosed);
    } else if (fe == XenbusStateInitialising) {
        if (v->state != XenbusStateInitWait || was)
            vbd_advertise(v);
    } else if (v->state == XenbusStateInitialising) { /* unknown: not there yet, or gone */
        vbd_advertise(v);
    } else if (v->state != XenbusStateInitWait) {
        vbd_set_state(v, XenbusStateClosed);
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
        if (!vbd_read_number(dir, "state", XenbusStateInitialising, &state)) {
            vbd_retry(v);
            return;
        }
        v->state = state && state <= XenbusStateClosed ? (int)state : XenbusStateInitialising;
    }
    if (!vbd_read_number(dir, "online", 1, &online) || !vbd_read_number(dir, "bh-limit-ops", 0, &ops) ||
        !vbd_read_number(dir, "bh-limit-bytes", 0, &bytes) || !vbd_read_number(v->fe_path, "state", XenbusStateUnknown, &fe)) {
        vbd_retry(v);
        return;
    }
    vbd_follow(v, fe, online);
    v->disk.ops.per_s = ops;
    v->disk.bytes.per_s = bytes;
}

/* false: there is no room for it. */
static bool vbd_found(unsigned dom, unsigned devid)
{
    struct vbd *spare = NULL;

    EACH_VBD(v) {
        if (v->used && v->dom == dom && v->devid == devid) {
            v->dirty = true;
            return true;
        }
        if (!v->used && !spare)
            spare = v;
    }
    if (!spare)
        return false;
    spare->used = spare->dirty = true;
    spare->dom = (domid_t)dom;
    spare->devid = devid;
    return true;
}

/* Whoever made it waits for an answer. */
static void vbd_refuse(unsigned dom, unsigned devid)
{
    char path[64], why[48];

    snprintf(path, sizeof(path), "backend/vbd/%u/%u/bh-error", dom, devid);
    snprintf(why, sizeof(why), "it has %u disks already, that is all it can", BB_MAX_DISKS);
    printf("vbd%u.%u: refused: %s\n", dom, devid, why);
    if (xs_write(0, path, why)) {
        rescan = true;
        vbd_retry(NULL);
    }
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
    bool all = doms || xs_error == ENOENT;
    for (unsigned i = 0; doms && i < ndoms; i++) {
        if (!number(doms[i], DOMID_FIRST_RESERVED - 1, &dom))
            continue;
        snprintf(path, sizeof(path), "backend/vbd/%u", dom);
        char **devs = xs_ls(0, path, &ndevs);
        all = all && (devs || xs_error == ENOENT);
        for (unsigned k = 0; devs && k < ndevs; k++) {
            if (number(devs[k], ~0u, &devid) && !vbd_found(dom, devid))
                vbd_refuse(dom, devid);
        }
        free(devs);
    }
    free(doms);
    if (all)
        return;
    rescan = true; /* the event that said so is gone: nobody will say it again */
    vbd_retry(NULL);
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
    if ((!key || look) && !vbd_found(dom, devid))
        rescan = true; /* an answer is a call of the store, which is not made from here */
}

static void say_broken(struct vbd *v)
{
    for (unsigned q = 0; v->connected && !v->told && q < v->disk.nr_rings; q++) {
        if (!v->disk.ring[q].broken)
            continue;
        v->told = true;
        vbd_say(v, &v->breaches, "front-end broke the protocol: %s; queue %u is not served any more", v->disk.ring[q].broken, q);
    }
}

bool vbds_store_work(void)
{
    bool looked = false;

    EACH_VBD(v) {
        say_broken(v);
        if (v->draining && bb_close(&v->disk))
            v->dirty = true;
    }
    if (!vbds_may_try())
        return false;
    if (!watching) {
        watching = !xs_watch("backend/vbd", be_changed, NULL);
        if (!watching) {
            vbd_retry(NULL);
            return false;
        }
    }
    if (rescan)
        scan();
    EACH_VBD(v) {
        if (v->used && v->dirty) {
            vbd_update(v);
            looked = true;
        }
    }
    return looked;
}
