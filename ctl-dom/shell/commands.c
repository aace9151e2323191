/* SPDX-License-Identifier: MIT */
/* The shell's commands: one row each at the end of this file. info.c has those that only look. */
#include "shell/command.h"
#include <string.h>
#include "console/console.h"
#include "domain/load.h"
#include "store/devices.h"
#include "store/hotplug.h"
#include "store/store.h"
#include "supervise/life.h"
#include "supervise/report.h"
#include "supervise/supervisor.h"
#include "supervise/waiting.h"

static void cmd_help(int argc, char **argv)
{
    (void)argc, (void)argv;
    for (unsigned i = 0; i < nr_commands; i++) {
        char left[48];
        snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].args);
        out("  %-34s %s\n", left, commands[i].help);
    }
}

static void cmd_create(int argc, char **argv)
{
    static struct domcfg cfg;
    struct errbuf e;
    struct dom *d;
    uint64_t start = now_ns(), took;
    int rc = config_load(&cfg, argv[1], &e);

    for (int i = 2; i < argc && !rc; i++)
        rc = config_override(&cfg, argv[i], e.s, sizeof(e.s));
    if (!rc)
        rc = config_check(&cfg, argv[1], e.s, sizeof(e.s));
    if (!rc)
        rc = dom_create(&cfg, false, &d, &e);
    took = (now_ns() - start) / 1000;
    if (rc)
        out("%s\n", e.s);
    else
        out("%s: created as domain %u (%lu.%03lu ms)\n", cfg.name, d->id, took / 1000, took % 1000);
}

static void cmd_destroy(int argc, char **argv)
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
}

static void on_domid(const char *name, unsigned op, const char *what)
{
    struct errbuf e;
    struct dom *d = dom_find(name, &e);
    struct bh_domid id = { .domid = d ? d->id : 0 };

    if (!d) {
        out("%s\n", e.s);
        return;
    }
    if (op == BH_CTL_PAUSE && d->id == BH_DOMID_STORE) {
        out("%s: every other domain needs it, also this one: it goes on\n", d->cfg.name);
        return;
    }
    struct bh_dominfo di = { .domid = d->id };
    if (op == BH_CTL_UNPAUSE && !bh_control(BH_CTL_INFO, &di) && !(di.flags & BH_DI_PAUSED)) {
        out("%s: is not paused\n", d->cfg.name);
        return;
    }
    long rc = bh_control(op, &id);
    if (rc)
        out("%s: cannot be %s: %s\n", d->cfg.name, what, errno_text((int)rc));
}

static void cmd_pause(int argc, char **argv)
{
    (void)argc;
    on_domid(argv[1], BH_CTL_PAUSE, "paused");
}

static void cmd_unpause(int argc, char **argv)
{
    (void)argc;
    on_domid(argv[1], BH_CTL_UNPAUSE, "unpaused");
}

static void cmd_console(int argc, char **argv)
{
    struct errbuf e;
    struct dom *d = dom_find(argv[1], &e);

    (void)argc;
    if (d)
        domcon_attach(d);
    else
        out("%s\n", e.s);
}

static void cmd_dmesg(int argc, char **argv)
{
    struct errbuf e;
    const struct dom *d = argc > 1 ? dom_find(argv[1], &e) : NULL;

    if (argc > 1 && !d)
        out("%s\n", e.s);
    else
        dmesg(d);
}

static void cmd_restart(int argc, char **argv)
{
    struct errbuf e;
    struct dom *d = dom_find(argv[1], &e);

    (void)argc;
    if (!d || supervisor_restart(d, &e))
        out("%s\n", e.s);
}

static void cmd_crash(int argc, char **argv)
{
    struct errbuf e;
    uint32_t how = 0;
    const char *name = NULL;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--inject"))
            how |= BH_CRASH_INJECT;
        else if (!strcmp(argv[i], "--hang"))
            how |= BH_CRASH_HANG;
        else if (argv[i][0] == '-' || name) {
            out("crash: unknown word '%s'\n", argv[i]);
            return;
        } else
            name = argv[i];
    }
    if (!name || how == (BH_CRASH_INJECT | BH_CRASH_HANG)) {
        out("usage: crash NAME [--inject | --hang]\n");
        return;
    }
    struct dom *d = dom_find(name, &e);
    if (!d) {
        out("%s\n", e.s);
        return;
    }
    int rc = supervisor_crash(d, how);
    if (rc)
        out("%s: cannot be crashed: %s\n", d->cfg.name, errno_text(rc));
}

