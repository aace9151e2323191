/* SPDX-License-Identifier: MIT */
/*
 * PCI devices of a guest that come and go while it runs: control writes what is to be and state 7 into what pciback shows of them (the head of
 * pciback/main.c); pciback, and the guest's front-end if it has one, answer by 4 in the end.
 */
#pragma once
#include "domain/dom.h"

/* As its devices are now. Of a guest: waits a while for the answer, which need not come. */
int store_set_pci(struct dom *d, struct errbuf *e);
/* Before a guest's first instruction: waits a while until pciback has described its devices, and says so if it does not. */
void store_pci_shown(const struct dom *d);
/* Whether its kernel found a bus when it started; true also where the store does not say. */
bool store_pci_bus(const struct dom *d);
/* Where it sees the device, slot and function; -ENOENT: nowhere that the store would say. */
int store_pci_place(const struct dom *d, uint32_t sbdf);
/* These are about to go: waits until nobody uses them, or did not let go for so long. */
int store_pci_goes(struct dom *d, const uint32_t *sbdf, unsigned n, struct errbuf *e);
