/* SPDX-License-Identifier: MIT */
/*
 * One-shot timers, a sorted list per CPU behind the local APIC timer. A timer belongs to the CPU it was armed on; t->cpu
 * changes under that CPU's timer_lock. Functions run with no lock held: timer_cancel from elsewhere waits for the
 * one that runs, so the canceller must hold no lock that a timer function takes.
 */
#include "irq/irq.h"
#include "lib/cpu.h"
#include "sched/time.h"

/* Guests choose expiries up to 2^64 - 1: as a TSC deadline that would wrap into the past, and fire without an end. */
#define LONGEST_NS (3600 * NS_PER_S)

void timer_setup(struct timer *t, void (*fn)(struct timer *))
{
    list_init(&t->node);
    t->expires = 0;
    t->fn = fn;
    t->cpu = NULL;
}

/* Takes t off whatever CPU it is armed on. Returns the CPU it was last armed on. */
static struct cpu *disarm(struct timer *t)
{
    for (;;) {
        struct cpu *c = READ_ONCE(t->cpu);
        if (!c)
            return NULL;
        spin_lock(&c->timer_lock);
        if (t->cpu == c) {
            list_del(&t->node);
            spin_unlock(&c->timer_lock);
            return c;
        }
        spin_unlock(&c->timer_lock);
    }
}

void timer_set(struct timer *t, uint64_t expires_ns)
{
    struct cpu *c = this_cpu();
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
    if (first)
        timer_program();
}

void timer_cancel(struct timer *t)
{
    struct cpu *c = disarm(t);
    if (!c || c == this_cpu())
        return;
    while (__atomic_load_n(&c->timer_running, __ATOMIC_ACQUIRE) == t)
        cpu_relax();
    disarm(t); /* the function may have armed it again */
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
        struct timer *t = list_empty(&c->timers) ? NULL : list_entry(c->timers.next, struct timer, node);
        if (!t || t->expires > now) {
            spin_unlock(&c->timer_lock);
            return;
        }
        list_del(&t->node);
        c->timer_running = t;
        spin_unlock(&c->timer_lock);
        t->fn(t);
        __atomic_store_n(&c->timer_running, NULL, __ATOMIC_RELEASE);
    }
}

void timer_program(void)
{
    struct cpu *c = this_cpu();
    uint64_t now = now_ns(), next = 0;
    spin_lock(&c->timer_lock);
    if (!list_empty(&c->timers))
        next = list_entry(c->timers.next, struct timer, node)->expires;
    spin_unlock(&c->timer_lock);
    /* An interrupt that comes too early costs an interrupt, re-arming at every entry costs a device access each. */
    if (!next || (c->timer_armed_ns && c->timer_armed_ns <= next))
        return;
    c->timer_armed_ns = next;
    apic_timer_set_ns(next > now ? MIN(next - now, LONGEST_NS) : 1);
}
