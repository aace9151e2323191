/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi's tables: I/O page tables of four levels with 4 KiB and 2 MiB leaves (48882, 2.2.3), device table entries
 * (2.2.2.1) and interrupt remapping entries of 32 bits (2.2.5.2). Changes of one entry are single stores; who needs old
 * translations gone flushes afterwards.
 */
#include "base/string.h"
#include "mem/frame.h"
#include "pci/iommu/amdvi.h"

#define ENTRIES 512u
#define LEVELS  4u
#define BIG     (1ull << ORDER_2M) /* frames of a 2 MiB leaf */
#define RW      (IOPTE_IR | IOPTE_IW)

static uint64_t *emptied(uint64_t *t)
{
    for (unsigned i = 0; t && i < ENTRIES; i++)
        t[i] = IOPTE_EMPTY;
    return t;
}
uint64_t *amdvi_pt_new(void) { return emptied(core_alloc(0)); }
uint64_t *amdvi_pt_new_for(struct domain *d) { return emptied(core_alloc_for(d)); }

static unsigned index_at(gfn_t g, unsigned level)
{
    return (g.v >> 9 * (level - 1)) & (ENTRIES - 1);
}
static bool is_present(uint64_t e) { return e & IOPTE_P; }
static bool is_leaf(uint64_t e) { return is_present(e) && !(e & IOPTE_LEVEL(7)); }
static uint64_t *table_of(uint64_t e) { return maddr_to_virt(MADDR(e & IOPTE_ADDR)); }
static uint64_t table_entry(uint64_t *t, unsigned next_level)
{
    return virt_to_maddr(t).v | IOPTE_P | RW | IOPTE_LEVEL(next_level);
}
static uint64_t leaf_entry(mfn_t m) { return m.v << PAGE_SHIFT | IOPTE_P | RW; }

/* The entry for g at `level`, making tables on the way. NULL: no memory, or a leaf is in the way (*e then shows it). */
static uint64_t *walk_alloc(struct iommu_domain *dom, gfn_t g, unsigned level, int *rc)
{
    uint64_t *t = dom->root;

    for (unsigned l = LEVELS; l > level; l--) {
        uint64_t *e = &t[index_at(g, l)];
        if (is_leaf(*e)) {
            *rc = -EEXIST;
            return NULL;
        }
        if (!is_present(*e)) {
            uint64_t *n = emptied(iommu_table_get(dom));
            if (!n) {
                *rc = -ENOMEM;
                return NULL;
            }
            WRITE_ONCE(*e, table_entry(n, l - 1));
        }
        t = table_of(*e);
    }
    return &t[index_at(g, level)];
}

int amdvi_pt_map(struct iommu_domain *dom, gfn_t g, mfn_t m, unsigned order)
{
    int rc = 0;
    uint64_t *e;

    if (g.v >> 36 || (order && (order != ORDER_2M || (g.v | m.v) & (BIG - 1))))
        return -EINVAL;
    e = walk_alloc(dom, g, order ? 2 : 1, &rc);
    if (!e)
        return rc;
    if (is_present(*e))
        return -EEXIST;
    for (uint64_t i = 0; i < 1ull << order; i++)
        frame_get_held(MFN(m.v + i));
    WRITE_ONCE(*e, leaf_entry(m));
    return 0;
}

/* A 2 MiB leaf becomes a table of 4 KiB leaves of the same frames. */
static bool split(struct iommu_domain *dom, uint64_t *e)
{
    uint64_t first = (*e & IOPTE_ADDR) >> PAGE_SHIFT, *t = iommu_table_get(dom);

    if (!t)
        return false;
    for (unsigned i = 0; i < ENTRIES; i++)
        t[i] = leaf_entry(MFN(first + i));
    WRITE_ONCE(*e, table_entry(t, 1));
    return true;
}

