/* SPDX-License-Identifier: MIT */
/*
 * Grant mappings: handles (maptrack), map, unmap, and what a restart does to them on both sides.
 *
 * A mapping is made under the mapper's maptrack lock from the pin to the record, so whoever holds that lock sees it wholly
 * or not at all. Removal: leaf cleared under the lock (MT_CLEARING), one flush per batch, then the pins.
 */
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "ipc/grant.h"
#include "mem/npt.h"
#include "domain/table.h"

#define COST_NEXT      32u   /* of finding the next domain: a step in a list */
#define GUEST_MAPPINGS 8192u /* a plain guest's limit; others: what the table holds */

static struct maptrack *track(struct domain *d, uint32_t handle)
{
    uint32_t n = d->grant.nr_maptrack;

    if (handle >= n)
        return NULL;
    handle = (uint32_t)clamp_nospec(handle, n);
    return &d->grant.maptrack[handle / MAPTRACK_PER_PAGE][handle % MAPTRACK_PER_PAGE];
}

static int16_t handle_alloc(struct domain *d, uint32_t *handle)
{
    struct grant_table *g = &d->grant;
    uint32_t limit = d->role == BH_ROLE_GUEST ? GUEST_MAPPINGS : MAPTRACK_PAGES * MAPTRACK_PER_PAGE;

    if (g->free_handle != MAPTRACK_NONE) {
        *handle = (uint32_t)g->free_handle;
        g->free_handle = track(d, *handle)->gfn;
        return GNTST_okay;
    }
    if (g->nr_maptrack >= limit || (!g->blank && !(g->blank = core_alloc_for(d))))
        return GNTST_no_space;
    struct maptrack **page = &g->maptrack[g->nr_maptrack / MAPTRACK_PER_PAGE];
    if (!*page && !(*page = core_alloc_for(d)))
        return GNTST_no_space;
    *handle = g->nr_maptrack++;
    return GNTST_okay;
}

static void handle_free(struct domain *d, uint32_t handle)
{
    *track(d, handle) = (struct maptrack){ .gfn = d->grant.free_handle };
    d->grant.free_handle = handle;
}

/* --- map ---------------------------------------------------------------------------------------------- */
static int16_t map_locked(struct domain *ld, struct domain *rd, struct gnttab_map_grant_ref *op)
{
    bool ro = op->flags & GNTMAP_readonly;
    uint64_t gfn = op->host_addr >> PAGE_SHIFT;
    uint32_t handle;
    mfn_t m;

    int16_t st = handle_alloc(ld, &handle);
    if (st != GNTST_okay)
        return st;
    st = grant_pin(rd, op->ref, ld->id, ro, &m);
    if (st != GNTST_okay)
        goto free_handle;
    int rc = p2m_set(ld, GFN(gfn), m, 0, ro ? P2M_GRANT_RO : P2M_GRANT_RW);
    if (rc) {
        grant_unpin(rd, op->ref, ro);
        st = rc == -ENOMEM ? GNTST_no_space : GNTST_bad_virt_addr;
        goto free_handle;
    }
    *track(ld, handle) = (struct maptrack){
        .ref = op->ref,
        .domid = rd->id,
        .flags = (uint8_t)(MT_USED | (ro ? MT_RO : 0)),
        .gfn = gfn,
    };
    op->handle = handle;
    op->dev_bus_addr = 0;
    return GNTST_okay;

free_handle:
    handle_free(ld, handle);
    return st;
}

void grant_map_one(struct domain *ld, struct gnttab_map_grant_ref *op)
{
    const uint32_t refused = GNTMAP_device_map | GNTMAP_application_map | GNTMAP_contains_pte;

    if (!(op->flags & GNTMAP_host_map)) {
        op->status = GNTST_bad_gntref;
        return;
    }
    if (op->flags & refused) {
        op->status = GNTST_general_error;
        return;
    }
    if (op->host_addr >> PAGE_SHIFT >= ld->p2m.max_gfn) {
        op->status = GNTST_bad_virt_addr;
        return;
    }
    struct domain *rd = domain_get(op->dom);
    if (!rd || rd->state == BH_DOM_DYING) {
        op->status = GNTST_bad_domain;
    } else {
        spin_lock(&ld->grant.maptrack_lock);
        op->status = map_locked(ld, rd, op);
        spin_unlock(&ld->grant.maptrack_lock);
    }
    if (rd)
        domain_put(rd);
}

