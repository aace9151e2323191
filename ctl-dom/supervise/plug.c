/* SPDX-License-Identifier: MIT */
/*
 * A driver domain of ours gets and loses devices by a restart in place: between the fence and the next instance nothing of it runs, so the core gives and
 * takes, and those it serves lose some milliseconds. A guest stands still for as long; any other domain must be paused.
 */
#include "supervise/plug.h"
#include <errno.h>
#include "domain/pci.h"
#include "store/connection.h"
#include "store/pci_guest.h"
#include "supervise/owned.h"
#include "supervise/supervisor.h"

/* --- a device comes --------------------------------------------------------------------------------------------- */
static int restart_with(struct dom *d, struct errbuf *e)
{
    wmb();
    WRITE_ONCE(d->pci_new, true);
    return supervisor_restart(d, e);
}

/* The core changes nothing under a domain that runs: a guest is paused for it. That this is so stands in its record. */
static int while_paused(struct dom *d, int (*fn)(struct dom *d, uint32_t sbdf, struct errbuf *e),
                        uint32_t sbdf, struct errbuf *e)
{
    struct bh_domid id = { .domid = d->id };
    int rc = fn(d, sbdf, e);

    if (rc != -EINVAL || d->cfg.role != BH_ROLE_GUEST)
        return rc;
    WRITE_ONCE(d->pci_new, true);
    wmb();
    if (!bh_ctl_pause(&id)) {
        rc = fn(d, sbdf, e);
        bh_ctl_unpause(&id);
    }
    wmb();
    WRITE_ONCE(d->pci_new, false);
    return rc;
}

/* A kernel looks for a bus once. */
static int may_have(const struct dom *d, uint32_t sbdf, struct errbuf *e)
{
    int rc = pci_could(&d->cfg, sbdf, e);

    if (!rc && d->state == DOM_OVER)
        rc = fail(e, -EPERM, "%s: has ended, and no device comes to what is kept of it", d->cfg.name);
    if (!rc && d->cfg.role == BH_ROLE_GUEST && d->cfg.kernel[0] && !d->cfg.nr_pci && !store_pci_bus(d))
        rc = fail(e, -ENODEV,
                  "%s: was started without a device, so its kernel knows of no bus: pci = [ '%s' ] in its configuration, and start it again",
                  d->cfg.name, sbdf_text(sbdf).s);
    return rc;
}

/* Also where not all went well: the store says what it has. */
static int told(struct dom *d, int rc, struct errbuf *e)
{
    struct errbuf other;
    int says = store_up ? store_set_pci(d, rc ? &other : e) : 0;

    return rc ? rc : says;
}

int pci_plug(struct dom *d, const uint32_t *sbdf, unsigned n, struct errbuf *e)
{
    unsigned runs = 0, had = d->cfg.nr_pci;
    int rc = 0;

    if (d->cfg.nr_pci + n > CFG_MAX_PCI)
        return fail(e, -ENOSPC, "%s: has %u devices, more than %d are not possible", d->cfg.name,
                    d->cfg.nr_pci, CFG_MAX_PCI);
    for (unsigned i = 0; !rc && i < n; i++) {
        rc = may_have(d, sbdf[i], e);
        if (!rc)
            rc = while_paused(d, pci_attach, sbdf[i], e);
        if (rc == -EINVAL && supervisor_restarts(d)) { /* nothing is wrong but that it runs */
            runs++;
            rc = 0;
        } else if (!rc) {
            pci_add(d, sbdf[i]);
        }
    }
    for (unsigned i = 0; !rc && runs && i < n; i++)
        pci_add(d, sbdf[i]);
    if (!rc && runs && (rc = restart_with(d, e)))
        return rc;
    for (unsigned i = 0; !rc && i < n; i++)
        if (!pci_owns(d, sbdf[i]))
            rc = fail(e, -EIO, "%s: %s was not given: dmesg may say why", d->cfg.name,
                      sbdf_text(sbdf[i]).s);
    return rc && d->cfg.nr_pci == had ? rc : told(d, rc, e);
}

/* --- a device goes ---------------------------------------------------------------------------------------------- */
/* Guests whose disks are on it would lose them. */
static int unused(const struct dom *d, struct errbuf *e)
{
    for (const struct dom *g = doms; g; g = g->next)
        for (unsigned i = 0; i < g->nr_devs; i++)
            if (g->dev[i].kind == DEV_VBD && g->dev[i].back == d->id)
                return fail(e, -EBUSY,
                            "%s: %s has its disk %s there: block-detach %s %s, or shut it down, first",
                            d->cfg.name, g->cfg.name, g->cfg.disk[g->dev[i].index].vdev,
                            g->cfg.name, g->cfg.disk[g->dev[i].index].vdev);
    return 0;
}

static int take(struct dom *d, uint32_t sbdf, struct errbuf *e)
{
    struct bh_assign a = { .sbdf = sbdf, .domid = d->id };

    (void)e;
    return (int)bh_ctl_deassign(&a);
}

int pci_unplug(struct dom *d, const uint32_t *sbdf, unsigned n, struct errbuf *e)
{
    unsigned runs = 0, had = d->cfg.nr_pci;
    int rc = unused(d, e);

    for (unsigned i = 0; !rc && i < n; i++)
        if (!pci_owns(d, sbdf[i]))
            rc = pci_not_its(d, sbdf[i], e);
    if (!rc && d->cfg.role == BH_ROLE_GUEST && store_up)
        rc = store_pci_goes(d, sbdf, n, e);
    if (rc)
        return rc;
    for (unsigned i = 0; !rc && i < n; i++) {
        rc = while_paused(d, take, sbdf[i], e);
        if (rc == -EINVAL && supervisor_restarts(d)) {
            runs++;
            rc = 0;
        } else if (rc) {
            fail(e, rc, "%s: %s: %s", d->cfg.name, sbdf_text(sbdf[i]).s,
                 rc == -EINVAL ? "it runs, and is no domain of ours: pause or destroy it first"
                               : errno_text(rc));
        }
    }
    if (!runs) {
        pci_wires(d);
        pci_found(d);
        return rc && d->cfg.nr_pci == had ? rc : told(d, rc, e);
    }
    if (rc)
        return rc;
    for (unsigned i = d->cfg.nr_pci; i-- > 0;)
        for (unsigned k = 0; k < n; k++)
            if (d->cfg.pci[i] == sbdf[k]) {
                pci_drop(d, i);
                break;
            }
    rc = restart_with(d, e);
    return rc ? rc : told(d, 0, e);
}
