/* SPDX-License-Identifier: MIT */
/* Caps: see cap.h. Called by the scheduler and by who sets one (abi/control_sched.c). */
#include "sched/cap.h"
#include "domain/struct.h"
#include "sched/sched.h"

static int64_t earned(const struct cap *c, uint64_t ns) { return (int64_t)(ns * c->percent / 100); }

int64_t cap_charge(struct domain *d, uint64_t now, uint64_t ran)
{
    struct cap *c = &d->cap;

    spin_lock(&c->lock);
    if (now > c->as_of_ns) {
        int64_t sum = c->left_ns + earned(c, MIN(now - c->as_of_ns, CAP_KEEP_NS));
        c->left_ns = MIN(sum, earned(c, CAP_KEEP_NS));
        c->as_of_ns = now;
    }
    c->left_ns -= (int64_t)MIN(ran, now - MIN(now, c->set_ns)); /* not what it ran before */
    int64_t left = c->left_ns;
    spin_unlock(&c->lock);
    return left;
}

/* Those that find nothing left again are held again. */
static void refill(struct timer *t)
{
    struct domain *d = container_of(t, struct domain, cap.refill);

    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        sched_let_go(d->vcpu[i]);
}

void cap_wait(struct domain *d)
{
    uint64_t now = now_ns(), percent = d->cap.percent;
    int64_t lacks = earned(&d->cap, CAP_PERIOD_NS) - cap_charge(d, now, 0);

    timer_set(&d->cap.refill, now + (lacks > 0 && percent ? (uint64_t)lacks * 100 / percent : 0));
}

void cap_init(struct domain *d) { timer_setup(&d->cap.refill, refill); }

void cap_set(struct domain *d, uint32_t percent)
{
    spin_lock(&d->cap.lock);
    d->cap.percent = percent;
    d->cap.left_ns = 0;
    d->cap.as_of_ns = d->cap.set_ns = now_ns();
    spin_unlock(&d->cap.lock);
    timer_set(&d->cap.refill, now_ns());
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        sched_pick_again(d->vcpu[i]); /* for this cap */
}
