/* SPDX-License-Identifier: MIT */
/* Figures that driver domains count are text in the store, which may be missing or damaged. */
#include "shell/lists.h"
#include <stdlib.h>
#include <store_keys.h>
#include "console/console.h"
#include "domain/bridge.h"
#include "store/devices.h"

void driver_problem(const struct dom *b)
{
    const char *open = b->problem[0] ? " (" : "it runs without ", *close = b->problem[0] ? ")" : "";

    if (b->without[0])
        out("%s: %s%s%s%s\n", b->cfg.name, b->problem, open, b->without, close);
    else if (b->problem[0])
        out("%s: %s\n", b->cfg.name, b->problem);
}

bool serves(const struct dom *b, const struct dom *d, enum dev_kind kind)
{
    for (unsigned i = 0; i < d->nr_devs; i++)
        if (d->dev[i].kind == kind && d->dev[i].back == b->id)
            return true;
    return false;
}

/* A detach was not waited for to its end. */
static void leaving_list(const struct dom *d, enum dev_kind kind, const struct dom *by)
{
    for (const struct dom_dev *v = d->dev; v < d->dev + d->nr_devs; v++) {
        if (v->kind != kind || (by && v->back != by->id))
            continue;
        if (kind == DEV_VIF && d->cfg.vif[v->index].leaving)
            out("%s: %s is being closed: network-detach %s %u waits for that again\n", d->cfg.name,
                dev_text(d, v), d->cfg.name, v->devid);
        else if (kind == DEV_VBD && d->cfg.disk[v->index].leaving)
            out("%s: %s is being closed: block-detach %s %s waits for that again, with --force it is taken away\n",
                d->cfg.name, dev_text(d, v), d->cfg.name, d->cfg.disk[v->index].vdev);
    }
}

static void stalled_list(const struct dom *d, enum dev_kind kind, const struct dom *by)
{
    char why[DEV_WORD];

    leaving_list(d, kind, by);
    for (const struct dom_dev *v = d->dev; v < d->dev + d->nr_devs; v++)
        if (v->kind == kind && v->stalled && (!by || v->back == by->id) &&
            dev_word(d, v, BH_KEY_STALLED, why))
            out("%s: %s stands still: %s\n", d->cfg.name, dev_text(d, v), why);
}

void list_stalled(const struct dom *d, enum dev_kind kind) { stalled_list(d, kind, NULL); }

void list_problems(const struct dom *d, enum dev_kind kind)
{
    for (const struct dom *b = doms; b; b = b->next)
        if (b == d || serves(b, d, kind))
            driver_problem(b);
    for (const struct dom *o = doms; o; o = o->next)
        stalled_list(o, kind, o == d ? NULL : d);
}

long list_number(const char *dir, const char *key)
{
    char path[DEV_PATH + 32];
    uint64_t v;

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    return xs_read_uint(0, path, &v) ? -1 : (long)v;
}

long list_queue_number(const char *fe, const char *key, const char *alias)
{
    char queue[DEV_PATH + 16];

    snprintf(queue, sizeof(queue), "%s/queue-0", fe);
    const char *dirs[] = { fe, queue };
    for (unsigned i = 0; i < 2; i++) {
        long v = list_number(dirs[i], key);
        if (v < 0)
            v = list_number(dirs[i], alias);
        if (v >= 0)
            return v;
    }
    return -1;
}

bool list_numbers(const char *dir, const char *key, uint64_t *n, unsigned nr)
{
    char path[DEV_PATH + 32], *end;

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    char *text = xs_read(0, path), *p = text;
    bool any = text && *text;
    for (unsigned i = 0; i < nr; i++, p = end) {
        end = p;
        n[i] = p ? strtoul(p, &end, 10) : 0;
    }
    free(text);
    return any;
}

bool list_uplink(const struct dom *b, unsigned bridge, uint64_t n[BH_NET_STATS])
{
    static const char *const keys[SLOT_BRIDGES] = BH_KEY_UPLINKS;
    char dir[32];

    snprintf(dir, sizeof(dir), "/local/domain/%u", b->id);
    return list_numbers(dir, keys[bridge], n, BH_NET_STATS);
}

const char *list_bridge(const struct dom *d, const struct dom_dev *v)
{
    const char *name = vif_bridge(dom_by_id(v->back), &d->cfg.vif[v->index]);

    return *name ? name : "-";
}
