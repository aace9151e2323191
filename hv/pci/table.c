/* SPDX-License-Identifier: MIT */
/* The table of PCI functions that the rest of hv/pci stands on: enum.c fills it at the start, then the list never changes. */
#include "pci/pci.h"

struct spinlock pci_lock = SPINLOCK_INIT;
struct pci_dev *pci_devices;

struct pci_dev *pci_find(uint32_t sbdf)
{
    for (struct pci_dev *p = pci_devices; p; p = p->next)
        if (p->sbdf == sbdf)
            return p;
    return NULL;
}
