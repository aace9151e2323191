/* SPDX-License-Identifier: MIT */
/*
 * The control hypercall. Operations on a domain hold its op_lock, so they exclude each other without anybody spinning; whoever
 * comes second is executed again. While a restart is unfinished nothing but restart, destroy, info and report is served. What the
 * target must be says <ops.def>.
 */
#include "abi/control.h"
#include "abi/dispatch.h"
#include "abi/progress.h"
#include "base/string.h"
#include "debug/debug.h"
#include "mem/frame.h"
#include "mem/gcopy.h"
#include "pci/pci.h"
#include "pci/trap.h"
#include "sched/sched.h"
#include "virt/virt.h"

#define WRITE_BUDGET   (256u << 10) /* bytes a BH_CTL_WRITE copies at most; the caller goes on */
#define RECLAIM_BUDGET 256u         /* handles between two looks at the clock */

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

/* For operations that a dying domain or an unfinished restart refuses. */
static int check_live(const struct domain *d)
{
    return d->state == BH_DOM_DYING ? -ESRCH : d->op_stage ? -EBUSY : 0;
}

/* For building: nothing of a sealed domain may be touched. */
static int check_building(const struct domain *d)
{
    int rc = check_live(d);

    return rc ? rc : d->state == BH_DOM_BUILDING ? 0 : -EACCES;
}

static int check_any(const struct domain *d)
{
    (void)d;
    return 0;
}

/* --- life ------------------------------------------------------------------------------------------------- */
static long op_create(struct bh_create *a)
{
    struct domain *d;

    domain_reap(); /* a slot may be taken again once nothing of its last domain is left */
    if (a->role == BH_ROLE_CONTROL)
        return -EINVAL;
    int rc = domain_create(a, &d);
    if (!rc)
        a->domid = d->id;
    return rc;
}

static long op_destroy(const struct bh_domid *a)
{
    struct domain *d;

    if (a->domid == current_domain()->id || a->domid == BH_DOMID_CONTROL)
        return -EINVAL;
    int rc = target_lock(a->domid, &d);
    if (rc)
        return rc;
    rc = domain_destroy(d);
    target_unlock(d);
    if (!rc)
        domain_reap();
    return rc;
}

static long op_forget(const struct bh_domid *a)
{
    domain_reap();
    return domid_forget(a->domid);
}

static long op_pause(struct domain *d, const struct bh_domid *a)
{
    (void)a;
    if (d == current_domain())
        return -EINVAL;
    spin_lock(&d->lock);
    bool full = d->pause_count >= 255;
    bool first = !full && d->pause_count++ == 0;
    spin_unlock(&d->lock);
    if (first)
        domain_pause(d);
    return full ? -EINVAL : 0;
}

/* The first unpause after construction seals; a pause before it stays in force. */
static long op_unpause(struct domain *d, const struct bh_domid *a)
{
    (void)a;
    if (d->state == BH_DOM_BUILDING)
        return domain_start(d);
    spin_lock(&d->lock);
    bool none = d->pause_count == 0;
    bool last = !none && --d->pause_count == 0;
    spin_unlock(&d->lock);
    if (last)
        domain_unpause(d);
    return none ? -EINVAL : 0;
}

static long op_restart(struct domain *d, const struct bh_restart *a)
{
    if (d == current_domain() || (a->flags & ~BH_RESTART_FRESH))
        return -EINVAL;
    return domain_restart(d, a->flags);
}

static long op_soft_reset(struct domain *d, const struct bh_domid *a)
{
    (void)a;
    return domain_soft_reset(d);
}

