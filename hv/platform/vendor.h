/* SPDX-License-Identifier: MIT */
/* Which vendor's half the machine has: chosen while the core starts (virt/virt.c, pci/iommu/iommu.c), then only read. */
#pragma once
#include "base/types.h"

struct cpu;
struct vcpu;
struct vcpu_hvm_context;
struct iommu_ops; /* pci/iommu/iommu.h */

enum { CR_EFER = 8, CR_XCR0 = 9 }; /* of get_cr, beside the numbers of control registers */

struct virt_ops {
    const char *name;
    int (*cpu_init)(struct cpu *c); /* turns virtualisation on; -ENODEV with a log line that names what is missing */
    int (*vcpu_init)(struct vcpu *v);
    void (*vcpu_free)(struct vcpu *v);
    void (*set_pvh_entry)(struct vcpu *v, uint64_t eip, uint64_t ebx); /* docs/linux-pvh.md 1 */
    void (*set_sipi)(struct vcpu *v, uint8_t vector); /* real mode at vector << 12 */
    /* Registers of the guest's choice; false: they are none that the CPU could run with. set_context wants them checked. */
    bool (*context_ok)(const struct vcpu_hvm_context *c);
    void (*set_context)(struct vcpu *v, const struct vcpu_hvm_context *c);
    /* One entry, one exit, handled; returns with interrupts off. Not 0: the guest asks for a hypercall, by an instruction that long. */
    unsigned (*run)(struct vcpu *v);
    void (*switch_from)(struct vcpu *v);                  /* v leaves this CPU: FPU state saved */
    uint64_t (*get_cr)(const struct vcpu *v, unsigned n); /* 0 2 3 4; CR_EFER, CR_XCR0 */
    unsigned (*cpl)(const struct vcpu *v);
    unsigned (*code_bits)(const struct vcpu *v); /* of the code segment: 16, 32 or 64; 0 in real mode */
    void (*exit_info)(const struct vcpu *v, uint64_t *code, uint64_t *info1, uint64_t *info2);
};
extern const struct virt_ops *virt;
extern const struct iommu_ops *iommu_ops; /* NULL: no IOMMU, every assignment is refused */
