/* SPDX-License-Identifier: MIT */
/* Two CPUs with the real timers for threads that play them: `me` says which one a thread is, the first if it says nothing. */
#pragma once
#define sched_yield host_sched_yield /* the core has one too */
#include <pthread.h>
#undef sched_yield
#include <threads.h>
#include "base/cpu.h"
#include "time/time.h"
#include "shim.h"

extern struct cpu two[2];
extern _Thread_local unsigned me;

/* As after the boot: nothing is armed. */
void two_cpus(void);
/* How many timers a CPU has; 100: its list does not come back to its head. */
unsigned timers_of(unsigned cpu);
