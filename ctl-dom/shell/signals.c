/* SPDX-License-Identifier: MIT */
/* Commands: what xl's users poke a guest or the hypervisor with. What is not here is said, with what there is instead. */
#include <stdio.h>
#include <string.h>
#include "console/console.h"
#include "shell/command.h"
#include "domain/dom.h"
#include "store/store.h"

/* A guest that would hear it; NULL: none, which was said. */
static struct dom *listener(const char *name)
{
    struct dom *d = command_guest(name);
    struct bh_dominfo di = { .domid = d ? d->id : 0 };

    if (!d)
        return NULL;
    if (d->state != DOM_UP) {
        out("%s: does not run\n", d->cfg.name);
        return NULL;
    }
    if (!bh_ctl_info(&di) && di.domid == d->id && (di.flags & BH_DI_PAUSED))
        out("%s: is paused: it will hear that when it goes on\n", d->cfg.name);
    return d;
}

/* Linux looks at the node and takes the letter away; without CONFIG_MAGIC_SYSRQ it does not look. */
static bool cmd_sysrq(int argc, char **argv)
{
    char path[64];

    (void)argc;
    if (!argv[2][0] || argv[2][1] || argv[2][0] <= ' ' || argv[2][0] > '~') {
        out("sysrq: '%s' is not one letter (h shows them all on the guest's console)\n", argv[2]);
        return true;
    }
    struct dom *d = listener(argv[1]);
    if (!d)
        return true;
    snprintf(path, sizeof(path), "/local/domain/%u/control/sysrq", d->id);
    if (xs_write(0, path, argv[2]))
        out("%s: the store does not take the request\n", d->cfg.name);
    return true;
}

/* A PVH guest has no ACPI buttons and no sleep; what the store can ask for instead, or why there is nothing. */
static const struct trigger {
    const char *name, *asks, *instead;
} triggers[] = {
    { "power", "poweroff", NULL },
    { "reset", "reboot", NULL },
    { "nmi", NULL, "no NMI is brought into a guest; `sysrq NAME c` has Linux crash and dump" },
    { "init", NULL, "no INIT is brought into a guest; destroy and create begin it anew" },
    { "sleep", NULL, "a PVH guest has no ACPI sleep; pause takes its CPUs away" },
    { "s3resume", NULL, "a PVH guest has no ACPI sleep; unpause gives CPUs back" },
};

static bool cmd_trigger(int argc, char **argv)
{
    const struct trigger *t = triggers;

    while (t < triggers + ARRAY_SIZE(triggers) && strcmp(t->name, argv[2]) != 0)
        t++;
    if (t == triggers + ARRAY_SIZE(triggers))
        return false;
    struct dom *d = listener(argv[1]);
    if (d && t->instead)
        out("%s: %s: %s\n", d->cfg.name, t->name, t->instead);
    else if (d && store_control(d, t->asks))
        out("%s: the store does not take the request\n", d->cfg.name);
    else if (d)
        out("%s: a PVH guest has no ACPI button: it is asked to %s by the store%s\n", d->cfg.name,
            !strcmp(t->asks, "reboot") ? "start anew" : "power off", argc > 3 ? ", as a whole" : "");
    return true;
}

/* The core answers in its log, which is printed as it comes. */
static bool cmd_debug_keys(int argc, char **argv)
{
    struct bh_debug_keys k = { .nr = (uint32_t)strlen(argv[1]) };

    (void)argc;
    if (!k.nr || k.nr > sizeof(k.key)) {
        out("debug-keys: 1 to %zu keys (h lists them)\n", sizeof(k.key));
        return true;
    }
    memcpy(k.key, argv[1], k.nr);
    long rc = bh_ctl_debug_keys(&k);
    if (rc)
        out("debug-keys: %s: %s\n", argv[1], errno_text((int)rc));
    return true;
}

static const struct command rows[] = {
    { "sysrq", "NAME LETTER", "a Magic System Request of Linux: h, s, t, b ...", 2, 2, cmd_sysrq },
    { "trigger", "NAME power|reset|nmi|init|sleep|s3resume [VCPU]",
      "power, reset: asks by the store; the others: says what is there instead", 2, 3, cmd_trigger },
    { "debug-keys", "KEYS", "the core's own debug keys, h lists them", 1, 1, cmd_debug_keys },
};
const struct commands signal_commands = COMMANDS(rows);
