/* SPDX-License-Identifier: MIT */
/*
 * Nested page tables: see npt.h. An entry is written whole, with one store; readers take no lock.
 * Invariants: a table once linked stays linked until p2m_shrink or p2m_free; a 2 MiB leaf is only ever split or cleared as a whole.
 */
#include "mem/npt.h"
#include "common/regs.h"
#include "arch/irq.h"
#include "base/cpu.h"
#include "base/print.h"
#include "mem/frame.h"
#include "domain/struct.h"

#define NPTE_TYPE(e)      ((enum p2m_type)(((e) >> 9 & 7) | ((e) >> 52 & 1) << 3))
#define NPTE_TYPE_BITS(t) (((uint64_t)(t)&7) << 9 | ((uint64_t)(t) >> 3) << 52)
#define NPTE_TABLE        (PTE_P | PTE_RW | PTE_US | PTE_A)
#define ENTRIES           512u
#define FRAMES_2M         (1ull << ORDER_2M)
#define TEARDOWN_BATCH    64u
#define COST_2M           32u /* of a 2 MiB leaf in a teardown budget: its 512 frames lose a reference each */
#define COST_TABLE        32u   /* of looking through a table for something, or freeing it */
#define FREE_BUDGET       4096u /* of a step of p2m_free: entries looked at */

static const uint64_t leaf_flags[] = {
    [P2M_RAM] = PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D,
    [P2M_RAM_RO] = PTE_P | PTE_US | PTE_A | PTE_D | PTE_NX,
    [P2M_GRANT_RW] = PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_NX,
    [P2M_GRANT_RO] = PTE_P | PTE_US | PTE_A | PTE_D | PTE_NX,
    [P2M_MMIO] = PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_NX | PTE_PCD | PTE_PWT,
    [P2M_SHARED] = PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_NX,
    [P2M_RAM_IMMUTABLE] = PTE_P | PTE_US | PTE_A | PTE_D,
    [P2M_FILLER] = PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_NX,
    [P2M_FILLER_RO] = PTE_P | PTE_US | PTE_A | PTE_D | PTE_NX,
};
_Static_assert(sizeof leaf_flags / sizeof leaf_flags[0] <= 16, "a type has four bits of the leaf");

static uint64_t make_leaf(mfn_t m, enum p2m_type t, unsigned order)
{
    return (m.v << PAGE_SHIFT) | leaf_flags[t] | NPTE_TYPE_BITS(t) | (order ? PTE_PS : 0);
}
static unsigned index_at(uint64_t gfn, unsigned level)
{
    return (unsigned)(gfn >> (9 * (level - 1))) & (ENTRIES - 1);
}
static uint64_t *table_of(uint64_t e) { return maddr_to_virt(MADDR(e & PTE_ADDR)); }
static mfn_t leaf_mfn(uint64_t e) { return MFN((e & PTE_ADDR) >> PAGE_SHIFT); }

int p2m_init(struct domain *d)
{
    struct cpuid_regs r = cpuid(0x80000000, 0);
    unsigned bits = 40;
    if (r.eax >= 0x80000008)
        bits = cpuid(0x80000008, 0).eax & 0xff;
    d->p2m.max_gfn = 1ull << ((bits > 48 ? 48 : bits) - PAGE_SHIFT);
    list_init(&d->p2m.emptied);
    d->p2m.held_tables = 8 + d->max_pages / ENTRIES;
    d->p2m.root = core_alloc_table(d);
    if (!d->p2m.root)
        return -ENOMEM;
    d->p2m.root_maddr = virt_to_maddr(d->p2m.root);
    d->p2m.nr_tables = 1;
    d->p2m.gen = 1;
    return 0;
}

/* The entry for gfn at `level` (1: 4 KiB, 2: 2 MiB), with `make` tables above it made; NULL: missing, or a bigger leaf above
 * it (*leaf says so). p2m.lock held when making. */
