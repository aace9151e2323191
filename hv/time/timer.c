/* SPDX-License-Identifier: MIT */
/*
 * One-shot timers, a sorted list per CPU behind the local APIC timer. Who arms or cancels holds the timer's lock, so two CPUs
 * never do so at once; the list is under the CPU's timer_lock, inside it. timer_run takes a timer off without the timer's
 * lock, which would be the wrong order: first it counts the function as running, then it says that the timer is armed nowhere,
 * and who sees the second sees the first. Functions run with no lock held. timer_cancel waits for them wherever they run, so
 * the canceller must hold no lock that a timer function takes.
 */
#include "arch/irq.h"
#include "base/cpu.h"
#include "time/time.h"

/* Guests choose expiries up to 2^64 - 1: as a TSC deadline that would wrap into the past, and fire without an end. */
#define LONGEST_NS (3600 * NS_PER_S)

void timer_setup(struct timer *t, void (*fn)(struct timer *))
{
    list_init(&t->node);
    t->lock = (struct spinlock)SPINLOCK_INIT;
    t->expires = 0;
    t->fn = fn;
    t->cpu = NULL;
    t->running = 0;
}

/* Takes t off whatever CPU it is armed on. t->lock held: only that CPU's timer_run can be quicker. */
static void disarm(struct timer *t)
{
    struct cpu *c = __atomic_load_n(&t->cpu, __ATOMIC_ACQUIRE);
    if (!c)
        return;
    spin_lock(&c->timer_lock);
    if (t->cpu) {
        list_del(&t->node);
        t->cpu = NULL;
    }
    spin_unlock(&c->timer_lock);
}

void timer_set(struct timer *t, uint64_t expires_ns)
{
    struct cpu *c = this_cpu();
    spin_lock(&t->lock);
    disarm(t);
    spin_lock(&c->timer_lock);
    t->expires = expires_ns;
    t->cpu = c;
    struct list *at = c->timers.next;
    while (at != &c->timers && list_entry(at, struct timer, node)->expires <= expires_ns)
        at = at->next;
    list_insert(at, &t->node);
    bool first = c->timers.next == &t->node;
    spin_unlock(&c->timer_lock);
    spin_unlock(&t->lock);
    if (first)
        timer_program();
}

void timer_cancel(struct timer *t)
{
    uint32_t own = this_cpu()->timer_running == t; /* its own function cancels it */
    for (;;) {
        spin_lock(&t->lock);
        disarm(t);
        bool busy = __atomic_load_n(&t->running, __ATOMIC_ACQUIRE) > own;
        spin_unlock(&t->lock);
        if (!busy)
            return;
        while (__atomic_load_n(&t->running, __ATOMIC_ACQUIRE) > own)
            cpu_relax();
        /* the function may have armed it again */
    }
}

void timer_run(void)
{
    struct cpu *c = this_cpu();
    /* Lock-free look: only this CPU adds to its list. */
    if (list_empty(&c->timers))
        return;
    uint64_t now = now_ns();
    for (;;) {
        spin_lock(&c->timer_lock);
        struct timer *t = list_empty(&c->timers) ? NULL
                                                 : list_entry(c->timers.next, struct timer, node);
        if (!t || t->expires > now) {
            spin_unlock(&c->timer_lock);
            return;
        }
        list_del(&t->node);
        __atomic_add_fetch(&t->running, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&t->cpu, NULL, __ATOMIC_RELEASE);
        spin_unlock(&c->timer_lock);
        c->timer_running = t;
        t->fn(t);
        c->timer_running = NULL;
        __atomic_sub_fetch(&t->running, 1,
                           __ATOMIC_RELEASE); /* the last look at t: a canceller may free it now */
    }
}

void timer_program(void)
{
    struct cpu *c = this_cpu();
    uint64_t next = 0; /* 0: none */
    spin_lock(&c->timer_lock);
    if (!list_empty(&c->timers))
        next = MAX(list_entry(c->timers.next, struct timer, node)->expires,
                   1); /* guests ask for 0, too */
    spin_unlock(&c->timer_lock);
    /* An interrupt that comes too early costs an interrupt, re-arming at every entry costs a device access each. */
    if (!next || (c->timer_armed_ns && c->timer_armed_ns <= next))
        return;
    c->timer_armed_ns = next;
    uint64_t now = now_ns();
    apic_timer_set_ns(next > now ? MIN(next - now, LONGEST_NS) : 1);
}

void timer_interrupt(void *unused)
{
    (void)unused;
    this_cpu()->timer_armed_ns = 0;
    timer_run();
    timer_program();
}
