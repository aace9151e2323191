/* SPDX-License-Identifier: MIT */
/* Numbers, sorting, errno, and what fortified code of static archives (libfdt.a, libz.a) calls. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bh.h>

static int digit(char c)
{
    if (isdigit(c))
        return c - '0';
    return isalpha(c) ? tolower(c) - 'a' + 10 : 99;
}

unsigned long long strtoull(const char *s, char **end, int base)
{
    const char *at = s;
    unsigned long long v = 0;
    bool neg = false, any = false, over = false;

    while (isspace(*at))
        at++;
    if (*at == '-' || *at == '+')
        neg = *at++ == '-';
    if ((base == 0 || base == 16) && at[0] == '0' && (at[1] | 0x20) == 'x' && digit(at[2]) < 16) {
        at += 2;
        base = 16;
    }
    if (base == 0)
        base = *at == '0' ? 8 : 10;
    for (; digit(*at) < base; at++, any = true)
        over |= __builtin_mul_overflow(v, (unsigned)base, &v) | __builtin_add_overflow(v, (unsigned)digit(*at), &v);
    if (end)
        *end = (char *)(uintptr_t)(any ? at : s);
    if (over) {
        errno = ERANGE;
        return ULLONG_MAX;
    }
    return neg ? -v : v;
}

long long strtoll(const char *s, char **end, int base)
{
    const char *at = s;

    while (isspace(*at))
        at++;
    bool neg = *at == '-';
    unsigned long long v = strtoull(s, end, base);
    unsigned long long mag = neg && v != ULLONG_MAX ? -v : v;

    if (mag > (unsigned long long)LLONG_MAX + neg) {
        errno = ERANGE;
        return neg ? LLONG_MIN : LLONG_MAX;
    }
    return (long long)v;
}

unsigned long strtoul(const char *s, char **end, int base) { return strtoull(s, end, base); }
long strtol(const char *s, char **end, int base) { return strtoll(s, end, base); }
int atoi(const char *s) { return (int)strtol(s, NULL, 10); }
int abs(int v) { return v < 0 ? -v : v; }

static void swap(char *a, char *b, size_t size)
{
    for (; size; size--, a++, b++) {
        char t = *a;
        *a = *b;
        *b = t;
    }
}

/* Heapsort: no recursion, no worst case. */
static void sift(char *v, size_t root, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && cmp(v + child * size, v + (child + 1) * size) < 0)
            child++;
        if (cmp(v + root * size, v + child * size) >= 0)
            return;
        swap(v + root * size, v + child * size, size);
    }
}

void qsort(void *base, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
    char *v = base;

    for (size_t i = n / 2; i-- > 0;)
        sift(v, i, n, size, cmp);
    for (size_t i = n; i-- > 1;) {
        swap(v, v + i * size, size);
        sift(v, 0, i, size, cmp);
    }
}

int *__errno_location(void)
{
    static int e;

    return &e;
}

void abort(void) { bh_panic("abort"); }
void assert_failed(const char *what, const char *file, int line) { bh_panic("%s:%d: %s does not hold", file, line, what); }

/* What GCC and glibc's headers emit; the archives were compiled with -fstack-protector-strong -D_FORTIFY_SOURCE=2. */
void __stack_chk_fail(void) __attribute__((noreturn));
void __stack_chk_fail(void) { bh_panic("a stack buffer was overrun"); }

#define FORTIFIED(name, type, ...) type __##name##_chk(__VA_ARGS__); type __##name##_chk(__VA_ARGS__)
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

FORTIFIED(memmove, void *, void *d, const void *s, size_t n, size_t room)
{
    within(n, room);
    return memmove(d, s, n);
}

FORTIFIED(memset, void *, void *d, int c, size_t n, size_t room)
{
    within(n, room);
    return memset(d, c, n);
}

FORTIFIED(strcpy, char *, char *d, const char *s, size_t room)
{
    within(strlen(s) + 1, room);
    return strcpy(d, s);
}

FORTIFIED(strcat, char *, char *d, const char *s, size_t room)
{
    within(strlen(d) + strlen(s) + 1, room);
    return strcat(d, s);
}

FORTIFIED(strncpy, char *, char *d, const char *s, size_t n, size_t room)
{
    within(n, room);
    return strncpy(d, s, n);
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
