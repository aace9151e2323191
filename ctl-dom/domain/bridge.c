/* SPDX-License-Identifier: MIT */
/* Names of bridges: see bridge.h. */
#include "domain/bridge.h"
#include <errno.h>
#include <string.h>

static bool is_net(const struct domcfg *c)
{
    return c->role == BH_ROLE_DRIVER && !strcmp(c->image, "net");
}

/* That, or a vnet's, which has one bridge of its own name. */
static struct dom *net_by_name(const char *name)
{
    struct dom *b = driver_by_name(name, "net");

    return b ? b : driver_by_name(name, "vnet");
}

unsigned bridges_of(const struct dom *b)
{
    return !config_is_net(&b->cfg) ? 0 : b->cfg.nr_bridges ? b->cfg.nr_bridges : 1;
}

const char *bridge_name(const struct dom *b, unsigned i)
{
    return b->cfg.nr_bridges ? b->cfg.bridge[i].name : b->cfg.name;
}

static int find(const struct dom *b, const char *name)
{
    for (unsigned i = 0; i < bridges_of(b); i++)
        if (!strcmp(bridge_name(b, i), name))
            return (int)i;
    return -1;
}

int bridge_find(const struct dom *b, const struct cfg_vif *v)
{
    if (b->cfg.driver_domain) /* a Linux knows its own */
        return 0;
    return !v->bridge[0] || net_by_name(v->bridge) == b ? 0 : find(b, v->bridge);
}

const char *vif_bridge(const struct dom *b, const struct cfg_vif *v)
{
    int i = b ? bridge_find(b, v) : -1;

    return i < 0 ? "" : b->cfg.driver_domain ? v->bridge : bridge_name(b, (unsigned)i);
}

/* The next domain behind b that has a bridge of that name; b NULL: the first. */
static struct dom *next_with(const struct dom *b, const char *name)
{
    for (struct dom *d = b ? b->next : doms; d; d = d->next)
        if (find(d, name) >= 0)
            return d;
    return NULL;
}

static struct dom *first_net(void)
{
    struct dom *d = doms;

    while (d && !is_net(&d->cfg))
        d = d->next;
    return d;
}

struct dom *vif_backend(const struct cfg_vif *v)
{
    const char *name = v->backend[0] ? v->backend : v->bridge;
    struct dom *b = *name ? net_by_name(name) : first_net();

    if (!b && v->backend[0])
        b = linux_by_name(name);
    if (b || v->backend[0])
        return b && bridge_find(b, v) >= 0 ? b : NULL;
    b = next_with(NULL, name);
    return b && !next_with(b, name) ? b : NULL;
}

/* "xenbr0 and xenbr1 of net0": as many as there is room for. */
static void list(char *text, size_t n, const struct dom *only)
{
    size_t at = 0;

    text[0] = '\0';
    for (const struct dom *b = doms; b; b = b->next)
        for (unsigned i = 0; i < bridges_of(b) && (!only || b == only) && at < n; i++)
            at += (size_t)snprintf(text + at, n - at, "%s%s", at ? ", " : "", bridge_name(b, i));
}

int vif_served(const struct cfg_vif *v, const char *who, struct dom **b, struct errbuf *e)
{
    const char *name = v->backend[0] ? v->backend : v->bridge;
    const struct dom *one, *other;
    char there[120];

    *b = vif_backend(v);
    if (*b)
        return 0;
    one = v->backend[0] ? net_by_name(v->backend) : NULL;
    list(there, sizeof(there), one);
    if (one)
        return fail(e, -EINVAL, "%s: no bridge %s in %s, which has %s", who, v->bridge,
                    one->cfg.name, there);
    one = *name && !v->backend[0] ? next_with(NULL, name) : NULL;
    other = one ? next_with(one, name) : NULL;
    if (other)
        return fail(e, -EINVAL, "%s: both %s and %s have a bridge %s: backend= says which", who,
                    one->cfg.name, other->cfg.name, name);
    if (!*there || v->backend[0])
        return fail(e, -ENOENT, "%s: no net driver domain %s", who, *name ? name : "runs");
    return fail(e, -ENOENT, "%s: no bridge %s (there are: %s)", who, name, there);
}

bool vifs_meet(const struct cfg_vif *v, const struct cfg_vif *o)
{
    const struct dom *b = vif_backend(v);

    return b && vif_backend(o) == b && !strcmp(vif_bridge(b, v), vif_bridge(b, o));
}

int bridges_check(const struct domcfg *cfg, struct errbuf *e)
{
    const struct dom *b;

    for (unsigned i = 0; i < cfg->nr_bridges; i++) {
        const char *name = cfg->bridge[i].name;
        if (strcmp(name, cfg->name) != 0 && (dom_by_name(name) || !strcmp(name, "control")))
            return fail(e, -EEXIST, "%s: bridges: %s is the name of a domain", cfg->name, name);
    }
    b = next_with(NULL, cfg->name);
    return b ? fail(e, -EEXIST, "%s: is the name of a bridge of %s", cfg->name, b->cfg.name) : 0;
}

void bridges_word(const struct domcfg *cfg, char *text, size_t n)
{
    size_t at = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < cfg->nr_bridges && at < n; i++) {
        const struct cfg_bridge *b = &cfg->bridge[i];
        at += (size_t)snprintf(text + at, n - at, b->wire ? "%s%s@%x" : "%s%s",
                               i ? "," : " bridges=", b->name, b->sbdf);
    }
}
