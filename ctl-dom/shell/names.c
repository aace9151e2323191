/* SPDX-License-Identifier: MIT */
/* Commands: a domain's number, its name and another one for it, how long it has been up; in xl's words and columns. */
#include <errno.h>
#include <string.h>
#include "config/config.h"
#include "console/console.h"
#include "domain/bridge.h"
#include "domain/dom.h"
#include "shell/command.h"
#include "store/store.h"
#include "supervise/waiting.h"

static bool cmd_domid(int argc, char **argv)
{
    const struct dom *d;

    (void)argc;
    if (!strcmp(argv[1], "control"))
        out("0\n");
    else if ((d = command_dom(argv[1])))
        out("%u\n", d->id);
    return true;
}

static bool cmd_domname(int argc, char **argv)
{
    const struct dom *d;

    (void)argc;
    if (!strcmp(argv[1], "0"))
        out("control\n");
    else if (argv[1][strspn(argv[1], "0123456789")])
        out("%s: is no number of a domain\n", argv[1]);
    else if ((d = command_dom(argv[1])))
        out("%s\n", d->cfg.name);
    return true;
}

/* A service domain's place goes by its name, as do devices of others (backend=). */
static bool cmd_rename(int argc, char **argv)
{
    struct dom *d = command_dom(argv[1]);
    struct errbuf e;
    char word[256]; /* of a long name as much as shows that it is too long */
    static struct domcfg named;

    (void)argc;
    if (!argv[2][0])
        return false;
    if (!d)
        return true;
    if (d->cfg.role != BH_ROLE_GUEST) {
        out("%s: is a service domain, others know it by this name: it stays\n", d->cfg.name);
        return true;
    }
    const struct dom *other = dom_by_name(argv[2]);
    if (other || !strcmp(argv[2], "control") || waiting_find(argv[2])) {
        if (other == d && !strcmp(argv[2], d->cfg.name))
            return true;
        out("%s: exists already%s\n", argv[2],
            other                   ? ""
            : waiting_find(argv[2]) ? ", it waits"
                                    : "");
        return true;
    }
    memset(&named, 0, sizeof(named));
    snprintf(word, sizeof(word), "name=\"%.200s\"", argv[2]);
    if (config_override(&named, word, e.s, sizeof(e.s)) || bridges_check(&named, &e) ||
        store_rename(d, named.name, &e))
        out("%s\n", e.s);
    return true;
}

static void up_row(const char *name, domid_t id, uint64_t since, bool brief)
{
    uint64_t now = now_ns(), up = now > since ? (now - since) / NS_PER_S : 0, days = up / 86400;
    char for_days[32] = "";

    if (days)
        snprintf(for_days, sizeof(for_days), "%lu day%s, ", days, days == 1 ? "" : "s");
    if (brief)
        out(" up %s%2lu:%02lu:%02lu, %s (%u)\n", for_days, up / 3600 % 24, up / 60 % 60, up % 60,
            name, id);
    else
        out("%-40.40s %5u %s%2lu:%02lu:%02lu\n", name, id, for_days, up / 3600 % 24, up / 60 % 60,
            up % 60);
}

static bool named_in(int argc, char **argv, const char *name, domid_t id)
{
    char number[8];

    snprintf(number, sizeof(number), "%u", id);
    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], name) || !strcmp(argv[i], number))
            return true;
    return !argc;
}

static bool cmd_uptime(int argc, char **argv)
{
    bool brief = argc > 1 && !strcmp(argv[1], "-s");
    struct bh_dominfo di = { 0 };
    int names = argc - 1 - brief;

    argv += 1 + brief;
    for (int i = 0; i < names; i++)
        if (strcmp(argv[i], "control") && strcmp(argv[i], "0") && !command_dom(argv[i]))
            return true;
    if (!brief)
        out("%-40s %5s %s\n", "Name", "ID", "Uptime");
    for (; !bh_ctl_info(&di); di.domid++) {
        const char *name = command_name(&di);
        if (named_in(names, argv, name, di.domid))
            up_row(name, di.domid, di.unpause_ns ? di.unpause_ns : now_ns(), brief);
    }
    return true;
}

static const struct command rows[] = {
    { "domid", "NAME", "a domain's number", 1, 1, cmd_domid },
    { "domname", "ID", "and back", 1, 1, cmd_domname },
    { "rename", "NAME NEW", "another name for a guest", 2, 2, cmd_rename },
    { "uptime", "[-s] [NAME...]", "since when its instance runs; -s: in xl's short form", 0,
      MAX_ARGS, cmd_uptime },
};
const struct commands name_commands = COMMANDS(rows);
