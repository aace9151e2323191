/* SPDX-License-Identifier: MIT */
/* An attach: slot table, the back-end's nodes, its answer, the front-end's. A detach: the back-end lets go or is told that it must, then nodes and table. Called
 * by the shell. */
#include "store/hotplug.h"
#include <errno.h>
#include <store_keys.h>
#include <string.h>
#include <xen/io/xenbus.h>
#include "console/console.h"
#include "console/patience.h"
#include "domain/identity.h"
#include "domain/slots.h"
#include "job/job.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/linux.h"
#include "store/nodes.h"

#define CLOSE_WAIT_NS   10000000000ull
#define REFUSED_WAIT_NS 2000000000ull
#define LEFT_WAIT_NS    100000000ull
#define UNSEEN_NS \
    1000000000ull /* a guest that has not looked for so long does not see a disk go and come */
#define LOOK_NS 2000000ull

static void add_back(struct txn *t, struct dom *d, void *arg) { dev_back_nodes(t, d, arg); }
static void add_front(struct txn *t, struct dom *d, void *arg) { dev_front_nodes(t, d, arg); }
static void add_both(struct txn *t, struct dom *d, void *arg) { dev_nodes(t, d, arg); }

static void remove_nodes(struct txn *t, struct dom *d, void *arg)
{
    char be[DEV_PATH], fe[DEV_PATH];

    dev_paths(d, arg, be, fe);
    no_node(t, "%s", be);
    no_node(t, "%s", fe);
}

/* --- changes of the two tables ------------------------------------------------------------------- */
static void change_begins(struct dom *d, enum dev_kind kind)
{
    d->was.kind = kind;
    d->was.nr_disks = d->cfg.nr_disks;
    d->was.nr_vifs = d->cfg.nr_vifs;
    d->was.nr_devs = d->nr_devs;
    if (kind == DEV_VBD)
        memcpy(d->was.disk, d->cfg.disk, sizeof(d->was.disk));
    else
        memcpy(d->was.vif, d->cfg.vif, sizeof(d->was.vif));
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

void plug_put_back(struct dom *d)
{
    if (!d->changing)
        return;
    d->cfg.nr_disks = d->was.nr_disks;
    d->cfg.nr_vifs = d->was.nr_vifs;
    d->nr_devs = d->was.nr_devs;
    if (d->was.kind == DEV_VBD)
        memcpy(d->cfg.disk, d->was.disk, sizeof(d->was.disk));
    else
        memcpy(d->cfg.vif, d->was.vif, sizeof(d->was.vif));
    memcpy(d->dev, d->was.dev, sizeof(d->was.dev));
    change_ends(d);
}

/* Out of the table of devices and out of the configuration, whose later disks or vifs move up. */
static void forget(struct dom *d, struct dom_dev *v)
{
    enum dev_kind kind = v->kind;
    unsigned index = v->index, at = (unsigned)(v - d->dev);

    change_begins(d, kind);
    if (kind == DEV_VBD)
        memmove(d->cfg.disk + index, d->cfg.disk + index + 1,
                (--d->cfg.nr_disks - index) * sizeof(d->cfg.disk[0]));
    else
        memmove(d->cfg.vif + index, d->cfg.vif + index + 1,
                (--d->cfg.nr_vifs - index) * sizeof(d->cfg.vif[0]));
    for (unsigned i = at + 1; i < d->nr_devs; i++)
        d->dev[i - 1] = d->dev[i];
    d->nr_devs--;
    for (unsigned i = 0; i < d->nr_devs; i++)
        if (d->dev[i].kind == kind && d->dev[i].index > index)
            d->dev[i].index--;
    change_ends(d);
}

/* A Linux does not look at `online` before its front-end has closed, which by this sees that it is to. */
static int ask_front(const struct dom *d, const struct dom_dev *v, const char *be)
{
    uint64_t is = backend_state(d, v);
    char path[DEV_PATH + 16];

    snprintf(path, sizeof(path), "%s/state", be);
    return is && is < XenbusStateClosing ? xs_printf(0, path, "%d", XenbusStateClosing) : 0;
}

/* Asks v's back-end to let go, and waits for it. 0, -ETIME, -EINTR (Ctrl-C), or what the store says. */
static int let_go(struct dom *d, struct dom_dev *v, uint64_t wait_ns)
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16];
    const struct dom *b = dom_by_id(v->back);
    struct patience p;
    uint64_t is;

    if (dev_lost(v)) /* nobody has it */
        return 0;
    dev_paths(d, v, be, fe);
    snprintf(path, sizeof(path), "%s/online", be);
    slot_detaching(d, v);
    patience_begin(&p, PATIENCE_NS, dev_patience(v, wait_ns));
    int rc = xs_write(0, path, "0");
    if (!rc && v->foreign)
        rc = ask_front(d, v, be);
    while (!rc && (is = backend_state(d, v)) && is != XenbusStateClosed) {
        if (now_ns() >= p.until)
            return -ETIME;
        if (patience_ends(&p, "%s: %s: waits for %s%s to close it", d->cfg.name, dev_text(d, v),
                          v->kind == DEV_VBD ? "its front-end, then " : "",
                          b ? b->cfg.name : "its back-end"))
            return -EINTR;
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
    if (v->foreign) /* the guest may have seen it */
        d->left_ns = now_ns();
    forget(d, v);
}

