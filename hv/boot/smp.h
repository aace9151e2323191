/* SPDX-License-Identifier: MIT */
/* CPUs of the machine: per-CPU structures and the start of the others. */
#pragma once
#include "base/types.h"

#define CPU_STACK_PAGES 8
void percpu_init_boot(void);      /* GS base of the boot CPU; before anything that asks which CPU it is */
void *boot_cpu_stack(void);       /* a guarded stack for the boot CPU */
void stack_switch(void *top, void (*fn)(void)) __noreturn;
