/* SPDX-License-Identifier: MIT */
/* Commands that only look. */
#include <string.h>
#include <uuid/uuid.h>
#include "bundle/kept.h"
#include "console/console.h"
#include "domain/identity.h"
#include "domain/pci.h"
#include "shell/command.h"
#include "store/connection.h"
#include "store/devices.h"
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

void cmd_list(int argc, char **argv)
{
    struct bh_dominfo di = { 0 };
    struct errbuf e;
    struct dom *only = NULL;
    bool verbose = argc > 1 && !strcmp(argv[1], "-v");

    if (argc > 1 + verbose && !(only = dom_find(argv[1 + verbose], &e))) {
        out("%s\n", e.s);
        return;
    }
    out("Name                                        ID   Mem VCPUs\tState\tTime(s) Restarts%s\n", verbose ? " UUID" : "");
    for (; bh_control(BH_CTL_INFO, &di) == 0; di.domid++) {
        char state[7], restarts[24] = "-", uuid[UUID_TEXT] = "";
        static const uint8_t nil[16]; /* the control domain's, as in Xen */
        struct dom *d = dom_by_id(di.domid);
        if (only && only != d)
            continue;
        state_letters(&di, state);
        if (di.flags & BH_DI_RESTARTABLE)
            snprintf(restarts, sizeof(restarts), "%lu", di.instance);
        const char *name = d ? d->cfg.name : di.domid == BH_DOMID_CONTROL ? "control" : di.name;
        if (verbose)
            uuid_unparse_lower(d ? d->cfg.uuid : nil, uuid);
        out("%-40.40s %5u %5lu %5u     %s  %6lu.%lu %8s%s%s\n", name, di.domid, di.tot_pages >> 8,
            di.nr_vcpus, state, di.cpu_ns / 1000000000, di.cpu_ns / 100000000 % 10, restarts,
            verbose ? " " : "", uuid);
    }
    for (const struct dom *d = doms; d; d = d->next)
        if (!only || d == only)
            driver_problem(d);
    if (!only)
        waiting_list();
}

/* --- info -v: rows of each domain, or of one ------------------------------------------------------------------ */

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
    for (; bh_control(BH_CTL_INFO, &di) == 0; di.domid++)
        if (only == EVERY || only == di.domid)
            out(ROW " %12lu %11lu %10lu %11lu\n", di.name, id_text(di.domid), di.tot_pages * 4, di.max_pages * 4,
                di.allowance_used * 4, di.allowance * 4);
}

/* The words of struct bh_counts: exits by reason, then what the core did. */
static const char *const counted[] = {
    [BH_EXIT_INTR] = "intr", [BH_EXIT_WINDOW] = "window", [BH_EXIT_CPUID] = "cpuid", [BH_EXIT_HLT] = "hlt", [BH_EXIT_IO] = "io",
    [BH_EXIT_MSR] = "msr", [BH_EXIT_CALL] = "call", [BH_EXIT_NPF] = "npf", [BH_EXIT_OTHER] = "other",
    "hypercalls", "copies", "guest-walks", "remembered", "nested-walks", "ipis", "self-ipis", "moves", "device-irqs", "irqs-astray",
};
_Static_assert(sizeof(struct bh_counts) == ARRAY_SIZE(counted) * sizeof(uint64_t), "a name for each word");

struct span { const char *title; unsigned from, to; };

static void counts_row(const struct span *s, const char *name, const char *id, const struct bh_counts *c)
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
    for (; bh_control(BH_CTL_INFO, &di) == 0; di.domid++) {
        if (only == EVERY || only == di.domid)
            counts_row(s, di.name, id_text(di.domid), &di.counts);
        counts_sum(&sum, &di.counts);
    }
    if (only != EVERY || bh_control(BH_CTL_SYSINFO, &si))
        return;
    counts_row(s, "(domains that ended)", "-", &si.ended);
    counts_row(s, "(core, for none of them)", "-", &si.core);
    counts_sum(&sum, &si.ended);
    counts_sum(&sum, &si.core);
    counts_row(s, "(all)", "-", &sum);
}

static void info_rows(int only)
{
    static const struct span exits = { "Exits", 0, BH_NR_EXITS }, work = { "Core's work", BH_NR_EXITS, ARRAY_SIZE(counted) };

    memory_of(only);
    counts_of(only, &exits);
    counts_of(only, &work);
}

