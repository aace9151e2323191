/* SPDX-License-Identifier: MIT */
/*
 * Domains: making them, memory, pause, crash and shutdown, what they say. Their list is in table.c, domids in domid.c, vCPUs' life in
 * vcpu_life.c, restart and destroy in restart.c.
 */
#include "domain/domain.h"
#include <xen/hvm/params.h>
#include <xen/sched.h>
#include "base/print.h"
#include "base/string.h"
#include "ipc/evtchn.h"
#include "ipc/grant.h"
#include "mem/gcopy.h"
#include "sched/sched.h"
#include "platform/vendor.h"

struct domain *control_domain;

static void (*unattended)(void); /* see domain_listen */
void domain_listen(void (*nobody_looks)(void)) { unattended = nobody_looks; }

/* --- the end of a domain ------------------------------------------------------------------------------------ */

static void domain_free(struct domain *d)
{
    timer_cancel(&d->cap.refill);
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        if (d->vcpu[i])
            vcpu_free(d->vcpu[i]);
    evtchn_free(d);
    grant_free(d);
    while (d->p2m.root) /* with little below it: a destroy has given back the others */
        p2m_free(d);
    if (d->shared)
        core_free_for(d, d->shared);
    frame_promise_end(d);
    frame_forget(d);
    kfree(d->words, DOMAIN_WORDS);
    domid_free(d->id, d->rings); /* nothing counts for it any more */
    kfree(d, sizeof *d);
}

/* --- making ----------------------------------------------------------------------------------------------------- */

static int check_create(const struct bh_create *c)
{
    bool slot = c->domid < BH_FIRST_GUEST;
    bool first = !control_domain && c->domid == BH_DOMID_CONTROL;
    if (!slot && c->domid != BH_DOMID_ANY)
        return -EINVAL;
    if (c->role >= BH_NR_ROLES || (c->role == BH_ROLE_CONTROL) != first)
        return -EINVAL;
    if ((c->role == BH_ROLE_GUEST) == slot)
        return -EINVAL; /* service domains live in slots, guests do not */
    if (!c->nr_vcpus || c->nr_vcpus > BH_MAX_VCPUS || (c->flags & ~BH_CREATE_RESTARTABLE))
        return -EINVAL;
    if ((c->flags & BH_CREATE_RESTARTABLE) && !slot)
        return -EINVAL; /* restarting a guest would be a way to read it */
    if (c->nr_keep && (!(c->flags & BH_CREATE_RESTARTABLE) || c->nr_keep > c->max_pages))
        return -EINVAL;
    if (c->nr_table && (!(c->flags & BH_CREATE_RESTARTABLE) || c->nr_table > BH_TABLE_MAX))
        return -EINVAL;
    return strnlen(c->name, BH_NAME_LEN) < BH_NAME_LEN && c->name[0] ? 0 : -EINVAL;
}

_Static_assert(GRANT_MAX_FRAMES == 64 && EVTCHN_PORTS / EVTCHN_PER_BUCKET == 32 && FILLER_PAGES == 16,
               "bh_allowance");

/* Before it runs: nobody reads these three meanwhile. */
static void wallclock_tell(struct domain *d)
{
    uint64_t ns = READ_ONCE(wallclock_ns) + (uint64_t)((int64_t)d->clock_offset * (int64_t)NS_PER_S);

    d->shared->wc_version = 2;
    d->shared->wc_sec = (uint32_t)(ns / NS_PER_S);
    d->shared->wc_sec_hi = (uint32_t)(ns / NS_PER_S >> 32);
    d->shared->wc_nsec = (uint32_t)(ns % NS_PER_S);
}

static int make_parts(struct domain *d)
{
    d->shared = core_alloc_for(d);
    d->words = kmalloc(DOMAIN_WORDS);
    if (!d->shared || !d->words)
        return -ENOMEM;
    wallclock_tell(d);
    int rc = p2m_init(d);
    if (!rc)
        rc = grant_init(d);
    for (uint32_t i = 0; !rc && i < d->nr_vcpus; i++)
        rc = vcpu_create(d, i);
    return rc;
}

