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
struct pirq_route;
int pirq_bind(struct domain *d, uint32_t pirq, uint32_t port) __must_check; /* EVTCHNOP_bind_pirq */
void pirq_unbind(struct domain *d, uint32_t pirq);                          /* EVTCHNOP_close */
void pirq_fence(struct domain *d); /* restart: every binding off and masked; routes stay with the slot */
/* The mapped route with this number, or NULL; and an end of it and of its binding. pci_lock is held, or d has no devices. */
struct pirq_route *pirq_find(struct domain *d, uint32_t pirq);
void pirq_unmap(struct pirq_route *r);