/* --- unmap -------------------------------------------------------------------------------------------- */
struct undo {
    uint32_t handle;
    mfn_t m; /* what the leaf held, INVALID_MFN if it was gone */
};

/* Clears the leaf. `gfn` as the caller believes it; with `force` (its domain is torn down) whatever is recorded. */
static int16_t unmap_begin(struct domain *ld, uint32_t handle, uint64_t gfn, bool force,
                           struct undo *u)
{
    struct maptrack *mt = track(ld, handle);
    enum p2m_type t = P2M_NONE;

    if (!mt || !(mt->flags & MT_USED) || (mt->flags & MT_CLEARING))
        return GNTST_bad_handle;
    if (!force && mt->gfn != gfn)
        return GNTST_bad_virt_addr;
    u->handle = handle;
    u->m = INVALID_MFN;
    (void)p2m_lookup(ld, GFN(mt->gfn), &t);
    bool ours = t == P2M_GRANT_RO || t == P2M_GRANT_RW;
    if (!ours && !force)
        return GNTST_bad_virt_addr;
    if (ours && p2m_clear(ld, GFN(mt->gfn), &u->m, &t))
        u->m = INVALID_MFN;
    mt->flags |= MT_CLEARING;
    return GNTST_okay;
}

/* After the flush. A record with MT_CLEARING is this caller's alone. */
static void unmap_finish(struct domain *ld, const struct undo *u)
{
    struct maptrack mt = *track(ld, u->handle);

    if (mt.flags & MT_DETACHED) {
        if (u->m.v != INVALID_MFN.v)
            frame_put(u->m);
    } else {
        /* Found for sure: the frame that we hold is the granter's, and that keeps it listed. */
        struct domain *rd = domain_get(mt.domid);
        ASSERT(rd);
        grant_unpin(rd, mt.ref, mt.flags & MT_RO);
        domain_put(rd);
    }
    spin_lock(&ld->grant.maptrack_lock);
    handle_free(ld, u->handle);
    spin_unlock(&ld->grant.maptrack_lock);
}

void grant_unmap_batch(struct domain *ld, struct gnttab_unmap_grant_ref *op, unsigned n)
{
    struct undo u[GRANT_BATCH];
    unsigned k = 0;

    spin_lock(&ld->grant.maptrack_lock);
    for (unsigned i = 0; i < n && k < GRANT_BATCH; i++) {
        op[i].status = unmap_begin(ld, op[i].handle, op[i].host_addr >> PAGE_SHIFT, false, &u[k]);
        if (op[i].status == GNTST_okay)
            k++;
    }
    spin_unlock(&ld->grant.maptrack_lock);
    if (k)
        npt_flush(ld);
    for (unsigned i = 0; i < k; i++)
        unmap_finish(ld, &u[i]);
}

/* All handles are free, and none is made since d does not run: their pages go, one a step. */
static bool handles_end(struct domain *d, uint64_t *page, unsigned budget)
{
    struct grant_table *g = &d->grant;

    spin_lock(&g->maptrack_lock); /* whoever looks for mappings of his frames is at none of them */
    g->nr_maptrack = 0;
    g->free_handle = MAPTRACK_NONE;
    spin_unlock(&g->maptrack_lock);
    for (; *page < MAPTRACK_PAGES && budget; ++*page, budget--) {
        core_free_for(d, g->maptrack[*page]);
        g->maptrack[*page] = NULL;
    }
    return *page >= MAPTRACK_PAGES;
}

/* Cursor: handles; above them (bit 32) pages of handles. */
bool grant_unmap_all(struct domain *d, uint64_t *cursor, unsigned budget)
{
    const uint64_t pages = 1ull << 32;
    struct undo u[GRANT_BATCH];

    while (*cursor < d->grant.nr_maptrack) {
        unsigned k = 0;
        if (!budget)
            return false;
        spin_lock(&d->grant.maptrack_lock);
        while (*cursor < d->grant.nr_maptrack && k < GRANT_BATCH && budget) {
            if (unmap_begin(d, (uint32_t)*cursor, 0, true, &u[k]) == GNTST_okay)
                k++;
            ++*cursor;
            budget--;
        }
        spin_unlock(&d->grant.maptrack_lock);
        if (k)
            npt_flush(d);
        for (unsigned i = 0; i < k; i++)
            unmap_finish(d, &u[i]);
    }
    uint64_t page = *cursor < pages ? 0 : *cursor - pages;
    bool done = handles_end(d, &page, budget);
    *cursor = pages + page;
    return done;
}

