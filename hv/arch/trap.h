/* SPDX-License-Identifier: MIT */
/* Descriptor tables (each CPU has its own GDT and TSS, all share the IDT) and exceptions of the core itself (arch/trap.c). */
#pragma once
#include "base/types.h"
#include "common/trap.h"

struct cpu;
void trap_init_early(void); /* boot CPU: IDT, so that the first mistake is readable */
void trap_init_cpu(struct cpu *c); /* GDT, TSS and the stacks of #DF, NMI, #MC of the CPU; allocates on first use */
void trap_load(struct cpu *c); /* on the CPU itself */
void trap_entry(struct trap_frame *f);
