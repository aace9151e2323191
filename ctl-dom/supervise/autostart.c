/* SPDX-License-Identifier: MIT */
/*
 * Configurations of the bundle that start by themselves: at boot, in the order of the bundle, role by role. A guest that needs a driver
 * domain which is not there waits, `list` says for what, and it starts when that is made.
 */
#include "ctl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct waiting {
    struct waiting *next;
    const char *config;      /* the bundle's own */
    char name[BH_NAME_LEN];
    char what[200];          /* "NAME: disk xvda: no block driver domain blk1" */
};
static struct waiting *waiting; /* in the order in which they would have started */
static bool look;

/* true: it waits now. */
static bool wait_for_driver(const struct domcfg *cfg, const char *config)
{
    struct waiting **at = &waiting, *w;
    struct errbuf e;

    if (cfg->role != BH_ROLE_GUEST || devs_served(cfg, &e) != -ENOENT || !(w = calloc(1, sizeof(*w))))
        return false;
    w->config = config;
    snprintf(w->name, sizeof(w->name), "%s", cfg->name);
    snprintf(w->what, sizeof(w->what), "%s", e.s);
    while (*at)
        at = &(*at)->next;
    *at = w;
    say("%s; it starts when that is there", w->what);
    return true;
}

static void start(const struct domcfg *cfg, const char *config)
{
    uint64_t from = now_ns();
    struct errbuf e;
    struct dom *d;

    bool right = !config_check(cfg, config, e.s, sizeof(e.s));
    if (right && !dom_create(cfg, true, &d, &e)) {
        if (cfg->role == BH_ROLE_GUEST)
            say("%s: created as domain %u (%lu ms)", cfg->name, d->id, (now_ns() - from) / 1000000);
    } else if (!right || !wait_for_driver(cfg, config)) {
        say("%s; it is not started: create %.*s when that is mended", e.s, (int)(strlen(config) - 4), config);
    }
}

void autostart(enum bh_role role)
{
    static struct domcfg cfg;
    struct errbuf e;

    for (unsigned i = 0; i < bundle.nr_images; i++) {
        const char *name = bundle.image[i].name;
        size_t len = strlen(name);
        if (len < 5 || strcmp(name + len - 4, ".cfg") != 0)
            continue;
        if (config_load(&cfg, name, &e)) {
            if (role == BH_ROLE_STORE) /* say it once */
                say("%s", e.s);
            continue;
        }
        if (cfg.role != role || !cfg.autostart)
            continue;
        start(&cfg, name);
        turn(now_ns()); /* tells who has come up meanwhile */
    }
}

/* --- who waits -------------------------------------------------------------------------------- */
static void forget(struct waiting **at)
{
    struct waiting *w = *at;

    *at = w->next;
    free(w);
}

void autostart_look(void) { look = true; }

bool autostart_work(void)
{
    static struct domcfg cfg;
    struct errbuf e;

    if (!look || !store_up)
        return false;
    for (struct waiting **at = &waiting; *at;) {
        struct waiting *w = *at;
        const char *config = w->config;
        if (config_load(&cfg, config, &e)) {
            say("%s", e.s);
            forget(at);
        } else if (devs_served(&cfg, &e) == -ENOENT) {
            snprintf(w->what, sizeof(w->what), "%s", e.s); /* it may be another one by now */
            at = &w->next;
        } else {
            forget(at);
            start(&cfg, config);
            return true;
        }
    }
    look = false;
    return false;
}

void autostart_list(void)
{
    for (const struct waiting *w = waiting; w; w = w->next)
        out("%s; it starts when that is there\n", w->what);
}

bool autostart_forget(const char *name)
{
    for (struct waiting **at = &waiting; *at; at = &(*at)->next)
        if (!strcmp((*at)->name, name)) {
            forget(at);
            return true;
        }
    return false;
}
