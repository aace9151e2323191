/* SPDX-License-Identifier: MIT */
/*
 * A bound on bytes a second, exact over time: each takes its time on a wire of that speed, and what one may run ahead of it is its burst. What is
 * longer than a burst may go when nothing is ahead of it beyond that. Pure.
 */
#pragma once
#include <bh.h>

struct rate {
    uint64_t bytes;    /* a second, 0: no bound */
    uint64_t burst_ns; /* how far it may run ahead */
    uint64_t ready_ns; /* when all that it took has had its time */
};

static inline void rate_set(struct rate *r, uint64_t bytes, uint64_t burst)
{
    *r = (struct rate){ .bytes = bytes };
    if (bytes)
        r->burst_ns = burst / bytes * NS_PER_S + burst % bytes * NS_PER_S / bytes;
}

/* When the next may go; 0 or before now: at once. */
static inline uint64_t rate_when(const struct rate *r)
{
    return r->bytes && r->ready_ns > r->burst_ns ? r->ready_ns - r->burst_ns : 0;
}

static inline void rate_take(struct rate *r, uint64_t now, unsigned n)
{
    if (r->bytes)
        r->ready_ns = (r->ready_ns > now ? r->ready_ns : now) + n * NS_PER_S / r->bytes;
}
