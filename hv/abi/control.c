/* SPDX-License-Identifier: MIT */
/*
 * The control hypercall: one row per operation with its privilege. A caller without that privilege gets -EPERM before its
 * argument is read. Operations on a domain hold its op_lock, so they exclude each other without anybody spinning; whoever
 * comes second is executed again. While a restart is unfinished nothing but restart, destroy, info and report is served.
 */
#include "abi/control.h"
#include <xen/hvm/params.h>
#include "abi/hypercall.h"
#include "abi/progress.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/gcopy.h"
#include "pci/pci.h"
#include "domain/domain.h"
#include "sched/sched.h"
#include "virt/virt.h"

#define WRITE_BUDGET (256u << 10) /* bytes a BH_CTL_WRITE copies at most; the caller goes on */
#define RECLAIM_BUDGET 256u       /* handles between two looks at the clock */

/* --- targets -------------------------------------------------------------------------------------------- */
/* Finds the domain and takes its op_lock: 0, -ESRCH, or HC_AGAIN when another operation holds it. */
static int target_lock(domid_t id, struct domain **out)
{
    struct domain *d = domain_get(id);

    if (!d)
        return -ESRCH;
    if (!spin_trylock(&d->op_lock)) {
        domain_put(d);
        return HC_AGAIN;
    }
    *out = d;
    return 0;
}

static void target_unlock(struct domain *d)
{
    spin_unlock(&d->op_lock);
    domain_put(d);
}

/* The same for operations that a dying domain or an unfinished restart refuses. */
static int target_live(domid_t id, struct domain **out)
{
    int rc = target_lock(id, out);

    if (rc)
        return rc;
    rc = (*out)->state == BH_DOM_DYING ? -ESRCH : (*out)->op_stage ? -EBUSY : 0;
    if (rc)
        target_unlock(*out);
    return rc;
}

/* The same for building: nothing of a sealed domain may be touched. */
static int target_building(domid_t id, struct domain **out)
{
    int rc = target_live(id, out);

    if (!rc && (*out)->state != BH_DOM_BUILDING) {
        target_unlock(*out);
        rc = -EACCES;
    }
    return rc;
}

/* --- life ------------------------------------------------------------------------------------------------- */
static long op_create(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    (void)arg;
    domain_reap(); /* a slot may be taken again once nothing of its last domain is left */
    if (a->create.role == BH_ROLE_CONTROL)
        return -EINVAL;
    int rc = domain_create(&a->create, &d);
    if (!rc)
        a->create.domid = d->id;
    return rc;
}

static long op_destroy(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    (void)arg;
    if (a->domid.domid == current_domain()->id || a->domid.domid == BH_DOMID_CONTROL)
        return -EINVAL;
    int rc = target_lock(a->domid.domid, &d);
    if (rc)
        return rc;
    rc = domain_destroy(d);
    target_unlock(d);
    if (!rc)
        domain_reap();
    return rc;
}

static long op_forget(union control_arg *a, gaddr_t arg)
{
    (void)arg;
    domain_reap();
    return domid_forget(a->domid.domid);
}

static long op_pause(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    (void)arg;
    if (a->domid.domid == current_domain()->id)
        return -EINVAL;
    int rc = target_live(a->domid.domid, &d);
    if (rc)
        return rc;
    spin_lock(&d->lock);
    bool full = d->pause_count >= 255;
    bool first = !full && d->pause_count++ == 0;
    spin_unlock(&d->lock);
    if (first)
        domain_pause(d);
    target_unlock(d);
    return full ? -EINVAL : 0;
}

/* The first unpause after construction seals; a pause before it stays in force. */
static long op_unpause(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    (void)arg;
    int rc = target_live(a->domid.domid, &d);
    if (rc)
        return rc;
    if (d->state == BH_DOM_BUILDING) {
        rc = domain_start(d);
    } else {
        spin_lock(&d->lock);
        bool none = d->pause_count == 0;
        bool last = !none && --d->pause_count == 0;
        spin_unlock(&d->lock);
        rc = none ? -EINVAL : 0;
        if (last)
            domain_unpause(d);
    }
    target_unlock(d);
    return rc;
}

static long op_restart(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    (void)arg;
    if (a->restart.domid == current_domain()->id || (a->restart.flags & ~BH_RESTART_FRESH))
        return -EINVAL;
    int rc = target_lock(a->restart.domid, &d);
    if (rc)
        return rc;
    rc = domain_restart(d, a->restart.flags);
    target_unlock(d);
    return rc;
}

static long op_soft_reset(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    (void)arg;
    int rc = target_lock(a->domid.domid, &d);
    if (rc)
        return rc;
    rc = domain_soft_reset(d);
    target_unlock(d);
    return rc;
}

