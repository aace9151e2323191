/* SPDX-License-Identifier: MIT */
/*
 * Values: texts, numbers, names that were set before, and of Python's expressions those that files of the first years have:
 *     number + number   number - number   number * number   number % number   (...)
 *     text + text       joins them, a number as its digits
 *     text % value      text % (value, value)    %d %i %u %x %X %s and %% of the text, each with a width (%02d)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/settings_reader.h"

static struct item *sum(struct reader *r);

bool setting_number(const char *text, long *v)
{
    char *end;
    const char *digits = text + (*text == '-');

    if (*digits < '0' || *digits > '9')
        return false;
    *v = strtol(text, &end, 0);
    return !*end;
}

static struct item *number_item(struct reader *r, long v)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%ld", v);
    struct item *i = reader_item(r, text, (size_t)len);

    if (i)
        i->number = true;
    return i;
}

/* A word without quotes: what it was set to, or itself. */
static struct item *word(struct reader *r)
{
    const char *start = r->p;
    char name[SETTING_KEY];
    long v;

    while (r->p < r->end && reader_is_word(*r->p))
        r->p++;
    size_t len = (size_t)(r->p - start);
    snprintf(name, sizeof(name), "%.*s", len < sizeof(name) ? (int)len : 0, start);
    if (r->p < r->end && (*r->p == '(' || *r->p == '[')) {
        reader_wrong(r, "%.40s%c: Python is not run here", name, *r->p);
        return NULL;
    }
    struct setting *set = *name ? settings_find(r->s, name) : NULL;
    if (set && set->list) {
        reader_wrong(r, "%.40s is a list", name);
        return NULL;
    }
    if (set)
        set->used = true;
    struct item *i = set ? reader_item(r, set->items->text, strlen(set->items->text))
                         : reader_item(r, start, len);
    if (i) {
        i->number = set ? set->items->number : setting_number(i->text, &v);
        i->bare = !set && !i->number;
    }
    return i;
}

static struct item *factor(struct reader *r)
{
    char c = r->p < r->end ? *r->p : '\0';

    if (c == '"' || c == '\'')
        return reader_text(r);
    if (c == '(' && r->depth < DEPTH_MAX) {
        r->p++;
        r->depth++;
        struct item *i = sum(r);
        if (!i)
            return NULL;
        reader_skip(r, true);
        if (r->p == r->end || *r->p != ')') {
            reader_wrong(r, "the closing ) is missing");
            return NULL;
        }
        r->p++;
        r->depth--;
        return i;
    }
    if (c && reader_is_word(c))
        return word(r);
    if (reader_odd(r))
        reader_wrong(r, "%s where a value is expected", reader_odd(r));
    else
        reader_wrong(r, "a value is missing");
    return NULL;
}

/* An operand has to have a value. */
static bool has_value(struct reader *r, const struct item *i)
{
    return !i->bare || reader_wrong(r, "%.40s has no value: give %.40s=... on the command line",
                                    i->text, i->text);
}

/* --- text % values ---------------------------------------------------------------------------------------- */
#define VALUES 8u

/* (a, b) or one value behind the %. 0: none, which was said. */
static unsigned values(struct reader *r, struct item **value)
{
    bool several = r->p < r->end && *r->p == '(';
    unsigned n = 0;

    r->p += several;
    r->depth += several;
    if (r->depth > DEPTH_MAX)
        return reader_wrong(r, "more than %u brackets in each other", DEPTH_MAX);
    do {
        reader_skip(r, several);
        value[n] = several ? sum(r) : factor(r);
        if (!value[n] || !has_value(r, value[n]))
            return 0;
        n++;
        reader_skip(r, several);
    } while (several && r->p < r->end && *r->p == ',' && n < VALUES && r->p++);
    if (!several)
        return n;
    if (r->p == r->end || *r->p != ')')
        return reader_wrong(r, "the closing ) is missing");
    r->p++;
    r->depth--;
    return n;
}

