/* SPDX-License-Identifier: MIT */
/* Picks the vendor half (struct virt_ops), and what both have in common: which vector is due, what a CPU is told to defend itself with. */
#include "virt/virt.h"
#include "base/cpu.h"
#include "base/print.h"
#include "base/string.h"

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
             m->lfence ? "serialising" : "not known to be serialising",
             m->x87_kept ? "switched" : "overwritten");
}
