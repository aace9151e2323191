/* SPDX-License-Identifier: MIT */
/* Commands: who runs when, and on which CPU; in xl's words and columns. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "config/config.h"
#include "console/console.h"
#include "domain/scheduling.h"
#include "shell/command.h"

/* What a command names, also the control domain, which is in no table. Its name as it is shown; NULL: there is none, which was said. */
static const char *named(const char *word, domid_t *id, struct dom **d)
{
    *id = BH_DOMID_CONTROL;
    *d = NULL;
    if (!strcmp(word, "control") || !strcmp(word, "0"))
        return "control";
    *d = command_dom(word);
    if (!*d)
        return NULL;
    *id = (*d)->id;
    return (*d)->cfg.name;
}

static bool number(const char *word, uint32_t *n)
{
    size_t len = strlen(word);

    *n = (uint32_t)strtoul(word, NULL, 10);
    return len && len < 10 && strspn(word, "0123456789") == len;
}

#define RATELIMIT_US 200ul /* hv/sched/sched.h: WAKE_PREEMPT_NS */

/* --- weights and caps -------------------------------------------------------------------------------------- */
static void credit_row(const char *name, domid_t id)
{
    struct bh_sched a = { .domid = id };

    if (!bh_ctl_sched(&a))
        out("%-33.33s %4u %6u %4u\n", name, id, a.weight, a.cap);
}

/* How long a vCPU runs before another that wakes may have its CPU. */
static unsigned long ratelimit_us(void)
{
    static struct bh_sysinfo si;
    const char *word = bh_ctl_sysinfo(&si) ? NULL : strstr(si.cmdline, "sched_ratelimit_us=");
    unsigned long us = word ? strtoul(strchr(word, '=') + 1, NULL, 10) : 0;

    return us ? us : RATELIMIT_US;
}

/* xl's words for the scheduler as a whole, of which there is one, with nothing to set. False: it is none of these. */
static bool pool_words(int argc, char **argv)
{
    static const char *const words[] = { "-s",        "--schedparam", "-p",
                                         "--cpupool", "-r",           "--ratelimit_us" };
    bool shows = false;

    for (int i = 1; i < argc; i++)
        for (unsigned k = 0; k < ARRAY_SIZE(words); k++) {
            if (strcmp(argv[i], words[k]) != 0)
                continue;
            if (k >= 2) {
                out("%s: %s: %s\n", argv[0], argv[i],
                    k < 4 ? "there are no pools of CPUs here: vcpu-pin and cpus= keep domains apart"
                          : "is a word of the core's command line: sched_ratelimit_us=");
                return true;
            }
            shows = true;
        }
    if (shows)
        out("Cpupool Pool-0: ratelimit=%luus\n", ratelimit_us());
    return shows;
}

static bool cmd_credit2(int argc, char **argv)
{
    struct bh_sched a = { 0 };
    const char *word = NULL, *name;
    struct errbuf e;
    struct dom *d;

    if (argc > 1 && pool_words(argc, argv))
        return true;
    for (int i = 1; i < argc; i += 2) {
        uint32_t n = 0;
        if (i + 1 == argc || argv[i][0] != '-' || !argv[i][1] || argv[i][2] ||
            !strchr("dwc", argv[i][1]))
            return false;
        if (argv[i][1] == 'd')
            word = argv[i + 1];
        else if (!number(argv[i + 1], &n)) {
            out("%s: '%s' is no number\n", argv[0], argv[i + 1]);
            return true;
        } else if (argv[i][1] == 'w')
            a.weight = n, a.set |= BH_SCHED_WEIGHT;
        else
            a.cap = n, a.set |= BH_SCHED_CAP;
    }
    if (a.set && !word) {
        out("%s: -d says whose\n", argv[0]);
        return true;
    }
    if (word && !(name = named(word, &a.domid, &d)))
        return true;
    if (a.set) {
        uint32_t set = a.set;
        if (scheduling(name, &a, &e))
            out("%s\n", e.s);
        else if (d) { /* a guest that starts again has them still */
            if (set & BH_SCHED_WEIGHT)
                d->cfg.cpu_weight = a.weight;
            if (set & BH_SCHED_CAP)
                d->cfg.cap = a.cap;
        }
        return true;
    }
    out("%-33s %4s %6s %4s\n", "Name", "ID", "Weight", "Cap");
    if (word) {
        credit_row(name, a.domid);
        return true;
    }
    for (struct bh_dominfo di = { 0 }; !bh_ctl_info(&di); di.domid++)
        credit_row(command_name(&di), di.domid);
    return true;
}

