/* SPDX-License-Identifier: MIT */
/*
 * The service hypercall: what a service domain asks about itself. BATCH and WAIT are the hot path: copies, then sends, in one exit; sends,
 * then waiting, in one.
 */
#include "abi/hypercall.h"
#include "abi/progress.h"
#include "mem/gcopy.h"
#include "ipc/grant.h"
#include "pci/pci.h"
#include "domain/domain.h"
#include "sched/sched.h"

#define CHUNK 16u /* copies read from the guest at a time */

union service_arg {
    struct bh_batch batch;
    struct bh_dma_enable dma;
    struct bh_deadline deadline;
    struct bh_wait wait;
    struct bh_ptr_mode ptr;
    struct bh_pci_info pci;
    struct bh_trial trial;
};

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
static int sends(uint64_t at, uint64_t nr)
{
    struct domain *d = current_domain();
    uint32_t port[BH_BATCH_SENDS];

    if (!nr)
        return 0;
    if (copy_from_guest(port, GADDR(at), nr * sizeof port[0]))
        return -EFAULT;
    for (uint64_t i = 0; i < nr; i++)
        (void)evtchn_send(d, port[clamp_nospec(i, BH_BATCH_SENDS)]);
    return 0;
}

static long op_batch(union service_arg *a, gaddr_t arg)
{
    struct vcpu *v = this_cpu()->current;
    const struct bh_batch *b = &a->batch;

    if (b->nr_copies > BH_BATCH_COPIES || b->nr_sends > BH_BATCH_SENDS)
        return -E2BIG;
    uint64_t done = hc_resume(v, BH_HYPERCALL_SERVICE, BH_SVC_BATCH, arg);
    int rc = batch_copies(b, &done);
    if (!rc)
        rc = sends(b->sends, b->nr_sends);
    if (rc == HC_AGAIN)
        hc_pause(v, BH_HYPERCALL_SERVICE, BH_SVC_BATCH, arg, done);
    else
        hc_finish(v);
    return rc;
}

static long op_dma_enable(union service_arg *a, gaddr_t arg)
{
    struct domain *d = current_domain();

    (void)arg;
    if (a->dma.enable > 1)
        return -EINVAL;
    int rc = pci_dma_enable(d, a->dma.sbdf, a->dma.enable);
    if (!rc && a->dma.enable) {
        spin_lock(&d->lock);
        d->dma_ns = now_ns();
        spin_unlock(&d->lock);
    }
    return rc;
}

static long op_deadline(union service_arg *a, gaddr_t arg)
{
    (void)arg;
    deadline_kick(current_domain(), a->deadline.ms);
    return 0;
}

static long op_wait(union service_arg *a, gaddr_t arg)
{
    (void)arg;
    if (a->wait.nr_sends > BH_BATCH_SENDS)
        return -E2BIG;
    if (sends(a->wait.sends, a->wait.nr_sends))
        return -EFAULT;
    return vcpu_wait(this_cpu()->current, a->wait.until_ns);
}

static long op_adopted(union service_arg *a, gaddr_t arg)
{
    struct domain *d = current_domain();

    (void)a;
    (void)arg;
    spin_lock(&d->lock);
    if (!d->adopted)
        d->adopted_ns = now_ns();
    d->adopted = true;
    spin_unlock(&d->lock);
    return 0;
}

static long op_served(union service_arg *a, gaddr_t arg)
{
    struct domain *d = current_domain();

    (void)a;
    (void)arg;
    spin_lock(&d->lock);
    d->served = true;
    spin_unlock(&d->lock);
    return 0;
}

static long op_ptr_mode(union service_arg *a, gaddr_t arg)
{
    struct domain *d = current_domain();

    (void)arg;
    if (a->ptr.physical > 1)
        return -EINVAL;
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        d->vcpu[i]->phys_ptr = a->ptr.physical;
    return 0;
}

static long op_devices(union service_arg *a, gaddr_t arg)
{
    (void)arg;
    return pci_info(a->pci.index, current_domain(), &a->pci);
}

static long op_trial(union service_arg *a, gaddr_t arg)
{
    (void)arg;
    return pci_trial(current_domain(), &a->trial);
}

static const struct service_row {
    const char *name;
    uint16_t size;
    bool out;
    long (*fn)(union service_arg *a, gaddr_t arg);
} rows[BH_NR_SVC_OPS] = {
    [BH_SVC_BATCH]      = { "batch", sizeof(struct bh_batch), false, op_batch },
    [BH_SVC_DMA_ENABLE] = { "dma_enable", sizeof(struct bh_dma_enable), false, op_dma_enable },
    [BH_SVC_DEADLINE]   = { "deadline", sizeof(struct bh_deadline), false, op_deadline },
    [BH_SVC_WAIT]       = { "wait", sizeof(struct bh_wait), false, op_wait },
    [BH_SVC_ADOPTED]    = { "adopted", 0, false, op_adopted },
    [BH_SVC_PTR_MODE]   = { "ptr_mode", sizeof(struct bh_ptr_mode), false, op_ptr_mode },
    [BH_SVC_DEVICES]    = { "devices", sizeof(struct bh_pci_info), true, op_devices },
    [BH_SVC_SERVED]     = { "served", 0, false, op_served },
    [BH_SVC_TRIAL]      = { "trial", sizeof(struct bh_trial), true, op_trial },
};

long do_service_op(uint64_t op, gaddr_t arg)
{
    union service_arg a;

    if (op >= ARRAY_SIZE(rows))
        return -ENOSYS;
    if (!priv_allows(current_domain()->role, PRIV_SERVICE))
        return -EPERM;
    const struct service_row *r = &rows[clamp_nospec(op, ARRAY_SIZE(rows))];
    if (r->size && copy_from_guest(&a, arg, r->size))
        return -EFAULT;
    long rc = r->fn(&a, arg);
    if (rc == 0 && r->out && copy_to_guest(arg, &a, r->size))
        return -EFAULT;
    return rc;
}