/* One place of the text, from its % on: what stands there, or -1, which was said. *end: behind it. */
static int place(struct reader *r, const char *p, const char **end, const struct item *value,
                 char *out, size_t n)
{
    bool zeros = p[1] == '0';
    char *behind;
    long width = strtol(p + 1, &behind, 10), v;

    *end = behind + 1;
    if (width < 0 || width > 64 || !*behind || !strchr("diuxXs", *behind)) {
        reader_wrong(r, "%.8s in a text before a %%: only %%d %%i %%u %%x %%X %%s %%%% are known", p);
        return -1;
    }
    if (!value) {
        reader_wrong(r, "the text has more places than there are values behind the %%");
        return -1;
    }
    if (*behind == 's')
        return snprintf(out, n, "%*s", (int)width, value->text);
    if (!setting_number(value->text, &v)) {
        reader_wrong(r, "'%.40s' is no number, for %%%c", value->text, *behind);
        return -1;
    }
    bool hex = *behind == 'x' || *behind == 'X', big = *behind == 'X';
    return hex ? snprintf(out, n,
                          zeros ? (big ? "%0*lX" : "%0*lx")
                          : big ? "%*lX"
                                : "%*lx",
                          (int)width, v)
               : snprintf(out, n, zeros ? "%0*ld" : "%*ld", (int)width, v);
}

static struct item *fill_in(struct reader *r, const struct item *text)
{
    static char out[TEXT_MAX + 1];
    struct item *value[VALUES];
    unsigned n = values(r, value), next = 0;
    size_t len = 0;

    if (!n)
        return NULL;
    for (const char *p = text->text; *p && len <= TEXT_MAX;) {
        if (p[0] != '%' || p[1] == '%') {
            out[len++] = *p;
            p += *p == '%' ? 2 : 1;
            continue;
        }
        int more = place(r, p, &p, next < n ? value[next] : NULL, out + len, TEXT_MAX + 1 - len);
        if (more < 0)
            return NULL;
        len += (size_t)more;
        next++;
    }
    if (next < n) {
        reader_wrong(r, "more values behind the %% than the text has places");
        return NULL;
    }
    return reader_item(r, out, len);
}

/* --- two operands ----------------------------------------------------------------------------------------- */
static struct item *numbers(struct reader *r, const struct item *a, char op, const struct item *b)
{
    long x, y, v;

    if (!a->number || !b->number || !setting_number(a->text, &x) || !setting_number(b->text, &y)) {
        reader_wrong(r, "'%.40s' %c '%.40s' are not two numbers", a->text, op, b->text);
        return NULL;
    }
    if ((op == '%' && y <= 0) || (op == '%'   ? (v = x % y, v += v < 0 ? y : 0, false)
                                  : op == '+' ? __builtin_add_overflow(x, y, &v)
                                  : op == '-' ? __builtin_sub_overflow(x, y, &v)
                                              : __builtin_mul_overflow(x, y, &v))) {
        reader_wrong(r, "%.40s %c %.40s has no result here", a->text, op, b->text);
        return NULL;
    }
    return number_item(r, v);
}

static struct item *join(struct reader *r, const struct item *a, const struct item *b)
{
    size_t len = strlen(a->text);
    struct item *i = reader_item(r, NULL, len + strlen(b->text));

    if (i) {
        memcpy(i->text, a->text, len);
        memcpy(i->text + len, b->text, strlen(b->text));
    }
    return i;
}

/* The operator there, of these; '\0': none. A - without a blank before it is a word's. */
static char operator(struct reader *r, const char *of)
{
    reader_skip(r, r->depth > 0);
    return r->p < r->end && strchr(of, *r->p) && *r->p ? *r->p : '\0';
}

static struct item *product(struct reader *r)
{
    struct item *a = factor(r);
    char op;

    while (a && (op = operator(r, "%*"))) {
        r->p++;
        if (!has_value(r, a))
            return NULL;
        reader_skip(r, r->depth > 0);
        if (op == '%' && !a->number) {
            a = fill_in(r, a);
            continue;
        }
        struct item *b = factor(r);
        a = b && has_value(r, b) ? numbers(r, a, op, b) : NULL;
    }
    return a;
}

static struct item *sum(struct reader *r)
{
    reader_skip(r, r->depth > 0);
    struct item *a = product(r);
    char op;

    while (a && (op = operator(r, "+-"))) {
        r->p++;
        if (!has_value(r, a))
            return NULL;
        reader_skip(r, r->depth > 0);
        struct item *b = product(r);
        if (!b || !has_value(r, b))
            return NULL;
        a = op == '+' && !(a->number && b->number) ? join(r, a, b) : numbers(r, a, op, b);
    }
    return a;
}

struct item *reader_value(struct reader *r) { return sum(r); }
