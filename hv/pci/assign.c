/* SPDX-License-Identifier: MIT */
/*
 * Assignment: gives a hidden device to one domain, and takes it back.
 *
 * Assigned means: reset, BARs in the owner's p2m, an IOMMU table with the owner's RAM; but the device entry stays blocked
 * and bus mastering off until the owner's driver has reset the device itself and calls dev_dma_enable. A fence undoes just
 * that and drops the references of the table, so that frames can be swapped; the slot keeps device, BARs and pirqs.
 */
#include "boot/boot.h"
#include "irq/pirq.h"
#include "lib/print.h"
#include "mem/frame.h"
#include "pci/iommu.h"
#include "pci/pci_int.h"
#include "sched/domain.h"

#define MMIO_FIRST 0xe0000000ull /* guest-physical room for BARs */
#define MMIO_LAST  0xfec00000ull
#define MMIO_HIGH  (1ull << 38)  /* for those that do not fit */
#define MAX_MMIO   (4ull << 30)  /* of one device: bounds the time that mapping takes */

/* --- checks ---------------------------------------------------------------------------------------------------- */

static bool overlaps(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
    return alen && blen && a < b + blen && b < a + alen;
}

/* A BAR is a number that the device and firmware chose: one that lies over RAM or the core's own registers would open
 * these to the owner. */
static bool bar_is_free(uint64_t base, uint64_t size)
{
    for (unsigned i = 0; i < boot_info.nr_ram; i++)
        if (overlaps(base, size, boot_info.ram[i].start, boot_info.ram[i].end - boot_info.ram[i].start))
            return false;
    for (unsigned i = 0; i < acpi_info.nr_ioapics; i++)
        if (overlaps(base, size, acpi_info.ioapic[i].base, PAGE_SIZE))
            return false;
    return base >= 0x100000 && !overlaps(base, size, 0xfee00000, 0x100000) &&
           !overlaps(base, size, acpi_info.lapic_base, PAGE_SIZE) &&
           !(acpi_info.hpet_base && overlaps(base, size, acpi_info.hpet_base, PAGE_SIZE)) &&
           !(acpi_info.mcfg_base && overlaps(base, size, acpi_info.mcfg_base, 256ull << 20)) &&
           !iommu_ops->owns(base, size);
}

static bool group_is_free(const struct pci_dev *p, const struct domain *d)
{
    for (const struct pci_dev *q = pci_devices; q; q = q->next) {
        if (q == p || q->group != p->group || pci_is_platform_core(q))
            continue;
        if (!q->hidden || (q->state == BH_PCI_ASSIGNED && q->owner != d->id))
            return false;
    }
    return true;
}

/* The devices' table is made, filled and freed only while no vCPU can change the p2m under it: d neither runs nor is in the
 * middle of a hypercall. */
static int check_quiet(struct domain *d)
{
    if (d->state == BH_DOM_RUNNING && !d->pause_count)
        return -EINVAL;
    return domain_stopped(d) ? 0 : HC_AGAIN; /* kicked when it was paused or crashed: soon */
}

/* In the order of the refusals in bulkhead.h. */
static int check_assign(const struct pci_dev *p, struct domain *d)
{
    uint64_t mmio = 0;

    if (!p)
        return -ENOENT;
    if (!p->hidden)
        return -EACCES;
    if (p->state == BH_PCI_ASSIGNED)
        return -EBUSY;
    if (!iommu_ops || !p->iommu)
        return -ENODEV;
    if (!group_is_free(p, d))
        return -EXDEV;
    if (p->reset == PCI_RESET_NONE)
        return -EOPNOTSUPP;
    if (d->state != BH_DOM_BUILDING && d->state != BH_DOM_RUNNING)
        return -EINVAL;
    int rc = check_quiet(d);
    if (rc)
        return rc;
    for (unsigned i = 0; i < 6; i++) {
        if (!(p->bar[i].flags & BAR_MEM) || !p->bar[i].base)
            continue;
        mmio += p->bar[i].size;
        if (mmio > MAX_MMIO || !bar_is_free(p->bar[i].base, p->bar[i].size))
            return -ENOSPC;
    }
    return mmio ? 0 : -ENOSPC;
}

/* --- BARs ------------------------------------------------------------------------------------------------------ */

/* A page may be shown if it holds neither interrupt vectors, which are the core's alone, nor registers of another device. */
static bool page_may_be_mapped(const struct pci_dev *p, uint64_t m, uint64_t len)
{
    if (p->cap_msix &&
        (overlaps(m, len, p->bar[p->msix_bar].base + p->msix_off, p->msix_total * 16u) ||
         overlaps(m, len, p->bar[p->pba_bar].base + p->pba_off, (p->msix_total + 63u) / 64 * 8)))
        return false;
    for (const struct pci_dev *q = pci_devices; q; q = q->next)
        for (unsigned i = 0; q != p && i < 6; i++)
            if ((q->bar[i].flags & BAR_MEM) && overlaps(m, len, q->bar[i].base, q->bar[i].size))
                return false;
    return true;
}