static uint64_t *walk(struct domain *d, uint64_t gfn, unsigned level, bool make, uint64_t **leaf)
{
    uint64_t *t = d->p2m.root;
    for (unsigned l = 4; l > level; l--) {
        uint64_t *e = &t[index_at(gfn, l)];
        uint64_t v = READ_ONCE(*e);
        if (!(v & PTE_P)) {
            void *n = make ? core_alloc_table(d) : NULL;
            if (!n)
                return NULL;
            d->p2m.nr_tables++;
            v = virt_to_maddr(n).v | NPTE_TABLE;
            __atomic_store_n(e, v,
                             __ATOMIC_RELEASE); /* the zeroed table is visible before it is linked */
        } else if (v & PTE_PS) {
            if (leaf)
                *leaf = e;
            return NULL;
        }
        t = table_of(v);
    }
    return &t[index_at(gfn, level)];
}

int p2m_set(struct domain *d, gfn_t g, mfn_t m, unsigned order, enum p2m_type t)
{
    uint64_t n = 1ull << order, *leaf = NULL;
    if (g.v >= d->p2m.max_gfn || (order && order != ORDER_2M) || ((g.v | m.v) & (n - 1)) ||
        t == P2M_NONE || t > P2M_FILLER_RO)
        return -EINVAL;
    spin_lock(&d->p2m.lock);
    uint64_t *e = walk(d, g.v, order ? 2 : 1, true, &leaf), old = 0;
    int rc = 0;
    if (!e)
        rc = leaf ? -EEXIST : -ENOMEM;
    else if ((*e & PTE_P) && (order || p2m_filler(t) || !p2m_filler(NPTE_TYPE(*e))))
        rc = -EEXIST;
    else
        old = __atomic_exchange_n(e, make_leaf(m, t, order), __ATOMIC_ACQ_REL);
    spin_unlock(&d->p2m.lock);
    if (old) {
        npt_flush(d);
        if (p2m_counted(NPTE_TYPE(old)))
            frame_put(leaf_mfn(old));
    }
    return rc;
}

/* A 2 MiB leaf becomes a table of 512 leaves that map the same: no flush is needed for that. */
static int split(struct domain *d, uint64_t *e)
{
    uint64_t *t = core_alloc_table(d), v = *e;
    if (!t)
        return -ENOMEM;
    for (unsigned i = 0; i < ENTRIES; i++)
        t[i] = make_leaf(MFN(leaf_mfn(v).v + i), NPTE_TYPE(v), 0);
    d->p2m.nr_tables++;
    __atomic_store_n(e, virt_to_maddr(t).v | NPTE_TABLE, __ATOMIC_RELEASE);
    return 0;
}

/* The present 4 KiB entry of gfn, after splitting what is above it; p2m.lock held. */
static int find_small(struct domain *d, gfn_t g, uint64_t **out)
{
    uint64_t *leaf = NULL;
    if (g.v >= d->p2m.max_gfn)
        return -ENOENT;
    uint64_t *e = walk(d, g.v, 1, false, &leaf);
    if (!e && leaf) {
        int rc = split(d, leaf);
        if (rc)
            return rc;
        e = walk(d, g.v, 1, false, NULL);
    }
    if (!e || !(*e & PTE_P))
        return -ENOENT;
    *out = e;
    return 0;
}

int p2m_clear(struct domain *d, gfn_t g, mfn_t *m, enum p2m_type *t)
{
    return p2m_clear_only(d, g, ~0u, m, t);
}

int p2m_clear_only(struct domain *d, gfn_t g, unsigned types, mfn_t *m, enum p2m_type *t)
{
    uint64_t *e;
    spin_lock(&d->p2m.lock);
    int rc = find_small(d, g, &e);
    if (!rc && !(types >> NPTE_TYPE(*e) & 1))
        rc = -EBUSY;
    if (!rc) {
        *m = leaf_mfn(*e);
        *t = NPTE_TYPE(*e);
        __atomic_store_n(e, 0, __ATOMIC_RELEASE);
    }
    spin_unlock(&d->p2m.lock);
    return rc;
}

uint64_t p2m_clear_mmio(struct domain *d, gfn_t g, mfn_t m)
{
    uint64_t *big = NULL, n = 0;
    if (g.v >= d->p2m.max_gfn)
        return 0;
    spin_lock(&d->p2m.lock);
    uint64_t *e = walk(d, g.v, 1, 0, &big);
    if (!e && big && !(g.v & (FRAMES_2M - 1)))
        e = big;
    if (e && (*e & PTE_P) && NPTE_TYPE(*e) == P2M_MMIO && leaf_mfn(*e).v == m.v) {
        n = e == big ? FRAMES_2M : 1;
        __atomic_store_n(e, 0, __ATOMIC_RELEASE);
    }
    spin_unlock(&d->p2m.lock);
    return n;
}

