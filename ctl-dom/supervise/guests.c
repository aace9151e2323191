/* SPDX-License-Identifier: MIT */
/*
 * Ends of guests. One that ended by itself is started again, kept or destroyed as its configuration says, from the main loop and one a turn.
 * One that was destroyed is followed until nobody has a page of it and nothing names it. Who sees that one has ended: supervisor.c.
 */
#include "ctl.h"
#include "supervise/report.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/sched.h>

#define MIN_LIFE_NS  1000000000ull  /* a guest that ends earlier is not started again by itself */
#define LONG_LIFE_NS 60000000000ull /* one that lived this long is started again at once */
#define LET_GO_NS    5000000000ull  /* docs/restart-protocol.md 10: then whoever holds pages of a dead guest */

/* Guests that are destroyed, until their frames have all come back and nothing names them. */
struct dying {
    struct dying *next;
    domid_t id;
    bool unnamed; /* in the store; else its domid is not used again */
    uint64_t until_ns;
};
static struct dying *dying;
static struct dtimer again_timer, dying_timer;
static bool ended; /* one has, or its next start is due */

/* --- guests that were destroyed ---------------------------------------------------------------- */
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
        say("%s: has pages of domain %u mapped, which is gone: they are taken away", d->cfg.name, gone);
        bh_control(BH_CTL_RECLAIM, &r);
    } else if (supervisor_restarts(d) && d->life == LIFE_UP) {
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
    return !slots_name(g->id) && bh_control(BH_CTL_FORGET, &id) != -EBUSY;
}

