/* SPDX-License-Identifier: MIT */
#include "supervise/supervisor.h"
#include <errno.h>
#include <xen/io/xs_wire.h>
#include "console/console.h"
#include "domain/build.h"
#include "domain/load.h"
#include "domain/start_info.h"
#include "store/connection.h"
#include "supervise/owned.h"
#include "supervise/report.h"
#include "supervise/upgrade.h"

#define UP_WITHIN_NS 10000000000ull
#define SOON_NS      20000000ull /* the store takes no word just now */
#define SERVES_NS \
    500000000ull /* how often one of a long row of deaths is looked at, whether it serves */

static void on_poll(struct dtimer *t);
static struct dtimer poll_timer = { .fn = on_poll };
static bool guest_ended; /* one has, since somebody asked */

/* --- bringing a service domain back ----------------------------------------------------------- */
/* Marks its store ring, so that the instance does not use it before the store has emptied it. */
static int mark_ring(const struct dom *d)
{
    const uint32_t state = XENSTORE_RECONNECT;
    uint64_t at = d->store_gfn << PAGE_SHIFT;

    return guest_write(d->id, at + offsetof(struct xenstore_domain_interface, connection), &state,
                       sizeof(state));
}

/* Or comes to be: this instance of ours may not have asked it yet. */
static bool store_is_there(void)
{
    const struct dom *s = dom_by_id(BH_DOMID_STORE);

    return store_up || (s && s->state != DOM_OVER);
}

static int bring_back(struct dom *d)
{
    struct bh_restart r = { .domid = d->id };
    struct bh_entry entry = { .domid = d->id, .eip = d->img->entry, .ebx = BH_SVC_BOOT };
    struct bh_domid id = { .domid = d->id };

    /* Two that died before they served make even pages doubtful that nobody can write. */
    if (!d->kept || d->stillborn > 1)
        r.flags = BH_RESTART_FRESH;
    d->kept = !r.flags;
    domcon_drain(d); /* its last words: the fence zeroes the ring */
    /* It runs while the store resets the connection: who adopts does not need it, and a store that
     * is slow or dead costs nothing but its part. Whoever follows us must know it, so it stands here before it runs. */
    d->introduce = d->introduced && store_is_there();
    int rc = (int)bh_ctl_restart(&r);
    if (rc)
        return rc;
    pci_change(d);
    d->instance++;
    rc = service_write(d);
    if (!rc && d->introduce)
        rc = mark_ring(d);
    if (!rc)
        rc = (int)bh_ctl_set_entry(&entry);
    if (!rc)
        rc = (int)bh_ctl_unpause(&id);
    if (rc)
        return rc;
    domcon_restart(d);
    return 0;
}

static void poll_at(uint64_t ns)
{
    if (!poll_timer.armed || ns < poll_timer.when)
        dtimer_set(&poll_timer, ns);
}

static void on_introduced(int rc, void *id)
{
    const struct dom *d = dom_by_id((domid_t)(uint64_t)id);

    if (rc && d && store_up)
        say("%s: the store does not take it back: %s", d->cfg.name, errno_text(rc));
}

/* Those that were brought back. Nobody waits for the store. */
static void introduce_all(void)
{
    for (struct dom *d = doms; d; d = d->next) {
        if (!d->introduce || !store_is_told())
            continue;
        int rc = store_introduce_soon(d, on_introduced);
        if (rc == -EAGAIN) {
            poll_at(now_ns() + SOON_NS);
            return;
        }
        d->introduce = false;
        if (rc)
            on_introduced(rc, (void *)(uint64_t)d->id);
    }
}

static void wait_to_retry(struct dom *d)
{
    d->state = state_after(d->state, EV_DIED);
    d->retry_ns = now_ns() + d->backoff.pause_ns;
    poll_at(d->retry_ns);
}

/* A device may take long to reset, and who is ended meanwhile begins anew: each time it gets longer. */
static uint64_t up_within(const struct dom *d)
{
    return UP_WITHIN_NS << (d->stillborn < 4 ? d->stillborn : 4);
}

