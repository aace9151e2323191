/* SPDX-License-Identifier: MIT */
/* Commands: ends of guests, and of the machine. */
#include "shell/command.h"
#include <string.h>
#include "console/console.h"
#include "store/store.h"

static void ask_guest(const char *name, const char *what)
{
    struct dom *d = command_dom(name);

    if (!d)
        return;
    if (d->cfg.role != BH_ROLE_GUEST)
        out("%s: is a service domain: restart or destroy it\n", d->cfg.name);
    else if (!store_up || store_control(d, what))
        out("%s: the store does not take the request\n", d->cfg.name);
}

static bool cmd_shutdown(int argc, char **argv)
{
    (void)argc;
    ask_guest(argv[1], "poweroff");
    return true;
}

static bool cmd_reboot(int argc, char **argv)
{
    (void)argc;
    ask_guest(argv[1], "reboot");
    return true;
}

/* Words of its own: what xl's users type to end a guest never ends the machine. */
static bool cmd_machine(int argc, char **argv)
{
    struct bh_machine m = { .how = BH_MACHINE_POWEROFF };

    (void)argc;
    if (!strcmp(argv[1], "reboot"))
        m.how = BH_MACHINE_REBOOT;
    else if (strcmp(argv[1], "poweroff") != 0)
        return false;
    long rc = bh_ctl_machine(&m);
    out("machine: %s\n", errno_text((int)rc));
    return true;
}

static const struct command rows[] = {
    { "shutdown", "NAME", "asks a guest to power off", 1, 1, cmd_shutdown },
    { "reboot", "NAME", "asks a guest to start anew", 1, 1, cmd_reboot },
    { "machine", "poweroff | reboot", "at once, with all guests", 1, 1, cmd_machine },
};
const struct commands power_commands = COMMANDS(rows);
