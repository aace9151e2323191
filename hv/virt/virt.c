/* SPDX-License-Identifier: MIT */
/* Picks the vendor half, and what both halves share about interrupts. */
#include "virt/virt.h"
#include "ipc/evtchn.h"
#include "base/cpu.h"
#include "base/print.h"
#include "base/string.h"
#include "domain/domain.h"
#include "virt/lapic.h"

extern const struct virt_ops svm_ops;
uint32_t virt_features;
bool virt_emulated;

static bool is_tcg(void)
{
    struct cpuid_regs r = cpuid(0x40000000, 0);
    static const char tcg[] = "TCGTCGTCGTCG";
    return cpuid(1, 0).ecx >> 31 && !memcmp((const char *)&r + sizeof r.eax, tcg, 12);
}

void virt_init(void)
{
    virt = &svm_ops;
    if (virt->cpu_init(this_cpu()))
        panic("no hardware virtualisation that this core can use (it needs AMD SVM with nested paging)");
    virt_emulated = is_tcg();
    log_info("%s%s", virt->name, virt_features & BH_SYS_NRIP ? ", next rip saved" : ", no next rip");
}

void virt_say_mitigations(void)
{
    const struct virt_mitigations *m = &virt_mitigations;
    log_info("speculation: retpolines, return stack filled at every exit, %s, LFENCE %s, x87 pointers %s",
             m->ibpb ? "IBPB on a change of domain" : "no IBPB on this CPU",
             m->lfence ? "serialising" : "not known to be serialising", m->x87_kept ? "switched" : "overwritten");
}

/* The vector by which the guest hears of events. It is injected as such, without the local APIC (docs/linux-pvh.md 5). */
static int upcall_vector(const struct vcpu *v)
{
    int vec = v->upcall_vector ? v->upcall_vector : v->domain->callback_vector;
    return vec && evtchn_upcall_pending(v) ? vec : -1;
}

int virt_pending_vector(struct vcpu *v)
{
    int vec = upcall_vector(v);
    return vec >= 0 ? vec : lapic_pending(v);
}

bool virt_only_upcall(const struct vcpu *v) { return upcall_vector(v) >= 0 && lapic_pending(v) < 0; }

bool virt_vector_injected(struct vcpu *v, int vector)
{
    bool upcall = upcall_vector(v) == vector;
    if (!upcall)
        lapic_accept(v, vector);
    return upcall;
}
