/* SPDX-License-Identifier: MIT */
/*
 * Grant tables: their frames, the entries, and pins. A pin is one mapping or one copy in flight; it holds one reference
 * on the frame. The first pin reads the entry, later ones use what it found, whatever the granter wrote since.
 * Mappings are in grant_map.c, the hypercall in grant_op.c.
 */
#include "mem/grant.h"
#include "lib/print.h"
#include "lib/string.h"
#include "mem/frame.h"
#include "mem/npt.h"
#include "sched/domain.h"

#define ACTIVE_PER_CHUNK 64u
#define ACTIVE_BYTES     (sizeof(struct grant_active) * ACTIVE_PER_CHUNK)

_Static_assert(sizeof(grant_entry_v1_t) == 8, "version 1 entry");
_Static_assert(sizeof(struct maptrack) * MAPTRACK_PER_PAGE == PAGE_SIZE, "a page of maptrack");
_Static_assert(ACTIVE_BYTES <= PAGE_SIZE, "kmalloc takes a page at most");

/* --- tables ----------------------------------------------------------------------------------------- */
static int grow(struct grant_table *g, uint32_t frames)
{
    while (g->nr_frames < frames) {
        grant_entry_v1_t *p = core_alloc(0);
        if (!p)
            return -ENOMEM;
        g->frame_gfn[g->nr_frames] = ~0ull;
        g->shared[g->nr_frames] = p;
        __atomic_store_n(&g->nr_frames, g->nr_frames + 1, __ATOMIC_RELEASE);
    }
    return 0;
}

int grant_init(struct domain *d)
{
    struct grant_table *g = &d->grant;

    for (unsigned i = 0; i < GRANT_MAX_FRAMES; i++)
        g->frame_gfn[i] = ~0ull;
    g->free_handle = MAPTRACK_NONE;
    return grow(g, 1);
}

void grant_free(struct domain *d)
{
    struct grant_table *g = &d->grant;

    for (uint32_t i = 0; i < g->nr_frames; i++)
        core_free(g->shared[i], 0);
    g->nr_frames = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(g->active); i++) {
        if (g->active[i])
            kfree(g->active[i], ACTIVE_BYTES);
        g->active[i] = NULL;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(g->maptrack); i++) {
        if (g->maptrack[i])
            core_free(g->maptrack[i], 0);
        g->maptrack[i] = NULL;
    }
    g->nr_maptrack = 0;
    g->free_handle = MAPTRACK_NONE;
}

int grant_frame_mfn(struct domain *d, uint32_t idx, mfn_t *m)
{
    struct grant_table *g = &d->grant;

    if (idx >= GRANT_MAX_FRAMES)
        return -EINVAL;
    idx = (uint32_t)clamp_nospec(idx, GRANT_MAX_FRAMES);
    spin_lock(&g->lock);
    int rc = grow(g, idx + 1);
    if (!rc)
        *m = virt_to_mfn(g->shared[idx]);
    spin_unlock(&g->lock);
    return rc;
}

grant_entry_v1_t *grant_entry(struct domain *d, uint32_t ref)
{
    uint64_t n = (uint64_t)__atomic_load_n(&d->grant.nr_frames, __ATOMIC_ACQUIRE) * GRANT_PER_FRAME;

    if (ref >= n)
        return NULL;
    ref = (uint32_t)clamp_nospec(ref, n);
    return &d->grant.shared[ref / GRANT_PER_FRAME][ref % GRANT_PER_FRAME];
}

struct grant_active *grant_active(struct domain *d, uint32_t ref)
{
    struct grant_table *g = &d->grant;

    if (!grant_entry(d, ref))
        return NULL;
    struct grant_active **slot = &g->active[clamp_nospec(ref / ACTIVE_PER_CHUNK, ARRAY_SIZE(g->active))];
    struct grant_active *chunk = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (!chunk) {
        spin_lock(&g->lock);
        chunk = *slot;
        if (!chunk) {
            chunk = kmalloc(ACTIVE_BYTES);
            if (chunk)
                __atomic_store_n(slot, chunk, __ATOMIC_RELEASE);
        }
        spin_unlock(&g->lock);
    }
    return chunk ? &chunk[ref % ACTIVE_PER_CHUNK] : NULL;
}

void grant_seed(struct domain *d, uint32_t ref, domid_t to, uint64_t gfn)
{
    grant_entry_v1_t *e = grant_entry(d, ref);

    if (!e)
        return;
    e->domid = to;
    e->frame = (uint32_t)gfn;
    __atomic_store_n(&e->flags, (uint16_t)GTF_permit_access, __ATOMIC_RELEASE);
}

