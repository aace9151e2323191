/* SPDX-License-Identifier: MIT */
/* pci_guest.h. */
#include "store/pci_guest.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xenbus.h>
#include "console/console.h"
#include "console/patience.h"
#include "domain/pci.h"
#include "job/job.h"
#include "store/devices.h"
#include "store/nodes.h"

#define WAIT_NS 3000000000ull
#define LOOK_NS 2000000ull

struct going {
    const uint32_t *sbdf;
    unsigned n;
};

static void dir_of(const struct dom *d, char be[DEV_PATH])
{
    snprintf(be, DEV_PATH, "/local/domain/%u/backend/pci/%u/0", BH_DOMID_PCIBACK, d->id);
}

/* Whoever has it already keeps it: pciback looks at each anew, and finds those that it shows where they are. */
static void nodes_now(struct txn *t, struct dom *d, void *arg)
{
    static const char *const keys[] = { "vdevfn", "opts", "dev", "state", "cfg", "vdev" };
    char be[DEV_PATH];

    (void)arg;
    dir_of(d, be);
    for (unsigned i = 0; i < CFG_MAX_PCI; i++) {
        bool is = i < d->cfg.nr_pci; /* the place of another so far: what was said of that goes */
        for (unsigned k = 0; k < (is ? 2 : ARRAY_SIZE(keys)); k++)
            no_node(t, "%s/%s-%u", be, keys[k], i);
        if (!is)
            continue;
        pci_node(t, d, be, i);
        node_num(t, XenbusStateInitialising, "%s/state-%u", be, i);
    }
    node_num(t, d->cfg.nr_pci, "%s/num_devs", be);
    node_num(t, XenbusStateReconfiguring, "%s/state", be);
}

static void nodes_go(struct txn *t, struct dom *d, void *arg)
{
    const struct going *g = arg;
    char be[DEV_PATH];

    dir_of(d, be);
    for (unsigned i = 0; i < d->cfg.nr_pci; i++)
        for (unsigned k = 0; k < g->n; k++)
            if (d->cfg.pci[i] == g->sbdf[k])
                node_num(t, XenbusStateClosing, "%s/state-%u", be, i);
    node_num(t, XenbusStateReconfiguring, "%s/state", be);
}

/* False: none came. *state: 0 where there is nothing to wait for. */
static bool wait_answer(const struct dom *d, uint64_t *state)
{
    char be[DEV_PATH], path[DEV_PATH + 16];
    struct patience p;

    *state = 0;
    dir_of(d, be);
    snprintf(path, sizeof(path), "%s/state", be);
    for (patience_begin(&p, PATIENCE_NS, WAIT_NS); now_ns() < p.until; job_wait(now_ns() + LOOK_NS)) {
        if (xs_read_uint(0, path, state) || *state == XenbusStateConnected ||
            *state == XenbusStateClosing || *state == XenbusStateClosed)
            return true;
        if (patience_ends(&p, "%s: waits for pciback, and its front-end if it has one", d->cfg.name))
            break;
    }
    return false;
}

void store_pci_shown(const struct dom *d)
{
    char be[DEV_PATH], path[DEV_PATH + 16];
    uint64_t state;

    if (d->cfg.role != BH_ROLE_GUEST || !d->cfg.nr_pci)
        return;
    if (!wait_answer(d, &state))
        say("%s: pciback does not answer: it starts, waits where it looks for its devices, and may see them in other slots than @ says",
            d->cfg.name);
    if (state != XenbusStateClosed)
        return;
    dir_of(d, be);
    snprintf(path, sizeof(path), "%s/error", be);
    char *why = xs_read(0, path);
    say("%s: pciback does not show all its devices: %.100s", d->cfg.name,
        why ? why : "it does not say why");
    free(why);
}

bool store_pci_bus(const struct dom *d)
{
    char be[DEV_PATH], path[DEV_PATH + 16];
    uint64_t n;

    dir_of(d, be);
    snprintf(path, sizeof(path), "%s/num_devs", be);
    return xs_read_uint(0, path, &n) != -ENOENT;
}

int store_pci_place(const struct dom *d, uint32_t sbdf)
{
    char be[DEV_PATH], path[DEV_PATH + 16], *end;
    int devfn = -ENOENT;

    dir_of(d, be);
    for (unsigned i = 0; i < CFG_MAX_PCI && devfn < 0; i++) {
        snprintf(path, sizeof(path), "%s/dev-%u", be, i);
        char *dev = xs_read(0, path);
        bool is_it = dev && !strcmp(dev, sbdf_text(sbdf).s);
        free(dev);
        if (!dev)
            break;
        snprintf(path, sizeof(path), "%s/vdev-%u", be, i);
        char *seen = is_it ? xs_read(0, path) : NULL;
        if (seen && strlen(seen) == 13) { /* 0000:00:01.00 */
            unsigned long slot = strtoul(seen + 8, &end, 16), fn = strtoul(seen + 11, NULL, 16);
            if (*end == '.' && slot < 32 && fn < 8)
                devfn = (int)(slot << 3 | fn);
        }
        free(seen);
    }
    return devfn;
}

int store_set_pci(struct dom *d, struct errbuf *e)
{
    uint64_t state;

    if (d->cfg.role != BH_ROLE_GUEST)
        return store_pci_anew(d, e);
    if (!store_pci_bus(d)) /* it had none so far */
        return d->cfg.nr_pci ? commit(d, pci_nodes, NULL, e) : 0;
    int rc = commit(d, nodes_now, NULL, e);
    if (!rc)
        (void)wait_answer(d, &state);
    return rc;
}

int store_pci_goes(struct dom *d, const uint32_t *sbdf, unsigned n, struct errbuf *e)
{
    struct going g = { sbdf, n };
    uint64_t state;
    int rc = commit(d, nodes_go, &g, e);

    if (!rc)
        (void)wait_answer(d, &state);
    return rc;
}
