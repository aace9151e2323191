/* SPDX-License-Identifier: MIT */
/* The main loop of the control domain, which never returns: keys, lines, and what the other rooms have left for later. main.c calls it last. */
#pragma once

void shell_run(void (*boot)(void)) __attribute__((noreturn));
