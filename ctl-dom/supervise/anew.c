/* SPDX-License-Identifier: MIT */
/* Our own connection tells: such a store gives it up. Each step may be done twice: whoever follows us begins again, until the store is whole. */
#include "supervise/anew.h"
#include <errno.h>
#include "console/console.h"
#include "store/store.h"
#include "supervise/supervisor.h"

static bool is_there(const struct dom *d) { return d->in_store && d->introduced && !d->ending; }

/* It went away: the rest would be waited for in vain, one by one, and all of it is told again when it is back. */
static bool is_away(int rc) { return rc == -ETIME; }

static int nodes_again(struct dom *d)
{
    struct errbuf e;
    int rc = store_add_again(d, &e);

    if (rc)
        say("%s", e.s);
    return rc;
}

/* False: it went away. */
static bool introduce_again(struct dom *d)
{
    struct errbuf e;
    int rc = 0;

    if (d->cfg.role != BH_ROLE_GUEST)
        rc = supervisor_restart(d, &e);
    else if (!store_knows(d) && (rc = store_introduce(d)))
        fail(&e, rc, "%s: the store does not take it back: %s", d->cfg.name, errno_text(rc));
    if (rc)
        say("%s", e.s);
    return d->cfg.role != BH_ROLE_GUEST || !is_away(rc);
}

static bool tell_nodes(void)
{
    unsigned guests = 0, services = 0;

    (void)xs_mkdir(0, "/local/domain/0/backend");
    for (struct dom *d = doms; d; d = d->next)
        if (is_there(d)) {
            if (is_away(nodes_again(d)))
                return false;
            guests += d->cfg.role == BH_ROLE_GUEST;
            services += d->cfg.role != BH_ROLE_GUEST;
        }
    if (services)
        say("store: it began empty and is told again who runs; %u service domains are restarted for that",
            services);
    if (guests)
        say("store: what %u guests had there is gone: they notice no new device, shutdown or reboot until they start again",
            guests);
    return true;
}

static bool tell_who(void)
{
    for (struct dom *d = doms; d; d = d->next)
        if (is_there(d) && !introduce_again(d))
            return false;
    return !is_away(store_whole());
}

bool anew_work(void)
{
    unsigned breaks = xs_breaks();

    if (!store_up || store_is_told())
        return false;
    int empty = store_empty();
    if (empty < 0)
        return breaks != xs_breaks(); /* now it broke */
    if (empty && !tell_nodes())
        return true;
    store_told(breaks);
    if (!empty)
        supervisor_look(); /* who came back meanwhile */
    else if (!tell_who())
        store_told(STORE_UNTOLD);
    return true;
}