static long op_crash(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    (void)arg;
    if (a->crash.domid == current_domain()->id || (a->crash.how & ~(BH_CRASH_INJECT | BH_CRASH_HANG)) ||
        a->crash.how == (BH_CRASH_INJECT | BH_CRASH_HANG))
        return -EINVAL;
    int rc = target_live(a->crash.domid, &d);
    if (rc)
        return rc;
    if (d->state != BH_DOM_RUNNING)
        rc = -EINVAL;
    else if (a->crash.how & BH_CRASH_INJECT)
        sched_inject_crash(d);
    else if (a->crash.how & BH_CRASH_HANG)
        sched_hang(d);
    else
        domain_crash(d, NULL, BH_CAUSE_OTHER, "crashed on request");
    target_unlock(d);
    return rc;
}

/* --- building ------------------------------------------------------------------------------------------------ */
static long op_populate(union control_arg *a, gaddr_t arg)
{
    struct vcpu *v = this_cpu()->current;
    struct domain *d;

    int rc = target_building(a->populate.domid, &d);
    if (rc)
        return rc;
    a->populate.done = hc_resume(v, BH_HYPERCALL_CONTROL, BH_CTL_POPULATE, arg);
    rc = domain_populate_kind(d, a->populate.gfn, a->populate.nr, a->populate.flags & BH_POPULATE_RESERVED,
                              &a->populate.done);
    if (rc == HC_AGAIN)
        hc_pause(v, BH_HYPERCALL_CONTROL, BH_CTL_POPULATE, arg, a->populate.done);
    else
        hc_finish(v);
    target_unlock(d);
    return rc;
}

static bool covers_keep(const struct domain *d, uint64_t gpa, uint64_t len)
{
    uint64_t first = gpa >> PAGE_SHIFT, last = (gpa + len - 1) >> PAGE_SHIFT;

    return d->nr_keep && len && first < d->keep_gfn + d->nr_keep && last >= d->keep_gfn;
}

static long op_write(union control_arg *a, gaddr_t arg)
{
    uint64_t n = MIN(a->write.len, (uint64_t)WRITE_BUDGET), gpa = a->write.gpa;
    struct domain *d;

    (void)arg;
    int rc = target_building(a->write.domid, &d);
    if (rc)
        return rc;
    if (gpa >= d->p2m.max_gfn << PAGE_SHIFT || n > (d->p2m.max_gfn << PAGE_SHIFT) - gpa)
        rc = -EINVAL;
    else if (d->once_sealed && covers_keep(d, gpa, n))
        rc = -EACCES;
    else if (n)
        rc = gphys_write_from_guest(d, gpa, GADDR(a->write.src), n);
    target_unlock(d);
    return rc ? rc : (long)n;
}

static long op_protect(union control_arg *a, gaddr_t arg)
{
    struct vcpu *v = this_cpu()->current;
    struct domain *d;

    int rc = target_building(a->protect.domid, &d);
    if (rc)
        return rc;
    uint64_t done = hc_resume(v, BH_HYPERCALL_CONTROL, BH_CTL_PROTECT, arg);
    rc = domain_protect(d, a->protect.gfn, a->protect.nr, &done);
    if (rc == HC_AGAIN)
        hc_pause(v, BH_HYPERCALL_CONTROL, BH_CTL_PROTECT, arg, done);
    else
        hc_finish(v);
    target_unlock(d);
    return rc;
}

static int check_ring_page(struct domain *d, uint64_t gfn)
{
    enum p2m_type t = P2M_NONE;

    if (gfn >= d->p2m.max_gfn || gfn > UINT32_MAX || covers_keep(d, gfn << PAGE_SHIFT, PAGE_SIZE))
        return -EINVAL;
    (void)p2m_lookup(d, GFN(gfn), &t);
    return t == P2M_RAM ? 0 : -EINVAL;
}

static bool domain_exists(domid_t id)
{
    struct domain *d = domain_get(id);

    if (d)
        domain_put(d);
    return d != NULL;
}

