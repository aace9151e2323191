/* SPDX-License-Identifier: MIT */
#pragma once
#include "lib/types.h"

void machine_stop(void) __noreturn; /* nothing can run: halts (noreboot) or powers off, the reason already printed */
