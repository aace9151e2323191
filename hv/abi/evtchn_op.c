/* SPDX-License-Identifier: MIT */
/*
 * event_channel_op on the caller's own ports. Locks: as ipc/evtchn.h says. FIFO operations are not offered, so guests stay with the 2-level
 * ABI.
 */
#include "abi/dispatch.h"
#include "ipc/evtchn.h"
#include "pci/pirq.h"
#include "sched/sched.h"

static struct vcpu *get_vcpu(struct domain *d, uint32_t id)
{
    return id < d->nr_vcpus ? d->vcpu[clamp_nospec(id, d->nr_vcpus)] : NULL;
}

static long op_alloc_unbound(struct domain *d, struct evtchn_alloc_unbound *a)
{
    if (!is_self(d, a->dom))
        return -EPERM;
    domid_t remote = a->remote_dom == DOMID_SELF ? d->id : a->remote_dom;
    return evtchn_alloc_unbound(d, remote, &a->port);
}

static int bind_two(struct domain *d, struct domain *rd, uint32_t rport, uint32_t *port)
{
    struct evtchn *rc = evtchn_chan(rd, rport);

    if (!rc || rc->state != ECS_UNBOUND || rc->remote_domid != d->id)
        return -EINVAL;
    int err = evtchn_alloc(d, port);
    if (err)
        return err;
    struct evtchn *c = evtchn_chan(d, *port);
    spin_lock(&c->lock);
    c->remote_domid = rd->id;
    c->remote_port = rport;
    c->state = ECS_INTERDOMAIN;
    spin_unlock(&c->lock);
    spin_lock(&rc->lock);
    rc->remote_domid = d->id;
    rc->remote_port = *port;
    rc->state = ECS_INTERDOMAIN;
    spin_unlock(&rc->lock);
    return 0;
}

static long op_bind_interdomain(struct domain *d, struct evtchn_bind_interdomain *b)
{
    struct domain *rd = domain_get(b->remote_dom == DOMID_SELF ? d->id : b->remote_dom);

    if (!rd)
        return -ESRCH;
    evtchn_lock_two(d, rd);
    int rc = bind_two(d, rd, b->remote_port, &b->local_port);
    evtchn_unlock_two(d, rd);
    /* The peer may have sent before: its event is ours now. Only the binder's bit is set. */
    if (!rc)
        evtchn_set_pending(d, b->local_port);
    domain_put(rd);
    return rc;
}

static bool virq_is_global(uint32_t virq)
{
    return virq != VIRQ_TIMER && virq != VIRQ_DEBUG && virq != VIRQ_XENOPROF && virq != VIRQ_XENPMU;
}

static long op_bind_virq(struct domain *d, struct evtchn_bind_virq *b)
{
    if (b->virq >= NR_VIRQS)
        return -EINVAL;
    uint32_t virq = (uint32_t)clamp_nospec(b->virq, NR_VIRQS);
    bool global = virq_is_global(virq);
    if (global && !priv_allows(d->role, virq == BH_VIRQ_PCI_TRAP ? PRIV_PCI_CFG : PRIV_GLOBAL_VIRQ))
        return -EPERM;
    if (global && b->vcpu != 0)
        return -EINVAL;
    struct vcpu *v = get_vcpu(d, b->vcpu);
    if (!v)
        return -ENOENT;
    uint16_t *slot = global ? &d->evtchn.global_virq_port[virq] : &v->virq_port[virq];

    spin_lock(&d->evtchn.lock);
    int rc = *slot ? -EEXIST : evtchn_alloc(d, &b->port);
    if (!rc) {
        struct evtchn *c = evtchn_chan(d, b->port);
        spin_lock(&c->lock);
        c->virq = (uint16_t)virq;
        c->vcpu = (uint16_t)v->id;
        c->state = ECS_VIRQ;
        spin_unlock(&c->lock);
        __atomic_store_n(slot, (uint16_t)b->port, __ATOMIC_RELEASE);
    }
    spin_unlock(&d->evtchn.lock);
    return rc;
}

static long op_bind_ipi(struct domain *d, struct evtchn_bind_ipi *a)
{
    struct vcpu *v = get_vcpu(d, a->vcpu);

    if (!v)
        return -ENOENT;
    spin_lock(&d->evtchn.lock);
    int rc = evtchn_alloc(d, &a->port);
    if (!rc) {
        struct evtchn *c = evtchn_chan(d, a->port);
        spin_lock(&c->lock);
        c->vcpu = (uint16_t)v->id;
        c->state = ECS_IPI;
        spin_unlock(&c->lock);
    }
    spin_unlock(&d->evtchn.lock);
    return rc;
}

