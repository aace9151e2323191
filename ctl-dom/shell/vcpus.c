/* SPDX-License-Identifier: MIT */
/* Commands: how many of its vCPUs a guest uses. Its kernel takes them up and down by cpu/N/availability in the store. */
#include "shell/command.h"
#include <stdlib.h>
#include "console/console.h"
#include "shell/follow.h"
#include "store/store.h"

static uint64_t at(const struct bh_dominfo *di) { return di->vcpus_online; }
static bool there(const struct dom *d, uint64_t online) { return online == d->cfg.vcpus; }

static void tell(const struct dom *d, uint64_t online, enum following how)
{
    out("%lu of %u vCPUs are online", online, config_most_vcpus(&d->cfg));
    if (how == FOLLOW_THERE)
        return;
    out(", %u are asked for", d->cfg.vcpus);
    if (how == FOLLOW_STANDS && online < d->cfg.vcpus)
        out("; its kernel knows of the others, and waits for a word there: echo 1 > /sys/devices/system/cpu/cpuN/online");
    else if (how == FOLLOW_STANDS)
        out("; it takes no more down");
}

static bool cmd_vcpu_set(int argc, char **argv)
{
    static const struct follow vcpus = { at, there, tell };
    struct dom *d = command_dom(argv[1]);
    struct errbuf e;
    char *end;
    unsigned long n = strtoul(argv[2], &end, 10);

    (void)argc;
    if (!d)
        return true;
    if (d->cfg.role != BH_ROLE_GUEST)
        out("%s: is a service domain: it has one vCPU\n", d->cfg.name);
    else if (d->state != DOM_UP)
        out("%s: does not run\n", d->cfg.name);
    else if (argv[2][0] < '0' || argv[2][0] > '9' || *end || !n || n > config_most_vcpus(&d->cfg))
        out("%s: '%s' is no number of vCPUs from 1 to %u (maxvcpus=)\n", d->cfg.name, argv[2],
            config_most_vcpus(&d->cfg));
    else if (store_resize(d, d->cfg.memory_mb, (uint32_t)n, &e))
        out("%s\n", e.s);
    else
        follow(d, &vcpus);
    return true;
}

static const struct command rows[] = {
    { "vcpu-set", "NAME N", "how many of its vCPUs a guest uses, up to its maxvcpus=", 2, 2,
      cmd_vcpu_set },
};
const struct commands vcpus_commands = COMMANDS(rows);
