/* SPDX-License-Identifier: MIT */
/* A list, in order: autostart.c adds and takes, life.c says when to look again, the shell shows it. */
#include "supervise/waiting.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "console/console.h"

struct waiting *waiting;
static bool look;

struct waiting *waiting_add(const struct domcfg *cfg, const char *config, const char *what)
{
    struct waiting **at = &waiting, *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    w->cfg = *cfg;
    w->config = config;
    snprintf(w->what, sizeof(w->what), "%s", what);
    while (*at)
        at = &(*at)->next;
    return *at = w;
}

void waiting_remove(struct waiting *w)
{
    struct waiting **at = &waiting;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    free(w);
}

bool waiting_forget(const char *name)
{
    struct waiting *w = waiting;

    while (w && strcmp(w->cfg.name, name) != 0)
        w = w->next;
    if (w)
        waiting_remove(w);
    return w;
}

void waiting_list(void)
{
    for (const struct waiting *w = waiting; w; w = w->next)
        out("%s; %s\n", w->what, w->config ? "it starts when that is there" : "it is tried again");
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
