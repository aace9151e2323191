/* SPDX-License-Identifier: MIT */
/* System time (nanoseconds since the core started, from the calibrated TSC), wall clock, pvclock, and
 * per-CPU one-shot timers on the local APIC timer. */
#pragma once
#include "base/list.h"
#include "base/lock.h"
#include "base/types.h"

void time_init(void);  /* boot CPU: calibrates against HPET, else ACPI PM timer, else PIT */
uint64_t now_ns(void); /* system time; no lock, any CPU: their TSCs run together */
uint64_t tsc_to_ns(uint64_t tsc); /* a reading of the TSC as system time */
extern uint32_t tsc_khz;
extern uint32_t pvclock_mul; /* tsc_to_system_mul / shift of struct vcpu_time_info */
extern int8_t pvclock_shift;
extern uint64_t tsc_boot;     /* TSC at system time 0 */
extern uint64_t wallclock_ns; /* UTC since the epoch at system time 0 */
extern bool wallclock_exact; /* it is as good as it gets; before, half a second off (time/wallclock.c) */
void wallclock_init(void);  /* once after time_init: reads the CMOS clock */
void wallclock_watch(void); /* boot CPU, timers work: finds out when its seconds begin */
void udelay(uint32_t us);   /* short bounded waits at boot and in device resets */

/* mul and shift so that (ticks << shift) * mul >> 32 is nanoseconds (struct vcpu_time_info of <xen/xen.h>). */
void pvclock_scale(uint64_t khz, uint32_t *mul, int8_t *shift);

struct cpu;
struct timer {
    struct list node;            /* timer_lock of `cpu` */
    uint64_t expires;            /* ns; timer_lock of `cpu` */
    void (*fn)(struct timer *t); /* on the CPU it was armed on, interrupts off, no locks held */
    struct cpu *cpu; /* armed on, or NULL: changes under its timer_lock; to a CPU only under `lock`, too */
    struct spinlock lock; /* who arms or cancels; outside timer_lock */
    uint32_t running; /* atomic: CPUs that are in fn (armed again meanwhile, it can fire on another) */
};
void timer_setup(struct timer *t, void (*fn)(struct timer *));
void timer_set(struct timer *t,
               uint64_t expires_ns); /* (re)arms on this CPU, moving it if needed; any CPU at any time */
/* Any CPU, no lock held that fn takes. Returns when t is armed nowhere and fn runs on no CPU (but this, if fn calls it). */
void timer_cancel(struct timer *t);
void timer_run(void); /* from the run loop and the timer interrupt's tail: fires what is due */
void timer_interrupt(void *unused); /* handler of VEC_TIMER */
void timer_program(void);  /* sets the local APIC timer to the earliest expiry of this CPU */
uint64_t random_u64(void); /* RDRAND or mixed TSC: for injection delays, never for secrets */
