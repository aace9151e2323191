/* SPDX-License-Identifier: MIT */
/* pciif.h. */
#include "pciif.h"
#include <bh.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xen/io/pciif.h>
#include "trap.h"
#include "vconfig.h"

_Static_assert(sizeof(struct xen_pci_op) == 36 + 4 * SH_INFO_MAX_VEC, "pciif layout");
_Static_assert(offsetof(struct xen_pci_sharedinfo, op) == 4, "pciif layout");
_Static_assert(sizeof(struct xen_pci_sharedinfo) <= PAGE_SIZE, "pciif layout");

static struct front {
    struct pciif_kept *kept;
    struct grant_map map; /* va NULL: not connected */
    int port;
    bool look; /* an event came, or a former instance may have missed one */
} fronts[PCIIF_MOST];
static unsigned nr_fronts;
static bool answered;
static uint64_t again_at;

/* --- records --------------------------------------------------------------------------------------------------------- */

static uint64_t checked(uint32_t v) { return v | (uint64_t)~v << 32; }
static bool sound(uint64_t v) { return (uint32_t)v == (uint32_t) ~(v >> 32); }
static void store(uint64_t *p, uint64_t v)
{
    barrier();
    WRITE_ONCE(*p, v);
    barrier();
}
static domid_t front_dom(const struct front *f) { return (domid_t)f->kept->head; }
static struct xen_pci_sharedinfo *page_of(const struct front *f) { return f->map.va; }

static void on_event(uint32_t port, void *arg)
{
    (void)port;
    ((struct front *)arg)->look = true;
}

/* By the record. */
static int attach(struct front *f)
{
    uint32_t ref = (uint32_t)f->kept->ref;
    int rc = grant_map(&f->map, front_dom(f), &ref, 1, 0);

    if (rc) {
        f->map.va = NULL;
        return rc;
    }
    f->port = event_bind_interdomain(front_dom(f), (uint32_t)f->kept->port, on_event, f);
    if (f->port < 0) {
        (void)grant_unmap(&f->map);
        f->map.va = NULL;
        return f->port;
    }
    f->look = true; /* it may have asked before it was listened to */
    return 0;
}

static void detach(struct front *f)
{
    store(&f->kept->head, 0);
    if (!f->map.va)
        return;
    event_close((uint32_t)f->port);
    (void)grant_unmap(&f->map);
    f->map.va = NULL;
}

void pciif_init(struct pciif_kept *kept, unsigned nr)
{
    nr_fronts = nr < PCIIF_MOST ? nr : PCIIF_MOST;
    for (unsigned i = 0; i < nr_fronts; i++) {
        struct front *f = &fronts[i];
        *f = (struct front){ .kept = &kept[i] };
        if (!kept[i].head)
            continue;
        bool good = sound(kept[i].head) && sound(kept[i].ref) && sound(kept[i].port);
        if (!good || attach(f)) {
            printf("the connection of domain %u is %s\n", front_dom(f), good ? "gone" : "damaged");
            store(&kept[i].head, 0);
            continue;
        }
        /* What the dead instance answered it may not have told. */
        event_send((uint32_t)f->port);
    }
}

static struct front *front_of(domid_t dom)
{
    for (unsigned i = 0; i < nr_fronts; i++)
        if (fronts[i].kept->head && front_dom(&fronts[i]) == dom)
            return &fronts[i];
    return NULL;
}

int pciif_connect(domid_t dom, uint32_t ref, uint32_t port)
{
    struct front *f = front_of(dom);

    if (f && f->kept->ref == checked(ref) && f->kept->port == checked(port))
        return 0;
    if (f)
        detach(f);
    for (unsigned i = 0; i < nr_fronts && !f; i++)
        if (!fronts[i].kept->head)
            f = &fronts[i];
    if (!f)
        return -ENOSPC;
    store(&f->kept->ref, checked(ref));
    store(&f->kept->port, checked(port));
    store(&f->kept->head, checked(dom));
    int rc = attach(f);
    if (rc)
        store(&f->kept->head, 0);
    return rc;
}

void pciif_disconnect(domid_t dom)
{
    struct front *f = front_of(dom);

    if (f)
        detach(f);
}

int pciif_front(int after)
{
    int found = -ENOENT;

    for (unsigned i = 0; i < nr_fronts; i++) {
        int dom = fronts[i].kept->head ? front_dom(&fronts[i]) : -1;
        if (dom > after && (found < 0 || dom < found))
            found = dom;
    }
    return found;
}

/* --- requests: op is a copy ------------------------------------------------------------------------------------------ */

