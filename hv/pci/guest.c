/* SPDX-License-Identifier: MIT */
/* Devices of guests, whose drivers know nothing of us: what they ask for by configuration space comes from pciback (BH_CTL_PCI_SET). */
#include "base/print.h"
#include "domain/struct.h"
#include "domain/table.h"
#include "pci/pci_int.h"
#include "pci/pirq.h"

/* DMA off, and a step of its reset. A domain is asked for nothing else meanwhile: its device does not answer. */
static int reset_owned(struct domain *d, struct pci_dev *p)
{
    if (!p->reset_stage) {
        pci_fence_device(d, p);
        p->had_dma = false;
        p->past = PCI_UNKNOWN;
    }
    int rc = pci_reset_step(p);
    if (rc && rc != HC_AGAIN) {
        p->past = PCI_DEAD;
        log_warn("PCI: " BDF_FMT " did not come back from its reset: no DMA", BDF_ARGS(p->sbdf));
    }
    return rc;
}

int pci_soft_reset(struct domain *d)
{
    int rc = 0;

    if (!d->devices)
        return 0;
    spin_lock(&pci_lock);
    for (struct pci_dev *p = d->devices; p; p = p->next_owned) {
        bool resets = p->reset_stage || p->dma_on || p->past == PCI_UNKNOWN || p->had_dma;
        if (resets && reset_owned(d, p) == HC_AGAIN) {
            rc = HC_AGAIN;
            continue;
        }
        p->msi_pirq = 0;
        pirq_use_msi(p, false);
        pci_rom_off(p);
    }
    spin_unlock(&pci_lock);
    return rc;
}

static int set_master(struct domain *d, struct pci_dev *p, bool on)
{
    if (on)
        return p->dma_on ? 0 : pci_start_dma(d, p);
    if (p->dma_on)
        pci_fence_device(d, p);
    return 0;
}

static int set(struct domain *d, struct pci_dev *p, struct bh_pci_set *a)
{
    if (a->what == BH_PCI_SET_PIRQ)
        return pirq_map(p, a->value, &a->value);
    if (a->what == BH_PCI_SET_RESET) {
        int rc = reset_owned(d, p);
        return rc == HC_AGAIN ? 1 : rc;
    }
    if (a->value > 1 || a->what > BH_PCI_SET_RESET)
        return -EINVAL;
    if (a->what == BH_PCI_SET_MASTER)
        return set_master(d, p, a->value);
    if (!p->cap_msi || !p->msix_count)
        return -EOPNOTSUPP;
    if (p->reset_stage && reset_owned(d, p) == HC_AGAIN)
        return 1;
    pirq_use_msi(p, a->value);
    p->msi_pirq = a->value ? pirq_of_message(a->address) : 0;
    return 0;
}

/* A domain that is not RUNNING is not given anything: what it had is being taken. */
int pci_set(struct bh_pci_set *a)
{
    struct domain *d = domain_get(a->domid);
    int rc = -ENODEV;

    if (!d)
        return rc;
    spin_lock(&pci_lock);
    struct pci_dev *p = pci_find_owned(d, a->sbdf);
    if (p && p->phase == PCI_READY && d->role == BH_ROLE_GUEST && d->state == BH_DOM_RUNNING)
        rc = set(d, p, a);
    spin_unlock(&pci_lock);
    domain_put(d);
    return rc;
}
