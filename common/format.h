/* SPDX-License-Identifier: MIT */
/* Text from values, for the core's log and for every domain. Formats: flags - + space 0 #, width and precision (also *),
 * hh h l ll z j t, and d i u x X o c s p %. Both write at most n bytes, the last of them 0, and return the length of the whole text. */
#pragma once
#include <stdarg.h>
#include <stddef.h>

int snprintf(char *buf, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *buf, size_t n, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));
