/* SPDX-License-Identifier: MIT */
/*
 * How long a service domain that died waits for its next instance. A first death, and one that a command asked for, waits for nothing; the
 * next ones in a row 10 ms, 20 ms, 40 ms ... An instance that answered somebody is waited for: at most 1 s, and the row is over when one
 * has lived that long. A row of instances that answered nobody goes on to 60 s, and one line says so, not one for each.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct backoff {
    unsigned deaths;   /* in a row */
    uint64_t pause_ns; /* before the next instance */
    bool said; /* that the row has become long: its deaths and restarts are not told one by one any more */
};

/* It died after life_ns of readiness (0: it was never ready), without a command. True: it is time for that one line. */
bool backoff_death(struct backoff *b, bool served, uint64_t life_ns);
/* There is no next instance yet: it could not be made. True: as above. */
bool backoff_failed(struct backoff *b);
/* Seconds before try n (0, 1, ...) of something else: 1, 2, 4 ... 60. */
uint64_t backoff_s(unsigned n);
/* A command, or an instance that works: the next death is a first one. */
void backoff_over(struct backoff *b);
