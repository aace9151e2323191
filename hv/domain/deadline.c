/* SPDX-License-Identifier: MIT */
/*
 * Timers that watch a domain: the hang deadline of service domains (docs/restart-protocol.md 8), SCHEDOP_watchdog of guests, and the
 * crashes that tests inject.
 *
 * Hang deadline: a timer looks four times in the time allowed. A look counts when the domain is sealed and not paused, and either
 * sleeps through a pending event, or runs and since the last look that counted had a sixteenth of the time allowed as CPU time and
 * entered the guest, or is made to hang on purpose. Who runs need not have an event pending: who polls a ring has asked his peers
 * for none, so a loop there would never be noticed. Four looks that count, with none between that found it idle, are a missed
 * deadline. An idle domain, one that gets no CPU, and one whose CPU stands still in the midst of an instruction (firmware, an emulator,
 * a device that does not answer) are never blamed; but one that is made to hang is, asleep or not: who gave the order waits for the
 * end of it.
 */
#include "domain/domain.h"
#include <xen/sched.h>
#include "base/print.h"
#include "sched/sched.h"

#define LOOKS           4u
#define MAX_DEADLINE_MS 600000ull

static struct vcpu *vcpu0(struct domain *d) { return d->vcpu[0]; }

enum look { IDLE, STARVED, COUNTS };

static enum look look(struct domain *d)
{
    struct vcpu *v = vcpu0(d);
    uint64_t cpu_ns = domain_cpu_ns(d);
    if (READ_ONCE(v->pause_count))
        return IDLE;
    if (d->hang)
        return COUNTS;
    if (READ_ONCE(v->state) == VCPU_BLOCKED)
        return v->info && v->info->evtchn_upcall_pending ? COUNTS : IDLE;
    /* Signed: a slice that ends on another CPU meanwhile may be in the older one twice. */
    if (v->kicked ||
        (int64_t)(cpu_ns - d->deadline_cpu_ns) <= (int64_t)(d->deadline_ms * NS_PER_MS / 16))
        return STARVED;
    d->deadline_cpu_ns = cpu_ns;
    vcpu_kick(v); /* the mark of it goes with the next entry */
    return COUNTS;
}

static void deadline_look(struct timer *t)
{
    struct domain *d = container_of(t, struct domain, deadline_timer);
    uint64_t ms = d->deadline_ms;
    if (!ms || d->state != BH_DOM_RUNNING)
        return; /* armed again by the next instance */
    enum look now = look(d);
    if (now == IDLE)
        d->deadline_ticks = 0;
    d->deadline_ticks += now == COUNTS;
    if (d->deadline_ticks >= LOOKS) {
        d->deadline_missed++;
        domain_crash(d, vcpu0(d), BH_CAUSE_DEADLINE, "missed its deadline of %lu ms",
                     (unsigned long)ms);
        return;
    }
    timer_set(t, now_ns() + ms * NS_PER_MS / LOOKS);
}

void deadline_arm(struct domain *d, uint64_t ms)
{
    ms = MIN(ms, MAX_DEADLINE_MS);
    d->deadline_ticks = 0;
    d->deadline_cpu_ns = domain_cpu_ns(d);
    if (d->deadline_ms == ms)
        return; /* the timer runs already */
    d->deadline_ms = ms;
    if (ms)
        timer_set(&d->deadline_timer, now_ns() + ms * NS_PER_MS / LOOKS);
    else
        timer_cancel(&d->deadline_timer);
}

/* --- SCHEDOP_watchdog ------------------------------------------------------------------------------------- */

static void watchdog_fired(struct domain *d)
{
    log_warn("d%u: watchdog expired", d->id);
    domain_shutdown(d, SHUTDOWN_watchdog);
}
static void watchdog0(struct timer *t)
{
    watchdog_fired(container_of(t, struct domain, watchdog[0]));
}
static void watchdog1(struct timer *t)
{
    watchdog_fired(container_of(t, struct domain, watchdog[1]));
}

static bool armed(const struct timer *t) { return !list_empty(&t->node); }

