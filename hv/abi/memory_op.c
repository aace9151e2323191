/* SPDX-License-Identifier: MIT */
/*
 * memory_op: a domain's view of its own physical address space. Every operation names the caller itself; long ones keep
 * their place in the upper bits of the command, as Xen's do, and are executed again.
 *
 * Whatever leaves the p2m is dropped only after npt_flush (and the IOMMU's flush in pci_p2m_changed).
 */
#include "abi/dispatch.h"
#include <xen/xen.h>
#include <xen/memory.h>
#include "abi/memory_op.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/gcopy.h"
#include "pci/pci.h"
#include "sched/sched.h"

struct e820 {
    uint64_t addr, size;
    uint32_t type;
} __packed;
_Static_assert(sizeof(struct e820) == 20, "E820 entry: the same in both layouts");
#define MEMORY_MAP_MAX (MAX_EXTENTS + 2)

#define CMD_BITS        6 /* MEMOP_EXTENT_SHIFT */
#define CMD_MASK        ((1ull << CMD_BITS) - 1)
#define MAX_ORDER_GUEST 9u
#define E820_RAM        1u
#define E820_RESERVED   2u
#define LOW_END         0xa0000ull /* of conventional memory */
#define HIGH_START      0x100000ull

static void put_mapped(mfn_t m, enum p2m_type t)
{
    if (t == P2M_RAM)
        frame_put(m);
}

/* Takes RAM or a page of the core away from gfn. Mappings of grants end by grant operations, devices' memory by deassignment,
 * the bundle and immutable pages never. Nothing there is fine. */
static int vacate(struct domain *d, uint64_t gfn)
{
    enum p2m_type t;
    mfn_t m;
    (void)p2m_lookup(d, GFN(gfn), &t);
    if (p2m_vacant(t))
        return 0;
    if (t == P2M_RAM_IMMUTABLE)
        return -EPERM;
    if (t != P2M_RAM && t != P2M_SHARED)
        return -EINVAL;
    /* Of these two types even if another vCPU was quicker: a grant's mapping has a record and a pin that go with it. */
    int rc = p2m_clear_only(d, GFN(gfn), 1u << P2M_RAM | 1u << P2M_SHARED, &m, &t);
    if (rc == -ENOENT)
        return 0;
    if (rc)
        return rc;
    if (t == P2M_RAM)
        pci_p2m_changed(d, GFN(gfn), m, false);
    npt_flush(d);
    put_mapped(m, t);
    return 0;
}

/* --- pages of the core ------------------------------------------------------------------------------------------ */

/* Page m appears at gfn and nowhere else: it leaves *where, and what was at gfn is gone. d->lock is held: two vCPUs that
 * move the same page at once would each see the place of before, and leave it at both of theirs. */
static int move_page(struct domain *d, mfn_t m, uint64_t *where, uint64_t gfn)
{
    enum p2m_type t;
    if (gfn >= d->p2m.max_gfn)
        return -EINVAL;
    mfn_t at = p2m_lookup(d, GFN(gfn), &t);
    if (t == P2M_SHARED && at.v == m.v)
        return 0;
    int rc = vacate(d, gfn);
    if (!rc)
        rc = p2m_set(d, GFN(gfn), m, 0, P2M_SHARED);
    if (rc)
        return rc;
    uint64_t old = *where;
    *where = gfn;
    at = p2m_lookup(d, GFN(old), &t);
    return old != gfn && t == P2M_SHARED && at.v == m.v ? vacate(d, old) : 0;
}

int physmap_add(struct domain *d, uint32_t space, uint64_t idx, uint64_t gfn)
{
    mfn_t m;
    uint64_t *where;
    if (space == XENMAPSPACE_shared_info && !idx) {
        m = virt_to_mfn(d->shared);
        where = &d->shared_gfn;
    } else if (space == XENMAPSPACE_grant_table && idx < GRANT_MAX_FRAMES) {
        int rc = grant_frame_mfn(d, (uint32_t)idx, &m);
        if (rc)
            return rc;
        where = &d->grant.frame_gfn[clamp_nospec(idx, GRANT_MAX_FRAMES)];
    } else {
        return -EINVAL;
    }
    spin_lock(&d->lock);
    int rc = move_page(d, m, where, gfn);
    spin_unlock(&d->lock);
    return rc;
}

static long op_add_to_physmap(struct call *c, const struct xen_add_to_physmap *a)
{
    return is_self(c->d, a->domid) ? physmap_add(c->d, a->space, a->idx, a->gpfn) : -EPERM;
}

static long op_add_to_physmap_batch(struct call *c, const struct xen_add_to_physmap_batch *a)
{
    if (!is_self(c->d, a->domid))
        return -EPERM;
    for (uint64_t i = c->a[0] >> CMD_BITS; i < a->size; i++) {
        xen_ulong_t idx;
        xen_pfn_t gfn;
        if (copy_from_guest(&idx, GADDR((uint64_t)a->idxs.p + i * 8), 8) ||
            copy_from_guest(&gfn, GADDR((uint64_t)a->gpfns.p + i * 8), 8))
            return -EFAULT;
        int rc = physmap_add(c->d, a->space, idx, gfn);
        if (copy_to_guest(GADDR((uint64_t)a->errs.p + i * 4), &rc, 4))
            return -EFAULT;
        if (i + 1 < a->size && must_yield()) {
            c->a[0] = XENMEM_add_to_physmap_batch | (i + 1) << CMD_BITS;
            return HC_AGAIN;
        }
    }
    return 0;
}

static long op_remove_from_physmap(struct call *c, const struct xen_remove_from_physmap *r)
{
    enum p2m_type t;
    if (!is_self(c->d, r->domid))
        return -EPERM;
    (void)p2m_lookup(c->d, GFN(r->gpfn), &t);
    return p2m_vacant(t) ? -ENOENT : vacate(c->d, r->gpfn);
}

