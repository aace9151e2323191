/* SPDX-License-Identifier: MIT */
/* Hypercalls of the current vCPU as the door hands them on: by the tables and the dispatcher of hv/abi, with the caller's registers. */
#pragma once
#include "abi/dispatch.h"
#include "base/cpu.h"

static inline long call_op(const struct ops *t, uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
    struct vcpu *v = this_cpu()->current;
    struct call c = { v, v->domain, { a0, a1, a2 }, B64 };
    v->regs.rax = nr;
    v->regs.rdi = a0;
    v->regs.rsi = a1;
    v->regs.rdx = a2;
    long rc = op_call(t, &c);
    v->regs.rdi = c.a[0];
    v->regs.rsi = c.a[1];
    v->regs.rdx = c.a[2];
    return rc;
}
#define CALL_OP(name, nr, a0, a1, a2) call_op(&name##_ops, nr, a0, a1, a2)
/* Those of an operation and its argument. */
#define OP_AND_ARG(do_it, name, nr) \
    static inline long do_it(uint64_t op, gaddr_t arg) { return CALL_OP(name, nr, op, arg.v, 0); }
OP_AND_ARG(do_control_op, control, BH_HYPERCALL_CONTROL)
OP_AND_ARG(do_service_op, service, BH_HYPERCALL_SERVICE)
OP_AND_ARG(do_memory_op, memory_op, __HYPERVISOR_memory_op)
OP_AND_ARG(do_event_channel_op, event_channel_op, __HYPERVISOR_event_channel_op)
OP_AND_ARG(do_physdev_op, physdev_op, __HYPERVISOR_physdev_op)
OP_AND_ARG(do_hvm_op, hvm_op, __HYPERVISOR_hvm_op)
OP_AND_ARG(do_xen_version, xen_version, __HYPERVISOR_xen_version)
static inline long do_set_timer_op(uint64_t ns)
{
    return CALL_OP(set_timer_op, __HYPERVISOR_set_timer_op, ns, 0, 0);
}
static inline long do_vcpu_op(uint64_t op, uint64_t id, gaddr_t arg)
{
    return CALL_OP(vcpu_op, __HYPERVISOR_vcpu_op, op, id, arg.v);
}
static inline long do_grant_table_op(uint64_t op, gaddr_t arg, uint64_t n)
{
    return CALL_OP(grant_table_op, __HYPERVISOR_grant_table_op, op, arg.v, n);
}
