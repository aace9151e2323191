/* SPDX-License-Identifier: MIT */
/* A command line as words. Pure. */
#pragma once

/* Splits a line into words: blanks separate, except inside quotes and brackets. Returns the count,
 * or -1 with a line in *why. */
int shell_split(char *line, char **argv, int max, const char **why);
