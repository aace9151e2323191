/* SPDX-License-Identifier: MIT */
/*
 * The service hypercall: what a service domain asks about itself. BATCH and WAIT are the hot path: copies, then sends, in one exit; sends,
 * then waiting, in one.
 */
#include "abi/dispatch.h"
#include "abi/progress.h"
#include "mem/gcopy.h"
#include "ipc/grant.h"
#include "pci/pci.h"
#include "sched/sched.h"

#define CHUNK 16u /* copies read from the guest at a time */

static int batch_copies(const struct bh_batch *b, uint64_t *done)
{
    struct gnttab_copy c[CHUNK];

    while (*done < b->nr_copies) {
        unsigned n = (unsigned)MIN((uint64_t)CHUNK, b->nr_copies - *done);
        gaddr_t at = GADDR(b->copies + *done * sizeof c[0]);
        if (copy_from_guest(c, at, n * sizeof c[0]))
            return -EFAULT;
        grant_copy(c, n);
        if (copy_to_guest(at, c, n * sizeof c[0]))
            return -EFAULT;
        *done += n;
        if (must_yield())
            return HC_AGAIN;
    }
    return 0;
}

/* Ports in one page or two: all are here before the first is sent to. A send to a port that is gone is the peer's death, which other
 * means report. */
static int sends(struct domain *d, uint64_t at, uint64_t nr)
{
    uint32_t port[BH_BATCH_SENDS];

    if (!nr)
        return 0;
    if (copy_from_guest(port, GADDR(at), nr * sizeof port[0]))
        return -EFAULT;
    for (uint64_t i = 0; i < nr; i++)
        (void)evtchn_send(d, port[clamp_nospec(i, BH_BATCH_SENDS)]);
    return 0;
}

static long op_batch(struct domain *d, const struct bh_batch *b)
{
    struct vcpu *v = this_cpu()->current;

    if (b->nr_copies > BH_BATCH_COPIES || b->nr_sends > BH_BATCH_SENDS)
        return -E2BIG;
    uint64_t done = hc_resume(v);
    int rc = batch_copies(b, &done);
    if (!rc)
        rc = sends(d, b->sends, b->nr_sends);
    return hc_ended(v, rc, done);
}

static long op_dma_enable(struct domain *d, const struct bh_dma_enable *a)
{
    if (a->enable > 1)
        return -EINVAL;
    int rc = pci_dma_enable(d, a->sbdf, a->enable);
    if (!rc && a->enable) {
        spin_lock(&d->lock);
        d->dma_ns = now_ns();
        spin_unlock(&d->lock);
    }
    return rc;
}

static long op_deadline(struct domain *d, const struct bh_deadline *a)
{
    deadline_arm(d, a->ms);
    return 0;
}

static long op_wait(struct domain *d, const struct bh_wait *a)
{
    if (a->nr_sends > BH_BATCH_SENDS)
        return -E2BIG;
    if (sends(d, a->sends, a->nr_sends))
        return -EFAULT;
    return vcpu_wait(this_cpu()->current, a->until_ns);
}

static long op_adopted(struct domain *d)
{
    spin_lock(&d->lock);
    bool first = !d->adopted;
    if (first)
        d->adopted_ns = now_ns();
    d->adopted = true;
    spin_unlock(&d->lock);
    if (first)
        notify_control(VIRQ_DOM_EXC);
    return 0;
}

static long op_served(struct domain *d)
{
    spin_lock(&d->lock);
    d->served = true;
    spin_unlock(&d->lock);
    return 0;
}

static long op_ptr_mode(struct domain *d, const struct bh_ptr_mode *a)
{
    if (a->physical > 1)
        return -EINVAL;
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        d->vcpu[i]->phys_ptr = a->physical;
    return 0;
}

static long op_devices(struct domain *d, struct bh_pci_info *a) { return pci_info(a->index, d, a); }
static long op_trial(struct domain *d, struct bh_trial *a) { return pci_trial(d, a); }

#define SERVICE_OP(nr, NAME, name, type, dir, ...) OP_STUB_OF(c->d, name, type, dir)
#include <ops.def>
#define SERVICE_OP(nr, NAME, name, type, dir, priv, ...) \
    [nr] = OP_ROW_OF(name, type, dir, priv, B64),
static const struct op rows[] = {
#include <ops.def>
};
const struct ops service_ops = OPS(rows, ~0ull, 1);
