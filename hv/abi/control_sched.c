/* SPDX-License-Identifier: MIT */
/* BH_CTL_SCHED: what the scheduler goes by, and what became of it. op_lock of the domain is held. */
#include "abi/control.h"
#include "domain/domain.h"
#include "sched/cap.h"
#include "sched/sched.h"

static int check_set(const struct domain *d, const struct bh_sched *a)
{
    if (a->vcpu >= d->nr_vcpus)
        return -ENOENT;
    if (a->set & ~(BH_SCHED_WEIGHT | BH_SCHED_CAP | BH_SCHED_AFFINITY))
        return -EINVAL;
    if ((a->set & BH_SCHED_WEIGHT) && (!a->weight || a->weight > BH_WEIGHT_MAX))
        return -EINVAL;
    if ((a->set & BH_SCHED_CAP) && a->cap > 100 * d->nr_vcpus)
        return -EINVAL;
    if ((a->set & BH_SCHED_CAP) && a->cap && d->role != BH_ROLE_GUEST)
        return -EOPNOTSUPP;
    return (a->set & BH_SCHED_AFFINITY) && !(a->affinity & domain_cpus()) ? -ENODEV : 0;
}

long control_sched(struct domain *d, struct bh_sched *a)
{
    int rc = check_set(d, a);
    if (rc)
        return rc;
    struct vcpu *v = d->vcpu[clamp_nospec(a->vcpu, d->nr_vcpus)];
    for (uint32_t i = 0; (a->set & BH_SCHED_WEIGHT) && i < d->nr_vcpus; i++)
        sched_set_weight(d->vcpu[i], a->weight);
    if (a->set & BH_SCHED_CAP)
        cap_set(d, a->cap);
    if (a->set & BH_SCHED_AFFINITY)
        sched_set_affinity(v, (uint32_t)a->affinity);
    *a = (struct bh_sched){
        .domid = d->id,
        .vcpu = a->vcpu,
        .weight = v->weight,
        .cap = d->cap.percent,
        .affinity = v->affinity,
        .cpus = domain_cpus(),
        .cpu_ns = vcpu_cpu_ns(v),
        .cpu = READ_ONCE(v->cpu)->id,
        .state = (vcpu_online(v) ? BH_VCPU_ONLINE : 0) |
                 (READ_ONCE(v->state) == VCPU_BLOCKED ? BH_VCPU_BLOCKED : 0) |
                 (v->running ? BH_VCPU_RUNNING : 0),
    };
    return 0;
}
