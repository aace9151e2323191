/* SPDX-License-Identifier: MIT */
/* Commands: service domains that crash, by themselves or by order. */
#include "shell/command.h"
#include <stdlib.h>
#include <string.h>
#include "console/console.h"
#include "supervise/rejuvenate.h"
#include "supervise/report.h"
#include "supervise/supervisor.h"
#include "supervise/upgrade.h"

static bool is_own(const char *name) { return !strcmp(name, "control") || !strcmp(name, "0"); }

/* The core brings us back. With how 0 it does not return. */
static int crash_own(uint32_t how, uint16_t after_ms)
{
    struct bh_crash c = { .domid = BH_DOMID_CONTROL, .after_ms = after_ms, .how = how };

    return (int)bh_ctl_crash(&c);
}

static bool cmd_restart(int argc, char **argv)
{
    struct errbuf e;

    (void)argc;
    if (is_own(argv[1])) {
        int rc = crash_own(0, 0);
        out("%s: cannot be restarted: %s\n", argv[1], errno_text(rc));
        return true;
    }
    struct dom *d = command_dom_if(argv[1], &e);
    if (!d || supervisor_restart(d, &e))
        out("%s\n", e.s);
    return true;
}

static bool cmd_rejuvenate(int argc, char **argv)
{
    char *end;
    unsigned long seconds = strtoul(argv[2], &end, 10);
    struct errbuf e;

    (void)argc;
    if (argv[2][0] < '0' || argv[2][0] > '9' || *end || seconds > REJUVENATE_MAX) {
        out("rejuvenate: bad '%s' (seconds, 0: no more; %u at most)\n", argv[2], REJUVENATE_MAX);
        return true;
    }
    if (is_own(argv[1])) {
        out("%s: restarts others; itself by `restart control`\n", argv[1]);
        return true;
    }
    struct dom *d = command_dom(argv[1]);
    if (d && rejuvenate_set(d, (uint32_t)seconds, &e))
        out("%s\n", e.s);
    return true;
}

/* "--inject" or "--inject=MS". */
static bool inject_word(const char *word, uint16_t *after_ms)
{
    const size_t len = strlen("--inject");

    if (strncmp(word, "--inject", len) || (word[len] && word[len] != '='))
        return false;
    if (!word[len])
        return true;
    char *end;
    unsigned long ms = strtoul(word + len + 1, &end, 10);
    *after_ms = (uint16_t)ms;
    return word[len + 1] && !*end && ms <= UINT16_MAX;
}

static bool cmd_crash(int argc, char **argv)
{
    uint32_t how = 0;
    uint16_t after_ms = 0;
    const char *name = NULL;

    for (int i = 1; i < argc; i++) {
        if (inject_word(argv[i], &after_ms))
            how |= BH_CRASH_INJECT;
        else if (!strcmp(argv[i], "--hang"))
            how |= BH_CRASH_HANG;
        else if (argv[i][0] == '-' || name) {
            out("crash: unknown word '%s'\n", argv[i]);
            return true;
        } else
            name = argv[i];
    }
    if (!name || how == (BH_CRASH_INJECT | BH_CRASH_HANG))
        return false;
    struct dom *d = is_own(name) ? NULL : command_dom(name);
    int rc = d ? supervisor_crash(d, how, after_ms) : is_own(name) ? crash_own(how, after_ms) : 0;
    if (rc)
        out("%s: cannot be crashed: %s\n", name, errno_text(rc));
    return true;
}

static bool cmd_crashes(int argc, char **argv)
{
    report_list(argc > 1 ? argv[1] : NULL);
    return true;
}

/* What does not even begin goes back at once; the rest is the supervisor's. */
static bool cmd_upgrade(int argc, char **argv)
{
    struct errbuf e;

    (void)argc;
    if (is_own(argv[1])) {
        out("control: the core starts it, from the image that the machine was booted with\n");
        return true;
    }
    struct dom *d = command_dom(argv[1]);
    if (!d)
        return true;
    int rc = upgrade_begin(d, argv[2], &e);
    if (!rc && (rc = supervisor_restart(d, &e)))
        upgrade_failed(d);
    if (rc)
        out("%s\n", e.s);
    return true;
}

static const struct command rows[] = {
    { "restart", "NAME", "a service domain, in place", 1, 1, cmd_restart },
    { "upgrade", "NAME IMAGE",
      "restarts a service domain from another image of the bundle; from the old one if that does not come up",
      2, 2, cmd_upgrade },
    { "rejuvenate", "NAME SECONDS", "restarts a service domain every so often; 0: no more", 2, 2,
      cmd_rejuvenate },
    { "crash", "NAME [--inject[=MS] | --hang]",
      "at once, at a random instruction (MS ms from now), or by hanging", 1, 2, cmd_crash },
    { "crashes", "[NAME]", "crash reports", 0, 1, cmd_crashes },
};
const struct commands crash_commands = COMMANDS(rows);
