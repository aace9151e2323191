/* SPDX-License-Identifier: MIT */
/*
 * The control domain's connection to the store, and /local/domain/ID of each domain there, in the
 * layout of Xen's. devices.c writes both sides of each device.
 */
#include "ctl.h"
#include "domain/identity.h"
#include "store/storetx.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>
#include <xen/io/xs_wire.h>

#define CONNECT_WAIT_NS 5000000000ull

bool store_up;
static void *ctl_page;
static int ctl_ref, ctl_port;

/* --- the connection --------------------------------------------------------------------------- */
int store_prepare(struct dom *store, struct errbuf *e)
{
    ctl_page = page_alloc(1);
    if (!ctl_page)
        return fail(e, -ENOMEM, "store: out of memory");
    ctl_ref = grant_give(store->id, ctl_page, 0);
    ctl_port = event_alloc_unbound(store->id, NULL, NULL);
    if (ctl_ref < 0 || ctl_port < 0)
        return fail(e, ctl_ref < 0 ? ctl_ref : ctl_port, "store: no ring to it");
    size_t at = strlen(store->words);
    snprintf(store->words + at, sizeof(store->words) - at, " ctl_ref=%d ctl_port=%d", ctl_ref,
             ctl_port);
    return 0;
}

int store_connect(void)
{
    int rc = xs_attach(ctl_page, (uint32_t)ctl_port);
    uint64_t end = now_ns() + CONNECT_WAIT_NS;

    /* The first request waits in the ring until the store has bound its end; nothing is lost
     * before. */
    while (!rc && now_ns() < end) {
        rc = xs_mkdir(0, "/local/domain");
        if (!rc)
            break;
        if (rc == -EEXIST)
            rc = 0;
    }
    if (!rc)
        rc = xs_mkdir(0, "/local/domain/0/backend");
    if (!rc)
        rc = xs_printf(0, "/local/domain/0/name", "control");
    store_up = !rc;
    return rc;
}

/* --- nodes in a transaction ------------------------------------------------------------------- */
void node(struct txn *t, const char *val, const char *perms, const char *fmt, ...)
{
    char path[160];
    va_list ap;

    if (t->rc)
        return;
    va_start(ap, fmt);
    vsnprintf(path, sizeof(path), fmt, ap);
    va_end(ap);
    t->rc = val ? xs_write(t->tx, path, val) : xs_mkdir(t->tx, path);
    if (!t->rc && perms)
        t->rc = xs_set_perms(t->tx, path, perms);
}

void no_node(struct txn *t, const char *fmt, ...)
{
    char path[160];
    va_list ap;

    if (t->rc)
        return;
    va_start(ap, fmt);
    vsnprintf(path, sizeof(path), fmt, ap);
    va_end(ap);
    t->rc = xs_rm(t->tx, path);
    if (t->rc == -ENOENT)
        t->rc = 0;
}

const char *num(uint64_t v)
{
    static char text[4][24];
    static unsigned turn_of;
    char *s = text[turn_of++ % 4];

    snprintf(s, sizeof(text[0]), "%lu", v);
    return s;
}

static void domain_nodes(struct txn *t, const struct dom *d)
{
    static const char *const own[] = {
        "control/shutdown",
        "control/sysrq",
        "control/feature-poweroff",
        "control/feature-reboot",
        "control/feature-suspend",
        "device/suspend/event-channel",
        "data",
        "drivers",
        "feature",
        "attr",
        "error",
    };
    char ro[32], rw[32], uuid[UUID_TEXT], vm[UUID_TEXT + 4];
    uint64_t kib = (uint64_t)d->cfg.memory_mb * 1024;

    snprintf(ro, sizeof(ro), "n0 r%u", d->id);
    snprintf(rw, sizeof(rw), "n%u", d->id);
    uuid_unparse_lower(d->cfg.uuid, uuid);
    snprintf(vm, sizeof(vm), "/vm/%s", uuid);
    node(t, NULL, ro, "%s", vm); /* xenstore-paths: the domain's directory names it */
    node(t, uuid, NULL, "%s/uuid", vm);
    node(t, d->cfg.name, NULL, "%s/name", vm);
    node(t, NULL, ro, "/local/domain/%u", d->id);
    node(t, d->cfg.name, NULL, "/local/domain/%u/name", d->id);
    node(t, num(d->id), NULL, "/local/domain/%u/domid", d->id);
    node(t, vm, NULL, "/local/domain/%u/vm", d->id);
    node(t, num(kib), NULL, "/local/domain/%u/memory/static-max", d->id);
    node(t, num(kib), NULL, "/local/domain/%u/memory/target", d->id);
    node(t, num(d->store_port), NULL, "/local/domain/%u/store/port", d->id);
    node(t, num(d->store_gfn), NULL, "/local/domain/%u/store/ring-ref", d->id);
    for (unsigned i = 0; i < d->cfg.vcpus; i++)
        node(t, "online", NULL, "/local/domain/%u/cpu/%u/availability", d->id, i);
    node(t, NULL, ro, "/local/domain/%u/device", d->id);
    node(t, NULL, ro, "/local/domain/%u/control", d->id);
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
        node(t, "", rw, "/local/domain/%u/%s", d->id, own[i]);
    if (d->cfg.role == BH_ROLE_DRIVER || d->cfg.role == BH_ROLE_PCIBACK)
        node(t, NULL, ro, "/local/domain/%u/backend", d->id);
    if (d->cfg.role == BH_ROLE_DRIVER) {
        node(t, NULL, rw, "/local/domain/%u/volumes", d->id);
        node(t, "", rw, "/local/domain/%u/uplink", d->id);
    }
}

