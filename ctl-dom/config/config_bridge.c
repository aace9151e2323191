/* SPDX-License-Identifier: MIT */
/*
 * bridges=, a key of our own: which switches a net driver domain has, and on which of its NICs each is. An entry is NAME=DEVICE, or NAME alone for one
 * that no wire leads to.
 *
 * Pure: no hypercalls.
 */
#include "config/config.h"
#include <devname.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Names are a vif's `bridge=` too, where VLANs stand behind a dot or a colon (config_vif.c). */
static bool good_name(const char *name)
{
    const char *dot = strrchr(name, '.');

    return *name &&
           !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789_-.")] &&
           name[strspn(name, "0123456789")] &&
           !(dot && dot[1] && !dot[1 + strspn(dot + 1, "0123456789")]);
}

int config_bridge(struct domcfg *c, const char *spec, char *err, size_t n)
{
    struct cfg_bridge *b = &c->bridge[c->nr_bridges];
    size_t len = strcspn(spec, "=");

    if (c->nr_bridges == SLOT_BRIDGES)
        return snprintf(err, n, "more than %u", SLOT_BRIDGES), -EINVAL;
    memset(b, 0, sizeof(*b));
    snprintf(b->name, sizeof(b->name), "%.*s", (int)len, spec);
    if (len >= sizeof(b->name) || !good_name(b->name))
        return snprintf(err, n,
                        "'%.*s' is no name of a bridge (at most %d of: letters, digits, _ - . and no number, nor a dot and a number at its end)",
                        len < 40 ? (int)len : 40, spec, BH_NAME_LEN - 1),
               -EINVAL;
    b->wire = spec[len] == '=';
    if (b->wire && !pci_parse(spec + len + 1, &b->sbdf))
        return snprintf(err, n,
                        "%s: bad device '%.40s' (bus:slot.function or domain:bus:slot.function)",
                        b->name, spec + len + 1),
               -EINVAL;
    for (const struct cfg_bridge *o = c->bridge; o < b; o++) {
        if (!strcmp(o->name, b->name))
            return snprintf(err, n, "%s is there twice", b->name), -EINVAL;
        if (b->wire && o->wire && o->sbdf == b->sbdf)
            return snprintf(err, n, "%s and %s have the same device", o->name, b->name), -EINVAL;
    }
    c->nr_bridges++;
    return 0;
}

static bool has_device(const struct domcfg *c, uint32_t sbdf)
{
    for (unsigned i = 0; i < c->nr_pci; i++)
        if (c->pci[i] == (c->pci_all >> i & 1 ? sbdf & ~7u : sbdf))
            return true;
    return false;
}

int config_bridges_check(const struct domcfg *c, char *err, size_t n)
{
    if (c->nr_bridges && (c->role != BH_ROLE_DRIVER || strcmp(c->image, "net") != 0))
        return snprintf(err, n,
                        "bridges: a net driver domain has them (role = \"driver\", image = \"net\")"),
               -EINVAL;
    for (unsigned i = 0; i < c->nr_bridges; i++) {
        const struct cfg_bridge *b = &c->bridge[i];
        if (b->wire && !has_device(c, b->sbdf))
            return snprintf(err, n, "bridges: %s: its device is not in pci", b->name), -EINVAL;
        if (i && !strcmp(b->name, c->name))
            return snprintf(err, n, "bridges: %s, the domain's own name, means the first one",
                            b->name),
                   -EINVAL;
    }
    return 0;
}
