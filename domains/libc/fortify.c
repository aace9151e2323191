/* SPDX-License-Identifier: MIT */
/* errno, the end by abort, and what the fortified code of static archives (libfdt.a, libz.a) calls. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bh.h>

int *__errno_location(void)
{
    static int e;

    return &e;
}

void abort(void) { bh_panic("abort"); }

/* What GCC and glibc's headers emit; the archives were compiled with -fstack-protector-strong -D_FORTIFY_SOURCE=2. */
void __stack_chk_fail(void) __attribute__((noreturn));
void __stack_chk_fail(void) { bh_panic("a stack buffer was overrun"); }

#define FORTIFIED(name, type, ...)    \
    type __##name##_chk(__VA_ARGS__); \
    type __##name##_chk(__VA_ARGS__)
static void within(size_t n, size_t room)
{
    if (n > room)
        bh_panic("a buffer of %lu bytes would be overrun by %lu", room, n);
}

FORTIFIED(memcpy, void *, void *d, const void *s, size_t n, size_t room)
{
    within(n, room);
    return memcpy(d, s, n);
}

FORTIFIED(memset, void *, void *d, int c, size_t n, size_t room)
{
    within(n, room);
    return memset(d, c, n);
}

FORTIFIED(strcat, char *, char *d, const char *s, size_t room)
{
    within(strlen(d) + strlen(s) + 1, room);
    return strcat(d, s);
}

FORTIFIED(vsnprintf, int, char *d, size_t n, int flag, size_t room, const char *fmt, va_list ap)
{
    (void)flag;
    within(n, room);
    return vsnprintf(d, n, fmt, ap);
}

FORTIFIED(snprintf, int, char *d, size_t n, int flag, size_t room, const char *fmt, ...)
{
    va_list ap;

    (void)flag;
    within(n, room);
    va_start(ap, fmt);
    int len = vsnprintf(d, n, fmt, ap);
    va_end(ap);
    return len;
}
