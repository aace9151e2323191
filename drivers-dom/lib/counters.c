/* SPDX-License-Identifier: MIT */
/* What a back-end has counted, as text for the store, from where the control domain shows it: counters.h. */
#include <counters.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t sum(const uint64_t *v, unsigned n)
{
    uint64_t s = 0;

    while (n--)
        s += v[n];
    return s;
}

/* What a text does not have is 0. */
static void add_text(uint64_t *to, const char *text, unsigned n)
{
    char *end;

    for (unsigned i = 0; i < n; i++, text = end) {
        uint64_t v = strtoul(text, &end, 10);
        if (end == text)
            return;
        to[i] += v;
    }
}

static bool read_before(struct counters *c, const char *path, unsigned n)
{
    if (c->known)
        return true;
    char *text = xs_read(0, path);
    if (!text && xs_error != ENOENT)
        return false;
    if (text)
        add_text(c->before, text, n);
    free(text);
    c->known = true;
    return true;
}

bool counters_unsaid(const struct counters *c, const uint64_t *now, unsigned n)
{
    return c->said != sum(now, n);
}

bool counters_say(struct counters *c, const char *path, const uint64_t *now, unsigned n)
{
    char text[COUNTERS_TEXT] = "";
    size_t at = 0;

    if (!counters_unsaid(c, now, n))
        return true;
    if (!read_before(c, path, n))
        return false;
    for (unsigned i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%lu", i ? " " : "",
                               c->before[i] + now[i]);
    uint64_t said = sum(now, n); /* they may grow while the store takes this */
    if (xs_write(0, path, text))
        return false;
    c->said = said;
    return true;
}

void counters_over(struct counters *c, const uint64_t *now, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        c->before[i] += now[i];
    c->said = 0;
}
