/* SPDX-License-Identifier: MIT */
/* Which nodes a domain has, with which rights: the front-end's side, the back-end's, control/, the console's. */
#include "store/store.h"
#include <errno.h>
#include <store_keys.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>
#include "domain/identity.h"
#include "store/devices.h"
#include "store/linux.h"
#include "store/linux_life.h"
#include "store/nodes.h"

/* What its kernel follows while it runs. */
static void size_nodes(struct txn *t, struct dom *d, void *arg)
{
    (void)arg;
    node_num(t, d->cfg.memory_mb * 1024ul, "/local/domain/%u/memory/target", d->id);
    for (unsigned i = 0; i < config_most_vcpus(&d->cfg); i++)
        node(t, i < d->cfg.vcpus ? "online" : "offline", NULL,
             "/local/domain/%u/cpu/%u/availability", d->id, i);
}

static void domain_nodes(struct txn *t, struct dom *d)
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
    static const char *const uplinks[SLOT_BRIDGES] = BH_KEY_UPLINKS;
    char ro[32], rw[32], uuid[UUID_TEXT], vm[UUID_TEXT + 4];

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
    node_num(t, config_most_mb(&d->cfg) * 1024ul, "/local/domain/%u/memory/static-max", d->id);
    size_nodes(t, d, NULL);
    node_num(t, d->store_port, "/local/domain/%u/store/port", d->id);
    node_num(t, d->store_gfn, "/local/domain/%u/store/ring-ref", d->id);
    node(t, NULL, ro, "/local/domain/%u/device", d->id);
    node(t, NULL, ro, "/local/domain/%u/control", d->id);
    if (d->cfg.metrics)
        node(t, NULL, ro, "/local/domain/%u/" BH_KEY_METRICS, d->id);
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
        node(t, "", rw, "/local/domain/%u/%s", d->id, own[i]);
    if (may_serve(d) || d->cfg.role == BH_ROLE_PCIBACK)
        node(t, NULL, ro, "/local/domain/%u/backend", d->id);
    if (d->cfg.vnet)
        node(t, "", rw, "/local/domain/%u/" BH_KEY_VNET, d->id);
    if (d->cfg.role == BH_ROLE_DRIVER) {
        node(t, NULL, rw, "/local/domain/%u/volumes", d->id);
        for (unsigned i = 0; i < (d->cfg.nr_bridges ? d->cfg.nr_bridges : 1); i++)
            node(t, "", rw, "/local/domain/%u/%s", d->id, uplinks[i]);
    }
}

static void all_nodes(struct txn *t, struct dom *d, void *arg)
{
    domain_nodes(t, d);
    for (unsigned i = 0; i < d->nr_devs; i++)
        if (!dev_lost(&d->dev[i]))
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
        if (!dev_lost(&d->dev[i]))
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
static int removed(const char *path)
{
    int rc = xs_rm(0, path);

    return rc == -ENOENT ? 0 : rc;
}

static int remove_backends(domid_t id)
{
    static const char *const types[] = { "vif", "vbd", "pci" };
    char path[64];
    int rc = 0;

    for (const struct dom *b = doms; b; b = b->next)
        for (unsigned i = 0; i < ARRAY_SIZE(types) && !rc; i++) {
            if (i < 2 ? !may_serve(b) : b->cfg.role != BH_ROLE_PCIBACK)
                continue;
            snprintf(path, sizeof(path), "/local/domain/%u/backend/%s/%u", b->id, types[i], id);
            rc = removed(path);
        }
    return rc;
}

/* What /vm has of it is found by its directory, which so goes after that; and by that who it is will be found again. */
int store_leave(domid_t id)
{
    char path[64];
    int rc = remove_backends(id);

    if (rc)
        return rc;
    snprintf(path, sizeof(path), "/local/domain/%u/vm", id);
    char *vm = xs_read(0, path);
    if (!vm && xs_error != ENOENT)
        return -xs_error;
    if (vm && !strncmp(vm, "/vm/", 4))
        rc = removed(vm);
    free(vm);
    snprintf(path, sizeof(path), "/local/domain/%u", id);
    if (!rc)
        rc = removed(path);
    /* Of a guest that did not get that far somebody may have heard all the same. */
    if (!rc)
        rc = store_release(id);
    return rc == -ENOENT ? 0 : rc; /* a service domain that never was introduced */
}

int store_remove_domain(struct dom *d)
{
    if (d->cfg.role == BH_ROLE_STORE) /* all of it went with that */
        return 0;
    linux_gone(d);
    if (d->in_store) {
        if (d->cfg.role == BH_ROLE_DRIVER)
            devs_driver_gone(d);
        devs_close(d);
    }
    int rc = store_up ? store_leave(d->id) : -EIO;
    d->in_store = d->introduced = false;
    return rc;
}

static void fill_name(struct txn *t, struct dom *d, void *name)
{
    char uuid[UUID_TEXT];

    uuid_unparse_lower(d->cfg.uuid, uuid);
    node(t, name, NULL, "/vm/%s/name", uuid);
    node(t, name, NULL, "/local/domain/%u/name", d->id);
}

int store_rename(struct dom *d, const char *name, struct errbuf *e)
{
    if (!store_up)
        return fail(e, -EIO, "%s: cannot be renamed, the store is not running", d->cfg.name);
    if (!d->renames) /* else that goes on */
        snprintf(d->renamed, sizeof(d->renamed), "%s", name);
    wmb();
    WRITE_ONCE(d->renames, true); /* from here on whoever follows us goes on with it */
    wmb();
    int rc = commit(d, fill_name, d->renamed, e);
    if (!rc)
        memcpy(d->cfg.name, d->renamed, sizeof(d->cfg.name));
    wmb();
    WRITE_ONCE(d->renames, false);
    return rc;
}

int store_resize(struct dom *d, uint32_t memory_mb, uint32_t vcpus, struct errbuf *e)
{
    if (!store_up)
        return fail(e, -EIO, "%s: the store is not running", d->cfg.name);
    uint32_t had_mb = d->cfg.memory_mb, had_vcpus = d->cfg.vcpus;
    d->resizes = true; /* until the store has what is written here, also for whoever follows us */
    d->cfg.maxmem_mb = config_most_mb(&d->cfg);
    d->cfg.maxvcpus = config_most_vcpus(&d->cfg);
    wmb();
    d->cfg.memory_mb = memory_mb;
    d->cfg.vcpus = vcpus;
    wmb();
    int rc = commit(d, size_nodes, NULL, e);
    if (rc) {
        d->cfg.memory_mb = had_mb;
        d->cfg.vcpus = had_vcpus;
    } else {
        WRITE_ONCE(d->resizes, false);
    }
    return rc;
}

int store_domains(void (*seen)(domid_t id))
{
    unsigned n;
    char **names = xs_ls(0, "/local/domain", &n), *end;

    if (!names)
        return -xs_error;
    for (unsigned i = 0; i < n; i++) {
        unsigned long id = strtoul(names[i], &end, 10);
        if (names[i][0] >= '0' && names[i][0] <= '9' && !*end && id < DOMID_FIRST_RESERVED)
            seen((domid_t)id);
    }
    free(names);
    return 0;
}
