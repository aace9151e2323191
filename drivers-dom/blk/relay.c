/* SPDX-License-Identifier: MIT */
/* The disks of a relay: relay.h. */
#include "relay.h"
#include <errno.h>
#include <loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/protocols.h>
#include <xen/io/xenbus.h>
#include "vbd.h"

#define AGAIN_NS  (200 * NS_PER_MS) /* a store that does not answer, pages that are not let go */
#define FIRST_NS  NS_PER_S /* after a connection that was no good, twice that after the next ... */
#define LAST_NS   (60 * NS_PER_S)
#define SOON_NS   (5 * NS_PER_S)  /* a back-end that is there connects by then */
#define SILENT_NS (30 * NS_PER_S) /* then it is said that there is no answer */
/* From one read of a table that is not answered to the next of that back-end: nothing else of the store is done during one, for any disk. */
#define SCAN_NS (VOLUMES_SCAN_NS * BLK_MAX_DEVS)
/* And that one takes so long at most, but each eighth as long as the first, for one that was slow for a while, and in each such round once more where
 * the back-end began anew: a third of the time if all disks are silent. */
#define NEXT_SCAN_NS NS_PER_S
#define SCAN_ROUND   8

/* Idle: nothing of ours is with a back-end, or it is about to let go of it. Offered: it may have our ring. Serving: it says that it has. */
enum step { IDLE, OFFERED, SERVING };

struct rdisk {
    struct vbd_front f; /* first */
    bool used, dirty, watched;
    bool up; /* it is among blk.dev */
    enum step step;
    uint32_t devid;
    domid_t back;
    char name[8], model[32], be[BE_PATH], fe[32];
    int state;            /* ours, as the store has it */
    uint64_t look;        /* when to look again */
    uint64_t wait, again; /* after a connection that was no good: for how long, and till when */
    uint64_t lost;        /* when its table was not answered; of these, since the last that was: */
    unsigned missed;
    bool anew;       /* its back-end began anew in this round of them */
    uint64_t theirs; /* the back-end's state then, and later */
    const char *why; /* it is not serving, NULL: it is */
    char text[96];   /* room for that */
    struct talk talk;
};

static struct rdisk *disks[BLK_MAX_DEVS];
static bool relay, rescan, watching;
static uint64_t look_at;

#define EACH_DISK(r)                                                        \
    for (struct rdisk **at_ = disks, *r; at_ < disks + BLK_MAX_DEVS; at_++) \
        if ((r = *at_))

static void say(struct rdisk *r, const char *what)
{
    unsigned left_out;

    if (talk_may(&r->talk, now_ns(), &left_out))
        printf("%s: disk %s: %s\n", self.name, r->name, what);
}

static void look_later(struct rdisk *r, uint64_t when) { r->look = earlier(r->look, when); }

/* --- the store ---------------------------------------------------------------------------------------------- */

static void be_state_changed(const char *path, void *arg)
{
    (void)path;
    ((struct rdisk *)arg)->dirty = true;
}

/* Something in our own directories; our writes come by here too. */
static void fe_changed(const char *path, void *arg)
{
    (void)path, (void)arg;
    rescan = true;
}

static char *state_path(const struct rdisk *r, char buf[BE_PATH + 8])
{
    snprintf(buf, BE_PATH + 8, "%s/state", r->be);
    return buf;
}

static void unwatch(struct rdisk *r)
{
    char path[BE_PATH + 8];

    if (r->watched)
        xs_unwatch(state_path(r, path), be_state_changed, r);
    r->watched = false;
}

static bool watch(struct rdisk *r)
{
    char path[BE_PATH + 8];

    if (!r->watched && r->be[0])
        r->watched = !xs_watch(state_path(r, path), be_state_changed, r);
    return r->watched || !r->be[0];
}

static bool set_state(struct rdisk *r, int state)
{
    char path[48];

    snprintf(path, sizeof(path), "%s/state", r->fe);
    if (r->state != state && !xs_printf(0, path, "%d", state))
        r->state = state;
    return r->state == state;
}

