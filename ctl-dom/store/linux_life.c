/* SPDX-License-Identifier: MIT */
/* Each step may be the last one of this instance: a device is lost by one store (back), and is so until the next back-end's domid stands there. */
#include "store/linux_life.h"
#include <errno.h>
#include "console/console.h"
#include "job/job.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/linux.h"
#include "store/nodes.h"

#define UNSEEN_NS \
    1000000000ull /* as long may a guest not have looked: it must see that a vif went before that number comes again */

static bool look = true; /* a former instance may have left something */

void linux_look(void) { look = true; }

/* --- one that ends ------------------------------------------------------------------------------ */
/* A driver domain's nodes are written anew only when there is somebody: it looks at them all the time. */
static bool is_unplugged_from(const struct dom *d, const struct dom_dev *v)
{
    return v->kind == DEV_VIF && d->cfg.role == BH_ROLE_GUEST;
}

static void unplug_nodes(struct txn *t, struct dom *d, void *arg)
{
    const struct dom_dev *v = arg;
    char be[DEV_PATH], fe[DEV_PATH];

    dev_paths(d, v, be, fe);
    no_node(t, "%s", be);
    if (is_unplugged_from(d, v))
        no_node(t, "%s", fe);
}

static int unplug(struct dom *d, struct dom_dev *v)
{
    struct errbuf e;
    int rc = commit(d, unplug_nodes, v, &e);

    if (rc)
        return rc;
    d->left_ns = now_ns();
    v->unplugged = true;
    return 0;
}

void linux_gone(const struct dom *b)
{
    for (struct dom *d = doms; d; d = d->next)
        for (struct dom_dev *v = d->dev; v < d->dev + d->nr_devs; v++) {
            if (!v->foreign || v->back != b->id)
                continue;
            v->unplugged = false;
            look = true;
            if (store_up)
                (void)unplug(d, v);
            WRITE_ONCE(v->back, NO_DOMID);
            if (d->ending)
                continue;
            if (v->kind == DEV_VIF || d->cfg.role == BH_ROLE_DRIVER)
                say("%s: %s is unplugged until there is a %s again", d->cfg.name, dev_text(d, v),
                    b->cfg.name);
            else
                say("%s: %s stands still: %s ended: when that is back, block-detach with --force, and block-attach",
                    d->cfg.name, dev_text(d, v), b->cfg.name);
        }
}

/* --- the next one ------------------------------------------------------------------------------ */
static void plug_nodes(struct txn *t, struct dom *d, void *arg)
{
    const struct dom_dev *v = arg;
    char be[DEV_PATH], fe[DEV_PATH];

    dev_paths(d, v, be, fe);
    no_node(t, "%s", fe);
    dev_nodes(t, d, v);
}

static int plug(struct dom *d, struct dom_dev *v, const struct dom *b)
{
    struct dom_dev new = *v;
    struct errbuf e;

    new.back = b->id;
    uint64_t is = backend_state(d, &new);
    while (is_unplugged_from(d, v) && now_ns() < d->left_ns + UNSEEN_NS)
        job_wait(d->left_ns + UNSEEN_NS);
    /* A former instance of ours may have ended behind its commit. */
    int rc = is == BACKEND_SILENT ? -ETIME : is ? 0 : commit(d, plug_nodes, &new, &e);
    if (rc)
        return rc;
    say("%s: %s is plugged again: %s is domain %u now", d->cfg.name, dev_text(d, v), b->cfg.name,
        b->id);
    WRITE_ONCE(v->back, b->id);
    v->unplugged = false;
    return 0;
}

/* The one that is there of that name, and can be told of a client. */
static const struct dom *next_of(const struct dom *d, const struct dom_dev *v)
{
    const struct dom *b = linux_by_name(v->kind == DEV_VIF ? d->cfg.vif[v->index].backend
                                                           : d->cfg.disk[v->index].backend);

    return b && b->in_store && b->introduced && !b->ending && b->state == DOM_UP ? b : NULL;
}

static int mend(struct dom *d, struct dom_dev *v)
{
    int rc = v->unplugged ? 0 : unplug(d, v);
    const struct dom *b = rc ? NULL : next_of(d, v);
    bool stays = v->kind == DEV_VBD &&
                 d->cfg.role == BH_ROLE_GUEST; /* its requests in flight are lost */

    return b && !stays ? plug(d, v, b) : rc;
}

bool linux_work(void)
{
    if (!look || !store_up)
        return false;
    look = false;
    for (struct dom *d = doms; d; d = d->next)
        for (struct dom_dev *v = d->dev; v < d->dev + d->nr_devs; v++)
            if (dev_lost(v) && d->in_store && !d->ending && mend(d, v)) {
                look = true; /* when the store is back something comes */
                return false;
            }
    return true;
}
