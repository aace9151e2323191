/* SPDX-License-Identifier: MIT */
/*
 * What a driver of a disk stands on in its test, and requests to it. The test pretends the device: what it fetched and did not complete are nr_held, and
 * work(n) has it fetch all and complete n.
 */
#pragma once
#include "unit.h"
#include "blkdev.h"

enum { PAGE = 4096, POOL = 400, MAX = 256 };
extern uint8_t pool[POOL][PAGE]; /* what page_alloc gives: all that DMA may reach */
extern unsigned pool_used;
extern uint64_t now;
extern jmp_buf crash; /* where a panic goes while it is armed; else the test fails */
extern char crash_why[160];
extern bool crash_armed;

extern struct blkdev *d;
extern struct blk_io io[MAX];
extern bool out[MAX]; /* which of them are on their way */
extern uint8_t *data[MAX];
extern unsigned completed, nr_held;
void work(unsigned n);

/* No request is there, no page taken. */
void driver_fresh(void);
/* Data in pieces of so many bytes. What the driver's submit returns. */
int submit(unsigned i, enum blk_op op, uint64_t sector, uint32_t n, unsigned piece);
/* Until nothing is on its way. */
void all(void);
/* Data of so many pages for the first n requests. */
void buffers(unsigned n, unsigned pages);
/* By eight requests with a part of the disk each, of `part` sectors: what is read must be what the model says, which is zeroes at first, as the disk. */
void random_requests(uint8_t *model, uint32_t part);
