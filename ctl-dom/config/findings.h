/* SPDX-License-Identifier: MIT */
/*
 * What there is to say about a configuration: errors, for each of which nothing is made, and notes. All of a file are said together, in the
 * order of its lines.
 *
 * Pure: no hypercalls.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define FINDINGS 24

struct finding {
    bool error;
    unsigned line; /* 0: of a word of the command, or of the whole */
    char text[224];
};

struct findings {
    unsigned errors, n;
    unsigned left; /* that there was no room for */
    struct finding at[FINDINGS];
};

/* "FILE:LINE: what it is" (line 0: without it). An error finds room before a note. */
void finding_error(struct findings *f, const char *file, unsigned line, const char *fmt, va_list ap);
void finding_note(struct findings *f, const char *file, unsigned line, const char *fmt, va_list ap);
/* The first error alone, where there is room for one line. */
void findings_first(const struct findings *f, char *err, size_t n);
