/* SPDX-License-Identifier: MIT */
/*
 * Physical interrupts of assigned devices as event channels. A pirq is one MSI-X vector of one device of its owner;
 * numbers are per domain. The core alone programs MSI-X tables; messages go through interrupt remapping.
 * Lock: pci_lock.
 */
#pragma once
#include <stdint.h>
#include <xen/xen.h>
#include <xen/physdev.h>
#include "base/types.h"

struct domain;
struct pci_dev;
struct pirq_route;
/* A guest writes numbers into messages, as an unmodified Linux does that has XENFEAT_hvm_pirqs: destination id the number, bits 7:0 in bits 19:12 of the
 * address and the others in the upper half. They are from a range of their own; which interrupt one means is looked up when it is bound. */
#define PIRQ_MESSAGE    0x4000u
#define NR_PIRQ_MESSAGE 1024u
static inline uint32_t pirq_of_message(uint64_t address) /* 0: that is no message */
{
    if ((address >> 20 & 0xfff) != 0xfee)
        return 0;
    return (uint32_t)(address >> 32 & 0xffffff00) | (address >> 12 & 0xff);
}
int pirq_bind(struct domain *d, uint32_t pirq, uint32_t port) __must_check; /* EVTCHNOP_bind_pirq */
void pirq_unbind(struct domain *d, uint32_t pirq);                          /* EVTCHNOP_close */
void pirq_fence(struct domain *d); /* restart: every binding off and masked; routes stay with the slot */
/* The mapped route with this number, or NULL; and an end of it and of its binding. pci_lock is held, or d has no devices. */
struct pirq_route *pirq_find(struct domain *d, uint32_t pirq);
void pirq_unmap(struct pirq_route *r);
/* Interrupt i of p gets its number, that of the device's own range: 0 or -EINVAL. pci_lock. */
int pirq_map(struct pci_dev *p, uint32_t i, uint32_t *pirq) __must_check;
/* A number for d: of an interrupt that has none, or, for a guest, one that no message holds: 0 or -ENOSPC. pci_lock. */
int pirq_free_number(struct domain *d, uint32_t *pirq) __must_check;
