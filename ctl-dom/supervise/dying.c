/* SPDX-License-Identifier: MIT */
/* A timer looks at each every 5 s; who still has pages of it then loses them. */
#include "supervise/dying.h"
#include <errno.h>
#include <stdlib.h>
#include "console/console.h"
#include "domain/dom.h"
#include "domain/slots.h"
#include "supervise/supervisor.h"

#define LET_GO_NS \
    5000000000ull /* docs/restart-protocol.md 10: then whoever holds pages of a dead guest */

/* Guests that are destroyed, until their frames have all come back and nothing names them. */
struct dying {
    struct dying *next;
    domid_t id;
    bool unnamed; /* in the store; else its domid is not used again */
    uint64_t until_ns;
};
static struct dying *dying;
static void on_dying(struct dtimer *t);
static struct dtimer dying_timer = { .fn = on_dying };

/* The store asked their back-ends to close. The core says who has pages of it all the same: a driver domain is restarted, which
 * takes everything from it; a guest loses what it has mapped. The control domain maps nothing of a domain that it destroyed. */
static void take_back(domid_t gone, domid_t holder)
{
    struct dom *d = dom_by_id(holder);
    struct bh_reclaim r = { .domid = gone, .holder = holder };
    struct errbuf e;

    if (!d)
        return;
    if (d->cfg.role == BH_ROLE_GUEST) {
        say("%s: has pages of domain %u mapped, which is gone: they are taken away", d->cfg.name,
            gone);
        bh_ctl_reclaim(&r);
    } else if (supervisor_restarts(d) && (d->state == DOM_UP || d->state == DOM_UNHEARD)) {
        say("%s: does not let go of domain %u, restarting", d->cfg.name, gone);
        if (supervisor_restart(d, &e))
            say("%s", e.s);
    }
}

/* The core has nothing left of it, the store said that it does not name it, and no driver domain's table does: then its domid may be
 * used again. Whatever of that does not come, costs a domid. True: no more is to be done. */
static bool forget(const struct dying *g)
{
    struct bh_domid id = { .domid = g->id };

    if (!g->unnamed)
        return true;
    return !slots_name(g->id) && bh_ctl_forget(&id) != -EBUSY;
}

static bool is_gone(const struct dying *g)
{
    struct bh_dominfo di = { .domid = g->id };

    if (bh_ctl_info(&di) || di.domid != g->id)
        return forget(g);
    if (di.state != BH_DOM_DYING)
        return true; /* it could not be destroyed; or it had no rings, and another has its domid already */
    take_back(g->id, di.holder);
    return false;
}

static void on_dying(struct dtimer *t)
{
    uint64_t next = 0;

    for (struct dying **at = &dying, *g; (g = *at) != NULL;) {
        bool due = g->until_ns <= now_ns();
        if (due && is_gone(g)) {
            *at = g->next;
            free(g);
            continue;
        }
        if (due)
            g->until_ns = now_ns() + LET_GO_NS;
        if (!next || g->until_ns < next)
            next = g->until_ns;
        at = &g->next;
    }
    if (next)
        dtimer_set(t, next);
}

/* One that had no rings has left its domid to the next at once: they share the entry, and what holds is said of the last one. */
static struct dying *dying_entry(domid_t id)
{
    struct dying *g = dying;

    while (g && g->id != id)
        g = g->next;
    if (!g && (g = calloc(1, sizeof(*g))) != NULL) {
        g->id = id;
        g->next = dying;
        dying = g;
    }
    return g;
}

static void follow(domid_t id, bool unnamed)
{
    struct dying *g = dying_entry(id);

    if (!g) {
        say("domain %u: out of memory: who has pages of it will not be asked", id);
        return;
    }
    g->unnamed = unnamed;
    g->until_ns = now_ns() + LET_GO_NS;
    if (!dying_timer.armed)
        dtimer_set(&dying_timer, g->until_ns);
}

void dying_follow(const struct dom *d) { follow(d->id, d->unnamed); }
void dying_found(domid_t id) { follow(id, false); }
