/* SPDX-License-Identifier: MIT */
/*
 * Batches of grant copies and of events, for tests of back-ends: what is added is remembered, the test's batch_flush does it. And the points at
 * which an instance may die, which are between any two things that others see.
 */
#pragma once
#include "unit.h"
#include <bh.h>

extern void *copied[BH_BATCH_COPIES]; /* the back-end's side of each copy of the batch */
/* Its place in the batch; more than a batch holds, or past a page, fails the test. flags: GNTCOPY_source_gref, GNTCOPY_dest_gref. */
int copy_put(struct batch *b, uint32_t ref, unsigned off, void *p, unsigned len, uint16_t flags);

extern jmp_buf crash_env; /* where a death goes */
extern long countdown;    /* to it, in points */
extern long points;       /* that were passed */
extern bool armed;
void crash_point(void);
