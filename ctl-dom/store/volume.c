/* SPDX-License-Identifier: MIT */
/* Our side of the disk is a domain of the table's kind that is in no table: what plugs the disks of guests plugs this one. */
#include "store/volume.h"
#include <blkfront.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "console/console.h"
#include "console/patience.h"
#include "domain/load.h"
#include "domain/slots.h"
#include "job/job.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/nodes.h"

#define LISTED_NS 10000000000ull /* a driver domain that begins */
#define LOOK_NS   2000000ull
#define VAIN_NS \
    10000000000ull   /* after one who waited in vain nobody waits: a boot reads many files */
#define DEVID 51712u /* xvda */
#define PIECE (BLKFRONT_MOST * 512u)

struct archive volume;
static struct dom own = { .id = BH_DOMID_CONTROL, .cfg.name = "control" };
static struct blkfront front;
static unsigned users;
static bool looked; /* once, in vain or not */
static uint64_t vain_until;

static struct dom *server(void)
{
    struct dom *b = doms;

    while (b && (b->cfg.role != BH_ROLE_DRIVER || !b->cfg.configs[0]))
        b = b->next;
    return b;
}

const char *volume_name(void)
{
    static char name[BH_NAME_LEN + sizeof(((struct domcfg *)0)->configs)];
    const struct dom *b = server();

    if (!b)
        return NULL;
    snprintf(name, sizeof(name), "%s:%s", b->cfg.name, b->cfg.configs);
    return name;
}

/* --- the partition ---------------------------------------------------------------------------- */
static void nodes(struct txn *t, struct dom *d, void *arg)
{
    (void)arg;
    dev_nodes(t, d, &d->dev[0]);
}

static void unplug(void)
{
    char be[DEV_PATH], fe[DEV_PATH];

    dev_paths(&own, &own.dev[0], be, fe);
    devs_close(&own);
    if (store_up)
        xs_rm(0, fe);
}

static void plug_for(const struct dom *b, bool write)
{
    struct cfg_disk *c = &own.cfg.disk[0];

    memset(c, 0, sizeof(*c));
    memcpy(c->backend, b->cfg.name, sizeof(c->backend));
    snprintf(c->volume, sizeof(c->volume), "%s", b->cfg.configs);
    snprintf(c->vdev, sizeof(c->vdev), "%.15s", b->cfg.configs);
    memcpy(c->mode, write ? "w" : "r", 2);
    c->devid = DEVID;
    own.dev[0] = (struct dom_dev){ .kind = DEV_VBD, .devid = DEVID, .back = b->id };
    own.nr_devs = 1;
}

void volume_left(void)
{
    struct dom *b = server();

    if (!b)
        return;
    plug_for(b, false);
    if (slot_gen_of(&own, &own.dev[0]))
        unplug();
}

/* Whether the text names a volume of that name: "NAME BYTES USERS". */
static bool is_of(const char *text, const char *name)
{
    size_t n = strlen(name);

    return !strncmp(text, name, n) && text[n] == ' ';
}

/* 1: it has such a partition, 0: it has not, -EAGAIN: it has not said it yet. The whole disk, number 0, is what it says last. */
static int lists(const struct dom *b)
{
    char path[64];
    unsigned n;
    int rc = -EAGAIN;

    snprintf(path, sizeof(path), "/local/domain/%u/volumes/0", b->id);
    char *disk = xs_read(0, path);
    if (!disk) { /* it may have something to say about that */
        snprintf(path, sizeof(path), "/local/domain/%u/error", b->id);
        char *why = xs_read(0, path);
        rc = why && *why ? 0 : rc;
        free(why);
        return rc;
    }
    free(disk);
    snprintf(path, sizeof(path), "/local/domain/%u/volumes", b->id);
    char **number = xs_ls(0, path, &n);
    rc = 0;
    for (unsigned i = 0; number && i < n && !rc; i++) {
        snprintf(path, sizeof(path), "/local/domain/%u/volumes/%.24s", b->id, number[i]);
        char *text = xs_read(0, path);
        rc = text && is_of(text, b->cfg.configs);
        free(text);
    }
    free(number);
    return rc;
}

static int wait_listed(const struct dom *b, struct errbuf *e)
{
    struct patience p;
    int rc;

    patience_begin(&p, PATIENCE_NS, dev_patience(&own.dev[0], LISTED_NS));
    for (uint64_t looked_at = 0;
         (rc = lists(b)) == -EAGAIN && looked_at < p.until &&
         !patience_ends(&p, "%s: waits for the list of its volumes", b->cfg.name);) {
        looked_at = now_ns();
        job_wait(looked_at + LOOK_NS);
    }
    if (rc == 1)
        return 0;
    return rc ? fail(e, -ETIME, "%s: does not say which volumes it has", volume_name())
              : fail(e, -ENOENT, "%s has no volume %s", b->cfg.name, b->cfg.configs);
}

static int plug(struct dom *b, bool write, struct errbuf *e)
{
    char be[DEV_PATH], fe[DEV_PATH];

    plug_for(b, write);
    if (blkfront_close(&front) == -EBUSY)
        return fail(e, -EBUSY, "%s: %s has not let go of it since it failed", volume_name(),
                    b->cfg.name);
    if (slot_gen_of(&own, &own.dev[0]))
        unplug();
    int rc = wait_listed(b, e);
    if (rc)
        return rc;
    rc = devs_attach(&own, nodes, e);
    if (!rc)
        rc = wait_backends(&own, e);
    dev_paths(&own, &own.dev[0], be, fe);
    if (!rc && (rc = blkfront_open(&front, b->id, fe, be)))
        fail(e, rc, "%s: %s", volume_name(), front.broken ? front.broken : errno_text(rc));
    if (rc) {
        unplug();
        (void)blkfront_close(&front);
    }
    return rc;
}

