/* SPDX-License-Identifier: MIT */
/* The machine's end, and the core's: power-off, reset, and what a panic does with the other CPUs. */
#pragma once
#include "base/types.h"

/* By ACPI's reset register, then port 0xcf9, the keyboard controller, a triple fault. Stops the other CPUs first; takes no lock. */
void machine_reboot(void) __noreturn;
void machine_poweroff(void) __noreturn;
void panic_machine_init(void);      /* from then on panic can do its work */
void print_backtrace(uint64_t rbp); /* who called, by the chain of frame pointers */
void machine_stop(void)
    __noreturn; /* nothing can run: halts (noreboot) or powers off, the reason already printed */
