/* SPDX-License-Identifier: MIT */
/*
 * The list of functions, made once at boot and never changed: pci_init is the table of contents. Who hides what, and
 * what pci-assignable-list and BH_SVC_DEVICES read.
 */
#include "pci/pci.h"
#include "arch/irq.h"
#include "base/print.h"
#include "mem/paging.h"
#include "pci/iommu/iommu.h"
#include "pci/pci_int.h"
#include "platform/cmdline.h"
#include "domain/struct.h"

/* The core's own console, where that is a card's. */
static bool is_console(const struct pci_dev *p)
{
    for (unsigned i = 0; i < 6; i++)
        if ((p->bar[i].flags & BAR_IO) && cmdline.com1_port - p->bar[i].base < p->bar[i].size)
            return true;
    return false;
}

static bool is_kept(const struct pci_dev *p) { return pci_is_platform_core(p) || is_console(p); }

/* Marks what an entry of the command line's list names; `any`: bits of slot and function that match whatever they are. */
static void mark(uint32_t sbdf, uint8_t any)
{
    bool found = false;

    for (struct pci_dev *p = pci_devices; p; p = p->next) {
        if ((p->sbdf & ~(uint32_t)any) != sbdf)
            continue;
        found = true;
        p->hidden = !is_kept(p);
        if (!p->hidden)
            log_warn("pciback.hide: (" BDF_FMT "): %s, not hidden", BDF_ARGS(p->sbdf),
                     pci_is_platform_core(p) ? "a bridge or part of the platform" : "the console");
    }
    if (!found)
        log_warn("pciback.hide: (%04x:" BDF_FMT "%s): no such device", sbdf >> 16, BDF_ARGS(sbdf),
                 any ? ", nor another that the star means" : "");
}

/* What the core needs of it, and how it is reset; bus mastering is off. Once more, of one that was hidden before, it maps nothing anew. */
static void prepare(struct pci_dev *p)
{
    if (!p->soft_regs)
        pci_regs_map(p);
    if (p->reset == PCI_RESET_NONE)
        pci_reset_choose(p);
    if (p->cap_msix && !p->msix_table) { /* all entries: those that are not used are masked */
        p->msix_table = mmio_map(MADDR(p->bar[p->msix_bar].base + p->msix_off), p->msix_total * 16u);
        if (!p->msix_table)
            p->msix_total = 0;
    }
    pci_restore(p);
    if (p->iommu && !pci_behind_iommu(p))
        p->iommu = NULL;
}

/* share: of the vectors, which is its own for as long as it is hidden: what one device's owner binds, no other lacks. */
static void hide(struct pci_dev *p, unsigned share)
{
    const char *why = "";

    if (!p->iommu)
        why = pci_behind_iommu(p)
                  ? ", not behind an IOMMU: not assignable"
                  : ", it has no VIRTIO_F_ACCESS_PLATFORM, its DMA would go round the IOMMU (iommu_platform=on?): not assignable";
    p->hidden = true;
    p->state = BH_PCI_ASSIGNABLE;
    unsigned irqs = pci_uses_msi(p) ? 1 : MIN(p->msix_total, ARRAY_SIZE(p->route));
    p->msix_count = (uint16_t)MIN(irqs, share);
    /* The others stay masked: a reset masks (PCIe 4.0 6.1.4.2), and nobody else reaches them. */
    for (unsigned i = p->msix_count; p->msix_table && i < p->msix_total; i++)
        p->msix_table[i * 4 + 3] |= MSIX_ENTRY_MASK;
    log_info("PCI: " BDF_FMT " %04x:%04x class %06x hidden: group %u, %u MSI%s, reset by %s%s",
             BDF_ARGS(p->sbdf), p->vendor, p->device, p->class_rev >> 8, p->group, p->msix_count,
             pci_uses_msi(p) ? "" : "-X", pci_reset_name(p->reset), why);
}

void pci_init(void)
{
    unsigned nr = 0;

    pci_hw_init();
    pci_scan();
    pci_make_groups();
    for (struct pci_dev *p = pci_devices; p; p = p->next) {
        iommu_claim(p);
        log_debug("PCI: " BDF_FMT " %04x:%04x class %06x group %u%s", BDF_ARGS(p->sbdf), p->vendor,
                  p->device, p->class_rev >> 8, p->group, p->bridge ? ", bridge" : "");
    }
    for (unsigned i = 0; i < cmdline.nr_hide; i++)
        mark(cmdline.hide[i], cmdline.hide_any[i]);
    for (struct pci_dev *p = pci_devices; p; p = p->next)
        nr += p->hidden;
    for (struct pci_dev *p = pci_devices; p; p = p->next)
        if (p->hidden) {
            prepare(p);
            hide(p, MAX(DEVICE_VECTORS / nr, 1u));
        }
}

/* --- while the machine runs ----------------------------------------------------------------------------------- */

