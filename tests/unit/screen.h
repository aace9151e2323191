/* SPDX-License-Identifier: MIT */
/* What a command writes, for tests that are built without the console. */
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "console/console.h"

static char screen[65536];

void out(const char *fmt, ...)
{
    size_t n = strlen(screen);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(screen + n, sizeof(screen) - n, fmt, ap);
    va_end(ap);
}
