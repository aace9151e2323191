/* SPDX-License-Identifier: MIT */
/*
 * Every store to some pages is noticed before it is done: for tests that end a program between any two of them. The pages are read-only; who
 * faults goes on for one instruction and then they are again. An instruction that repeats is two halves.
 */
#pragma once
#include <stddef.h>

/* From now on before() is called before each store to these pages, from a signal's handler; NULL: no more. Whole pages, one range. */
void stores_watch(void *from, size_t len, void (*before)(void));
