/* SPDX-License-Identifier: MIT */
/* The lowest file of libbh: what this domain knows of itself, and the way into the core. */
#include "internal.h"
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/sched.h>

struct bh_self self;
struct shared_info *shared_info;
static bool use_vmcall; /* Intel; AMD and Hygon take VMMCALL (their #UD on the other one is not emulated) */

void hypercall_init(bool intel) { use_vmcall = intel; }

long hypercall(unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
    register uint64_t r10 __asm__("r10") = a4;
    uint64_t rax = nr;

    if (use_vmcall)
        __asm__ volatile("vmcall"
                         : "+a"(rax), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10)::"memory", "r8");
    else
        __asm__ volatile("vmmcall"
                         : "+a"(rax), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10)::"memory", "r8");
    return (long)rax;
}

void domain_exit(unsigned reason)
{
    struct sched_shutdown s = { .reason = reason };

    for (;;) {
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uint64_t)&s, 0, 0);
        /* Not reached; if the core refused, a triple fault would be the only other end. */
        __asm__ volatile("cli; hlt");
    }
}

/* The pages of the slot are asked for twice and never move: an exit less each. */
long get_param(unsigned which, uint64_t *value)
{
    static uint64_t pfn[2];
    uint64_t *known = which == HVM_PARAM_CONSOLE_PFN ? &pfn[0]
                      : which == HVM_PARAM_STORE_PFN ? &pfn[1]
                                                     : NULL;
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = which };
    long rc = 0;

    if (known && *known)
        p.value = *known;
    else
        rc = hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (uint64_t)&p, 0, 0);
    *value = rc ? 0 : p.value;
    if (known)
        *known = *value;
    return rc;
}

void bh_served(void)
{
    static bool said;

    if (said)
        return;
    said = true;
    bh_svc_served();
}