/* --- as the archive reaches it ---------------------------------------------------------------- */
static int disk_read(void *arg, uint64_t at, void *to, size_t len)
{
    int rc = 0;

    (void)arg;
    for (size_t n; len && !rc; at += n, to = (char *)to + n, len -= n) {
        n = len < PIECE ? len : PIECE;
        rc = blkfront_read(&front, at >> 9, (unsigned)(n >> 9), to);
    }
    return rc;
}

static int disk_write(void *arg, uint64_t at, const void *from, size_t len)
{
    int rc = 0;

    (void)arg;
    for (size_t n; len && !rc; at += n, from = (const char *)from + n, len -= n) {
        n = len < PIECE ? len : PIECE;
        rc = blkfront_write(&front, at >> 9, (unsigned)(n >> 9), from);
    }
    return rc;
}

static int disk_flush(void *arg)
{
    (void)arg;
    return blkfront_flush(&front);
}

static struct archive_disk disk(void)
{
    return (struct archive_disk){ .size = front.nr_sectors << 9,
                                  .sector = front.sector_size,
                                  .read = disk_read,
                                  .write = disk_write,
                                  .flush = disk_flush };
}

static void tell(const char *what) { say("%s: %s", volume_name(), what); }

static int in_vain(int rc)
{
    if (rc && rc != -ENOENT)
        vain_until = now_ns() + VAIN_NS;
    return rc;
}

static int failed(struct errbuf *e, int rc)
{
    if (front.broken)
        (void)in_vain(rc);
    return fail(e, rc, "%s: %s", volume_name(),
                front.broken ? front.broken : "a part of it cannot be read");
}

static int begin(bool write, bool tells, struct errbuf *e)
{
    struct dom *b = server();
    int rc;

    if (users++)
        return 0;
    if (!b || !store_up)
        rc = fail(e, -ENOENT, b ? "the store is not running" : "no driver domain has configs=");
    else
        rc = in_vain(plug(b, write, e));
    if (!rc) {
        struct archive_disk d = disk();
        volume.tell = tells ? tell : NULL;
        rc = archive_scan(&volume, &d);
        if (rc)
            (void)failed(e, rc);
    } else if (rc == -ENOENT) {
        memset(&volume, 0, sizeof(volume));
    }
    looked = true;
    if (rc)
        volume_end();
    return rc;
}

int volume_begin(bool tells, struct errbuf *e) { return begin(false, tells, e); }

void volume_end(void)
{
    if (--users)
        return;
    if (front.ring)
        unplug();
    (void)blkfront_close(&front); /* what stays taken the next one sees */
}

/* --- writing ------------------------------------------------------------------------------------ */
static int write_failed(struct errbuf *e, int rc)
{
    const char *why = rc == -EINVAL   ? "its archive is damaged: nothing is written to it"
                      : rc == -ENOSPC ? "it is full: pack it anew on a host (docs/volume.md)"
                      : rc == -EMFILE ? "it has all the files that it may have: config-rm one"
                      : front.broken  ? front.broken
                                      : "it cannot be written";

    return fail(e, rc, "%s: %s", volume_name(), why);
}

int volume_write(const char *name, const void *text, size_t len, struct errbuf *e)
{
    int rc = begin(true, true, e);

    if (rc)
        return rc;
    struct archive_disk d = disk();
    rc = archive_append(&volume, &d, name, text, len, wallclock_ns() / NS_PER_S);
    if (rc)
        (void)write_failed(e, rc);
    else if ((rc = archive_scan(&volume, &d)))
        (void)failed(e, rc);
    volume_end();
    return rc;
}

/* --- for load.c --------------------------------------------------------------------------------- */
/* Once; how it went is said once. */
static const struct archive *files(void)
{
    struct errbuf e;

    if (!looked && server()) {
        int rc = volume_begin(true, &e);
        if (!rc)
            volume_end();
        else if (rc != -ENOENT)
            say("%s", e.s);
    }
    return &volume;
}

static int stream(const char *name, sink_fn sink, void *arg, struct errbuf *e)
{
    static uint8_t piece[32 * 1024];

    if (!users && server() && now_ns() < vain_until)
        return fail(e, -EIO, "%s: did not answer just now, it is tried again in some seconds",
                    volume_name());
    int rc = volume_begin(false, e);

    if (rc)
        return rc;
    const struct archive_file *f = archive_find(&volume, name);
    if (!f)
        rc = fail(e, -ENOENT, "%s: '%s' is not there any more", volume_name(), name);
    struct archive_file is = f ? *f : (struct archive_file){ .size = 0 };
    while (!rc && is.size) {
        uint64_t from = is.at & ~4095ul, left = (front.nr_sectors << 9) - from;
        size_t skip = is.at - from, n = left < sizeof(piece) ? (size_t)left : sizeof(piece);
        rc = disk_read(NULL, from, piece, n);
        if (rc) {
            rc = failed(e, rc);
            break;
        }
        n = n - skip < is.size ? n - skip : (size_t)is.size;
        rc = sink(arg, piece + skip, n);
        if (rc)
            e->s[0] = '\0'; /* the sink's own */
        is.at += n;
        is.size -= n;
    }
    volume_end();
    return rc;
}

void volume_on(void)
{
    static const struct load_volume ours = { files, stream };

    load_volume = &ours;
}