/* --- vCPUs ---------------------------------------------------------------------------------------------------- */
static void vcpu_rows(const char *name, const struct bh_dominfo *di)
{
    char cpus[CPUS_TEXT], cpu[8];

    for (unsigned i = 0; i < di->nr_vcpus; i++) {
        struct bh_sched a = { .domid = di->domid, .vcpu = (uint16_t)i };
        if (bh_ctl_sched(&a))
            return;
        bool on = a.state & BH_VCPU_ONLINE;
        snprintf(cpu, sizeof(cpu), on ? "%u" : "-", a.cpu);
        cpus_text(a.affinity, a.cpus, cpus);
        out("%-32.32s %5u %5u %5s   %c%c%c %7lu.%lu  %s / all\n", name, di->domid, i, cpu,
            on && a.state & BH_VCPU_RUNNING ? 'r' : '-', on && a.state & BH_VCPU_BLOCKED ? 'b' : '-',
            on ? '-' : 'p', a.cpu_ns / 1000000000, a.cpu_ns / 100000000 % 10, cpus);
    }
}

static bool cmd_vcpu_list(int argc, char **argv)
{
    domid_t id;
    struct dom *d;

    for (int i = 1; i < argc; i++)
        if (!named(argv[i], &id, &d))
            return true;
    out("%-32s %5s %5s %5s %5s %9s %s\n", "Name", "ID", "VCPU", "CPU", "State", "Time(s)",
        "Affinity (Hard / Soft)");
    for (struct bh_dominfo di = { 0 }; !bh_ctl_info(&di); di.domid++) {
        bool shown = argc == 1;
        for (int i = 1; i < argc; i++)
            shown = shown || (named(argv[i], &id, &d) && id == di.domid);
        if (shown)
            vcpu_rows(command_name(&di), &di);
    }
    return true;
}

static bool cmd_vcpu_pin(int argc, char **argv)
{
    struct bh_sched a = { .set = BH_SCHED_AFFINITY };
    struct bh_dominfo di;
    bool all = !strcmp(argv[2], "all");
    uint32_t first = 0, cpus;
    struct errbuf e;
    struct dom *d;
    char why[160];
    const char *name = named(argv[1], &a.domid, &d);

    if (!name)
        return true;
    if ((!all && !number(argv[2], &first)) || first >= UINT16_MAX || !argv[3][0] ||
        strchr(argv[3], ';'))
        return false;
    if (argc > 4)
        out("%s: '%s' is noted: there is no soft affinity, a vCPU stays where it ran until an idle CPU takes it\n",
            name, argv[4]);
    if (!strcmp(argv[3], "-")) /* xl: stays as it is */
        return true;
    if (config_cpus(argv[3], 0, &cpus, why, sizeof(why))) {
        out("%s: %s\n", name, why);
        return true;
    }
    di = (struct bh_dominfo){ .domid = a.domid };
    uint32_t end = all && !bh_ctl_info(&di) ? di.nr_vcpus : first + 1;
    for (uint32_t i = first; i < end; i++) {
        a = (struct bh_sched){
            .domid = a.domid, .vcpu = (uint16_t)i, .set = BH_SCHED_AFFINITY, .affinity = cpus
        };
        if (scheduling(name, &a, &e)) {
            out("%s\n", e.s);
            return true;
        }
    }
    return true;
}

static const struct command rows[] = {
    { "sched-credit2", "[-d NAME [-w WEIGHT] [-c CAP]] | -s",
      "weights (of 256) and caps (percent of a CPU, 0: none), or another one; -s: the rate limit",
      0, 6, cmd_credit2 },
    { "vcpu-list", "[NAME...]", "vCPUs, and the CPUs on which they run and may run", 0,
      MAX_ARGS - 1, cmd_vcpu_list },
    { "vcpu-pin", "NAME VCPU|all CPUS|all", "the CPUs that a vCPU may run on: 0-2,^1", 3, 4,
      cmd_vcpu_pin },
};
const struct commands sched_commands = COMMANDS(rows);
