/* SPDX-License-Identifier: MIT */
/* An entry is changed in the table first (SLOT_WRITE) and then in the copy, which so never says more than was stored; its head comes last when something
 * comes and first when it goes. */
#include "domain/slots.h"
#include <errno.h>
#include <string.h>
#include "console/console.h"
#include "domain/bridge.h"

int slots_init(struct dom *b, uint64_t gfn)
{
    struct bh_protect p = { .domid = b->id, .gfn = gfn, .nr = SLOT_PAGES };

    b->slots_gpa = gfn << PAGE_SHIFT;
    return (int)bh_ctl_protect(&p);
}

/* --- entries ---------------------------------------------------------------------------------- */
/* len bytes at off of *new go to the place of e in the table, word by word in ascending order, and
 * then into our copy, which so never says more than was done. */
static int store(struct dom *b, struct slot_entry *e, const struct slot_entry *new, size_t off,
                 size_t len)
{
    struct bh_write w = { .domid = b->id,
                          .gpa = b->slots_gpa + (uint64_t)(e - b->slots) * sizeof(*e) + off,
                          .src = (uint64_t)((const char *)new + off),
                          .len = len };

    WRITE_ONCE(b->slot_at, (unsigned)(e - b->slots)); /* first: slots_again */
    wmb();
    int rc = (int)bh_ctl_slot_write(&w);
    if (rc)
        say("%s: its slot table cannot be written: %s", b->cfg.name, errno_text(rc));
    else
        memcpy((char *)e + off, (const char *)new + off, len);
    return rc;
}

/* How many entries there are; b may be NULL. */
static unsigned nr_slots(const struct dom *b)
{
    return b && b->slots && b->slots_gpa ? SLOT_ENTRIES : 0;
}

void slots_again(struct dom *b)
{
    if (b->slot_at >= nr_slots(b))
        return;
    struct slot_entry is = { .head = b->slots[b->slot_at].head };
    (void)store(b, &b->slots[b->slot_at], &is, 0, sizeof(is.head));
}

static int set_state(struct dom *b, struct slot_entry *e, enum slot_state state)
{
    struct slot_entry new = { .head = slot_head(state, slot_kind(e), slot_gen(e)) };

    return store(b, e, &new, 0, sizeof(new.head));
}

static enum slot_kind kind_of(const struct dom_dev *v)
{
    return v->kind == DEV_VIF ? SLOT_VIF : SLOT_VBD;
}

static struct slot_entry *find(struct dom *b, domid_t id, const struct dom_dev *v)
{
    for (unsigned i = 0; i < nr_slots(b); i++) {
        struct slot_entry *e = &b->slots[i];
        if (slot_live(e) && slot_kind(e) == kind_of(v) && e->domid == id && e->devid == v->devid)
            return e;
    }
    return NULL;
}

/* Entries that stayed, since a back-end had not let go of a guest that was destroyed: once the core
 * has nothing left of that guest, it did, or was fenced. */
static void reap(struct dom *b)
{
    for (unsigned i = 0; i < nr_slots(b); i++) {
        struct slot_entry *e = &b->slots[i];
        struct bh_dominfo di = { .domid = e->domid };
        if (slot_state(e) != SLOT_DETACHING || dom_by_id(e->domid))
            continue;
        if (bh_ctl_info(&di) || di.domid != e->domid)
            (void)set_state(b, e, SLOT_ABSENT);
    }
}

bool slots_drop(domid_t id)
{
    bool all = true;

    for (struct dom *b = doms; b; b = b->next)
        for (unsigned i = 0; i < nr_slots(b); i++)
            if (slot_live(&b->slots[i]) && b->slots[i].domid == id)
                all &= !set_state(b, &b->slots[i], SLOT_ABSENT);
    return all;
}

static struct slot_entry *unused(struct dom *b)
{
    reap(b);
    for (unsigned i = 0; i < nr_slots(b); i++)
        if (!slot_live(&b->slots[i]))
            return &b->slots[i];
    return NULL;
}

