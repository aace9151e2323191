/* SPDX-License-Identifier: MIT */
/*
 * Death of the store at any store to keep pages and rings (xs_stored), for the tests of its journal. Clients never notice: their code runs
 * between turns, a death is within one (serve). The instance's memory is gone with it; what malloc gave is given back here.
 * Link with --wrap=malloc.
 */
#pragma once
#include "xs_harness.h"

extern jmp_buf death; /* where it goes */
extern bool armed;
extern long points, countdown,
    then_countdown; /* stores that were passed; to the death, and from it to the next one; -1: none */
extern unsigned deaths;
extern void (*at_store)(void); /* what others do meanwhile */

void turns(void); /* everybody's, until nothing is left to do */
void forget_memory(void);
int no_world(void **state); /* setup and teardown of tests that make their worlds themselves, often */
