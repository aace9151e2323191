/* SPDX-License-Identifier: MIT */
/* vsnprintf: the formats listed in format.h. An unknown conversion is copied as it stands. */
#include "common/format.h"
#include <stdbool.h>
#include <stdint.h>
#include "common/string.h"

struct out {
    char *buf;
    size_t room, len;
};
struct spec {
    bool left, plus, space, zero, alt;
    int width, prec; /* prec < 0: not given */
    char size;       /* 'H' hh, 'h', 'l' (also ll, z, j, t), 0 int */
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->room)
        o->buf[o->len] = c;
    o->len++;
}

static void pad(struct out *o, char c, int n)
{
    while (n-- > 0)
        put(o, c);
}

static void put_text(struct out *o, const struct spec *s, const char *t, size_t len)
{
    int fill = s->width - (int)len;

    if (!s->left)
        pad(o, ' ', fill);
    for (size_t i = 0; i < len; i++)
        put(o, t[i]);
    if (s->left)
        pad(o, ' ', fill);
}

static void put_number(struct out *o, const struct spec *s, uint64_t v, unsigned base,
                       const char *sign, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[24];
    int n = 0;

    if (s->alt && base == 16 && v)
        sign = upper ? "0X" : "0x";
    if (!(s->prec == 0 && v == 0))
        do
            text[n++] = digits[v % base];
        while (v /= base);
    if (s->alt && base == 8 && (!n || text[n - 1] != '0'))
        text[n++] = '0';
    int zeros = s->prec > n ? s->prec - n : 0;
    int fill = s->width - n - zeros - (int)strlen(sign);
    if (s->zero && !s->left && s->prec < 0 && fill > 0) {
        zeros += fill;
        fill = 0;
    }
    if (!s->left)
        pad(o, ' ', fill);
    while (*sign)
        put(o, *sign++);
    pad(o, '0', zeros);
    while (n)
        put(o, text[--n]);
    if (s->left)
        pad(o, ' ', fill);
}

static int number(const char **f)
{
    int v = 0;

    for (; **f >= '0' && **f <= '9'; (*f)++)
        if (v < 100000)
            v = v * 10 + (**f - '0');
    return v;
}

/* Flags, width, precision and size; va_list by pointer, because it is an array type. */
static const char *parse(const char *f, struct spec *s, va_list *ap)
{
    *s = (struct spec){ .prec = -1 };
    for (;; f++) {
        if (*f == '-')
            s->left = true;
        else if (*f == '+')
            s->plus = true;
        else if (*f == ' ')
            s->space = true;
        else if (*f == '0')
            s->zero = true;
        else if (*f == '#')
            s->alt = true;
        else
            break;
    }
    if (*f == '*') {
        s->width = va_arg(*ap, int);
        if (s->width < 0) {
            s->left = true;
            s->width = -s->width;
        }
        f++;
    } else {
        s->width = number(&f);
    }
    if (*f == '.') {
        f++;
        if (*f == '*') {
            s->prec = va_arg(*ap, int);
            f++;
        } else {
            s->prec = number(&f);
        }
    }
    for (; *f && strchr("hlzjt", *f); f++)
        s->size = *f == 'h' ? (s->size == 'h' ? 'H' : 'h') : 'l';
    return f;
}

static int64_t get_signed(const struct spec *s, va_list *ap)
{
    if (s->size == 'l')
        return va_arg(*ap, long);
    int v = va_arg(*ap, int);
    return s->size == 'H' ? (signed char)v : s->size == 'h' ? (short)v : v;
}

static uint64_t get_unsigned(const struct spec *s, va_list *ap)
{
    if (s->size == 'l')
        return va_arg(*ap, unsigned long);
    unsigned v = va_arg(*ap, unsigned);
    return s->size == 'H' ? (unsigned char)v : s->size == 'h' ? (unsigned short)v : v;
}

static void convert(struct out *o, char c, struct spec *s, va_list *ap)
{
    switch (c) {
    case 'd':
    case 'i': {
        int64_t v = get_signed(s, ap);
        put_number(o, s, v < 0 ? -(uint64_t)v : (uint64_t)v, 10,
                   v < 0      ? "-"
                   : s->plus  ? "+"
                   : s->space ? " "
                              : "",
                   false);
        break;
    }
    case 'u': put_number(o, s, get_unsigned(s, ap), 10, "", false); break;
    case 'o': put_number(o, s, get_unsigned(s, ap), 8, "", false); break;
    case 'x':
    case 'X': put_number(o, s, get_unsigned(s, ap), 16, "", c == 'X'); break;
    case 'p': put_number(o, s, (uint64_t)va_arg(*ap, void *), 16, "0x", false); break;
    case 'c': {
        char ch = (char)va_arg(*ap, int);
        put_text(o, s, &ch, 1);
        break;
    }
    case 's': {
        const char *t = va_arg(*ap, const char *);
        if (!t)
            t = "(null)";
        put_text(o, s, t, s->prec < 0 ? strlen(t) : strnlen(t, (size_t)s->prec));
        break;
    }
    case '%': put(o, '%'); break;
    default: put(o, '%'); put(o, c);
    }
}

int vsnprintf(char *buf, size_t n, const char *fmt, va_list args)
{
    struct out o = { buf, n, 0 };
    struct spec s;
    va_list ap;

    va_copy(ap, args);
    for (const char *f = fmt; *f; f++) {
        if (*f != '%') {
            put(&o, *f);
            continue;
        }
        f = parse(f + 1, &s, &ap);
        if (!*f)
            break;
        convert(&o, *f, &s, &ap);
    }
    va_end(ap);
    if (n)
        buf[o.len < n ? o.len : n - 1] = '\0';
    return (int)o.len;
}

int snprintf(char *buf, size_t n, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int len = vsnprintf(buf, n, fmt, ap);
    va_end(ap);
    return len;
}
