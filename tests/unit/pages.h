/* SPDX-License-Identifier: MIT */
/* The page allocator of a domain for native programs that link what uses it: first fit, as the domains' is, so that pages lie behind each other;
 * the sanitizer is told which are free. */
#pragma once
#include <bh.h>

extern uint64_t pages_left;

/* A domain of so many pages of RAM, all of them free; 4096 if nobody says it. */
void pages_have(unsigned n);
