/* SPDX-License-Identifier: MIT */
/*
 * The 32-bit half of the door: what GRUB's Xen PVH image calls from protected mode, paging off or on, and how other vCPUs are started,
 * and nothing else (docs/linux-pvh.md 10). Arguments are in ebx, ecx, edx, esi, edi; pointers and xen_ulong_t have 32 bits. Most structures are the
 * same in both layouts and go on to the ordinary handlers; those that differ are spelt out here.
 */
#include "base/types.h"
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include "abi/hypercall.h"
#include "abi/memory_op.h"
#include "ipc/evtchn.h"
#include "base/cpu.h"
#include "mem/gcopy.h"

struct memory_map32 { uint32_t nr_entries, buffer; };
struct add_to_physmap32 { uint16_t domid, size; uint32_t space, idx, gpfn; };
_Static_assert(sizeof(struct memory_map32) == 8 && sizeof(struct add_to_physmap32) == 16 &&
               offsetof(struct add_to_physmap32, gpfn) == 12, "32-bit layouts of <xen/memory.h>");
/* The same in both layouts: no pointer, no long, and 64-bit members where 4-byte alignment puts them too. */
_Static_assert(sizeof(struct xen_hvm_param) == 16 && offsetof(struct xen_hvm_param, value) == 8 &&
               sizeof(struct evtchn_alloc_unbound) == 8 && sizeof(struct evtchn_send) == 4 &&
               sizeof(struct evtchn_close) == 4 && sizeof(struct vcpu_hvm_context) == 128 && sizeof(struct sched_shutdown) == 4 &&
               sizeof(struct xen_feature_info) == 8, "structures without a layout of their own");

typedef uint32_t args32[5]; /* ebx ecx edx esi edi */

static long add_to_physmap(struct domain *d, gaddr_t arg)
{
    struct add_to_physmap32 a;
    if (copy_from_guest(&a, arg, sizeof a))
        return -EFAULT;
    if (a.domid != DOMID_SELF && a.domid != d->id)
        return -EPERM;
    return physmap_add(d, a.space, a.idx, a.gpfn);
}

static long memory_map(struct domain *d, gaddr_t arg)
{
    struct memory_map32 mm;
    struct e820 e[MEMORY_MAP_MAX];
    if (copy_from_guest(&mm, arg, sizeof mm))
        return -EFAULT;
    uint32_t n = memory_map_of(d, e);
    mm.nr_entries = MIN(n, mm.nr_entries);
    if (copy_to_guest(GADDR(mm.buffer), e, mm.nr_entries * sizeof e[0]))
        return -EFAULT;
    return copy_to_guest(arg, &mm, sizeof mm);
}

static long memory_op(struct vcpu *v, const args32 a)
{
    switch (a[0]) {
    case XENMEM_memory_map:
        return memory_map(v->domain, GADDR(a[1]));
    case XENMEM_add_to_physmap:
        return add_to_physmap(v->domain, GADDR(a[1]));
    case XENMEM_set_memory_map: /* tells us what we told it: the map is the builder's */
        return 0;
    default:
        return -ENOSYS;
    }
}

static long xen_version(struct vcpu *v, const args32 a)
{
    (void)v;
    return a[0] == XENVER_platform_parameters ? -ENOSYS : do_xen_version(a[0], GADDR(a[1])); /* that one holds a long */
}

/* Goes on after a pause by changed registers, which are others here. */
static long console_io(struct vcpu *v, const args32 a)
{
    uint64_t rsi = v->regs.rsi;
    long rc = do_console_io(a[0], a[1], GADDR(a[2]));
    if (rc == HC_AGAIN) {
        v->regs.rcx = v->regs.rsi;
        v->regs.rsi = rsi;
    }
    return rc;
}

/* GRUB has the table's entries printed when something is wrong: there is nobody to read it. */
static long grant_table_op(struct vcpu *v, const args32 a)
{
    (void)v;
    return a[0] == GNTTABOP_dump_table ? 0 : -ENOSYS;
}

static long sched_op(struct vcpu *v, const args32 a)
{
    (void)v;
    return a[0] == SCHEDOP_yield || a[0] == SCHEDOP_shutdown ? do_sched_op(a[0], GADDR(a[1])) : -ENOSYS;
}

static long event_channel_op(struct vcpu *v, const args32 a)
{
    (void)v;
    switch (a[0]) {
    case EVTCHNOP_alloc_unbound: case EVTCHNOP_send: case EVTCHNOP_close:
        return do_event_channel_op(a[0], GADDR(a[1]));
    default:
        return -ENOSYS;
    }
}

static long hvm_op(struct vcpu *v, const args32 a)
{
    (void)v;
    return a[0] == HVMOP_get_param ? do_hvm_op(a[0], GADDR(a[1])) : -ENOSYS;
}

/* How other vCPUs are started, by a structure that both layouts share. */
static long vcpu_op(struct vcpu *v, const args32 a)
{
    (void)v;
    switch (a[0]) {
    case VCPUOP_initialise: case VCPUOP_up: case VCPUOP_down: case VCPUOP_is_up:
        return do_vcpu_op(a[0], a[1], GADDR(a[2]));
    default:
        return -ENOSYS;
    }
}

static long (*const table[])(struct vcpu *v, const args32 a) = {
    [__HYPERVISOR_memory_op] = memory_op,
    [__HYPERVISOR_xen_version] = xen_version,
    [__HYPERVISOR_console_io] = console_io,
    [__HYPERVISOR_grant_table_op] = grant_table_op,
    [__HYPERVISOR_sched_op] = sched_op,
    [__HYPERVISOR_vcpu_op] = vcpu_op,
    [__HYPERVISOR_event_channel_op] = event_channel_op,
    [__HYPERVISOR_hvm_op] = hvm_op,
};

long hypercall_compat(struct vcpu *v)
{
    const struct regs *r = &v->regs;
    uint32_t nr = (uint32_t)r->rax;
    if (nr >= ARRAY_SIZE(table))
        return -ENOSYS;
    long (*fn)(struct vcpu *, const args32) = table[clamp_nospec(nr, ARRAY_SIZE(table))];
    const args32 a = { (uint32_t)r->rbx, (uint32_t)r->rcx, (uint32_t)r->rdx, (uint32_t)r->rsi, (uint32_t)r->rdi };
    return fn ? fn(v, a) : -ENOSYS;
}
