/* SPDX-License-Identifier: MIT */
/* Commands: beginning and end of domains, and their consoles. */
#include "shell/command.h"
#include <string.h>
#include "console/console.h"
#include "domain/load.h"
#include "store/devices.h"
#include "supervise/life.h"
#include "supervise/waiting.h"

void command_findings(const struct findings *found, const char *why)
{
    for (unsigned i = 0; i < found->n; i++)
        out("%s\n", found->at[i].text);
    if (found->left)
        out("... and %u more\n", found->left);
    if (*why && !found->errors)
        out("%s\n", why);
}

static bool cmd_create(int argc, char **argv)
{
    static struct domcfg cfg;
    static struct findings found;
    struct errbuf e;
    struct dom *d;
    uint64_t start = now_ns(), took;
    int rc = config_make(&cfg, argv[1], argc - 2, argv + 2, &found, &e);

    command_findings(&found, rc ? e.s : "");
    if (rc)
        return true;
    rc = config_check(&cfg, argv[1], e.s, sizeof(e.s));
    if (!rc)
        rc = dom_create(&cfg, false, &d, &e);
    took = (now_ns() - start) / 1000;
    if (rc)
        out("%s\n", e.s);
    else
        out("%s: created as domain %u (%lu.%03lu ms)\n", cfg.name, d->id, took / 1000, took % 1000);
    return true;
}

static bool cmd_destroy(int argc, char **argv)
{
    struct errbuf e;
    struct dom *d = dom_find(argv[1], &e), *user = d ? devs_disk_user(d) : NULL;

    (void)argc;
    if (!d && waiting_forget(argv[1]))
        out("%s: it does not wait any more\n", argv[1]);
    else if (!d)
        out("%s\n", e.s);
    else if (d->id == BH_DOMID_STORE)
        out("%s: every other domain needs it, it stays\n", d->cfg.name);
    else if (user) /* a disk cannot be plugged again under a file system */
        out("%s: %s has a disk of it: destroy that first, or restart %s\n", d->cfg.name,
            user->cfg.name, d->cfg.name);
    else if (dom_destroy(d, &e))
        out("%s\n", e.s);
    return true;
}

static void on_domid(const char *name, unsigned op, const char *what)
{
    struct dom *d = command_dom(name);
    struct bh_domid id = { .domid = d ? d->id : 0 };

    if (!d)
        return;
    if (op == BH_CTL_PAUSE && d->id == BH_DOMID_STORE) {
        out("%s: every other domain needs it, also this one: it goes on\n", d->cfg.name);
        return;
    }
    struct bh_dominfo di = { .domid = d->id };
    if (op == BH_CTL_UNPAUSE && !bh_ctl_info(&di) && !(di.flags & BH_DI_PAUSED)) {
        out("%s: is not paused\n", d->cfg.name);
        return;
    }
    long rc = bh_control(op, &id);
    if (rc)
        out("%s: cannot be %s: %s\n", d->cfg.name, what, errno_text((int)rc));
}

static bool cmd_pause(int argc, char **argv)
{
    (void)argc;
    on_domid(argv[1], BH_CTL_PAUSE, "paused");
    return true;
}

static bool cmd_unpause(int argc, char **argv)
{
    (void)argc;
    on_domid(argv[1], BH_CTL_UNPAUSE, "unpaused");
    return true;
}

static bool cmd_console(int argc, char **argv)
{
    struct dom *d = command_dom(argv[1]);

    (void)argc;
    if (d)
        domcon_attach(d);
    return true;
}

static bool cmd_dmesg(int argc, char **argv)
{
    const struct dom *d = argc > 1 ? command_dom(argv[1]) : NULL;

    if (argc == 1 || d)
        dmesg(d);
    return true;
}

static const struct command rows[] = {
    { "create", "FILE|NAME [KEY=VALUE ...]", "build and start a domain of the bundle", 1, MAX_ARGS,
      cmd_create },
    { "destroy", "NAME", "end a domain at once", 1, 1, cmd_destroy },
    { "pause", "NAME", "take its CPUs away", 1, 1, cmd_pause },
    { "unpause", "NAME", "give them back", 1, 1, cmd_unpause },
    { "console", "NAME", "its console; Ctrl-] leaves", 1, 1, cmd_console },
    { "dmesg", "[NAME]", "the core's log, or what a domain wrote to its debug port", 0, 1, cmd_dmesg },
};
const struct commands domain_commands = COMMANDS(rows);