static long op_crash(struct domain *d, const struct bh_crash *a)
{
    if ((a->how & ~(BH_CRASH_INJECT | BH_CRASH_HANG)) || a->how == (BH_CRASH_INJECT | BH_CRASH_HANG) ||
        (a->after_ms && a->how != BH_CRASH_INJECT) || d->state != BH_DOM_RUNNING)
        return -EINVAL;
    d->ordered = true;
    if (a->how & BH_CRASH_INJECT)
        deadline_inject_crash(d, a->after_ms);
    else if (a->how & BH_CRASH_HANG)
        deadline_hang(d);
    else
        domain_crash(d, NULL, BH_CAUSE_OTHER, "crashed on request");
    return 0;
}

static long op_max_pages(struct domain *d, const struct bh_max_pages *a)
{
    if (d->flags & BH_CREATE_RESTARTABLE || a->pages > d->most_pages)
        return -EINVAL;
    WRITE_ONCE(d->max_pages, a->pages);
    return 0;
}

/* --- building ------------------------------------------------------------------------------------------------ */
static long op_populate(struct domain *d, struct bh_populate *a)
{
    struct vcpu *v = this_cpu()->current;

    a->done = hc_resume(v);
    int rc = domain_populate_kind(d, a->gfn, a->nr, a->flags & BH_POPULATE_RESERVED, &a->done);
    return hc_ended(v, rc, a->done);
}

static bool covers_keep(const struct domain *d, uint64_t gpa, uint64_t len)
{
    uint64_t first = gpa >> PAGE_SHIFT, last = (gpa + len - 1) >> PAGE_SHIFT;

    return d->nr_keep && len && first < d->keep_gfn + d->nr_keep && last >= d->keep_gfn;
}

static long op_write(struct domain *d, const struct bh_write *a)
{
    uint64_t n = MIN(a->len, (uint64_t)WRITE_BUDGET);
    int rc = 0;

    if (a->gpa >= d->p2m.max_gfn << PAGE_SHIFT || n > (d->p2m.max_gfn << PAGE_SHIFT) - a->gpa)
        return -EINVAL;
    if (d->once_sealed && covers_keep(d, a->gpa, n))
        return -EACCES;
    if (n)
        rc = gphys_write_from_guest(d, a->gpa, GADDR(a->src), n);
    return rc ? rc : (long)n;
}

