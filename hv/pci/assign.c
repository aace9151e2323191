/* SPDX-License-Identifier: MIT */
/*
 * Assignment: gives a hidden device to one domain, and takes it back.
 *
 * Assigned means: reset, BARs in the owner's p2m, an IOMMU table with the owner's RAM; but the device entry stays blocked
 * and bus mastering off until the owner's driver has reset the device itself and calls dev_dma_enable. A fence undoes just
 * that and drops the references of the table, so that frames can be swapped; the slot keeps device, BARs and pirqs.
 */
#include "pci/pirq.h"
#include <layout.h>
#include "base/print.h"
#include "mem/frame.h"
#include "pci/iommu/iommu.h"
#include "pci/pci_int.h"
#include "platform/acpi_info.h"
#include "platform/boot_info.h"
#include "domain/struct.h"

#define MAX_MMIO (4ull << 30) /* of one device */
#define CHIPSET \
    0xfec00000ull /* up to 4 GiB: interrupt controllers, timers, TPM, flash; no device's, whatever it says */
#define MAP_STEP   64u  /* leaves that a step maps: each is held against every device's BARs */
#define UNMAP_STEP 512u /* places that a step clears */

/* --- checks ---------------------------------------------------------------------------------------------------- */

static bool overlaps(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
    return alen && blen && a < b + blen && b < a + alen;
}

static bool in_ranges(uint64_t base, uint64_t size, const struct boot_range *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (overlaps(base, size, r[i].start, r[i].end - r[i].start))
            return true;
    return false;
}

static bool over_platform(uint64_t base, uint64_t size)
{
    for (const struct pci_dev *q = pci_devices; q; q = q->next)
        for (unsigned i = 0; pci_is_platform_core(q) && i < 6; i++)
            if ((q->bar[i].flags & BAR_MEM) && overlaps(base, size, q->bar[i].base, q->bar[i].size))
                return true;
    return false;
}

/* A BAR is a number that the device and firmware chose: one that lies over RAM, what firmware keeps for itself, the platform's or
 * the core's own registers would open these to the owner. */
