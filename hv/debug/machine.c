/* SPDX-License-Identifier: MIT */
/* Debug keys: memory, PCI devices, their interrupts, IOMMUs. The list of devices never changes. */
#include "debug/debug.h"
#include "domain/struct.h"
#include "domain/table.h"
#include "mem/frame.h"
#include "pci/iommu/iommu.h"
#include "pci/pci_int.h"

static const struct pci_dev *device_at(unsigned n)
{
    const struct pci_dev *p = pci_devices;

    while (p && n--)
        p = p->next;
    return p;
}

static bool devices(struct debug_at *at, char *text)
{
    const struct pci_dev *p = device_at(at->line);
    char owner[24] = "the platform's";

    if (!p)
        return false;
    if (p->state == BH_PCI_ASSIGNED)
        snprintf(owner, sizeof owner, "d%u's, DMA %s", p->owner, p->dma_on ? "on" : "off");
    else if (p->state == BH_PCI_ASSIGNABLE)
        snprintf(owner, sizeof owner, "assignable");
    snprintf(text, DEBUG_LINE,
             "%04x:" BDF_FMT " %04x:%04x class %06x group %u: %s, reset by %s, %lu faults",
             p->sbdf >> 16, BDF_ARGS(p->sbdf), p->vendor, p->device, p->class_rev >> 8, p->group,
             owner, pci_reset_name(p->reset), p->dma_faults);
    return true;
}

/* at->vcpu: the device, at->n: its route that comes next. */
static bool interrupts(struct debug_at *at, char *text)
{
    const struct pci_dev *p = device_at(at->vcpu);

    if (!p)
        return false;
    const struct pirq_route *r = &p->route[at->n];
    if (r->vector)
        snprintf(text, DEBUG_LINE, BDF_FMT " MSI%s %u: vector %x CPU %u, d%u pirq %u port %u%s%s%s",
                 BDF_ARGS(p->sbdf), p->msix_total || !p->cap_msi ? "-X" : "", at->n, r->vector,
                 r->cpu, p->owner, r->pirq, r->port, r->bound ? "" : ", not bound",
                 r->held ? ", held back" : "", p->msix_on ? "" : ", masked");
    if (++at->n == ARRAY_SIZE(p->route)) {
        at->n = 0;
        at->vcpu++;
    }
    return true;
}

static bool units(struct debug_at *at, char *text)
{
    static const char *const tried[] = { "not tried yet", "passed its trial", "failed its trial" };
    const struct pci_dev *p = device_at(at->line);

    if (!at->line && !iommu_ops) {
        snprintf(text, DEBUG_LINE, "no IOMMU");
        return true;
    }
    if (!p || !iommu_ops)
        return false;
    struct iommu *unit = READ_ONCE(p->iommu); /* no lock: it may go between two looks */
    if (!unit) {
        snprintf(text, DEBUG_LINE, BDF_FMT ": by none", BDF_ARGS(p->sbdf));
        return true;
    }
    const struct iommu_trial *u = iommu_ops->trial(unit);
    snprintf(text, DEBUG_LINE, BDF_FMT ": by " BDF_FMT ", which %s%s", BDF_ARGS(p->sbdf),
             BDF_ARGS((uint32_t)u->devid), tried[u->state], u->doubted ? ", and is doubted" : "");
    return true;
}

static bool tables(struct debug_at *at, char *text)
{
    struct domain *d;
    bool more = debug_domain(at, text, &d);

    if (!d)
        return more;
    /* The table may go meanwhile: only whether there is one. */
    snprintf(text, DEBUG_LINE, "d%u: %s", d->id,
             READ_ONCE(d->iommu) ? "its memory is what its devices reach" : "no device");
    debug_next_domain(at, d);
    domain_put(d);
    return true;
}

static bool memory(struct debug_at *at, char *text)
{
    struct frame_stats s;
    struct domain *d;

    if (!at->line && frame_try_stats(&s)) {
        snprintf(text, DEBUG_LINE,
                 "%lu frames: %lu free (%lu of them dirty), %lu the core's, %lu promised", s.total,
                 s.free, s.dirty, s.core, s.promised);
        return true;
    }
    if (!at->line) {
        snprintf(text, DEBUG_LINE, "the heap is held, by whom is not known");
        return true;
    }
    bool more = debug_domain(at, text, &d);
    if (!d)
        return more;
    snprintf(text, DEBUG_LINE, "d%u: %lu of %lu frames, %lu promised, of the core's %lu of %lu",
             d->id, d->tot_pages, d->max_pages, d->ram_promised, d->allowance_used, d->allowance);
    debug_next_domain(at, d);
    domain_put(d);
    return true;
}

const struct debug_key debug_machine[] = {
    { 'i', interrupts, "interrupts of devices" },
    { 'm', memory, "memory" },
    { 'Q', devices, "PCI devices" },
    { 'V', units, "which IOMMU unit holds which device" },
    { 'o', tables, "whose memory devices reach" },
    DEBUG_KEYS_END,
};
