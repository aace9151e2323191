/* SPDX-License-Identifier: MIT */
/*
 * cpus=, as xl has it: "all", or numbers and ranges with commas between them, of which those behind a ^ are taken out again; a list of such
 * has one entry for each vCPU, and those beyond it may run anywhere. The text of a list has a ; between its entries.
 *
 * Pure: no hypercalls.
 */
#include "config/config.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL ((uint32_t)((1ull << CFG_CPUS) - 1))

/* A CPU's number up to the comma or the minus sign. */
static bool cpu_number(const char **p, const char *end, unsigned *v)
{
    *v = 0;
    size_t len = 0;
    for (; *p < end && **p >= '0' && **p <= '9' && len < 4; ++*p, len++)
        *v = *v * 10 + (unsigned)(**p - '0');
    return len;
}

static int piece(const char *p, const char *end, uint32_t *set, char *err, size_t n)
{
    const char *word = p;
    unsigned from, to;
    uint32_t cpus;

    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    bool out = p < end && *p == '^';
    p += out;
    if (end - p >= 4 && !memcmp(p, "node", 4))
        return snprintf(err, n, "'%.*s': NUMA nodes are not known here, CPUs are",
                        (int)(end - word), word),
               -EINVAL;
    if (end - p == 3 && !memcmp(p, "all", 3)) {
        cpus = ALL;
    } else {
        bool good = cpu_number(&p, end, &from);
        to = from;
        if (good && p < end && *p == '-') {
            p++;
            good = cpu_number(&p, end, &to);
        }
        if (!good || p != end || from > to)
            return snprintf(err, n, "'%.*s' is no CPU and no range of them (all, 0-3,^1)",
                            (int)(end - word > 40 ? 40 : end - word), word),
                   -EINVAL;
        if (to >= CFG_CPUS)
            return snprintf(err, n, "CPU %u is beyond %u", to, CFG_CPUS - 1), -EINVAL;
        cpus = (uint32_t)((2ull << to) - (1ull << from));
    }
    *set = out ? *set & ~cpus : *set | cpus;
    return 0;
}

static int set_of(const char *p, const char *end, uint32_t *set, char *err, size_t n)
{
    const char *text = p;
    int rc = 0;

    /* "^1" by itself is all but that one */
    *set = p < end && p[strspn(p, " \t")] == '^' ? ALL : 0;
    for (const char *next; !rc && p <= end; p = next + 1) {
        next = memchr(p, ',', (size_t)(end - p));
        if (!next)
            next = end;
        rc = piece(p, next, set, err, n);
    }
    if (!rc && !*set)
        rc = (snprintf(err, n, "'%.*s' leaves no CPU", (int)(end - text), text), -EINVAL);
    return rc;
}

int config_cpus(const char *text, unsigned vcpu, uint32_t *cpus, char *err, size_t n)
{
    bool list = strchr(text, ';') != NULL;
    unsigned i = 0;
    uint32_t set;

    *cpus = ALL;
    for (const char *p = text; *p; i++) {
        const char *end = p + strcspn(p, ";");
        int rc = set_of(p, end, &set, err, n);
        if (rc)
            return rc;
        if (!list || i == vcpu)
            *cpus = set;
        p = *end ? end + 1 : end;
    }
    return 0;
}
