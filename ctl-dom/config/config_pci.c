/* SPDX-License-Identifier: MIT */
/*
 * One entry of pci=, as xl-pci-configuration(5) has them: [DOMAIN:]BUS:SLOT.FUNCTION, where * stands for all functions that there are, maybe
 * @VSLOT, then key=value; or bdf= as one of these. The slot and `permissive` count for guests; the other words are noted.
 *
 * Pure: no hypercalls.
 */
#include "config/config.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Up to `digits` hexadecimal digits, at most max; *p is behind them. */
static bool hex(const char **p, size_t digits, uint32_t max, uint32_t *v)
{
    size_t len = strspn(*p, "0123456789abcdefABCDEF");
    char text[8] = "";

    if (!len || len > digits)
        return false;
    memcpy(text, *p, len);
    *v = (uint32_t)strtoul(text, NULL, 16);
    *p += len;
    return *v <= max;
}

/* What is behind the device; NULL: it is none. */
static const char *device(const char *p, struct cfg_pci *d)
{
    uint32_t first, second, third, function = 0;

    if (!hex(&p, 4, 0xffff, &first) || *p++ != ':' || !hex(&p, 2, 0xff, &second))
        return NULL;
    bool has_domain = *p == ':';
    if (has_domain && (p++, !hex(&p, 2, 0x1f, &third)))
        return NULL;
    if (*p++ != '.')
        return NULL;
    d->all = *p == '*';
    if (d->all)
        p++;
    else if (!hex(&p, 1, 7, &function))
        return NULL;
    uint32_t domain = has_domain ? first : 0, bus = has_domain ? second : first,
             slot = has_domain ? third : second;
    d->sbdf = domain << 16 | bus << 8 | slot << 3 | function;
    return bus <= 0xff && slot <= 0x1f ? p : NULL;
}

static bool slot(const char *p, struct cfg_pci *d)
{
    uint32_t v;

    if (!hex(&p, 2, 0x1f, &v) || *p || !v)
        return false;
    d->vslot = (uint8_t)v;
    return true;
}

static bool flag(const char *val) { return !strcmp(val, "0") || !strcmp(val, "1"); }

/* One option. 0: it is known, and if it asks for something, noted. */
static int option(struct cfg_pci *d, const char *key, const char *val, char *noted, size_t n,
                  char *err, size_t err_len)
{
    static const char *const flags[] = { "permissive", "seize", "msitranslate", "power_mgmt" };
    bool on = false, known = false;

    for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (!strcmp(key, flags[i])) {
            if (!flag(val))
                return snprintf(err, err_len, "%s '%.20s' is neither 0 nor 1", key, val), -EINVAL;
            known = true;
            on = *val == '1';
        }
    if (!strcmp(key, "permissive")) {
        d->permissive = on;
        return 0;
    }
    if (!strcmp(key, "rdm_policy")) {
        if (strcmp(val, "strict") != 0 && strcmp(val, "relaxed") != 0)
            return snprintf(err, err_len, "rdm_policy '%.20s' is neither strict nor relaxed", val),
                   -EINVAL;
        known = on = true;
    }
    if (!strcmp(key, "name"))
        known = on = true;
    if (!known)
        return snprintf(err, err_len, "unknown option '%.20s'", key), -EINVAL;
    if (on)
        snprintf(noted + strlen(noted), n - strlen(noted), "%s%s", *noted ? ", " : "", key);
    return 0;
}

static char *trim(char *s)
{
    s += strspn(s, " \t");
    for (size_t len = strlen(s); len && (s[len - 1] == ' ' || s[len - 1] == '\t');)
        s[--len] = '\0';
    return s;
}

int config_pci(struct cfg_pci *d, const char *spec, char *err, size_t n)
{
    char text[160], noted[96] = "";
    bool found = false;

    *err = '\0';
    memset(d, 0, sizeof(*d));
    if (strlen(spec) >= sizeof(text))
        return snprintf(err, n, "'%.40s...' is too long", spec), -EINVAL;
    strcpy(text, spec);
    for (char *word = text, *next; word; word = next) {
        next = strchr(word, ',');
        if (next)
            *next++ = '\0';
        word = trim(word);
        char *val = strchr(word, '=');
        if (val)
            *val++ = '\0';
        word = trim(word);
        if (!found && (!val || !strcmp(word, "bdf"))) {
            const char *which = val ? trim(val) : word, *end = device(which, d);
            found = end && (!*end || *end == '@');
            if (!found)
                return snprintf(err, n,
                                "bad device '%.60s' (bus:slot.function or domain:bus:slot.function, a * for all functions)",
                                which),
                       -EINVAL;
            if (*end == '@' && (end++, !slot(end, d)))
                return snprintf(err, n, "bad slot in '%.60s' (1 to 1f; 0 is the host bridge's)",
                                which),
                       -EINVAL;
            continue;
        }
        if (!val)
            return snprintf(err, n, "expected option=value, got '%.40s'", word), -EINVAL;
        val = trim(val);
        if (!strcmp(word, "vslot")) {
            if (!slot(val, d))
                return snprintf(err, n, "bad vslot '%.20s' (1 to 1f; 0 is the host bridge's)", val),
                       -EINVAL;
            continue;
        }
        int rc = option(d, word, val, noted, sizeof(noted), err, n);
        if (rc)
            return rc;
    }
    if (!found)
        return snprintf(err, n, "'%.60s' names no device (bdf=bus:slot.function)", spec), -EINVAL;
    if (*noted)
        snprintf(err, n, "%.40s: passed over, it does nothing here: %s", spec, noted);
    return 0;
}

struct cfg_pci config_pci_say(struct domcfg *c, const struct cfg_pci *d)
{
    struct cfg_pci *at = NULL, was = { .sbdf = d->sbdf, .all = d->all };

    for (unsigned i = CFG_MAX_PCI; i-- > 0;) {
        struct cfg_pci *p = &c->pci_said[i];
        bool said = p->vslot || p->permissive;
        if (said && p->sbdf == d->sbdf && p->all == d->all) {
            at = p;
            was = *p;
            break;
        }
        at = said ? at : p;
    }
    if (at)
        *at = d->vslot || d->permissive ? *d : (struct cfg_pci){ 0 };
    return was;
}
