/* SPDX-License-Identifier: MIT */
/*
 * Event channels: ports, delivery and closing. The hypercall is in evtchn_op.c.
 *
 * A channel's state changes under its table lock and its own lock, so a reader needs one of the two. A sender takes its
 * own channel's lock only; of the receiver it touches nothing but shared bits, by atomics.
 */
#include "ipc/evtchn.h"
#include "base/print.h"
#include "mem/frame.h"
#include "domain/table.h"
#include "sched/sched.h"

_Static_assert(sizeof(((struct shared_info *)0)->evtchn_pending) * 8 == EVTCHN_PORTS, "2-level ABI");
_Static_assert(sizeof(struct evtchn) * EVTCHN_PER_BUCKET <= PAGE_SIZE, "a bucket is a frame");

static void (*pirq_closed)(struct domain *d, uint32_t pirq); /* see evtchn_listen */
void evtchn_listen(void (*closed)(struct domain *d, uint32_t pirq)) { pirq_closed = closed; }

static bool bit_set(xen_ulong_t *map, uint32_t bit) /* returns the old value */
{
    xen_ulong_t m = 1ul << (bit % 64);
    return __atomic_fetch_or(&map[bit / 64], m, __ATOMIC_SEQ_CST) & m;
}
static bool bit_clear(xen_ulong_t *map, uint32_t bit)
{
    xen_ulong_t m = 1ul << (bit % 64);
    return __atomic_fetch_and(&map[bit / 64], ~m, __ATOMIC_SEQ_CST) & m;
}
static bool bit_test(const xen_ulong_t *map, uint32_t bit)
{
    return __atomic_load_n(&map[bit / 64], __ATOMIC_SEQ_CST) & (1ul << (bit % 64));
}

/* --- ports ---------------------------------------------------------------------------------------- */
/* A port that passed its check, as an index, also where the CPU takes the check for passed. */
static uint32_t port_clamp(uint32_t port) { return (uint32_t)clamp_nospec(port, EVTCHN_PORTS); }

struct evtchn *evtchn_chan(struct domain *d, uint32_t port)
{
    if (port >= EVTCHN_PORTS)
        return NULL;
    port = port_clamp(port);
    struct evtchn *b = __atomic_load_n(&d->evtchn.bucket[port / EVTCHN_PER_BUCKET], __ATOMIC_ACQUIRE);
    return b ? &b[port % EVTCHN_PER_BUCKET] : NULL;
}

/* The table lock is held. */
static void set_state(struct evtchn *c, enum evtchn_state s)
{
    spin_lock(&c->lock);
    c->state = (uint8_t)s;
    spin_unlock(&c->lock);
}

int evtchn_alloc(struct domain *d, uint32_t *port)
{
    struct evtchn_table *t = &d->evtchn;

    ASSERT(spin_is_locked(&t->lock));
    for (uint32_t p = MAX(t->nr_free_hint, 1u); p < EVTCHN_PORTS; p++) {
        struct evtchn *b = t->bucket[p / EVTCHN_PER_BUCKET];
        if (!b) {
            b = core_alloc_for(d);
            if (!b)
                return -ENOMEM;
            if (p < EVTCHN_PER_BUCKET)
                b[0].state = ECS_RESERVED; /* port 0 is nobody's */
            __atomic_store_n(&t->bucket[p / EVTCHN_PER_BUCKET], b, __ATOMIC_RELEASE);
        }
        struct evtchn *c = &b[p % EVTCHN_PER_BUCKET];
        if (c->state != ECS_FREE)
            continue;
        spin_lock(&c->lock);
        c->state = ECS_RESERVED;
        c->slot = false;
        c->vcpu = 0;
        spin_unlock(&c->lock);
        t->nr_free_hint = p + 1;
        *port = p;
        return 0;
    }
    return -ENOSPC;
}

static void chan_free(struct domain *d, struct evtchn *c, uint32_t port)
{
    spin_lock(&c->lock);
    c->state = ECS_FREE;
    c->slot = false;
    c->vcpu = 0;
    spin_unlock(&c->lock);
    bit_clear(d->shared->evtchn_pending, port);
    if (port < d->evtchn.nr_free_hint)
        d->evtchn.nr_free_hint = port;
}

void evtchn_lock_two(struct domain *a, struct domain *b)
{
    if (!b || a == b) {
        spin_lock(&a->evtchn.lock);
        return;
    }
    spin_lock(a->id < b->id ? &a->evtchn.lock : &b->evtchn.lock);
    spin_lock(a->id < b->id ? &b->evtchn.lock : &a->evtchn.lock);
}

