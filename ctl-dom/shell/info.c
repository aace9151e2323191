/* SPDX-License-Identifier: MIT */
/* Commands: what the machine is, and what it does. */
#include "shell/command.h"
#include <string.h>
#include "bundle/kept.h"
#include "console/console.h"
#include "domain/dom.h"

#define EVERY (-1) /* for a domid */
#define ROW   "%-40.40s %5s"

static const char *id_text(domid_t id)
{
    static char s[8];

    snprintf(s, sizeof(s), "%u", id);
    return s;
}

/* What it has and may have: RAM, and the core's frames that serve it alone (tables, grants, event channels). */
static void memory_of(int only)
{
    struct bh_dominfo di = { 0 };

    out("Name                                        ID   Memory KiB    of limit   Core KiB    of limit\n");
    for (; bh_ctl_info(&di) == 0; di.domid++)
        if (only == EVERY || only == di.domid)
            out(ROW " %12lu %11lu %10lu %11lu\n", command_name(&di), id_text(di.domid),
                di.tot_pages * 4, di.max_pages * 4, di.allowance_used * 4, di.allowance * 4);
}

/* The words of struct bh_counts: exits by reason, then what the core did. */
static const char *const counted[] = {
    [BH_EXIT_INTR] = "intr",
    [BH_EXIT_WINDOW] = "window",
    [BH_EXIT_CPUID] = "cpuid",
    [BH_EXIT_HLT] = "hlt",
    [BH_EXIT_IO] = "io",
    [BH_EXIT_MSR] = "msr",
    [BH_EXIT_CALL] = "call",
    [BH_EXIT_NPF] = "npf",
    [BH_EXIT_OTHER] = "other",
    "hypercalls",
    "copies",
    "guest-walks",
    "remembered",
    "nested-walks",
    "ipis",
    "self-ipis",
    "moves",
    "device-irqs",
    "irqs-astray",
};
_Static_assert(sizeof(struct bh_counts) == ARRAY_SIZE(counted) * sizeof(uint64_t),
               "a name for each word");

struct span {
    const char *title;
    unsigned from, to;
};

static void counts_row(const struct span *s, const char *name, const char *id,
                       const struct bh_counts *c)
{
    const uint64_t *word = (const uint64_t *)c;

    out(ROW "  ", name, id);
    for (unsigned i = s->from; i < s->to; i++)
        out(" %s %lu", counted[i], word[i]);
    out("\n");
}

static void counts_sum(struct bh_counts *sum, const struct bh_counts *c)
{
    for (unsigned i = 0; i < ARRAY_SIZE(counted); i++)
        ((uint64_t *)sum)[i] += ((const uint64_t *)c)[i];
}

/* All domains: also those that are no more, and the sum. */
static void counts_of(int only, const struct span *s)
{
    struct bh_dominfo di = { 0 };
    static struct bh_sysinfo si;
    struct bh_counts sum = { 0 };

    out("Name                                        ID   %s\n", s->title);
    for (; bh_ctl_info(&di) == 0; di.domid++) {
        if (only == EVERY || only == di.domid)
            counts_row(s, command_name(&di), id_text(di.domid), &di.counts);
        counts_sum(&sum, &di.counts);
    }
    if (only != EVERY || bh_ctl_sysinfo(&si))
        return;
    counts_row(s, "(domains that ended)", "-", &si.ended);
    counts_row(s, "(core, for none of them)", "-", &si.core);
    counts_sum(&sum, &si.ended);
    counts_sum(&sum, &si.core);
    counts_row(s, "(all)", "-", &sum);
}

static void info_rows(int only)
{
    static const struct span exits = { "Exits", 0, BH_NR_EXITS },
                             work = { "Core's work", BH_NR_EXITS, ARRAY_SIZE(counted) };

    memory_of(only);
    counts_of(only, &exits);
    counts_of(only, &work);
}

static bool cmd_info(int argc, char **argv)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } feature[] = {
        { BH_SYS_IOMMU, "iommu" }, { BH_SYS_INTREMAP, "intremap" }, { BH_SYS_NRIP, "nrip" },
        { BH_SYS_SMEP, "smep" },   { BH_SYS_SMAP, "smap" },
    };
    static struct bh_sysinfo si;

    if (argc == 2 && (!strcmp(argv[1], "-n") || !strcmp(argv[1], "--numa")))
        argc = 1; /* one node, which stands there */
    if (argc > 1 && strcmp(argv[1], "-v")) {
        out("info: no such option '%s'\n", argv[1]);
        return true;
    }
    if (argc > 2) {
        struct errbuf e;
        const struct dom *d = command_dom_if(argv[2], &e);
        if (d || !strcmp(argv[2], "control") || !strcmp(argv[2], "0"))
            info_rows(d ? d->id : BH_DOMID_CONTROL);
        else
            out("%s\n", e.s);
        return true;
    }
    long rc = bh_ctl_sysinfo(&si);
    if (rc) {
        out("info: %s\n", errno_text((int)rc));
        return true;
    }
    out("host                   : bulkhead\n");
    out("version                : %s\n", si.version);
    out("machine                : x86_64\n");
    out("nr_cpus                : %u\n", si.nr_cpus);
    out("max_cpu_id             : %u\n", si.nr_cpus ? si.nr_cpus - 1 : 0);
    out("nr_nodes               : 1\n");
    out("cpu_mhz                : %u.%03u\n", si.tsc_khz / 1000, si.tsc_khz % 1000);
    out("total_memory           : %lu\n", si.total_pages >> 8);
    out("free_memory            : %lu\n", (si.free_pages + si.dirty_pages) >> 8);
    out("outstanding_claims     : %lu\n", si.promised_pages >> 8);
    out("free_cpus              : 0\n");
    out("core_memory_kib        : %lu\n", si.core_pages * 4);
    out("promised_kib           : %lu\n", si.promised_pages * 4);
    out("control_free_kib       : %lu\n", page_avail() * 4);
    out("control_images_kib     : %lu\n", kept_pages() * 4);
    out("uptime_ms              : %lu\n", si.boot_ns / 1000000);
    uint64_t utc = si.wallclock + si.boot_ns;
    out("utc_seconds            : %lu.%03lu%s\n", utc / 1000000000, utc / 1000000 % 1000,
        si.features & BH_SYS_CLOCK ? "" : " (half a second off)");
    out("virt_caps              :");
    for (unsigned i = 0; i < ARRAY_SIZE(feature); i++)
        if (si.features & feature[i].bit)
            out(" %s", feature[i].name);
    out("\nxen_caps               : xen-3.0-x86_64 hvm-3.0-x86_64\nxen_scheduler          : credit2\nxen_pagesize           : 4096\nxen_commandline        : %s\n",
        si.cmdline);
    if (argc > 1)
        info_rows(EVERY);
    return true;
}

static const struct command rows[] = {
    { "info", "[-v [NAME]]", "the machine; -v: memory, exits, core's work of each domain", 0, 2,
      cmd_info },
};
const struct commands info_commands = COMMANDS(rows);