void grant_revoke(struct domain *d, uint32_t keep)
{
    uint32_t n = d->grant.nr_frames * GRANT_PER_FRAME;

    for (uint32_t ref = keep; ref < n; ref++) {
        uint64_t *e = (uint64_t *)&d->grant.shared[ref / GRANT_PER_FRAME][ref % GRANT_PER_FRAME];
        if (READ_ONCE(*e))
            __atomic_store_n(e, 0, __ATOMIC_SEQ_CST);
    }
    /* Further pins of a pinned entry do not read it again, so they are stopped here. */
    for (uint32_t ref = keep; ref < n; ref++) {
        struct grant_active *chunk = __atomic_load_n(&d->grant.active[ref / ACTIVE_PER_CHUNK], __ATOMIC_ACQUIRE);
        if (!chunk) {
            ref |= ACTIVE_PER_CHUNK - 1;
            continue;
        }
        struct grant_active *a = &chunk[ref % ACTIVE_PER_CHUNK];
        spin_lock(&a->lock);
        a->stale = a->pins_ro || a->pins_rw;
        spin_unlock(&a->lock);
    }
}

void grant_reseed(struct domain *d, uint32_t ref, domid_t to, uint64_t gfn)
{
    struct grant_active *a = grant_active(d, ref);
    enum p2m_type t;
    mfn_t m = p2m_lookup(d, GFN(gfn), &t);

    if (!a) { /* never pinned */
        grant_seed(d, ref, to, gfn);
        return;
    }
    spin_lock(&a->lock);
    a->stale = (a->pins_ro || a->pins_rw) && (a->mfn.v != m.v || a->domid != to);
    grant_entry_v1_t e = { .flags = GTF_permit_access, .domid = to, .frame = (uint32_t)gfn };
    if (!a->stale && (a->pins_ro || a->pins_rw))
        e.flags |= (uint16_t)(GTF_reading | (a->pins_rw ? GTF_writing : 0));
    uint64_t word;
    memcpy(&word, &e, sizeof word);
    __atomic_store_n((uint64_t *)grant_entry(d, ref), word, __ATOMIC_SEQ_CST);
    spin_unlock(&a->lock);
}

/* --- pins --------------------------------------------------------------------------------------------- */
/* Marks the entry in use if it grants `ld` what it wants. Flags and domid are one word, so they are checked and marked in
 * one step; a granter that keeps changing them gets an error, not a loop. */
