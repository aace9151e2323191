/* SPDX-License-Identifier: MIT */
/*
 * A disk front-end for whoever reads and writes a little and may wait: one ring of one page, one request at a time, through pages of its own.
 *
 * The back-end is not trusted. What it answers is copied once and checked: a response that was not asked for, or a state of the ring that cannot
 * be, ends the connection (`broken` says why), and so do a request that is not answered in time and many that are answered more slowly than by
 * any disk. Its data are copied out of the shared pages before anybody looks at them. A restart of the back-end in place is only a wait.
 *
 * Each call that waits hands the CPU on by xs_pause, which is set.
 */
#pragma once
#include <bh.h>
#include <xen/io/blkif.h>

#define BLKFRONT_PAGES 11u                   /* BLKIF_MAX_SEGMENTS_PER_REQUEST */
#define BLKFRONT_MOST  (BLKFRONT_PAGES * 8u) /* sectors of 512 of one request */

struct blkfront {
    uint64_t nr_sectors; /* of 512 bytes */
    uint32_t sector_size; /* of the disk: requests are whole multiples of it, at multiples of it; 512 to 4096 */
    bool read_only;
    const char *broken; /* why nothing goes any more, or NULL */
    /* its own */
    domid_t back;
    struct blkif_sring *ring;
    uint8_t *data;                           /* BLKFRONT_PAGES */
    int ring_ref, ref[BLKFRONT_PAGES], port; /* 0 or less: none */
    uint32_t asked;                          /* requests so far */
    uint64_t patience_ns; /* that is left: what is answered slowly uses it up, what is answered earns some */
};

/* Both directories are there and the back-end is at InitWait. 0; or a negative errno, and b->broken says why: blkfront_close it all the same. */
int blkfront_open(struct blkfront *b, domid_t back, const char *fe, const char *be);
/* nr sectors of 512 from first on, at most BLKFRONT_MOST. 0, or a negative errno: -EIO (the disk cannot, or b->broken), -EINVAL. */
int blkfront_read(struct blkfront *b, uint64_t first, unsigned nr, void *to);
int blkfront_write(struct blkfront *b, uint64_t first, unsigned nr, const void *from);
int blkfront_flush(struct blkfront *b); /* what was written is on the disk */
/* The back-end was told to let go. -EBUSY: it has not, and its pages stay taken: call it again before b is used for anything else. */
int blkfront_close(struct blkfront *b);
