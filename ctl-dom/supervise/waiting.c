/* SPDX-License-Identifier: MIT */
/* A list, in order: autostart.c adds and takes, life.c says when to look again, the shell shows it. */
#include "supervise/waiting.h"
#include <stdio.h>
#include <string.h>
#include "console/console.h"
#include "domain/records.h"

_Static_assert(sizeof(struct waiting) <= RECORD_SIZE, "a record holds one that waits");

struct waiting *waiting;
static bool look;

static void list(struct waiting *w)
{
    struct waiting **at = &waiting;

    w->next = NULL;
    while (*at)
        at = &(*at)->next;
    *at = w;
}

struct waiting *waiting_add(const struct domcfg *cfg, const char *config, const char *what)
{
    struct waiting *w = record_new();

    if (!w)
        return NULL;
    w->cfg = *cfg;
    snprintf(w->config, sizeof(w->config), "%s", config ? config : "");
    snprintf(w->what, sizeof(w->what), "%s", what);
    record_keep(w, RECORD_WAITING);
    list(w);
    return w;
}

void waiting_find_all(void)
{
    for (struct waiting *w = record_next(NULL, RECORD_WAITING); w;
         w = record_next(w, RECORD_WAITING)) {
        if (!config_sound(&w->cfg) || !memchr(w->config, 0, sizeof(w->config)) ||
            !memchr(w->what, 0, sizeof(w->what))) {
            record_free(w); /* damaged */
            continue;
        }
        list(w);
        look = true;
    }
}

void waiting_remove(struct waiting *w)
{
    struct waiting **at = &waiting;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    record_free(w);
}

struct waiting *waiting_find(const char *name)
{
    struct waiting *w = waiting;

    while (w && strcmp(w->cfg.name, name) != 0)
        w = w->next;
    return w;
}

bool waiting_forget(const char *name)
{
    struct waiting *w = waiting_find(name);

    if (w)
        waiting_remove(w);
    return w;
}

void waiting_list(void)
{
    for (const struct waiting *w = waiting; w; w = w->next)
        out("%s; %s\n", w->what, w->config[0] ? "it starts when that is there" : "it is tried again");
}

void waiting_look(void)
{
    for (struct waiting *w = waiting; w; w = w->next)
        w->retry_ns = 0;
    look = true;
}

void waiting_due(void) { look = true; }
bool waiting_looks(void) { return look; }
void waiting_looked(void) { look = false; }
