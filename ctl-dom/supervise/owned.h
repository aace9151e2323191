/* SPDX-License-Identifier: MIT */
/* The PCI devices of a driver domain in its record. Called by who plugs them (plug.c), by the supervisor, and by whoever follows a dead control domain. */
#pragma once
#include "domain/dom.h"

bool pci_owns(const struct dom *d, uint32_t sbdf); /* so says the core */
void pci_add(struct dom *d, uint32_t sbdf);
void pci_drop(struct dom *d, unsigned i); /* the i-th */
/* A bridge whose NIC was taken away is one of guests alone, until that comes back. */
void pci_wires(struct dom *d);
/* Between the fence of d and its next instance: the core gives and takes what was asked for (pci_new). */
void pci_change(struct dom *d);
/* The record as the core has it, and the store as the record: a former instance of ours may not have come to that. */
void pci_found(struct dom *d);
void pci_settle(struct dom *d);
/* As pci_found of a guest, which may stand still for a change that a former instance of ours was at. */
void pci_goes_on(struct dom *d);
/* A guest that ended and is kept has none any more, in the core, its record and the store. Done again, it is as if it had been done once. */
void pci_over(struct dom *d);