/* --- balloon ----------------------------------------------------------------------------------------------------------- */

/* RAM within the domain's limit at gfn; -EEXIST if something is there. */
static int populate_one(struct domain *d, uint64_t gfn)
{
    enum p2m_type t;
    (void)p2m_lookup(d, GFN(gfn), &t);
    if (!p2m_vacant(t))
        return -EEXIST;
    mfn_t m = frame_alloc(d, 0);
    if (m.v == INVALID_MFN.v)
        return -ENOMEM;
    int rc = p2m_set(d, GFN(gfn), m, 0, P2M_RAM);
    if (rc)
        frame_put(m);
    else
        pci_p2m_changed(d, GFN(gfn), m, true);
    return rc;
}

static int release_one(struct domain *d, uint64_t gfn)
{
    enum p2m_type t;
    (void)p2m_lookup(d, GFN(gfn), &t);
    return t == P2M_RAM || t == P2M_RAM_IMMUTABLE ? vacate(d, gfn) : -EINVAL;
}

/* populate_physmap and decrease_reservation: as many whole extents as can be done; returns that number. `start` counts
 * pages done, so that a large extent can be resumed in its middle. */
static long change_reservation(struct call *c, const struct xen_memory_reservation *r,
                               int (*one)(struct domain *d, uint64_t gfn))
{
    struct domain *d = c->d;
    if (!is_self(d, r->domid))
        return -EPERM;
    if (r->extent_order > MAX_ORDER_GUEST || r->nr_extents > (1ull << 40))
        return -EINVAL;
    uint64_t per = 1ull << r->extent_order, total = (uint64_t)r->nr_extents << r->extent_order;
    for (uint64_t i = c->a[0] >> CMD_BITS; i < total; i++) {
        xen_pfn_t gfn;
        if (copy_from_guest(&gfn, GADDR((uint64_t)r->extent_start.p + i / per * 8), 8))
            return -EFAULT;
        if (gfn >= d->p2m.max_gfn || gfn % per)
            return (long)(i / per);
        gfn += i % per;
        if (one(d, gfn))
            return (long)(i / per);
        if (i + 1 < total && must_yield()) {
            c->a[0] = (c->a[0] & CMD_MASK) | (i + 1) << CMD_BITS;
            return HC_AGAIN;
        }
    }
    return (long)r->nr_extents;
}

static long op_populate_physmap(struct call *c, const struct xen_memory_reservation *r)
{
    return change_reservation(c, r, populate_one);
}
static long op_decrease_reservation(struct call *c, const struct xen_memory_reservation *r)
{
    return change_reservation(c, r, release_one);
}
static long op_current_reservation(struct call *c, const struct xen_memory_domain *m)
{
    return is_self(c->d, m->domid) ? (long)c->d->tot_pages : -EPERM;
}
static long op_maximum_reservation(struct call *c, const struct xen_memory_domain *m)
{
    return is_self(c->d, m->domid) ? (long)c->d->max_pages : -EPERM;
}

/* --- the map -------------------------------------------------------------------------------------------------------------- */

static uint32_t add_range(struct e820 *e, uint32_t n, uint64_t from, uint64_t to, uint32_t type)
{
    if (from < to)
        e[n++] = (struct e820){ from, to - from, type };
    return n;
}

/* What the builder populated, into e[MEMORY_MAP_MAX]; returns the length. The area between 640 KiB and 1 MiB is RAM, but nobody
 * is to use it (docs/linux-pvh.md 1). */
static uint32_t memory_map_of(struct domain *d, struct e820 *e)
{
    uint32_t n = 0;
    spin_lock(&d->lock);
    for (uint32_t i = 0; i < d->nr_extents; i++) {
        uint64_t from = d->extent[i].gfn << PAGE_SHIFT, to = from + (d->extent[i].nr << PAGE_SHIFT);
        if (from < HIGH_START && n + 3 <= MEMORY_MAP_MAX) {
            n = add_range(e, n, from, MIN(to, LOW_END), E820_RAM);
            n = add_range(e, n, LOW_END, HIGH_START, E820_RESERVED);
            from = HIGH_START;
        }
        if (n < MEMORY_MAP_MAX)
            n = add_range(e, n, from, to, d->extent[i].reserved ? E820_RESERVED : E820_RAM);
    }
    spin_unlock(&d->lock);
    return n;
}

long memory_map_copy(struct domain *d, gaddr_t buf, uint32_t *nr)
{
    struct e820 e[MEMORY_MAP_MAX];
    uint32_t n = memory_map_of(d, e);
    *nr = MIN(n, *nr);
    return copy_to_guest(buf, e, *nr * sizeof e[0]) ? -EFAULT : 0;
}

static long op_memory_map(struct call *c, struct xen_memory_map *mm)
{
    return memory_map_copy(c->d, GADDR((uint64_t)mm->buffer.p), &mm->nr_entries);
}

static long op_maximum_gpfn(struct call *c, const struct xen_memory_domain *m)
{
    struct domain *d = c->d;
    uint64_t top = 0;
    if (!is_self(d, m->domid))
        return -EPERM;
    spin_lock(&d->lock);
    for (uint32_t i = 0; i < d->nr_extents; i++)
        top = MAX(top, d->extent[i].gfn + d->extent[i].nr - 1);
    spin_unlock(&d->lock);
    return (long)top;
}

#define MEMORY_OP OP_STUB
#include <ops.def>
#define MEMORY_OP OP_ROW
static const struct op rows[] = {
#include <ops.def>
};
const struct ops memory_op_ops = OPS(rows, CMD_MASK, 1);