int p2m_replace(struct domain *d, gfn_t g, mfn_t m, enum p2m_type t, mfn_t *old)
{
    uint64_t *e;
    spin_lock(&d->p2m.lock);
    int rc = find_small(d, g, &e);
    if (!rc) {
        *old = leaf_mfn(*e);
        __atomic_store_n(e, make_leaf(m, t, 0), __ATOMIC_RELEASE);
    }
    spin_unlock(&d->p2m.lock);
    return rc;
}

/* The present leaf that maps g, as it was: its value and where it stands; 0: none. The place may be read until this CPU passes (p2m_pass). */
static uint64_t leaf_of(struct domain *d, gfn_t g, uint64_t **at)
{
    counts()->nested_walks++;
    for (;;) {
        uint64_t *big = NULL;
        *at = g.v < d->p2m.max_gfn ? walk(d, g.v, 1, false, &big) : NULL;
        if (!*at && !(*at = big))
            return 0;
        uint64_t v = READ_ONCE(**at);
        if (!(v & PTE_P))
            return 0;
        if (*at != big || v & PTE_PS) /* else it was split meanwhile */
            return v;
    }
}

static mfn_t mfn_in(uint64_t leaf, gfn_t g, enum p2m_type *t)
{
    *t = leaf ? NPTE_TYPE(leaf) : P2M_NONE;
    return leaf ? MFN(leaf_mfn(leaf).v + (leaf & PTE_PS ? g.v & (FRAMES_2M - 1) : 0)) : INVALID_MFN;
}

mfn_t p2m_lookup(struct domain *d, gfn_t g, enum p2m_type *t)
{
    uint64_t *at;
    return mfn_in(leaf_of(d, g, &at), g, t);
}

mfn_t p2m_get(struct domain *d, gfn_t g, enum p2m_type *t)
{
    for (unsigned tries = 0; tries < 1000; tries++) {
        uint64_t *at, leaf = leaf_of(d, g, &at);
        mfn_t m = mfn_in(leaf, g, t);
        if (!p2m_counted(*t))
            return m;
        struct frame *f = mfn_to_frame(m);
        if (!f)
            return INVALID_MFN;
        bool own = *t == P2M_RAM || *t == P2M_RAM_IMMUTABLE;
        if (frame_get(m, own ? d->id : READ_ONCE(f->owner))) {
            /* The frame was alive; that it still is the one meant, only a second look tells. */
            if (READ_ONCE(*at) == leaf)
                return m;
            frame_put(m);
        }
        cpu_relax();
    }
    *t = P2M_NONE; /* somebody changes this place all the time: for the caller it is not there */
    return INVALID_MFN;
}

void p2m_clear_fillers(struct domain *d, uint64_t g, uint64_t end)
{
    enum p2m_type t;
    mfn_t m;
    for (; (g = p2m_next(d, g, end)) < end; g++)
        if (!p2m_clear_only(d, GFN(g), 1u << P2M_FILLER, &m, &t)) {
            npt_flush(d);
            frame_put(m);
        }
}

/* --- teardown -------------------------------------------------------------------------------------- */

struct cleared {
    mfn_t m;
    uint8_t order, type;
};

static void drop_cleared(struct domain *d, const struct cleared *c, unsigned n)
{
    if (!n)
        return;
    npt_flush(d);
    for (unsigned i = 0; i < n; i++)
        if (p2m_counted((enum p2m_type)c[i].type))
            frame_put_block(c[i].m, c[i].order);
}

static bool any_kept(struct domain *d, uint64_t gfn, enum p2m_type t,
                     bool (*keep)(struct domain *d, gfn_t g, enum p2m_type t))
{
    for (uint64_t i = 0; keep && i < FRAMES_2M; i++)
        if (keep(d, GFN(gfn + i), t))
            return true;
    return false;
}

/* Finds the next present leaf at or after *gfn and below end; false when there is none, or no budget: each entry looked at
 * takes one. p2m.lock held. */
