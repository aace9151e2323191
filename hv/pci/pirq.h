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
long do_physdev_op(uint64_t cmd, gaddr_t arg);
int pirq_bind(struct domain *d, uint32_t pirq, uint32_t port) __must_check; /* EVTCHNOP_bind_pirq */
void pirq_unbind(struct domain *d, uint32_t pirq);                          /* EVTCHNOP_close */
void pirq_fence(struct domain *d);   /* restart: every binding off and masked; routes stay with the slot */
