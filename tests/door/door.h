/* SPDX-License-Identifier: MIT */
/*
 * A driver domain that somebody took over. The same objects as the real one, and this: every second instance, the odd ones, serves
 * for a while, does one of the attacks below on whoever comes after it, and dies. No line of the real one knows of it: the linker puts
 * it before event_wait. It is in no bundle but that of its test (tests/long/test_door.py).
 */
#pragma once
#include <bh.h>

struct door_attack {
    const char *name;
    void (*run)(uint64_t round); /* the round says which variant */
};
extern const struct door_attack door_attacks[]; /* ends with a NULL name */

/* A page of this domain that nobody but its owner should write, another kind of page each round: code, constants, data, keep
 * pages, slot table, stack. */
void *door_target(uint64_t round);
uint32_t door_random(void);
/* Rewrites and takes away all nodes of one device's back-end directory, and lets the domain `other` write there. */
void door_nodes(const char *type, domid_t dom, uint32_t devid, domid_t other, uint64_t round);
/* The device works on meanwhile, and nobody looks at what it says. */
void door_linger(void);
