/* SPDX-License-Identifier: MIT */
/*
 * What all IOMMU drivers share: finding one, a domain's table filled from its p2m, changes of the p2m, and fault reports.
 */
#include "pci/iommu.h"
#include "boot/boot.h"
#include "irq/irq.h"
#include "lib/print.h"
#include "mem/frame.h"
#include "pci/amdvi.h"
#include "pci/pci_int.h"
#include "sched/domain.h"

#define WATCH_NS       (200 * NS_PER_MS)
#define REPORT_BURST   8u              /* lines in */
#define REPORT_WINDOW  (10 * NS_PER_S) /* so much time */

const struct iommu_ops *iommu_ops;

void iommu_init_early(void)
{
    if (cmdline.iommu_off)
        log_warn("IOMMU: off by command line: no device can be assigned\n");
    else if (acpi_info.ivrs && amdvi_init(acpi_info.ivrs))
        iommu_ops = &amdvi_ops;
    else
        log_warn("IOMMU: none that can be used: no device can be assigned\n");
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

int iommu_fill(struct iommu_domain *dom)
{
    struct domain *d = dom->domain;
    int rc = 0;

    for (unsigned e = 0; e < d->nr_extents; e++) {
        uint64_t g = d->extent[e].gfn, end = g + d->extent[e].nr, step;
        for (; g < end && !rc; g += step) {
            enum p2m_type t;
            mfn_t m = p2m_lookup(d, GFN(g), &t);
            unsigned order = 0;
            step = 1;
            if (t != P2M_RAM)
                continue;
            if (whole_2m(d, g, end - g, m))
                order = ORDER_2M;
            step = 1ull << order;
            spin_lock(&dom->lock);
            rc = iommu_ops->map(dom, GFN(g), m, order);
            spin_unlock(&dom->lock);
            if (rc == -EEXIST) /* extents that overlap */
                rc = 0;
        }
    }
    if (rc)
        iommu_ops->clear(dom);
    return rc;
}

void pci_p2m_changed(struct domain *d, gfn_t g, mfn_t m, bool present)
{
    struct iommu_domain *dom = d->iommu; /* set and cleared only while no vCPU of d is in the guest or in the core */
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
    else if (p2m_lookup(d, g, &t).v == m.v && t == P2M_RAM)
        rc = iommu_ops->map(dom, g, m, 0);
    spin_unlock(&dom->lock);
    if (rc)
        log_warn("IOMMU: d%u: page %lx stays unreachable for its devices (%d)\n", d->id, g.v, rc);
    if (!was)
        return;
    iommu_ops->flush(dom);
    for (uint64_t i = 0; i < (whole ? 1ull << ORDER_2M : 1); i++)
        frame_put(MFN(old.v + i));
}

/* --- faults ----------------------------------------------------------------------------------------------------- */

static struct timer watch_timer;
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
            log_warn("IOMMU: %u more blocked accesses not shown\n", dropped);
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

void iommu_fault(uint16_t requester, bool has_addr, uint64_t addr, const char *what)
{
    struct pci_dev *p = pci_find(requester);

    if (p)
        __atomic_fetch_add(&p->dma_faults, 1, __ATOMIC_RELAXED);
    if (!may_report())
        return;
    if (has_addr)
        log_warn("IOMMU: blocked %s of " PCI_FMT " to 0x%lx\n", what, PCI_ARGS(requester), addr);
    else
        log_warn("IOMMU: blocked %s of " PCI_FMT " (address not reported)\n", what, PCI_ARGS(requester));
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

void iommu_watch(void)
{
    if (!watch_timer.fn)
        timer_setup(&watch_timer, watch);
    timer_set(&watch_timer, now_ns() + WATCH_NS);
}
