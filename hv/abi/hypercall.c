/* SPDX-License-Identifier: MIT */
/*
 * The door: every way into the core for a domain is one row of `table`. A handler copies its arguments in once, checks,
 * then commits; it returns 0, a count, a negative errno, or HC_AGAIN, upon which the call is executed again with the
 * registers as they then are.
 */
#include "abi/hypercall.h"
#include "ipc/evtchn.h"
#include "pci/pirq.h"
#include "base/cpu.h"
#include "mem/gcopy.h"
#include "ipc/grant.h"
#include "domain/domain.h"
#include "sched/irqs_off.h"
#include "sched/sched.h"
#include "virt/virt.h"

typedef uint64_t args[5]; /* rdi rsi rdx r10 r8 */

static long hc_memory_op(const args a) { return do_memory_op(a[0], GADDR(a[1])); }
static long hc_set_timer_op(const args a) { return do_set_timer_op(a[0]); }
static long hc_xen_version(const args a) { return do_xen_version(a[0], GADDR(a[1])); }
static long hc_console_io(const args a) { return do_console_io(a[0], a[1], GADDR(a[2])); }
static long hc_grant_table_op(const args a) { return do_grant_table_op(a[0], GADDR(a[1]), a[2]); }
static long hc_vcpu_op(const args a) { return do_vcpu_op(a[0], a[1], GADDR(a[2])); }
static long hc_sched_op(const args a) { return do_sched_op(a[0], GADDR(a[1])); }
static long hc_event_channel_op(const args a) { return do_event_channel_op(a[0], GADDR(a[1])); }
static long hc_physdev_op(const args a) { return do_physdev_op(a[0], GADDR(a[1])); }
static long hc_hvm_op(const args a) { return do_hvm_op(a[0], GADDR(a[1])); }
static long hc_control(const args a) { return do_control_op(a[0], GADDR(a[1])); }
static long hc_service(const args a) { return do_service_op(a[0], GADDR(a[1])); }

struct row {
    const char *name;
    long (*fn)(const args a);
    enum priv priv; /* of the whole call; operations may ask for more */
};

static const struct row table[] = {
    /* number                            name                fn                   privilege */
    [__HYPERVISOR_memory_op]        = { "memory_op",        hc_memory_op,        PRIV_NONE },
    [__HYPERVISOR_set_timer_op]     = { "set_timer_op",     hc_set_timer_op,     PRIV_NONE },
    [__HYPERVISOR_xen_version]      = { "xen_version",      hc_xen_version,      PRIV_NONE },
    [__HYPERVISOR_console_io]       = { "console_io",       hc_console_io,       PRIV_NONE },
    [__HYPERVISOR_grant_table_op]   = { "grant_table_op",   hc_grant_table_op,   PRIV_NONE },
    [__HYPERVISOR_vcpu_op]          = { "vcpu_op",          hc_vcpu_op,          PRIV_NONE },
    [__HYPERVISOR_sched_op]         = { "sched_op",         hc_sched_op,         PRIV_NONE },
    [__HYPERVISOR_event_channel_op] = { "event_channel_op", hc_event_channel_op, PRIV_NONE },
    [__HYPERVISOR_physdev_op]       = { "physdev_op",       hc_physdev_op,       PRIV_NONE }, /* own devices only */
    [__HYPERVISOR_hvm_op]           = { "hvm_op",           hc_hvm_op,           PRIV_NONE },
    [BH_HYPERCALL_CONTROL]          = { "control",          hc_control,          PRIV_NONE }, /* each operation its own */
    [BH_HYPERCALL_SERVICE]          = { "service",          hc_service,          PRIV_SERVICE },
};

static long dispatch(struct vcpu *v)
{
    uint64_t nr = v->regs.rax;
    unsigned bits = virt->code_bits(v);
    if (virt->cpl(v) > 0)
        return -EPERM;
    if (bits == 32)
        return hypercall_compat(v);
    if (bits != 64 || nr >= ARRAY_SIZE(table))
        return -ENOSYS;
    const struct row *r = &table[clamp_nospec(nr, ARRAY_SIZE(table))];
    if (!r->fn)
        return -ENOSYS;
    if (!priv_allows(v->domain->role, r->priv))
        return -EPERM;
    const args a = { v->regs.rdi, v->regs.rsi, v->regs.rdx, v->regs.r10, v->regs.r8 };
    return r->fn(a);
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
