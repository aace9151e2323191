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
#include "supervise/rejuvenate.h"
#include "supervise/waiting.h"

void list_state(const struct bh_dominfo *di, char s[7])
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

/* Those that were named; none: all. */
static domid_t named[MAX_ARGS];
static unsigned nr_named;

static bool is_shown(domid_t id)
{
    for (unsigned i = 0; i < nr_named; i++)
        if (named[i] == id)
            return true;
    return !nr_named;
}

static bool name_one(const char *name)
{
    const struct dom *d = NULL;

    if (strcmp(name, "control") != 0 && strcmp(name, "0") != 0 && !(d = command_dom(name)))
        return false;
    named[nr_named++] = d ? d->id : BH_DOMID_CONTROL;
    return true;
}

static void list_aside(struct dom *d, void *arg)
{
    (void)arg;
    if (is_shown(d->id))
        out("%s: the store does not serve it: twice within a minute it died at work on it\n",
            d->cfg.name);
}

static void list_rows(bool verbose)
{
    struct bh_dominfo di = { 0 };

    out("Name                                        ID   Mem VCPUs\tState\tTime(s) Restarts%s\n",
        verbose ? " UUID" : "");
    for (; bh_ctl_info(&di) == 0; di.domid++) {
        char state[7], restarts[24] = "-", uuid[UUID_TEXT] = "";
        static const uint8_t nil[16]; /* the control domain's, as in Xen */
        struct dom *d = dom_by_id(di.domid);
        if (!is_shown(di.domid))
            continue;
        list_state(&di, state);
        if (di.flags & BH_DI_RESTARTABLE)
            snprintf(restarts, sizeof(restarts), "%lu", di.instance);
        if (verbose)
            uuid_unparse_lower(d ? d->cfg.uuid : nil, uuid);
        out("%-40.40s %5u %5lu %5u     %s  %6lu.%lu %8s%s%s\n", command_name(&di), di.domid,
            di.tot_pages >> 8, di.vcpus_online, state, di.cpu_ns / 1000000000,
            di.cpu_ns / 100000000 % 10, restarts, verbose ? " " : "", uuid);
    }
    for (const struct dom *d = doms; d; d = d->next)
        if (is_shown(d->id)) {
            if (verbose)
                rejuvenate_list(d);
            if (verbose && d->runs[0] && strcmp(d->runs, d->cfg.image) != 0)
                out("%s: runs image %s\n", d->cfg.name, d->runs);
            driver_problem(d);
            list_stalled(d, DEV_VIF);
            list_stalled(d, DEV_VBD);
        }
    (void)aside_each(list_aside, NULL);
    if (!nr_named)
        waiting_list();
}

/* Of xl's, what is not here. */
static const char *why_not(const char *word)
{
    return !strcmp(word, "-Z") || !strcmp(word, "--context")   ? "there are no labels of XSM here"
           : !strcmp(word, "-c") || !strcmp(word, "--cpupool") ? "there are no pools of CPUs here"
           : !strcmp(word, "-n") || !strcmp(word, "--numa") ? "memory is not told apart by nodes here"
                                                            : NULL;
}

static bool cmd_list(int argc, char **argv)
{
    bool verbose = false, as_json = false;

    nr_named = 0;
    for (int i = 1; i < argc; i++) {
        const char *w = argv[i];
        if (!strcmp(w, "-v") || !strcmp(w, "--verbose"))
            verbose = true;
        else if (!strcmp(w, "-l") || !strcmp(w, "--long"))
            as_json = true;
        else if (why_not(w))
            out("list: %s: %s\n", w, why_not(w));
        else if (w[0] == '-')
            return false;
        else if (!name_one(w))
            return true;
    }
    if (as_json)
        list_long(is_shown);
    else
        list_rows(verbose);
    return true;
}

/* xl's own other list. */
static bool cmd_vm_list(int argc, char **argv)
{
    char uuid[UUID_TEXT];

    (void)argc, (void)argv;
    out("%-36s  %5s    %s\n", "UUID", "ID", "name");
    for (const struct dom *d = doms; d; d = d->next)
        if (d->cfg.role == BH_ROLE_GUEST) {
            uuid_unparse_lower(d->cfg.uuid, uuid);
            out("%-36s  %5u    %s\n", uuid, d->id, d->cfg.name);
        }
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
    { "list", "[-v | -l] [NAME...]",
      "domains; -v: with their UUIDs; -l: their configurations as JSON", 0, MAX_ARGS, cmd_list },
    { "vm-list", "", "guests with their UUIDs", 0, 0, cmd_vm_list },
    { "xenstore-retry", "NAME", "another chance for one that the store put aside", 1, 1, cmd_retry },
};
const struct commands list_commands = COMMANDS(rows);
