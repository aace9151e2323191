/* SPDX-License-Identifier: MIT */
/*
 * A guest that may be a back-end (`driver_domain = 1`): an unmodified Linux with xen-netback and xen-blkback, and a script in it that does what Xen's hotplug scripts do
 * (docs/linux-driver-domains.md). Nodes are all that it is told: it has no slot table. It owns its side's directories of its own clients, and nothing else.
 */
#pragma once
#include "domain/dom.h"

struct txn;

/* Its back-end ended, and there is no other yet (linux_life.h). */
static inline bool dev_lost(const struct dom_dev *v) { return v->foreign && v->back == NO_DOMID; }
/* Whether b, a Linux, can hold what these words want. */
int linux_vif_fits(const struct dom *d, unsigned i, const struct dom *b, struct errbuf *e);
int linux_disk_fits(const struct dom *d, unsigned i, const struct dom *b, struct errbuf *e);
/* What its kernel and its script read beside what all back-ends do. */
void linux_nodes(struct txn *t, const struct dom *d, const struct dom_dev *v, const char *be);
