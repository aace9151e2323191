/* SPDX-License-Identifier: MIT */
/*
 * Restart in place, soft reset and destroy: all are lists of stages, worked off under d->op_lock (held by the caller), resumed by HC_AGAIN
 * at d->op_stage and d->op_cursor. Restart leaves the slot as docs say: domid, limits, devices, slot pages and ports, grant
 * entries 0 and 1, keep pages, accounting, and the immutable pages, in which nothing can have changed; everything else is
 * new. A soft reset is what a guest's kexec asks for: the same domain and its memory, for the next kernel. A destroy takes over
 * either that has begun.
 *
 * From the first stage on the state is not RUNNING, so no vCPU is entered, and a crash is not taken notice of any more.
 */
#include "base/types.h"
#include <xen/hvm/params.h>
#include <xen/sched.h>
#include "ipc/evtchn.h"
#include "pci/pirq.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "pci/pci.h"
#include "domain/domain.h"
#include "sched/sched.h"

#define BUDGET     256u /* ports, handles, leaves between two looks at must_yield */
#define STAGE_GONE 0xffffu
#define FEW_TABLES 8u

struct stage {
    const char *name;
    int (*fn)(struct domain *d,
              uint64_t *cursor); /* 0: done; HC_AGAIN: call again; or an error that leaves it here */
};

/* --- stages of all ----------------------------------------------------------------------------------- */
static int stage_stop(struct domain *d, uint64_t *cursor)
{
    (void)cursor;
    return domain_stopped(d) ? 0 : HC_AGAIN; /* kicked by domain_recheck; soon out of guest and core */
}

static void forget_vcpus(struct domain *d)
{
    deadline_cancel_all(d);
    if (d->pause_count) {
        d->pause_count = 0;
        domain_unpause(d);
    }
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        vcpu_reset(d->vcpu[i]);
    d->callback_vector = 0;
}

static int stage_unmap(struct domain *d, uint64_t *cursor)
{
    return grant_unmap_all(d, cursor, BUDGET) ? 0 : HC_AGAIN;
}

/* --- restart ------------------------------------------------------------------------------------------- */
static bool is_slot_page(const struct domain *d, uint64_t gfn)
{
    return (d->rings && (gfn == d->console_gfn || gfn == d->store_gfn)) ||
           (d->nr_keep && gfn - d->keep_gfn < d->nr_keep);
}

/* What a restart leaves in the p2m: slot and keep pages, immutable ones, and the BARs of its devices. */
static bool keep_leaf(struct domain *d, gfn_t g, enum p2m_type t)
{
    if (is_slot_page(d, g.v))
        return t ==
               P2M_RAM; /* not a page of the core that the dead instance put in its place: RAM comes there again */
    if (t == P2M_RAM_IMMUTABLE)
        return !d->restart_fresh || domain_is_table(d, g.v);
    if (domain_in_extent(d, g.v))
        return false;
    return t == P2M_MMIO || t == P2M_RAM_RO;
}

/* DMA is off and its completion waited for before any mapping or frame goes. */
static int stage_fence(struct domain *d, uint64_t *cursor)
{
    (void)cursor;
    int rc = pci_fence(d);
    if (rc)
        return rc;
    d->dma_fenced = true;
    pirq_fence(d);
    forget_vcpus(d);
    return 0;
}

static int stage_events(struct domain *d, uint64_t *cursor)
{
    return evtchn_fence(d, cursor, BUDGET) ? 0 : HC_AGAIN;
}

static int stage_redirect(struct domain *d, uint64_t *cursor)
{
    if (!*cursor)
        d->op_redirect = (struct grant_cursor){ 0 };
    *cursor = 1; /* begun */
    return grant_redirect(d, &d->op_redirect, 4 * BUDGET) ? 0 : HC_AGAIN;
}

static int stage_clear(struct domain *d, uint64_t *cursor)
{
    d->shared_gfn = ~0ull;
    for (unsigned i = 0; i < GRANT_MAX_FRAMES; i++)
        d->grant.frame_gfn[i] = ~0ull;
    return p2m_teardown(d, cursor, BUDGET, keep_leaf) ? 0 : HC_AGAIN;
}

