/* SPDX-License-Identifier: MIT */
/* Numbers and sorting. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static int digit(char c)
{
    if (isdigit(c))
        return c - '0';
    return isalpha(c) ? tolower(c) - 'a' + 10 : 99;
}

/* The magnitude; *over if it does not fit. */
static unsigned long long parse(const char *s, char **end, int base, bool *neg, bool *over)
{
    const char *at = s;
    unsigned long long v = 0;
    bool any = false;

    *neg = *over = false;
    while (isspace(*at))
        at++;
    if (*at == '-' || *at == '+')
        *neg = *at++ == '-';
    if ((base == 0 || base == 16) && at[0] == '0' && (at[1] | 0x20) == 'x' && digit(at[2]) < 16) {
        at += 2;
        base = 16;
    }
    if (base == 0)
        base = *at == '0' ? 8 : 10;
    for (; digit(*at) < base; at++, any = true)
        *over |= __builtin_mul_overflow(v, (unsigned)base, &v) |
                 __builtin_add_overflow(v, (unsigned)digit(*at), &v);
    if (end)
        *end = (char *)(uintptr_t)(any ? at : s);
    return v;
}

unsigned long long strtoull(const char *s, char **end, int base)
{
    bool neg, over;
    unsigned long long v = parse(s, end, base, &neg, &over);

    if (over) {
        errno = ERANGE;
        return ULLONG_MAX;
    }
    return neg ? -v : v;
}

long long strtoll(const char *s, char **end, int base)
{
    bool neg, over;
    unsigned long long v = parse(s, end, base, &neg, &over);

    if (over || v > (unsigned long long)LLONG_MAX + neg) {
        errno = ERANGE;
        return neg ? LLONG_MIN : LLONG_MAX;
    }
    return (long long)(neg ? -v : v);
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

char *getenv(const char *name)
{
    (void)name;
    return NULL;
}