static bool next_leaf(struct domain *d, uint64_t *gfn, uint64_t end, unsigned *budget, uint64_t **e,
                      unsigned *order)
{
    for (; *gfn < end && *budget; --*budget) {
        uint64_t *t = d->p2m.root;
        unsigned l = 4;
        for (;; l--) {
            *e = &t[index_at(*gfn, l)];
            if (!(**e & PTE_P))
                break;
            if (l == 1 || (**e & PTE_PS)) {
                *order = 9 * (l - 1);
                return true;
            }
            t = table_of(**e);
        }
        *gfn = ((*gfn >> (9 * (l - 1))) + 1) << (9 * (l - 1));
    }
    return false;
}

uint64_t p2m_next(struct domain *d, uint64_t g, uint64_t end)
{
    uint64_t *e;
    unsigned order, budget = UINT32_MAX;
    spin_lock(&d->p2m.lock);
    bool found = next_leaf(d, &g, end, &budget, &e, &order);
    spin_unlock(&d->p2m.lock);
    return found ? g : end;
}

/* Clears leaves into c[] until it is full or the budget is spent; true at the end of the tables. p2m.lock held. */
static bool clear_some(struct domain *d, uint64_t *cursor, unsigned *budget, struct cleared *c,
                       unsigned *n, bool (*keep)(struct domain *d, gfn_t g, enum p2m_type t))
{
    uint64_t *e;
    unsigned order;
    while (*n < TEARDOWN_BATCH && *budget) {
        if (!next_leaf(d, cursor, d->p2m.max_gfn, budget, &e, &order))
            return *cursor >= d->p2m.max_gfn;
        enum p2m_type t = NPTE_TYPE(*e);
        bool kept = false;
        if (order && any_kept(d, *cursor, t, keep)) {
            *budget -= MIN(*budget, COST_2M);
            if (split(d, e) == 0)
                continue;
            kept = true; /* no memory for the split: the leaf stays, and the caller sees its pages */
        } else if (!order) {
            kept = keep && keep(d, GFN(*cursor), t);
        }
        if (!kept) {
            c[(*n)++] = (struct cleared){ leaf_mfn(*e), (uint8_t)order, (uint8_t)t };
            __atomic_store_n(e, 0, __ATOMIC_RELEASE);
        }
        *cursor += 1ull << order;
        *budget -= MIN(*budget, order ? COST_2M : 1u);
    }
    return false;
}

bool p2m_teardown(struct domain *d, uint64_t *cursor, unsigned budget,
                  bool (*keep)(struct domain *d, gfn_t g, enum p2m_type t))
{
    struct cleared c[TEARDOWN_BATCH];
    bool end = false;
    while (budget && !end) {
        unsigned n = 0;
        spin_lock(&d->p2m.lock);
        end = clear_some(d, cursor, &budget, c, &n, keep);
        spin_unlock(&d->p2m.lock);
        drop_cleared(d, c, n);
    }
    return end;
}

/* --- giving tables back -------------------------------------------------------------------------------- */

volatile uint64_t p2m_quiet; /* raised by each p2m_shrink that unlinked something; CPUs copy it (p2m_pass) */
#define SHRINK_WAIT (1ull << 62) /* cursor: all are unlinked */
#define SHRINK_FREE (1ull << 63) /* and nobody is in them any more */

static bool holds_nothing(const uint64_t *t)
{
    for (unsigned i = 0; i < ENTRIES; i++)
        if (t[i] & PTE_P)
            return false;
    return true;
}

/* Unlinks the table of `level` that serves gfn, if there is one and it holds nothing. p2m.lock held. */
static void unlink_empty(struct domain *d, uint64_t gfn, unsigned level, unsigned *budget)
{
    uint64_t *e = walk(d, gfn, level + 1, false, NULL);
    if (!e || !(*e & PTE_P) || *e & PTE_PS)
        return;
    uint64_t *t = table_of(*e);
    *budget -= MIN(*budget, COST_TABLE);
    if (!holds_nothing(t))
        return;
    __atomic_store_n(e, 0, __ATOMIC_RELEASE);
    list_insert(&d->p2m.emptied, &mfn_to_frame(virt_to_mfn(t))->node);
    d->p2m.nr_tables--;
}

