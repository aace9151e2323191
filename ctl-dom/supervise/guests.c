/* SPDX-License-Identifier: MIT */
/* What on_poweroff, on_reboot and on_crash say is done here, one guest in a turn of the main loop; those that end soon again wait 1, 2, 4 ... 60 s. */
#include "supervise/guests.h"
#include <bh.h>
#include <errno.h>
#include <xen/sched.h>
#include "console/console.h"
#include "domain/dom.h"
#include "domain/records.h"
#include "store/devices.h"
#include "store/linux_life.h"
#include "store/store.h"
#include "supervise/autostart.h"
#include "supervise/life.h"
#include "supervise/owned.h"
#include "supervise/report.h"
#include "supervise/supervisor.h"
#include "supervise/update.h"
#include "supervise/waiting.h"

#define MIN_LIFE_NS  1000000000ull  /* a guest that ends earlier is not started again by itself */
#define LONG_LIFE_NS 60000000000ull /* one that lived this long is started again at once */

static void on_again(struct dtimer *t);
static struct dtimer again_timer = { .fn = on_again };
static bool ended; /* one has, or its next start is due */

/* --- guests that ended ------------------------------------------------------------------------ */
static void start_again(struct dom *d)
{
    static struct domcfg cfg;
    struct errbuf e;

    update_next(d, &cfg);
    /* On the list first: whatever ends us from now on, it is not lost. */
    snprintf(e.s, sizeof(e.s), "%s: starts again", cfg.name);
    struct waiting *w = waiting_add(&cfg, NULL, e.s);
    if (!w) {
        say("%s: out of memory: it is not started again", cfg.name);
        d->state = state_after(d->state, EV_ENDED);
        return;
    }
    w->short_lives = d->short_lives;
    dom_destroy(d, &e);
    autostart_again(w);
}

/* Seconds until it is started again: making one costs the machine a second, and a guest may end as often as it likes. */
static uint64_t again_in_s(struct dom *d)
{
    if (now_ns() - d->started_ns >= LONG_LIFE_NS) {
        d->short_lives = 0;
        return 0;
    }
    return backoff_s(d->short_lives++);
}

static void on_again(struct dtimer *t)
{
    (void)t;
    ended = true;
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

    d->state = state_after(d->state, EV_RUNS); /* its end is dealt with until it is UP again */
    say("%s: soft reset, its next kernel starts", d->cfg.name);
    linux_gone(d);                    /* that knows of none whom it served */
    d->late = (struct lateness){ 0 }; /* and boots */
    int rc = store_introduce(d);      /* watches and transactions of the last kernel */
    if (rc)
        fail(&e, rc, "%s: store: %s", d->cfg.name, errno_text(rc));
    else
        rc = devs_renew(d, &e);
    if (rc)
        say("%s", e.s); /* it has what it can have */
    rc = (int)bh_ctl_soft_reset(&id);
    if (!rc) { /* not before: whoever follows us judges its end by its age */
        d->started_ns = now_ns();
        d->state = state_after(d->state, EV_READY);
        return;
    }
    say("%s: soft reset: %s, destroyed", d->cfg.name, errno_text(rc));
    dom_destroy(d, &e);
}

static void guest_ended(struct dom *d, const struct bh_dominfo *di)
{
    bool crashed = di->state == BH_DOM_CRASHED || di->shutdown_reason == SHUTDOWN_crash ||
                   di->shutdown_reason == SHUTDOWN_watchdog;
    bool again = di->state == BH_DOM_SHUTDOWN && di->shutdown_reason == SHUTDOWN_soft_reset;
    enum cfg_action action = di->state != BH_DOM_CRASHED && di->shutdown_reason == SHUTDOWN_watchdog
                                 ? d->cfg.on_watchdog
                             : crashed                                ? d->cfg.on_crash
                             : di->shutdown_reason == SHUTDOWN_reboot ? d->cfg.on_reboot
                                                                      : d->cfg.on_poweroff;
    struct errbuf e;

    if (again && d->cfg.on_soft_reset == ACTION_SOFT_RESET &&
        now_ns() - d->started_ns >= MIN_LIFE_NS && !*record_machine_ends) {
        next_kernel(d);
        return;
    }
    if (again && d->cfg.on_soft_reset != ACTION_SOFT_RESET)
        action = d->cfg.on_soft_reset;
    d->noticed_ns = now_ns();
    d->crash_ns = di->crash_ns ? di->crash_ns : d->noticed_ns;
    domcon_drain(d);
    if (action == ACTION_RESTART && (*record_machine_ends || now_ns() - d->started_ns < MIN_LIFE_NS))
        action = ACTION_DESTROY;
    uint64_t pause = action == ACTION_RESTART ? again_in_s(d) : 0;
    char then[32];
    if (pause)
        snprintf(then, sizeof(then), ", restarting in %lu s", pause);
    else
        snprintf(then, sizeof(then),
                 action == ACTION_RESTART    ? ", restarting"
                 : action == ACTION_PRESERVE ? ", kept"
                 : *record_machine_ends      ? ", stays down"
                                             : ", destroyed");
    if (crashed) {
        report_take(d);
        report_death(d, then);
    } else {
        say("%s: %s%s", d->cfg.name,
            di->shutdown_reason == SHUTDOWN_reboot ? "reboots" : "powered off", then);
    }
    /* While it is UP whoever follows us does all this again. */
    if (pause) {
        d->retry_ns = now_ns() + pause * 1000000000;
        d->state = state_after(d->state, EV_DIED);
        again_at(d->retry_ns);
    } else if (action == ACTION_RESTART) {
        start_again(d);
    } else if (action == ACTION_DESTROY) {
        dom_destroy(d, &e);
    } else {
        pci_over(d); /* what is kept is looked at: they write into it no more */
        d->state = state_after(d->state, EV_ENDED);
    }
}

/* True if there was something to do for it, and it is done. */
static bool look_at_guest(struct dom *d, const struct bh_dominfo *di)
{
    if (d->state == DOM_WAITING && d->retry_ns <= now_ns() && !*record_machine_ends) {
        start_again(d);
        return true;
    }
    if (d->state == DOM_WAITING && !*record_machine_ends)
        again_at(d->retry_ns);
    if (d->state != DOM_UP || (di->state != BH_DOM_CRASHED && di->state != BH_DOM_SHUTDOWN))
        return false;
    guest_ended(d, di);
    return true;
}

bool guests_work(void)
{
    static domid_t from = BH_FIRST_GUEST; /* each has its turn, also beside one that ends again and again */
    struct bh_dominfo di = { .domid = from };

    ended |= supervisor_guest_ended();
    if (!ended)
        return false;
    for (; bh_ctl_info(&di) == 0; di.domid++) {
        struct dom *d = dom_by_id(di.domid);
        if (d && d->cfg.role == BH_ROLE_GUEST && look_at_guest(d, &di)) {
            from = (domid_t)(di.domid + 1);
            return true;
        }
    }
    ended = from != BH_FIRST_GUEST; /* else all were looked at, and none had ended */
    from = BH_FIRST_GUEST;
    return ended;
}

void guests_may_start(void)
{
    int rc = 0;

    *record_machine_ends = 0;
    for (struct dom *d = doms; d && rc != -ETIME; d = d->next)
        if (d->cfg.role == BH_ROLE_GUEST && d->state == DOM_UP && store_up)
            rc = store_control(d, "");
    supervisor_look(); /* those that were to start meanwhile are looked at */
}
