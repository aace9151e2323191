/* SPDX-License-Identifier: MIT */
/* The machine's end. */
#pragma once
#include "lib/types.h"

void machine_reboot(void) __noreturn;
void machine_poweroff(void) __noreturn;
void machine_stop(void) __noreturn; /* nothing can run: halts (noreboot) or powers off, the reason already printed */
