/* SPDX-License-Identifier: MIT */
/*
 * Configuration space of a guest that has devices: the ports of configuration mechanism 1 (PCI 3.0, 3.2.2.3.2). The core keeps the
 * address; an access to the data on bus 0 waits in its vCPU (struct cfg_trap) until pciback has answered it: BH_CTL_PCI_TRAP.
 * A domain without devices has no such ports.
 *
 * The access is the vCPU's: it stays while nobody answers, over a pause and a crash, and goes with INIT, a reset and the domain. d->lock
 * guards what is in it; its own CPU alone begins and ends it.
 */
#pragma once
#include <bulkhead.h>
#include "base/types.h"

struct vcpu;
#define CFG_ADDRESS 0xcf8 /* 32 bits, and only as such */
#define CFG_DATA    0xcfc /* to 0xcff */

/* What IN gives for now: the core's answer, or ones, in whose place the answer is put later. OUT the same way. Its own CPU. */
uint32_t trap_in(struct vcpu *v, uint16_t port, unsigned size);
void trap_out(struct vcpu *v, uint16_t port, unsigned size, uint32_t val);
/* Before an entry, of a vCPU whose trap is not TRAP_NONE: true while it waits (it is blocked, or has something else to look at first); else
 * the answer is in its registers. Its own CPU. */
bool trap_waits(struct vcpu *v);
void trap_drop(struct vcpu *v);                     /* nobody waits for the answer any more */
int trap_serve(struct bh_pci_trap *t) __must_check; /* BH_CTL_PCI_TRAP */