static long op_protect(struct domain *d, const struct bh_protect *a)
{
    struct vcpu *v = this_cpu()->current;
    uint64_t done = hc_resume(v);
    int rc = domain_protect(d, a->gfn, a->nr, &done);

    return hc_ended(v, rc, done);
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

static long op_setup_rings(struct domain *d, struct bh_setup_rings *r)
{
    if (d->rings)
        return -EEXIST;
    if (r->console_gfn == r->store_gfn || check_ring_page(d, r->console_gfn) ||
        check_ring_page(d, r->store_gfn))
        return -EINVAL;
    if (!domain_exists(r->console_domid) || !domain_exists(r->store_domid))
        return -ESRCH;
    return domain_setup_rings(d, r);
}

static long op_set_entry(struct domain *d, const struct bh_entry *a)
{
    if (a->eip > UINT32_MAX || a->ebx > UINT32_MAX)
        return -EINVAL;
    virt->set_pvh_entry(d->vcpu[0], a->eip, a->ebx);
    d->vcpu[0]->initialised = true;
    return 0;
}

/* Also for a domain whose restart is unfinished: its table is whole. */
static long op_slot_write(struct domain *d, const struct bh_write *a)
{
    uint64_t word[BH_SLOT_WRITE_MAX / 8], n = a->len;

    if (n > sizeof word)
        return -E2BIG;
    if ((a->gpa | n) & 7)
        return -EINVAL;
    if (copy_from_guest(word, GADDR(a->src), n))
        return -EFAULT;
    return d->state == BH_DOM_DYING ? -ESRCH : domain_table_write(d, a->gpa, word, (unsigned)(n / 8));
}

/* Goes on where it was, since the domain is dead and gets no new mappings; whoever lost count begins anew. */
static int reclaim(struct domain *d, struct domain *holder, struct vcpu *v)
{
    uint64_t handle = hc_resume(v);

    while (!grant_reclaim(d, holder, &handle, RECLAIM_BUDGET))
        if (must_yield()) {
            hc_pause(v, handle);
            return HC_AGAIN;
        }
    hc_finish(v);
    return 0;
}

static long op_reclaim(const struct bh_reclaim *a)
{
    struct domain *d;

    int rc = target_lock(a->domid, &d);
    if (rc)
        return rc;
    struct domain *holder = domain_get(a->holder);
    rc = !holder                ? -ESRCH
         : !domain_destroyed(d) ? -EINVAL
                                : reclaim(d, holder, this_cpu()->current);
    if (holder)
        domain_put(holder);
    target_unlock(d);
    if (!rc)
        domain_reap();
    return rc;
}

/* --- devices, and what is in control_info.c ------------------------------------------------------------------------- */
static long op_pci_info(struct bh_pci_info *a) { return pci_info(a->index, NULL, a); }
static long op_assign(struct domain *d, const struct bh_assign *a)
{
    if (a->flags & ~BH_ASSIGN_PERMISSIVE || (a->flags && d->role != BH_ROLE_GUEST))
        return -EINVAL;
    return pci_assign(d, a->sbdf, a->gpa, a->flags);
}
static long op_deassign(struct domain *d, const struct bh_assign *a)
{
    return pci_deassign(d, a->sbdf);
}
static long op_pci_hide(const struct bh_pci_hide *a)
{
    return a->hide > 1 ? -EINVAL : pci_hide(a->sbdf, a->hide);
}
static long op_pci_cfg(struct bh_pci_cfg *a) { return pci_config_access(a); }
static long op_pci_trap(struct bh_pci_trap *a) { return trap_serve(a); }
static long op_pci_set(struct bh_pci_set *a) { return pci_set(a); }
static long op_info(struct bh_dominfo *a) { return control_info(a); }
static long op_report(struct bh_report *a) { return control_report(a); }
static long op_log(struct bh_log *a) { return control_log(a); }
static long op_console(const struct bh_console *a) { return control_console(a); }
static long op_sysinfo(struct bh_sysinfo *a) { return control_sysinfo(a); }
static long op_sched(struct domain *d, struct bh_sched *a) { return control_sched(d, a); }
static long op_machine(const struct bh_machine *a) { return control_machine(a); }

static long op_debug_keys(const struct bh_debug_keys *a)
{
    return a->nr > sizeof a->key ? -EINVAL : debug_press(a->key, a->nr);
}

/* --- the rows --------------------------------------------------------------------------------------------------------- */
#define TARGET_NONE(name, type)     return op_##name((type *)a)
#define TARGET_ANY(name, type)      ON_TARGET(any, name, type)
#define TARGET_LIVE(name, type)     ON_TARGET(live, name, type)
#define TARGET_BUILDING(name, type) ON_TARGET(building, name, type)
#define ON_TARGET(check, name, type)               \
    struct domain *d;                              \
    long rc = target_lock(((type *)a)->domid, &d); \
    if (rc)                                        \
        return rc;                                 \
    rc = check_##check(d);                         \
    if (!rc)                                       \
        rc = op_##name(d, (type *)a);              \
    target_unlock(d);                              \
    return rc
#define CONTROL_OP(nr, NAME, name, type, dir, priv, target, ...)             \
    static long call_##name(struct call *c, void *a)                         \
    {                                                                        \
        _Static_assert(sizeof(type) <= OP_ARG_MAX, "room for the argument"); \
        (void)c;                                                             \
        TARGET_##target(name, type);                                         \
    }
#include <ops.def>
#define CONTROL_OP(nr, NAME, name, type, dir, priv, ...) \
    [nr] = OP_ROW_OF(name, type, dir, priv, B64),
static const struct op rows[] = {
#include <ops.def>
};
const struct ops control_ops = OPS(rows, ~0ull, 1);
