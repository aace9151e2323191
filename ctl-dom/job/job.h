/* SPDX-License-Identifier: MIT */
/*
 * The one thing at a time that may have to wait: the boot, a command, the end or the next start of a guest, devices that come and go. It
 * has a stack of its own and goes on where it stopped. Events, timers, the supervisor and the keyboard are the main loop's, which is never
 * entered again from within a call: whoever waits leaves it to go on.
 */
#pragma once
#include <stdint.h>

void job_start(void (*run)(void)); /* run never returns */
/* From the main loop: the job goes on until it waits. Returns until when at most (system time; 0: for an event, TIME_PAST: it has more to do). */
uint64_t job_turn(void);
/* From the job: lets the main loop have one turn at least, which ends with an event or then. The store's client waits so, too. */
void job_wait(uint64_t until_ns);
/* The same for whoever does not wait but takes long: a turn, if the last one is some time ago. */
void job_breathe(void);