static int setup_rings(struct domain *d, struct bh_setup_rings *r)
{
    uint32_t console, store;

    if (d->rings)
        return -EEXIST;
    if (r->console_gfn == r->store_gfn || check_ring_page(d, r->console_gfn) || check_ring_page(d, r->store_gfn))
        return -EINVAL;
    if (!domain_exists(r->console_domid) || !domain_exists(r->store_domid))
        return -ESRCH;
    int rc = evtchn_alloc_slot(d, r->console_domid, &console);
    if (rc)
        return rc;
    rc = evtchn_alloc_slot(d, r->store_domid, &store);
    if (rc) {
        (void)evtchn_close_slot(d, console);
        return rc;
    }
    spin_lock(&d->lock);
    d->console_gfn = d->hvm_param[HVM_PARAM_CONSOLE_PFN] = r->console_gfn;
    d->store_gfn = d->hvm_param[HVM_PARAM_STORE_PFN] = r->store_gfn;
    d->console_port = r->console_port = console;
    d->store_port = r->store_port = store;
    d->hvm_param[HVM_PARAM_CONSOLE_EVTCHN] = console;
    d->hvm_param[HVM_PARAM_STORE_EVTCHN] = store;
    d->console_domid = r->console_domid;
    d->store_domid = r->store_domid;
    d->rings = true;
    spin_unlock(&d->lock);
    grant_seed(d, 0, r->console_domid, r->console_gfn);
    grant_seed(d, 1, r->store_domid, r->store_gfn);
    return 0;
}

static long op_setup_rings(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    (void)arg;
    int rc = target_building(a->rings.domid, &d);
    if (rc)
        return rc;
    rc = setup_rings(d, &a->rings);
    target_unlock(d);
    return rc;
}

static long op_set_entry(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    (void)arg;
    if (a->entry.eip > UINT32_MAX || a->entry.ebx > UINT32_MAX)
        return -EINVAL;
    int rc = target_building(a->entry.domid, &d);
    if (rc)
        return rc;
    virt->set_pvh_entry(d->vcpu[0], a->entry.eip, a->entry.ebx);
    d->vcpu[0]->initialised = true;
    target_unlock(d);
    return 0;
}

static long op_slot_write(union control_arg *a, gaddr_t arg)
{
    uint64_t word[BH_SLOT_WRITE_MAX / 8], n = a->write.len;
    struct domain *d;

    (void)arg;
    if (n > sizeof word)
        return -E2BIG;
    if ((a->write.gpa | n) & 7)
        return -EINVAL;
    if (copy_from_guest(word, GADDR(a->write.src), n))
        return -EFAULT;
    int rc = target_lock(a->write.domid, &d); /* also a domain whose restart is unfinished: its table is whole */
    if (rc)
        return rc;
    rc = d->state == BH_DOM_DYING ? -ESRCH : domain_table_write(d, a->write.gpa, word, (unsigned)(n / 8));
    target_unlock(d);
    return rc;
}

/* Goes on where it was, since the domain is dead and gets no new mappings; whoever lost count begins anew. */
static int reclaim(struct domain *d, struct domain *holder, struct vcpu *v, gaddr_t arg)
{
    uint64_t handle = hc_resume(v, BH_HYPERCALL_CONTROL, BH_CTL_RECLAIM, arg);

    while (!grant_reclaim(d, holder, &handle, RECLAIM_BUDGET))
        if (must_yield()) {
            hc_pause(v, BH_HYPERCALL_CONTROL, BH_CTL_RECLAIM, arg, handle);
            return HC_AGAIN;
        }
    hc_finish(v);
    return 0;
}

static long op_reclaim(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    int rc = target_lock(a->reclaim.domid, &d);
    if (rc)
        return rc;
    struct domain *holder = domain_get(a->reclaim.holder);
    rc = !holder ? -ESRCH : !domain_destroyed(d) ? -EINVAL : reclaim(d, holder, this_cpu()->current, arg);
    if (holder)
        domain_put(holder);
    target_unlock(d);
    if (!rc)
        domain_reap();
    return rc;
}

/* --- devices ---------------------------------------------------------------------------------------------------- */
static long op_pci_info(union control_arg *a, gaddr_t arg)
{
    (void)arg;
    return pci_info(a->pci_info.index, NULL, &a->pci_info);
}

static long op_assign(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    (void)arg;
    int rc = target_live(a->assign.domid, &d);
    if (rc)
        return rc;
    rc = pci_assign(d, a->assign.sbdf, a->assign.gpa);
    target_unlock(d);
    return rc;
}

static long op_deassign(union control_arg *a, gaddr_t arg)
{
    struct domain *d;

    (void)arg;
    int rc = target_live(a->assign.domid, &d);
    if (rc)
        return rc;
    rc = pci_deassign(d, a->assign.sbdf);
    target_unlock(d);
    return rc;
}

static long op_pci_cfg(union control_arg *a, gaddr_t arg)
{
    (void)arg;
    return pci_config_access(&a->pci_cfg);
}

/* --- the door ----------------------------------------------------------------------------------------------------- */
static long op_sched(union control_arg *a, gaddr_t arg)
{
    (void)a;
    (void)arg;
    return -ENOSYS;
}

enum { OUT = 1, OUT_ALWAYS = 3 }; /* the argument is copied back on success; also on failure */