/* Tables beyond those that are held back for the slot go: the next instance may spend them as it likes. */
static int stage_tables(struct domain *d, uint64_t *cursor)
{
    if (d->p2m.nr_tables <= d->p2m.held_tables && list_empty(&d->p2m.emptied))
        return 0;
    return p2m_shrink(d, cursor, BUDGET) ? 0 : HC_AGAIN;
}

/* Puts frames at gfn.., as many as one block gives, at most n. Immutable pages stay; others that kept their leaf for want of
 * memory to split it are zeroed. Returns how many places are done, or -ENOMEM. */
static int fill_some(struct domain *d, uint64_t gfn, uint64_t n)
{
    enum p2m_type t;
    mfn_t m = p2m_lookup(d, GFN(gfn), &t);

    if (t != P2M_NONE) {
        if (t == P2M_RAM)
            memset(mfn_to_virt(m), 0, PAGE_SIZE);
        return 1;
    }
    unsigned order = ORDER_2M;
    while (order && (n >> order == 0 || gfn & ((1ull << order) - 1)))
        order--;
    /* No further than the block: what is looked through for a page does not grow with the domain. */
    n = p2m_next(d, gfn, gfn + (1ull << order)) - gfn;
    while (n >> order == 0)
        order--;
    for (m = frame_alloc(d, order); m.v == INVALID_MFN.v && order; m = frame_alloc(d, order))
        order--;
    if (m.v == INVALID_MFN.v)
        return -ENOMEM;
    /* -EEXIST: a table is there since some leaf below was split; small leaves then. */
    if (order == ORDER_2M && p2m_set(d, GFN(gfn), m, order, P2M_RAM) == 0)
        return 1 << order;
    for (uint64_t i = 0; i < 1ull << order; i++) {
        int rc = p2m_set(d, GFN(gfn + i), MFN(m.v + i), 0, P2M_RAM);
        if (rc) {
            for (uint64_t k = i; k < 1ull << order; k++)
                frame_put(MFN(m.v + k));
            if (i)
                return (int)i;
            return rc == -EEXIST ? 1 : -ENOMEM;
        }
    }
    return 1 << order;
}

/* A slot page is there unless the dead instance gave it away. */
static int fill_slot_page(struct domain *d, uint64_t gfn)
{
    enum p2m_type t;

    (void)p2m_lookup(d, GFN(gfn), &t);
    return t == P2M_NONE ? fill_some(d, gfn, 1) : 1;
}

/* First page of a slot in [gfn, end), or end. */
static uint64_t run_end(const struct domain *d, uint64_t gfn, uint64_t end)
{
    if (d->rings && d->console_gfn >= gfn)
        end = MIN(end, d->console_gfn);
    if (d->rings && d->store_gfn >= gfn)
        end = MIN(end, d->store_gfn);
    if (d->nr_keep && d->keep_gfn >= gfn)
        end = MIN(end, d->keep_gfn);
    return end;
}

/* Cursor: extent << 48 | pages of it that are done. */
static int stage_fill(struct domain *d, uint64_t *cursor)
{
    for (;;) {
        uint32_t e = (uint32_t)(*cursor >> 48);
        if (e >= d->nr_extents)
            return 0;
        uint64_t done = *cursor & ((1ull << 48) - 1), gfn = d->extent[e].gfn + done;
        uint64_t end = d->extent[e].gfn + d->extent[e].nr;
        if (gfn >= end) {
            *cursor = (uint64_t)(e + 1) << 48;
            continue;
        }
        int n = is_slot_page(d, gfn) ? fill_slot_page(d, gfn)
                                     : fill_some(d, gfn, run_end(d, gfn, end) - gfn);
        if (n < 0)
            return n;
        *cursor += (unsigned)n;
        if (must_yield())
            return HC_AGAIN;
    }
}

static void zero_slot_page(struct domain *d, uint64_t gfn)
{
    enum p2m_type t;
    mfn_t m = p2m_lookup(d, GFN(gfn), &t);

    if (t == P2M_RAM)
        memset(mfn_to_virt(m), 0, PAGE_SIZE);
}