bool amdvi_pt_unmap(struct iommu_domain *dom, gfn_t g, mfn_t *m, bool *whole)
{
    uint64_t *t = dom->root, *e;

    *whole = false;
    if (g.v >> 36)
        return false;
    for (unsigned l = LEVELS;; l--) {
        e = &t[index_at(g, l)];
        if (!is_present(*e))
            return false;
        if (is_leaf(*e) && l == 2 && !split(dom, e)) {
            *whole = true;
            break;
        }
        if (l == 1)
            break;
        t = table_of(*e);
    }
    *m = MFN((*e & IOPTE_ADDR) >> PAGE_SHIFT);
    WRITE_ONCE(*e, IOPTE_EMPTY);
    return true;
}

mfn_t amdvi_pt_lookup(const struct iommu_domain *dom, gfn_t g)
{
    const uint64_t *t = dom->root;

    for (unsigned l = LEVELS; l; l--) {
        uint64_t e = t[index_at(g, l)];
        if (!is_present(e) || g.v >> 36)
            break;
        if (is_leaf(e))
            return MFN(((e & IOPTE_ADDR) >> PAGE_SHIFT) + (g.v & ((1ull << 9 * (l - 1)) - 1)));
        t = table_of(e);
    }
    return INVALID_MFN;
}

/* Empties what the table of the last level, or the 2 MiB leaf, at g holds. Returns how much of a budget it took. */
static unsigned clear_low(struct iommu_domain *dom, uint64_t *e)
{
    uint64_t first = (*e & IOPTE_ADDR) >> PAGE_SHIFT, *t = table_of(*e);
    bool leaf = is_leaf(*e);

    *e = IOPTE_EMPTY;
    if (leaf)
        frame_put_block(MFN(first), ORDER_2M);
    for (unsigned i = 0; !leaf && i < ENTRIES; i++)
        if (is_present(t[i]))
            frame_put(MFN((t[i] & IOPTE_ADDR) >> PAGE_SHIFT));
    if (!leaf)
        iommu_table_put(dom, t);
    return ENTRIES;
}

/* Goes on at *g, below t: false when the budget is spent. Tables that are left are empty and let go. */
static bool clear_table(struct iommu_domain *dom, uint64_t *t, unsigned level, uint64_t *g,
                        unsigned *budget)
{
    for (unsigned i = index_at(GFN(*g), level); i < ENTRIES; i++) {
        if (!*budget)
            return false;
        uint64_t next = ((*g >> 9 * (level - 1)) + 1) << 9 * (level - 1);
        unsigned cost = 1;
        if (is_present(t[i]) && level == 2) {
            cost = clear_low(dom, &t[i]);
        } else if (is_present(t[i])) {
            if (!clear_table(dom, table_of(t[i]), level - 1, g, budget)) /* depth: 2 */
                return false;
            iommu_table_put(dom, table_of(t[i]));
            t[i] = IOPTE_EMPTY;
        }
        *budget -= MIN(*budget, cost);
        *g = next;
    }
    return true;
}
void amdvi_pt_clear(struct iommu_domain *dom)
{
    unsigned budget = IOMMU_STEP;

    if (clear_table(dom, dom->root, LEVELS, &dom->clear_at, &budget))
        dom->clear_at = iommu_trim(dom, budget) ? 0 : 1; /* once more through an empty root */
}

void dte_blocked(struct dte *e, maddr_t empty_root)
{
    *e = (struct dte){ { DTE_V | DTE_TV | DTE_MODE_4 | empty_root.v, 0, DTE_IV | DTE_INTTABLEN, 0 } };
}
void dte_remap_only(struct dte *e, maddr_t irt)
{
    e->q[2] = DTE_IV | DTE_INTTABLEN | DTE_INTCTL_REMAP | irt.v;
}
void dte_attached(struct dte *e, const struct iommu_domain *dom, maddr_t irt)
{
    e->q[0] = DTE_V | DTE_TV | DTE_MODE_4 | DTE_IR | DTE_IW | virt_to_maddr(dom->root).v;
    e->q[1] = dom->id;
    e->q[2] = DTE_IV | DTE_INTTABLEN | DTE_INTCTL_REMAP | irt.v;
    e->q[3] = 0;
}

/* Fixed delivery, edge, physical destination. */
uint32_t irte_make(uint8_t vector, uint8_t apic)
{
    return 1u | (uint32_t)apic << 8 | (uint32_t)vector << 16;
}