void evtchn_unlock_two(struct domain *a, struct domain *b)
{
    spin_unlock(&a->evtchn.lock);
    if (b && a != b)
        spin_unlock(&b->evtchn.lock);
}

static int alloc_unbound(struct domain *d, domid_t remote, bool slot, uint32_t *port)
{
    spin_lock(&d->evtchn.lock);
    int rc = evtchn_alloc(d, port);
    if (!rc) {
        struct evtchn *c = evtchn_chan(d, *port);
        spin_lock(&c->lock);
        c->remote_domid = remote;
        c->slot = slot;
        c->state = ECS_UNBOUND;
        spin_unlock(&c->lock);
    }
    spin_unlock(&d->evtchn.lock);
    return rc;
}

int evtchn_alloc_unbound(struct domain *d, domid_t remote, uint32_t *port)
{
    return alloc_unbound(d, remote, false, port);
}

int evtchn_alloc_slot(struct domain *d, domid_t remote, uint32_t *port)
{
    return alloc_unbound(d, remote, true, port);
}

/* --- delivery --------------------------------------------------------------------------------------- */
/* Selector, upcall, kick. */
static void evtchn_raise(struct domain *d, struct vcpu *v, uint32_t port)
{
    bool kick = false;

    if (bit_test(d->shared->evtchn_mask, port))
        return;
    spin_lock(&v->info_lock);
    struct vcpu_info *i = v->info;
    if (i && !bit_set(&i->evtchn_pending_sel, port / 64))
        kick = __atomic_exchange_n(&i->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST) == 0;
    spin_unlock(&v->info_lock);
    /* Kicked whether or not the upcall is masked: it may sit in BH_SVC_WAIT. */
    if (kick)
        vcpu_kick(v);
}

/* SCHEDOP_poll: the poller publishes poll_port and then looks at its pending bits; we set a bit (a full barrier) and then
 * look at poll_port: one of the two sees the other. Masked ports count. */
static void wake_pollers(struct domain *d, uint32_t port)
{
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        struct vcpu *v = d->vcpu[i];
        if (!v)
            continue;
        uint32_t p = v->poll_port;
        if (p == port || p == ~0u)
            vcpu_kick(v);
    }
}

static struct vcpu *notify_vcpu(struct domain *d, const struct evtchn *c)
{
    uint32_t n = READ_ONCE(c->vcpu);
    return n < d->nr_vcpus ? d->vcpu[clamp_nospec(n, d->nr_vcpus)] : NULL;
}

void evtchn_set_pending(struct domain *d, uint32_t port)
{
    struct evtchn *c = evtchn_chan(d, port);

    port = port_clamp(port);
    if (!c || bit_set(d->shared->evtchn_pending, port))
        return;
    struct vcpu *v = notify_vcpu(d, c);
    if (v)
        evtchn_raise(d, v, port);
    wake_pollers(d, port);
}

int evtchn_send(struct domain *d, uint32_t port)
{
    struct evtchn *c = evtchn_chan(d, port);
    int rc = 0;

    if (!c)
        return -EINVAL;
    spin_lock(&c->lock);
    uint8_t state = c->state;
    uint16_t rid = c->remote_domid;
    uint32_t rport = c->remote_port;
    if (state == ECS_IPI)
        evtchn_set_pending(d, port);
    else if (state != ECS_INTERDOMAIN && state != ECS_UNBOUND) /* a dead peer's port swallows events */
        rc = -EINVAL;
    spin_unlock(&c->lock);
    if (state != ECS_INTERDOMAIN)
        return rc;

    /* The domain list is not searched under a channel lock, so the channel is looked at again: closing either end takes
     * this lock, hence rport is still ours while we set its bit. */
    struct domain *rd = domain_get(rid);
    if (!rd)
        return 0;
    spin_lock(&c->lock);
    if (c->state == ECS_INTERDOMAIN && c->remote_domid == rid && c->remote_port == rport)
        evtchn_set_pending(rd, rport);
    spin_unlock(&c->lock);
    domain_put(rd);
    return 0;
}

static void send_virq(struct domain *d, uint32_t port, uint32_t virq)
{
    struct evtchn *c = evtchn_chan(d, port);

    if (!port || !c)
        return;
    spin_lock(&c->lock);
    if (c->state == ECS_VIRQ && c->virq == virq)
        evtchn_set_pending(d, port);
    spin_unlock(&c->lock);
}