/* The new instance finds shared_info as after creation, but for the clock and for events of slot ports that came since. */
static void clean_shared_info(struct domain *d)
{
    struct shared_info *s = d->shared;
    uint32_t ports[2] = { d->rings ? d->console_port : 0, d->rings ? d->store_port : 0 };

    for (unsigned i = 0; i < ARRAY_SIZE(s->vcpu_info); i++) {
        struct vcpu_info *v = &s->vcpu_info[i];
        memset(v, 0, offsetof(struct vcpu_info, time));
        if (i < d->nr_vcpus)
            vcpu_publish_time(&v->time);
    }
    for (unsigned w = 0; w < ARRAY_SIZE(s->evtchn_pending); w++) {
        xen_ulong_t slots = 0;
        for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
            if (ports[i] / 64 == w)
                slots |= 1ul << (ports[i] % 64);
        __atomic_fetch_and(&s->evtchn_pending[w], slots & ~(w ? 0ul : 1ul), __ATOMIC_SEQ_CST);
        s->evtchn_mask[w] = 0;
    }
    memset(&s->arch, 0, sizeof s->arch);
    memset((char *)s + sizeof *s, 0, PAGE_SIZE - sizeof *s);
    evtchn_raise_slots(d);
}

static int stage_finish(struct domain *d, uint64_t *cursor)
{
    (void)cursor;
    int rc = pci_refill(d);
    if (rc)
        return rc;
    clean_shared_info(d);
    spin_lock(&d->lock);
    memset(d->hvm_param, 0, sizeof d->hvm_param);
    if (d->rings) {
        zero_slot_page(d, d->console_gfn);
        zero_slot_page(d, d->store_gfn);
        d->hvm_param[HVM_PARAM_CONSOLE_PFN] = d->console_gfn;
        d->hvm_param[HVM_PARAM_STORE_PFN] = d->store_gfn;
        d->hvm_param[HVM_PARAM_CONSOLE_EVTCHN] = d->console_port;
        d->hvm_param[HVM_PARAM_STORE_EVTCHN] = d->store_port;
    }
    d->instance++;
    d->adopted = d->served = d->ordered = false;
    d->adopted_ns = d->dma_ns = 0;
    d->restart_ns = now_ns();
    spin_unlock(&d->lock);
    return 0;
}

/* --- immutable pages ---------------------------------------------------------------------------------------- */
static bool may_protect(struct domain *d, uint64_t gfn)
{
    enum p2m_type t;

    (void)p2m_lookup(d, GFN(gfn), &t);
    return (t == P2M_RAM || t == P2M_RAM_IMMUTABLE) && !is_slot_page(d, gfn);
}

/* Under construction, so no vCPU runs; and whoever mapped or registered a page of the last instance lost it in the fence.
 * What remains that could write is a device's table. */
static int protect_one(struct domain *d, uint64_t gfn)
{
    enum p2m_type t;
    mfn_t m = p2m_lookup(d, GFN(gfn), &t), old;

    if (t == P2M_RAM_IMMUTABLE)
        return 0;
    int rc = p2m_replace(d, GFN(gfn), m, P2M_RAM_IMMUTABLE, &old);
    if (!rc)
        pci_p2m_changed(d, GFN(gfn), m, false);
    return rc;
}

int domain_protect(struct domain *d, uint64_t gfn, uint64_t nr, uint64_t *done)
{
    if (nr > BH_PROTECT_MAX)
        return -E2BIG;
    if (gfn >= d->p2m.max_gfn || nr > d->p2m.max_gfn - gfn || *done > nr)
        return -EINVAL;
    for (uint64_t i = *done; i < nr; i++)
        if (!may_protect(d, gfn + i))
            return -EINVAL;
    for (; *done < nr; ++*done) {
        int rc = protect_one(d, gfn + *done);
        if (rc) {
            npt_flush(d);
            return rc;
        }
        if (*done + 1 < nr && must_yield()) {
            ++*done;
            return HC_AGAIN;
        }
    }
    npt_flush(d);
    return 0;
}

static const struct stage restart_stages[] = {
    { "stop", stage_stop },     { "fence", stage_fence },       { "events", stage_events },
    { "unmap", stage_unmap },   { "redirect", stage_redirect }, { "clear", stage_clear },
    { "tables", stage_tables }, { "fill", stage_fill },         { "finish", stage_finish },
};

