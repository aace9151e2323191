/* SPDX-License-Identifier: MIT */
/* Every step may be the last one of this instance too: whatever is done here is done again by the next. */
#include "supervise/adopt.h"
#include <errno.h>
#include <string.h>
#include "console/console.h"
#include "domain/build.h"
#include "domain/load.h"
#include "domain/records.h"
#include "domain/slots.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/hotplug.h"
#include "store/linux_life.h"
#include "store/store.h"
#include "store/volume.h"
#include "supervise/anew.h"
#include "supervise/dying.h"
#include "supervise/life.h"
#include "supervise/owned.h"
#include "supervise/supervisor.h"
#include "supervise/update.h"
#include "supervise/upgrade.h"
#include "supervise/waiting.h"

#define LATE_NS 2000000000ull /* how often a store that was not there is asked again */

static bool in_core(const struct dom *d, struct bh_dominfo *di)
{
    *di = (struct bh_dominfo){ .domid = d->id };
    return bh_ctl_info(di) == 0 && di->domid == d->id && di->state != BH_DOM_DYING;
}

/* Its program and its boot block are of this instance's making. One whose restart had begun is brought back anew; if it runs already, and the former
 * instance may not have come to write that down, it is waited for. */
static void adopt_service(struct dom *d, const struct bh_dominfo *di)
{
    struct errbuf e;

    upgrade_found(d, di);
    d->img = svc_image_get(upgrade_image(d), &e);
    if (d->img && build_boot_block(d))
        fail(&e, -ENOMEM, "out of memory");
    if (!d->img || !d->boot_block) {
        say("%s: %s: it is not brought back any more", d->cfg.name, e.s);
        d->state = state_after(d->state, EV_ENDED);
        return;
    }
    d->instance = di->instance;
    slots_again(d);
    pci_found(d);
    if (di->state == BH_DOM_BUILDING) {
        d->state = state_after(d->state, EV_DIED);
        d->retry_ns = now_ns();
    } else if (di->state == BH_DOM_RUNNING &&
               (d->state == DOM_WAITING || !(di->flags & BH_DI_ADOPTED))) {
        supervisor_watch(d);
    }
}

static void adopt(struct dom *d)
{
    struct bh_dominfo di;
    struct errbuf e;

    plug_put_back(d);
    /* It was being made, or ended. Nobody knows whether one that never ran is whole. */
    if (d->state == DOM_NEW || d->ending || !in_core(d, &di) ||
        (di.state == BH_DOM_BUILDING && (d->cfg.role == BH_ROLE_GUEST || !di.unpause_ns))) {
        d->ending = true;
        d->state = DOM_NEW; /* nobody brings it back */
        return;
    }
    if (domcon_connect(d, &e))
        say("%s", e.s);
    if (d->cfg.role != BH_ROLE_GUEST)
        adopt_service(d, &di);
    else
        pci_goes_on(d);
    if (d->cfg.role == BH_ROLE_GUEST && d->state == DOM_STARTING)
        d->state = state_after(d->state, EV_READY); /* its next kernel: that step is done again */
}

/* Those of the core's that are in no record: not one that was about to be written, and those that are dead. */
static void end_strangers(void)
{
    struct bh_dominfo di = { .domid = BH_DOMID_CONTROL + 1 };

    for (; bh_ctl_info(&di) == 0; di.domid++) {
        struct bh_domid id = { .domid = di.domid };
        if (dom_by_id(di.domid) && di.state != BH_DOM_DYING)
            continue;
        dying_follow(di.domid);
        (void)bh_ctl_destroy(&id); /* also one that was half destroyed: to its end */
    }
}

/* Those that are in the store wait for it. */
static void end_all(bool in_store)
{
    struct errbuf ignored;

    for (struct dom *d = doms, *next; d; d = next) {
        next = d->next;
        if (d->ending && d->in_store == in_store)
            (void)dom_destroy(d, &ignored);
    }
}

bool adopt_domains(void)
{
    if (!record_found())
        return false;
    unsigned unsound = dom_find_all();
    update_find_all();
    if (unsound)
        say("control: %u records of domains make no sense: they are dropped, and the domains ended",
            unsound);
    if (record_dropped())
        say("control: of one domain's record three instances died: it is dropped, and the domain ended");
    for (struct dom *d = doms; d; d = d->next) {
        record_working(d);
        adopt(d);
    }
    record_working(NULL);
    dying_find_all();
    end_all(false);
    end_strangers();
    return true;
}

/* A guest that was to start again: its former life is over, or its new one has begun already. */
static void settle_waiting(struct waiting *w)
{
    struct dom *d = dom_by_name(w->cfg.name);
    struct errbuf ignored;
    struct bh_dominfo di;

    if (d && in_core(d, &di) && di.state == BH_DOM_RUNNING)
        waiting_remove(w);
    else if (d)
        (void)dom_destroy(d, &ignored);
}

/* What the store and its entries in the slot tables may not say yet, and devices that were coming or going. */
static void settle(struct dom *d)
{
    struct errbuf e;

    if (d->renames && store_rename(d, d->cfg.name, &e))
        say("%s", e.s);
    if (d->resizes)
        (void)build_limit(d, build_pages(d));
    if (d->resizes && store_resize(d, d->cfg.memory_mb, d->cfg.vcpus, &e))
        say("%s", e.s);
    for (unsigned i = 0; i < d->nr_devs; i++)
        if (d->dev[i].kind == DEV_VBD)
            slot_limits(d, &d->dev[i]);
    plug_settle(d);
}

/* What is left to do there since a former instance of ours. */
static void meet_store(void)
{
    for (struct dom *d = doms; d; d = d->next) {
        if (d->cfg.role == BH_ROLE_DRIVER)
            devs_driver_found(d);
        else if (d->cfg.role == BH_ROLE_GUEST)
            settle(d);
        pci_settle(d);
    }
    volume_left();
    (void)linux_work();
    (void)devs_work(); /* vifs that were being plugged again, before one of their guests ends */
    dying_meet_store();
}

void adopt_rest(void)
{
    supervisor_look(); /* who came back meanwhile has a word for the store */
    end_all(true);
    if (store_up)
        meet_store();
    waiting_find_all();
    for (struct waiting *w = waiting, *next; w; w = next) {
        next = w->next;
        settle_waiting(w);
    }
}

/* --- a store that comes late -------------------------------------------------------------------------- */
static bool late = true;
static void on_late(struct dtimer *t)
{
    (void)t;
    late = true;
}
static struct dtimer late_timer = { .fn = on_late };

bool adopt_work(void)
{
    if (store_up || !late)
        return false;
    late = false;
    if (!supervisor_store_serves() || store_connect()) {
        dtimer_set(&late_timer, now_ns() + LATE_NS);
        return false;
    }
    say("store: answers");
    (void)anew_work();
    supervisor_look();
    meet_store();
    return true;
}
