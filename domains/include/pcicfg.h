/* SPDX-License-Identifier: MIT */
/*
 * What the owner of a PCI device needs beside its BARs (BH_SVC_DEVICES): one look at configuration space, which pciback shows as
 * text in the store, and its message interrupts.
 */
#pragma once
#include <bh.h>

#define PCI_CFG_BYTES 256u
#define PCI_FMT "%04x:%02x:%02x.%x"
#define PCI_ARGS(s) (s) >> 16, (s) >> 8 & 0xff, (s) >> 3 & 0x1f, (s) & 7

/* pciback's snapshot of an own device: 0, -EAGAIN while it is not there, -EINVAL if the text is cut off. Calls the store. */
int pci_cfg_snapshot(uint32_t sbdf, uint8_t cfg[PCI_CFG_BYTES]);
/* Two hexadecimal digits a byte, anything else between them ignored; false if there are fewer than 256 bytes. */
bool pci_cfg_from_text(const char *text, uint8_t cfg[PCI_CFG_BYTES]);
/* Maps MSI-X entry `entry` and binds it. NULL, or why not. */
const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg);
