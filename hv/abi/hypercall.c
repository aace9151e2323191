/* SPDX-License-Identifier: MIT */
/* The door: which hypercall it is and where its arguments are. Called by enter.c for every call and for one that is executed again, on the
 * caller's CPU, without a lock. */
#include "abi/dispatch.h"
#include "base/cpu.h"
#include "sched/irqs_off.h"
#include "sched/sched.h"
#include "virt/virt.h"

#define HYPERCALL(nr, name) [nr] = &name##_ops,
static const struct ops *const table[] = {
#include <ops.def>
};
#define HYPERCALL32(nr, name) [nr] = &name##_ops,
static const struct ops *const table32[ARRAY_SIZE(table)] = {
#include <ops.def>
};

/* Arguments are in rdi, rsi, rdx; no call has more. */
static long call64(struct vcpu *v)
{
    struct regs *r = &v->regs;
    struct call c = { v, v->domain, { r->rdi, r->rsi, r->rdx }, B64 };
    if (r->rax >= ARRAY_SIZE(table))
        return -ENOSYS;
    const struct ops *t = table[clamp_nospec(r->rax, ARRAY_SIZE(table))];
    long rc = t ? op_call(t, &c) : -ENOSYS;
    if (rc == HC_AGAIN) {
        r->rdi = c.a[0];
        r->rsi = c.a[1];
        r->rdx = c.a[2];
    }
    return rc;
}

/* Arguments are in ebx, ecx, edx; pointers and xen_ulong_t have 32 bits. */
static long call32(struct vcpu *v)
{
    struct regs *r = &v->regs;
    struct call c = { v, v->domain, { (uint32_t)r->rbx, (uint32_t)r->rcx, (uint32_t)r->rdx }, B32 };
    uint32_t nr = (uint32_t)r->rax;
    if (nr >= ARRAY_SIZE(table))
        return -ENOSYS;
    nr = (uint32_t)clamp_nospec(nr, ARRAY_SIZE(table));
    const struct ops *t = table32[nr] ? table32[nr] : table[nr];
    long rc = t ? op_call(t, &c) : -ENOSYS;
    if (rc == HC_AGAIN) {
        r->rbx = c.a[0];
        r->rcx = c.a[1];
        r->rdx = c.a[2];
    }
    return rc;
}

static long dispatch(struct vcpu *v)
{
    unsigned bits = virt->code_bits(v);
    if (virt->cpl(v) > 0)
        return -EPERM;
    return bits == 64 ? call64(v) : bits == 32 ? call32(v) : -ENOSYS;
}

void hypercall(struct vcpu *v, unsigned insn_len)
{
    v->counts.hypercalls++;
    sched_begin_op();
    v->wait_event = false; /* whatever wait it was in: what says HC_AGAIN now is this call */
    irqs_off_what(OFF_HYPERCALL_OF((uint32_t)v->regs.rax, (uint32_t)v->regs.rdi));
    long rc = dispatch(v);
    if (rc == HC_AGAIN) {
        v->redo_len = (uint8_t)insn_len;
        return;
    }
    v->regs.rax = (uint64_t)rc;
    v->regs.rip += insn_len;
}
