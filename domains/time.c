/* SPDX-License-Identifier: MIT */
/* System time from the page that the core keeps (struct vcpu_time_info of <xen/xen.h>), timers, the hang deadline. */
#include "internal.h"

static struct dtimer *timers; /* sorted, earliest first */

uint64_t now_ns(void)
{
    const volatile struct vcpu_time_info *t = &shared_info->vcpu_info[0].time;
    uint32_t version, lo, hi;
    uint64_t delta, ns;

    do {
        version = t->version;
        rmb();
        /* LFENCE: RDTSC must not run ahead of the version read. */
        __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
        delta = ((uint64_t)hi << 32 | lo) - t->tsc_timestamp;
        delta = t->tsc_shift >= 0 ? delta << t->tsc_shift : delta >> -t->tsc_shift;
        ns = t->system_time + (uint64_t)((unsigned __int128)delta * t->tsc_to_system_mul >> 32);
        rmb();
    } while ((version & 1) || version != t->version);
    return ns;
}

uint64_t wallclock_ns(void)
{
    const volatile struct shared_info *s = shared_info;
    uint32_t version;
    uint64_t ns;

    do {
        version = s->wc_version;
        rmb();
        ns = ((uint64_t)s->wc_sec_hi << 32 | s->wc_sec) * NS_PER_S + s->wc_nsec;
        rmb();
    } while ((version & 1) || version != s->wc_version);
    return ns + now_ns();
}

void dtimer_set(struct dtimer *t, uint64_t when_ns)
{
    struct dtimer **at = &timers;

    dtimer_cancel(t);
    while (*at && (*at)->when <= when_ns)
        at = &(*at)->next;
    t->when = when_ns;
    t->armed = true;
    t->next = *at;
    *at = t;
}

void dtimer_cancel(struct dtimer *t)
{
    for (struct dtimer **at = &timers; t->armed && *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            t->armed = false;
        }
        if (!*at)
            break;
    }
    t->armed = false;
}

uint64_t timers_next(void) { return timers ? timers->when : 0; }

unsigned timers_run(void)
{
    unsigned n = 0;

    if (!timers)
        return 0;
    /* One reading of the clock: a timer that sets itself again to "now" runs in the next turn, not for ever in this. */
    uint64_t now = now_ns();
    while (timers && timers->when <= now) {
        struct dtimer *t = timers;
        timers = t->next;
        t->armed = false;
        t->fn(t);
        n++;
        if (n == 64)
            break;
    }
    return n;
}

int deadline_feed(uint64_t ms)
{
    struct bh_deadline d = { .ms = ms };

    return self.guest ? 0 : (int)bh_svc_deadline(&d);
}
