/* SPDX-License-Identifier: MIT */
/* Commands: which domains there are, and another chance for one of them that the store put aside. */
#include "shell/command.h"
#include <errno.h>
#include <string.h>
#include <uuid/uuid.h>
#include <xen/io/xs_wire.h>
#include "console/console.h"
#include "domain/dom.h"
#include "domain/identity.h"
#include "shell/lists.h"
#include "supervise/aside.h"
#include "supervise/waiting.h"

static void state_letters(const struct bh_dominfo *di, char s[7])
{
    memcpy(s, "------", 7);
    if (di->flags & BH_DI_RUNNING)
        s[0] = 'r';
    if (di->flags & BH_DI_BLOCKED)
        s[1] = 'b';
    if (di->flags & BH_DI_PAUSED || di->state == BH_DOM_BUILDING)
        s[2] = 'p';
    if (di->state == BH_DOM_SHUTDOWN)
        s[3] = 's';
    if (di->state == BH_DOM_CRASHED)
        s[4] = 'c';
    if (di->state == BH_DOM_DYING)
        s[5] = 'd';
}

/* Of all or this one. */
static void list_aside(struct dom *d, void *only)
{
    if (!only || d == only)
        out("%s: the store does not serve it: twice within a minute it died at work on it\n",
            d->cfg.name);
}

static bool cmd_list(int argc, char **argv)
{
    struct bh_dominfo di = { 0 };
    struct dom *only = NULL;
    bool verbose = argc > 1 && !strcmp(argv[1], "-v");

    if (argc > 1 + verbose && !(only = command_dom(argv[1 + verbose])))
        return true;
    out("Name                                        ID   Mem VCPUs\tState\tTime(s) Restarts%s\n",
        verbose ? " UUID" : "");
    for (; bh_ctl_info(&di) == 0; di.domid++) {
        char state[7], restarts[24] = "-", uuid[UUID_TEXT] = "";
        static const uint8_t nil[16]; /* the control domain's, as in Xen */
        struct dom *d = dom_by_id(di.domid);
        if (only && only != d)
            continue;
        state_letters(&di, state);
        if (di.flags & BH_DI_RESTARTABLE)
            snprintf(restarts, sizeof(restarts), "%lu", di.instance);
        if (verbose)
            uuid_unparse_lower(d ? d->cfg.uuid : nil, uuid);
        out("%-40.40s %5u %5lu %5u     %s  %6lu.%lu %8s%s%s\n", command_name(&di), di.domid,
            di.tot_pages >> 8, di.vcpus_online, state, di.cpu_ns / 1000000000,
            di.cpu_ns / 100000000 % 10, restarts, verbose ? " " : "", uuid);
    }
    for (const struct dom *d = doms; d; d = d->next)
        if (!only || d == only) {
            driver_problem(d);
            list_stalled(d, DEV_VIF);
            list_stalled(d, DEV_VBD);
        }
    (void)aside_each(list_aside, only);
    if (!only)
        waiting_list();
    return true;
}

static bool cmd_retry(int argc, char **argv)
{
    struct dom *d = command_dom(argv[1]);
    char words[16];

    (void)argc;
    if (!d)
        return true;
    int n = snprintf(words, sizeof(words), "retry%c%u", 0, d->id) + 1;
    int rc = xs_raw(XS_CONTROL, 0, words, (uint32_t)n, NULL, NULL);
    if (!rc)
        d->aside = 0; /* the next time is told again */
    if (rc == -ENOENT)
        out("%s: is not put aside\n", d->cfg.name);
    else if (rc)
        out("%s: the store says: %s\n", d->cfg.name, errno_text(rc));
    return true;
}

static const struct command rows[] = {
    { "list", "[-v] [NAME]", "domains; -v: with their UUIDs", 0, 2, cmd_list },
    { "xenstore-retry", "NAME", "another chance for one that the store put aside", 1, 1, cmd_retry },
};
const struct commands list_commands = COMMANDS(rows);
