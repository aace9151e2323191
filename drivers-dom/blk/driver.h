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
#define STUCK_TICK_NS NS_PER_S
#define STUCK_TICKS   30u /* seconds for one request: longer than any disk's own retries */

struct stuck {
    struct dtimer timer; /* first: the timer's address is ours */
    const char *what;
    const char *(*sick)(void);  /* NULL, or what the controller says of itself */
    struct blk_io *const *slot; /* what is with the controller; others are NULL */
    unsigned nr_slots, in_flight;
    uint32_t clock; /* ticks while requests were out */
};

/* The controller has it now. */
static inline void stuck_stamp(const struct stuck *s, struct blk_io *io) { io->since = s->clock; }

static inline void stuck_tick(struct dtimer *t)
{
    struct stuck *s = (struct stuck *)t;
    const char *why = s->sick();

    if (why)
        bh_panic("%s: %s", s->what, why);
    if (!s->in_flight)
        return; /* the next request starts it again */
    s->clock++;
    for (unsigned i = 0; i < s->nr_slots; i++) {
        if (s->slot[i] && s->clock - s->slot[i]->since > STUCK_TICKS)
            bh_panic("%s: no answer to a request for %u s, of %u that it has", s->what, STUCK_TICKS,
                     s->in_flight);
    }
    dtimer_set(t, now_ns() + STUCK_TICK_NS);
}

static inline void stuck_init(struct stuck *s, const char *what, const char *(*sick)(void),
                              struct blk_io *const *slot, unsigned n)
{
    *s = (struct stuck){
        .timer.fn = stuck_tick, .what = what, .sick = sick, .slot = slot, .nr_slots = n
    };
}

/* The controller was stopped: nothing comes back any more. */
static inline void stuck_stop(struct stuck *s)
{
    dtimer_cancel(&s->timer);
    s->in_flight = 0;
}

static inline void stuck_submitted(struct stuck *s, struct blk_io *io)
{
    stuck_stamp(s, io);
    s->in_flight++;
    if (!s->timer.armed)
        dtimer_set(&s->timer, now_ns() + STUCK_TICK_NS);
}

static inline void stuck_completed(struct stuck *s) { s->in_flight--; }

/* A guest decides how often it reads a bad sector: one line a second, the others are counted. */
static inline void disk_complain(const struct blk_io *io, const char *what, unsigned status)
{
    static const char *const ops[] = {
        [BLK_READ] = "read", [BLK_WRITE] = "write", [BLK_FLUSH] = "flush", [BLK_DISCARD] = "discard"
    };
    static uint64_t next;
    static unsigned quiet;
    uint64_t now = now_ns();

    if (now < next) {
        quiet++;
        return;
    }
    next = now + NS_PER_S;
    printf("%s: %s failed at sector %lu, %u sectors: %s status 0x%x (%u more before it)\n",
           self.name, ops[io->op], io->sector, io->nr_sectors, what, status, quiet);
    quiet = 0;
}
