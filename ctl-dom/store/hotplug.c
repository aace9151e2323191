/* SPDX-License-Identifier: MIT */
/*
 * block-attach, block-detach and block-limit: disks come and go while a guest runs, by the ordinary closing
 * (docs/restart-protocol.md 7). What is attached belongs to the configuration from then on, so a reboot keeps it.
 *
 * It is also how Linux gets a disk back whose driver was unbound: a blkfront that is bound again
 * finds its own state Closed and waits for ever, the device must be a new one. Between the two
 * commands Linux must have looked, or the old device stays (docs/linux-pvh.md 12).
 */
#include "store/hotplug.h"
#include <errno.h>
#include <string.h>
#include <xen/io/xenbus.h>
#include "console/console.h"
#include "domain/slots.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/nodes.h"

#define CLOSE_WAIT_NS 10000000000ull
#define LOOK_NS       2000000ull

static void add_nodes(struct txn *t, struct dom *d, void *arg) { dev_nodes(t, d, arg); }

static void remove_nodes(struct txn *t, struct dom *d, void *arg)
{
    char be[DEV_PATH], fe[DEV_PATH];

    dev_paths(d, arg, be, fe);
    no_node(t, "%s", be);
    no_node(t, "%s", fe);
}

/* Out of the table of devices and out of the configuration, whose later disks move up. */
static void forget(struct dom *d, struct dom_dev *v)
{
    unsigned disk = v->index, at = (unsigned)(v - d->dev);

    for (unsigned i = disk + 1; i < d->cfg.nr_disks; i++)
        d->cfg.disk[i - 1] = d->cfg.disk[i];
    d->cfg.nr_disks--;
    for (unsigned i = at + 1; i < d->nr_devs; i++)
        d->dev[i - 1] = d->dev[i];
    d->nr_devs--;
    for (unsigned i = 0; i < d->nr_devs; i++)
        if (d->dev[i].kind == DEV_VBD && d->dev[i].index > disk)
            d->dev[i].index--;
}

/* --- attach ------------------------------------------------------------------------------------ */
static int attach(struct dom *d, const char *spec, struct errbuf *e)
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
    d->cfg.nr_disks++;
    d->nr_devs++;
    rc = slot_attach(d, v, e);
    if (!rc)
        rc = commit(d, add_nodes, v, e);
    if (!rc) {
        slot_attached(d, v);
        rc = wait_backend(d, v, e);
    }
    if (rc) {
        struct errbuf ignored;
        slot_detaching(d, v);
        (void)commit(d, remove_nodes, v, &ignored);
        slot_remove(d, v);
        forget(d, v);
    }
    return rc;
}

/* --- detach ------------------------------------------------------------------------------------ */
/* force: without waiting for the guest, whose requests in flight may be lost. */
static int detach(struct dom *d, struct dom_dev *v, bool force, struct errbuf *e)
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16];
    uint64_t end = now_ns() + CLOSE_WAIT_NS, is;

    dev_paths(d, v, be, fe);
    snprintf(path, sizeof(path), "%s/online", be);
    slot_detaching(d, v);
    d->cfg.disk[v->index].leaving = true;
    int rc = xs_write(0, path, "0");
    while (!rc && !force && (is = backend_state(d, v)) && is != XenbusStateClosed) {
        if (now_ns() >= end)
            rc = -ETIME;
        con_wait(now_ns() + LOOK_NS);
    }
    if (rc == -ETIME)
        return fail(e, rc, "%s: disk %s: is being closed, but the guest still has it (--force does not wait)",
                    d->cfg.name, d->cfg.disk[v->index].vdev);
    if (!rc)
        rc = commit(d, remove_nodes, v, e);
    else
        fail(e, rc, "%s: store: %s", d->cfg.name, errno_text(rc));
    if (!rc) {
        slot_remove(d, v);
        forget(d, v);
    }
    return rc;
}

/* --- commands ---------------------------------------------------------------------------------- */
static struct dom *guest(const char *name)
{
    struct errbuf e;
    struct dom *d = dom_find(name, &e);

    if (d && d->cfg.role != BH_ROLE_GUEST) {
        fail(&e, 0, "%s: is a service domain", d->cfg.name);
        d = NULL;
    } else if (d && !store_up) {
        fail(&e, 0, "%s: the store is not running", d->cfg.name);
        d = NULL;
    }
    if (!d)
        out("%s\n", e.s);
    return d;
}

void cmd_block_attach(int argc, char **argv)
{
    struct errbuf e;
    struct dom *d = guest(argv[1]);

    (void)argc;
    if (d && attach(d, argv[2], &e))
        out("%s\n", e.s);
}

void cmd_block_detach(int argc, char **argv)
{
    struct errbuf e;
    struct dom *d = guest(argv[1]);
    struct dom_dev *v = d ? disk_of(d, argv[2]) : NULL;
    bool force = argc > 3 && !strcmp(argv[3], "--force");

    if (argc > 3 && !force)
        out("block-detach: unknown word '%s'\n", argv[3]);
    else if (d && !v)
        out("%s: has no disk %s\n", d->cfg.name, argv[2]);
    else if (d && detach(d, v, force, &e))
        out("%s\n", e.s);
}

/* --- limits ------------------------------------------------------------------------------------ */
/* "ops=500" or "bytes=10M" to the configuration, so that it also holds when the guest is made again. */
static bool limit_parse(struct cfg_disk *c, const char *word)
{
    if (!strncmp(word, "ops=", 4))
        return config_amount(word + 4, &c->limit_ops);
    return !strncmp(word, "bytes=", 6) && config_amount(word + 6, &c->limit_bytes);
}

static int limit_write(const struct dom *d, const struct dom_dev *v, const struct cfg_disk *c)
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16];

    dev_paths(d, v, be, fe);
    snprintf(path, sizeof(path), "%s/bh-limit-ops", be);
    int rc = xs_printf(0, path, "%lu", c->limit_ops);
    snprintf(path, sizeof(path), "%s/bh-limit-bytes", be);
    return rc ? rc : xs_printf(0, path, "%lu", c->limit_bytes);
}

void cmd_block_limit(int argc, char **argv)
{
    struct errbuf e;
    struct dom *d = dom_find(argv[1], &e);
    const struct dom_dev *v = d ? disk_of(d, argv[2]) : NULL;

    if (!v) {
        if (d)
            fail(&e, 0, "%s: has no disk %s", d->cfg.name, argv[2]);
        out("%s\n", e.s);
        return;
    }
    struct cfg_disk c = d->cfg.disk[v->index];
    for (int i = 3; i < argc; i++)
        if (!limit_parse(&c, argv[i])) {
            out("block-limit: bad '%s' (ops=N or bytes=N, as 500 or 10M)\n", argv[i]);
            return;
        }
    if (argc == 3)
        out("%s %s: ops=%lu bytes=%lu%s\n", d->cfg.name, c.vdev, c.limit_ops, c.limit_bytes,
            c.limit_ops || c.limit_bytes ? "" : " (no limit)");
    else if (!store_up)
        out("%s: the store is not running\n", d->cfg.name);
    else {
        d->cfg.disk[v->index] = c;
        slot_limits(d, v); /* the nodes only say that there is something to look at */
        if (limit_write(d, v, &c))
            out("%s: the store does not take the limit, it holds from the next change on\n", d->cfg.name);
    }
}
