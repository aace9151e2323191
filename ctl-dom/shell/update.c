/* SPDX-License-Identifier: MIT */
/* Command: what a guest is to be from its next start on, and of that what another command does at once. */
#include "shell/command.h"
#include <errno.h>
#include <string.h>
#include "console/console.h"
#include "domain/build.h"
#include "domain/identity.h"
#include "domain/load.h"
#include "store/devices.h"
#include "supervise/update.h"

static bool has_disk(const struct domcfg *c, const struct cfg_disk *k)
{
    for (unsigned i = 0; i < c->nr_disks; i++)
        if (c->disk[i].devid == k->devid && !strcmp(c->disk[i].volume, k->volume) &&
            !strcmp(c->disk[i].backend, k->backend) && !strcmp(c->disk[i].mode, k->mode))
            return true;
    return false;
}

static bool has_vif(const struct domcfg *c, const struct cfg_vif *v)
{
    for (unsigned i = 0; i < c->nr_vifs; i++)
        if (!memcmp(c->vif[i].mac, v->mac, sizeof(v->mac)) &&
            !strcmp(c->vif[i].bridge, v->bridge) && !strcmp(c->vif[i].backend, v->backend))
            return true;
    return false;
}

static void devices(const struct domcfg *is, const struct domcfg *next)
{
    char mac[VIF_MAC];

    for (unsigned i = 0; i < is->nr_disks; i++)
        if (!has_disk(next, &is->disk[i]))
            out("  without disk %s, now: block-detach %s %s\n", is->disk[i].vdev, is->name,
                is->disk[i].vdev);
    for (unsigned i = 0; i < next->nr_disks; i++) {
        const struct cfg_disk *k = &next->disk[i];
        if (!has_disk(is, k))
            out("  disk %s, now: block-attach %s phy:%s%s%s,%s,%s\n", k->vdev, is->name, k->backend,
                k->backend[0] ? ":" : "", k->volume, k->vdev, k->mode);
    }
    for (unsigned i = 0; i < is->nr_vifs; i++)
        if (!has_vif(next, &is->vif[i])) {
            mac_text(is->vif[i].mac, mac);
            out("  without vif %s, now: network-detach %s %s\n", mac, is->name, mac);
        }
    for (unsigned i = 0; i < next->nr_vifs; i++)
        if (!has_vif(is, &next->vif[i]))
            out("  another vif, now: network-attach %s\n", is->name);
}

/* What can change while it runs, and by which command. */
static void differences(const struct domcfg *is, const struct domcfg *next)
{
    if (next->memory_mb != is->memory_mb && next->memory_mb <= config_most_mb(is))
        out("  memory, now: mem-set %s %u\n", is->name, next->memory_mb);
    else if (next->memory_mb != is->memory_mb)
        out("  memory: %u MiB are more than it can have in this life\n", next->memory_mb);
    if (next->vcpus != is->vcpus && next->vcpus <= config_most_vcpus(is))
        out("  vCPUs, now: vcpu-set %s %u\n", is->name, next->vcpus);
    else if (next->vcpus != is->vcpus)
        out("  vCPUs: %u are more than it can have in this life\n", next->vcpus);
    if (next->cpu_weight != is->cpu_weight || next->cap != is->cap)
        out("  weight and cap, now: sched-credit2 -d %s -w %u -c %u\n", is->name, next->cpu_weight,
            next->cap);
    if (strcmp(next->cpus, is->cpus) != 0)
        out("  CPUs, now: vcpu-pin %s\n", is->name);
    devices(is, next);
    if (strcmp(next->kernel, is->kernel) != 0 || strcmp(next->ramdisk, is->ramdisk) != 0 ||
        strcmp(next->cmdline, is->cmdline) != 0)
        out("  kernel %s%s%s '%s'\n", next->kernel, next->ramdisk[0] ? ", ramdisk " : "",
            next->ramdisk, next->cmdline);
}

/* c as the words have it: a file's, or what d would be with some keys changed. All that is wrong is said. False: something is. */
static bool made(struct domcfg *c, const struct dom *d, int argc, char **argv)
{
    static struct findings found;
    struct errbuf e = { "" };
    int rc = 0;

    if (argc && !strchr(argv[0], '=')) {
        const char *slash = strrchr(argv[0], '/');
        rc = config_make(c, slash ? slash + 1 : argv[0], argc - 1, argv + 1, &found, &e);
        command_findings(&found, rc ? e.s : "");
        return !rc;
    }
    update_next(d, c);
    for (int i = 0; i < argc; i++)
        if (config_override(c, argv[i], e.s, sizeof(e.s))) {
            out("%s\n", e.s);
            rc = -EINVAL;
        }
    return !rc;
}

/* What the words leave open and is made for a guest once stays. */
static void keep_identity(struct domcfg *c, const struct domcfg *is)
{
    static const uint8_t none[6];

    memcpy(c->name, is->name, sizeof(c->name));
    memcpy(c->uuid, is->uuid, sizeof(c->uuid));
    for (unsigned i = 0; i < c->nr_vifs && i < is->nr_vifs; i++)
        if (!memcmp(c->vif[i].mac, none, sizeof(none)) && !is->vif[i].has_mac)
            memcpy(c->vif[i].mac, is->vif[i].mac, sizeof(none));
}

/* Whether it could start so; a driver domain that is away now may be there then. */
static int could(const struct domcfg *c, const struct dom *d, struct errbuf *e)
{
    int rc = config_check(c, c->name, e->s, sizeof(e->s));

    if (!rc && (c->role != BH_ROLE_GUEST || c->image[0]))
        rc = fail(e, -EINVAL, "%s: stays a guest with a kernel", c->name);
    if (!rc)
        rc = build_files(c, e);
    if (!rc)
        rc = identity_check_next(c, d, e);
    if (rc)
        return rc;
    rc = devs_served(c, e);
    if (rc != -ENOENT)
        return rc;
    out("%s; without it it waits then\n", e->s);
    return 0;
}

static bool cmd_config_update(int argc, char **argv)
{
    static struct domcfg c;
    const struct dom *d = command_dom(argv[1]);
    struct errbuf e;

    for (int i = 3; i < argc; i++)
        if (!strchr(argv[i], '='))
            return false;
    if (!d)
        return true;
    if (d->cfg.role != BH_ROLE_GUEST || !d->cfg.kernel[0]) {
        out("%s: is a service domain: its configuration is the bundle's\n", d->cfg.name);
        return true;
    }
    bool good = made(&c, d, argc - 2, argv + 2);
    if (good && strcmp(c.name, d->cfg.name) != 0)
        out("%s: keeps its name (rename)\n", d->cfg.name);
    keep_identity(&c, &d->cfg);
    if (good && argc > 2 && (could(&c, d, &e) || update_set(d, &c, &e))) {
        out("%s\n", e.s);
        good = false;
    }
    if (!good) {
        out("%s: nothing is changed\n", d->cfg.name);
        return true;
    }
    out("%s: from its next start on (reboot %s)\n", d->cfg.name, d->cfg.name);
    differences(&d->cfg, &c);
    return true;
}

static const struct command rows[] = {
    { "config-update", "NAME [CONFIG] [KEY=VALUE ...]",
      "what a guest is from its next start on; what another command does at once is said", 1,
      MAX_ARGS, cmd_config_update },
};
const struct commands update_commands = COMMANDS(rows);
