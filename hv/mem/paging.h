/* SPDX-License-Identifier: MIT */
/* The core's own page tables: W^X, NX, direct map of RAM (RW, without the image's own frames), MMIO and
 * guarded-stack windows. Boot CPU only, except paging_load. */
#pragma once
#include "base/types.h"

void paging_init(void); /* builds and loads the final tables */
void paging_load(void); /* on each CPU: CR3, CR0.WP, CR4.SMEP/SMAP, EFER.NXE */
/* Maps machine MMIO [m, m+len) uncached; never unmapped. NULL if the window is full. Any CPU, own lock. */
void *mmio_map(maddr_t m, uint64_t len) __must_check;
/* A stack with an unmapped guard page below it; returns its top. */
void *stack_alloc(unsigned pages) __must_check;
bool stack_contains(uint64_t va);  /* in the stack window and mapped, or in the boot stack */
bool stack_guard_hit(uint64_t va); /* in an unmapped page of the stack window */
uint64_t paging_entry(unsigned slot); /* of the top level: the trampoline's tables copy the upper half */
void paging_frames_ready(void);       /* from now on tables come from the frame allocator */
