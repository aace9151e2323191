/* SPDX-License-Identifier: MIT */
/* Descriptor tables (each CPU has its own GDT and TSS, all share the IDT) and exceptions of the core itself (arch/trap.c). */
#pragma once
#include "base/types.h"

struct cpu;
struct trap_frame {
    uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};
void trap_init_early(void); /* boot CPU: IDT, so that the first mistake is readable */
void trap_init_cpu(struct cpu *c); /* GDT, TSS and the stacks of #DF, NMI, #MC of the CPU; allocates on first use */
void trap_load(struct cpu *c); /* on the CPU itself */
void trap_entry(struct trap_frame *f);
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS  0x18
