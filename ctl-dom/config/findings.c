/* SPDX-License-Identifier: MIT */
#include "config/findings.h"
#include <quote.h>
#include <stdio.h>
#include <string.h>

#define NOTES (FINDINGS / 2)

static void add(struct findings *f, bool error, const char *file, unsigned line, const char *fmt,
                va_list ap)
{
    unsigned at = f->n;

    while (at && f->at[at - 1].line > line)
        at--;
    memmove(&f->at[at + 1], &f->at[at], (f->n - at) * sizeof(f->at[0]));
    struct finding *found = &f->at[at];
    found->line = line;
    found->error = error;
    int len = line ? snprintf(found->text, sizeof(found->text), "%.96s:%u: ", file, line)
                   : snprintf(found->text, sizeof(found->text), "%.96s: ", file);
    vsnprintf(found->text + len, sizeof(found->text) - (size_t)len, fmt, ap);
    quote(found->text, sizeof(found->text), found->text);
    f->n++;
}

void finding_error(struct findings *f, const char *file, unsigned line, const char *fmt, va_list ap)
{
    f->errors++;
    if (f->n < FINDINGS)
        add(f, true, file, line, fmt, ap);
    else
        f->left++;
}

void finding_note(struct findings *f, const char *file, unsigned line, const char *fmt, va_list ap)
{
    if (f->n + f->left - f->errors < NOTES && f->n < FINDINGS)
        add(f, false, file, line, fmt, ap);
    else
        f->left++;
}

void findings_first(const struct findings *f, char *err, size_t n)
{
    for (unsigned i = 0; i < f->n; i++)
        if (f->at[i].error) {
            if (f->errors > 1)
                snprintf(err, n, "%s (and %u more)", f->at[i].text, f->errors - 1);
            else
                snprintf(err, n, "%s", f->at[i].text);
            return;
        }
    snprintf(err, n, "?");
}
