/* SPDX-License-Identifier: MIT */
/*
 * What all IOMMU drivers share: finding one, a domain's table filled from its p2m, changes of the p2m, and fault reports.
 */
#include "pci/iommu/iommu.h"
#include "arch/irq.h"
#include "base/print.h"
#include "mem/frame.h"
#include "pci/iommu/amdvi.h"
#include "pci/pci_int.h"
#include "platform/acpi_info.h"
#include "platform/cmdline.h"
#include "domain/struct.h"

#define WATCH_NS      (200 * NS_PER_MS)
#define IDLE_NS       (100 * NS_PER_MS) /* between two looks of the boot CPU when it has nothing to run */
#define REPORT_BURST  8u                /* lines in */
#define REPORT_WINDOW (10 * NS_PER_S) /* so much time */
#define TABLE_COST    32u             /* of a budget, for a table that is allocated */

void iommu_init_early(void)
{
    if (cmdline.iommu_off)
        log_warn("IOMMU: off by command line: no device can be assigned");
    else if (acpi_info.ivrs && amdvi_init(acpi_info.ivrs))
        iommu_ops = &amdvi_ops;
    else
        log_warn("IOMMU: %s: no device can be assigned",
                 acpi_info.dmar ? "Intel's (VT-d) is not supported yet" : "none that can be used");
    if (cmdline.iommu_required && !iommu_ops)
        panic("iommu=required: there is no IOMMU that can be used");
}

void iommu_claim(struct pci_dev *p)
{
    if (iommu_ops && !pci_is_platform_core(p))
        iommu_ops->claim(p);
}

struct iommu_domain *iommu_domain_create(struct domain *d)
{
    struct iommu_domain *dom = kmalloc(sizeof(*dom));

    if (!dom)
        return NULL;
    dom->id = (uint16_t)(d->id + 1);
    dom->domain = d;
    if (iommu_ops->init_domain(dom)) {
        kfree(dom, sizeof(*dom));
        return NULL;
    }
    return dom;
}

void iommu_domain_free(struct iommu_domain *dom)
{
    iommu_ops->free_domain(dom);
    kfree(dom, sizeof(*dom));
}

/* --- tables ----------------------------------------------------------------------------------------------------- */

void *iommu_table_get(struct iommu_domain *dom)
{
    void *t = dom->spare;

    if (t) {
        dom->spare = *(void **)t;
        dom->nr_spare--;
    } else {
        t = core_alloc_for(dom->domain);
    }
    if (t)
        dom->nr_tables++;
    return t;
}

void iommu_table_put(struct iommu_domain *dom, void *table)
{
    dom->nr_tables--;
    if (dom->nr_tables + dom->nr_spare >= dom->reserve) {
        core_free_for(dom->domain, table);
        return;
    }
    *(void **)table = dom->spare;
    dom->spare = table;
    dom->nr_spare++;
}

bool iommu_trim(struct iommu_domain *dom, unsigned budget)
{
    while (dom->spare && dom->nr_tables + dom->nr_spare > dom->reserve) {
        if (!budget)
            return false;
        iommu_table_put(dom, iommu_table_get(dom));
        budget -= MIN(budget, TABLE_COST);
    }
    return true;
}

/* What lies in [first, first + n) of pages takes at most so many tables, the root not counted (both vendors: 512 entries each). */
static uint64_t tables_for(uint64_t first, uint64_t n)
{
    uint64_t sum = 0;

    for (unsigned l = 1; n && l <= 3; l++)
        sum += ((first + n - 1) >> 9 * l) - (first >> 9 * l) + 1;
    return sum;
}

/* Holds back what the whole of d in single pages would take, by a promise for just that, which stays until its end. 0, HC_AGAIN or
 * -ENOMEM. */
