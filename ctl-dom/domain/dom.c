/* SPDX-License-Identifier: MIT */
/* The table of domains that this control domain made, the names of slots, and who is a driver domain. */
#include "domain/dom.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "domain/records.h"

_Static_assert(sizeof(struct dom) <= RECORD_SIZE, "a record holds a domain");
_Static_assert(sizeof(struct slot_entry) * SLOT_ENTRIES == TABLE_SIZE, "a driver domain's table");

struct dom *doms;

struct dom *dom_by_id(domid_t id)
{
    for (struct dom *d = doms; d; d = d->next)
        if (d->id == id)
            return d;
    return NULL;
}

struct dom *dom_by_name(const char *name)
{
    char *end;
    unsigned long id = strtoul(name, &end, 10);

    for (struct dom *d = doms; d; d = d->next)
        if (!strcmp(d->cfg.name, name))
            return d;
    return *name >= '0' && *name <= '9' && !*end && id < DOMID_FIRST_RESERVED
               ? dom_by_id((domid_t)id)
               : NULL;
}

struct dom *dom_find(const char *name, struct errbuf *e)
{
    struct dom *d = dom_by_name(name);

    if (!d)
        fail(e, -ESRCH,
             !strcmp(name, "control") || !strcmp(name, "0") ? "%s: not for the control domain itself"
                                                            : "%s: no such domain",
             name);
    return d;
}

static void list(struct dom *d)
{
    struct dom **at = &doms;

    while (*at && (*at)->id < d->id)
        at = &(*at)->next;
    d->next = *at;
    *at = d;
}

struct dom *dom_new(domid_t id, const struct domcfg *cfg)
{
    struct slot_entry *slots = cfg->role == BH_ROLE_DRIVER ? record_table(id) : NULL;
    struct dom *d = slots || cfg->role != BH_ROLE_DRIVER ? record_new() : NULL;

    if (!d)
        return NULL;
    if (slots)
        memset(slots, 0, TABLE_SIZE);
    d->id = id;
    d->cfg = *cfg;
    d->slots = slots;
    record_keep(d, RECORD_DOM);
    list(d);
    return d;
}

void dom_forget(struct dom *d)
{
    for (struct dom **at = &doms; *at; at = &(*at)->next)
        if (*at == d) {
            *at = d->next;
            break;
        }
    free(d->boot_block);
    free(d->con.log);
    record_free(d);
}

/* A slot's domid belongs to one name until the machine ends: peers of the dead one may still hold grants and ports for it. */
domid_t slot_for(const struct domcfg *cfg)
{
    char(*name)[BH_NAME_LEN] = record_slot_name;
    domid_t id;

    switch (cfg->role) {
    case BH_ROLE_GUEST: return BH_DOMID_ANY;
    case BH_ROLE_STORE: id = BH_DOMID_STORE; break;
    case BH_ROLE_PCIBACK: id = BH_DOMID_PCIBACK; break;
    default:
        for (id = BH_FIRST_DRIVER; id < BH_FIRST_GUEST; id++)
            if (!name[id][0] || !strcmp(name[id], cfg->name))
                break;
        if (id == BH_FIRST_GUEST)
            return NO_DOMID;
    }
    if (name[id][0] && strcmp(name[id], cfg->name) != 0)
        return NO_DOMID;
    memcpy(name[id], cfg->name, BH_NAME_LEN);
    return id;
}

struct dom *driver_by_name(const char *name, const char *image)
{
    struct dom *b = dom_by_name(name);

    return b && b->cfg.role == BH_ROLE_DRIVER && !strcmp(b->cfg.image, image) ? b : NULL;
}

/* What everybody relies on. Whatever ended the former instance may have written there first. */
static bool sound(const struct dom *d)
{
    const struct domcfg *c = &d->cfg;
    bool is = d->id != BH_DOMID_CONTROL && d->id < DOMID_FIRST_RESERVED && !dom_by_id(d->id) &&
              config_sound(c) && d->nr_devs <= ARRAY_SIZE(d->dev) &&
              d->was.nr_disks <= CFG_MAX_DISKS && d->was.nr_vifs <= CFG_MAX_VIFS &&
              d->was.nr_devs <= ARRAY_SIZE(d->dev);

    for (unsigned i = 0; is && i < c->nr_bridges; i++)
        is = memchr(c->bridge[i].name, 0, sizeof(c->bridge[i].name));
    for (unsigned i = 0; is && i < d->nr_devs; i++)
        is = d->dev[i].index < (d->dev[i].kind == DEV_VIF ? CFG_MAX_VIFS : CFG_MAX_DISKS);
    return is && !dom_by_name(c->name);
}

unsigned dom_find_all(void)
{
    unsigned unsound = 0;

    for (struct dom *d = record_next(NULL, RECORD_DOM); d; d = record_next(d, RECORD_DOM)) {
        if (d->renames) /* what it is called in the store, adopt.c looks after */
            memcpy(d->cfg.name, d->renamed, sizeof(d->cfg.name));
        if (!sound(d)) {
            record_free(d);
            unsound++;
            continue;
        }
        memset(&d->con, 0, sizeof(d->con));
        d->img = NULL;
        d->boot_block = NULL;
        d->slots = d->cfg.role == BH_ROLE_DRIVER ? record_table(d->id) : NULL;
        list(d);
    }
    return unsound;
}
