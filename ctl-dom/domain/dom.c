/* SPDX-License-Identifier: MIT */
/* The table of domains that this control domain made, and the names of slots. */
#include "ctl.h"
#include <quote.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dom *doms;

/* A slot's domid belongs to one name until the machine ends: peers of the dead one may still hold
 * grants and ports for it. */
static char slot_name[BH_FIRST_GUEST][BH_NAME_LEN] = {
    [BH_DOMID_CONTROL] = "control",
};

int fail(struct errbuf *e, int rc, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e->s, sizeof(e->s), fmt, ap);
    va_end(ap);
    quote(e->s, sizeof(e->s), e->s); /* a back-end's reason, a name out of a file */
    return rc;
}

const char *errno_text(int rc)
{
    static const struct {
        int e;
        const char *text;
    } texts[] = {
        { EPERM, "not permitted" },
        { ENOENT, "not found" },
        { ESRCH, "no such domain" },
        { EIO, "the connection broke" },
        { E2BIG, "over its limit" },
        { ENOMEM, "out of memory" },
        { EACCES, "access denied" },
        { EFAULT, "bad address" },
        { EBUSY, "busy" },
        { EEXIST, "exists already" },
        { ENODEV, "no such device" },
        { EINVAL, "invalid" },
        { ENOSPC, "no space" },
        { ENOSYS, "not offered by the core" },
        { ETIME, "no answer in time" },
        { EXDEV, "shared group" },
        { EOPNOTSUPP, "not supported" },
    };
    static char other[24];

    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++)
        if (texts[i].e == -rc)
            return texts[i].text;
    snprintf(other, sizeof(other), "error %d", -rc);
    return other;
}

struct dom *dom_by_id(domid_t id)
{
    for (struct dom *d = doms; d; d = d->next)
        if (d->id == id)
            return d;
    return NULL;
}

struct dom *dom_by_name(const char *name)
{
    char *end;
    unsigned long id = strtoul(name, &end, 10);

    for (struct dom *d = doms; d; d = d->next)
        if (!strcmp(d->cfg.name, name))
            return d;
    return *name >= '0' && *name <= '9' && !*end && id < DOMID_FIRST_RESERVED
               ? dom_by_id((domid_t)id)
               : NULL;
}

struct dom *dom_find(const char *name, struct errbuf *e)
{
    struct dom *d = dom_by_name(name);

    if (!d)
        fail(e, -ESRCH,
             !strcmp(name, "control") || !strcmp(name, "0")
                 ? "%s: not for the control domain itself"
                 : "%s: no such domain",
             name);
    return d;
}

struct dom *dom_new(domid_t id, const struct domcfg *cfg)
{
    struct dom *d = calloc(1, sizeof(*d)), **at = &doms;

    if (!d)
        return NULL;
    d->id = id;
    d->cfg = *cfg;
    while (*at && (*at)->id < id)
        at = &(*at)->next;
    d->next = *at;
    *at = d;
    return d;
}

void dom_forget(struct dom *d)
{
    for (struct dom **at = &doms; *at; at = &(*at)->next)
        if (*at == d) {
            *at = d->next;
            break;
        }
    free(d->boot_block);
    free(d->con.log);
    free(d->slots);
    free(d);
}

domid_t slot_for(const struct domcfg *cfg)
{
    domid_t id;

    switch (cfg->role) {
    case BH_ROLE_GUEST: return BH_DOMID_ANY;
    case BH_ROLE_STORE: id = BH_DOMID_STORE; break;
    case BH_ROLE_PCIBACK: id = BH_DOMID_PCIBACK; break;
    default:
        for (id = BH_FIRST_DRIVER; id < BH_FIRST_GUEST; id++)
            if (!slot_name[id][0] || !strcmp(slot_name[id], cfg->name))
                break;
        if (id == BH_FIRST_GUEST)
            return NO_DOMID;
    }
    if (slot_name[id][0] && strcmp(slot_name[id], cfg->name) != 0)
        return NO_DOMID;
    memcpy(slot_name[id], cfg->name, BH_NAME_LEN);
    return id;
}

struct dom *first_net_backend(void)
{
    for (struct dom *d = doms; d; d = d->next)
        if (d->cfg.role == BH_ROLE_DRIVER && !strcmp(d->cfg.image, "net"))
            return d;
    return NULL;
}
