/* SPDX-License-Identifier: MIT */
/* What waits to be delivered to a vCPU: the up-call for events, and the vectors of its local APIC. Its own CPU calls all of these. */
#pragma once
#include "sched/vcpu.h"

#define APIC_SVR_ON     (1u << 8) /* switched on by software */
#define APIC_SVR_RESET  0xffu
#define APIC_LVT_MASKED (1u << 16)

/* SDM3 11.4.7.1 and 11.4.7.3: after a reset, and after INIT. Interrupts that were on their way are lost. */
static inline void lapic_reset(struct vcpu *v)
{
    v->apic = (struct vlapic){ .svr = APIC_SVR_RESET };
    for (unsigned i = 0; i < sizeof v->apic.lvt / sizeof v->apic.lvt[0]; i++)
        v->apic.lvt[i] = APIC_LVT_MASKED;
}

/* An event waits for it and it does not mask them. */
static inline bool vcpu_upcall_pending(const struct vcpu *v)
{
    const struct vcpu_info *i = v->info;
    return i && READ_ONCE(i->evtchn_upcall_pending) && !READ_ONCE(i->evtchn_upcall_mask);
}
int vcpu_pending_vector(
    const struct vcpu *v); /* next to inject (the up-call first, then the APIC's highest), or -1 */
bool vcpu_vector_injected(struct vcpu *v,
                          int vector); /* true: it was the up-call; of the APIC it is in service now */
bool vcpu_only_upcall(const struct vcpu *v); /* nothing but the up-call is pending */

/* For the APIC's registers (virt/lapic.c). */
int vlapic_highest(const volatile uint32_t *map); /* of IRR or ISR; -1: none */
uint32_t vlapic_ppr(const struct vcpu *v);        /* processor priority, SDM3 11.8.3.1 */
