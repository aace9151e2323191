/* SPDX-License-Identifier: MIT */
/*
 * Commands: how much memory a guest has. Its balloon driver follows memory/target in the store; by the limit in the core it gets no more than that,
 * whatever it does.
 */
#include "shell/command.h"
#include <stdlib.h>
#include <string.h>
#include "console/console.h"
#include "domain/build.h"
#include "shell/follow.h"
#include "store/store.h"

#define PAGES_MIB 256u

/* xl's sizes: MiB, or with b, k, m, g or t behind them. A part of a MiB is a whole one. False: it is none. */
static bool size_of(const char *text, uint64_t *mib)
{
    static const char units[] = "bkmgt";
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    const char *unit = *end ? strchr(units, *end | 0x20) : &units[2];

    if (*text < '0' || *text > '9' || !unit || (*end && end[1]) || !n || n > 1ul << 43)
        return false;
    unsigned shift = 10 * (unsigned)(unit - units);
    *mib = shift < 20 ? (n + (1ul << (20 - shift)) - 1) >> (20 - shift) : n << (shift - 20);
    return *mib <= 1ul << 32;
}

/* The guest and the size that the words name, if the one can have the other; NULL: that was said. */
static struct dom *guest_for(char **argv, uint64_t *mib)
{
    struct dom *d = command_dom(argv[1]);

    if (!d)
        return NULL;
    if (d->cfg.role != BH_ROLE_GUEST)
        out("%s: is a service domain: it has what its configuration says\n", d->cfg.name);
    else if (d->state != DOM_UP)
        out("%s: does not run\n", d->cfg.name);
    else if (!size_of(argv[2], mib))
        out("%s: '%s' is no size (MiB, or with b, k, m, g or t behind it)\n", argv[0], argv[2]);
    else if (*mib > config_most_mb(&d->cfg))
        out("%s: %lu MiB are more than the %u that it was started with (maxmem=)\n", d->cfg.name,
            *mib, config_most_mb(&d->cfg));
    else
        return d;
    return NULL;
}

static uint64_t at(const struct bh_dominfo *di) { return di->tot_pages; }

/* Up: a page or two lie under shared_info and the like. */
static bool there(const struct dom *d, uint64_t has)
{
    uint64_t want = build_pages(d);

    return has <= want && has + PAGES_MIB > want;
}

static void tell(const struct dom *d, uint64_t has, enum following how)
{
    struct bh_sysinfo si = { 0 };
    uint64_t want = build_pages(d);

    out("has %lu MiB", has / PAGES_MIB);
    if (how == FOLLOW_THERE)
        return;
    out(" of %u", d->cfg.memory_mb);
    if (how == FOLLOW_GOES_ON)
        return;
    if (has > want)
        out(", and gives no more back: it has not booted yet, needs that, or has no balloon driver");
    else if (!bh_ctl_sysinfo(&si) && si.free_pages + si.dirty_pages < want - has)
        out(": the machine has %lu MiB free, %lu are missing; it takes more as soon as there is some",
            (si.free_pages + si.dirty_pages) / PAGES_MIB,
            (want - has - si.free_pages - si.dirty_pages + PAGES_MIB - 1) / PAGES_MIB);
    else
        out(", and takes no more: has it a balloon driver?");
}

static bool cmd_mem_set(int argc, char **argv)
{
    static const struct follow memory = { at, there, tell };
    struct errbuf e;
    uint64_t mib;
    struct dom *d = guest_for(argv, &mib);

    (void)argc;
    if (!d)
        return true;
    uint64_t before = build_pages(d);
    d->resizes = true; /* whoever follows us has its limit and the store say the same */
    wmb();
    long rc = build_limit(d, before + (mib - d->cfg.memory_mb) * PAGES_MIB);
    if (rc)
        fail(&e, (int)rc, "%s: its limit stays: %s", d->cfg.name, errno_text((int)rc));
    else if ((rc = store_resize(d, (uint32_t)mib, d->cfg.vcpus, &e)))
        build_limit(d, before);
    if (rc) {
        out("%s\n", e.s);
        return true;
    }
    follow(d, &memory);
    return true;
}

static bool cmd_mem_max(int argc, char **argv)
{
    uint64_t mib;
    struct dom *d = guest_for(argv, &mib);

    (void)argc;
    if (!d)
        return true;
    if (mib < d->cfg.memory_mb) {
        out("%s: %lu MiB are less than the %u that it is to have: mem-set first\n", d->cfg.name,
            mib, d->cfg.memory_mb);
        return true;
    }
    long rc = build_limit(d, build_pages(d) + (mib - d->cfg.memory_mb) * PAGES_MIB);
    if (rc)
        out("%s: %s\n", d->cfg.name, errno_text((int)rc));
    return true;
}

static const struct command rows[] = {
    { "mem-set", "NAME SIZE",
      "how much memory a guest has: MiB, or with k, m or g behind it; up to its maxmem=", 2, 2,
      cmd_mem_set },
    { "mem-max", "NAME SIZE", "how much it may take without being told to, until the next mem-set",
      2, 2, cmd_mem_max },
};
const struct commands memory_commands = COMMANDS(rows);
