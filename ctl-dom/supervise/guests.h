/* SPDX-License-Identifier: MIT */
/*
 * Ends of guests. One that ended by itself is started again, kept or destroyed as its configuration says, from the main loop and one
 * a turn. Who sees that one has ended: supervisor.c.
 */
#pragma once
#include <stdbool.h>

/* What may wait: the end of one guest, or its next start. True: call again soon, there may be more; keys go first. */
bool guests_work(void);
/* The machine that was about to end (record_machine_ends) does not: a request to shut down that its guest has not taken is withdrawn. */
void guests_may_start(void);
