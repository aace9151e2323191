/* SPDX-License-Identifier: MIT */
/*
 * Spinlocks. The core runs with interrupts off except in the idle loop and one window after each exit,
 * and has one stack per CPU, so a lock needs no IRQ state. Lock order, outermost first:
 *   domain_list > d->lock (two of them: lower domid first) > grant > evtchn (lower domid first) > pci > p2m
 *   > iommu > run queue > timer > frame heap > console
 */
#pragma once
#include "lib/types.h"

struct spinlock { volatile uint32_t v; };
#define SPINLOCK_INIT { 0 }

static inline void cpu_relax(void) { __asm__ volatile("pause" ::: "memory"); }
static inline bool spin_trylock(struct spinlock *l)
{
    return __atomic_exchange_n(&l->v, 1, __ATOMIC_ACQUIRE) == 0;
}
static inline void spin_lock(struct spinlock *l)
{
    while (!spin_trylock(l))
        while (l->v)
            cpu_relax();
}
static inline void spin_unlock(struct spinlock *l) { __atomic_store_n(&l->v, 0, __ATOMIC_RELEASE); }
static inline bool spin_is_locked(const struct spinlock *l) { return l->v != 0; }
