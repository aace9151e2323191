/* SPDX-License-Identifier: MIT */
/*
 * IOMMU drivers behind one struct (AMD-Vi now, VT-d later). Early boot: everything blocked, faults reported
 * with device and address, rate-limited. One table per assigned domain, holding only RAM that the domain owns; every frame
 * in it carries one reference.
 *
 * Locks: attach, block, claim, irq_*, clear run under pci_lock; irq_route and irq_mask under the device's irq_lock, and, once
 * a route of it was there, under that alone. map, unmap and flush take dom->lock, which comes after p2m; the queue of a unit has
 * a lock of its own, inside that.
 */
#pragma once
#include "base/lock.h"
#include "base/types.h"
#include "platform/vendor.h"

struct domain;
struct pci_dev;
struct iommu;
struct iommu_domain {
    struct spinlock lock; /* tables, and all below but id and domain */
    uint16_t id;          /* IOMMU domain id: domid + 1; 0 is the blocked one */
    uint64_t *root;
    struct domain *domain;
    bool open; /* it is being filled, or full: changes of the p2m go in */
    bool full;
    unsigned fill_extent; /* which extent, and which page of it, is filled next */
    uint64_t fill_page;
    uint64_t clear_at; /* gfn that is cleared next; 0: all is cleared, or nothing yet */
    /* Tables are held back for the next fill, so that a restart needs no memory: */
    uint64_t reserve;   /* as many as all extents in single pages take, in use and spare together */
    uint64_t nr_tables; /* in use, without the root */
    uint64_t nr_spare;
    void *spare; /* a list through their first words */
};
/* What the trial of a unit (pci/trial.c) came to; pci_lock. */
struct iommu_trial {
    enum { TRIAL_OPEN, TRIAL_PASSED, TRIAL_FAILED } state; /* once decided, for this boot */
    bool doubted; /* OPEN: a device's write did not arrive. The unit translates nothing, or that device does nothing */
    uint16_t devid; /* of the unit, for the log */
};
struct iommu_ops {
    const char *name;
    int (*attach)(struct pci_dev *p,
                  struct iommu_domain *dom); /* device entry -> dom's table, remapping on */
    void (*block)(struct pci_dev *p,
                  struct iommu_domain *dom); /* device entry -> blocked; invalidated with dom's pages, waited */
    /* Order 0 or ORDER_2M. Takes a reference on each frame. -EEXIST, -EINVAL (gfn too large), -ENOMEM. */
    int (*map)(struct iommu_domain *dom, gfn_t g, mfn_t m, unsigned order);
    /* Drops no reference: the caller flushes, then puts. True if there was a mapping. A 2 MiB entry is split; if there is
     * no memory for that it goes whole, in `whole`, and all its frames are the caller's to put. */
    bool (*unmap)(struct iommu_domain *dom, gfn_t g, mfn_t *m, bool *whole);
    void (*flush)(struct iommu_domain *dom); /* all pages of the id; waits for completion */
    /* No device attached, flushed: puts frames and lets go of tables, from clear_at on; one step. clear_at 0: all is done. */
    void (*clear)(struct iommu_domain *dom);
    int (*init_domain)(struct iommu_domain *dom);
    void (*free_domain)(struct iommu_domain *dom);
    /* Interrupt remapping: entry `idx` of the device -> (vector, cpu apic id); returns the MSI message, which names the entry alone: one
     * that is in use goes elsewhere without a write to the device. It is replaced by one store, and nothing of the old one is
     * remembered when this returns. */
    int (*irq_route)(struct pci_dev *p, unsigned idx, uint8_t vector, uint32_t apic, uint64_t *addr,
                     uint32_t *data);
    void (*irq_mask)(struct pci_dev *p, unsigned idx);
    void (*irq_mask_all)(struct pci_dev *p);
    void (*poll_faults)(void);                  /* event log; any CPU, interrupts off */
    bool (*owns)(uint64_t base, uint64_t size); /* its own registers lie in there */
    void (*claim)(struct pci_dev *p);           /* sets p->iommu if p may be assigned */
    struct iommu_trial *(*trial)(struct iommu *u);
};
void iommu_init_early(void); /* before any device may DMA: finds IVRS, blocks all */
void iommu_claim(struct pci_dev *p);
struct iommu_domain *iommu_domain_create(struct domain *d);
void iommu_domain_free(struct iommu_domain *dom); /* cleared already, with nothing held back */
/* One step of mapping all RAM of d (its extents) with references: 0 when it is full, HC_AGAIN, or -ENOMEM; never -ENOMEM once it
 * was full and is filled again with the same extents. Changes of the p2m may come in between. */
int iommu_fill(struct iommu_domain *dom) __must_check;
/* One step of emptying it: 0 or HC_AGAIN. No device is attached, and it was flushed. */
static inline __must_check int iommu_clear(struct iommu_domain *dom)
{
    spin_lock(&dom->lock);
    dom->open = dom->full = false;
    iommu_ops->clear(dom);
    spin_unlock(&dom->lock);
    return dom->clear_at ? HC_AGAIN : 0;
}
/* For the drivers, under dom->lock: a table, its content as it happens to be (NULL: no memory), and one that nothing leads to. */
void *iommu_table_get(struct iommu_domain *dom);
void iommu_table_put(struct iommu_domain *dom, void *table);
bool iommu_trim(struct iommu_domain *dom,
                unsigned budget); /* tables beyond what is held back go; false: there are more */
#define IOMMU_STEP \
    4096u /* entries that a step of filling or clearing looks at, or frames that it counts */
/* The event log is polled some times a second while a device is assigned; starts that on this CPU. */
void iommu_watch(void);
void iommu_idle(uint64_t now); /* the same by the boot CPU whenever it is idle (sched_listen) */
/* What these two report as blocked is meant to be, and is nobody's fault: a trial is on. 0, 0: nothing is (any more). */
void iommu_expect(uint16_t unit, uint16_t device);
/* A reported fault: counted, and said if not too often. addr is meaningful only with has_addr. */
void iommu_fault(uint16_t requester, bool has_addr, uint64_t addr, const char *what);
void iommu_irq_fault(uint16_t requester,
                     uint64_t addr); /* the same of an interrupt; only counted while the device is held back */
/* The device entry of each IO-APIC passes interrupts unchanged (only the core programs it), all others' are remapped. */