/* Nobody can close the port before both halves are done: it is reserved. What interrupts meanwhile is pending already then. */
static long op_bind_pirq(struct domain *d, struct evtchn_bind_pirq *b)
{
    spin_lock(&d->evtchn.lock);
    int rc = evtchn_alloc(d, &b->port);
    spin_unlock(&d->evtchn.lock);
    if (rc)
        return rc;
    rc = pirq_bind(d, b->pirq, b->port);
    spin_lock(&d->evtchn.lock);
    if (rc)
        evtchn_abandon(d, b->port);
    else
        evtchn_bound_pirq(d, b->port, b->pirq);
    spin_unlock(&d->evtchn.lock);
    return rc;
}

static long op_close(struct domain *d, const struct evtchn_close *a)
{
    return evtchn_close(d, a->port);
}
static long op_send(struct domain *d, const struct evtchn_send *a)
{
    return evtchn_send(d, a->port);
}
static long op_unmask(struct domain *d, const struct evtchn_unmask *a)
{
    return evtchn_unmask(d, a->port);
}

static void fill_status(const struct domain *d, const struct evtchn *c, struct evtchn_status *s)
{
    s->vcpu = c->vcpu;
    s->status = EVTCHNSTAT_closed;
    switch (c->state) {
    case ECS_UNBOUND:
        s->status = EVTCHNSTAT_unbound;
        s->u.unbound.dom = c->remote_domid;
        break;
    case ECS_INTERDOMAIN:
        s->status = EVTCHNSTAT_interdomain;
        s->u.interdomain.dom = c->remote_domid == d->id ? DOMID_SELF : c->remote_domid;
        s->u.interdomain.port = c->remote_port;
        break;
    case ECS_PIRQ:
        s->status = EVTCHNSTAT_pirq;
        s->u.pirq = c->pirq;
        break;
    case ECS_VIRQ:
        s->status = EVTCHNSTAT_virq;
        s->u.virq = c->virq;
        break;
    case ECS_IPI: s->status = EVTCHNSTAT_ipi; break;
    }
}

static long op_status(struct domain *d, struct evtchn_status *a)
{
    if (!is_self(d, a->dom))
        return -EPERM;
    struct evtchn *c = evtchn_chan(d, a->port);
    if (!c)
        return -EINVAL;
    spin_lock(&c->lock);
    fill_status(d, c, a);
    spin_unlock(&c->lock);
    return 0;
}

/* Ports of any state may move but IPIs and per-vCPU VIRQs, which name their vCPU; also while the peer is dead. */
static long op_bind_vcpu(struct domain *d, const struct evtchn_bind_vcpu *a)
{
    struct vcpu *v = get_vcpu(d, a->vcpu);
    struct evtchn *c = evtchn_chan(d, a->port);
    long rc = -EINVAL;

    if (!v)
        return -ENOENT;
    if (!c)
        return -EINVAL;
    spin_lock(&c->lock);
    if (c->state == ECS_UNBOUND || c->state == ECS_INTERDOMAIN || c->state == ECS_PIRQ ||
        (c->state == ECS_VIRQ && virq_is_global(c->virq))) {
        c->vcpu = (uint16_t)v->id;
        rc = 0;
    }
    spin_unlock(&c->lock);
    return rc;
}

/* Own ports, slot ports aside. Executed again it goes on where ports are left. */
static long op_reset(struct domain *d, const struct evtchn_reset *a)
{
    if (!is_self(d, a->dom))
        return -EPERM;
    for (uint32_t port = 1; port < EVTCHN_PORTS; port++) {
        struct evtchn *c = evtchn_chan(d, port);
        if (!c || c->state == ECS_FREE || c->slot)
            continue;
        (void)evtchn_close(d, port);
        if (must_yield())
            return HC_AGAIN;
    }
    return 0;
}

#define EVENT_CHANNEL_OP(nr, name, type, dir, ...) OP_STUB_OF(c->d, name, type, dir)
#include <ops.def>
#define EVENT_CHANNEL_OP OP_ROW
static const struct op rows[] = {
#include <ops.def>
};
const struct ops event_channel_op_ops = OPS(rows, OP_INT, 1);
