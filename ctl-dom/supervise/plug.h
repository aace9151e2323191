/* SPDX-License-Identifier: MIT */
/* PCI devices come to a domain that runs, and go. Called by the shell. */
#pragma once
#include "domain/dom.h"

/* d gets these n, or loses them. 0, or the first refusal; then nothing was done, unless it says what. */
int pci_plug(struct dom *d, const uint32_t *sbdf, unsigned n, struct errbuf *e);
int pci_unplug(struct dom *d, const uint32_t *sbdf, unsigned n, struct errbuf *e);