int commit(struct dom *d, void (*fill)(struct txn *t, struct dom *d, void *arg), void *arg,
           struct errbuf *e)
{
    struct txn t = { .rc = -EAGAIN };

    for (unsigned tries = 0; t.rc == -EAGAIN && tries < 20; tries++) {
        t.rc = xs_tx_start(&t.tx);
        if (t.rc)
            break;
        fill(&t, d, arg);
        int rc = xs_tx_end(t.tx, !t.rc);
        t.rc = t.rc ? t.rc : rc;
    }
    return t.rc ? fail(e, t.rc, "%s: store: %s", d->cfg.name, errno_text(t.rc)) : 0;
}

static void all_nodes(struct txn *t, struct dom *d, void *arg)
{
    domain_nodes(t, d);
    for (unsigned i = 0; i < d->nr_devs; i++)
        dev_nodes(t, d, &d->dev[i]);
    if (d->cfg.nr_pci)
        pci_nodes(t, d, arg);
}

int store_add_domain(struct dom *d, struct errbuf *e)
{
    int rc = devs_resolve(d, e);

    if (rc)
        return rc;
    d->in_store = true; /* also what a commit that failed may have left */
    return devs_attach(d, all_nodes, e);
}

/* --- introduce and release ------------------------------------------------------------------- */
int store_introduce(const struct dom *d)
{
    char msg[64];
    int n = snprintf(msg, sizeof(msg), "%u %lu %u%s", d->id, d->store_gfn, d->store_port,
                     d->cfg.role == BH_ROLE_DRIVER ? " driver" : "");

    for (int i = 0; i < n; i++)
        if (msg[i] == ' ')
            msg[i] = '\0';
    return xs_raw(XS_INTRODUCE, 0, msg, (uint32_t)n + 1, NULL, NULL);
}

int store_release(const struct dom *d)
{
    char msg[8];
    int n = snprintf(msg, sizeof(msg), "%u", d->id);

    return xs_raw(XS_RELEASE, 0, msg, (uint32_t)n + 1, NULL, NULL);
}

int store_control(const struct dom *d, const char *what)
{
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", d->id);
    return xs_write(0, path, what);
}

/* --- the end of a domain ---------------------------------------------------------------------- */
static void remove_nodes(struct dom *d)
{
    char path[96];

    if (d->cfg.role == BH_ROLE_DRIVER)
        devs_driver_gone(d);
    devs_close(d);
    if (d->cfg.nr_pci) {
        snprintf(path, sizeof(path), "/local/domain/%u/backend/pci/%u", BH_DOMID_PCIBACK, d->id);
        xs_rm(0, path);
    }
    snprintf(path, sizeof(path), "/local/domain/%u", d->id);
    xs_rm(0, path);
    memcpy(path, "/vm/", 4);
    uuid_unparse_lower(d->cfg.uuid, path + 4);
    xs_rm(0, path);
}

void store_remove_domain(struct dom *d)
{
    if (!store_up)
        return;
    if (d->in_store)
        remove_nodes(d);
    /* Of a guest that did not get that far somebody may have heard all the same. */
    if (d->introduced || d->cfg.role == BH_ROLE_GUEST)
        d->unnamed = !store_release(d);
    d->in_store = d->introduced = false;
}
