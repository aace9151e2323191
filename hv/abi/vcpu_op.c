/* SPDX-License-Identifier: MIT */
/* vcpu_op: what a vCPU registers, and its one-shot timer. Only vCPUs of the caller's own domain can be named. */
#include "base/types.h"
#include <xen/xen.h>
#include <xen/vcpu.h>
#include "abi/hypercall.h"
#include "ipc/evtchn.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/gcopy.h"
#include "domain/domain.h"
#include "sched/sched.h"
#include "virt/virt.h"

/* The place moves from shared_info to a page of the guest's, which stays pinned until restart or the end. */
static long register_info(struct vcpu *v, gaddr_t arg)
{
    struct vcpu_register_vcpu_info r;
    struct domain *d = v->domain;
    enum p2m_type t;
    if (copy_from_guest(&r, arg, sizeof r))
        return -EFAULT;
    /* rsvd is not looked at: Linux 5.10 leaves there what its stack has. */
    if (r.offset > PAGE_SIZE - sizeof(struct vcpu_info) || r.offset % 8)
        return -EINVAL;
    mfn_t m = p2m_get(d, GFN(r.mfn), &t);
    if (t != P2M_RAM) {
        if (p2m_counted(t))
            frame_put(m);
        return -EINVAL;
    }
    struct vcpu_info *info = (struct vcpu_info *)((char *)mfn_to_virt(m) + (r.offset & (PAGE_SIZE - 1)));
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
static long register_time(gaddr_t arg)
{
    struct vcpu_register_time_memory_area r;
    struct vcpu_time_info t;
    if (copy_from_guest(&r, arg, sizeof r))
        return -EFAULT;
    memset(&t, 0, sizeof t);
    vcpu_publish_time(&t);
    return r.addr.p && copy_to_guest(GADDR(r.addr.p), &t, sizeof t) ? -EFAULT : 0;
}

static long set_singleshot(struct vcpu *v, gaddr_t arg)
{
    struct vcpu_set_singleshot_timer s;
    if (copy_from_guest(&s, arg, sizeof s))
        return -EFAULT;
    if ((s.flags & VCPU_SSHOTTMR_future) && s.timeout_abs_ns < now_ns())
        return -ETIME;
    timer_set(&v->singleshot, s.timeout_abs_ns);
    return 0;
}

static long runstate_info(struct vcpu *v, gaddr_t arg)
{
    struct vcpu_runstate_info r;
    memset(&r, 0, sizeof r);
    r.state = v->running ? RUNSTATE_running : v->state == VCPU_OFFLINE ? RUNSTATE_offline :
              v->state == VCPU_BLOCKED ? RUNSTATE_blocked : RUNSTATE_runnable;
    r.time[RUNSTATE_running] = vcpu_cpu_ns(v);
    return copy_to_guest(arg, &r, sizeof r);
}

/* Once, and for a vCPU without register state: SIPI gives it some, too. Its own CPU takes the context (sched.c). */
static long op_initialise(struct vcpu *v, gaddr_t arg)
{
    struct vcpu_hvm_context c;
    uint32_t none = 0;
    if (copy_from_guest(&c, arg, sizeof c))
        return -EFAULT;
    if (!virt->context_ok(&c))
        return -EINVAL;
    if (v->initialised || !__atomic_compare_exchange_n(&v->context_state, &none, CONTEXT_WRITING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return -EEXIST;
    v->context = c;
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

/* Nanoseconds of system time; 0 switches off, what is past fires at once. The timer of VCPUOP_set_singleshot_timer. */
long do_set_timer_op(uint64_t timeout_ns)
{
    struct vcpu *v = this_cpu()->current;
    if (timeout_ns)
        timer_set(&v->singleshot, timeout_ns);
    else
        timer_cancel(&v->singleshot);
    return 0;
}

long do_vcpu_op(uint64_t cmd, uint64_t id, gaddr_t arg)
{
    struct vcpu *cur = this_cpu()->current;
    struct domain *d = cur->domain;
    id = (uint32_t)id;
    if (id >= d->nr_vcpus)
        return -ENOENT;
    struct vcpu *v = d->vcpu[clamp_nospec(id, d->nr_vcpus)];
    switch ((uint32_t)cmd) {
    case VCPUOP_register_vcpu_info:
        return register_info(v, arg);
    case VCPUOP_register_runstate_memory_area:
        return 0; /* accepted and left as it is: zero reads as running, nothing stolen */
    case VCPUOP_register_vcpu_time_memory_area:
        return register_time(arg);
    case VCPUOP_set_periodic_timer: /* no guest that we know of sets one: docs/decisions.md */
        return -EOPNOTSUPP;
    case VCPUOP_stop_periodic_timer:
        return 0;
    case VCPUOP_set_singleshot_timer:
        return v == cur ? set_singleshot(v, arg) : -EINVAL;
    case VCPUOP_stop_singleshot_timer:
        if (v != cur)
            return -EINVAL;
        timer_cancel(&v->singleshot);
        return 0;
    case VCPUOP_get_runstate_info:
        return runstate_info(v, arg);
    case VCPUOP_is_up:
        return v->state != VCPU_OFFLINE;
    case VCPUOP_initialise:
        return op_initialise(v, arg);
    case VCPUOP_up:
        return op_up(v);
    case VCPUOP_down:
        return op_down(v);
    case VCPUOP_send_nmi:
        v->nmi_pending = 1;
        vcpu_kick(v);
        return 0;
    default:
        return -ENOSYS;
    }
}
