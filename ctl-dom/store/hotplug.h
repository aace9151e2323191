/* SPDX-License-Identifier: MIT */
/*
 * Disks and vifs come and go while a guest runs, by the ordinary closing (docs/restart-protocol.md 7). What is attached belongs to the configuration from
 * then on, so a reboot keeps it.
 *
 * It is also how Linux gets a disk back whose driver was unbound: a blkfront that is bound again
 * finds its own state Closed and waits for ever, the device must be a new one. Between the two
 * commands Linux must have looked, or the old device stays (docs/linux-pvh.md 12).
 */
#pragma once
#include "domain/dom.h"

/* spec: an entry of disk=. Waits for its back-end; on failure nothing of it stays. */
int disk_attach(struct dom *d, const char *spec, struct errbuf *e);
/* force: without waiting for the guest, whose requests in flight may be lost. -ETIME: the guest still has it. */
int disk_detach(struct dom *d, struct dom_dev *v, bool force, struct errbuf *e);
/* The same of a vif, as an entry of vif= (which is cut into pieces); its number is one that d has not had. The back-end lets go at once. */
int vif_attach(struct dom *d, char *spec, struct errbuf *e);
int vif_detach(struct dom *d, struct dom_dev *v, struct errbuf *e);
/* The tables of d's disks and devices as they were, if a former instance of ours ended while it changed them. No store. */
void plug_put_back(struct dom *d);
/* An attach or a detach of d's that a former instance of ours left half-way: the one is undone, the other goes on. */
void plug_settle(struct dom *d);
/* c, with other limits, becomes the configuration of v. An error: the back-end was not told, it holds from the next change on. */
int disk_limit(struct dom *d, const struct dom_dev *v, const struct cfg_disk *c);