static const struct control_row {
    const char *name;
    uint16_t size;
    uint8_t priv; /* enum priv */
    uint8_t out;
    long (*fn)(union control_arg *a, gaddr_t arg);
} rows[BH_NR_CTL_OPS] = {
    [BH_CTL_CREATE]      = { "create", sizeof(struct bh_create), PRIV_CREATE, OUT, op_create },
    [BH_CTL_DESTROY]     = { "destroy", sizeof(struct bh_domid), PRIV_DESTROY, 0, op_destroy },
    [BH_CTL_PAUSE]       = { "pause", sizeof(struct bh_domid), PRIV_PAUSE, 0, op_pause },
    [BH_CTL_UNPAUSE]     = { "unpause", sizeof(struct bh_domid), PRIV_PAUSE, 0, op_unpause },
    [BH_CTL_POPULATE]    = { "populate", sizeof(struct bh_populate), PRIV_BUILD, OUT_ALWAYS, op_populate },
    [BH_CTL_WRITE]       = { "write", sizeof(struct bh_write), PRIV_BUILD, 0, op_write },
    [BH_CTL_SETUP_RINGS] = { "setup_rings", sizeof(struct bh_setup_rings), PRIV_BUILD, OUT, op_setup_rings },
    [BH_CTL_SET_ENTRY]   = { "set_entry", sizeof(struct bh_entry), PRIV_BUILD, 0, op_set_entry },
    [BH_CTL_INFO]        = { "info", sizeof(struct bh_dominfo), PRIV_INFO, OUT, control_info },
    [BH_CTL_RESTART]     = { "restart", sizeof(struct bh_restart), PRIV_RESTART, 0, op_restart },
    [BH_CTL_CRASH]       = { "crash", sizeof(struct bh_crash), PRIV_CRASH, 0, op_crash },
    [BH_CTL_REPORT]      = { "report", sizeof(struct bh_report), PRIV_INFO, OUT, control_report },
    [BH_CTL_PCI_INFO]    = { "pci_info", sizeof(struct bh_pci_info), PRIV_PCI_INFO, OUT, op_pci_info },
    [BH_CTL_ASSIGN]      = { "assign", sizeof(struct bh_assign), PRIV_ASSIGN, 0, op_assign },
    [BH_CTL_DEASSIGN]    = { "deassign", sizeof(struct bh_assign), PRIV_ASSIGN, 0, op_deassign },
    [BH_CTL_PCI_CFG]     = { "pci_cfg", sizeof(struct bh_pci_cfg), PRIV_PCI_CFG, OUT, op_pci_cfg },
    [BH_CTL_LOG]         = { "log", sizeof(struct bh_log), PRIV_LOG, OUT, control_log },
    [BH_CTL_CONSOLE]     = { "console", sizeof(struct bh_console), PRIV_CONSOLE, 0, control_console },
    [BH_CTL_SYSINFO]     = { "sysinfo", sizeof(struct bh_sysinfo), PRIV_INFO, OUT, control_sysinfo },
    [BH_CTL_MACHINE]     = { "machine", sizeof(struct bh_machine), PRIV_MACHINE, 0, control_machine },
    [BH_CTL_SCHED]       = { "sched", 0, PRIV_SCHED, 0, op_sched },
    [BH_CTL_PROTECT]     = { "protect", sizeof(struct bh_protect), PRIV_BUILD, 0, op_protect },
    [BH_CTL_SOFT_RESET]  = { "soft_reset", sizeof(struct bh_domid), PRIV_RESTART, 0, op_soft_reset },
    [BH_CTL_SLOT_WRITE]  = { "slot_write", sizeof(struct bh_write), PRIV_SLOT, 0, op_slot_write },
    [BH_CTL_RECLAIM]     = { "reclaim", sizeof(struct bh_reclaim), PRIV_RECLAIM, 0, op_reclaim },
    [BH_CTL_FORGET]      = { "forget", sizeof(struct bh_domid), PRIV_DESTROY, 0, op_forget },
};

long do_control_op(uint64_t op, gaddr_t arg)
{
    union control_arg a;

    if (op >= ARRAY_SIZE(rows))
        return -ENOSYS;
    const struct control_row *r = &rows[clamp_nospec(op, ARRAY_SIZE(rows))];
    if (!priv_allows(current_domain()->role, (enum priv)r->priv))
        return -EPERM;
    if (copy_from_guest(&a, arg, r->size))
        return -EFAULT;
    long rc = r->fn(&a, arg);
    if (rc == HC_AGAIN || !r->out || (rc < 0 && r->out != OUT_ALWAYS))
        return rc;
    return copy_to_guest(arg, &a, r->size) ? -EFAULT : rc;
}