static bool bar_is_free(uint64_t base, uint64_t size)
{
    if (in_ranges(base, size, boot_info.ram, boot_info.nr_ram) ||
        in_ranges(base, size, boot_info.reserved, boot_info.nr_reserved) || over_platform(base, size))
        return false;
    for (unsigned i = 0; i < acpi_info.nr_ioapics; i++)
        if (overlaps(base, size, acpi_info.ioapic[i].base, PAGE_SIZE))
            return false;
    return base >= 0x100000 && !overlaps(base, size, CHIPSET, (4ull << 30) - CHIPSET) &&
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
static int check_assign(const struct pci_dev *p, struct domain *d, bool permissive)
{
    uint64_t mmio = 0;
    int rc;

    if (!p)
        return -ENOENT;
    if (!p->hidden)
        return -EACCES;
    if (p->state == BH_PCI_ASSIGNED)
        return -EBUSY;
    if (!iommu_ops || !p->iommu)
        return -ENODEV;
    rc = trial_check(p, d);
    if (rc)
        return rc;
    if (!group_is_free(p, d))
        return -EXDEV;
    if (p->reset == PCI_RESET_NONE && !permissive)
        return -EOPNOTSUPP;
    if (d->state != BH_DOM_BUILDING && d->state != BH_DOM_RUNNING)
        return -EINVAL;
    rc = check_quiet(d);
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

static bool holds_vectors(const struct pci_dev *p, uint64_t m, uint64_t len)
{
    return p->cap_msix &&
           (overlaps(m, len, p->bar[p->msix_bar].base + p->msix_off, p->msix_total * MSIX_ENTRY_LEN) ||
            overlaps(m, len, p->bar[p->pba_bar].base + p->pba_off, (p->msix_total + 63u) / 64 * 8));
}

/* Pages may be shown if they hold neither interrupt vectors, which are the core's alone, nor registers of another device. */
bool pci_may_be_shown(const struct pci_dev *p, uint64_t m, uint64_t len)
{
    if (holds_vectors(p, m, len))
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

/* The ROM's address is often one that firmware used for a moment, and for all of them: it counts if no BAR and no other ROM lies there. To a driver of
 * ours it is of no use. */
static bool shows_rom(const struct pci_dev *p, const struct domain *d)
{
    const struct bh_pci_bar *rom = &p->bar[BH_PCI_ROM];

    if (d->role != BH_ROLE_GUEST || !bar_is_free(rom->base, rom->size))
        return false;
    for (const struct pci_dev *q = pci_devices; q; q = q->next)
        for (unsigned i = 0; i < BH_PCI_BARS; i++)
            if (&q->bar[i] != rom && (q->bar[i].flags & BAR_MEM) &&
                overlaps(rom->base, rom->size, q->bar[i].base, q->bar[i].size))
                return false;
    return true;
}

/* Chooses where each BAR goes: naturally aligned, after what the owner has already; `gpa` != 0 fixes the first. */
static int place_bars(struct pci_dev *p, const struct domain *d, uint64_t gpa)
{
    uint64_t low = BH_BARS, high = BH_BARS_HIGH;

    for (const struct pci_dev *q = d->devices; q; q = q->next_owned)
        for (unsigned i = 0; i < BH_PCI_BARS; i++)
            if (q->bar[i].gpa >= BH_BARS_HIGH)
                high = MAX(high, (q->bar[i].gpa & PAGE_MASK) + bar_span(&q->bar[i]));
            else if (q->bar[i].gpa)
                low = MAX(low, (q->bar[i].gpa & PAGE_MASK) + bar_span(&q->bar[i]));
    if (gpa && (gpa & ~PAGE_MASK || gpa < BH_BARS || gpa >= BH_BARS_END))
        return -EINVAL;
    if (gpa)
        low = gpa;
    for (unsigned i = 0; i < BH_PCI_BARS; i++) {
        struct bh_pci_bar *b = &p->bar[i];
        uint64_t span = bar_span(b), align = MAX(b->size, PAGE_SIZE);
        if (!(b->flags & BAR_MEM) || !b->base || (i == BH_PCI_ROM && !shows_rom(p, d)))
            continue;
        if (ROUND_UP(low, align) + span <= BH_BARS_END) {
            b->gpa = ROUND_UP(low, align);
            low = b->gpa + span;
        } else if ((b->flags & BAR_64) && ROUND_UP(high, align) + span <= BH_BARS_HIGH_END) {
            b->gpa = ROUND_UP(high, align);
            high = b->gpa + span;
        } else if (i == BH_PCI_ROM) {
            break; /* nobody needs it */
        } else {
            return -ENOSPC;
        }
        b->gpa += b->base & ~PAGE_MASK;
    }
    return 0;
}

static void forget_places(struct pci_dev *p)
{
    for (unsigned i = 0; i < BH_PCI_BARS; i++)
        p->bar[i].gpa = 0;
}

/* --- in the place of vectors: a guest's shadow of the MSI-X table --------------------------------------------------- */

/* Pages of the core that count against the guest's allowance: it cannot grant or give away these, only lose sight of them. No register lies in
 * the pages of a table (PCI 3.0, 6.8.2: "must not share"). Whatever else of them there is, the rest of a long table and the pending
 * bits, is the first of the two again: nobody reads it. */
static int shadow_make(struct domain *d, struct pci_dev *p)
{
    for (unsigned i = 0; p->msix_table && i < ARRAY_SIZE(p->shadow); i++)
        if (!p->shadow[i] && !(p->shadow[i] = core_alloc_for(d)))
            return -ENOMEM;
    return 0;
}

static void shadow_free(struct domain *d, struct pci_dev *p)
{
    for (unsigned i = 0; i < ARRAY_SIZE(p->shadow); i++) {
        core_free_for(d, p->shadow[i]);
        p->shadow[i] = NULL;
    }
}

static int shadow_map(struct domain *d, const struct pci_dev *p, gfn_t g, uint64_t m)
{
    uint64_t table = (p->bar[p->msix_bar].base + p->msix_off) & PAGE_MASK;

    return p2m_set(d, g, virt_to_mfn(p->shadow[m == table + PAGE_SIZE]), 0, P2M_SHARED);
}

static void shadow_unmap(struct domain *d, const struct pci_dev *p, gfn_t g)
{
    enum p2m_type t = P2M_NONE;
    mfn_t m = p2m_lookup(d, g, &t);

    for (unsigned i = 0; t == P2M_SHARED && i < ARRAY_SIZE(p->shadow); i++)
        if (p->shadow[i] && m.v == virt_to_mfn(p->shadow[i]).v &&
            p2m_clear_only(d, g, 1u << P2M_SHARED, &m, &t)) /* of 4 KiB: nothing to split */
            log_err("PCI: " BDF_FMT ": page %lx of d%u stays", BDF_ARGS(p->sbdf), g.v, d->id);
}

/* Maps what may be shown of the BAR that is next. 0, HC_AGAIN when the budget is spent, or an error. */
static int map_bar(struct domain *d, struct pci_dev *p, struct bh_pci_bar *b, unsigned *budget)
{
    uint64_t m = (b->base & PAGE_MASK) + p->at_page * PAGE_SIZE,
             end = (b->base & PAGE_MASK) + bar_span(b), big = PAGE_SIZE << ORDER_2M;
    uint64_t g = (b->gpa & PAGE_MASK) + p->at_page * PAGE_SIZE;
    int rc;

    for (uint64_t step; m < end; m += step, g += step, p->at_page += step / PAGE_SIZE) {
        if (!*budget)
            return HC_AGAIN;
        --*budget;
        unsigned order = !((m | g) & (big - 1)) && end - m >= big && pci_may_be_shown(p, m, big)
                             ? ORDER_2M
                             : 0;
        step = PAGE_SIZE << order;
        bool shown = order || pci_may_be_shown(p, m, PAGE_SIZE);
        if (!shown && !(p->shadow[0] && holds_vectors(p, m, PAGE_SIZE)))
            continue;
        rc = shown ? p2m_set(d, GFN(g >> PAGE_SHIFT), MFN(m >> PAGE_SHIFT), order, P2M_MMIO)
                   : shadow_map(d, p, GFN(g >> PAGE_SHIFT), m);
        if (rc)
            return rc == -EEXIST ? -ENOSPC : rc;
        p->at_any = true;
    }
    return 0;
}

static int map_bars(struct domain *d, struct pci_dev *p)
{
    unsigned budget = MAP_STEP;

    for (; p->at_bar < BH_PCI_BARS; p->at_bar++, p->at_page = 0, p->at_any = false) {
        struct bh_pci_bar *b = &p->bar[p->at_bar];
        int rc = b->gpa ? map_bar(d, p, b, &budget) : 0;
        if (rc)
            return rc;
        if (!p->at_any)
            b->gpa = 0; /* interrupt vectors and nothing else */
    }
    return 0;
}

/* 0 or HC_AGAIN; it cannot fail: leaves are cleared as they are. */
static int unmap_bars(struct domain *d, struct pci_dev *p)
{
    unsigned budget = UNMAP_STEP;

    for (; p->at_bar < BH_PCI_BARS; p->at_bar++, p->at_page = 0) {
        struct bh_pci_bar *b = &p->bar[p->at_bar];
        uint64_t g = b->gpa >> PAGE_SHIFT, m = b->base >> PAGE_SHIFT,
                 n = b->gpa ? bar_span(b) >> PAGE_SHIFT : 0;
        while (p->at_page < n) {
            if (!budget--) {
                npt_flush(d);
                return HC_AGAIN;
            }
            /* A place may hold something else after a map_bar that met it and gave up. */
            uint64_t had = p2m_clear_mmio(d, GFN(g + p->at_page), MFN(m + p->at_page));
            if (!had && p->shadow[0])
                shadow_unmap(d, p, GFN(g + p->at_page));
            p->at_page += had ? had : 1;
        }
        b->gpa = 0;
    }
    npt_flush(d);
    return 0;
}

/* --- assign and take back --------------------------------------------------------------------------------------- */

static int fill_table(struct domain *d)
{
    if (!d->iommu)
        d->iommu = iommu_domain_create(d);
    return d->iommu ? iommu_fill(d->iommu) : -ENOMEM;
}

/* p is the last device that uses it, and blocked, which flushed. */
static int drop_table(struct domain *d)
{
    struct iommu_domain *dom = d->iommu;

    if (!dom)
        return 0;
    dom->reserve = 0;
    if (iommu_clear(dom))
        return HC_AGAIN;
    d->iommu = NULL;
    iommu_domain_free(dom);
    return 0;
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

static void link_device(struct domain *d, struct pci_dev *p, bool permissive)
{
    struct pci_dev **link = &d->devices;

    p->owner = d->id;
    p->pirq_base = free_pirq_base(d);
    p->state = BH_PCI_ASSIGNED;
    p->dma_on = false;
    p->phase = PCI_SETTING_UP;
    p->at_bar = 0;
    p->at_page = 0;
    p->at_any = p->had_dma = false;
    p->msi_pirq = 0;
    p->permissive = permissive;
    p->given++;
    p->why = 0;
    p->next_owned = NULL;
    while (*link)
        link = &(*link)->next_owned;
    *link = p;
    iommu_watch();
}

static void unlink_device(struct domain *d, struct pci_dev *p)
{
    struct pci_dev **link = &d->devices;

    while (*link != p)
        link = &(*link)->next_owned;
    *link = p->next_owned;
    p->next_owned = NULL;
    p->owner = DOMID_NONE;
    p->state = BH_PCI_ASSIGNABLE;
    p->permissive = false;
    p->phase = PCI_IDLE;
}

/* docs/restart-protocol.md 2.2: bus mastering off and read back, then the device entry, the pages and the interrupt table. */
void pci_fence_device(struct domain *d, struct pci_dev *p)
{
    pci_set_master(p, false);
    irqs_set_enable(p, false);
    iommu_ops->block(p, d->iommu);
    p->dma_on = false;
    trial_stop(p);
}

/* One step of taking p away; 0 with the last. Until then it is d's, fenced, and nobody else's. */
static int release_step(struct domain *d, struct pci_dev *p)
{
    if (p->phase != PCI_TAKING_AWAY) {
        pci_fence_device(d, p);
        if (!p->reset_stage) /* else that ends with it off */
            pci_rom_off(p);
        p->phase = PCI_TAKING_AWAY;
        p->at_bar = 0;
        p->at_page = 0;
    }
    if (unmap_bars(d, p) || (d->devices == p && !p->next_owned && drop_table(d)))
        return HC_AGAIN;
    pirq_release(p);
    shadow_free(d, p);
    unlink_device(d, p);
    p->reset_stage = 0;
    p->past = PCI_UNKNOWN;
    /* Started here, so that it stops what it did; pci_assign sees it through. */
    if (pci_reset_step(p) == -EIO)
        log_warn("PCI: " BDF_FMT " did not come back from its reset", BDF_ARGS(p->sbdf));
    return 0;
}

/* Nothing is changed by it when it fails, but that the device is reset. */
static int assign_begin(struct domain *d, struct pci_dev *p, uint64_t gpa, bool permissive)
{
    int rc = check_assign(p, d, permissive);

    if (!rc && p->reset != PCI_RESET_NONE)
        rc = pci_reset_step(p);
    if (!rc)
        rc = place_bars(p, d, gpa);
    if (!rc)
        link_device(d, p, permissive);
    else if (p && p->phase == PCI_IDLE)
        forget_places(p);
    return rc;
}

static int assign_step(struct domain *d, struct pci_dev *p, uint64_t gpa, bool permissive)
{
    bool begun = p && p->state == BH_PCI_ASSIGNED && p->owner == d->id &&
                 (p->phase == PCI_SETTING_UP || p->why);
    int rc = begun ? check_quiet(d) : assign_begin(d, p, gpa, permissive);

    if (rc)
        return rc;
    if (p->phase == PCI_SETTING_UP) {
        rc = fill_table(d);
        if (!rc && d->role == BH_ROLE_GUEST)
            rc = shadow_make(d, p);
        if (!rc)
            rc = map_bars(d, p);
        if (rc == HC_AGAIN)
            return rc;
        p->why = rc;
    }
    if (p->why) {
        rc = p->why;
        return release_step(d, p) ? HC_AGAIN : rc;
    }
    p->phase = PCI_READY;
    log_info("PCI: " BDF_FMT " assigned to d%u", BDF_ARGS(p->sbdf), d->id);
    return 0;
}

int pci_assign(struct domain *d, uint32_t sbdf, uint64_t gpa, bool permissive)
{
    spin_lock(&pci_lock);
    int rc = assign_step(d, pci_find(sbdf), gpa, permissive);
    spin_unlock(&pci_lock);
    return rc;
}

struct pci_dev *pci_find_owned(struct domain *d, uint32_t sbdf)
{
    struct pci_dev *p = d->devices;
    while (p && p->sbdf != sbdf)
        p = p->next_owned;
    return p;
}

int pci_deassign(struct domain *d, uint32_t sbdf)
{
    spin_lock(&pci_lock);
    struct pci_dev *p = pci_find_owned(d, sbdf);
    int rc = p ? check_quiet(d) : -ENOENT;
    if (!rc)
        rc = release_step(d, p);
    spin_unlock(&pci_lock);
    return rc;
}

/* What it was told to do before, it must not do now. */
int pci_start_dma(struct domain *d, struct pci_dev *p)
{
    /* A driver of this life told it what it does; or nobody could have ended that, and its owner was given it all the same. */
    bool again = (d->role == BH_ROLE_GUEST && p->had_dma) ||
                 (p->permissive && p->reset == PCI_RESET_NONE);
    int rc = p->phase != PCI_READY || p->reset_stage ? -EBUSY : again ? 0 : pci_at_rest(p);

    if (!rc && !trial_permits(p))
        rc = -EACCES;
    if (!rc)
        rc = iommu_ops->attach(p, d->iommu);
    if (rc)
        return rc;
    irqs_set_enable(p, true);
    pci_set_master(p, true);
    p->dma_on = p->had_dma = true;
    d->dma_ns = now_ns();
    return 0;
}

int pci_dma_enable(struct domain *d, uint32_t sbdf, bool on)
{
    int rc = 0;

    if (!d->devices) /* waits for nobody: see pirq_bind */
        return -ENODEV;
    spin_lock(&pci_lock);
    struct pci_dev *p = pci_find_owned(d, sbdf);
    if (!p)
        rc = -ENODEV;
    else if (!on)
        pci_fence_device(d, p);
    else if (!p->dma_on)
        rc = pci_start_dma(d, p);
    spin_unlock(&pci_lock);
    return rc;
}

int pci_fence(struct domain *d)
{
    int rc = 0;

    if (!d->devices && !d->iommu)
        return 0;
    spin_lock(&pci_lock);
    for (struct pci_dev *p = d->devices; p; p = p->next_owned) {
        pci_fence_device(d, p);
        p->past = PCI_UNKNOWN;
    }
    /* Blocking flushed the domain's pages: nothing can reach the table any more, and the frames can be swapped. */
    if (d->iommu)
        rc = iommu_clear(d->iommu);
    spin_unlock(&pci_lock);
    return rc;
}

/* Of some kinds the core sees whether they run; of any other device only a reset tells. One that does not come back stays
 * without DMA. 0 or HC_AGAIN. */
static int reset_unknown(struct pci_dev *p)
{
    if (p->virtio || p->nvme || p->e1000e || p->past != PCI_UNKNOWN)
        return 0;
    int rc = pci_reset_step(p);
    if (rc && rc != HC_AGAIN) {
        p->past = PCI_DEAD;
        log_warn("PCI: " BDF_FMT " did not come back from its reset: no DMA", BDF_ARGS(p->sbdf));
    }
    return rc == HC_AGAIN ? rc : 0;
}

int pci_refill(struct domain *d)
{
    int rc = 0;

    if (!d->devices && !d->iommu)
        return 0;
    spin_lock(&pci_lock);
    if (d->iommu)
        rc = iommu_fill(d->iommu);
    for (struct pci_dev *p = d->devices; p; p = p->next_owned)
        if (reset_unknown(p) && !rc)
            rc = HC_AGAIN;
    spin_unlock(&pci_lock);
    return rc;
}

int pci_release_all(struct domain *d)
{
    int rc = 0;

    if (!d->devices && !d->iommu)
        return 0;
    spin_lock(&pci_lock);
    for (struct pci_dev *p = d->devices; p; p = p->next_owned)
        if (p->dma_on)
            pci_fence_device(d, p);
    while (!rc && d->devices)
        rc = release_step(d, d->devices);
    spin_unlock(&pci_lock);
    return rc;
}
