/* SPDX-License-Identifier: MIT */
/*
 * How long interrupts are off, and what kept them off. The run loop marks where a stretch begins and ends; each CPU keeps the longest
 * of each operation, and with loglvl=debug the log (`dmesg`) has a line when one is the longest of its kind by a quarter. Costs four
 * looks at the time stamp counter an exit. Of its own CPU alone, no locks.
 */
#pragma once
#include "base/cpu.h"
#include "base/print.h"
#include "time/time.h"

#define OFF_NOTED \
    (tsc_khz / 10) /* in ticks of the TSC, 100 us: shorter ones are not worth a place */

/* What: one of these, and for exits and hypercalls which. */
enum { OFF_RUN_LOOP = 0, OFF_HANDLERS = 1u << 24, OFF_EXIT = 2u << 24, OFF_HYPERCALL = 3u << 24 };
#define OFF_EXIT_OF(code)        (OFF_EXIT | ((code)&0xffffu))
#define OFF_HYPERCALL_OF(nr, op) (OFF_HYPERCALL | ((nr)&0xffu) << 16 | ((op)&0xffffu))

static inline void irqs_off_what(uint32_t what) { this_cpu()->off_what = what; }

static inline void irqs_off_begin(uint32_t what)
{
    this_cpu()->off_since = rdtsc();
    irqs_off_what(what);
}

static inline void irqs_off_tell(uint32_t what, uint64_t ns)
{
    uint32_t us = (uint32_t)(ns / NS_PER_US);
    switch (what & 0xff000000) {
    case OFF_HYPERCALL:
        log_debug("interrupts off for %u us: hypercall %u, operation %u", us, what >> 16 & 0xff,
                  what & 0xffff);
        break;
    case OFF_EXIT: log_debug("interrupts off for %u us: exit %x", us, what & 0xffff); break;
    case OFF_HANDLERS: log_debug("interrupts off for %u us: interrupt handlers", us); break;
    default: log_debug("interrupts off for %u us: the run loop", us);
    }
}

/* Its place, else a free one, else that of the shortest, if this one is longer. */
static inline void irqs_off_note(struct cpu *c, uint32_t what, uint64_t ns)
{
    struct longest *at = c->longest;
    for (struct longest *l = c->longest; l < c->longest + NR_LONGEST; l++) {
        if (l->ns && l->what == what) {
            at = l;
            break;
        }
        if (l->ns < at->ns)
            at = l;
    }
    if (ns <= at->ns)
        return;
    bool tell = at->what != what || ns > at->told_ns + at->told_ns / 4;
    *at = (struct longest){ .what = what, .ns = ns, .told_ns = tell ? ns : at->told_ns };
    if (tell)
        irqs_off_tell(what, ns);
}

/* since 0: they were not off. */
static inline void irqs_off_end_at(struct cpu *c, uint64_t since, uint64_t now)
{
    if (unlikely(now - since > OFF_NOTED) && since)
        irqs_off_note(c, c->off_what, tsc_to_ns(now) - tsc_to_ns(since));
}
/* Interrupts are about to come on. */
static inline void irqs_off_end(void)
{
    struct cpu *c = this_cpu();
    irqs_off_end_at(c, c->off_since, rdtsc());
    c->off_since = 0;
}

/* One stretch ends and the next begins. */
static inline void irqs_off_next(uint32_t what)
{
    struct cpu *c = this_cpu();
    uint64_t now = rdtsc();
    uint64_t since = c->off_since;
    c->off_since = now;
    irqs_off_end_at(c, since, now);
    c->off_what = what;
}

/* The one window of the run loop in which interrupts are taken. No lock is held. */
static inline void irq_window(void)
{
    irqs_off_next(OFF_HANDLERS);
    irq_on();
    irq_off();
    irqs_off_next(OFF_RUN_LOOP);
}