/* --- soft reset --------------------------------------------------------------------------------------------- */
/* Who asked goes on where it is; the others are in the old kernel's halt loop, whose memory is the next one's. */
static int stage_forget(struct domain *d, uint64_t *cursor)
{
    (void)cursor;
    deadline_cancel_all(d);
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        if (i == d->shutdown_vcpu) {
            vcpu_unregister(d->vcpu[i]);
        } else {
            vcpu_reset(d->vcpu[i]);
            d->vcpu[i]->wait_sipi = 1;
        }
    }
    return 0;
}

/* A page of the core leaves the p2m; where the builder had put RAM, there is RAM again. */
static int take_home(struct domain *d, uint64_t *where)
{
    gfn_t g = GFN(*where);
    enum p2m_type t = P2M_NONE;
    mfn_t old;
    int rc;

    if (g.v == ~0ull)
        return 0;
    (void)p2m_lookup(d, g, &t);
    if (t == P2M_SHARED && domain_in_extent(d, g.v)) {
        mfn_t ram = frame_alloc(d, 0);
        if (ram.v == INVALID_MFN.v)
            return -ENOMEM;
        rc = p2m_replace(d, g, ram, P2M_RAM, &old);
        if (rc) {
            frame_put(ram);
            return rc;
        }
        pci_p2m_changed(d, g, ram, true);
    } else if (t == P2M_SHARED && (rc = p2m_clear_only(d, g, 1u << P2M_SHARED, &old, &t))) {
        return rc;
    }
    *where = ~0ull;
    npt_flush(d);
    return 0;
}

/* The old kernel's drivers may have left their devices at work: their DMA ends before the next kernel is. */
static int stage_devices(struct domain *d, uint64_t *cursor)
{
    (void)cursor;
    pirq_fence(d);
    WRITE_ONCE(d->cfg_address, 0);
    return pci_soft_reset(d);
}

static int stage_home(struct domain *d, uint64_t *cursor)
{
    int rc = take_home(d, &d->shared_gfn);

    (void)cursor;
    p2m_clear_fillers(d, FILLER_FROM,
                      FILLER_END); /* the next kernel finds the device hole as the first one did */
    d->nr_fillers = 0;
    for (unsigned i = 0; i < GRANT_MAX_FRAMES && !rc; i++)
        rc = take_home(d, &d->grant.frame_gfn[i]);
    return rc;
}

static int stage_resume(struct domain *d, uint64_t *cursor)
{
    (void)cursor;
    clean_shared_info(d);
    spin_lock(&d->lock);
    d->hvm_param[HVM_PARAM_CALLBACK_IRQ] = 0;
    d->callback_vector = 0;
    if (d->state == BH_DOM_SHUTDOWN)
        d->state = BH_DOM_RUNNING;
    spin_unlock(&d->lock);
    domain_recheck(d);
    return 0;
}

static const struct stage soft_reset_stages[] = {
    { "stop", stage_stop },     { "devices", stage_devices }, { "forget", stage_forget },
    { "events", stage_events }, { "unmap", stage_unmap },     { "redirect", stage_redirect },
    { "home", stage_home },     { "resume", stage_resume },
};

/* --- destroy --------------------------------------------------------------------------------------------- */
static int stage_release(struct domain *d, uint64_t *cursor)
{
    (void)cursor;
    int rc = pci_release_all(d);
    if (rc)
        return rc;
    forget_vcpus(d);
    return 0;
}

static int stage_close(struct domain *d, uint64_t *cursor)
{
    return evtchn_destroy(d, cursor, BUDGET) ? 0 : HC_AGAIN;
}

static int stage_revoke(struct domain *d, uint64_t *cursor)
{
    unsigned budget = 4 * BUDGET;

    return grant_revoke(d, cursor, &budget) ? 0 : HC_AGAIN;
}

static int stage_free(struct domain *d, uint64_t *cursor)
{
    return p2m_teardown(d, cursor, BUDGET, NULL) ? 0 : HC_AGAIN;
}

/* The root is left for the last reference, and a few where it is not worth while. */
static int stage_free_tables(struct domain *d, uint64_t *cursor)
{
    if (d->p2m.nr_tables <= FEW_TABLES && list_empty(&d->p2m.emptied))
        return 0;
    return p2m_shrink(d, cursor, BUDGET) ? 0 : HC_AGAIN;
}

static const struct stage destroy_stages[] = {
    { "stop", stage_stop },          { "release", stage_release }, { "close", stage_close },
    { "unmap", stage_unmap },        { "revoke", stage_revoke },   { "free", stage_free },
    { "tables", stage_free_tables },
};

