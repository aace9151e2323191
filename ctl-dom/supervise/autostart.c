/* SPDX-License-Identifier: MIT */
/* Guests that wait are tried again when a driver domain was made, one in a turn of the main loop. */
#include "supervise/autostart.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "console/console.h"
#include "domain/load.h"
#include "store/connection.h"
#include "store/devices.h"
#include "supervise/life.h"
#include "supervise/waiting.h"

/* true: it waits now. */
static bool wait_for_driver(const struct domcfg *cfg, const char *config)
{
    struct errbuf e;

    if (cfg->role != BH_ROLE_GUEST || devs_served(cfg, &e) != -ENOENT ||
        !waiting_add(cfg->name, config, e.s))
        return false;
    say("%s; it starts when that is there", e.s);
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
        say("%s; it is not started: create %.*s when that is mended", e.s,
            (int)(strlen(config) - 4), config);
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
        con_wait(now_ns()); /* tells who has come up meanwhile */
    }
}

bool autostart_work(void)
{
    static struct domcfg cfg;
    struct errbuf e;

    if (!waiting_looks() || !store_up)
        return false;
    for (struct waiting *w = waiting, *next; w; w = next) {
        const char *config = w->config;
        next = w->next;
        if (config_load(&cfg, config, &e)) {
            say("%s", e.s);
            waiting_remove(w);
        } else if (devs_served(&cfg, &e) == -ENOENT) {
            snprintf(w->what, sizeof(w->what), "%s", e.s); /* it may be another one by now */
        } else {
            waiting_remove(w);
            start(&cfg, config);
            return true;
        }
    }
    waiting_looked();
    return false;
}
