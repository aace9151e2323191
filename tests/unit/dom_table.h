/* SPDX-License-Identifier: MIT */
/* The domains of a test that is built without the control domain's own table. */
#pragma once
#include <stdio.h>
#include <string.h>
#include "domain/dom.h"

struct dom *doms;

struct dom *dom_by_id(domid_t id)
{
    struct dom *d = doms;

    while (d && d->id != id)
        d = d->next;
    return d;
}
struct dom *dom_find(const char *name, struct errbuf *e)
{
    struct dom *d = doms;

    while (d && strcmp(d->cfg.name, name))
        d = d->next;
    if (!d)
        snprintf(e->s, sizeof(e->s), "%s: no such domain", name);
    return d;
}
