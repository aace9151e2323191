/* SPDX-License-Identifier: MIT */
/*
 * AMD I/O virtualisation (AMD specification 48882, chapters 2 and 3), split so that all but the registers runs natively
 * in tests: ivrs.c reads the ACPI table, amdvi_pt.c builds entries and page tables, amdvi.c talks to the hardware.
 */
#pragma once
#include "base/types.h"
#include "pci/iommu/iommu.h"

extern const struct iommu_ops amdvi_ops;
bool amdvi_init(const void *ivrs); /* false: nothing usable, all as it was */

/* --- ivrs.c ------------------------------------------------------------------------------------------------------ */
#define IVRS_UNITS   8
#define IVRS_UNIT(x) ((x)&0x0f) /* of by_device[]: 0 none, else index + 1 */
#define IVRS_REFUSED 0x80 /* known, but not to be assigned: alias of another id, or a unity range */
struct ivrs {
    unsigned nr_units;
    struct {
        uint64_t base;
        uint16_t devid, cap;
        uint8_t flags;
    } unit[IVRS_UNITS];
    uint8_t *by_device; /* 65536 bytes of the caller's */
    bool has_ioapic;    /* named: then interrupt remapping works */
    uint16_t ioapic[8]; /* requester ids */
    unsigned nr_ioapics;
};
/* Returns 0, or -EINVAL with `out` not to be used. Reads nothing outside the table's own length. */
int ivrs_parse(const void *table, struct ivrs *out) __must_check;

/* --- amdvi_pt.c --------------------------------------------------------------------------------------------------- */
struct dte {
    uint64_t q[4];
};
_Static_assert(sizeof(struct dte) == 32, "device table entry, 2.2.2.1");

#define DTE_V      (1ull << 0)
#define DTE_TV     (1ull << 1)
#define DTE_MODE_4 (4ull << 9) /* four levels */
#define DTE_IR     (1ull << 61)
#define DTE_IW     (1ull << 62)
#define DTE_IV     (1ull << 0) /* q[2] from here */
#define DTE_INTTABLEN \
    (11ull << 1) /* 2048 entries: every index that a message can carry is inside */
#define DTE_INTCTL_REMAP (2ull << 60)
#define IRT_ENTRIES      2048u
#define IRT_ORDER        1 /* 8 KiB */

#define IOPTE_P        (1ull << 0)
#define IOPTE_LEVEL(n) ((uint64_t)(n) << 9)
#define IOPTE_ADDR     0x000ffffffffff000ull
#define IOPTE_IR       (1ull << 61)
#define IOPTE_IW       (1ull << 62)
/* Not present, next level 1, which hardware ignores. QEMU blocks an access that meets a plain zero without a word. */
#define IOPTE_EMPTY IOPTE_LEVEL(1)

/* Page tables of a domain (AMD IOMMU 2.2.3), under its lock. new: a zeroed root or table, NULL without memory. map takes a
 * reference of each frame; -ENOMEM, -EEXIST, -EINVAL (alignment, 2^36 and up). unmap: whether there was a leaf; *m is what it showed and *whole
 * that all 2 MiB of it went, for want of memory to split it; who calls flushes before the reference is dropped. */
uint64_t *amdvi_pt_new(void);
uint64_t *amdvi_pt_new_for(struct domain *d); /* counts against its allowance */
int amdvi_pt_map(struct iommu_domain *dom, gfn_t g, mfn_t m, unsigned order) __must_check;
bool amdvi_pt_unmap(struct iommu_domain *dom, gfn_t g, mfn_t *m, bool *whole);
void amdvi_pt_clear(struct iommu_domain *dom);
mfn_t amdvi_pt_lookup(const struct iommu_domain *dom, gfn_t g); /* INVALID_MFN if blocked */

/* What a device does that nobody owns: present, translated by an empty table, no permission: blocked and reported;
 * interrupts target-aborted. */
void dte_blocked(struct dte *e, maddr_t empty_root);
void dte_remap_only(struct dte *e, maddr_t irt); /* on top of blocked: for the IO-APIC's id */
void dte_attached(struct dte *e, const struct iommu_domain *dom, maddr_t irt);
uint32_t irte_make(uint8_t vector, uint8_t apic);
