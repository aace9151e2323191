/* SPDX-License-Identifier: MIT */
/*
 * Configurations of the bundle that start by themselves: at boot, in the order of the bundle, role by role. A guest that needs a driver
 * domain which is not there waits (waiting.c), and it starts when that is made.
 */
#pragma once
#include <bulkhead.h>
#include <stdbool.h>

void autostart(enum bh_role role); /* at boot: the configurations with autostart and this role */
/* Starts a guest that waited for it. True: call again soon, there may be more; keys go first. */
bool autostart_work(void);
