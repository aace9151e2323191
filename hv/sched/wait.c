/* SPDX-License-Identifier: MIT */
/* A vCPU that waits in a hypercall: for an event, a condition, a time. Its own CPU calls all of these; no lock. */
#include "domain/struct.h"
#include "sched/sched.h"

static long wait_over(struct vcpu *v, long rc)
{
    if (v->waiting && v->wait_until)
        timer_cancel(&v->poll_timer);
    v->waiting = false;
    v->poll_port = 0;
    vcpu_wake(v); /* it may be marked blocked */
    return rc;
}

long vcpu_wait_for(struct vcpu *v, uint64_t until_ns, bool (*ready)(struct vcpu *v, void *arg),
                   void *arg)
{
    if (!v->waiting) {
        if (ready(v, arg))
            return 0;
        v->waiting = true;
        v->wait_until = until_ns;
        v->poll_timed_out = false;
        if (until_ns)
            timer_set(&v->poll_timer, until_ns);
    }
    vcpu_mark_blocked(v);
    if (ready(v, arg))
        return wait_over(v, 0);
    if (v->poll_timed_out || (v->wait_until && now_ns() >= v->wait_until))
        return wait_over(v, -ETIME);
    if (v->nmi_pending || v->wait_sipi)
        return wait_over(v, 0); /* a handler may come here again: it must not find us waiting */
    return HC_AGAIN;
}

static bool event_ready(struct vcpu *v, void *arg)
{
    (void)arg;
    return v->info && v->info->evtchn_upcall_pending;
}
long vcpu_wait(struct vcpu *v, uint64_t until_ns)
{
    long rc = vcpu_wait_for(v, until_ns, event_ready, NULL);
    v->wait_event = rc == HC_AGAIN;
    if (v->wait_event)
        v->domain->deadline_ticks = 0; /* who blocks found nothing to do: it is not hung */
    return rc;
}

void vcpu_wait_over(struct vcpu *v) { (void)wait_over(v, 0); }
