/* SPDX-License-Identifier: MIT */
/* Which nodes a domain has, with which rights: the front-end's side, the back-end's, control/, the console's. */
#include "store/store.h"
#include <store_keys.h>
#include <string.h>
#include <uuid/uuid.h>
#include "domain/identity.h"
#include "store/devices.h"
#include "store/nodes.h"

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
    node_num(t, d->id, "/local/domain/%u/domid", d->id);
    node(t, vm, NULL, "/local/domain/%u/vm", d->id);
    node_num(t, kib, "/local/domain/%u/memory/static-max", d->id);
    node_num(t, kib, "/local/domain/%u/memory/target", d->id);
    node_num(t, d->store_port, "/local/domain/%u/store/port", d->id);
    node_num(t, d->store_gfn, "/local/domain/%u/store/ring-ref", d->id);
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
        node(t, "", rw, "/local/domain/%u/" BH_KEY_UPLINK, d->id);
    }
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

static void again_nodes(struct txn *t, struct dom *d, void *arg)
{
    all_nodes(t, d, arg);
    for (unsigned i = 0; i < d->nr_devs; i++)
        dev_goes_on(t, d, &d->dev[i]);
}

int store_add_again(struct dom *d, struct errbuf *e) { return commit(d, again_nodes, NULL, e); }

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
