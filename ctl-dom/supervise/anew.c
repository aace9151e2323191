/* SPDX-License-Identifier: MIT */
/* Our own connection tells: such a store gives it up. Each step may be done twice: whoever follows us begins again, until the store is whole. */
#include "supervise/anew.h"
#include "console/console.h"
#include "store/store.h"
#include "supervise/supervisor.h"

static bool is_there(const struct dom *d) { return d->in_store && d->introduced && !d->ending; }

static void nodes_again(struct dom *d)
{
    struct errbuf e;

    if (store_add_again(d, &e))
        say("%s", e.s);
}

static void introduce_again(struct dom *d)
{
    struct errbuf e;
    int rc = 0;

    if (d->cfg.role != BH_ROLE_GUEST)
        rc = supervisor_restart(d, &e);
    else if (!store_knows(d) && (rc = store_introduce(d)))
        fail(&e, rc, "%s: the store does not take it back: %s", d->cfg.name, errno_text(rc));
    if (rc)
        say("%s", e.s);
}

static void tell_nodes(void)
{
    unsigned guests = 0, services = 0;

    (void)xs_mkdir(0, "/local/domain/0/backend");
    for (struct dom *d = doms; d; d = d->next)
        if (is_there(d)) {
            nodes_again(d);
            guests += d->cfg.role == BH_ROLE_GUEST;
            services += d->cfg.role != BH_ROLE_GUEST;
        }
    if (services)
        say("store: it began empty and is told again who runs; %u service domains are restarted for that",
            services);
    if (guests)
        say("store: what %u guests had there is gone: they notice no new device, shutdown or reboot until they start again",
            guests);
}

bool anew_work(void)
{
    unsigned breaks = xs_breaks();

    if (!store_up || store_is_told())
        return false;
    int empty = store_empty();
    if (empty < 0)
        return breaks != xs_breaks(); /* now it broke */
    if (empty)
        tell_nodes();
    store_told(breaks);
    for (struct dom *d = empty ? doms : NULL; d; d = d->next)
        if (is_there(d))
            introduce_again(d);
    if (empty)
        (void)store_whole();
    else
        supervisor_look(); /* who came back meanwhile */
    return true;
}