int domain_create(const struct bh_create *c, struct domain **out)
{
    int rc = check_create(c);
    if (rc)
        return rc;
    domid_t id = c->domid;
    if (id == BH_DOMID_ANY && (rc = domid_alloc(&id)))
        return rc;
    struct domain *d = kmalloc(sizeof *d);
    if (!d) {
        domid_free(id, false);
        return -ENOMEM;
    }
    d->id = id;
    d->role = c->role;
    d->flags = (uint8_t)c->flags;
    d->state = BH_DOM_BUILDING;
    d->nr_vcpus = c->nr_vcpus;
    d->max_pages = d->most_pages = c->max_pages;
    d->keep_gfn = c->keep_gfn;
    d->nr_keep = c->nr_keep;
    d->table_gfn = c->table_gfn;
    d->nr_table = c->nr_table;
    d->shared_gfn = ~0ull;
    memcpy(d->name, c->name, BH_NAME_LEN);
    memcpy(d->uuid, c->uuid, sizeof d->uuid);
    d->clock_offset = c->clock_offset;
    deadline_init(d);
    cap_init(d);
    rc = domain_list(d, domain_free);
    if (rc) {
        domid_free(id, false);
        kfree(d, sizeof *d);
        return rc;
    }
    /* A slot's RAM is kept for all its instances, also what one gives away. */
    rc = frame_promise(d, d->flags & BH_CREATE_RESTARTABLE ? d->max_pages : 0, bh_allowance(c));
    if (!rc)
        rc = make_parts(d);
    if (rc) {
        domain_unlink(d);
        domain_free(d);
        return rc;
    }
    __atomic_store_n(&d->refs, 1, __ATOMIC_RELEASE);
    if (d->role == BH_ROLE_CONTROL)
        control_domain = d;
    *out = d;
    return 0;
}

/* --- slot table ------------------------------------------------------------------------------------------------- */

/* Where gfn of the table lies; NULL unless nobody but us writes it. */
static char *table_page(struct domain *d, uint64_t gfn)
{
    enum p2m_type t = P2M_NONE;
    mfn_t m = p2m_lookup(d, GFN(gfn), &t);
    return domain_is_table(d, gfn) && t == P2M_RAM_IMMUTABLE ? mfn_to_virt(m) : NULL;
}

static bool table_sound(struct domain *d)
{
    for (uint32_t i = 0; i < d->nr_table; i++)
        if (!table_page(d, d->table_gfn + i))
            return false;
    return true;
}

int domain_table_write(struct domain *d, uint64_t gpa, const uint64_t *word, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!table_page(d, (gpa + 8ull * i) >> PAGE_SHIFT))
            return -EACCES;
    for (unsigned i = 0; i < n; i++) {
        uint64_t at = gpa + 8ull * i;
        char *page = table_page(d, at >> PAGE_SHIFT);
        __atomic_store_n((uint64_t *)(page + (at & (PAGE_SIZE - 1))), word[i], __ATOMIC_RELEASE);
    }
    return 0;
}

int domain_start(struct domain *d)
{
    if (!table_sound(d))
        return -EINVAL;
    spin_lock(&d->lock);
    bool ok = d->state == BH_DOM_BUILDING && d->vcpu[0]->initialised;
    if (ok) {
        wallclock_tell(d); /* better known by now than when it was made */
        d->once_sealed = true;
        d->unpause_ns = now_ns();
        d->adopted = d->dma_fenced = false;
        d->state = BH_DOM_RUNNING;
    }
    spin_unlock(&d->lock);
    if (!ok)
        return -EINVAL;
    vcpu_set_online(d->vcpu[0]);
    return 0;
}

/* --- slot pages -------------------------------------------------------------------------------------------------- */

