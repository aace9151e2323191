/* SPDX-License-Identifier: MIT */
/* Which vector is next for a vCPU (pending.h). Bits are posted by any CPU with atomics; no locks. */
#include "sched/pending.h"
#include "domain/struct.h"

/* Nearly always there is none, at every entry: four looks. */
int vlapic_highest(const volatile uint32_t *map)
{
    const volatile uint64_t *pair = (const volatile uint64_t *)map;

    if (!(pair[0] | pair[1] | pair[2] | pair[3]))
        return -1;
    for (int w = 7; w >= 0; w--)
        if (map[w])
            return w * 32 + 31 - __builtin_clz(map[w]);
    return -1;
}

uint32_t vlapic_ppr(const struct vcpu *v)
{
    int isr = vlapic_highest(v->apic.isr);
    uint32_t tpr = v->apic.tpr & 0xff, in_service = isr < 0 ? 0 : (uint32_t)isr & 0xf0;
    return (tpr & 0xf0) >= in_service ? tpr : in_service;
}

static int lapic_pending(const struct vcpu *v)
{
    int vec = vlapic_highest(v->apic.irr);
    if (vec < 0 || !(v->apic.svr & APIC_SVR_ON))
        return -1;
    return ((uint32_t)vec & 0xf0) > (vlapic_ppr(v) & 0xf0) ? vec : -1;
}

/* IRR -> ISR */
static void lapic_accept(struct vcpu *v, int vector)
{
    uint32_t w = (uint32_t)vector / 32 & 7, bit = 1u << (vector & 31);
    __atomic_fetch_and(&v->apic.irr[w], ~bit, __ATOMIC_SEQ_CST);
    v->apic.isr[w] |= bit;
}

/* The vector by which the guest hears of events. It is injected as such, without the local APIC (docs/linux-pvh.md 5). */
static int upcall_vector(const struct vcpu *v)
{
    int vec = v->upcall_vector ? v->upcall_vector : v->domain->callback_vector;
    return vec && vcpu_upcall_pending(v) ? vec : -1;
}

int vcpu_pending_vector(const struct vcpu *v)
{
    int vec = upcall_vector(v);
    return vec >= 0 ? vec : lapic_pending(v);
}

bool vcpu_only_upcall(const struct vcpu *v)
{
    return upcall_vector(v) >= 0 && lapic_pending(v) < 0;
}

bool vcpu_vector_injected(struct vcpu *v, int vector)
{
    bool upcall = upcall_vector(v) == vector;
    if (!upcall)
        lapic_accept(v, vector);
    return upcall;
}
