/* SPDX-License-Identifier: MIT */
/* vcpu_op: what a vCPU registers, and its one-shot timer. Only vCPUs of the caller's own domain can be named. */
#include "abi/dispatch.h"
#include <xen/xen.h>
#include <xen/vcpu.h>
#include "ipc/evtchn.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/gcopy.h"
#include "sched/sched.h"
#include "virt/virt.h"

/* The place moves from shared_info to a page of the guest's, which stays pinned until restart or the end. */
static long op_register_vcpu_info(struct vcpu *v, const struct vcpu_register_vcpu_info *r)
{
    struct domain *d = v->domain;
    enum p2m_type t;
    /* rsvd is not looked at: Linux 5.10 leaves there what its stack has. */
    if (r->offset > PAGE_SIZE - sizeof(struct vcpu_info) || r->offset % 8)
        return -EINVAL;
    mfn_t m = p2m_get(d, GFN(r->mfn), &t);
    if (t != P2M_RAM) {
        if (p2m_counted(t))
            frame_put(m);
        return -EINVAL;
    }
    struct vcpu_info *info = (struct vcpu_info *)((char *)mfn_to_virt(m) +
                                                  (r->offset & (PAGE_SIZE - 1)));
    spin_lock(&v->info_lock);
    bool first = v->info_mfn.v == INVALID_MFN.v;
    if (first) {
        if (v->info)
            memcpy(info, v->info, sizeof *info);
        else
            memset(info, 0, sizeof *info);
        vcpu_publish_time(&info->time);
        v->info_mfn = m;
        v->info = info;
    }
    spin_unlock(&v->info_lock);
    if (!first) {
        frame_put(m);
        return -EINVAL;
    }
    evtchn_info_moved(v);
    return 0;
}

/* Time never changes its rate, so the record is written here once, not kept up to date. */
static long op_register_vcpu_time_memory_area(struct vcpu *v,
                                              const struct vcpu_register_time_memory_area *r)
{
    struct vcpu_time_info t;
    (void)v;
    memset(&t, 0, sizeof t);
    vcpu_publish_time(&t);
    return r->addr.p && copy_to_guest(GADDR(r->addr.p), &t, sizeof t) ? -EFAULT : 0;
}

static long op_set_singleshot_timer(struct vcpu *v, const struct vcpu_set_singleshot_timer *s)
{
    if (v != this_cpu()->current)
        return -EINVAL;
    if ((s->flags & VCPU_SSHOTTMR_future) && s->timeout_abs_ns < now_ns())
        return -ETIME;
    timer_set(&v->singleshot, s->timeout_abs_ns);
    return 0;
}

static long op_get_runstate_info(struct vcpu *v, struct vcpu_runstate_info *r)
{
    r->state = v->running                 ? RUNSTATE_running
               : v->state == VCPU_OFFLINE ? RUNSTATE_offline
               : v->state == VCPU_BLOCKED ? RUNSTATE_blocked
                                          : RUNSTATE_runnable;
    r->time[RUNSTATE_running] = vcpu_cpu_ns(v);
    return 0;
}

/* Once, and for a vCPU without register state: SIPI gives it some, too. Its own CPU takes the context (sched.c). */
static long op_initialise(struct vcpu *v, const struct vcpu_hvm_context *c)
{
    uint32_t none = 0;
    if (!virt->context_ok(c))
        return -EINVAL;
    if (v->initialised || !__atomic_compare_exchange_n(&v->context_state, &none, CONTEXT_WRITING,
                                                       false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return -EEXIST;
    v->context = *c;
    __atomic_store_n(&v->context_state, CONTEXT_READY, __ATOMIC_RELEASE);
    return 0;
}

static long op_up(struct vcpu *v)
{
    if (!v->initialised && v->context_state != CONTEXT_READY)
        return -EINVAL;
    v->wait_sipi = 0;
    vcpu_set_online(v);
    return 0;
}

static long op_down(struct vcpu *v)
{
    v->wait_sipi = 1; /* its own CPU takes it offline; INIT and SIPI, or VCPUOP_up, bring it back */
    vcpu_kick(v);
    return 0;
}

static long op_is_up(struct vcpu *v) { return v->state != VCPU_OFFLINE; }

static long op_send_nmi(struct vcpu *v)
{
    v->nmi_pending = 1;
    vcpu_kick(v);
    return 0;
}

static long op_stop_singleshot_timer(struct vcpu *v)
{
    if (v != this_cpu()->current)
        return -EINVAL;
    timer_cancel(&v->singleshot);
    return 0;
}

/* Accepted and left as it is: zero reads as running, nothing stolen. */
static long op_register_runstate_memory_area(struct vcpu *v)
{
    (void)v;
    return 0;
}
/* No guest that we know of sets one: docs/decisions.md. */
static long op_set_periodic_timer(struct vcpu *v)
{
    (void)v;
    return -EOPNOTSUPP;
}
static long op_stop_periodic_timer(struct vcpu *v)
{
    (void)v;
    return 0;
}

/* Nanoseconds of system time; 0 switches off, what is past fires at once. The timer of VCPUOP_set_singleshot_timer. */
static long op_set_timer(struct call *c)
{
    if (c->a[0])
        timer_set(&c->v->singleshot, c->a[0]);
    else
        timer_cancel(&c->v->singleshot);
    return 0;
}

/* The second argument is a vCPU of the caller's domain. */
static struct vcpu *find_vcpu(const struct call *c)
{
    uint32_t id = (uint32_t)c->a[1];
    return id < c->d->nr_vcpus ? c->d->vcpu[clamp_nospec(id, c->d->nr_vcpus)] : NULL;
}

#define VCPU_OP(nr, name, type, dir, ...)                  \
    static long call_##name(struct call *c, void *a)       \
    {                                                      \
        struct vcpu *v = find_vcpu(c);                     \
        (void)a;                                           \
        return v ? op_##name(v ARG_##dir(type)) : -ENOENT; \
    }
#include <ops.def>
#define VCPU_OP OP_ROW
static const struct op rows[] = {
#include <ops.def>
};
const struct ops vcpu_op_ops = OPS(rows, OP_INT, 2);

#define SET_TIMER_OP OP_STUB
#include <ops.def>
#define SET_TIMER_OP OP_ROW
static const struct op set_timer_rows[] = {
#include <ops.def>
};
const struct ops set_timer_op_ops = OPS(set_timer_rows, 0, 1);