/* --- going through them ------------------------------------------------------------------------------------------ */
static int run_stages(struct domain *d, const struct stage *s, unsigned n)
{
    while (d->op_stage <= n) {
        int rc = s[d->op_stage - 1].fn(d, &d->op_cursor);
        if (rc && rc != HC_AGAIN)
            log_err("%s: %s: error %d", d->name, s[d->op_stage - 1].name, -rc);
        if (rc && (rc != HC_AGAIN || d->op_stage == 1 || must_yield()))
            return rc;
        if (rc)
            continue;
        d->op_stage++;
        d->op_cursor = 0;
    }
    return 0;
}

static int restart_begin(struct domain *d, bool fresh)
{
    int rc = 0;

    spin_lock(&d->lock);
    if (d->state == BH_DOM_DYING)
        rc = -ESRCH;
    else if (!(d->flags & BH_CREATE_RESTARTABLE) || (d->state == BH_DOM_BUILDING && !d->once_sealed))
        rc = -EINVAL;
    else if (!d->op_stage ||
             (fresh && !d->restart_fresh)) { /* every stage may be repeated: a fresh one begins anew */
        d->state = BH_DOM_BUILDING;
        d->restart_fresh = fresh;
        d->op_cursor = 0;
        d->op_stage = 1;
    }
    spin_unlock(&d->lock);
    if (!rc)
        domain_recheck(d);
    return rc;
}

int domain_restart(struct domain *d, uint32_t flags)
{
    int rc = restart_begin(d, flags & BH_RESTART_FRESH);

    if (!rc)
        rc = run_stages(d, restart_stages, ARRAY_SIZE(restart_stages));
    if (!rc)
        d->op_stage = 0;
    return rc;
}

int domain_fence_dma(struct domain *d)
{
    /* A guest that shut down may go on with its device: its next kernel (soft reset). */
    bool over = d->state == BH_DOM_SHUTDOWN && (d->flags & BH_CREATE_RESTARTABLE);
    bool dead = d->state == BH_DOM_CRASHED || over || (d->state == BH_DOM_BUILDING && d->op_stage);

    if (!dead || d->dma_fenced || !d->devices)
        return 0;
    int rc = domain_stopped(d) ? pci_fence(d) : HC_AGAIN;
    d->dma_fenced = !rc;
    return rc;
}

int domain_soft_reset(struct domain *d)
{
    bool may;

    spin_lock(&d->lock);
    may = d->state == BH_DOM_SHUTDOWN && d->shutdown_reason == SHUTDOWN_soft_reset &&
          !(d->flags & BH_CREATE_RESTARTABLE);
    if (may && !d->op_stage) {
        d->op_cursor = 0;
        d->op_stage = 1;
    }
    spin_unlock(&d->lock);
    int rc = may ? run_stages(d, soft_reset_stages, ARRAY_SIZE(soft_reset_stages)) : -EINVAL;
    if (!rc)
        d->op_stage = 0;
    return rc;
}

int domain_destroy(struct domain *d)
{
    spin_lock(&d->lock);
    if (d->state != BH_DOM_DYING) {
        d->state = BH_DOM_DYING;
        d->op_cursor = 0;
        d->op_stage = 1; /* of a restart the beginning is done again: every stage may be repeated */
        frame_promise_end(d);
    }
    spin_unlock(&d->lock);
    domain_recheck(d);
    int rc = run_stages(d, destroy_stages, ARRAY_SIZE(destroy_stages));
    if (!rc)
        domain_ended(d);
    return rc;
}

/* Gone when nothing of it is referenced; until then it is listed as dying. */
static bool reap(struct domain *d)
{
    if (!spin_trylock(&d->op_lock))
        return false;
    bool gone = d->op_stage == ARRAY_SIZE(destroy_stages) + 1 && !d->tot_pages;
    if (gone)
        d->op_stage = STAGE_GONE;
    spin_unlock(&d->op_lock);
    if (gone)
        domain_unlist(d);
    return gone;
}

void domain_reap(void)
{
    struct domain *d;

    for (bool gone = true; gone && (d = domain_get_gone()) != NULL; domain_put(d))
        gone = reap(d);
}
