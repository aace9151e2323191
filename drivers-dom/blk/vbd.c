/* SPDX-License-Identifier: MIT */
/* The vbds: opening, connecting, adopting and closing. See vbd.h for the states. */
#include "vbd.h"
#include <loop.h>
#include <stdio.h>
#include <string.h>
#include <xen/io/xenbus.h>

struct vbd vbds[BB_MAX_DISKS];

/* --- rings ------------------------------------------------------------------------------------------------ */

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

/* Maps the rings and binds the ports that v->conn names, and sets up v->disk but for the journals. What it may do in a second, and
 * did on credit, is not forgotten by connecting anew. */
static const char *rings_map(struct vbd *v)
{
    const struct keep_head *h = &v->conn.head;
    struct bb_disk *d = &v->disk;
    struct bb_rate ops = d->ops, bytes = d->bytes;

    memset(d, 0, sizeof(*d));
    d->ops = ops;
    d->bytes = bytes;
    d->dev = v->dev;
    d->first = h->first - v->dev->base;
    d->nr_sectors = h->nr_sectors;
    d->sector_size = h->sector_size;
    d->unit = h->flags & KEEP_F_LARGE ? h->sector_size / 512 : 1;
    d->max_segs = h->max_segs;
    d->ro = !(h->flags & KEEP_F_WRITE);
    d->discard = h->flags & KEEP_F_DISCARD && v->dev->discard && !d->ro;
    d->dom = h->domid;
    d->gen = h->slot_gen;
    for (unsigned q = 0; q < h->nr_queues; q++) {
        const struct keep_queue *kq = &v->conn.q[q];
        const char *why = "its rings cannot be mapped";
        if (!grant_map(&v->map[q], h->domid, kq->ref, h->nr_pages, 0)) {
            d->ring[q].sring = v->map[q].va;
            int port = event_bind_interdomain(h->domid, kq->port, wakes_only, NULL);
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
    blame(v->be.gen);
    keep_close(&blk.keep, &v->conn); /* first: from here on there is nothing to adopt */
    rings_unmap(v);
    bb_detach(&blk.bb, &v->disk);
    blame(0);
    memset(&v->conn, 0, sizeof(v->conn));
    v->connected = v->draining = v->told = v->restated = false;
    counters_over(&v->counters, (const uint64_t *)s, BH_BLK_STATS);
    be_say(&v->be, "vbd", &v->comings,
           "off (%lu reads of %lu KiB, %lu writes of %lu KiB, %lu flushes, %lu discards; %lu errors, %lu malformed)",
           s->reads, s->read_bytes >> 10, s->writes, s->write_bytes >> 10, s->flushes, s->discards,
           s->errors, s->malformed);
}

/* false: requests are in flight, come again. */
static bool vbd_disconnect(struct vbd *v)
{
    if (v->stalled) {
        if (v->conn.master)
            keep_close(&blk.keep, &v->conn);
        memset(&v->conn, 0, sizeof(v->conn));
        v->stalled = NULL;
        v->aside = v->waits = false;
        if (v->said)
            be_remove(&v->be, BH_KEY_STALLED);
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

static const char *disk_same(const struct keep_head *h, const struct blkdev *dev)
{
    if (h->sector_size != dev->sector_size)
        return "its disk is another one than before";
    if (h->max_segs > BLK_MAX_SEGS || h->max_segs > dev->max_segs ||
        h->max_segs * BLK_SEG_BYTES > dev->max_bytes)
        return "its disk can do less than before";
    return NULL;
}

/* The instance that wrote the record may have been anybody's. */
static const char *record_same(const struct vbd *v)
{
    const struct keep_head *h = &v->conn.head;
    unsigned mode = (h->flags & KEEP_F_WRITE ? VOLUME_WRITE : 0u) |
                    (h->flags & KEEP_F_FORCE ? VOLUME_FORCE : 0u);

    if (h->slot_gen != v->be.gen)
        return "its keep record is of an attachment that is over";
    if (mode != v->mode || (h->flags & KEEP_F_DISCARD && !v->discard))
        return "its keep record says more or less than it may do";
    if (h->first != v->claim.first || h->nr_sectors != v->claim.nr)
        return "its keep record has another part of the disk than its volume";
    return disk_same(h, v->dev);
}

const char *vbd_claim(struct vbd *v, const struct slot_entry *e)
{
    uint64_t first, nr;

    memcpy(v->spec, e->spec, sizeof(v->spec));
    v->mode = (e->flags & SLOT_F_WRITE ? VOLUME_WRITE : 0u) |
              (e->flags & SLOT_F_FORCE ? VOLUME_FORCE : 0u);
    v->discard = e->flags & SLOT_F_DISCARD;
    v->dev = NULL;
    if (!blk.nr_devs)
        return dev_problem();
    const char *why = volume_find(v->spec, &first, &nr);
    if (why)
        return why;
    if (e->nr && (e->first != first || e->nr != nr))
        return "the disk's partition table has it elsewhere than when it was attached";
    for (unsigned i = 0; i < blk.nr_devs; i++) {
        if (blkdev_has(blk.dev[i], first))
            v->dev = blk.dev[i];
    }
    if (!v->dev)
        return "its disk is not there";
    v->claim = (struct volume_claim){ .domid = v->be.dom, .mode = v->mode, .first = first, .nr = nr };
    return volume_claim(&v->claim);
}

static bool vbd_adopt(struct vbd *v, const struct slot_entry *e)
{
    /* Also of one that stalls: its front-end still believes in the disk. */
    const char *claim = v->claim.claimed ? NULL : vbd_claim(v, e);
    const char *why = v->stalled                  ? v->stalled
                      : v->aside                  ? BLAME_WHY
                      : claim && blk.devs_to_come ? "its disk is not there yet"
                      : claim                     ? claim
                                                  : record_same(v);

    blame(v->be.gen);
    bb_limit(&v->disk.ops, e->limit_ops);
    bb_limit(&v->disk.bytes, e->limit_bytes);
    if (!why)
        why = rings_map(v);
    if (!why) {
        why = bb_adopt(&blk.bb, &v->disk, &v->conn);
        if (why)
            rings_unmap(v);
    }
    blame(0);
    v->connected = !why;
    v->stalled = why;
    v->waits = claim && blk.devs_to_come && !v->aside;
    if (why && !v->waits)
        printf("vbd%u.%u: not adopted: %s\n", v->be.dom, v->be.devid, why);
    return !why;
}

static struct vbd *vbd_of_record(const struct keep_head *h)
{
    EACH_VBD(v)
    {
        if (v->be.used && v->be.dom == h->domid && v->be.devid == h->devid)
            return v;
    }
    return NULL;
}

/* A record becomes a vbd if there is an entry for it and no other record is in its place. */
static void vbd_of_keep(struct vbd *v, bool complete)
{
    const struct keep_head *h = &v->conn.head;
    struct vbd *other = vbd_of_record(h);
    struct slot_entry e;
    const char *why = NULL;

    if (other) {
        why = other->stalled = "there are two keep records of it";
    } else if (!be_adopt(&v->be, SLOT_VBD, "vbd", h->domid, h->devid, &e)) {
        why = "nobody has attached it";
    } else {
        v->stalled = complete ? NULL : "a page of its keep record is damaged";
        return;
    }
    printf("vbd%u.%u: a keep record is cleared: %s\n", h->domid, h->devid, why);
    keep_close(&blk.keep, &v->conn);
    memset(v, 0, sizeof(*v));
}

unsigned vbds_adopt(void)
{
    static struct vbd spare; /* for one more than there can be: it has no place */
    unsigned at = 0, n = 0;
    enum keep_found f;

    for (;;) {
        struct vbd *v = vbds;
        while (v < vbds + BB_MAX_DISKS && v->be.used)
            v++;
        if (v == vbds + BB_MAX_DISKS)
            v = &spare;
        if ((f = keep_next(&blk.keep, &at, &v->conn)) == KEEP_END)
            break;
        if (f == KEEP_DAMAGED) { /* whose it was the store will say: both sides connected, and no record */
            printf("%s: keep page %u is damaged\n", self.name, at);
            SHARED_STORE(&blk.keep.page[at - 1].head.magic, 0u);
            continue;
        }
        vbd_of_keep(v, f == KEEP_VALID);
    }
    /* Who was let in beside others by force comes after those. */
    for (unsigned force = 0; force < 2; force++) {
        EACH_VBD(v)
        {
            struct slot_entry e;
            if (v->be.used && be_slot(SLOT_VBD, v->be.dom, v->be.devid, &e) &&
                !(e.flags & SLOT_F_FORCE) == !force) {
                v->aside = !v->stalled && be_aside(SLOT_VBD, &v->be);
                n += vbd_adopt(v, &e);
            }
        }
    }
    return n;
}

/* --- the store ------------------------------------------------------------------------------------------------ */

static const char *vbd_plug(struct vbd *v)
{
    const char *why = rings_map(v);

    if (why)
        return why;
    for (unsigned q = 0; q < v->conn.head.nr_queues; q++)
        v->conn.q[q].start = READ_ONCE(((struct blkif_sring *)v->disk.ring[q].sring)->rsp_prod);
    if (keep_open(&blk.keep, &v->conn)) {
        rings_unmap(v);
        be_retry(&v->be); /* others will be gone */
        return "no keep page is left for its journal";
    }
    /* The record is valid, the store still says InitWait: a life that begins here adopts, and writes the state. */
    bb_attach(&blk.bb, &v->disk, &v->conn);
    v->connected = v->restated = true;
    return NULL;
}

static void vbd_connect(struct vbd *v)
{
    bool again;
    const char *why = vbd_read_conn(v, &v->conn, &again);

    if (be_stale(&v->be))
        return;
    if (!again && !why && v->conn.head.flags & KEEP_F_LARGE)
        again = !vbd_properties(v, v->dev->sector_size / 512);
    if (again) {
        be_retry(&v->be);
        return;
    }
    blame(v->be.gen);
    if (!why)
        why = vbd_plug(v);
    blame(0);
    if (why) {
        be_say(&v->be, "vbd", &v->comings, "not connected: %s", why);
        return;
    }
    be_set_state(&v->be, XenbusStateConnected);
    be_say(&v->be, "vbd", &v->comings, "connected, '%s' %s, %u queue%s of %u page%s%s",
           QUOTED(v->spec), v->mode & VOLUME_WRITE ? "rw" : "ro", v->conn.head.nr_queues,
           v->conn.head.nr_queues > 1 ? "s" : "", v->conn.head.nr_pages,
           v->conn.head.nr_pages > 1 ? "s" : "",
           v->conn.head.proto == PROTO_X86_32 ? ", 32-bit protocol" : "");
}

/* --- following ------------------------------------------------------------------------------------------------ */

static void vbd_say_stalled(struct vbd *v)
{
    if (!v->stalled)
        v->stalled = "its keep record was damaged"; /* both sides say Connected and we have no rings */
    if (v->said)
        return;
    v->said = be_write(&v->be, BH_KEY_STALLED, v->stalled);
    printf("vbd%u.%u: stalled: %s\n", v->be.dom, v->be.devid, v->stalled);
}

/* Another chance, or its disk is there: what its record says is taken over now. */
static void vbd_come_back(struct vbd *v, const char *text)
{
    struct slot_entry e;
    bool quiet = v->waits && !v->said;

    if (!be_slot(SLOT_VBD, v->be.dom, v->be.devid, &e))
        return;
    v->stalled = NULL;
    v->aside = v->waits = v->said = false;
    if (!quiet)
        be_remove(&v->be, BH_KEY_STALLED);
    if (v->conn.master)
        (void)vbd_adopt(v, &e);
    if (!quiet)
        printf("vbd%u.%u: %s\n", v->be.dom, v->be.devid, text);
}

/* A relay's disk is there some time after its vbds (relay.h), most times so soon that nobody has to hear of it. true: it is not there yet. */
static bool vbd_waits(struct vbd *v)
{
    uint64_t first, nr;

    if (!v->waits)
        return false;
    if (!blk.devs_to_come || (blk.nr_devs && !volume_find(v->spec, &first, &nr)))
        vbd_come_back(v, "its disk is there");
    if (v->waits && now_ns() >= blk.devs_by)
        vbd_say_stalled(v);
    else if (v->waits)
        be_retry(&v->be);
    return v->waits;
}

/* The front-end has rings, or says so. */
static void vbd_follow_live(struct vbd *v, bool online)
{
    int closing = online ? XenbusStateClosing : XenbusStateClosed;

    if (v->draining) { /* it was about to close, and nothing new is taken since: no way back but to connect anew */
        if (!bb_close(&v->disk))
            return;
        be_set_state(&v->be, closing);
        if (v->be.state != closing)
            return;
        (void)vbd_disconnect(v);
    }
    if (v->connected) {
        /* A front-end may read them again with each change of our state: the dead instance's last word was anything. */
        if (!v->restated && !(v->restated = vbd_properties(v, v->disk.unit)))
            return;
        be_set_state(&v->be, online ? XenbusStateConnected : XenbusStateClosing);
    } else if (v->stalled || v->be.state == XenbusStateConnected ||
               (v->be.state == XenbusStateClosing && !online)) {
        vbd_say_stalled(v);
        if (!online)
            be_set_state(&v->be,
                         XenbusStateClosing); /* then its front-end may close, and all is well again */
    } else if (!online) {
        volume_release(&v->claim);
        be_set_state(&v->be, XenbusStateClosed);
    } else {
        if (v->be.state != XenbusStateInitWait)
            vbd_advertise(v);
        if (v->be.state == XenbusStateInitWait && v->claim.claimed)
            vbd_connect(v);
    }
}

static void vbd_follow(struct vbd *v, uint64_t fe, bool online)
{
    if (online && be_aside(SLOT_VBD, &v->be)) { /* it stays so, whatever its front-end says */
        if (!v->stalled) {
            v->stalled = BLAME_WHY;
            v->aside = true;
        }
        vbd_say_stalled(v);
        return;
    }
    if (online && v->aside)
        vbd_come_back(v, "has another chance");
    if (vbd_waits(v) && online)
        return;
    if (online && v->be.state == XenbusStateInitWait && !v->claim.claimed)
        vbd_reopen(v);
    if (fe == XenbusStateInitialised || fe == XenbusStateConnected) {
        vbd_follow_live(v, online);
        return;
    }
    bool was = v->connected || v->stalled;
    if (!vbd_disconnect(v))
        return; /* vbds_store_work comes back */
    if (fe == XenbusStateClosing && online) {
        be_set_state(&v->be, XenbusStateClosing);
    } else if (!online) {
        volume_release(&v->claim);
        be_set_state(&v->be, XenbusStateClosed);
    } else if (fe == XenbusStateClosed) {
        be_set_state(&v->be, XenbusStateClosed);
    } else if (fe == XenbusStateInitialising) {
        if (v->be.state != XenbusStateInitWait || was)
            vbd_advertise(v);
    } else if (v->be.state == XenbusStateInitialising) { /* unknown: not there yet, or gone */
        vbd_advertise(v);
    } else if (v->be.state != XenbusStateInitWait) {
        be_set_state(&v->be, XenbusStateClosed);
    }
}

/* --- what the library asks of us (xenbus_backend.h) ---------------------------------------------------------------------- */

_Static_assert(!offsetof(struct vbd, be), "a vbd begins with its be_dev");
static struct vbd *vbd_of(struct be_dev *d) { return (struct vbd *)d; }

/* While it drains, vbds_store_work makes it dirty when that is over. */
static bool disconnect(struct be_dev *d) { return vbd_disconnect(vbd_of(d)); }

static void forget(struct be_dev *d)
{
    struct vbd *v = vbd_of(d);

    volume_release(&v->claim);
    memset(v, 0, sizeof(*v));
}

/* A former life offered journal pages to somebody who has not connected, and we have not read how many. */
static bool promises_unknown(void)
{
    EACH_VBD(v)
    {
        if (v->be.used && v->be.state == XenbusStateInitWait && !v->queues && !v->connected &&
            !v->stalled)
            return true;
    }
    return false;
}

static void follow(struct be_dev *d, uint64_t fe, bool online)
{
    struct vbd *v = vbd_of(d);
    struct slot_entry e;

    if (be_slot(SLOT_VBD, d->dom, d->devid, &e)) {
        bb_limit(&v->disk.ops, e.limit_ops);
        bb_limit(&v->disk.bytes, e.limit_bytes);
    }
    if (v->be.state == XenbusStateInitialising && promises_unknown())
        be_retry(d);
    else
        vbd_follow(v, fe, online);
}

static void say_broken(struct vbd *v)
{
    for (unsigned q = 0; v->connected && !v->told && q < v->disk.nr_rings; q++) {
        if (!v->disk.ring[q].broken)
            continue;
        v->told = true;
        be_say(&v->be, "vbd", &v->breaches,
               "front-end broke the protocol: %s; queue %u is not served any more",
               v->disk.ring[q].broken, q);
    }
}

bool vbds_store_work(void)
{
    static const char *const keys[] = { "online", "frontend", BH_KEY_LIMIT_OPS, BH_KEY_LIMIT_BYTES,
                                        NULL };
    static const struct be_class class = { .type = "vbd",
                                           .what = "disks",
                                           .kind = SLOT_VBD,
                                           .keys = keys,
                                           .max_devid = ~0u,
                                           .first = &vbds[0].be,
                                           .size = sizeof(vbds[0]),
                                           .nr = BB_MAX_DISKS,
                                           .disconnect = disconnect,
                                           .forget = forget,
                                           .follow = follow };

    EACH_VBD(v)
    {
        say_broken(v);
        if ((v->draining && bb_close(&v->disk)) || (blk.devs_new && v->be.used))
            be_again(&v->be);
    }
    return be_work(&class);
}