static const char *what_next(const struct dom *d)
{
    static char text[96];

    if (d->backoff.said)
        snprintf(text, sizeof(text),
                 ", %u times in a row without an answer to anybody; next tries in 1 to 60 s",
                 d->backoff.deaths);
    else
        snprintf(text, sizeof(text), ", next try in %lu ms", d->backoff.pause_ns / 1000000);
    return text;
}

/* An instance runs: within so much time it has said that it serves. */
static void starts(struct dom *d, uint64_t within_ns)
{
    d->state = state_after(d->state, EV_RUNS);
    d->report_by_ns = now_ns() + within_ns;
    poll_at(d->report_by_ns);
}

/* The one way back, for whatever reason. What does not succeed may have got half-way, and is tried again. */
static int start_instance(struct dom *d, struct errbuf *e)
{
    d->tried_ns = now_ns();
    int rc = bring_back(d);

    if (rc) {
        backoff_failed(&d->backoff);
        wait_to_retry(d);
        return fail(e, rc, "%s: cannot be restarted: %s%s", d->cfg.name, errno_text(rc),
                    what_next(d));
    }
    starts(d, up_within(d));
    return 0;
}

/* first: it has just died. What fails is told then, and when the row has become long. */
static void try_again(struct dom *d, bool first)
{
    bool said = d->backoff.said;
    struct errbuf e;

    if (start_instance(d, &e) && (first || d->backoff.said != said))
        say("%s", e.s);
}

bool supervisor_restarts(const struct dom *d) { return d->slot && d->img; }

static bool row_goes_on(struct dom *d, const struct bh_dominfo *di)
{
    uint64_t ready_ns = di->adopted_ns && d->crash_ns > di->adopted_ns ? d->crash_ns - di->adopted_ns
                                                                       : 0;

    d->was_ordered = d->ordered;
    d->ordered = false;
    if (!d->was_ordered)
        return backoff_death(&d->backoff, di->flags & BH_DI_SERVED, ready_ns);
    backoff_over(&d->backoff);
    return false;
}

static void service_died(struct dom *d, const struct bh_dominfo *di)
{
    if ((d->state == DOM_STARTING || d->state == DOM_LATE) && di->adopted_ns && d->instance)
        report_restart(d, di); /* it had come back and died again before anybody looked: each death has its line */
    d->noticed_ns = now_ns();
    d->crash_ns = di->crash_ns ? di->crash_ns : d->noticed_ns;
    d->stillborn = di->adopted_ns ? 0 : d->stillborn + 1;
    d->asked = false;
    if (!supervisor_restarts(d)) {
        d->state = state_after(d->state, EV_ENDED);
        report_take(d);
        report_death(d, "");
        return;
    }
    upgrade_failed(d);
    bool tell = row_goes_on(d, di);
    if (d->backoff.pause_ns)
        wait_to_retry(d);
    else
        try_again(d, true);
    report_take(d);
    if (tell)
        report_death(d, what_next(d));
}

/* Ends an instance as a crash would, so that the ordinary way back is taken. */
static void give_up(const struct dom *d)
{
    struct bh_crash c = { .domid = d->id };

    bh_ctl_crash(&c);
}

static void look_if_ready(struct dom *d, const struct bh_dominfo *di)
{
    char last[80];

    if (di->flags & BH_DI_ADOPTED) {
        d->state = state_after(d->state, d->backoff.said ? EV_READY_ROW : EV_READY);
        if (d->instance)
            report_restart(d, di);
        else
            say("%s: up (%lu ms)", d->cfg.name, (di->adopted_ns - d->started_ns) / 1000000);
        upgrade_up(d);
    } else if (d->state == DOM_STARTING && now_ns() >= d->report_by_ns) {
        d->state = state_after(d->state, EV_OVERDUE);
        domcon_last_line(d, last, sizeof(last));
        if (!d->backoff.said)
            say("%s: runs, but has not said for %lu s that it serves%s%s%s", d->cfg.name,
                up_within(d) / 1000000000, last[0] ? "; its last line: " : "", last,
                d->instance ? "; it is restarted" : "");
        if (d->instance) /* hung before it could arm its deadline: whom it served waits for it */
            give_up(d);
    } else if (d->state == DOM_STARTING) {
        poll_at(d->report_by_ns); /* that it serves is an event */
    }
}

