/* SPDX-License-Identifier: MIT */
/*
 * IOMMU drivers behind one struct (AMD-Vi now, VT-d later). Early boot: everything blocked, faults reported
 * with device and address, rate-limited. One table per assigned domain, holding only RAM that the domain owns.
 */
#pragma once
#include "lib/lock.h"
#include "lib/types.h"

struct domain;
struct pci_dev;
struct iommu;
struct iommu_domain {
    struct spinlock lock;
    uint16_t id;            /* IOMMU domain id: domid + 1 */
    uint64_t *root;
    struct domain *domain;
};
struct iommu_ops {
    const char *name;
    int (*attach)(struct pci_dev *p, struct iommu_domain *dom);  /* device entry -> dom's table, remapping on */
    void (*block)(struct pci_dev *p);                            /* device entry -> blocked; invalidated, waited */
    int (*map)(struct iommu_domain *dom, gfn_t g, mfn_t m, unsigned order); /* order 0 or ORDER_2M */
    void (*unmap)(struct iommu_domain *dom, gfn_t g, unsigned order);
    void (*flush)(struct iommu_domain *dom);                     /* all pages of the id; waits for completion */
    void (*clear)(struct iommu_domain *dom);                     /* frees every table below the root */
    /* Interrupt remapping: entry `idx` of the device -> (vector, cpu apic id); returns the MSI message. */
    int (*irq_route)(struct pci_dev *p, unsigned idx, uint8_t vector, uint32_t apic, uint64_t *addr, uint32_t *data);
    void (*irq_mask)(struct pci_dev *p, unsigned idx);
    void (*poll_faults)(void);                                   /* event log; called from its interrupt and the idle loop */
};
extern const struct iommu_ops *iommu_ops;   /* NULL: no IOMMU, every assignment is refused */
void iommu_init_early(void);   /* before any device may DMA: finds IVRS, blocks all */
struct iommu_domain *iommu_domain_create(struct domain *d);
void iommu_domain_free(struct iommu_domain *dom);