static uint64_t bar_span(const struct bh_pci_bar *b) /* whole pages that it touches */
{
    return ROUND_UP((b->base & ~PAGE_MASK) + b->size, PAGE_SIZE);
}

/* Chooses where each BAR goes: naturally aligned, after what the owner has already; `gpa` != 0 fixes the first. */
static int place_bars(struct pci_dev *p, const struct domain *d, uint64_t gpa)
{
    uint64_t low = MMIO_FIRST, high = MMIO_HIGH;

    for (const struct pci_dev *q = d->devices; q; q = q->next_owned)
        for (unsigned i = 0; i < 6; i++)
            if (q->bar[i].gpa >= MMIO_HIGH)
                high = MAX(high, (q->bar[i].gpa & PAGE_MASK) + bar_span(&q->bar[i]));
            else if (q->bar[i].gpa)
                low = MAX(low, (q->bar[i].gpa & PAGE_MASK) + bar_span(&q->bar[i]));
    if (gpa && (gpa & ~PAGE_MASK || gpa < MMIO_FIRST))
        return -EINVAL;
    if (gpa)
        low = gpa;
    for (unsigned i = 0; i < 6; i++) {
        struct bh_pci_bar *b = &p->bar[i];
        uint64_t span = bar_span(b), align = MAX(b->size, PAGE_SIZE);
        if (!(b->flags & BAR_MEM) || !b->base)
            continue;
        if (ROUND_UP(low, align) + span <= MMIO_LAST) {
            b->gpa = ROUND_UP(low, align);
            low = b->gpa + span;
        } else if (b->flags & BAR_64) {
            b->gpa = ROUND_UP(high, align);
            high = b->gpa + span;
        } else {
            return -ENOSPC;
        }
        b->gpa += b->base & ~PAGE_MASK;
    }
    return 0;
}

static int map_bar(struct domain *d, const struct pci_dev *p, struct bh_pci_bar *b)
{
    uint64_t m = b->base & PAGE_MASK, g = b->gpa & PAGE_MASK, end = m + bar_span(b), big = PAGE_SIZE << ORDER_2M;
    bool any = false;
    int rc;

    for (uint64_t step; m < end; m += step, g += step) {
        unsigned order = !((m | g) & (big - 1)) && end - m >= big && page_may_be_mapped(p, m, big) ? ORDER_2M : 0;
        step = PAGE_SIZE << order;
        if (!order && !page_may_be_mapped(p, m, PAGE_SIZE))
            continue;
        rc = p2m_set(d, GFN(g >> PAGE_SHIFT), MFN(m >> PAGE_SHIFT), order, P2M_MMIO);
        if (rc)
            return rc;
        any = true;
    }
    if (!any)
        b->gpa = 0; /* interrupt vectors and nothing else */
    return 0;
}

static void unmap_bars(struct domain *d, struct pci_dev *p)
{
    enum p2m_type t;
    mfn_t m;

    for (unsigned i = 0; i < 6; i++) {
        struct bh_pci_bar *b = &p->bar[i];
        uint64_t g = b->gpa >> PAGE_SHIFT, first = b->base >> PAGE_SHIFT, n = bar_span(b) >> PAGE_SHIFT;
        for (uint64_t k = 0; b->gpa && k < n; k++) {
            m = p2m_lookup(d, GFN(g + k), &t);
            /* A place may hold something else after a map_bar that met it and gave up. */
            if (t == P2M_MMIO && m.v == first + k && p2m_clear(d, GFN(g + k), &m, &t))
                log_err("PCI: no memory to unmap a BAR of " PCI_FMT "\n", PCI_ARGS(p->sbdf));
        }
        b->gpa = 0;
    }
    npt_flush(d);
}

static int map_bars(struct domain *d, struct pci_dev *p, uint64_t gpa)
{
    int rc = place_bars(p, d, gpa);

    for (unsigned i = 0; !rc && i < 6; i++)
        if (p->bar[i].gpa)
            rc = map_bar(d, p, &p->bar[i]);
    if (rc)
        unmap_bars(d, p);
    return rc == -EEXIST ? -ENOSPC : rc;
}

/* --- assign and take back --------------------------------------------------------------------------------------- */

static int iommu_prepare(struct domain *d)
{
    int rc;

    if (d->iommu)
        return 0;
    d->iommu = iommu_domain_create(d);
    if (!d->iommu)
        return -ENOMEM;
    rc = iommu_fill(d->iommu);
    if (rc) {
        iommu_domain_free(d->iommu);
        d->iommu = NULL;
    }
    return rc;
}

