/* SPDX-License-Identifier: MIT */
/* Accesses of guests to configuration space that wait for pciback: see trap.h. */
#include "pci/trap.h"
#include "domain/struct.h"
#include "domain/table.h"
#include "ipc/evtchn.h"
#include "sched/sched.h"

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_BITS   0x80fffffcu /* the others read as zero */
#define ADDRESS_BUS    0x00ff0000u

static uint64_t serials;    /* a: no two accesses in a boot have the same */
static uint32_t nr_waiting; /* a: in all domains */

static uint32_t ones(unsigned size) { return size == 4 ? ~0u : (1u << size * 8) - 1; }

/* --- the guest's side --------------------------------------------------------------------------------------- */

static void tell_pciback(void)
{
    struct domain *d = domain_get(BH_DOMID_PCIBACK);

    if (!d)
        return;
    evtchn_global_virq(d, BH_VIRQ_PCI_TRAP);
    domain_put(d);
}

/* There is one bus; what lies across a word, or is not asked for, is nobody's. */
static void begin(struct vcpu *v, uint16_t port, unsigned size, bool write, uint32_t value)
{
    struct domain *d = v->domain;
    uint32_t at = READ_ONCE(d->cfg_address), off = (at & 0xfc) | (port & 3);

    if (!(at & ADDRESS_ENABLE) || (at & ADDRESS_BUS) || off % size)
        return;
    spin_lock(&d->lock);
    v->trap = (struct cfg_trap){
        .state = TRAP_WAITING,
        .serial = __atomic_add_fetch(&serials, 1, __ATOMIC_RELAXED),
        .devfn = at >> 8 & 0xff,
        .off = (uint8_t)off,
        .size = (uint8_t)size,
        .write = write,
        .value = value,
    };
    spin_unlock(&d->lock);
    __atomic_fetch_add(&nr_waiting, 1, __ATOMIC_SEQ_CST);
    tell_pciback();
}

uint32_t trap_in(struct vcpu *v, uint16_t port, unsigned size)
{
    if (port == CFG_ADDRESS && size == 4)
        return READ_ONCE(v->domain->cfg_address);
    if (port >= CFG_DATA)
        begin(v, port, size, false, 0);
    return ~0u;
}

void trap_out(struct vcpu *v, uint16_t port, unsigned size, uint32_t val)
{
    if (port == CFG_ADDRESS && size == 4)
        WRITE_ONCE(v->domain->cfg_address, val & ADDRESS_BITS);
    else if (port >= CFG_DATA)
        begin(v, port, size, true, val);
}

/* d->lock */
static void leave_waiting(struct cfg_trap *t, enum trap_state now)
{
    if (t->state == TRAP_WAITING)
        __atomic_fetch_sub(&nr_waiting, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->state, now, __ATOMIC_RELEASE);
}

void trap_drop(struct vcpu *v)
{
    if (v->trap.state == TRAP_NONE)
        return;
    spin_lock(&v->domain->lock);
    leave_waiting(&v->trap, TRAP_NONE);
    spin_unlock(&v->domain->lock);
}

/* Events wake the vCPU, which finds nothing to do here and sleeps again; they stay pending until it enters. Who answers, and who sends
 * INIT, makes that known first and then kicks it: one of the two sides sees the other (vcpu_mark_blocked). */
bool trap_waits(struct vcpu *v)
{
    struct cfg_trap *t = &v->trap;

    if (READ_ONCE(t->state) == TRAP_WAITING) {
        vcpu_mark_blocked(v);
        bool answered = READ_ONCE(t->state) != TRAP_WAITING;
        if (!answered && !v->wait_sipi && !v->sipi_vector)
            return true;
        vcpu_wake(v);
        if (!answered)
            return true;
    }
    if (!t->write)
        v->regs.rax = t->size == 4
                          ? t->value
                          : (v->regs.rax & ~(uint64_t)ones(t->size)) | (t->value & ones(t->size));
    trap_drop(v);
    return false;
}

/* --- pciback's side ------------------------------------------------------------------------------------------ */

/* One access of a domain, then it is another's turn: many vCPUs have no more of pciback than one. Among them each has its turn. */
static bool find_in(struct domain *d, struct bh_pci_trap *out)
{
    bool found = false;

    if (d->state != BH_DOM_RUNNING)
        return false;
    spin_lock(&d->lock);
    for (uint32_t i = 0; !found && i < d->nr_vcpus; i++) {
        uint32_t n = (d->trap_turn + i) % d->nr_vcpus;
        const struct cfg_trap *t = &d->vcpu[n]->trap;
        if (t->state != TRAP_WAITING)
            continue;
        found = true;
        d->trap_turn = n + 1;
        *out = (struct bh_pci_trap){ .domid = d->id,
                                     .vcpu = (uint16_t)n,
                                     .devfn = t->devfn,
                                     .off = t->off,
                                     .size = t->size,
                                     .write = t->write,
                                     .value = t->value,
                                     .serial = t->serial };
    }
    spin_unlock(&d->lock);
    return found;
}

/* The first domain behind this one, which comes last. */
static int next(struct bh_pci_trap *t)
{
    uint32_t after = t->domid, id = after + 1;
    bool round = false;

    while (__atomic_load_n(&nr_waiting, __ATOMIC_SEQ_CST)) {
        struct domain *d = id < BH_DOMID_NONE ? domain_get_next((domid_t)id) : NULL;
        if (round && (!d || d->id > after)) {
            if (d)
                domain_put(d);
            break;
        }
        bool found = d && find_in(d, t);
        id = d ? d->id + 1u : 0;
        round |= !d;
        if (d)
            domain_put(d);
        if (found)
            return 0;
    }
    return -ENOENT;
}

static int answer(const struct bh_pci_trap *a)
{
    struct domain *d = domain_get(a->domid);
    int rc = -ESTALE;

    if (!d)
        return -ESRCH;
    struct vcpu *v = a->vcpu < d->nr_vcpus ? d->vcpu[clamp_nospec(a->vcpu, BH_MAX_VCPUS)] : NULL;
    if (v) {
        spin_lock(&d->lock);
        if (v->trap.state == TRAP_WAITING && v->trap.serial == a->serial) {
            v->trap.value = a->value;
            leave_waiting(&v->trap, TRAP_ANSWERED);
            rc = 0;
        }
        spin_unlock(&d->lock);
    }
    if (!rc)
        vcpu_kick(v);
    domain_put(d);
    return rc;
}

int trap_serve(struct bh_pci_trap *t)
{
    return t->step == BH_TRAP_NEXT ? next(t) : t->step == BH_TRAP_ANSWER ? answer(t) : -EINVAL;
}
