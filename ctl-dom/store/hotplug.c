/* SPDX-License-Identifier: MIT */
/* An attach: slot table, the back-end's nodes, its answer, the front-end's. A detach: the back-end lets go or is told that it must, then nodes and table. Called
 * by the shell. */
#include "store/hotplug.h"
#include <errno.h>
#include <store_keys.h>
#include <string.h>
#include <xen/io/xenbus.h>
#include "console/console.h"
#include "domain/slots.h"
#include "job/job.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/nodes.h"

#define CLOSE_WAIT_NS   10000000000ull
#define REFUSED_WAIT_NS 2000000000ull
#define LEFT_WAIT_NS    100000000ull
#define UNSEEN_NS \
    1000000000ull /* a guest that has not looked for so long does not see a disk go and come */
#define LOOK_NS 2000000ull

static void add_back(struct txn *t, struct dom *d, void *arg) { dev_back_nodes(t, d, arg); }
static void add_front(struct txn *t, struct dom *d, void *arg) { dev_front_nodes(t, d, arg); }

static void remove_nodes(struct txn *t, struct dom *d, void *arg)
{
    char be[DEV_PATH], fe[DEV_PATH];

    dev_paths(d, arg, be, fe);
    no_node(t, "%s", be);
    no_node(t, "%s", fe);
}

/* --- changes of the two tables ------------------------------------------------------------------- */
static void change_begins(struct dom *d)
{
    d->was.nr_disks = d->cfg.nr_disks;
    d->was.nr_devs = d->nr_devs;
    memcpy(d->was.disk, d->cfg.disk, sizeof(d->was.disk));
    memcpy(d->was.dev, d->dev, sizeof(d->was.dev));
    wmb();
    WRITE_ONCE(d->changing, true);
    wmb();
}

static void change_ends(struct dom *d)
{
    wmb();
    WRITE_ONCE(d->changing, false);
}

void disk_put_back(struct dom *d)
{
    if (!d->changing)
        return;
    d->cfg.nr_disks = d->was.nr_disks;
    d->nr_devs = d->was.nr_devs;
    memcpy(d->cfg.disk, d->was.disk, sizeof(d->was.disk));
    memcpy(d->dev, d->was.dev, sizeof(d->was.dev));
    change_ends(d);
}

/* Out of the table of devices and out of the configuration, whose later disks move up. */
static void forget(struct dom *d, struct dom_dev *v)
{
    unsigned disk = v->index, at = (unsigned)(v - d->dev);

    change_begins(d);
    for (unsigned i = disk + 1; i < d->cfg.nr_disks; i++)
        d->cfg.disk[i - 1] = d->cfg.disk[i];
    d->cfg.nr_disks--;
    for (unsigned i = at + 1; i < d->nr_devs; i++)
        d->dev[i - 1] = d->dev[i];
    d->nr_devs--;
    for (unsigned i = 0; i < d->nr_devs; i++)
        if (d->dev[i].kind == DEV_VBD && d->dev[i].index > disk)
            d->dev[i].index--;
    change_ends(d);
}

/* Asks v's back-end to let go, and waits for it. 0, -ETIME, or what the store says. */
static int let_go(struct dom *d, struct dom_dev *v, uint64_t wait_ns)
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16];
    uint64_t began = now_ns(), is;

    dev_paths(d, v, be, fe);
    snprintf(path, sizeof(path), "%s/online", be);
    slot_detaching(d, v);
    int rc = xs_write(0, path, "0");
    while (!rc && (is = backend_state(d, v)) && is != XenbusStateClosed) {
        if (now_ns() - began >= dev_patience(v, wait_ns))
            return -ETIME;
        job_wait(now_ns() + LOOK_NS);
    }
    return rc;
}

/* An attach that failed. The back-end's last word on this device must not come when the nodes are those of the next one. */
static void undo(struct dom *d, struct dom_dev *v)
{
    struct errbuf ignored;

    (void)let_go(d, v, REFUSED_WAIT_NS);
    (void)commit(d, remove_nodes, v, &ignored);
    slot_remove(d, v);
    forget(d, v);
}