/* --- a restarted granter --------------------------------------------------------------------------------- */
/* Puts a frame of the core under the mapping: no memory is needed for that, and its holder may go on writing. Two mappers never share
 * one to write, so nothing passes between them through a dead domain; one mapper's detached mappings are all the same page. */
static void detach(struct domain *m, struct maptrack *mt)
{
    bool ro = mt->flags & MT_RO;
    mfn_t now = ro ? zero_mfn : virt_to_mfn(m->grant.blank), old;

    if (!ro)
        memset(m->grant.blank, 0, PAGE_SIZE);
    frame_get_held(now);
    mt->flags |= MT_DETACHED;
    mt->domid = BH_DOMID_NONE;
    if (p2m_replace(m, GFN(mt->gfn), now, ro ? P2M_GRANT_RO : P2M_GRANT_RW, &old))
        frame_put(now);
}

/* Up to GRANT_BATCH mappings of d's frames in m's table from *handle on. True when the table's end was reached. */
static bool redirect_some(struct domain *d, struct domain *m, uint32_t *handle, unsigned *budget)
{
    struct {
        uint32_t ref;
        bool ro;
    } undo[GRANT_BATCH];
    unsigned k = 0;

    spin_lock(&m->grant.maptrack_lock);
    for (; *handle < m->grant.nr_maptrack && k < GRANT_BATCH && *budget; ++*handle, --*budget) {
        struct maptrack *mt = track(m, *handle);
        if (!(mt->flags & MT_USED) || (mt->flags & (MT_CLEARING | MT_DETACHED)) ||
            mt->domid != d->id || !grant_active(d, mt->ref)->stale)
            continue;
        undo[k].ref = mt->ref;
        undo[k++].ro = mt->flags & MT_RO;
        detach(m, mt);
    }
    bool end = *handle >= m->grant.nr_maptrack;
    spin_unlock(&m->grant.maptrack_lock);
    if (k)
        npt_flush(m);
    for (unsigned i = 0; i < k; i++)
        grant_unpin(d, undo[i].ref, undo[i].ro); /* also the old frame's reference */
    return end;
}

bool grant_reclaim(struct domain *d, struct domain *m, uint64_t *handle, unsigned budget)
{
    uint32_t at = (uint32_t)*handle;
    bool end = false;

    while (!end && budget)
        end = redirect_some(d, m, &at, &budget);
    *handle = at;
    return end;
}

/* All mappers from c on. */
static bool redirect_all(struct domain *d, struct grant_cursor *c, unsigned *budget)
{
    while (*budget) {
        struct domain *m = domain_get_next(c->mapper);
        if (!m)
            return true;
        uint32_t handle = m->id == c->mapper ? (uint32_t)c->at : 0;
        bool end = redirect_some(d, m, &handle, budget);
        c->mapper = (domid_t)(m->id + end);
        c->at = end ? 0 : handle;
        domain_put(m);
        *budget -= MIN(*budget, COST_NEXT);
    }
    return false;
}

static void next_phase(struct grant_cursor *c)
{
    c->phase++;
    c->at = 0;
}

bool grant_redirect(struct domain *d, struct grant_cursor *c, unsigned budget)
{
    uint32_t slots = d->rings ? 2 : 0;

    if (c->phase == GRANT_REVOKE) {
        c->at = MAX(c->at, (uint64_t)slots);
        if (grant_revoke(d, &c->at, &budget)) {
            if (slots) {
                grant_reseed(d, 0, d->console_domid, d->console_gfn);
                grant_reseed(d, 1, d->store_domid, d->store_gfn);
            }
            next_phase(c);
        }
    }
    if (c->phase == GRANT_MAPPERS && redirect_all(d, c, &budget))
        next_phase(c);
    /* Copies and unmaps on other CPUs that were past the entry before it was cleared: they end by themselves. */
    return c->phase == GRANT_PINS && grant_idle(d, slots, &c->at, &budget);
}