/* What a back-end offers: a number, or what is meant by none. */
static bool offered(struct rdisk *r, const char *key, uint64_t absent, uint64_t *v)
{
    return be_number(r->be, key, absent, v);
}

static int publish(struct rdisk *r)
{
    char path[64];
    uint32_t tx;
    int rc;

    do {
        if ((rc = xs_tx_start(&tx)))
            return rc;
        const struct {
            const char *key;
            int n;
        } number[] = { { "ring-ref", r->f.ring_ref },
                       { "event-channel", r->f.port },
                       { "state", XenbusStateInitialised } };
        snprintf(path, sizeof(path), "%s/protocol", r->fe);
        rc = xs_write(tx, path, XEN_IO_PROTO_ABI_X86_64);
        for (unsigned i = 0; i < ARRAY_SIZE(number) && !rc; i++) {
            snprintf(path, sizeof(path), "%s/%s", r->fe, number[i].key);
            rc = xs_printf(tx, path, "%d", number[i].n);
        }
        int end = xs_tx_end(tx, !rc);
        rc = rc ? rc : end;
    } while (rc == -EAGAIN);
    return rc;
}

/* --- a connection ------------------------------------------------------------------------------------------- */

/* The back-end is left; what is out waits for the next one. */
static void leave(struct rdisk *r, const char *why)
{
    vf_down(&r->f);
    r->step = IDLE;
    r->why = why;
    say(r, why);
}

/* It is no good: not again at once. */
static void refuse(struct rdisk *r, const char *why)
{
    r->wait = r->wait ? 2 * r->wait : FIRST_NS;
    if (r->wait > LAST_NS)
        r->wait = LAST_NS;
    r->look = r->again = now_ns() + r->wait;
    leave(r, why);
}

struct shape {
    uint64_t sectors, size, physical, info, flush, discard, granularity, kept;
};

/* false: the store gave no answer. */
static bool shape_read(struct rdisk *r, struct shape *s)
{
    return offered(r, "sectors", 0, &s->sectors) && offered(r, "sector-size", 0, &s->size) &&
           offered(r, "physical-sector-size", 0, &s->physical) && offered(r, "info", 0, &s->info) &&
           offered(r, "feature-flush-cache", 0, &s->flush) &&
           offered(r, "feature-discard", 0, &s->discard) &&
           offered(r, "discard-granularity", 0, &s->granularity) &&
           offered(r, BH_KEY_KEPT, 0, &s->kept);
}

/* Whether it can be a disk. NULL, or why not; what is strange and does no harm is put right. */
static const char *shape_sound(struct shape *s)
{
    if (s->size != 512 && s->size != 4096)
        return "its sectors have neither 512 nor 4096 bytes";
    if (s->sectors >= BLK_BASE)
        return "its size makes no sense";
    s->sectors -= s->sectors % (s->size / 512);
    if (!s->sectors)
        return "it is empty";
    if (s->physical < s->size || s->physical > 1u << 20 || s->physical & (s->physical - 1))
        s->physical = s->size;
    if (s->granularity < s->size || s->granularity > 1u << 30 || s->granularity % s->size)
        s->granularity = s->size;
    return NULL;
}

/* Guests know it as it was. */
static const char *shape_same(struct rdisk *r, const struct shape *s)
{
    const struct blkdev *d = &r->f.dev;
    const char *what = NULL;

    if (s->sectors != d->nr_sectors)
        snprintf(r->text, sizeof(r->text),
                 "it came back with %lu sectors and not %lu: nothing is asked of it", s->sectors,
                 d->nr_sectors);
    else if (s->size != d->sector_size)
        what = "it came back with other sectors: nothing is asked of it";
    else if (s->info & VDISK_READONLY && !d->read_only)
        what = "it came back read-only: nothing is asked of it";
    else
        return NULL;
    return what ? what : r->text;
}

