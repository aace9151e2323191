/* SPDX-License-Identifier: MIT */
/* Sorted sets of disjoint address ranges: the memory map, and what is left of it while the core starts. Pure. */
#pragma once
#include "platform/boot_info.h"

struct range_set {
    struct boot_range r[BOOT_MAX_RANGES];
    unsigned nr;
};

/* Adds [start, end), merging what touches. False when the table is full (the range is then missing). */
bool range_add(struct range_set *s, uint64_t start, uint64_t end);
/* Takes [start, end) out. False when a split had no room (then more is taken out than asked: never less). */
bool range_remove(struct range_set *s, uint64_t start, uint64_t end);
/* The highest place of `size` bytes, aligned (a power of two), below `limit`; 0 if none. Takes nothing. */
uint64_t range_find_high(const struct range_set *s, uint64_t size, uint64_t align, uint64_t limit);
bool range_covers(const struct range_set *s, uint64_t start, uint64_t end);
