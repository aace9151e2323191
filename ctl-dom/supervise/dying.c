/* SPDX-License-Identifier: MIT */
/* A timer looks at each every 5 s; who still has pages of it then loses them. */
#include "supervise/dying.h"
#include <errno.h>
#include <stdlib.h>
#include "console/console.h"
#include "domain/dom.h"
#include "domain/records.h"
#include "domain/slots.h"
#include "store/store.h"
#include "supervise/supervisor.h"

#define LET_GO_NS \
    5000000000ull /* docs/restart-protocol.md 10: then whoever holds pages of a dead guest */

/* Guests that are destroyed, until their frames have all come back and nothing names them. */
struct dying {
    struct dying *next;
    domid_t id;
    bool unnamed; /* in the store */
    uint64_t until_ns;
};
static struct dying *dying;
static bool leave_due; /* for one that is not unnamed */
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
 * used again. True: no more is to be done. */
static bool forget(const struct dying *g)
{
    struct bh_domid id = { .domid = g->id };

    return slots_drop(g->id) && g->unnamed && bh_ctl_forget(&id) != -EBUSY;
}

static bool is_gone(const struct dying *g)
{
    struct bh_dominfo di = { .domid = g->id };
    const struct dom *d = dom_by_id(g->id);

    if (d) /* the job is at its end still; or it had no rings, and another has its domid already */
        return !d->ending && g->unnamed;
    if (bh_ctl_info(&di) || di.domid != g->id)
        return forget(g);
    if (di.state != BH_DOM_DYING)
        return g->unnamed; /* it could not be destroyed */
    take_back(g->id, di.holder);
    return false;
}

static void on_dying(struct dtimer *t)
{
    uint64_t next = 0;

    for (struct dying **at = &dying, *g; (g = *at) != NULL;) {
        bool due = g->until_ns <= now_ns();
        leave_due |= due && !g->unnamed;
        if (due && is_gone(g)) {
            record_ended(g->id, false);
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

void dying_follow(domid_t id)
{
    record_ended(id, true);
    struct dying *g = dying_entry(id);

    if (!g) {
        say("domain %u: out of memory: who has pages of it will not be asked, and its domid stays used",
            id);
        return;
    }
    g->unnamed = false;
    g->until_ns = now_ns() + LET_GO_NS;
    if (!dying_timer.armed)
        dtimer_set(&dying_timer, g->until_ns);
}

void dying_unnamed(domid_t id)
{
    for (struct dying *g = dying; g; g = g->next)
        g->unnamed |= g->id == id;
}

void dying_find_all(void)
{
    for (unsigned id = record_next_ended(BH_DOMID_CONTROL + 1); id < DOMID_FIRST_RESERVED;
         id = record_next_ended(id + 1)) {
        const struct dom *d = dom_by_id((domid_t)id);
        if (!d)
            dying_follow((domid_t)id);
        else if (!d->ending) /* another one has it */
            record_ended((domid_t)id, false);
    }
}

/* --- the store's part --------------------------------------------------------------------------- */
/* Entries that are not unnamed stay where they are, whatever happens while this waits. */
bool dying_leave(void)
{
    bool all = true;

    leave_due = false;
    for (struct dying *g = dying; g; g = g->next) {
        if (g->unnamed)
            continue;
        int rc = store_up && supervisor_store_serves() ? store_leave(g->id) : -EIO;
        if (rc == -EIO || rc == -ETIME) /* nor of any other */
            return false;
        g->unnamed = !rc;
        all &= !rc;
    }
    return all;
}

bool dying_work(void)
{
    if (!leave_due || !store_up || !supervisor_store_serves())
        return false;
    (void)dying_leave();
    return true;
}

static void is_there(domid_t id)
{
    if (id != BH_DOMID_CONTROL && !dom_by_id(id))
        dying_follow(id);
}

void dying_meet_store(void)
{
    (void)store_domains(is_there);
    (void)dying_leave();
}
