/* SPDX-License-Identifier: MIT */
/*
 * PCI: enumeration (MCFG, port fallback), BAR sizing, capabilities, hiding, assignment. State machine of a device:
 * platform -> (pciback.hide at boot) assignable -> assigned (DMA blocked) -> DMA enabled -> ... -> assignable.
 * pci_lock guards every field that is not constant after enumeration and has no mark; it comes before p2m. irq_lock of a device, inside
 * it, guards its MSI-X entries and the fields marked i; interrupt handlers take that one and not pci_lock. a: atomic.
 */
#pragma once
#include <stdint.h>
#include <xen/xen.h>
#include <bulkhead.h>
#include "base/lock.h"
#include "base/types.h"
#include "time/time.h"

struct domain;
struct pirq_route {
    uint8_t vector;  /* host vector, 0 = none */
    uint8_t bound;   /* i, and pci_lock: to read, either */
    uint8_t mapped;  /* PHYSDEVOP_map_pirq was done */
    uint8_t message; /* `pirq` was in the guest's message when it was bound */
    uint8_t held;    /* i: interrupts are held back (pci/pirq.c) */
    uint16_t irte;   /* index in the device's remapping table = MSI-X entry */
    uint16_t cpu;    /* i: CPU that it interrupts, when bound */
    uint32_t pirq;   /* when bound: number in the owner's space */
    uint32_t port;   /* i: event channel, when bound */
    struct pci_dev *dev;
    uint64_t irq_ms;    /* i: the millisecond of the last interrupt that was not held back, ... */
    uint32_t irq_count; /* i: ... and how many came in it */
    uint16_t seen;      /* i: CPU where the last interrupt found the vCPU that it woke, and ... */
    uint8_t away; /* i: ... how many in a row found it there, if that is another than `cpu`; AWAY is the highest */
    uint8_t late; /* i: interrupts since it is held back */
};
/* How a device is brought back to a known state before a new owner sees it; in order of preference. */
enum pci_reset {
    PCI_RESET_NONE,
    PCI_RESET_FLR,
    PCI_RESET_AF,
    PCI_RESET_PM,
    PCI_RESET_BUS,
    PCI_RESET_VIRTIO
};
enum pci_past {
    PCI_UNKNOWN,
    PCI_FORGOTTEN,
    PCI_DEAD
}; /* forgotten: it was reset; dead: it did not come back from that */
/* Where the owner stands with it. */
enum pci_phase { PCI_IDLE, PCI_SETTING_UP, PCI_READY, PCI_TAKING_AWAY };
/* The structures of a virtio device (virtio 1.1, 4.1.4: cfg_type - 1). */
enum { VIRTIO_COMMON, VIRTIO_NOTIFY, VIRTIO_ISR, VIRTIO_DEVICE, VIRTIO_STRUCTS };
struct pci_part {
    uint8_t bar;
    uint32_t off, len;
}; /* of a memory BAR; len 0: none */
#define PCI_MAX_VCAPS 16
struct pci_vcap {
    uint8_t off, len, id;
}; /* a capability that the virtual configuration space shows */
struct pci_dev {
    struct pci_dev *next;
    struct pci_dev *next_owned;
    struct pci_dev *parent; /* bridge above it, NULL on a root bus */
    uint32_t sbdf;
    uint16_t vendor, device;
    uint32_t class_rev;
    uint8_t header, group;
    uint8_t secondary; /* of a bridge: bus number below it */
    uint8_t port_type; /* PCIe device/port type */
    bool bridge, hidden, has_flr, pcie, dma_on;
    bool acs; /* ACS found and switched on */
    uint16_t cap_msix, cap_msi, cap_pm, cap_pcie, cap_af;
    struct bh_pci_bar bar[BH_PCI_BARS];
    uint16_t msix_count, msix_total; /* used: at most 64, of MSI 1; in the table */
    uint8_t msix_bar, pba_bar;
    uint32_t msix_off, pba_off;
    volatile uint32_t *msix_table; /* core mapping; hidden devices only */
    void *shadow[2]; /* of a guest's: pages of the core where it finds the table, the second if there are more than the first holds */
    uint32_t msi_pirq;         /* number in the guest's MSI message; 0: none */
    bool by_msi;               /* it has MSI-X, too, but its owner has it use MSI */
    bool had_dma;              /* in this life of its owner */
    bool permissive;           /* its owner has it so (BH_ASSIGN_PERMISSIVE) */
    bool virtio, nvme, e1000e; /* kinds whose running state the core can read */
    struct pci_part part[VIRTIO_STRUCTS];
    uint32_t notify_mult;
    volatile uint8_t *soft_regs; /* core mapping: virtio's common configuration, the others' registers; hidden devices only */
    uint8_t nr_vcaps;
    struct pci_vcap vcap[PCI_MAX_VCAPS];
    enum pci_reset reset;
    uint16_t devctl; /* PCIe device control as firmware set it: payload sizes must fit the port */
    uint8_t reset_stage;  /* 0: none in progress */
    uint64_t reset_until; /* ns */
    enum pci_past past;   /* what its last owner, or the last instance of this one, left in it */
    enum pci_phase phase;
    int why;         /* what ended the setting up */
    unsigned at_bar; /* setting up and taking away: BAR and page of it that come next */
    uint64_t at_page;
    bool at_any; /* something of that BAR is mapped */
    enum bh_pci_state state;
    domid_t owner;
    uint32_t given;      /* times it was assigned */
    uint32_t pirq_base;  /* first pirq of it in the owner's space */
    struct iommu *iommu; /* NULL: not covered, or not to be assigned */
    bool trial_failed; /* its write did not arrive in the trial of that unit: no DMA in this boot */
    void *irt;         /* interrupt remapping table of this device */
    struct pirq_route route[64];
    uint64_t dma_faults;      /* a */
    struct spinlock irq_lock; /* interrupt handlers take it; inside pci_lock */
    struct timer irq_timer;   /* ends what is held back; armed under irq_lock */
    bool msix_on;             /* i: MSI-X is enabled, and the registers may be touched */
    uint8_t nr_cut;           /* i: routes whose remapping entry is cleared; to read, none */
    uint64_t irq_ms;          /* i: as of a route, of all its routes */
    uint32_t irq_count;
    uint64_t followed_ns;         /* i: when a route last followed its vCPU */
    uint64_t irq_holds, irq_cuts; /* i: how often anything was held back, how often by the IOMMU */
    uint64_t irq_holds_said, irq_said_ns; /* i: at the last line that told it */
};
extern struct spinlock pci_lock;
extern struct pci_dev *pci_devices;

