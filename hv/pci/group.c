/* SPDX-License-Identifier: MIT */
/*
 * IOMMU groups: functions that the IOMMU cannot keep apart, because a request of one may reach another without passing it
 * or may carry another's id. Errs on the side of too large.
 *
 *   root bus       a function with ACS alone, else all functions of its slot (PCIe 4.0 6.12)
 *   below a PCIe port with ACS on    by slot, as above: what goes up must pass the IOMMU
 *   below any other bridge           with that bridge: peers reach each other, or are seen under the bridge's id
 */
#include "pci/pci.h"
#include "base/print.h"
#include "pci/pci_int.h"

#define ACS_WANTED \
    0x1du /* source validation, request and completion redirect, upstream forwarding */

/* Finds ACS among the extended capabilities (bounded: 4 KiB of at least 4 bytes each) and switches it on. */
static bool acs_enable(struct pci_dev *p)
{
    unsigned off = 0x100;

    if (!p->pcie || pci_hw->space < 4096)
        return false;
    for (unsigned n = 0; n < 960 && off >= 0x100; n++) {
        uint32_t head = pci_read(p, off, 4), have;
        if (!head || head == ~0u)
            return false;
        if ((head & 0xffff) == PCI_XCAP_ACS) {
            have = pci_read(p, off + 4, 2) & ACS_WANTED;
            pci_write(p, off + 6, 2, have);
            return have == ACS_WANTED;
        }
        off = head >> 20 & 0xffc;
    }
    return false;
}

/* The function that stands for p's group. */
static struct pci_dev *leader(struct pci_dev *p)
{
    for (unsigned depth = 0; depth < 256; depth++) {
        struct pci_dev *up = p->parent;
        /* root port 4, downstream port 6 (PCIe 4.0 7.5.3.2) */
        if (!up || (up->acs && (up->port_type == 4 || up->port_type == 6)))
            break;
        p = up;
    }
    if (p->acs)
        return p;
    for (struct pci_dev *q = pci_devices; q; q = q->next)
        if (q->sbdf >> 3 == p->sbdf >> 3 && !q->acs)
            return q;
    return p;
}

void pci_make_groups(void)
{
    unsigned next = 0;

    for (struct pci_dev *p = pci_devices; p; p = p->next)
        p->acs = acs_enable(p);
    for (struct pci_dev *p = pci_devices; p; p = p->next) {
        struct pci_dev *l = leader(p), *q = pci_devices;
        while (q != p && leader(q) != l)
            q = q->next;
        p->group = q != p ? q->group : (uint8_t)MIN(next, 255u); /* past 255 all share the last one */
        if (q == p)
            next++;
    }
}