/* From *gfn on, the lower levels first; until the budget is spent. p2m.lock held. */
static void unlink_some(struct domain *d, uint64_t *gfn, unsigned *budget)
{
    while (*gfn < d->p2m.max_gfn && *budget) {
        unsigned l = 4;
        while (l > 2 && walk(d, *gfn, l, false, NULL) && *walk(d, *gfn, l, false, NULL) & PTE_P)
            l--;
        uint64_t next = ((*gfn >> (9 * (l - 1))) + 1) << (9 * (l - 1));
        for (unsigned up = 1; up <= 3; up++) /* those that end here */
            if (next >> (9 * up) != *gfn >> (9 * up))
                unlink_empty(d, *gfn, up, budget);
        *budget -= MIN(*budget, 1u);
        *gfn = next;
    }
}

static bool all_passed(uint64_t quiet)
{
    for (uint32_t i = 0; i < nr_cpus; i++)
        if (cpus[i] != this_cpu() && cpus[i]->quiet_seen < quiet)
            return false;
    return true;
}

/* Whoever is in a guest or halted comes by at once. */
static void begin_quiet(struct domain *d)
{
    npt_flush(d);
    d->p2m.quiet = __atomic_add_fetch(&p2m_quiet, 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < nr_cpus; i++)
        if (cpus[i] != this_cpu())
            apic_send_ipi(cpus[i]->id, VEC_KICK);
}

bool p2m_shrink(struct domain *d, uint64_t *cursor, unsigned budget)
{
    spin_lock(&d->p2m.lock);
    if (*cursor < SHRINK_WAIT)
        unlink_some(d, cursor, &budget);
    bool some = !list_empty(&d->p2m.emptied), end = *cursor >= d->p2m.max_gfn;
    spin_unlock(&d->p2m.lock);
    if (!some || !end)
        return end;
    if (*cursor < SHRINK_WAIT) {
        begin_quiet(d);
        *cursor = SHRINK_WAIT;
    }
    if (*cursor == SHRINK_WAIT && all_passed(d->p2m.quiet))
        *cursor = SHRINK_FREE;
    if (*cursor != SHRINK_FREE)
        return false;
    for (; budget && !list_empty(&d->p2m.emptied); budget -= MIN(budget, COST_TABLE)) {
        struct frame *f = list_entry(d->p2m.emptied.next, struct frame, node);
        list_del(&f->node);
        core_free_for(d, mfn_to_virt(frame_to_mfn(f)));
    }
    return list_empty(&d->p2m.emptied);
}

/* The lowest table along the first present entries goes; its parent's entry with it. */
void p2m_free(struct domain *d)
{
    for (unsigned budget = FREE_BUDGET; d->p2m.root && budget;) {
        uint64_t *t = d->p2m.root, *up = NULL;
        for (unsigned l = 4; l > 1; l--) {
            unsigned i = 0;
            while (i < ENTRIES && (!(t[i] & PTE_P) || t[i] & PTE_PS))
                i++;
            budget -= MIN(budget, i);
            if (i == ENTRIES)
                break;
            up = &t[i];
            t = table_of(t[i]);
        }
        budget -= MIN(budget, COST_TABLE);
        core_free_for(d, t);
        if (!up)
            d->p2m.root = NULL;
        else
            *up = 0;
    }
}

/* --- shoot-down ------------------------------------------------------------------------------------- */

/* A vCPU on its way into the guest raises in_guest, then reads gen (svm_run); here gen is raised, then in_guest is read.
 * Both sides have a full barrier between: either it sees the new generation or we see it in the guest. */
void npt_flush(struct domain *d)
{
    uint64_t gen = __atomic_add_fetch(&d->p2m.gen, 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        struct vcpu *v = d->vcpu[i];
        if (!v || !v->in_guest || READ_ONCE(v->npt_gen) >= gen)
            continue;
        v->kicked = 1;
        apic_send_ipi(v->cpu->id, VEC_KICK);
    }
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        struct vcpu *v = d->vcpu[i];
        while (v && v->in_guest && READ_ONCE(v->npt_gen) < gen)
            cpu_relax();
    }
}
