/* SPDX-License-Identifier: MIT */
/* CPUs of the machine: per-CPU structures and the start of the others. */
#pragma once
#include "base/types.h"

struct cpu;
#define CPU_STACK_PAGES 8
void percpu_init_boot(void); /* GS base of the boot CPU; before anything that asks which CPU it is */
void *boot_cpu_stack(void);  /* a guarded stack for the boot CPU */
/* Starts the other CPUs: on each `up`, which fails with a negative value if the CPU is no good, then `loop`, which does not return. */
void smp_boot(int (*up)(struct cpu *c), void (*loop)(void));
void stack_switch(void *top, void (*fn)(void)) __noreturn;
