/* SPDX-License-Identifier: MIT */
/*
 * Grant tables: their frames, the entries, and pins. A pin is one mapping or one copy in flight; it holds one reference
 * on the frame. The first pin reads the entry, later ones use what it found, whatever the granter wrote since.
 * Mappings are in grant_map.c, the hypercall in grant_op.c.
 */
#include "ipc/grant.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/npt.h"
#include "domain/struct.h"

#define ACTIVE_BYTES   (sizeof(struct grant_active *) * ACTIVE_PAGES)
#define MAPTRACK_BYTES (sizeof(struct maptrack *) * MAPTRACK_PAGES)

_Static_assert(sizeof(grant_entry_v1_t) == 8, "version 1 entry");
_Static_assert(sizeof(struct maptrack) * MAPTRACK_PER_PAGE == PAGE_SIZE, "a page of maptrack");
_Static_assert(sizeof(struct grant_active) * ACTIVE_PER_PAGE == PAGE_SIZE, "a page of records");

/* --- tables ----------------------------------------------------------------------------------------- */
static int grow(struct domain *d, uint32_t frames)
{
    struct grant_table *g = &d->grant;

    while (g->nr_frames < frames) {
        grant_entry_v1_t *p = core_alloc_for(d);
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
    g->active = kmalloc(ACTIVE_BYTES);
    g->maptrack = kmalloc(MAPTRACK_BYTES);
    return g->active && g->maptrack ? grow(d, 1) : -ENOMEM; /* grant_free takes what there is */
}

void grant_free(struct domain *d)
{
    struct grant_table *g = &d->grant;

    for (uint32_t i = 0; i < g->nr_frames; i++)
        core_free_for(d, g->shared[i]);
    g->nr_frames = 0;
    for (unsigned i = 0; g->active && i < ACTIVE_PAGES; i++)
        core_free_for(d, g->active[i]);
    kfree(g->active, ACTIVE_BYTES);
    g->active = NULL;
    for (unsigned i = 0; g->maptrack && i < MAPTRACK_PAGES; i++)
        core_free_for(d, g->maptrack[i]);
    kfree(g->maptrack, MAPTRACK_BYTES);
    g->maptrack = NULL;
    core_free_for(d, g->blank);
    g->blank = NULL;
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
    int rc = grow(d, idx + 1);
    if (!rc)
        *m = virt_to_mfn(g->shared[idx]);
    spin_unlock(&g->lock);
    return rc;
}

/* True for a reference within the table; it is then safe as an index, also where the CPU takes the check for passed. */
static bool ref_clamp(const struct domain *d, uint32_t *ref)
{
    uint64_t n = (uint64_t)__atomic_load_n(&d->grant.nr_frames, __ATOMIC_ACQUIRE) * GRANT_PER_FRAME;

    if (*ref >= n)
        return false;
    *ref = (uint32_t)clamp_nospec(*ref, n);
    return true;
}

static grant_entry_v1_t *entry_at(struct domain *d, uint32_t ref)
{
    return &d->grant.shared[ref / GRANT_PER_FRAME][ref % GRANT_PER_FRAME];
}

/* The entry's record if there is one; the reference is clamped. */
static struct grant_active *record_at(struct domain *d, uint32_t ref)
{
    struct grant_active *page = __atomic_load_n(&d->grant.active[ref / ACTIVE_PER_PAGE],
                                                __ATOMIC_SEQ_CST);

    return page ? &page[ref % ACTIVE_PER_PAGE] : NULL;
}

static bool pinned(const struct grant_active *a) { return a && (a->pins_ro || a->pins_rw); }

grant_entry_v1_t *grant_entry(struct domain *d, uint32_t ref)
{
    return ref_clamp(d, &ref) ? entry_at(d, ref) : NULL;
}

struct grant_active *grant_active(struct domain *d, uint32_t ref)
{
    struct grant_table *g = &d->grant;

    if (!ref_clamp(d, &ref))
        return NULL;
    struct grant_active *a = record_at(d, ref);
    if (a)
        return a;
    spin_lock(&g->lock);
    struct grant_active **page = &g->active[ref / ACTIVE_PER_PAGE];
    if (!*page) {
        struct grant_active *fresh = core_alloc_for(d);
        if (fresh)
            __atomic_store_n(page, fresh, __ATOMIC_SEQ_CST);
    }
    spin_unlock(&g->lock);
    return record_at(d, ref);
}

/* An entry is one word, whoever reads or writes it: flags, domid and frame belong together. */
static uint64_t entry_word(grant_entry_v1_t e)
{
    uint64_t w;

    memcpy(&w, &e, sizeof w);
    return w;
}

static grant_entry_v1_t word_entry(uint64_t w)
{
    grant_entry_v1_t e;

    memcpy(&e, &w, sizeof e);
    return e;
}

void grant_seed(struct domain *d, uint32_t ref, domid_t to, uint64_t gfn)
{
    grant_entry_v1_t *e = grant_entry(d, ref),
                     now = { .flags = GTF_permit_access, .domid = to, .frame = (uint32_t)gfn };

    if (e)
        __atomic_store_n((uint64_t *)e, entry_word(now), __ATOMIC_SEQ_CST);
}

int grant_names(struct domain *d, domid_t id, uint64_t *at, unsigned *budget)
{
    uint64_t *e;

    for (; (e = (uint64_t *)grant_entry(d, (uint32_t)(*at - EVTCHN_PORTS))) != NULL;
         ++*at, --*budget) {
        if (!*budget)
            return HC_AGAIN;
        grant_entry_v1_t now = word_entry(READ_ONCE(*e));
        if ((now.flags & GTF_type_mask) != GTF_invalid && now.domid == id)
            return 1;
    }
    return 0;
}

/* A pin makes the record before it marks the entry, and we clear the entry before we look for a record (both in full order), so
 * either it finds the entry cleared, or we wait for it under the record's lock. Further pins of a pinned entry do not read it
 * again: `stale` stops them. */
static void revoke_one(struct domain *d, uint32_t ref)
{
    uint64_t *e = (uint64_t *)entry_at(d, ref);

    if (READ_ONCE(*e))
        __atomic_store_n(e, 0, __ATOMIC_SEQ_CST);
    struct grant_active *a = record_at(d, ref);
    if (!a)
        return;
    spin_lock(&a->lock);
    a->stale = pinned(a);
    spin_unlock(&a->lock);
}

bool grant_revoke(struct domain *d, uint64_t *ref, unsigned *budget)
{
    uint64_t n = (uint64_t)d->grant.nr_frames * GRANT_PER_FRAME;

    for (; *ref < n && *budget; ++*ref, --*budget)
        revoke_one(d, (uint32_t)*ref);
    return *ref >= n;
}

void grant_reseed(struct domain *d, uint32_t ref, domid_t to, uint64_t gfn)
{
    struct grant_active *a = record_at(d, ref);
    enum p2m_type t;
    mfn_t m = p2m_lookup(d, GFN(gfn), &t);

    if (!a) { /* never pinned */
        grant_seed(d, ref, to, gfn);
        return;
    }
    spin_lock(&a->lock);
    a->stale = pinned(a) && (a->mfn.v != m.v || a->domid != to);
    grant_entry_v1_t e = { .flags = GTF_permit_access, .domid = to, .frame = (uint32_t)gfn };
    if (!a->stale && pinned(a))
        e.flags |= (uint16_t)(GTF_reading | (a->pins_rw ? GTF_writing : 0));
    __atomic_store_n((uint64_t *)grant_entry(d, ref), entry_word(e), __ATOMIC_SEQ_CST);
    spin_unlock(&a->lock);
}

/* --- pins --------------------------------------------------------------------------------------------- */
static bool allows(grant_entry_v1_t e, domid_t ld, bool ro)
{
    return (e.flags & GTF_type_mask) == GTF_permit_access && !(e.flags & GTF_sub_page) &&
           e.domid == ld && (ro || !(e.flags & GTF_readonly));
}

/* Marks the entry in use if it grants `ld` what it wants, and says which frame it names. All of it is one word, checked and
 * marked in one step; a granter that keeps changing it gets an error, not a loop. */
static int16_t entry_mark(grant_entry_v1_t *e, domid_t ld, bool ro, uint32_t *frame)
{
    uint64_t *word = (uint64_t *)e, old = __atomic_load_n(word, __ATOMIC_ACQUIRE);

    for (unsigned tries = 0; tries < 8; tries++) {
        grant_entry_v1_t now = word_entry(old);
        if (!allows(now, ld, ro))
            return GNTST_general_error;
        now.flags |= (uint16_t)(GTF_reading | (ro ? 0 : GTF_writing));
        if (__atomic_compare_exchange_n(word, &old, entry_word(now), false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_ACQUIRE)) {
            *frame = now.frame;
            return GNTST_okay;
        }
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
static int16_t entry_frame(struct domain *rd, uint32_t frame, bool ro, mfn_t *m, bool *immutable)
{
    enum p2m_type t = P2M_NONE;

    *m = p2m_get(rd, GFN(frame), &t);
    if (m->v == INVALID_MFN.v)
        return GNTST_bad_page;
    *immutable = t == P2M_RAM_IMMUTABLE;
    if (t == P2M_RAM || (*immutable && ro && !domain_is_table(rd, frame)))
        return GNTST_okay;
    if (p2m_counted(t))
        frame_put(*m);
    return *immutable ? GNTST_general_error : GNTST_bad_page;
}

static int16_t pin_locked(struct domain *rd, struct grant_active *a, grant_entry_v1_t *e,
                          domid_t ld, bool ro)
{
    bool more = pinned(a);
    int16_t st = GNTST_okay;
    uint32_t frame = 0;

    if (more && (a->domid != ld || a->stale || (a->immutable && !ro)))
        return GNTST_general_error;
    if (!more || (!ro && !a->pins_rw))
        st = entry_mark(e, ld, ro, &frame);
    if (st != GNTST_okay)
        return st;
    if (more) {
        frame_get_held(a->mfn);
    } else {
        st = entry_frame(rd, frame, ro, &a->mfn, &a->immutable);
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
    if (!ref_clamp(rd, &ref))
        return GNTST_bad_gntref;
    grant_entry_v1_t *e = entry_at(rd, ref);
    if (!record_at(rd, ref) && !allows(word_entry(READ_ONCE(*(uint64_t *)e)), ld, ro))
        return GNTST_general_error; /* the granter has no records of what it did not grant */
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
    a->stale = a->stale && pinned(a);
    entry_unmark(e, a);
    spin_unlock(&a->lock);
}

int16_t grant_swap(struct domain *d, uint32_t ra, uint32_t rb)
{
    if (!ref_clamp(d, &ra) || !ref_clamp(d, &rb))
        return GNTST_bad_gntref;
    if (ra == rb)
        return GNTST_okay;
    uint64_t *a = (uint64_t *)entry_at(d, ra), *b = (uint64_t *)entry_at(d, rb);
    int16_t st = GNTST_eagain;

    spin_lock(&d->grant.lock); /* whoever has no record gets none meanwhile, hence no pin */
    struct grant_active *first = record_at(d, MIN(ra, rb)), *second = record_at(d, MAX(ra, rb));
    if (first)
        spin_lock(&first->lock);
    if (second)
        spin_lock(&second->lock);
    if (!pinned(first) && !pinned(second)) {
        uint64_t x = READ_ONCE(*a), y = READ_ONCE(*b);
        WRITE_ONCE(*a, y);
        WRITE_ONCE(*b, x);
        st = GNTST_okay;
    }
    if (second)
        spin_unlock(&second->lock);
    if (first)
        spin_unlock(&first->lock);
    spin_unlock(&d->grant.lock);
    return st;
}

/* --- who has what pinned ----------------------------------------------------------------------------- */
enum found { NO_PIN, A_PIN, MORE }; /* MORE: the budget is spent */

/* The first pinned record from *ref on, of those below `keep` only a stale one. */
static enum found find_pin(struct domain *d, uint32_t keep, uint64_t *ref, unsigned *budget,
                           domid_t *who)
{
    uint64_t n = (uint64_t)d->grant.nr_frames * GRANT_PER_FRAME;

    for (; *ref < n; --*budget) {
        if (!*budget)
            return MORE;
        struct grant_active *a = record_at(d, (uint32_t)*ref);
        if (!a) {
            *ref = (*ref | (ACTIVE_PER_PAGE - 1)) + 1;
            continue;
        }
        spin_lock(&a->lock); /* waits for the end of a grant_unpin */
        bool hit = pinned(a) && (*ref >= keep || a->stale);
        *who = a->domid;
        spin_unlock(&a->lock);
        if (hit)
            return A_PIN;
        ++*ref;
    }
    return NO_PIN;
}

bool grant_idle(struct domain *d, uint32_t keep, uint64_t *ref, unsigned *budget)
{
    domid_t who;

    return find_pin(d, keep, ref, budget, &who) == NO_PIN;
}

bool grant_holder(struct domain *d, domid_t *holder, unsigned budget)
{
    uint64_t ref = READ_ONCE(d->grant.unpinned);
    enum found f = find_pin(d, 0, &ref, &budget, holder);

    WRITE_ONCE(d->grant.unpinned, (uint32_t)ref);
    if (f != A_PIN)
        *holder = BH_DOMID_NONE;
    return f != MORE;
}