static bool is_gone(const struct dying *g)
{
    struct bh_dominfo di = { .domid = g->id };

    if (bh_control(BH_CTL_INFO, &di) || di.domid != g->id)
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

void guests_destroyed(const struct dom *d)
{
    struct dying *g = dying_entry(d->id);

    if (!g) {
        say("%s: out of memory: who has pages of it will not be asked", d->cfg.name);
        return;
    }
    g->unnamed = d->unnamed;
    g->until_ns = now_ns() + LET_GO_NS;
    if (!dying_timer.armed)
        dtimer_set(&dying_timer, g->until_ns);
}

/* --- guests that ended ------------------------------------------------------------------------ */
static void start_again(struct dom *d)
{
    static struct domcfg cfg;
    unsigned short_lives = d->short_lives;
    struct errbuf e;
    struct dom *made;

    cfg = d->cfg;
    cfg.nr_disks = 0;
    for (unsigned i = 0; i < d->cfg.nr_disks; i++)
        if (!d->cfg.disk[i].leaving)
            cfg.disk[cfg.nr_disks++] = d->cfg.disk[i];
    dom_destroy(d, &e);
    if (dom_create(&cfg, false, &made, &e)) {
        say("%s", e.s);
        return;
    }
    made->short_lives = short_lives;
    say("%s: started again as domain %u", cfg.name, made->id);
}

/* 1, 2, 4 ... 60 s */
static uint64_t backoff_s(unsigned n) { return n > 5 ? 60 : 1ul << n; }

/* Seconds until it is started again: making one costs the machine a second, and a guest may end as often as it likes. */
static uint64_t again_in_s(struct dom *d)
{
    if (now_ns() - d->started_ns >= LONG_LIFE_NS) {
        d->short_lives = 0;
        return 0;
    }
    return backoff_s(d->short_lives++);
}

void guests_look(void) { ended = true; }

static void on_again(struct dtimer *t)
{
    (void)t;
    guests_look();
}

static void again_at(uint64_t ns)
{
    if (!again_timer.armed || ns < again_timer.when)
        dtimer_set(&again_timer, ns);
}

/* kexec. The next kernel finds its devices as the first one did, whatever that left of them. */
static void next_kernel(struct dom *d)
{
    struct bh_domid id = { .domid = d->id };
    struct errbuf e;

    d->reported = true; /* until it runs again */
    say("%s: soft reset, its next kernel starts", d->cfg.name);
    int rc = store_introduce(d); /* watches and transactions of the last kernel */
    if (rc)
        fail(&e, rc, "%s: store: %s", d->cfg.name, errno_text(rc));
    else
        rc = devs_renew(d, &e);
    if (rc)
        say("%s", e.s); /* it has what it can have */
    d->started_ns = now_ns();
    d->reported = false;
    rc = (int)bh_control(BH_CTL_SOFT_RESET, &id);
    if (!rc)
        return;
    say("%s: soft reset: %s, destroyed", d->cfg.name, errno_text(rc));
    dom_destroy(d, &e);
}

static void guest_ended(struct dom *d, const struct bh_dominfo *di)
{
    bool crashed = di->state == BH_DOM_CRASHED || di->shutdown_reason == SHUTDOWN_crash ||
                   di->shutdown_reason == SHUTDOWN_watchdog;
    enum cfg_action action = crashed                                  ? d->cfg.on_crash
                             : di->shutdown_reason == SHUTDOWN_reboot ? d->cfg.on_reboot
                                                                      : d->cfg.on_poweroff;
    struct errbuf e;

    if (di->state == BH_DOM_SHUTDOWN && di->shutdown_reason == SHUTDOWN_soft_reset &&
        now_ns() - d->started_ns >= MIN_LIFE_NS) {
        next_kernel(d);
        return;
    }
    d->reported = true;
    d->noticed_ns = now_ns();
    d->crash_ns = di->crash_ns ? di->crash_ns : d->noticed_ns;
    domcon_drain(d);
    if (action == ACTION_RESTART && now_ns() - d->started_ns < MIN_LIFE_NS)
        action = ACTION_DESTROY;
    uint64_t pause = action == ACTION_RESTART ? again_in_s(d) : 0;
    char then[32];
    if (pause)
        snprintf(then, sizeof(then), ", restarting in %lu s", pause);
    else
        snprintf(then, sizeof(then), action == ACTION_RESTART    ? ", restarting"
                                     : action == ACTION_PRESERVE ? ", kept"
                                                                 : ", destroyed");
    if (crashed) {
        report_take(d);
        report_death(d, then);
    } else {
        say("%s: %s%s", d->cfg.name,
            di->shutdown_reason == SHUTDOWN_reboot ? "reboots" : "powered off", then);
    }
    if (pause) {
        d->again_ns = now_ns() + pause * 1000000000;
        again_at(d->again_ns);
    } else if (action == ACTION_RESTART) {
        start_again(d);
    } else if (action == ACTION_DESTROY) {
        dom_destroy(d, &e);
    }
}

/* True if there was something to do for it, and it is done. */
static bool look_at_guest(struct dom *d, const struct bh_dominfo *di)
{
    if (d->again_ns && d->again_ns <= now_ns()) {
        start_again(d);
        return true;
    }
    if (d->again_ns)
        again_at(d->again_ns);
    if (d->reported || (di->state != BH_DOM_CRASHED && di->state != BH_DOM_SHUTDOWN))
        return false;
    guest_ended(d, di);
    return true;
}

bool guests_work(void)
{
    static domid_t from = BH_FIRST_GUEST; /* each has its turn, also beside one that ends again and again */
    struct bh_dominfo di = { .domid = from };

    if (!ended)
        return false;
    for (; bh_control(BH_CTL_INFO, &di) == 0; di.domid++) {
        struct dom *d = dom_by_id(di.domid);
        if (d && d->cfg.role == BH_ROLE_GUEST && d->life == LIFE_UP && look_at_guest(d, &di)) {
            from = (domid_t)(di.domid + 1);
            return true;
        }
    }
    ended = from != BH_FIRST_GUEST; /* else all were looked at, and none had ended */
    from = BH_FIRST_GUEST;
    return ended;
}

void guests_init(void)
{
    again_timer.fn = on_again;
    dying_timer.fn = on_dying;
}