static int conf_access(domid_t dom, struct xen_pci_op *op)
{
    uint32_t size = (uint32_t)op->size, off = (uint32_t)op->offset;

    if ((size != 1 && size != 2 && size != 4) || off >= 256 || off % size)
        return XEN_PCI_ERR_invalid_offset;
    if (op->cmd == XEN_PCI_OP_conf_read) {
        op->value = vconfig_read(dom, op->devfn, off, size);
        return XEN_PCI_ERR_success;
    }
    int rc = vconfig_write(dom, op->devfn, off, size, op->value);
    return rc == -EAGAIN ? rc : XEN_PCI_ERR_success;
}

static int enable_msi(domid_t dom, struct xen_pci_op *op)
{
    op->value = 0;
    int rc = vconfig_pirq(dom, op->devfn, false, 0, &op->value);
    return rc && rc != -EAGAIN ? XEN_PCI_ERR_op_failed : rc;
}

static int enable_msix(domid_t dom, struct xen_pci_op *op)
{
    if (op->value > SH_INFO_MAX_VEC)
        return XEN_PCI_ERR_op_failed;
    for (uint32_t i = 0; i < op->value; i++) {
        uint32_t pirq = 0;
        int rc = vconfig_pirq(dom, op->devfn, true, op->msix_entries[i].entry, &pirq);
        if (rc == -EAGAIN)
            return rc;
        if (rc || pirq > UINT16_MAX)
            return XEN_PCI_ERR_op_failed;
        op->msix_entries[i].vector = (uint16_t)pirq;
    }
    return XEN_PCI_ERR_success;
}

/* An XEN_PCI_ERR_*, or -EAGAIN: not now. */
static int run(domid_t dom, struct xen_pci_op *op)
{
    uint32_t sbdf;

    _Static_assert(-EAGAIN < XEN_PCI_ERR_op_failed, "not one of those");
    if (op->cmd > XEN_PCI_OP_disable_msix)
        return XEN_PCI_ERR_not_implemented; /* errors of the device are the core's to see; one message each */
    if (op->domain || op->bus || op->devfn > 0xff || !vconfig_device(dom, op->devfn, &sbdf))
        return XEN_PCI_ERR_dev_not_found;
    switch (op->cmd) {
    case XEN_PCI_OP_conf_read:
    case XEN_PCI_OP_conf_write: return conf_access(dom, op);
    case XEN_PCI_OP_enable_msi: return enable_msi(dom, op);
    case XEN_PCI_OP_enable_msix: return enable_msix(dom, op);
    default: op->value = 0; return XEN_PCI_ERR_success; /* what is bound its owner closes */
    }
}

/* False: put off. */
static bool answer(struct front *f)
{
    struct xen_pci_sharedinfo *page = page_of(f);
    volatile uint32_t *there = (volatile uint32_t *)&page->op;
    static uint32_t copy[sizeof(struct xen_pci_op) / 4];
    struct xen_pci_op op;

    for (unsigned i = 0; i < ARRAY_SIZE(copy); i++)
        copy[i] = there[i];
    memcpy(&op, copy, sizeof(op));
    uint32_t entries = op.cmd == XEN_PCI_OP_enable_msix ? op.value : 0;
    int err = run(front_dom(f), &op);
    if (err == -EAGAIN)
        return false;
    if (!err) {
        for (uint32_t i = 0; i < entries; i++)
            WRITE_ONCE(page->op.msix_entries[i].vector, op.msix_entries[i].vector);
        if (op.cmd == XEN_PCI_OP_enable_msix)
            op.value = 0;
    }
    WRITE_ONCE(page->op.err, err);
    if (!err)
        WRITE_ONCE(page->op.value, op.value);
    __atomic_fetch_and(&page->flags, ~(uint32_t)XEN_PCIF_active, __ATOMIC_SEQ_CST);
    event_send((uint32_t)f->port);
    answered = true;
    return true;
}

/* One of each, so that who asks for ever has no more than his share. */
bool pciif_turn(void)
{
    uint64_t now = again_at ? now_ns() : 0;
    bool again = again_at && now >= again_at, more = false;

    if (again)
        again_at = 0;
    for (unsigned i = 0; i < nr_fronts; i++) {
        struct front *f = &fronts[i];
        if (!f->map.va || !(f->look || again))
            continue;
        f->look = false; /* before the flag is looked at: one that is set later has its event */
        mb();
        if (!(READ_ONCE(page_of(f)->flags) & XEN_PCIF_active))
            continue;
        if (answer(f))
            more = f->look = true;
        else if (!again_at) /* else who asks often would put off the others for ever */
            again_at = now_ns() + PUT_OFF_NS;
    }
    return more;
}

uint64_t pciif_until(uint64_t until)
{
    return again_at && (!until || again_at < until) ? again_at : until;
}

bool pciif_answered(void) { return answered; }