static int hold_tables(struct iommu_domain *dom, unsigned *budget)
{
    struct domain *d = dom->domain;
    uint64_t all = 1; /* the root */

    for (unsigned e = 0; e < d->nr_extents; e++)
        all += tables_for(d->extent[e].gfn, d->extent[e].nr);
    dom->reserve = all - 1;
    if (all > d->iommu_promised) {
        int rc = frame_promise(d, 0, all - d->iommu_promised);
        if (rc)
            return rc;
        d->iommu_promised = all;
    }
    while (dom->nr_tables + dom->nr_spare < dom->reserve) {
        if (!*budget)
            return HC_AGAIN;
        void *t = core_alloc_for(d);
        if (!t)
            return -ENOMEM;
        *(void **)t = dom->spare;
        dom->spare = t;
        dom->nr_spare++;
        *budget -= MIN(*budget, TABLE_COST);
    }
    return 0;
}

/* --- filling ------------------------------------------------------------------------------------------------------ */

/* 2 MiB at g if all of it is RAM, contiguous and aligned in the machine. */
static bool whole_2m(struct domain *d, uint64_t g, uint64_t left, mfn_t m)
{
    const uint64_t n = 1ull << ORDER_2M;
    enum p2m_type t;

    if ((g | m.v) & (n - 1) || left < n)
        return false;
    for (uint64_t i = 1; i < n; i++)
        if (p2m_lookup(d, GFN(g + i), &t).v != m.v + i || t != P2M_RAM)
            return false;
    return true;
}

/* Page g of an extent, `left` with it to its end. Returns how many places it was, or an error. */
static int fill_one(struct iommu_domain *dom, uint64_t g, uint64_t left, unsigned *looked)
{
    struct domain *d = dom->domain;
    unsigned order = 0;
    enum p2m_type t;
    mfn_t m = p2m_lookup(d, GFN(g), &t);

    *looked = 1;
    if (t != P2M_RAM)
        return 1;
    if (!((g | m.v) & ((1ull << ORDER_2M) - 1)) && left >= 1ull << ORDER_2M) {
        *looked += 1u << ORDER_2M;
        order = whole_2m(d, g, left, m) ? ORDER_2M : 0;
    }
    int rc = iommu_ops->map(dom, GFN(g), m, order);
    if (rc == -EEXIST &&
        order) /* a page of it is in already: the p2m changed meanwhile, or extents overlap */
        rc = iommu_ops->map(dom, GFN(g), m, order = 0);
    return rc && rc != -EEXIST ? rc : 1 << order;
}

static int fill_step(struct iommu_domain *dom)
{
    struct domain *d = dom->domain;
    unsigned budget = IOMMU_STEP, looked;
    int rc = hold_tables(dom, &budget);

    for (; !rc && dom->fill_extent < d->nr_extents; dom->fill_extent++, dom->fill_page = 0) {
        uint64_t first = d->extent[dom->fill_extent].gfn, nr = d->extent[dom->fill_extent].nr;
        while (dom->fill_page < nr) {
            if (!budget)
                return HC_AGAIN;
            rc = fill_one(dom, first + dom->fill_page, nr - dom->fill_page, &looked);
            if (rc < 0)
                return rc;
            budget -= MIN(budget, looked);
            dom->fill_page += (unsigned)rc;
            rc = 0;
        }
    }
    dom->full = !rc;
    return rc;
}

int iommu_fill(struct iommu_domain *dom)
{
    int rc = 0;

    spin_lock(&dom->lock);
    if (!dom->open) {
        dom->open = true;
        dom->fill_extent = 0;
        dom->fill_page = dom->clear_at = 0;
    }
    if (!dom->full)
        rc = fill_step(dom);
    spin_unlock(&dom->lock);
    return rc;
}

static struct spinlock report_lock = SPINLOCK_INIT; /* window_start, reported, dropped */
static uint64_t window_start;
static unsigned reported, dropped;