static void fill(struct slot_entry *e, const struct dom *d, const struct dom_dev *v, int bridge)
{
    memset(e, 0, sizeof(*e));
    e->domid = d->id;
    e->devid = v->devid;
    if (v->kind == DEV_VIF) {
        const struct cfg_vif *c = &d->cfg.vif[v->index];
        e->flags = c->any ? 0 : SLOT_F_MAC;
        memcpy(e->mac, c->mac, sizeof(e->mac)); /* its back-end enforces it */
        e->vif = c->slot;
        e->vif.bridge = (uint8_t)bridge;
        e->limit_bytes = c->rate;
        e->limit_burst = c->rate * c->rate_us / 1000000;
        return;
    }
    const struct cfg_disk *c = &d->cfg.disk[v->index];
    e->flags = (uint16_t)((c->mode[0] == 'w' ? SLOT_F_WRITE : 0u) |
                          (c->mode[1] == '!' ? SLOT_F_FORCE : 0u) |
                          (c->no_discard ? 0u : SLOT_F_DISCARD));
    e->limit_ops = c->limit_ops;
    e->limit_bytes = c->limit_bytes;
    snprintf(e->spec, sizeof(e->spec), "%s", c->volume);
}
_Static_assert(sizeof(((struct cfg_disk *)0)->volume) <= SLOT_SPEC, "a volume's name fits");

/* --- the steps -------------------------------------------------------------------------------- */
int slot_attach(const struct dom *d, const struct dom_dev *v, struct errbuf *err)
{
    struct dom *b = dom_by_id(v->back);
    struct slot_entry *e = find(b, d->id, v);
    const struct cfg_vif *c = v->kind == DEV_VIF ? &d->cfg.vif[v->index] : NULL;

    if (b && v->foreign) /* it has none: its nodes are all that it is told */
        return 0;
    if (!nr_slots(b))
        return fail(err, -ENOENT, "%s: its back-end is gone", d->cfg.name);
    int bridge = c ? bridge_find(b, c) : 0;
    if (bridge < 0) /* it is another one than at first */
        return fail(err, -ENOENT, "%s: %s has no bridge %s any more", d->cfg.name, b->cfg.name,
                    c->bridge);
    if (!e)
        e = unused(b);
    if (!e)
        return fail(err, -ENOSPC, "%s: %s has as many devices as it can", d->cfg.name, b->cfg.name);
    struct slot_entry new;
    fill(&new, d, v, bridge);
    new.head = slot_head(SLOT_ABSENT, kind_of(v), ++b->slot_gen);
    int rc = store(b, e, &new, 0, sizeof(new.head));
    if (!rc)
        rc = store(b, e, &new, sizeof(new.head), sizeof(new) - sizeof(new.head));
    if (!rc)
        rc = set_state(b, e, SLOT_ATTACHING);
    return rc ? fail(err, rc, "%s: %s: %s", d->cfg.name, b->cfg.name, errno_text(rc)) : 0;
}

static void step(const struct dom *d, const struct dom_dev *v, enum slot_state state)
{
    struct dom *b = dom_by_id(v->back);
    struct slot_entry *e = find(b, d->id, v);

    if (e && slot_state(e) != state)
        (void)set_state(b, e, state);
}

void slot_attached(const struct dom *d, const struct dom_dev *v) { step(d, v, SLOT_ATTACHED); }
void slot_detaching(const struct dom *d, const struct dom_dev *v) { step(d, v, SLOT_DETACHING); }
void slot_remove(const struct dom *d, const struct dom_dev *v) { step(d, v, SLOT_ABSENT); }

void slot_limits(const struct dom *d, const struct dom_dev *v)
{
    const struct cfg_disk *c = &d->cfg.disk[v->index];
    struct dom *b = dom_by_id(v->back);
    struct slot_entry *e = find(b, d->id, v);

    struct slot_entry new = { .limit_ops = c->limit_ops, .limit_bytes = c->limit_bytes };

    if (e)
        (void)store(b, e, &new, offsetof(struct slot_entry, limit_ops), 16);
}

void slot_chance(const struct dom *d, const struct dom_dev *v)
{
    struct dom *b = dom_by_id(v->back);
    struct slot_entry *e = find(b, d->id, v);

    if (!e)
        return;
    struct slot_entry new = { .chances = e->chances + 1 };
    (void)store(b, e, &new, offsetof(struct slot_entry, chances), sizeof(new.chances));
}

uint32_t slot_gen_of(const struct dom *d, const struct dom_dev *v)
{
    const struct slot_entry *e = find(dom_by_id(v->back), d->id, v);

    return e ? slot_gen(e) : 0;
}

bool slot_wants_extent(const struct dom *d, const struct dom_dev *v)
{
    const struct slot_entry *e = v->kind == DEV_VBD ? find(dom_by_id(v->back), d->id, v) : NULL;

    return e && !e->nr;
}

void slot_extent(const struct dom *d, const struct dom_dev *v, uint64_t first, uint64_t nr)
{
    struct dom *b = dom_by_id(v->back);
    struct slot_entry *e = find(b, d->id, v);
    struct slot_entry new = { .first = first, .nr = nr };

    if (e && nr)
        (void)store(b, e, &new, offsetof(struct slot_entry, first), 16);
}
