/* SPDX-License-Identifier: MIT */
/* Characters, comments, texts in quotes, and what is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/settings_reader.h"

bool reader_wrong(struct reader *r, const char *fmt, ...)
{
    char text[sizeof(((struct finding *)0)->text)];
    int len = r->key[0] ? snprintf(text, sizeof(text), "%s: ", r->key) : 0;
    va_list ap;

    snprintf(text + len, sizeof(text) - (size_t)len, "%s", fmt);
    va_start(ap, fmt);
    finding_error(r->s->found, r->file, r->line, text, ap);
    va_end(ap);
    return false;
}

bool reader_is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '/' || c == ':';
}

void reader_skip(struct reader *r, bool lines)
{
    for (; r->p < r->end; r->p++) {
        char c = *r->p;
        if (c == '#') {
            while (r->p + 1 < r->end && r->p[1] != '\n')
                r->p++;
        } else if (c == '\n' && lines) {
            r->line++;
        } else if (c != ' ' && c != '\t' && (c != '\r' || (r->p + 1 < r->end && r->p[1] != '\n'))) {
            break;
        }
    }
}

/* The code point there; -1: no UTF-8. */
static long code_point(const unsigned char *p, size_t left)
{
    unsigned more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : 1;
    long c = p[0] & (0x3f >> more);

    if (p[0] < 0xc2 || p[0] > 0xf4 || left <= more)
        return -1;
    for (unsigned i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return -1;
        c = c << 6 | (p[i] & 0x3f);
    }
    return c;
}

static const char *name_of(long c)
{
    switch (c) {
    case 0xa0:
    case 0x2007:
    case 0x202f: return "a no-break space";
    case 0x200b:
    case 0x2060: return "an invisible space";
    case 0x2018 ... 0x201f:
    case 0xab:
    case 0xbb: return "a curly quote";
    case 0x2010 ... 0x2015: return "a dash that is no -";
    case 0xfeff: return "a byte order mark inside of the file";
    default: return "a character";
    }
}

const char *reader_odd(const struct reader *r)
{
    static char text[64];
    const unsigned char *p = (const unsigned char *)r->p;

    if (r->p == r->end || (*p >= ' ' && *p < 0x7f) || *p == '\n')
        return NULL;
    if (*p == '\0')
        return "a NUL byte";
    if (*p == '\f')
        return "a form feed";
    if (*p == '\r')
        return "a carriage return without a line feed";
    if (*p < 0x80) {
        snprintf(text, sizeof(text), "a control character (0x%02x)", *p);
        return text;
    }
    long c = code_point(p, (size_t)(r->end - r->p));
    if (c < 0)
        snprintf(text, sizeof(text), "a byte 0x%02x, which is no UTF-8", *p);
    else
        snprintf(text, sizeof(text), "%s (U+%04lX)", name_of(c), c);
    return text;
}

struct item *reader_item(struct reader *r, const char *text, size_t len)
{
    struct item *i;

    if (len > TEXT_MAX) {
        reader_wrong(r, "longer than %u characters", TEXT_MAX);
        return NULL;
    }
    i = r->s->bytes < SETTINGS_BYTES ? calloc(1, sizeof(*i) + len + 1) : NULL;
    if (!i) {
        reader_wrong(r, "out of memory");
        return NULL;
    }
    r->s->bytes += sizeof(*i) + len;
    i->line = r->line;
    if (text)
        memcpy(i->text, text, len);
    i->made = r->s->made;
    r->s->made = i;
    return i;
}

/* Where it ends; NULL: there is no end. */
static const char *closing(const struct reader *r)
{
    for (const char *p = r->p + 1; p < r->end && *p != '\n' && *p; p++) {
        if (*p == *r->p)
            return p;
        p += *p == '\\' && p + 1 < r->end && p[1] != '\n' && p[1];
    }
    return NULL;
}

/* As in C; 0: it is none. */
static char escaped(char c)
{
    static const char letters[] = "\\\"'abfnrtv", stand_for[] = "\\\"'\a\b\f\n\r\t\v";
    const char *at = c ? strchr(letters, c) : NULL;

    return at ? stand_for[at - letters] : '\0';
}

struct item *reader_text(struct reader *r)
{
    const char *end = closing(r);
    size_t n = 0;

    if (!end) {
        size_t line = 0;
        while (r->p + line < r->end && r->p[line] != '\n' && r->p[line])
            line++;
        bool nul = r->p + line < r->end && !r->p[line]; /* what is behind it would be lost */
        reader_wrong(r, nul ? "a NUL byte" : "the closing quote is missing");
        r->depth = 1; /* where it should end nothing says */
        return NULL;
    }
    struct item *i = reader_item(r, NULL, (size_t)(end - r->p) - 1);
    if (!i)
        return NULL;
    for (const char *p = r->p + 1; p < end; p++) {
        char c = *p == '\\' ? escaped(p[1]) : *p;
        if (!c) {
            reader_wrong(r,
                         "\\%c in a text: a backslash is \\\\ there, and \\\" \\' \\a \\b \\f \\n \\r \\t \\v stand for what they do in C",
                         p[1]);
            return NULL;
        }
        p += *p == '\\';
        i->text[n++] = c;
    }
    r->p = end + 1;
    return i;
}