/* --- attach ------------------------------------------------------------------------------------ */
int disk_attach(struct dom *d, const char *spec, struct errbuf *e)
{
    struct cfg_disk c;
    char why[160];
    unsigned n = d->cfg.nr_disks;

    if (config_disk(&c, spec, why, sizeof(why)))
        return fail(e, -EINVAL, "%s: disk: %s", d->cfg.name, why);
    if (n == CFG_MAX_DISKS)
        return fail(e, -ENOSPC, "%s: disk: more than %d", d->cfg.name, CFG_MAX_DISKS);
    for (unsigned i = 0; i < n; i++)
        if (d->cfg.disk[i].devid == c.devid)
            return fail(e, -EEXIST, "%s: disk %s is there", d->cfg.name, c.vdev);
    d->cfg.disk[n] = c;
    struct dom_dev *v = &d->dev[d->nr_devs];
    int rc = disk_resolve(d, n, v, e);
    if (rc)
        return rc;
    change_begins(d);
    v->plugging = true; /* whoever finds it so undoes it */
    d->cfg.nr_disks++;
    d->nr_devs++;
    change_ends(d);
    rc = slot_attach(d, v, e);
    if (!rc)
        rc = commit(d, add_back, v, e);
    if (!rc) {
        slot_attached(d, v);
        rc = wait_backend(d, v, e);
    }
    /* Where a disk of the same number comes before Linux saw that the last one went, it finds that and does nothing, for ever. */
    while (!rc && now_ns() < d->left_ns + UNSEEN_NS)
        job_wait(d->left_ns + UNSEEN_NS);
    /* Only now: a front-end that closes what was refused might do so when the nodes are those of the next one. */
    if (!rc)
        rc = commit(d, add_front, v, e);
    if (rc)
        undo(d, v);
    else
        v->plugging = false;
    return rc;
}

/* --- detach ------------------------------------------------------------------------------------ */
/* wait_ns 0: without waiting. */
static int detach(struct dom *d, struct dom_dev *v, uint64_t wait_ns, struct errbuf *e)
{
    d->cfg.disk[v->index].leaving = true;
    int rc = let_go(d, v, wait_ns);
    if (rc == -ETIME && !wait_ns)
        rc = 0;
    if (rc == -ETIME)
        return fail(e, rc,
                    "%s: disk %s: is being closed, but the guest still has it (--force does not wait)",
                    d->cfg.name, d->cfg.disk[v->index].vdev);
    if (!rc)
        rc = commit(d, remove_nodes, v, e);
    else
        fail(e, rc, "%s: store: %s", d->cfg.name, errno_text(rc));
    if (!rc) {
        d->left_ns = now_ns();
        slot_remove(d, v);
        forget(d, v);
    }
    return rc;
}

int disk_detach(struct dom *d, struct dom_dev *v, bool force, struct errbuf *e)
{
    return detach(d, v, force ? 0 : CLOSE_WAIT_NS, e);
}

/* --- after a death of ours ----------------------------------------------------------------------- */
void disk_settle(struct dom *d)
{
    for (unsigned i = d->nr_devs; i-- > 0;) {
        struct dom_dev *v = &d->dev[i];
        struct errbuf ignored;
        if (v->kind == DEV_VBD && v->plugging)
            undo(d, v);
        else if (v->kind == DEV_VBD && d->cfg.disk[v->index].leaving)
            (void)detach(d, v, LEFT_WAIT_NS, &ignored);
    }
}

/* --- limits ------------------------------------------------------------------------------------ */
int disk_limit(struct dom *d, const struct dom_dev *v, const struct cfg_disk *c)
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16];

    d->cfg.disk[v->index] = *c;
    slot_limits(d, v); /* the nodes only say that there is something to look at */
    dev_paths(d, v, be, fe);
    snprintf(path, sizeof(path), "%s/" BH_KEY_LIMIT_OPS, be);
    int rc = xs_printf(0, path, "%lu", c->limit_ops);
    snprintf(path, sizeof(path), "%s/" BH_KEY_LIMIT_BYTES, be);
    return rc ? rc : xs_printf(0, path, "%lu", c->limit_bytes);
}
