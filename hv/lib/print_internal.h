/* SPDX-License-Identifier: MIT */
/* What the core's base alone needs of the log. */
#pragma once
#include "lib/print.h"

void print_set(int max); /* enum loglevel or -1 */
void print_deferred(void);   /* from the interrupt path, no locks held: tells the console's holder of new lines */
void print_take_back(void);  /* panic: breaks the lock and takes the console */
void print_backtrace(uint64_t rbp);
