/* SPDX-License-Identifier: MIT */
/*
 * When a Linux that serves others ends, its next life is another domain, and whatever its clients had from it is lost. A guest's vif is unplugged, the back-end's
 * side first (docs/linux-pvh.md 12), and plugged again, with the same number and address, when there is one of that name. A guest's disk stands still until it is
 * detached and attached. The nodes of a driver domain that is its client (a relay) stay, and are written anew, in one transaction, for the next one.
 */
#pragma once
#include "domain/dom.h"

/* b ends: its clients' devices are unplugged. Also one that is no back-end. */
void linux_gone(const struct dom *b);
void linux_look(void); /* one may have come */
/* Unplugs and plugs what is left to; true: it looked, and the store answers. */
bool linux_work(void);