/* After a long row of deaths, of which nothing is told any more. */
static void look_if_serves(struct dom *d, const struct bh_dominfo *di)
{
    if (di->flags & BH_DI_SERVED) {
        d->state = state_after(d->state, EV_HEARD);
        say("%s: serves again, restart %lu", d->cfg.name, di->instance);
        backoff_over(&d->backoff);
    } else {
        poll_at(now_ns() + SERVES_NS);
    }
}

static void look_at_service(struct dom *d, const struct bh_dominfo *di)
{
    if (d->state == DOM_OVER)
        return;
    if (d->state == DOM_WAITING) {
        if (now_ns() >= d->retry_ns)
            try_again(d, false);
        else
            poll_at(d->retry_ns);
        return;
    }
    if (di->state == BH_DOM_CRASHED || di->state == BH_DOM_SHUTDOWN) {
        service_died(d, di);
        return;
    }
    if (d->state == DOM_STARTING || d->state == DOM_LATE)
        look_if_ready(d, di);
    if (d->state == DOM_UNHEARD)
        look_if_serves(d, di);
}

/* Looks at the state of every domain; restarts at once what is to be restarted. */
static void supervisor_scan(void)
{
    struct bh_dominfo di = { 0 };

    for (; bh_ctl_info(&di) == 0; di.domid++) {
        struct dom *d = dom_by_id(di.domid);
        if (!d || d->state == DOM_NEW)
            continue;
        if (d->cfg.role != BH_ROLE_GUEST)
            look_at_service(d, &di);
        else if ((di.state == BH_DOM_CRASHED || di.state == BH_DOM_SHUTDOWN) && d->state == DOM_UP)
            guest_ended = true;
    }
}

static void on_change(uint32_t port, void *arg)
{
    (void)port, (void)arg;
    supervisor_scan();
    introduce_all();
}

static void on_poll(struct dtimer *t)
{
    (void)t;
    supervisor_scan();
    introduce_all();
}

void supervisor_watch(struct dom *d)
{
    d->started_ns = now_ns();
    if (d->cfg.role == BH_ROLE_GUEST)
        d->state = state_after(state_after(d->state, EV_RUNS), EV_READY);
    else
        starts(d, UP_WITHIN_NS);
}

bool supervisor_guest_ended(void)
{
    bool one = guest_ended;

    guest_ended = false;
    return one;
}

bool supervisor_all_up(void)
{
    for (struct dom *d = doms; d; d = d->next)
        if (d->state == DOM_STARTING)
            return false;
    return true;
}

bool supervisor_store_serves(void)
{
    const struct dom *s = dom_by_id(BH_DOMID_STORE);

    return s && (s->state == DOM_UP || s->state == DOM_UNHEARD);
}

int supervisor_crash(struct dom *d, uint32_t how, uint16_t after_ms)
{
    struct bh_crash c = { .domid = d->id, .after_ms = after_ms, .how = how };
    int rc = (int)bh_ctl_crash(&c);

    d->ordered |= !rc;
    return rc;
}

int supervisor_restart(struct dom *d, struct errbuf *e)
{
    if (!supervisor_restarts(d))
        return fail(e, -EOPNOTSUPP,
                    "%s: only service domains restart in place (destroy and create it)", d->cfg.name);
    d->crash_ns = d->noticed_ns = now_ns();
    d->asked = d->was_ordered = true;
    d->ordered = false;
    backoff_over(&d->backoff);
    int rc = start_instance(d, e);
    if (!rc)
        introduce_all();
    return rc;
}

void supervisor_look(void)
{
    supervisor_scan();
    introduce_all();
    guest_ended = true;
}

/* --- the beginning ---------------------------------------------------------------------------- */
void supervisor_init(void)
{
    if (event_bind_virq(VIRQ_DOM_EXC, on_change, NULL) < 0)
        say("supervisor: no notice of crashes");
}
