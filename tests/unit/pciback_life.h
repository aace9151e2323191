/* SPDX-License-Identifier: MIT */
/*
 * One life of pciback (pciback/main.c on top of domains/xs_client.c) as a process: what it knows is gone with it, its ring to the store is a page
 * that it shares with the test. The test is the core and gives it the CPU: whenever it sends an event, waits or sleeps, it says so and stands still until
 * it is told to go on.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct xenstore_domain_interface;

enum { LIFE_SENDS = 's', LIFE_WAITS = 'w', LIFE_SLEEPS = 'z' }; /* what it says */
enum { LIFE_GO_ON = 'g', LIFE_LATER = 'l' }; /* what it is told; LATER: a second has passed */
enum { LIFE_DIED = 4, LIFE_PANIC = 5 };      /* how it ends */

#define LIFE_KEEP 3u /* pages */
struct life_seen {   /* shared, too */
    uint8_t keep[LIFE_KEEP * 4096];
    long points; /* that lives passed: before each hypercall and each store to the ring's indices */
    unsigned adopted, served, lines;
    unsigned shown; /* devices that domain 16 sees */
    uint64_t now;
};

/* Does not return. It dies at the point that comes after so many; -1: at none. */
void pciback_life(struct xenstore_domain_interface *ring, struct life_seen *seen, int fd,
                  long dies_after) __attribute__((noreturn));
/* What the core says of a device's configuration space. 0 or -errno, as text of 512 digits. */
int life_config(uint32_t sbdf, char text[513]);
