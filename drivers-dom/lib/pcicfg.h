/* SPDX-License-Identifier: MIT */
/* What the owner of a PCI device needs beside what BH_SVC_DEVICES tells: its message interrupts. */
#pragma once
#include <bh.h>
#include <devname.h>

/* Maps MSI-X entry `entry` and binds it. NULL, or why not. */
const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg);