static int watchdog_locked(struct domain *d, uint32_t id, uint32_t seconds)
{
    uint64_t when = now_ns() + seconds * NS_PER_S;
    if (id == 0) {
        if (!seconds)
            return -EINVAL;
        for (uint32_t i = 0; i < ARRAY_SIZE(d->watchdog); i++)
            if (!armed(&d->watchdog[i])) {
                timer_set(&d->watchdog[i], when);
                return (int)i + 1;
            }
        return -ENOSPC;
    }
    struct timer *t = &d->watchdog[clamp_nospec(id - 1, ARRAY_SIZE(d->watchdog))];
    if (!armed(t))
        return -EEXIST; /* Xen's answer for one that is not in use */
    if (seconds)
        timer_set(t, when);
    else
        timer_cancel(t); /* its function takes other locks than ours */
    return 0;
}

int watchdog_set(struct domain *d, uint32_t id, uint32_t seconds)
{
    if (id > ARRAY_SIZE(d->watchdog))
        return -EINVAL;
    spin_lock(&d->watch_lock);
    int rc = watchdog_locked(d, id, seconds);
    spin_unlock(&d->watch_lock);
    return rc;
}

/* --- injection ---------------------------------------------------------------------------------------------- */

/*
 * INJECT_SOON: the timer is armed for a random moment. Then, if the domain runs at that moment, the timer's own
 * interrupt or a kick has it out of the guest at whatever instruction it was: INJECT_NOW, and its CPU crashes it before the next
 * entry. If it sleeps, INJECT_ARMED: the next entry starts a short random timer (INJECT_SOON again). A domain that keeps
 * sleeping is crashed asleep when the time is over.
 */
enum inject_state { INJECT_OFF, INJECT_SOON, INJECT_ARMED, INJECT_NOW };
#define INJECT_WITHIN (4 * NS_PER_MS)
#define INJECT_LATEST (20 * NS_PER_MS)
#define INJECT_BURST  (100 * NS_PER_US)

static void inject_do(struct domain *d, struct vcpu *v)
{
    d->inject = INJECT_OFF;
    domain_crash(d, v, BH_CAUSE_INJECTED, "crash injected");
}

static void inject_fire(struct timer *t)
{
    struct domain *d = container_of(t, struct domain, inject_timer);
    struct vcpu *v = vcpu0(d);
    if (!d->inject || d->state != BH_DOM_RUNNING)
        return;
    if (v->running) {
        d->inject = INJECT_NOW;
        vcpu_kick(v);
        timer_set(t, now_ns() + NS_PER_MS); /* if it blocks before its CPU has seen that */
    } else if (now_ns() >= d->inject_until) {
        inject_do(d, v);
    } else {
        d->inject = INJECT_ARMED;
        timer_set(t, d->inject_until);
    }
}

void deadline_inject_crash(struct domain *d, uint32_t after_ms)
{
    uint64_t from = now_ns() + after_ms * NS_PER_MS;

    d->inject = INJECT_SOON;
    d->inject_until = from + INJECT_LATEST;
    timer_set(&d->inject_timer, from + random_u64() % INJECT_WITHIN);
}

void deadline_inject_entry(struct vcpu *v)
{
    struct domain *d = v->domain;
    if (d->inject == INJECT_NOW) {
        inject_do(d, v);
    } else if (d->inject == INJECT_ARMED) {
        d->inject = INJECT_SOON;
        timer_set(&d->inject_timer, now_ns() + random_u64() % INJECT_BURST);
    }
}

void deadline_hang(struct domain *d)
{
    d->hang = 1;
    domain_recheck(d);
}

/* --- life ------------------------------------------------------------------------------------------------------ */

void deadline_init(struct domain *d)
{
    timer_setup(&d->deadline_timer, deadline_look);
    timer_setup(&d->inject_timer, inject_fire);
    timer_setup(&d->watchdog[0], watchdog0);
    timer_setup(&d->watchdog[1], watchdog1);
}

void deadline_cancel_all(struct domain *d)
{
    d->deadline_ms = 0;
    d->inject = INJECT_OFF;
    d->hang = 0;
    timer_cancel(&d->deadline_timer);
    timer_cancel(&d->inject_timer);
    for (unsigned i = 0; i < ARRAY_SIZE(d->watchdog); i++)
        timer_cancel(&d->watchdog[i]);
    d->deadline_ticks = 0;
}