/* Where a disk of the same number comes before Linux saw that the last one went, it finds that and does nothing, for ever. */
static void wait_until_seen(const struct dom *d, const struct dom_dev *v)
{
    while (v->kind == DEV_VBD && now_ns() < d->left_ns + UNSEEN_NS)
        job_wait(d->left_ns + UNSEEN_NS);
}

/* What both kinds wait for. Nothing of an attach that failed stays. */
static int attach(struct dom *d, struct dom_dev *v, struct errbuf *e)
{
    int rc = slot_attach(d, v, e);

    if (!rc && v->foreign)
        wait_until_seen(d, v);
    if (!rc)
        /* A Linux's back-end lets go of a device whose front-end has no state. */
        rc = commit(d, v->foreign ? add_both : add_back, v, e);
    if (!rc) {
        slot_attached(d, v);
        rc = wait_backend(d, v, e);
    }
    if (!rc)
        wait_until_seen(d, v);
    /* Only now: a front-end that closes what was refused might do so when the nodes are those of the next one. */
    if (!rc && !v->foreign)
        rc = commit(d, add_front, v, e);
    if (rc)
        undo(d, v);
    else
        v->plugging = v->coming = false;
    return rc;
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
    change_begins(d, DEV_VBD);
    v->plugging = true; /* whoever finds it so undoes it */
    d->cfg.nr_disks++;
    d->nr_devs++;
    change_ends(d);
    return attach(d, v, e);
}

/* Whether nobody on that bridge has the address already. */
static int address_free(const struct dom *d, const struct cfg_vif *c, struct errbuf *e)
{
    static struct domcfg one;

    memset(&one, 0, sizeof(one));
    memcpy(one.name, d->cfg.name, sizeof(one.name));
    one.vif[0] = *c;
    one.nr_vifs = 1;
    return identity_check(&one, e);
}

int vif_attach(struct dom *d, char *spec, struct errbuf *e)
{
    unsigned n = d->cfg.nr_vifs;
    struct cfg_vif c;
    char why[160];

    if (config_vif(&c, spec, why, sizeof(why)))
        return fail(e, -EINVAL, "%s: vif: %s", d->cfg.name, why);
    if (n == CFG_MAX_VIFS)
        return fail(e, -ENOSPC, "%s: vif: more than %d", d->cfg.name, CFG_MAX_VIFS);
    int rc = address_free(d, &c, e);
    if (rc)
        return rc;
    d->cfg.vif[n] = c;
    struct dom_dev *v = &d->dev[d->nr_devs];
    rc = vif_resolve(d, n, v, e);
    if (rc)
        return rc;
    change_begins(d, DEV_VIF);
    v->devid = d->next_vif++; /* a number that Linux has not seen */
    v->coming = true;
    d->cfg.nr_vifs++;
    d->nr_devs++;
    identity_fill(d);
    change_ends(d);
    return attach(d, v, e);
}

/* --- detach ------------------------------------------------------------------------------------ */
/* wait_ns 0: without waiting. */
static int detach(struct dom *d, struct dom_dev *v, uint64_t wait_ns, struct errbuf *e)
{
    if (v->kind == DEV_VBD)
        d->cfg.disk[v->index].leaving = true;
    else
        d->cfg.vif[v->index].leaving = true;
    int rc = let_go(d, v, wait_ns);
    if (rc == -ETIME && !wait_ns)
        rc = 0;
    if (rc == -ETIME || rc == -EINTR)
        return fail(e, rc, "%s: %s: is being closed, but %s", d->cfg.name, dev_text(d, v),
                    v->kind == DEV_VBD ? "the guest still has it (--force does not wait)"
                                       : "its driver domain still has it");
    if (!rc)
        rc = commit(d, remove_nodes, v, e);
    else
        fail(e, rc, "%s: store: %s", d->cfg.name, errno_text(rc));
    if (!rc) {
        if (v->kind == DEV_VBD)
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

int vif_detach(struct dom *d, struct dom_dev *v, struct errbuf *e)
{
    return detach(d, v, CLOSE_WAIT_NS, e);
}

/* --- after a death of ours ----------------------------------------------------------------------- */
static bool is_leaving(const struct dom *d, const struct dom_dev *v)
{
    return v->kind == DEV_VBD ? d->cfg.disk[v->index].leaving : d->cfg.vif[v->index].leaving;
}

void plug_settle(struct dom *d)
{
    for (unsigned i = d->nr_devs; i-- > 0;) {
        struct dom_dev *v = &d->dev[i];
        struct errbuf ignored;
        if (v->coming || (v->kind == DEV_VBD && v->plugging))
            undo(d, v);
        else if (is_leaving(d, v))
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
