/* SPDX-License-Identifier: MIT */
/* What the owner of a PCI device needs beside what BH_SVC_DEVICES tells: its message interrupts. */
#pragma once
#include <bh.h>

#define PCI_FMT "%04x:%02x:%02x.%x"
#define PCI_ARGS(s) (s) >> 16, (s) >> 8 & 0xff, (s) >> 3 & 0x1f, (s) & 7

/* Maps MSI-X entry `entry` and binds it. NULL, or why not. */
const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg);
