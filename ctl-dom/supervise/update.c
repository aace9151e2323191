/* SPDX-License-Identifier: MIT */
/* A new one is kept before the old one goes: of two the later counts, whoever dies between. */
#include "supervise/update.h"
#include <errno.h>
#include <string.h>
#include "domain/records.h"

struct update {
    struct update *next;
    unsigned long nth;
    domid_t id;
    struct domcfg cfg;
};
_Static_assert(sizeof(struct update) <= RECORD_SIZE, "a record holds one");

static struct update *updates;

static struct update *find(domid_t id)
{
    struct update *u = updates;

    while (u && u->id != id)
        u = u->next;
    return u;
}

static void list(struct update *u)
{
    u->next = updates;
    updates = u;
}

static void drop(struct update *u)
{
    struct update **at = &updates;

    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    record_free(u);
}

int update_set(const struct dom *d, const struct domcfg *cfg, struct errbuf *e)
{
    struct update *old = find(d->id);
    struct update *u = record_left() < 2 ? NULL : record_new(); /* the last one: life.c */

    if (!u)
        return fail(e, -ENOSPC,
                    "%s: the control domain has no room for another configuration (ctl_mem= sets its size)",
                    d->cfg.name);
    u->nth = old ? old->nth + 1 : 0;
    u->id = d->id;
    u->cfg = *cfg;
    memcpy(u->cfg.uuid, d->cfg.uuid, sizeof(u->cfg.uuid));
    record_keep(u, RECORD_UPDATE);
    if (old)
        drop(old);
    list(u);
    return 0;
}

/* Less what a detach was asked for. */
static void as_it_is(const struct dom *d, struct domcfg *cfg)
{
    *cfg = d->cfg;
    cfg->nr_disks = 0;
    for (unsigned i = 0; i < d->cfg.nr_disks; i++)
        if (!d->cfg.disk[i].leaving)
            cfg->disk[cfg->nr_disks++] = d->cfg.disk[i];
    cfg->nr_vifs = 0;
    for (unsigned i = 0; i < d->cfg.nr_vifs; i++)
        if (!d->cfg.vif[i].leaving)
            cfg->vif[cfg->nr_vifs++] = d->cfg.vif[i];
}

void update_next(const struct dom *d, struct domcfg *cfg)
{
    const struct update *u = find(d->id);

    if (!u) {
        as_it_is(d, cfg);
        return;
    }
    *cfg = u->cfg;
    memcpy(cfg->name, d->cfg.name, sizeof(cfg->name)); /* it may have been renamed since */
}

void update_forget(const struct dom *d)
{
    struct update *u = find(d->id);

    if (u)
        drop(u);
}

void update_find_all(void)
{
    for (struct update *u = record_next(NULL, RECORD_UPDATE); u; u = record_next(u, RECORD_UPDATE)) {
        const struct dom *d = dom_by_id(u->id);
        struct update *other = find(u->id);
        if (!d || !config_sound(&u->cfg) ||
            memcmp(u->cfg.uuid, d->cfg.uuid, sizeof(u->cfg.uuid)) != 0 ||
            (other && other->nth > u->nth)) {
            record_free(u);
            continue;
        }
        if (other)
            drop(other);
        list(u);
    }
}