static bool may_report(void)
{
    uint64_t now = now_ns();
    bool ok;

    spin_lock(&report_lock);
    if (now - window_start >= REPORT_WINDOW) {
        if (dropped)
            log_warn("IOMMU: %u more reports not shown", dropped);
        window_start = now;
        reported = dropped = 0;
    }
    ok = reported < REPORT_BURST;
    if (ok)
        reported++;
    else
        dropped++;
    spin_unlock(&report_lock);
    return ok;
}

void pci_p2m_changed(struct domain *d, gfn_t g, mfn_t m, bool present)
{
    struct iommu_domain *dom =
        d->iommu; /* made and freed only while no vCPU of d is in the guest or in the core */
    mfn_t old = INVALID_MFN;
    bool whole = false, was = false;
    enum p2m_type t;
    int rc = 0;

    if (!dom)
        return;
    spin_lock(&dom->lock);
    /* Another vCPU may have taken the page away again. If it is still there now, whoever takes it away comes here, and
     * waits for this lock, before the frame is let go; if not, the frame may be anybody's by now. */
    if (!present)
        was = iommu_ops->unmap(dom, g, &old, &whole);
    else if (dom->open && p2m_lookup(d, g, &t).v == m.v && t == P2M_RAM)
        rc = iommu_ops->map(dom, g, m, 0);
    spin_unlock(&dom->lock);
    if (rc && may_report())
        log_warn("IOMMU: d%u: page %lx stays unreachable for its devices (%d)", d->id, g.v, rc);
    if (!was)
        return;
    iommu_ops->flush(dom);
    frame_put_block(old, whole ? ORDER_2M : 0);
}

/* --- faults ----------------------------------------------------------------------------------------------------- */

static struct timer watch_timer;
static uint32_t expected; /* a: unit << 16 | device, 0: none */

void iommu_expect(uint16_t unit, uint16_t device)
{
    __atomic_store_n(&expected, (uint32_t)unit << 16 | device, __ATOMIC_RELAXED);
}

static bool is_expected(uint16_t requester)
{
    uint32_t e = __atomic_load_n(&expected, __ATOMIC_RELAXED);

    return e && (requester == (uint16_t)e || requester == (uint16_t)(e >> 16));
}

void iommu_fault(uint16_t requester, bool has_addr, uint64_t addr, const char *what)
{
    struct pci_dev *p = pci_find(requester);

    if (is_expected(requester))
        return;
    if (p)
        __atomic_fetch_add(&p->dma_faults, 1, __ATOMIC_RELAXED);
    if (!may_report())
        return;
    if (has_addr)
        log_warn("IOMMU: blocked %s of " BDF_FMT " to 0x%lx", what, BDF_ARGS(requester), addr);
    else
        log_warn("IOMMU: blocked %s of " BDF_FMT " (address not reported)", what,
                 BDF_ARGS(requester));
}

/* A route whose remapping entry is cleared because it interrupts too often: nothing else is to be expected of it. */
void iommu_irq_fault(uint16_t requester, uint64_t addr)
{
    struct pci_dev *p = pci_find(requester);

    if (p && READ_ONCE(p->nr_cut))
        __atomic_fetch_add(&p->dma_faults, 1, __ATOMIC_RELAXED);
    else
        iommu_fault(requester, true, addr, "interrupt");
}

static void watch(struct timer *t)
{
    bool any = false;

    iommu_ops->poll_faults();
    for (struct pci_dev *p = pci_devices; p && !any; p = p->next)
        any = READ_ONCE(p->state) == BH_PCI_ASSIGNED;
    if (any)
        timer_set(t, now_ns() + WATCH_NS);
}

void iommu_idle(uint64_t now)
{
    static uint64_t seen;

    if (this_cpu()->id || !iommu_ops || !iommu_ops->poll_faults || now - seen <= IDLE_NS)
        return;
    seen = now;
    iommu_ops->poll_faults();
}

void iommu_watch(void)
{
    if (!watch_timer.fn)
        timer_setup(&watch_timer, watch);
    timer_set(&watch_timer, now_ns() + WATCH_NS);
}
