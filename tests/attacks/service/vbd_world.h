/* SPDX-License-Identifier: MIT */
/* What blk0's disks of guests (vbd.c) stand on in these demonstrations: backend_world.h, and a disk of 4,000 sectors with one request at a time. */
#pragma once
#include "backend_world.h"
#include "vbd.h"

extern struct blkdev dev;
extern uint64_t wrote_at; /* the sector of the last write */

/* blk0 as main.c begins it, with that disk and these keep pages. */
void blk_begin(void *keep_pages, unsigned n);