static int16_t entry_mark(grant_entry_v1_t *e, domid_t ld, bool ro)
{
    uint32_t *word = (uint32_t *)e;
    uint32_t old = __atomic_load_n(word, __ATOMIC_ACQUIRE);

    for (unsigned tries = 0; tries < 8; tries++) {
        uint16_t flags = (uint16_t)old;
        if ((flags & GTF_type_mask) != GTF_permit_access || (flags & GTF_sub_page) || old >> 16 != ld ||
            (!ro && (flags & GTF_readonly)))
            return GNTST_general_error;
        uint32_t want = old | GTF_reading | (ro ? 0 : GTF_writing);
        if (__atomic_compare_exchange_n(word, &old, want, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
            return GNTST_okay;
    }
    return GNTST_general_error;
}

static void entry_unmark(grant_entry_v1_t *e, const struct grant_active *a)
{
    if (!a->pins_rw)
        __atomic_fetch_and(&e->flags, (uint16_t)~GTF_writing, __ATOMIC_SEQ_CST);
    if (!a->pins_rw && !a->pins_ro)
        __atomic_fetch_and(&e->flags, (uint16_t)~GTF_reading, __ATOMIC_SEQ_CST);
}

/* The frame behind the entry, with a reference: RAM that the granter owns and nothing else; if immutable, to read only. */
static int16_t entry_frame(struct domain *rd, const grant_entry_v1_t *e, bool ro, mfn_t *m, bool *immutable)
{
    enum p2m_type t = P2M_NONE;
    gfn_t g = GFN(READ_ONCE(e->frame));

    *m = p2m_get(rd, g, &t);
    if (m->v == INVALID_MFN.v)
        return GNTST_bad_page;
    *immutable = t == P2M_RAM_IMMUTABLE;
    if (t == P2M_RAM || (*immutable && ro && !domain_is_table(rd, g.v)))
        return GNTST_okay;
    if (p2m_counted(t))
        frame_put(*m);
    return *immutable ? GNTST_general_error : GNTST_bad_page;
}

static int16_t pin_locked(struct domain *rd, struct grant_active *a, grant_entry_v1_t *e, domid_t ld, bool ro)
{
    bool pinned = a->pins_ro || a->pins_rw;
    int16_t st = GNTST_okay;

    if (pinned && (a->domid != ld || a->stale || (a->immutable && !ro)))
        return GNTST_general_error;
    if (!pinned || (!ro && !a->pins_rw))
        st = entry_mark(e, ld, ro);
    if (st != GNTST_okay)
        return st;
    if (pinned) {
        frame_get_held(a->mfn);
    } else {
        st = entry_frame(rd, e, ro, &a->mfn, &a->immutable);
        if (st != GNTST_okay) {
            entry_unmark(e, a);
            return st;
        }
        a->domid = ld;
    }
    if (ro)
        a->pins_ro++;
    else
        a->pins_rw++;
    return GNTST_okay;
}

int16_t grant_pin(struct domain *rd, uint32_t ref, domid_t ld, bool ro, mfn_t *m)
{
    grant_entry_v1_t *e = grant_entry(rd, ref);

    if (!e)
        return GNTST_bad_gntref;
    if ((READ_ONCE(e->flags) & GTF_type_mask) == GTF_invalid && !rd->grant.active[ref / ACTIVE_PER_CHUNK])
        return GNTST_general_error; /* no memory for refs that were never granted */
    struct grant_active *a = grant_active(rd, ref);
    if (!a)
        return GNTST_no_space;
    spin_lock(&a->lock);
    int16_t st = pin_locked(rd, a, e, ld, ro);
    *m = a->mfn;
    spin_unlock(&a->lock);
    return st;
}

/* The reference goes before the marks: once the granter sees the entry unused, nobody reaches the frame through it. Both
 * under the lock, so that no new pin finds a record whose frame is gone. */
void grant_unpin(struct domain *rd, uint32_t ref, bool ro)
{
    struct grant_active *a = grant_active(rd, ref);
    grant_entry_v1_t *e = grant_entry(rd, ref);

    ASSERT(a && e);
    spin_lock(&a->lock);
    ASSERT(ro ? a->pins_ro : a->pins_rw);
    frame_put(a->mfn);
    if (ro)
        a->pins_ro--;
    else
        a->pins_rw--;
    a->stale = a->stale && (a->pins_ro || a->pins_rw);
    entry_unmark(e, a);
    spin_unlock(&a->lock);
}

bool grant_idle(struct domain *d, uint32_t keep)
{
    for (uint32_t c = 0; c < ARRAY_SIZE(d->grant.active); c++) {
        struct grant_active *chunk = __atomic_load_n(&d->grant.active[c], __ATOMIC_ACQUIRE);
        for (uint32_t i = 0; chunk && i < ACTIVE_PER_CHUNK; i++) {
            spin_lock(&chunk[i].lock); /* waits for the end of a grant_unpin */
            bool busy = (chunk[i].pins_ro || chunk[i].pins_rw) &&
                        (c * ACTIVE_PER_CHUNK + i >= keep || chunk[i].stale);
            spin_unlock(&chunk[i].lock);
            if (busy)
                return false;
        }
    }
    return true;
}

bool grant_holder(struct domain *d, domid_t *holder, unsigned budget)
{
    struct grant_table *g = &d->grant;
    uint32_t ref = READ_ONCE(g->unpinned);

    for (; ref < ARRAY_SIZE(g->active) * ACTIVE_PER_CHUNK; budget--) {
        if (!budget) {
            WRITE_ONCE(g->unpinned, ref);
            return false;
        }
        struct grant_active *chunk = __atomic_load_n(&g->active[ref / ACTIVE_PER_CHUNK], __ATOMIC_ACQUIRE);
        if (!chunk) {
            ref = (ref | (ACTIVE_PER_CHUNK - 1)) + 1;
            continue;
        }
        struct grant_active *a = &chunk[ref % ACTIVE_PER_CHUNK];
        spin_lock(&a->lock);
        bool pinned = a->pins_ro || a->pins_rw;
        *holder = a->domid;
        spin_unlock(&a->lock);
        if (pinned) {
            WRITE_ONCE(g->unpinned, ref);
            return true;
        }
        ref++;
    }
    WRITE_ONCE(g->unpinned, ref);
    *holder = BH_DOMID_NONE;
    return true;
}
