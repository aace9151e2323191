/* SPDX-License-Identifier: MIT */
/* What the disk drivers share: a watch over controllers that stop answering, and the line about a request that failed. */
#pragma once
#include <bh.h>
#include <errno.h>
#include <stdio.h>
#include "blkdev.h"

#define DISK_MAX_SECTORS (1ull << 54) /* 512-byte units: byte counts stay far from overflow */

/*
 * A controller that stops answering ends this instance: the next one resets it and replays what was in flight. Ticks while
 * requests are out; `sick` looks at the controller's own verdict each time.
 */
#define STUCK_TICK_NS 1000000000ull
#define STUCK_TICKS   30u /* seconds without one completion: longer than any disk's own retries */

struct stuck {
    struct dtimer timer; /* first: the timer's address is ours */
    const char *what;
    const char *(*sick)(void); /* NULL, or what the controller says of itself */
    uint64_t completed, seen;
    unsigned in_flight, ticks;
};

static inline void stuck_tick(struct dtimer *t)
{
    struct stuck *s = (struct stuck *)t;
    const char *why = s->sick();

    if (why)
        bh_panic("%s: %s", s->what, why);
    if (!s->in_flight)
        return; /* the next request starts it again */
    s->ticks = s->completed == s->seen ? s->ticks + 1 : 0;
    s->seen = s->completed;
    if (s->ticks >= STUCK_TICKS)
        bh_panic("%s: %u requests and no answer for %u s", s->what, s->in_flight, s->ticks);
    dtimer_set(t, now_ns() + STUCK_TICK_NS);
}

static inline void stuck_init(struct stuck *s, const char *what, const char *(*sick)(void))
{
    *s = (struct stuck){.timer.fn = stuck_tick, .what = what, .sick = sick};
}

/* The controller was stopped: nothing comes back any more. */
static inline void stuck_stop(struct stuck *s)
{
    dtimer_cancel(&s->timer);
    s->in_flight = 0;
}

static inline void stuck_submitted(struct stuck *s)
{
    s->in_flight++;
    if (!s->timer.armed) {
        s->ticks = 0;
        s->seen = s->completed;
        dtimer_set(&s->timer, now_ns() + STUCK_TICK_NS);
    }
}

static inline void stuck_completed(struct stuck *s)
{
    s->in_flight--;
    s->completed++;
}

/* A guest decides how often it reads a bad sector: one line a second, the others are counted. */
static inline void disk_complain(const struct blk_io *io, const char *what, unsigned status)
{
    static const char *const ops[] = {
        [BLK_READ] = "read", [BLK_WRITE] = "write", [BLK_FLUSH] = "flush", [BLK_DISCARD] = "discard"};
    static uint64_t next;
    static unsigned quiet;
    uint64_t now = now_ns();

    if (now < next) {
        quiet++;
        return;
    }
    next = now + 1000000000ull;
    printf("%s: %s failed at sector %lu, %u sectors: %s status 0x%x (%u more before it)\n", self.name, ops[io->op], io->sector,
           io->nr_sectors, what, status, quiet);
    quiet = 0;
}