static unsigned vectors_left(void)
{
    unsigned n = DEVICE_VECTORS;

    for (const struct pci_dev *p = pci_devices; p; p = p->next)
        n -= p->hidden ? MIN(n, p->msix_count) : 0;
    return n;
}

static int check_hide(const struct pci_dev *p, bool on)
{
    if (!p)
        return -ENOENT;
    if (is_kept(p))
        return -EACCES;
    if (p->hidden == on)
        return -EEXIST;
    if (p->state == BH_PCI_ASSIGNED)
        return -EBUSY;
    for (const struct pci_dev *q = pci_devices; !on && q; q = q->next)
        if (q->group == p->group && q->state == BH_PCI_ASSIGNED)
            return -EXDEV;
    return on && (p->msix_total || p->cap_msi) && !vectors_left() ? -ENOSPC : 0;
}

/* Nothing but the device is changed before its reset is over, so whoever asks is free not to ask again. */
int pci_hide(uint32_t sbdf, bool on)
{
    spin_lock(&pci_lock);
    struct pci_dev *p = pci_find(sbdf);
    int rc = check_hide(p, on);
    if (!rc) {
        if (on && !p->reset_stage)
            prepare(p);
        rc = pci_reset_step(p);
    }
    if (rc == -EOPNOTSUPP) /* then nobody is given it */
        rc = 0;
    if (!rc && on) {
        hide(p, vectors_left());
    } else if (!rc) {
        p->hidden = false;
        p->state = BH_PCI_PLATFORM;
        log_info("PCI: " BDF_FMT " is the platform's again", BDF_ARGS(p->sbdf));
    }
    spin_unlock(&pci_lock);
    return rc;
}

/* Where the owner finds a structure; 0 if it is not mapped, or not all of it. */
static uint64_t part_gpa(const struct pci_dev *p, unsigned i, uint32_t *len)
{
    const struct pci_part *s = &p->part[i];
    const struct bh_pci_bar *b = &p->bar[s->bar];
    uint64_t first = ROUND_DOWN(b->base + s->off, PAGE_SIZE);

    if (!s->len || !b->gpa ||
        !pci_may_be_shown(p, first, ROUND_UP(b->base + s->off + s->len, PAGE_SIZE) - first))
        return 0;
    *len = s->len;
    return b->gpa + s->off;
}

static void fill_virtio(const struct pci_dev *p, struct bh_pci_virtio *out)
{
    out->common = part_gpa(p, VIRTIO_COMMON, &out->common_len);
    out->notify = part_gpa(p, VIRTIO_NOTIFY, &out->notify_len);
    out->isr = part_gpa(p, VIRTIO_ISR, &out->isr_len);
    out->device = part_gpa(p, VIRTIO_DEVICE, &out->device_len);
    out->notify_mult = out->notify ? p->notify_mult : 0;
}

static void fill_info(const struct pci_dev *p, struct bh_pci_info *out)
{
    out->sbdf = p->sbdf;
    out->vendor = p->vendor;
    out->device = p->device;
    out->domid = p->owner;
    out->irqs = p->msix_count;
    out->class_rev = p->class_rev;
    out->state = (uint8_t)p->state;
    out->group = p->group;
    out->flags = (uint16_t)((p->hidden ? BH_PCI_HIDDEN : 0) | (p->bridge ? BH_PCI_BRIDGE : 0) |
                            (p->iommu ? BH_PCI_IOMMU : 0) | (p->has_flr ? BH_PCI_FLR : 0) |
                            (p->dma_on ? BH_PCI_DMA : 0) |
                            (p->msix_total && p->msix_count ? BH_PCI_MSIX : 0) |
                            (p->cap_msi && p->msix_count ? BH_PCI_MSI : 0) |
                            (is_kept(p) ? BH_PCI_KEPT : 0));
    out->msix_table = p->msix_total ? p->msix_off | p->msix_bar : 0;
    out->msix_pba = p->msix_total ? p->pba_off | p->pba_bar : 0;
    for (unsigned i = 0; i < BH_PCI_BARS; i++)
        out->bar[i] = p->bar[i];
    out->dma_faults = p->dma_faults;
    out->given = p->given;
    fill_virtio(p, &out->virtio);
}

int pci_info(uint32_t index, struct domain *owner, struct bh_pci_info *out)
{
    int rc = -ENOENT;

    *out = (struct bh_pci_info){ .index = index };
    if (owner && !owner->devices) /* waits for nobody: see pirq_bind */
        return -ENOENT;
    spin_lock(&pci_lock);
    for (struct pci_dev *p = owner ? owner->devices : pci_devices; p;
         p = owner ? p->next_owned : p->next) {
        if (index--)
            continue;
        fill_info(p, out);
        rc = 0;
        break;
    }
    spin_unlock(&pci_lock);
    return rc;
}
