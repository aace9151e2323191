/* SPDX-License-Identifier: MIT */
/*
 * Spinlocks. The core runs with interrupts off except in the idle loop and one window after each exit,
 * and has one stack per CPU, so a lock needs no IRQ state. Which may be taken under which: docs/locking.md.
 *
 * Ticket locks behind a short try: who finds the lock free takes it, who does not for SPIN_TRIES looks stands in the queue, and
 * whoever stands there comes before all that come later, in the order of arrival. So no CPU is kept out by others that take the
 * lock again and again. Tickets from the first look on would be a convoy where CPUs are threads of another system: a waiter
 * that is off its processor when its turn comes holds up all behind it, and with a lock that is often taken there is always one.
 */
#pragma once
#include "base/relax.h"
#include "base/types.h"

struct spinlock {
    union {
        volatile uint32_t v; /* both, to look and to take a ticket at once; 0: free */
        struct {
            volatile uint16_t serving; /* the holder's ticket; only the holder writes it */
            volatile uint16_t next; /* the next ticket to be taken: equal to `serving` when the lock is free */
        };
    };
};
#define SPINLOCK_INIT \
    {                 \
        .v = 0        \
    }
#define SPIN_TICKET 0x10000u /* one more in `next` */
#define SPIN_TRIES  1000u    /* some 50 us: longer than anybody holds a lock */

static inline bool spin_free(uint32_t v) { return (uint16_t)v == v >> 16; }
static inline bool spin_is_locked(const struct spinlock *l) { return !spin_free(l->v); }
static inline bool spin_trylock(struct spinlock *l)
{
    uint32_t v = l->v;
    return spin_free(v) && __atomic_compare_exchange_n(&l->v, &v, v + SPIN_TICKET, false,
                                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
static inline void spin_lock(struct spinlock *l)
{
    for (unsigned i = 0; i < SPIN_TRIES; i++) {
        if (spin_trylock(l))
            return;
        cpu_relax();
    }
    uint16_t ticket = (uint16_t)(__atomic_fetch_add(&l->v, SPIN_TICKET, __ATOMIC_ACQUIRE) >> 16);
    while (__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != ticket)
        cpu_relax();
}
static inline void spin_unlock(struct spinlock *l)
{
    __atomic_store_n(&l->serving, (uint16_t)(l->serving + 1),
                     __ATOMIC_RELEASE); /* the next ticket's carry stays out of it */
}
