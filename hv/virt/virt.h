/* SPDX-License-Identifier: MIT */
/* The vCPU container: vendor operations behind one struct, and the vendor-independent halves (CPUID, MSRs, x2APIC, ports). */
#pragma once
#include <bulkhead.h>
#include "platform/vendor.h"
#include "sched/vcpu.h"

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
extern uint32_t virt_features; /* BH_SYS_NRIP ... */
/*
 * The CPU is QEMU's software emulation, whose SVM has defects (7.2; some are gone in later ones) that a core can only go round
 * (docs/known-issues.md):
 * any CPU that loads FPU state writes, without a lock, to a word of CPU 0's that says whether nested paging is on, so a world
 * switch there can be half undone: where there are others, CPU 0 runs no domains. An injected interrupt stays pending inside
 * the emulator until the next exit, and may be delivered again at any instruction: so an exit follows at once. An INT3 may be
 * run that memory does not hold any more (exit_swint), and an interrupt shadow is not loaded (svm_enter).
 */
extern bool virt_emulated;
void virt_init(void); /* picks svm (or vmx later), panics with one clear line */

/* What the CPUs have against leaks by speculation and by what is left in registers; cpu_init finds out. */
struct virt_mitigations {
    bool ibpb;     /* written on a change of domain */
    bool lfence;   /* of every CPU so far: waits for what is before it */
    bool x87_kept; /* the x87 pointers are always saved and loaded: nothing to overwrite */
};
extern struct virt_mitigations virt_mitigations;
void virt_say_mitigations(void); /* one line, once all CPUs are there */

/* vendor-independent halves, called by svm.c/vmx.c */
void virt_cpuid(struct vcpu *v); /* leaf in regs.rax/rcx, result in rax..rdx */
int virt_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *val); /* 0, or -1: #GP */
int virt_wrmsr(struct vcpu *v, uint32_t msr, uint64_t val);
void virt_msr_cpu_init(void); /* on each CPU: makes true what guests read */
uint32_t virt_port_in(struct vcpu *v, uint16_t port, unsigned size);
void virt_port_out(struct vcpu *v, uint16_t port, unsigned size, uint32_t val);
