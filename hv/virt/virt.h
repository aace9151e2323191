/* SPDX-License-Identifier: MIT */
/* The vCPU container: vendor operations behind one struct, and the vendor-independent halves (CPUID, MSRs, x2APIC, ports). */
#pragma once
#include <bulkhead.h>
#include "platform/vendor.h"
#include "sched/vcpu.h"

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
