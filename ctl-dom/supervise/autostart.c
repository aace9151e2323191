/* SPDX-License-Identifier: MIT */
/* Guests that wait are tried when a driver domain was made, or their time has come: one in a step of the job. */
#include "supervise/autostart.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "console/console.h"
#include "domain/load.h"
#include "domain/records.h"
#include "job/job.h"
#include "store/connection.h"
#include "store/devices.h"
#include "supervise/life.h"
#include "supervise/waiting.h"

/* w: its place on the list, if it waited before. true: it waits now. */
static bool wait_for_driver(const struct domcfg *cfg, const char *config, struct waiting *w)
{
    struct errbuf e;

    if ((cfg->role != BH_ROLE_GUEST && cfg->role != BH_ROLE_DRIVER) || devs_served(cfg, &e) != -ENOENT)
        return false;
    if (w)
        snprintf(w->what, sizeof(w->what), "%s", e.s);
    else if (!waiting_add(cfg, config, e.s))
        return false;
    say("%s; it starts when that is there", e.s);
    return true;
}

/* One that waited stays on the list until it is there: whoever follows us finds it. */
static void start(const struct domcfg *cfg, const char *config, struct waiting *w)
{
    uint64_t from = now_ns();
    struct errbuf e;
    struct dom *d;

    bool right = !config_check(cfg, config, e.s, sizeof(e.s));
    if (right && !dom_create(cfg, true, &d, &e)) {
        if (cfg->role == BH_ROLE_GUEST)
            say("%s: created as domain %u (%lu ms)", cfg->name, d->id, (now_ns() - from) / 1000000);
    } else if (!right || !wait_for_driver(cfg, config, w)) {
        say("%s; it is not started: create %.*s when that is mended", e.s,
            (int)(strlen(config) - 4), config);
        if (w)
            waiting_remove(w);
    }
}

/* What may start by itself; a volume may be read again meanwhile, so the names are ours. */
static struct {
    char name[CONFIG_NAME];
    uint8_t number; /* 0: it does not */
} candidates[BUNDLE_MAX_IMAGES + ARCHIVE_FILES];

/* The configurations of that role, with their numbers. Returns how many. */
static unsigned find_candidates(enum bh_role role)
{
    static struct domcfg cfg;
    unsigned n = 0, i = 0;
    const char *next;
    struct errbuf e;

    while (n < ARRAY_SIZE(candidates) && (next = config_next(&i))) {
        char *name = candidates[n].name;
        snprintf(name, sizeof(candidates[n].name), "%s", next);
        if (!config_load(&cfg, name, &e)) {
            candidates[n].number = (uint8_t)cfg.autostart;
            n += cfg.role == role;
        } else if (role == BH_ROLE_STORE || (role == BH_ROLE_GUEST && config_on_volume(name))) {
            say("%s", e.s); /* once */
        }
    }
    return n;
}

static void start_one(const char *name)
{
    static struct domcfg cfg;
    struct errbuf e;

    if (config_load(&cfg, name, &e))
        return;
    if (record_found()) { /* a former instance of ours may have come as far as this */
        waiting_forget(cfg.name);
        if (dom_by_name(cfg.name))
            return;
    }
    start(&cfg, name, NULL);
    job_wait(TIME_PAST); /* tells who has come up meanwhile */
}

/* In the order of their numbers; of one number in that of the bundle, then of the volume. */
void autostart(enum bh_role role)
{
    unsigned nr = find_candidates(role);

    for (unsigned n = 1; n <= AUTOSTART_LAST; n++)
        for (unsigned i = 0; i < nr; i++)
            if (candidates[i].number == n)
                start_one(candidates[i].name);
}

/* --- those that wait ---------------------------------------------------------------------------- */
static void on_retry(struct dtimer *t)
{
    (void)t;
    waiting_due();
}

static struct dtimer retry = { .fn = on_retry };

static void look_then(const struct waiting *w)
{
    if (!retry.armed || w->retry_ns < retry.when)
        dtimer_set(&retry, w->retry_ns);
}

static void try_later(struct waiting *w)
{
    w->retry_ns = now_ns() + backoff_s(w->tries++) * 1000000000;
    look_then(w);
}

/* What is said of it is said once. */
void autostart_again(struct waiting *w)
{
    unsigned short_lives = w->short_lives;
    struct errbuf e;
    struct dom *d;
    int rc = dom_create(&w->cfg, false, &d, &e); /* takes it off the list */

    if (!rc) {
        d->short_lives = short_lives;
        say("%s: started again as domain %u", d->cfg.name, d->id);
        return;
    }
    if (strcmp(w->what, e.s) != 0)
        say("%s; it is tried again until it starts", e.s);
    snprintf(w->what, sizeof(w->what), "%s", e.s);
    try_later(w);
}

/* One of the bundle's. True: it was tried. */
static bool look_at(struct waiting *w)
{
    static struct domcfg cfg;
    char config[sizeof(w->config)];
    struct errbuf e;

    if (devs_served(&w->cfg, &e) == -ENOENT) {
        snprintf(w->what, sizeof(w->what), "%s", e.s); /* it may be another one by now */
        return false;
    }
    cfg = w->cfg;
    memcpy(config, w->config, sizeof(config));
    start(&cfg, config, w);
    return true;
}

bool autostart_work(void)
{
    if (!waiting_looks() || !store_up || *record_machine_ends)
        return false;
    for (struct waiting *w = waiting, *next; w; w = next) {
        next = w->next;
        if (w->config[0] && look_at(w))
            return true;
        if (w->config[0])
            continue;
        if (now_ns() >= w->retry_ns) {
            autostart_again(w);
            return true;
        }
        look_then(w);
    }
    waiting_looked();
    return false;
}
