/* SPDX-License-Identifier: MIT */
/*
 * Accesses of guests to configuration space that the core stopped (BH_CTL_PCI_TRAP). Each waits in its vCPU until it is answered, so a death of ours needs
 * no memory: the next instance gets it again. The core hands them out in turn, a domain's after another's; we take no more than a turn of
 * them, then others are served. No store access.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define PUT_OFF_NS \
    2000000ul /* what the core cannot do yet (a reset) is asked for again after this */

void trap_begin(void);               /* once, before the first turn: events are bound */
bool trap_turn(void);                /* true: there may be more at once */
uint64_t trap_until(uint64_t until); /* the earlier of it (0: never) and when a turn is due without an event */
bool trap_answered(void);            /* some access was answered in this life */
