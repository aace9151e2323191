/* SPDX-License-Identifier: MIT */
/*
 * What is to be stands in cfg.pci while pci_new is set, what is knows the core. After a death of ours what the core has counts: a device that was on its
 * way is the domain's, or assignable.
 */
#include "supervise/owned.h"
#include <errno.h>
#include <xen/io/xenbus.h>
#include "console/console.h"
#include "domain/pci.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/pci_guest.h"

static bool listed(const struct dom *d, uint32_t sbdf, unsigned below)
{
    for (unsigned i = 0; i < below; i++)
        if (d->cfg.pci[i] == sbdf)
            return true;
    return false;
}

bool pci_owns(const struct dom *d, uint32_t sbdf)
{
    struct bh_pci_info info;

    return pci_find(sbdf, &info) && info.state == BH_PCI_ASSIGNED && info.domid == d->id;
}

void pci_add(struct dom *d, uint32_t sbdf)
{
    d->cfg.pci[d->cfg.nr_pci] = sbdf;
    wmb();
    WRITE_ONCE(d->cfg.nr_pci, d->cfg.nr_pci + 1);
    d->without[0] = '\0';
}

/* Between the two stores the last one is there twice: pci_found drops one. */
void pci_drop(struct dom *d, unsigned i)
{
    WRITE_ONCE(d->cfg.pci[i], d->cfg.pci[d->cfg.nr_pci - 1]);
    wmb();
    WRITE_ONCE(d->cfg.nr_pci, d->cfg.nr_pci - 1);
}

void pci_found(struct dom *d)
{
    struct bh_pci_info info;

    WRITE_ONCE(d->pci_new, false); /* before anything: from here on the core's word counts */
    wmb();
    for (unsigned i = d->cfg.nr_pci; i-- > 0;)
        if (!pci_owns(d, d->cfg.pci[i]) || listed(d, d->cfg.pci[i], i))
            pci_drop(d, i);
    for (unsigned n = 0; d->cfg.nr_pci < CFG_MAX_PCI && pci_owned(d->id, n, &info); n++)
        if (!listed(d, info.sbdf, d->cfg.nr_pci))
            pci_add(d, info.sbdf);
}

void pci_wires(struct dom *d)
{
    for (unsigned i = 0; i < d->cfg.nr_bridges; i++) {
        struct cfg_bridge *b = &d->cfg.bridge[i];
        if (b->sbdf)
            b->wire = pci_owns(d, b->sbdf);
    }
}

void pci_change(struct dom *d)
{
    struct bh_pci_info info;
    struct errbuf e;
    unsigned n = 0;

    if (!d->pci_new)
        return;
    while (pci_owned(d->id, n, &info)) {
        struct bh_assign a = { .sbdf = info.sbdf, .domid = d->id };
        if (listed(d, info.sbdf, d->cfg.nr_pci) || bh_ctl_deassign(&a))
            n++;
    }
    for (unsigned i = 0; i < d->cfg.nr_pci; i++)
        if (!pci_owns(d, d->cfg.pci[i]) && pci_attach(d, d->cfg.pci[i], &e))
            say("%s", e.s);
    pci_wires(d);
    pci_found(d);
}

void pci_goes_on(struct dom *d)
{
    struct bh_domid id = { .domid = d->id };

    if (d->pci_new) /* it was not paused before: who is is not paused for this */
        (void)bh_ctl_unpause(&id);
    pci_found(d);
}

/* A device that was about to go, and has not gone. */
static bool half_gone(const struct dom *d)
{
    char path[80];
    uint64_t state;

    for (unsigned i = 0; d->cfg.role == BH_ROLE_GUEST && i < d->cfg.nr_pci; i++) {
        snprintf(path, sizeof(path), "/local/domain/%u/backend/pci/%u/0/state-%u", BH_DOMID_PCIBACK,
                 d->id, i);
        if (!xs_read_uint(0, path, &state) && state >= XenbusStateClosing)
            return true;
    }
    return false;
}

void pci_settle(struct dom *d)
{
    char path[80];
    struct errbuf e;
    uint64_t n = 0;

    snprintf(path, sizeof(path), "/local/domain/%u/backend/pci/%u/0/num_devs", BH_DOMID_PCIBACK,
             d->id);
    int rc = xs_read_uint(0, path, &n);
    if (rc == -ENOENT)
        rc = 0;
    if (!rc && (n != d->cfg.nr_pci || half_gone(d)))
        rc = store_set_pci(d, &e);
    if (rc)
        say("%s: its devices are not described in the store: %s", d->cfg.name, errno_text(rc));
}

void pci_over(struct dom *d)
{
    struct errbuf e;

    pci_detach_all(d);
    pci_found(d);
    /* pciback keeps no room for what it had, and describes it no more when it starts again. */
    if (store_up && store_pci_anew(d, &e))
        say("%s", e.s);
}
