/* SPDX-License-Identifier: MIT */
/* What start, interrupts and end of the core need of the log. */
#pragma once
#include "base/print.h"

void print_set(int max); /* enum loglevel or -1 */
void print_deferred(void); /* from the interrupt path, no locks held: tells the console's holder of new lines */
void print_take_back(void); /* panic: breaks the lock and takes the console */

/* What panic needs of the machine. All on the CPU that panics, interrupts off; set before anything can panic. */
struct panic_machine {
    void (*stop_others)(void);
    void (*tell)(uint64_t rbp); /* what ran, and by its frame pointer who called */
    void (*end)(void) __noreturn;
};
void panic_listen(const struct panic_machine *m);
