/* SPDX-License-Identifier: MIT */
/*
 * Lines that another domain can cause as often as it likes: a burst of them, then one every few seconds; what was left out is counted
 * and said with the next one. All zero is a fresh one.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define TALK_BURST   8u
#define TALK_EACH_NS (5 * NS_PER_S)

struct talk {
    uint64_t paid;     /* what was said is paid for at this time */
    unsigned left_out; /* lines since the last one that was said */
};

/* true: say it, and that *left_out lines came before it that were not said. */
static inline bool talk_may(struct talk *t, uint64_t now, unsigned *left_out)
{
    if (t->paid < now)
        t->paid = now;
    if (t->paid - now > (TALK_BURST - 1) * TALK_EACH_NS) {
        t->left_out++;
        return false;
    }
    t->paid += TALK_EACH_NS;
    *left_out = t->left_out;
    t->left_out = 0;
    return true;
}
