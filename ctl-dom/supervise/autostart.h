/* SPDX-License-Identifier: MIT */
/*
 * Configurations of the bundle that start by themselves: at boot, in the order of the bundle, role by role. A guest that needs a driver
 * domain which is not there waits (waiting.c), and it starts when that is made. One that ran, and cannot be started again, is tried until it can:
 * its disk may be the last owner's still, its back-end slow, memory short.
 */
#pragma once
#include "domain/dom.h"

void autostart(enum bh_role role); /* at boot: the configurations with autostart and this role */
/* Starts a guest that waited for it. True: call again soon, there may be more; keys go first. */
bool autostart_work(void);
/* One that ran is made anew, now or, if that fails, later; it is on the list until then. */
struct waiting;
void autostart_again(struct waiting *w);
