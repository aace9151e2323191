/* SPDX-License-Identifier: MIT */
/* vsnprintf for the conversions that base/print.h names. Always terminates; returns the length the whole text would have. */
#include "base/print.h"
#include "base/string.h"

struct out { char *buf; size_t size, len; };

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->size)
        o->buf[o->len] = c;
    o->len++;
}

struct spec { int width, precision; bool left, zero, upper; };

static void pad(struct out *o, int n, char c)
{
    while (n-- > 0)
        put(o, c);
}

static void put_text(struct out *o, const char *s, const struct spec *sp)
{
    size_t n = sp->precision >= 0 ? strnlen(s, (size_t)sp->precision) : strlen(s);
    int fill = sp->width - (int)n;
    if (!sp->left)
        pad(o, fill, ' ');
    for (size_t i = 0; i < n; i++)
        put(o, s[i]);
    if (sp->left)
        pad(o, fill, ' ');
}

static void put_number(struct out *o, uint64_t v, unsigned base, bool minus, const struct spec *sp)
{
    const char *digits = sp->upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char tmp[24];
    int n = 0;
    do
        tmp[n++] = digits[v % base];
    while (v /= base);
    int fill = sp->width - n - (minus ? 1 : 0);
    if (!sp->left && !sp->zero)
        pad(o, fill, ' ');
    if (minus)
        put(o, '-');
    if (!sp->left && sp->zero)
        pad(o, fill, '0');
    while (n)
        put(o, tmp[--n]);
    if (sp->left)
        pad(o, fill, ' ');
}

/* Flags, width and precision; leaves *fmt on the length modifier. */
static const char *parse_spec(const char *f, struct spec *sp, __builtin_va_list *ap)
{
    *sp = (struct spec){ .precision = -1 };
    for (;; f++) {
        if (*f == '-')
            sp->left = true;
        else if (*f == '0')
            sp->zero = true;
        else
            break;
    }
    if (*f == '*') {
        sp->width = __builtin_va_arg(*ap, int);
        f++;
    }
    while (*f >= '0' && *f <= '9')
        sp->width = sp->width * 10 + (*f++ - '0');
    if (*f == '.') {
        sp->precision = 0;
        if (*++f == '*') {
            sp->precision = __builtin_va_arg(*ap, int);
            f++;
        }
        while (*f >= '0' && *f <= '9')
            sp->precision = sp->precision * 10 + (*f++ - '0');
    }
    return f;
}

static void put_integer(struct out *o, char conv, bool wide, struct spec *sp, __builtin_va_list *ap)
{
    if (conv == 'd' || conv == 'i') {
        int64_t v = wide ? __builtin_va_arg(*ap, long) : __builtin_va_arg(*ap, int);
        put_number(o, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, v < 0, sp);
        return;
    }
    sp->upper = conv == 'X';
    uint64_t v = wide ? __builtin_va_arg(*ap, unsigned long) : __builtin_va_arg(*ap, unsigned int);
    put_number(o, v, conv == 'u' ? 10 : 16, false, sp);
}

static void put_conversion(struct out *o, char conv, bool wide, struct spec *sp, __builtin_va_list *ap)
{
    switch (conv) {
    case 'd': case 'i': case 'u': case 'x': case 'X':
        put_integer(o, conv, wide, sp, ap);
        break;
    case 'p':
        put(o, '0');
        put(o, 'x');
        put_number(o, (uintptr_t)__builtin_va_arg(*ap, void *), 16, false, sp);
        break;
    case 's': {
        const char *s = __builtin_va_arg(*ap, const char *);
        put_text(o, s ? s : "(null)", sp);
        break;
    }
    case 'c':
        put(o, (char)__builtin_va_arg(*ap, int));
        break;
    case '%':
        put(o, '%');
        break;
    default: /* a mistake in the format: shown as it is */
        put(o, '%');
        if (conv)
            put(o, conv);
    }
}

int vsnprintf(char *buf, size_t n, const char *fmt, __builtin_va_list ap)
{
    struct out o = { buf, n, 0 };
    __builtin_va_list args;
    __builtin_va_copy(args, ap);
    while (*fmt) {
        struct spec sp;
        bool wide = false;
        if (*fmt != '%') {
            put(&o, *fmt++);
            continue;
        }
        fmt = parse_spec(fmt + 1, &sp, &args);
        for (; *fmt == 'l' || *fmt == 'z'; fmt++)
            wide = true;
        put_conversion(&o, *fmt, wide, &sp, &args);
        if (*fmt)
            fmt++;
    }
    __builtin_va_end(args);
    if (n)
        buf[MIN(o.len, n - 1)] = 0;
    return (int)o.len;
}

int snprintf(char *buf, size_t n, const char *fmt, ...)
{
    __builtin_va_list ap;
    __builtin_va_start(ap, fmt);
    int len = vsnprintf(buf, n, fmt, ap);
    __builtin_va_end(ap);
    return len;
}