static void shape_take(struct rdisk *r, const struct shape *s, bool anew)
{
    struct vbd_front *f = &r->f;
    struct blkdev *d = &f->dev;

    f->can_flush = s->flush;
    f->can_discard = s->discard;
    f->through = s->flush && !s->kept;
    d->flush = s->flush && s->kept;
    if (!anew)
        return;
    d->nr_sectors = s->sectors;
    d->sector_size = (uint32_t)s->size;
    d->physical_sector_size = (uint32_t)s->physical;
    d->discard = s->discard;
    d->discard_granularity = (uint32_t)s->granularity;
    d->read_only = s->info & VDISK_READONLY;
}

static void dev_remove(struct rdisk *r)
{
    unsigned n = 0;

    if (!r->up)
        return;
    volumes_forget(&r->f.dev);
    for (unsigned i = 0; i < blk.nr_devs; i++) {
        if (blk.dev[i] != &r->f.dev)
            blk.dev[n++] = blk.dev[i];
    }
    blk.nr_devs = n;
    r->up = false;
}

/* It has not missed any. */
static void scans_whole(struct rdisk *r)
{
    r->f.dev.scan_ns = r->missed = 0;
    r->anew = false;
}

/* It is none until its next connection. */
static void dev_lost(struct blkdev *d, const char *why)
{
    struct rdisk *r = (struct rdisk *)d;

    dev_remove(r);
    blk.devs_to_come = true;
    bool silent = r->step != IDLE && !r->f.breach;
    if (r->step != IDLE)
        refuse(r, silent ? why : r->f.breach);
    if (silent) {
        r->lost = now_ns();
        r->look = r->again = r->lost + SCAN_NS;
        d->scan_ns = ++r->missed % SCAN_ROUND ? NEXT_SCAN_NS : 0;
        r->anew &= d->scan_ns != 0;
    }
    vf_forget(&r->f); /* that read: nobody else has one */
}

/* Its table is read, with the connection that is there now. */
static bool dev_add(struct rdisk *r)
{
    blk.dev[blk.nr_devs++] = &r->f.dev;
    r->up = true;
    if (volumes_scan(&r->f.dev)) /* it was lost */
        return false;
    scans_whole(r);
    return true;
}

/* The back-end says that it has our ring. */
static void connected(struct rdisk *r)
{
    bool anew = !r->up || (!r->f.nr_ios && !volumes_used(&r->f.dev));
    struct shape s;

    if (!shape_read(r, &s)) {
        look_later(r, now_ns() + AGAIN_NS);
        return;
    }
    const char *why = shape_sound(&s);
    if (!why && !anew)
        why = shape_same(r, &s);
    if (why) {
        refuse(r, why);
        return;
    }
    if (anew)
        dev_remove(r);
    shape_take(r, &s, anew);
    vf_up(&r->f);
    r->step = SERVING;
    r->why = NULL;
    if (anew && !dev_add(r))
        return;
    (void)set_state(r, XenbusStateConnected);
    r->wait = 0;
    snprintf(r->text, sizeof(r->text), "connected to domain %u%s", r->back,
             r->f.through ? ", each write is flushed" : "");
    say(r, r->text);
    blk.devs_new = true;
}

static void offer(struct rdisk *r)
{
    int rc = vf_offer(&r->f, r->back);

    if (!rc && !(rc = publish(r))) {
        r->state = XenbusStateInitialised;
        r->step = OFFERED;
        return;
    }
    if (rc == -ENOMEM || rc == -ENOSPC)
        refuse(r, "no room for its pages: memory= is too small");
    else
        leave(r, "the store does not take its ring");
    look_later(r, now_ns() + AGAIN_NS);
}

/* --- the state machine -------------------------------------------------------------------------------------- */

