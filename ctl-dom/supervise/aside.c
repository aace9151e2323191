/* SPDX-License-Identifier: MIT */
/* The store alone knows, and puts somebody aside as it begins: so each of its instances is asked once it serves. */
#include "supervise/aside.h"
#include <stdlib.h>
#include <string.h>
#include <xen/io/xs_wire.h>
#include "console/console.h"
#include "store/connection.h"

static const struct dom *store_that_died(void)
{
    const struct dom *s = dom_by_id(BH_DOMID_STORE);

    return store_up && s && s->instance && s->state == DOM_UP ? s : NULL;
}

int aside_each(void (*fn)(struct dom *d, void *arg), void *arg)
{
    char *ids;
    uint32_t len;
    int rc = store_that_died() ? xs_raw(XS_CONTROL, 0, "aside", 6, &ids, &len) : 1;

    if (rc)
        return rc < 0 ? rc : 0;
    for (const char *at = ids; at < ids + len; at += strlen(at) + 1) {
        struct dom *d = dom_by_id((domid_t)strtoul(at, NULL, 10));
        if (d)
            fn(d, arg);
    }
    free(ids);
    return 0;
}

static void is_aside(struct dom *d, void *seen)
{
    (void)seen;
    d->aside |= ASIDE_NOW;
}

bool aside_work(void)
{
    static uint64_t asked; /* which instance */
    const struct dom *s = store_that_died();

    if (!s || s->instance == asked)
        return false;
    asked = s->instance;
    if (aside_each(is_aside, NULL))
        return true;
    for (struct dom *d = doms; d; d = d->next) {
        if (d->aside == ASIDE_NOW)
            say("%s: the store does not serve it any more: twice within a minute it died at work on it (xenstore-retry %s)",
                d->cfg.name, d->cfg.name);
        d->aside = d->aside & ASIDE_NOW ? ASIDE_TOLD : 0;
    }
    return true;
}