void cmd_info(int argc, char **argv)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } feature[] = {
        { BH_SYS_IOMMU, "iommu" }, { BH_SYS_INTREMAP, "intremap" }, { BH_SYS_NRIP, "nrip" },
        { BH_SYS_SMEP, "smep" },   { BH_SYS_SMAP, "smap" },
    };
    static struct bh_sysinfo si;

    if (argc > 1 && strcmp(argv[1], "-v")) {
        out("info: no such option '%s'\n", argv[1]);
        return;
    }
    if (argc > 2) {
        struct errbuf e;
        const struct dom *d = dom_find(argv[2], &e);
        if (d || !strcmp(argv[2], "control") || !strcmp(argv[2], "0"))
            info_rows(d ? d->id : BH_DOMID_CONTROL);
        else
            out("%s\n", e.s);
        return;
    }
    long rc = bh_control(BH_CTL_SYSINFO, &si);
    if (rc) {
        out("info: %s\n", errno_text((int)rc));
        return;
    }
    out("version                : %s\n", si.version);
    out("nr_cpus                : %u\n", si.nr_cpus);
    out("cpu_mhz                : %u.%03u\n", si.tsc_khz / 1000, si.tsc_khz % 1000);
    out("total_memory           : %lu\n", si.total_pages >> 8);
    out("free_memory            : %lu\n", (si.free_pages + si.dirty_pages) >> 8);
    out("core_memory_kib        : %lu\n", si.core_pages * 4);
    out("promised_kib           : %lu\n", si.promised_pages * 4);
    out("control_free_kib       : %lu\n", page_avail() * 4);
    out("control_images_kib     : %lu\n", kept_pages() * 4);
    out("uptime_ms              : %lu\n", si.boot_ns / 1000000);
    uint64_t utc = si.wallclock + si.boot_ns;
    out("utc_seconds            : %lu.%03lu%s\n", utc / 1000000000, utc / 1000000 % 1000, si.features & BH_SYS_CLOCK ? "" : " (half a second off)");
    out("virt_caps              :");
    for (unsigned i = 0; i < ARRAY_SIZE(feature); i++)
        if (si.features & feature[i].bit)
            out(" %s", feature[i].name);
    out("\ncommandline            : %s\n", si.cmdline);
    if (argc > 1)
        info_rows(EVERY);
}

static const char *owner_name(const struct bh_pci_info *info)
{
    struct dom *d = dom_by_id(info->domid);

    return info->state != BH_PCI_ASSIGNED ? "nobody" : d ? d->cfg.name : "a domain that is gone";
}

void cmd_pci_assignable_list(int argc, char **argv)
{
    struct bh_pci_info info = { 0 };

    (void)argc, (void)argv;
    for (uint32_t i = 0;; i++) {
        memset(&info, 0, sizeof(info));
        info.index = i;
        if (bh_control(BH_CTL_PCI_INFO, &info))
            return;
        if (info.state != BH_PCI_PLATFORM)
            out("%s  %04x:%04x class %06x group %u  %s%s\n", sbdf_text(info.sbdf).s, info.vendor,
                info.device, info.class_rev >> 8, info.group, owner_name(&info),
                info.flags & BH_PCI_IOMMU ? "" : "  (no IOMMU)");
    }
}

void cmd_pci_list(int argc, char **argv)
{
    struct errbuf e;
    struct bh_pci_info info;
    struct dom *d = dom_find(argv[1], &e);

    (void)argc;
    if (!d) {
        out("%s\n", e.s);
        return;
    }
    for (unsigned i = 0; pci_owned(d->id, i, &info); i++) {
        if (!i)
            out("Vdev Device\n");
        out("%02x.0 %s  %04x:%04x  %s, DMA %s, %lu faults\n", i, sbdf_text(info.sbdf).s, info.vendor,
            info.device, info.flags & BH_PCI_MSIX ? "MSI-X" : "no MSI-X",
            info.flags & BH_PCI_DMA ? "on" : "off", info.dma_faults);
    }
}

void cmd_pci_attach(int argc, char **argv)
{
    struct errbuf e;
    uint32_t sbdf;
    struct dom *d = dom_find(argv[1], &e);

    (void)argc;
    if (!d) {
        out("%s\n", e.s);
    } else if (!config_sbdf(argv[2], &sbdf)) {
        out("pci-attach: bad device '%s' (bus:slot.function or domain:bus:slot.function)\n",
            argv[2]);
    } else if (d->cfg.nr_pci == CFG_MAX_PCI) {
        out("%s: has %d devices, no more are possible\n", d->cfg.name, CFG_MAX_PCI);
    } else if (pci_attach(d, sbdf, &e)) {
        out("%s\n", e.s);
    } else {
        d->cfg.pci[d->cfg.nr_pci++] = sbdf;
        d->without[0] = '\0';
        if (store_up && store_add_pci(d, &e))
            out("%s\n", e.s);
    }
}