/* Nothing of ours is to be with a back-end that does not begin anew. */
static void idle(struct rdisk *r, uint64_t back)
{
    uint64_t now = now_ns();
    unsigned held;

    /* Soon after its loss it follows us, later it moves by itself: it may be another, at the same place. */
    if (back != r->theirs && r->f.dev.scan_ns && !r->anew && now - r->lost > SOON_NS) {
        r->f.dev.scan_ns = 0;
        r->anew = true;
    }
    r->theirs = back;
    if (back == XenbusStateInitialised || back == XenbusStateConnected || back == XenbusStateClosing) {
        (void)set_state(r, XenbusStateClosed);
        return;
    }
    held = vf_let_go(&r->f);
    if (!set_state(r, XenbusStateInitialising) || held) {
        if (held && !r->wait)
            r->why = "its back-end has not let go of pages that it had";
        look_later(r, now + AGAIN_NS);
        return;
    }
    if (back != XenbusStateInitWait)
        return;
    if (r->wait && now < r->again) {
        look_later(r, r->again);
        return;
    }
    offer(r);
}

/* What is ours or the back-end's, and is not as it was when we wrote it, was made anew. */
static void follow(struct rdisk *r, uint64_t back, bool moved, int state)
{
    if (r->step != IDLE && r->f.breach)
        refuse(r, r->f.breach);
    if (r->step != IDLE && (moved || state != r->state))
        leave(r, "it gets another back-end");
    if (r->step == SERVING && back != XenbusStateConnected)
        leave(r, "its back-end is gone");
    if (r->step == OFFERED && back != XenbusStateInitWait && back != XenbusStateInitialised &&
        back != XenbusStateConnected)
        leave(r, "its back-end does not connect");
    r->state = state;
    if (r->step == OFFERED && back == XenbusStateConnected)
        connected(r);
    else if (r->step == SERVING)
        (void)set_state(r, XenbusStateConnected); /* the store may not have taken it */
    if (r->step == IDLE)
        idle(r, back);
}

/* Where its back-end is, by our own directory. false: nothing can be said now. */
static bool where(struct rdisk *r, bool *moved)
{
    char path[48];
    uint64_t id;

    snprintf(path, sizeof(path), "%s/backend", r->fe);
    char *be = xs_read(0, path);
    if (!be && !be_nothing_there(xs_error))
        return false;
    if (!be_number(r->fe, "backend-id", DOMID_INVALID, &id)) {
        free(be);
        return false;
    }
    if (!be || strlen(be) >= BE_PATH || id >= DOMID_FIRST_RESERVED) {
        free(be);
        be = NULL;
        id = DOMID_INVALID;
    }
    *moved = strcmp(be ? be : "", r->be) || r->back != id;
    if (*moved) {
        unwatch(r);
        snprintf(r->be, sizeof(r->be), "%s", be ? be : "");
        r->back = (domid_t)id;
        r->wait = 0;
        scans_whole(r);
    }
    free(be);
    return watch(r);
}

static void look(struct rdisk *r)
{
    uint64_t back = XenbusStateUnknown, state;
    bool moved;

    r->dirty = false;
    if (r->look && now_ns() >= r->look)
        r->look = 0;
    if (!where(r, &moved) || (r->be[0] && !be_number(r->be, "state", 0, &back)) ||
        !be_number(r->fe, "state", 0, &state)) {
        look_later(r, now_ns() + AGAIN_NS);
        return;
    }
    if (!r->be[0]) { /* it was taken away */
        if (r->step != IDLE)
            leave(r, "it was taken away");
        if (r->step == IDLE && vf_let_go(&r->f))
            look_later(r, now_ns() + AGAIN_NS);
        return;
    }
    follow(r, back, moved, (int)state);
}

/* --- which there are ---------------------------------------------------------------------------------------- */

/* Its letter, by <xen/io/blkif.h>'s numbers of xvd disks: 0 for a; -1: none of ours. */
static int letter(uint32_t devid)
{
    unsigned n = devid & 1u << 28 ? (devid & 0xfffffff) >> 8 : (devid & 0xff) >> 4;
    bool whole = devid & 1u << 28 ? !(devid & 0xff) : devid >> 8 == 202 && !(devid & 15);

    return whole && n < 26 ? (int)n : -1;
}