static void iommu_drop_if_unused(struct domain *d)
{
    struct iommu_domain *dom = d->iommu;

    if (d->devices || !dom)
        return;
    d->iommu = NULL;
    iommu_ops->clear(dom); /* every device that used it was blocked, which flushed */
    iommu_domain_free(dom);
}

static uint32_t free_pirq_base(const struct domain *d)
{
    const struct pci_dev *q;
    uint32_t base = 16; /* below: Linux takes these for ISA interrupts */

    do {
        for (q = d->devices; q && q->pirq_base != base; q = q->next_owned)
            ;
        base += q ? (uint32_t)ARRAY_SIZE(q->route) : 0;
    } while (q);
    return base;
}

static void commit_assign(struct domain *d, struct pci_dev *p)
{
    struct pci_dev **link = &d->devices;

    p->owner = d->id;
    p->pirq_base = free_pirq_base(d);
    p->state = BH_PCI_ASSIGNED;
    p->dma_on = false;
    p->next_owned = NULL;
    while (*link)
        link = &(*link)->next_owned;
    *link = p;
    iommu_watch();
    log_info("PCI: " PCI_FMT " assigned to d%u\n", PCI_ARGS(p->sbdf), d->id);
}

int pci_assign(struct domain *d, uint32_t sbdf, uint64_t gpa)
{
    struct pci_dev *p = pci_find(sbdf);
    int rc;

    spin_lock(&pci_lock);
    rc = check_assign(p, d);
    if (!rc)
        rc = pci_reset_step(p);
    if (!rc)
        rc = iommu_prepare(d);
    if (!rc)
        rc = map_bars(d, p, gpa);
    if (!rc)
        commit_assign(d, p);
    else
        iommu_drop_if_unused(d);
    spin_unlock(&pci_lock);
    return rc;
}

/* restart.md 2.2: bus mastering off and read back, then the device entry, the pages and the interrupt table. */
static void fence_device(struct domain *d, struct pci_dev *p)
{
    pci_set_master(p, false);
    msix_set_enable(p, false);
    iommu_ops->block(p, d->iommu);
    p->dma_on = false;
}

static void release_device(struct domain *d, struct pci_dev *p)
{
    struct pci_dev **link = &d->devices;

    fence_device(d, p);
    pirq_release(p);
    unmap_bars(d, p);
    while (*link != p)
        link = &(*link)->next_owned;
    *link = p->next_owned;
    p->next_owned = NULL;
    p->owner = DOMID_NONE;
    p->state = BH_PCI_ASSIGNABLE;
    p->reset_stage = 0;
    /* Started here, so that it stops what it did; pci_assign sees it through. */
    if (pci_reset_step(p) == -EIO)
        log_warn("PCI: " PCI_FMT " did not come back from its reset\n", PCI_ARGS(p->sbdf));
}

static struct pci_dev *find_owned(struct domain *d, uint32_t sbdf)
{
    struct pci_dev *p = d->devices;
    while (p && p->sbdf != sbdf)
        p = p->next_owned;
    return p;
}

int pci_deassign(struct domain *d, uint32_t sbdf)
{
    spin_lock(&pci_lock);
    struct pci_dev *p = find_owned(d, sbdf);
    int rc = p ? check_quiet(d) : -ENOENT;
    if (!rc) {
        release_device(d, p);
        iommu_drop_if_unused(d);
    }
    spin_unlock(&pci_lock);
    return rc;
}

int pci_dma_enable(struct domain *d, uint32_t sbdf, bool on)
{
    struct pci_dev *p;
    int rc = 0;

    spin_lock(&pci_lock);
    p = find_owned(d, sbdf);
    if (!p)
        rc = -ENODEV;
    else if (!on)
        fence_device(d, p);
    else
        rc = iommu_ops->attach(p, d->iommu);
    if (!rc && on) {
        msix_set_enable(p, true);
        pci_set_master(p, true);
        p->dma_on = true;
        d->dma_ns = now_ns();
    }
    spin_unlock(&pci_lock);
    return rc;
}

void pci_fence(struct domain *d)
{
    if (!d->devices && !d->iommu)
        return;
    spin_lock(&pci_lock);
    for (struct pci_dev *p = d->devices; p; p = p->next_owned)
        fence_device(d, p);
    /* Blocking flushed the domain's pages: nothing can reach the table any more, and the frames can be swapped. */
    if (d->iommu)
        iommu_ops->clear(d->iommu);
    spin_unlock(&pci_lock);
}

int pci_refill(struct domain *d)
{
    int rc = 0;

    spin_lock(&pci_lock);
    if (d->iommu)
        rc = iommu_fill(d->iommu);
    spin_unlock(&pci_lock);
    return rc;
}

void pci_release_all(struct domain *d)
{
    if (!d->devices && !d->iommu)
        return;
    spin_lock(&pci_lock);
    while (d->devices)
        release_device(d, d->devices);
    iommu_drop_if_unused(d);
    spin_unlock(&pci_lock);
}