int domain_setup_rings(struct domain *d, struct bh_setup_rings *r)
{
    uint32_t console = 0, store;
    int rc = 0;

    if (d->role != BH_ROLE_CONTROL) /* who has the physical console */
        rc = evtchn_alloc_slot(d, r->console_domid, &console);
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

/* --- memory --------------------------------------------------------------------------------------------------------- */

/* Remembers [gfn, gfn + nr) for restart, joined to its neighbour of the same kind. False: no room. d->lock held. */
static bool extent_add(struct domain *d, uint64_t gfn, uint64_t nr, bool reserved)
{
    for (uint32_t i = 0; i < d->nr_extents; i++) {
        uint64_t s = d->extent[i].gfn, e = s + d->extent[i].nr;
        if (d->extent[i].reserved != reserved)
            continue;
        if (gfn >= s && gfn + nr <= e)
            return true;
        if (gfn >= s && gfn <= e) {
            d->extent[i].nr = gfn + nr - s;
            return true;
        }
    }
    if (d->nr_extents == MAX_EXTENTS)
        return false;
    d->extent[d->nr_extents].gfn = gfn;
    d->extent[d->nr_extents].reserved = reserved;
    d->extent[d->nr_extents++].nr = nr;
    return true;
}

/* One step at gfn: a 2 MiB frame where it fits, else 4 KiB. RAM that is there already is left (a call executed again).
 * Returns frames done or -errno. */
static int64_t populate_step(struct domain *d, uint64_t gfn, uint64_t left)
{
    enum p2m_type t;
    unsigned orders[2] = { ORDER_2M, 0 };
    (void)p2m_lookup(d, GFN(gfn), &t);
    if (t == P2M_RAM)
        return 1;
    if (t != P2M_NONE)
        return -EEXIST;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t n = 1ull << orders[i];
        if ((gfn & (n - 1)) || n > left || d->tot_pages + n > d->max_pages)
            continue;
        mfn_t m = frame_alloc(d, orders[i]);
        if (m.v == INVALID_MFN.v)
            continue;
        int rc = p2m_set(d, GFN(gfn), m, orders[i], P2M_RAM);
        if (!rc)
            return (int64_t)n;
        frame_put_block(m, orders[i]);
        if (!(orders[i] && rc == -EEXIST)) /* a table is in the way of a big leaf: small ones fit */
            return rc;
    }
    return d->tot_pages >= d->max_pages ? -E2BIG : -ENOMEM;
}

int domain_populate_kind(struct domain *d, uint64_t gfn, uint64_t nr, bool reserved, uint64_t *done)
{
    if (gfn >= d->p2m.max_gfn || nr > d->p2m.max_gfn - gfn || *done > nr)
        return -EINVAL;
    spin_lock(&d->lock);
    bool room = extent_add(d, gfn, nr, reserved);
    spin_unlock(&d->lock);
    if (!room)
        return -ENOSPC;
    while (*done < nr) {
        int64_t n = populate_step(d, gfn + *done, nr - *done);
        if (n < 0)
            return (int)n;
        *done += (uint64_t)n;
        if (*done < nr && must_yield())
            return HC_AGAIN;
    }
    return 0;
}

/* --- pause and stop -------------------------------------------------------------------------------------------------- */

void domain_recheck(struct domain *d)
{
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        vcpu_recheck(d->vcpu[i]);
}
void domain_pause(struct domain *d)
{
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        vcpu_pause(d->vcpu[i]);
}
void domain_unpause(struct domain *d)
{
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        vcpu_unpause(d->vcpu[i]);
}
uint64_t domain_cpu_ns(struct domain *d)
{
    uint64_t ns = 0;
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        ns += vcpu_cpu_ns(d->vcpu[i]);
    return ns;
}

void notify_control(uint32_t virq)
{
    if (control_domain)
        evtchn_global_virq(control_domain, virq);
}

/* --- crash and shutdown ------------------------------------------------------------------------------------------------ */

/* A domain is in its last state, which all see before the control domain's is read: of two that die at once one finds both. */
static void tell_end(void)
{
    mb();
    notify_control(VIRQ_DOM_EXC);
    if (unattended && control_domain->state != BH_DOM_RUNNING)
        unattended();
}

/* A guest's registers are its own: they are in no report (docs/restart-protocol.md 1), nor is where it was, at an instant that another may
 * choose. Of its last exit only the address that ended it is told: of an IN or OUT the second word is its rip. */
