/* SPDX-License-Identifier: MIT */
/* sched_op: yield, block, poll, shutdown, watchdog. */
#include "abi/dispatch.h"
#include <xen/xen.h>
#include <xen/sched.h>
#include "common/regs.h"
#include "ipc/evtchn.h"
#include "mem/gcopy.h"
#include "sched/pending.h"
#include "sched/sched.h"

#define POLL_PORTS 128u

static long op_block(struct vcpu *v)
{
    if (v->info)
        v->info->evtchn_upcall_mask = 0;
    v->halted = true; /* like HLT: until something can be delivered */
    vcpu_block(v);
    return 0;
}

struct poll {
    uint32_t nr;
    evtchn_port_t port[POLL_PORTS];
};

/* A pending port, masked or not; or an interrupt that the guest would take. */
static bool poll_ready(struct vcpu *v, void *arg)
{
    const struct poll *p = arg;
    const struct shared_info *s = v->domain->shared;
    for (uint32_t i = 0; i < p->nr; i++) {
        uint32_t port = p->port[i];
        if (__atomic_load_n(&s->evtchn_pending[port / 64], __ATOMIC_SEQ_CST) & (1ul << (port % 64)))
            return true;
    }
    return (v->regs.rflags & RFLAGS_IF) && vcpu_pending_vector(v) >= 0;
}

static long op_poll(struct vcpu *v, const struct sched_poll *sp)
{
    struct poll p;
    if (sp->nr_ports > POLL_PORTS)
        return -EINVAL;
    p.nr = sp->nr_ports;
    if (copy_from_guest(p.port, GADDR((uint64_t)sp->ports.p), p.nr * sizeof p.port[0]))
        return -EFAULT;
    for (uint32_t i = 0; i < p.nr; i++) {
        if (p.port[i] >= EVTCHN_PORTS)
            return -EINVAL;
        p.port[i] = (evtchn_port_t)clamp_nospec(p.port[i], EVTCHN_PORTS);
    }
    v->poll_port = p.nr == 1 ? p.port[0]
                             : ~0u; /* before the first look: who makes it pending then wakes us */
    mb();
    long rc = vcpu_wait_for(v, sp->timeout, poll_ready, &p);
    if (rc != HC_AGAIN)
        v->poll_port = 0;
    return rc == -ETIME ? 0 : rc;
}

static long op_shutdown(struct vcpu *v, const struct sched_shutdown *s)
{
    if (s->reason > SHUTDOWN_MAX || s->reason == SHUTDOWN_suspend)
        return -EINVAL; /* nobody here could resume it */
    domain_shutdown(v->domain, s->reason);
    return 0;
}

static long op_watchdog(struct vcpu *v, const struct sched_watchdog *w)
{
    return watchdog_set(v->domain, w->id, w->timeout);
}

static long op_yield(struct vcpu *v)
{
    (void)v;
    sched_yield();
    return 0;
}

#define SCHED_OP(nr, name, type, dir, ...) OP_STUB_OF(c->v, name, type, dir)
#include <ops.def>
#define SCHED_OP OP_ROW
static const struct op rows[] = {
#include <ops.def>
};
const struct ops sched_op_ops = OPS(rows, OP_INT, 1);