void evtchn_virq(struct vcpu *v, uint32_t virq)
{
    if (virq < NR_VIRQS)
        send_virq(v->domain, READ_ONCE(v->virq_port[virq]), virq);
}

void evtchn_global_virq(struct domain *d, uint32_t virq)
{
    if (virq < NR_VIRQS)
        send_virq(d, READ_ONCE(d->evtchn.global_virq_port[virq]), virq);
}

struct cpu *evtchn_pirq(struct domain *d, uint32_t port)
{
    struct evtchn *c = evtchn_chan(d, port);
    struct cpu *at = NULL;

    if (!c)
        return NULL;
    spin_lock(&c->lock);
    if (c->state == ECS_PIRQ ||
        c->state == ECS_RESERVED) { /* reserved: bound in this moment, or let go, which forgets it */
        const struct vcpu *v = notify_vcpu(d, c);
        at = v ? READ_ONCE(v->cpu)
               : NULL; /* before it is woken: where it goes then says who is idle, not where it stays */
        evtchn_set_pending(d, port);
    }
    spin_unlock(&c->lock);
    return at;
}

int evtchn_unmask(struct domain *d, uint32_t port)
{
    struct evtchn *c = evtchn_chan(d, port);

    if (!c)
        return -EINVAL;
    port = port_clamp(port);
    struct vcpu *v = notify_vcpu(d, c);
    if (bit_clear(d->shared->evtchn_mask, port) && bit_test(d->shared->evtchn_pending, port) && v)
        evtchn_raise(d, v, port);
    return 0;
}

/* Whatever was pending in the old place is announced in the new one, if need be once too often. */
void evtchn_info_moved(struct vcpu *v)
{
    spin_lock(&v->info_lock);
    if (v->info) {
        __atomic_store_n(&v->info->evtchn_pending_sel, ~0ul, __ATOMIC_SEQ_CST);
        __atomic_store_n(&v->info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST);
    }
    spin_unlock(&v->info_lock);
    vcpu_kick(v);
}

void evtchn_info_drop(struct vcpu *v)
{
    struct domain *d = v->domain;

    spin_lock(&v->info_lock);
    mfn_t m = v->info_mfn;
    v->info = v->id < ARRAY_SIZE(d->shared->vcpu_info) ? &d->shared->vcpu_info[v->id] : NULL;
    v->info_mfn = INVALID_MFN;
    spin_unlock(&v->info_lock);
    if (m.v != INVALID_MFN.v)
        frame_put(m);
}

void evtchn_raise_slots(struct domain *d)
{
    const uint32_t port[] = { d->console_port, d->store_port };

    for (unsigned i = 0; i < ARRAY_SIZE(port); i++) {
        struct evtchn *c = evtchn_chan(d, port[i]);
        struct vcpu *v = c ? notify_vcpu(d, c) : NULL;
        if (v && port[i] && bit_test(d->shared->evtchn_pending, port[i]))
            evtchn_raise(d, v, port[i]);
    }
}

/* --- closing ------------------------------------------------------------------------------------------ */
static void forget_virq(struct domain *d, const struct evtchn *c, uint32_t port)
{
    if (c->virq >= NR_VIRQS)
        return;
    if (d->evtchn.global_virq_port[c->virq] == port)
        d->evtchn.global_virq_port[c->virq] = 0;
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        if (d->vcpu[i] && d->vcpu[i]->virq_port[c->virq] == port)
            d->vcpu[i]->virq_port[c->virq] = 0;
}

/* The peer of an interdomain channel waits for the same domid again; its pending and mask bits and its notify vCPU stay. */
static void peer_unbind(struct domain *d, struct domain *rd, uint32_t rport)
{
    struct evtchn *rc = evtchn_chan(rd, rport);

    if (!rc || rc->state != ECS_INTERDOMAIN)
        return;
    spin_lock(&rc->lock);
    rc->state = ECS_UNBOUND;
    rc->remote_domid = d->id;
    spin_unlock(&rc->lock);
}

/* A pirq is let go outside the table lock: its owner has a lock that interrupts take too. */
static int close_pirq(struct domain *d, struct evtchn *c, uint32_t port)
{
    set_state(c, ECS_RESERVED);
    evtchn_unlock_two(d, NULL);
    if (pirq_closed)
        pirq_closed(d, c->pirq);
    evtchn_lock_two(d, NULL);
    chan_free(d, c, port);
    evtchn_unlock_two(d, NULL);
    return 0;
}

