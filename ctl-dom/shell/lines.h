/* SPDX-License-Identifier: MIT */
/* Lines that a command takes from the keyboard. */
#pragma once
#include <stddef.h>

/* From the command: it is over when a line with a single dot, or Ctrl-D at the beginning of one, came, and over() was called, with all lines, each with its
 * newline, and a NUL behind them; NULL: Ctrl-C, or there were more than `most` bytes, or a line that the editor does not hold, which was said. */
void lines_take(const char *prompt, size_t most, void (*over)(const char *text, size_t len));
