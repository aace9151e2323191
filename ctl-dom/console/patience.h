/* SPDX-License-Identifier: MIT */
/*
 * The wait of a command: after a second it says for what it waits, it has an end, and Ctrl-C ends it. Where no command waits (the boot, the
 * next start of a guest) nothing is said and the keyboard is left alone.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct patience {
    uint64_t tell, until;
};
enum patience_now { PATIENCE_WAITS, PATIENCE_TELLS, PATIENCE_ENDED, PATIENCE_OVER };

#define PATIENCE_NS 1000000000ull /* before the first line */
void patience_begin(struct patience *p, uint64_t tell_ns, uint64_t most_ns);
/* --- of a command that stays (shell/command.h) --- */
/* Whether it is time for another line; ENDED: by Ctrl-C. */
enum patience_now patience(struct patience *p);
uint64_t patience_left(const struct patience *p); /* in seconds, at least 1 */
/* The job has a turn when there is something to tell, or then. */
void patience_tick(const struct patience *p, uint64_t when);
/* --- of what waits within a command, in the job --- */
void patience_command(bool runs); /* from the shell: what waits now is a command */
/* True: Ctrl-C. The text is printed with how long it may last yet. */
bool patience_ends(struct patience *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
