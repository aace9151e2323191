/* SPDX-License-Identifier: MIT */
/* <string.h>. Copies and fills go 64 bytes a turn by SSE: an emulator runs REP MOVSB byte by byte. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ctype.h>

typedef long long vec __attribute__((vector_size(16), aligned(1), may_alias));
typedef long long word __attribute__((aligned(1), may_alias));

static void *copy_up(void *d, const void *s, size_t n)
{
    char *to = d;
    const char *from = s;

    for (; n >= 64; n -= 64, to += 64, from += 64) {
        vec a = *(const vec *)from, b = *(const vec *)(from + 16), c = *(const vec *)(from + 32),
            e = *(const vec *)(from + 48);
        *(vec *)to = a;
        *(vec *)(to + 16) = b;
        *(vec *)(to + 32) = c;
        *(vec *)(to + 48) = e;
    }
    for (; n >= 16; n -= 16, to += 16, from += 16)
        *(vec *)to = *(const vec *)from;
    while (n--)
        *to++ = *from++;
    return d;
}

void *memcpy(void *restrict d, const void *restrict s, size_t n) { return copy_up(d, s, n); }

void *memmove(void *d, const void *s, size_t n)
{
    if ((uintptr_t)d - (uintptr_t)s >= n)
        return copy_up(d, s,
                       n); /* forwards, each load before the stores of its turn: right for d below s too */
    char *to = (char *)d + n;
    const char *from = (const char *)s + n;
    for (; n >= 16; n -= 16) {
        to -= 16;
        from -= 16;
        *(vec *)to = *(const vec *)from;
    }
    while (n--)
        *--to = *--from;
    return d;
}

void *memset(void *d, int c, size_t n)
{
    char *to = d;
    long long word_of_c = (long long)(0x0101010101010101ull * (unsigned char)c);
    vec v = { word_of_c, word_of_c };

    for (; n >= 64; n -= 64, to += 64) {
        *(vec *)to = v;
        *(vec *)(to + 16) = v;
        *(vec *)(to + 32) = v;
        *(vec *)(to + 48) = v;
    }
    for (; n >= 16; n -= 16, to += 16)
        *(vec *)to = v;
    if (n & 8) {
        *(word *)to = word_of_c;
        to += 8;
    }
    for (n &= 7; n--;)
        *to++ = (char)c;
    return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;

    for (; n >= 32; n -= 32, x += 32, y += 32) {
        const word *v = (const word *)x, *w = (const word *)y;
        if ((v[0] ^ w[0]) | (v[1] ^ w[1]) | (v[2] ^ w[2]) | (v[3] ^ w[3]))
            break;
    }
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    const unsigned char *p = s;

    for (; n; n--, p++)
        if (*p == (unsigned char)c)
            return (void *)(uintptr_t)p;
    return NULL;
}

int strcasecmp(const char *a, const char *b)
{
    while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b))
        a++, b++;
    return tolower((unsigned char)*a) - tolower((unsigned char)*b);
}

char *strcpy(char *restrict d, const char *restrict s) { return memcpy(d, s, strlen(s) + 1); }

char *strncpy(char *restrict d, const char *restrict s, size_t n)
{
    size_t len = strnlen(s, n);

    memcpy(d, s, len);
    memset(d + len, 0, n - len);
    return d;
}

size_t strlcpy(char *restrict d, const char *restrict s, size_t n)
{
    size_t len = strlen(s);

    if (n) {
        size_t k = len < n ? len : n - 1;
        memcpy(d, s, k);
        d[k] = '\0';
    }
    return len;
}

char *strcat(char *restrict d, const char *restrict s)
{
    strcpy(d + strlen(d), s);
    return d;
}

char *strrchr(const char *s, int c)
{
    const char *found = NULL;

    for (;; s++) {
        if (*s == (char)c)
            found = s;
        if (!*s)
            return (char *)(uintptr_t)found;
    }
}

char *strstr(const char *h, const char *n)
{
    size_t len = strlen(n);

    for (; strlen(h) >= len; h++)
        if (!memcmp(h, n, len))
            return (char *)(uintptr_t)h;
    return NULL;
}

size_t strspn(const char *s, const char *set)
{
    size_t n = 0;

    while (s[n] && strchr(set, s[n]))
        n++;
    return n;
}

size_t strcspn(const char *s, const char *set)
{
    size_t n = 0;

    while (s[n] && !strchr(set, s[n]))
        n++;
    return n;
}

char *strerror(int e)
{
    static const struct {
        int e;
        const char *text;
    } known[] = {
        { 0, "success" },
        { EPERM, "operation not permitted" },
        { ENOENT, "no such entry" },
        { ESRCH, "no such domain" },
        { EIO, "input/output error" },
        { ENXIO, "no such device or address" },
        { E2BIG, "too big" },
        { EAGAIN, "try again" },
        { ENOMEM, "out of memory" },
        { EACCES, "access denied" },
        { EFAULT, "bad address" },
        { EBUSY, "busy" },
        { EEXIST, "exists already" },
        { EXDEV, "shares its IOMMU group" },
        { ENODEV, "no such device" },
        { EINVAL, "invalid argument" },
        { ENOSPC, "no space left" },
        { ENOSYS, "no such function" },
        { ETIME, "timed out" },
        { EOPNOTSUPP, "not supported" },
        { ENOEXEC, "not a loadable image" },
        { EROFS, "read-only" },
        { EPROTO, "protocol error" },
        { EBADMSG, "corrupted" },
    };

    if (e < 0)
        e = -e;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].e == e)
            return (char *)(uintptr_t)known[i].text;
    return (char *)(uintptr_t) "error";
}