static void report_fill(struct domain *d, struct vcpu *v)
{
    struct bh_report *r = &d->report;
    r->vcpu = (uint16_t)v->id;
    virt->exit_info(v, &r->exit_code, &r->info1, &r->info2);
    if (d->role == BH_ROLE_GUEST && r->cause != BH_CAUSE_NPF)
        r->info1 = r->info2 = 0;
    if (d->role != BH_ROLE_GUEST)
        r->rip = v->regs.rip;
    if (!(d->flags & BH_CREATE_RESTARTABLE))
        return;
    r->rsp = v->regs.rsp;
    r->rflags = v->regs.rflags;
    r->cr0 = virt->get_cr(v, 0);
    r->cr2 = virt->get_cr(v, 2);
    r->cr3 = virt->get_cr(v, 3);
    r->cr4 = virt->get_cr(v, 4);
    memcpy(r->gpr, &v->regs.rax, sizeof r->gpr);
    /* Service domains are identity-mapped: the stack pointer is a guest-physical address. */
    for (; r->nr_stack < BH_REPORT_STACK; r->nr_stack++)
        if (gphys_read(d, &r->stack[r->nr_stack], r->rsp + 8ull * r->nr_stack, 8))
            break;
}

void domain_crash(struct domain *d, struct vcpu *v, enum bh_crash_cause cause, const char *fmt, ...)
{
    __builtin_va_list ap;
    char why[sizeof d->report.why];
    __builtin_va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    __builtin_va_end(ap);

    spin_lock(&d->lock);
    if (d->state != BH_DOM_RUNNING) {
        spin_unlock(&d->lock);
        return;
    }
    if (d == control_domain)
        console_claim(false); /* before anybody sees it dead: the next instance claims it anew */
    d->state = BH_DOM_CRASHED;
    d->shutdown_reason = SHUTDOWN_crash;
    d->crash_ns = now_ns();
    memset(&d->report, 0, sizeof d->report);
    d->report.domid = d->id;
    d->report.cause = cause;
    d->report.when_ns = d->crash_ns;
    d->report.instance = d->instance;
    memcpy(d->report.why, why, sizeof why);
    if (v)
        report_fill(d, v);
    spin_unlock(&d->lock);

    domain_recheck(d);
    char at[32] = "";
    if (d->report.rip)
        snprintf(at, sizeof at, "; rip %lx", (unsigned long)d->report.rip);
    log_err("d%u (%s) crashed: %s%s, exit code %lx, info %lx %lx", d->id, d->name, why, at,
            (unsigned long)d->report.exit_code, (unsigned long)d->report.info1,
            (unsigned long)d->report.info2);
    tell_end();
}

void domain_shutdown(struct domain *d, uint32_t reason)
{
    struct vcpu *v = this_cpu()->current;

    /* The control domain has BH_CTL_MACHINE to end the session. */
    if (reason == SHUTDOWN_crash || d == control_domain) {
        domain_crash(d, v && v->domain == d ? v : NULL, BH_CAUSE_SHUTDOWN_CRASH, "said it %s",
                     reason == SHUTDOWN_crash ? "crashed" : "is done");
        return;
    }
    spin_lock(&d->lock);
    bool first = d->state == BH_DOM_RUNNING;
    if (first) {
        d->state = BH_DOM_SHUTDOWN;
        d->shutdown_reason = reason;
        d->shutdown_vcpu = v && v->domain == d ? v->id : 0;
    }
    spin_unlock(&d->lock);
    if (!first)
        return;
    domain_recheck(d);
    tell_end();
}

/* --- output -------------------------------------------------------------------------------------------------------------- */

void domain_say(struct domain *d, const char *text, size_t n)
{
    spin_lock(&d->lock);
    for (size_t i = 0; i < n; i++) {
        char c = text[i], last = d->words_end ? d->words[(d->words_end - 1) % DOMAIN_WORDS] : '\n';
        if ((c >= ' ' && c < 0x7f) || (c == '\n' && last != '\n'))
            d->words[d->words_end++ % DOMAIN_WORDS] = c;
    }
    spin_unlock(&d->lock);
}

size_t domain_words(struct domain *d, uint64_t *pos, char *buf, size_t n)
{
    spin_lock(&d->lock);
    uint64_t end = d->words_end, oldest = end > DOMAIN_WORDS ? end - DOMAIN_WORDS : 0;
    *pos = MIN(MAX(*pos, oldest), end);
    n = MIN(n, end - *pos);
    for (size_t i = 0; i < n; i++)
        buf[i] = d->words[(*pos + i) % DOMAIN_WORDS];
    spin_unlock(&d->lock);
    return n;
}
