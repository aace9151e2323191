/* SPDX-License-Identifier: MIT */
/*
 * The volume that configurations, kernels and ramdisks come from beside the bundle: a partition of the driver domain whose configuration says
 * `configs = "NAME"`, with an archive on it (volume/archive.h). We are a front-end of that domain's like a guest, and only as long as something is read
 * or written, so nobody has to do without the partition for long, and nothing of it is to be kept over a restart of ours, of the driver domain
 * or of the store.
 *
 * All of it is for the job: it waits, with a bound.
 */
#pragma once
#include "domain/error.h"
#include "volume/archive.h"

/* What it had when it was looked at last. */
extern struct archive volume;

/* From now on load.h finds there what it has. */
void volume_on(void);
/* Opens it, for several calls of those below, and looks at it. 0; -ENOENT: no driver domain has one, or not this partition; or another negative errno. After
 * 0 volume_end() is due. tell: what is wrong with the archive is said. */
int volume_begin(bool tell, struct errbuf *e);
void volume_end(void);
/* Another file, or another version of one; none of a configuration, of no bytes, takes it away. 0: it is on the disk. An error: it is there whole, or what was before
 * is. */
int volume_write(const char *name, const void *text, size_t len, struct errbuf *e);
/* "blk0:bulkhead"; NULL: no driver domain has one. */
const char *volume_name(void);
/* An entry that a former instance of ours left at its driver domain goes. */
void volume_left(void);
