/* SPDX-License-Identifier: MIT */
/*
 * What a back-end has counted for a device, in the store for those who look on: decimal numbers with blanks between, in an order of the
 * back-end's own. A device's numbers go on over its connections and over the back-end's lives.
 */
#pragma once
#include <bh.h>

#define COUNTERS_MAX  12u
#define COUNTERS_TEXT (COUNTERS_MAX * 21)

struct counters {                  /* all zero: of a device that was just found */
    uint64_t before[COUNTERS_MAX]; /* of connections before this one, also of former lives */
    bool known;                    /* what former lives said has been read */
    uint64_t said;                 /* the sum of what the store has of this connection */
};

/* now: the n numbers of this connection, which only grow. */
bool counters_unsaid(const struct counters *c, const uint64_t *now, unsigned n);
/* Writes them, if that is news. false: the store gave no answer, come again. Blocks in store calls. */
bool counters_say(struct counters *c, const char *path, const uint64_t *now, unsigned n);
/* The connection is over: the next one begins at 0. No store access. */
void counters_over(struct counters *c, const uint64_t *now, unsigned n);