void pci_init(void); /* enumerates, sizes, takes bus mastering away, hides per command line */
/* Configuration space: off a multiple of size, size 1, 2 or 4. Any context: ports, an index and a datum, have a lock of their own. What nobody has reads
 * as ones. */
uint32_t pci_read(struct pci_dev *p, unsigned off, unsigned size);
void pci_write(struct pci_dev *p, unsigned off, unsigned size, uint32_t v);
struct pci_dev *pci_find(uint32_t sbdf); /* NULL: no such function. It stays: devices do not come and go */
/* One step of it, the first of which links p to d: 0 when it is done, HC_AGAIN while there is more to map or fill, a reset takes
 * its time or a vCPU of d has yet to leave, -EINVAL (d runs, or gpa), -ENOSPC (no address space, or no BAR that may be shown),
 * -EIO (did not come back from reset), -ENOMEM, or the refusals of struct bh_assign. An error that comes after the first step is
 * told when all is undone again. */
int pci_assign(struct domain *d, uint32_t sbdf, uint64_t gpa,
               bool permissive) __must_check; /* domain under construction or control-paused */
int pci_deassign(struct domain *d,
                 uint32_t sbdf) __must_check; /* not of a running domain (-EINVAL); HC_AGAIN as above */
/* On: -ENODEV not its device, -EBUSY not set up, or the core sees that it runs (virtio, NVMe), -EIO of any other kind: no reset
 * since the last instance had it, -EACCES the trial of its IOMMU unit was not passed. */
int pci_dma_enable(struct domain *d, uint32_t sbdf, bool on) __must_check;
int pci_set(struct bh_pci_set *a) __must_check; /* BH_CTL_PCI_SET */
/* A guest's soft reset: DMA off at once, then each device is reset; 0 or HC_AGAIN. One that does not come back stays without DMA. */
int pci_soft_reset(struct domain *d) __must_check;
/* A step of the trial of a unit (bulkhead.h, BH_SVC_TRIAL). Takes pci_lock; waits for nothing. */
int pci_trial(struct domain *d, struct bh_trial *t) __must_check;
/* Fence (docs/restart-protocol.md 2.2), in this order: bus mastering off and read back, device entry blocked, device entry + pages +
 * interrupt table invalidated, completion waited for. All that in the first call; then the IOMMU table is emptied (HC_AGAIN).
 * BARs stay mapped. */
int pci_fence(struct domain *d) __must_check;
/* Restart, after the new frames are in the p2m: rebuilds the IOMMU table of d (DMA stays blocked), and resets the devices whose
 * running state the core cannot read. 0 or HC_AGAIN: what the table takes is held back for it. */
int pci_refill(struct domain *d) __must_check;
/* Destroy: all fenced in the first call, then in steps (HC_AGAIN) back to assignable, IOMMU table freed. */
int pci_release_all(struct domain *d) __must_check;
int pci_hide(uint32_t sbdf,
             bool on) __must_check; /* a step of BH_CTL_PCI_HIDE: 0, HC_AGAIN, or as there */
int pci_info(uint32_t index, struct domain *owner,
             struct bh_pci_info *out) __must_check;       /* owner NULL: all */
int pci_config_access(struct bh_pci_cfg *c) __must_check; /* pciback: hidden devices only, filtered */
/* p2m changes of RAM in a domain with devices (balloon); no-ops without. Same flush-before-put rule. */
void pci_p2m_changed(struct domain *d, gfn_t g, mfn_t m, bool present);
