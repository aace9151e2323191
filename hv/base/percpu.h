/* SPDX-License-Identifier: MIT */
/* The per-CPU structure, apart from base/cpu.h so that the unit tests' replacement of that header shares it. */
#pragma once
#include <bulkhead.h>
#include "base/list.h"
#include "base/lock.h"
#include "base/types.h"

struct vcpu;
struct timer;

/* The longest time with interrupts off of one operation (sched/irqs_off.h). */
#define NR_LONGEST 16u
struct longest {
    uint64_t ns, told_ns;
    uint32_t what;
};

/* One per CPU. Fields without a letter are touched by their own CPU alone.
 * r: under `rq_lock`   t: under `timer_lock`   a: atomic */
struct cpu {
    struct cpu *self; /* %gs:0 */
    uint32_t id;      /* 0..nr_cpus-1 */
    uint32_t apic_id;
    uint64_t stack_top;
    struct vcpu *current; /* vCPU being run or whose hypercall is served; 0 = idle (others: read only) */
    volatile uint32_t need_resched; /* a */
    volatile uint32_t idle;         /* a: halted or about to; a wake must send an IPI */
    struct spinlock rq_lock;
    struct list rq;          /* r: runnable vCPUs, vcpu.rq_node */
    uint32_t rq_len;         /* r */
    uint64_t slice_start_ns; /* when `current` was put on */
    struct spinlock timer_lock;
    struct list timers;          /* t: struct timer, sorted by expiry */
    struct timer *timer_running; /* whose function runs here now */
    uint64_t timer_armed_ns;     /* expiry programmed into the local APIC, 0 = none */
    void *virt;                  /* vendor state (VMCB host save area, ASID generation) */
    void *tss;
    struct vcpu *fpu_owner;       /* whose FPU state is loaded */
    volatile uint64_t quiet_seen; /* a: p2m_quiet of when it last was between two exits, or idle */
    uint64_t stack_bottom;        /* of the main stack, above its guard page */
    uint64_t off_since;           /* sched/irqs_off.h: TSC since when interrupts are off, 0: on */
    uint32_t off_what;
    struct longest longest[NR_LONGEST];
    uint32_t nmis, nmis_told; /* NMIs that nobody sent; how many the log knows of */
    struct bh_counts *counts; /* of whom what happens here is counted: those of `current`, or its own */
    struct bh_counts own_counts;
};

extern struct cpu *cpus[MAX_CPUS];
extern uint32_t nr_cpus; /* online */
extern uint32_t first_domain_cpu; /* CPUs below it run no domains: 0, or 1 where CPU 0 cannot (boot/main.c) */
