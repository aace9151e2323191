/* SPDX-License-Identifier: MIT */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define ROUNDS 2000
extern uint32_t sample[ROUNDS]; /* ns */
void report(const char *what);  /* says median and p99 of all samples */
bool store_words(void);         /* store.c; false: nothing of it is asked for */