static void found(uint32_t devid)
{
    struct rdisk **empty = NULL;
    int n = letter(devid);

    EACH_DISK(r)
    {
        if (r->devid == devid) {
            r->dirty = true;
            return;
        }
    }
    for (unsigned i = 0; i < BLK_MAX_DEVS && !empty; i++)
        empty = disks[i] ? NULL : &disks[i];
    struct rdisk *r = n >= 0 && empty ? calloc(1, sizeof(*r)) : NULL;
    if (!r) {
        static struct talk talk;
        unsigned left_out;
        if (talk_may(&talk, now_ns(), &left_out))
            printf("%s: disk %u: %s\n", self.name, devid,
                   n < 0 ? "not served: xvda to xvdz are" : "no room for it");
        return;
    }
    *empty = r;
    vf_init(&r->f, &blk.batch);
    r->devid = devid;
    r->back = DOMID_INVALID;
    snprintf(r->name, sizeof(r->name), "xvd%c", 'a' + n);
    snprintf(r->model, sizeof(r->model), "disk %s", r->name);
    snprintf(r->fe, sizeof(r->fe), "device/vbd/%u", devid);
    r->f.dev.name = r->name;
    r->f.dev.model = r->model;
    r->f.dev.base = (uint64_t)n * BLK_BASE;
    r->f.dev.lost = dev_lost;
    r->why = "it waits for its back-end";
    r->dirty = true;
}

/* false: the store gave no answer. */
static bool scan(void)
{
    unsigned n;
    char **nodes = xs_ls(0, "device/vbd", &n);

    if (!nodes && !be_nothing_there(xs_error))
        return false;
    for (unsigned i = 0; nodes && i < n; i++)
        found((uint32_t)strtoul(nodes[i], NULL, 10));
    free(nodes);
    EACH_DISK(r)
    r->dirty = true;
    return true;
}

void relay_begin(void)
{
    relay = rescan = blk.devs_to_come = true;
    blk.devs_by = now_ns() + SOON_NS;
}

/* It has requests and does not answer: whoever looks on is told, and waits as all do. */
static void silence(struct rdisk *r, uint64_t now)
{
    if (r->step != SERVING)
        return;
    if (!r->f.nr_ios || now - r->f.progress < SILENT_NS) {
        r->why = NULL;
        if (r->f.nr_ios)
            look_later(r, r->f.progress + SILENT_NS);
        return;
    }
    if (!r->why) {
        r->why = "its back-end does not answer";
        say(r, r->why);
    }
    look_later(r, now + NS_PER_S);
}

void relay_work(void)
{
    bool to_come = false;
    uint64_t now = now_ns();

    if (!relay)
        return;
    if (!watching)
        watching = !xs_watch("device/vbd", fe_changed, NULL);
    if (rescan && (!look_at || now >= look_at)) {
        rescan = false;
        look_at = 0;
        if (!scan()) {
            rescan = true;
            look_at = now + AGAIN_NS;
        }
    }
    EACH_DISK(r)
    {
        r->dirty |= (r->look && now >= r->look) || (r->f.breach && r->step != IDLE);
        if (r->dirty)
            look(r);
        silence(r, now_ns());
        to_come |= !r->up;
    }
    if (blk.devs_to_come && !to_come && !rescan)
        blk.devs_new = true; /* who still waits waits for what is not there */
    blk.devs_to_come = to_come || rescan;
}

uint64_t relay_next(void)
{
    uint64_t next = rescan ? (look_at ? look_at : now_ns()) : 0;

    EACH_DISK(r)
    next = earlier(next, r->look);
    return next;
}

const char *relay_problem(void)
{
    static char text[160];
    size_t n = 0;

    text[0] = '\0';
    EACH_DISK(r)
    {
        if (r->why && n < sizeof(text))
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s: %s", n ? "; " : "", r->name,
                                  r->why);
    }
    return n ? text : NULL;
}
