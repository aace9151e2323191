/* SPDX-License-Identifier: MIT */
/* The serial line's interrupt, which sends what base/serial.c has in its ring, and the timer that does so where none comes. */
#pragma once
#include "base/types.h"

/* tell: from an interrupt or a timer, no lock held, when input came or there is room again. Before serial_irq_init. */
void serial_listen(void (*tell)(void));
void serial_irq_init(void); /* routes the line's interrupt */
void serial_irq_watch(
    void); /* boot CPU, timers are there: if the interrupt does not come, a timer polls, and says so */