void evtchn_abandon(struct domain *d, uint32_t port) { chan_free(d, evtchn_chan(d, port), port); }

void evtchn_bound_pirq(struct domain *d, uint32_t port, uint32_t pirq)
{
    struct evtchn *c = evtchn_chan(d, port);

    spin_lock(&c->lock);
    c->pirq = pirq;
    c->state = ECS_PIRQ;
    spin_unlock(&c->lock);
}

static int close_port(struct domain *d, uint32_t port)
{
    struct evtchn *c = evtchn_chan(d, port);

    if (!c)
        return -EINVAL;
    for (;;) {
        spin_lock(&c->lock);
        uint8_t state = c->state;
        uint16_t rid = c->remote_domid;
        spin_unlock(&c->lock);
        struct domain *rd = state == ECS_INTERDOMAIN ? domain_get(rid) : NULL;
        evtchn_lock_two(d, rd);
        if (c->state != state || (state == ECS_INTERDOMAIN && c->remote_domid != rid)) {
            evtchn_unlock_two(d, rd); /* the peer was quicker: look again */
            if (rd)
                domain_put(rd);
            continue;
        }
        int rc = 0;
        if (state == ECS_PIRQ)
            return close_pirq(d, c, port);
        if (state == ECS_FREE || state == ECS_RESERVED) {
            rc = -EINVAL;
        } else {
            if (state == ECS_VIRQ)
                forget_virq(d, c, port);
            if (rd)
                peer_unbind(d, rd, c->remote_port);
            chan_free(d, c, port);
        }
        evtchn_unlock_two(d, rd);
        if (rd)
            domain_put(rd);
        return rc;
    }
}

/* A slot port belongs to the slot, not to the instance: the owner's close only empties it. */
int evtchn_close(struct domain *d, uint32_t port)
{
    struct evtchn *c = evtchn_chan(d, port);

    port = port_clamp(port);
    if (c && c->slot) {
        bit_clear(d->shared->evtchn_pending, port);
        return 0;
    }
    return close_port(d, port);
}

int evtchn_close_slot(struct domain *d, uint32_t port) { return close_port(d, port); }

static bool close_all(struct domain *d, uint64_t *cursor, unsigned budget, bool slot_too)
{
    while (*cursor < EVTCHN_PORTS) {
        uint32_t port = (uint32_t)*cursor;
        struct evtchn *c = evtchn_chan(d, port);
        if (!c) {
            *cursor = ROUND_DOWN(*cursor, EVTCHN_PER_BUCKET) + EVTCHN_PER_BUCKET;
            continue;
        }
        if (c->state != ECS_FREE) {
            if (!budget--)
                return false;
            if (c->slot && !slot_too) {
                bit_clear(d->shared->evtchn_pending, port);
                bit_clear(d->shared->evtchn_mask, port);
                spin_lock(&c->lock);
                c->vcpu = 0;
                spin_unlock(&c->lock);
            } else {
                close_port(d, port);
            }
        }
        ++*cursor;
    }
    return true;
}

bool evtchn_fence(struct domain *d, uint64_t *cursor, unsigned budget)
{
    return close_all(d, cursor, budget, false);
}

bool evtchn_destroy(struct domain *d, uint64_t *cursor, unsigned budget)
{
    return close_all(d, cursor, budget, true);
}

int evtchn_names(struct domain *d, domid_t id, uint64_t *port, unsigned *budget)
{
    for (; *port < EVTCHN_PORTS; ++*port, --*budget) {
        const struct evtchn *c = evtchn_chan(d, (uint32_t)*port);
        if (!*budget)
            return HC_AGAIN;
        if (!c)
            *port |= EVTCHN_PER_BUCKET -
                     1; /* the whole bucket is not there; its size is a power of two */
        else if ((c->state == ECS_UNBOUND || c->state == ECS_INTERDOMAIN) && c->remote_domid == id)
            return 1;
    }
    return 0;
}

void evtchn_free(struct domain *d)
{
    for (unsigned i = 0; i < ARRAY_SIZE(d->evtchn.bucket); i++) {
        core_free_for(d, d->evtchn.bucket[i]);
        d->evtchn.bucket[i] = NULL;
    }
}