static void cmd_crashes(int argc, char **argv)
{
    report_list(argc > 1 ? argv[1] : NULL);
}

static void ask_guest(const char *name, const char *what)
{
    struct errbuf e;
    struct dom *d = dom_find(name, &e);

    if (!d)
        out("%s\n", e.s);
    else if (d->cfg.role != BH_ROLE_GUEST)
        out("%s: is a service domain: restart or destroy it\n", d->cfg.name);
    else if (!store_up || store_control(d, what))
        out("%s: the store does not take the request\n", d->cfg.name);
}

static void cmd_shutdown(int argc, char **argv)
{
    (void)argc;
    ask_guest(argv[1], "poweroff");
}

static void cmd_reboot(int argc, char **argv)
{
    (void)argc;
    ask_guest(argv[1], "reboot");
}

/* Words of its own: what xl's users type to end a guest never ends the machine. */
static void cmd_machine(int argc, char **argv)
{
    struct bh_machine m = { .how = BH_MACHINE_POWEROFF };

    (void)argc;
    if (!strcmp(argv[1], "reboot"))
        m.how = BH_MACHINE_REBOOT;
    else if (strcmp(argv[1], "poweroff") != 0) {
        out("usage: machine poweroff | reboot\n");
        return;
    }
    long rc = bh_control(BH_CTL_MACHINE, &m);
    out("machine: %s\n", errno_text((int)rc));
}

const struct command commands[] = {
    { "help", "", "this list", 0, 0, cmd_help },
    { "list", "[-v] [NAME]", "domains; -v: with their UUIDs", 0, 2, cmd_list },
    { "create", "FILE|NAME [KEY=VALUE ...]", "build and start a domain of the bundle", 1, MAX_ARGS,
      cmd_create },
    { "destroy", "NAME", "end a domain at once", 1, 1, cmd_destroy },
    { "pause", "NAME", "take its CPUs away", 1, 1, cmd_pause },
    { "unpause", "NAME", "give them back", 1, 1, cmd_unpause },
    { "console", "NAME", "its console; Ctrl-] leaves", 1, 1, cmd_console },
    { "dmesg", "[NAME]", "the core's log, or what a domain wrote to its debug port", 0, 1, cmd_dmesg },
    { "info", "[-v [NAME]]", "the machine; -v: memory, exits, core's work of each domain", 0, 2, cmd_info },
    { "pci-assignable-list", "", "hidden devices and who has them", 0, 0, cmd_pci_assignable_list },
    { "pci-list", "NAME", "devices of a domain", 1, 1, cmd_pci_list },
    { "pci-attach", "NAME DEVICE", "give a device, or say why not", 2, 2, cmd_pci_attach },
    { "volumes", "", "what disk= can name, and who has it", 0, 0, cmd_volumes },
    { "block-list", "NAME", "disks of a domain", 1, 1, cmd_block_list },
    { "block-attach", "NAME DISK", "a disk for a running domain, as disk= has it", 2, 2,
      cmd_block_attach },
    { "block-detach", "NAME VDEV [--force]", "takes a disk away; --force: at once", 2, 3, cmd_block_detach },
    { "block-stats", "[NAME]", "what its disks did: requests, sectors of 512, errors", 0, 1,
      cmd_block_stats },
    { "block-limit", "NAME VDEV [KEY=N ...]", "ops=, bytes= a second; 0: no limit", 2, 4,
      cmd_block_limit },
    { "network-list", "NAME", "network interfaces of a domain", 1, 1, cmd_network_list },
    { "restart", "NAME", "a service domain, in place", 1, 1, cmd_restart },
    { "crash", "NAME [--inject | --hang]", "at once, at a random instruction, or by hanging", 1, 2,
      cmd_crash },
    { "crashes", "[NAME]", "crash reports", 0, 1, cmd_crashes },
    { "shutdown", "NAME", "asks a guest to power off", 1, 1, cmd_shutdown },
    { "reboot", "NAME", "asks a guest to start anew", 1, 1, cmd_reboot },
    { "machine", "poweroff | reboot", "at once, with all guests", 1, 1, cmd_machine },
};
const unsigned nr_commands = ARRAY_SIZE(commands);
