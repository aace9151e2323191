/* SPDX-License-Identifier: MIT */
/* One turn of a domain's main loop: timers, events, watches, in this order; then it sleeps. */
#include "internal.h"

static unsigned turn(void)
{
    unsigned n = timers_run() + event_poll();

    return n + xs_run_watches();
}

unsigned event_wait(uint64_t until_ns)
{
    unsigned n = turn();
    uint64_t next = timers_next();

    if (n || until_ns == TIME_PAST) { /* no exit for nothing */
        event_send_left();
        return n;
    }
    if (next && (!until_ns || next < until_ns))
        until_ns = next;
    event_block(until_ns);
    return turn();
}
