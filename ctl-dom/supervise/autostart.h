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
/* cfg, a guest that ran, could not be started again for the reason in e. */
void autostart_later(const struct domcfg *cfg, unsigned short_lives, const struct errbuf *e);
