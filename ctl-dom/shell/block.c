/* SPDX-License-Identifier: MIT */
/* Commands: volumes and disks. */
#include "shell/command.h"
#include <quote.h>
#include <stdlib.h>
#include <store_keys.h>
#include <string.h>
#include "console/console.h"
#include "shell/lists.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/hotplug.h"

/* --- volumes ---------------------------------------------------------------------------------- */
/* "16w,17r" as the driver domain has it, with the domains' names: "debian:w,other:r". */
static void users_text(const char *users, char *to, size_t n)
{
    size_t at = 0;

    to[0] = '\0';
    for (const char *p = users; *p && at < n;) {
        char *end;
        unsigned long id = strtoul(p, &end, 10);
        size_t len = strcspn(p, ",");
        const struct dom *d = end != p && id < DOMID_FIRST_RESERVED ? dom_by_id((domid_t)id) : NULL;
        int wrote = d ? snprintf(to + at, n - at, "%s%s:%.*s", at ? "," : "", d->cfg.name,
                                 (int)(p + len - end), end)
                      : snprintf(to + at, n - at, "%s%.*s", at ? "," : "", (int)len, p);
        at += wrote > 0 ? (size_t)wrote : 0;
        p += len + (p[len] == ',');
    }
}

/* text: "name bytes users" */
static void volume_row(const struct dom *b, char *text)
{
    char name[BH_NAME_LEN + 128], users[128], size[24];
    char *bytes = strchr(text, ' '), *end;

    if (!bytes)
        return;
    *bytes++ = '\0';
    unsigned long n = strtoul(bytes, &end, 10);
    snprintf(name, sizeof(name), "%s:%s", b->cfg.name, text);
    if (n >= 10ul << 30)
        snprintf(size, sizeof(size), "%lu GiB", n >> 30);
    else if (n >= 10ul << 20)
        snprintf(size, sizeof(size), "%lu MiB", n >> 20);
    else
        snprintf(size, sizeof(size), "%lu KiB", n >> 10);
    users_text(*end == ' ' ? end + 1 : end, users, sizeof(users));
    out("%-32s %10s  %s\n", name, size, users);
}

static int by_number(const void *a, const void *b)
{
    unsigned long x = strtoul(*(char *const *)a, NULL, 10);
    unsigned long y = strtoul(*(char *const *)b, NULL, 10);

    return x < y ? -1 : x > y;
}

static void volumes_of(const struct dom *b)
{
    char path[64];
    unsigned n;

    snprintf(path, sizeof(path), "/local/domain/%u/volumes", b->id);
    char **nodes = xs_ls(0, path, &n);
    if (nodes)
        qsort(nodes, n, sizeof(*nodes), by_number);
    for (unsigned i = 0; nodes && i < n; i++) {
        snprintf(path, sizeof(path), "/local/domain/%u/volumes/%.24s", b->id, nodes[i]);
        char *text = xs_read(0, path), line[256];
        if (text)
            volume_row(b, quote(line, sizeof(line),
                                text)); /* names off the disk, by way of the driver domain */
        free(text);
    }
    free(nodes);
}

static bool cmd_volumes(int argc, char **argv)
{
    (void)argc, (void)argv;
    out("%-32s %10s  %s\n", "Name", "Size", "Users");
    for (const struct dom *b = doms; b && store_up; b = b->next)
        if (b->cfg.role == BH_ROLE_DRIVER) {
            volumes_of(b);
            driver_problem(b);
        }
    return true;
}

/* --- what a domain has -------------------------------------------------------------------------- */
static void block_row(const struct dom *d, const struct dom_dev *v)
{
    char be[DEV_PATH], fe[DEV_PATH];

    dev_paths(d, v, be, fe);
    out("%-5u %-3u %-6u %-5ld %-6ld %-8ld %-30s\n", v->devid, v->back, d->id,
        list_number(fe, "state"), list_queue_number(fe, "event-channel", "event-channel"),
        list_queue_number(fe, "ring-ref", "ring-ref0"), be);
}

static void block_rows(const struct dom *d)
{
    unsigned shown = 0;

    for (unsigned i = 0; i < d->nr_devs; i++) {
        if (d->dev[i].kind != DEV_VBD)
            continue;
        if (!shown++)
            out("%-5s %-3s %-6s %-5s %-6s %-8s %-30s\n", "Vdev", "BE", "handle", "state", "evt-ch",
                "ring-ref", "BE-path");
        block_row(d, &d->dev[i]);
    }
    if (!shown)
        out("%s: has no disks (volumes lists what there is)\n", d->cfg.name);
    list_problems(d, DEV_VBD);
}

static bool cmd_block_list(int argc, char **argv) { return command_each(argc, argv, block_rows); }

static void stats_row(const struct dom *d, const struct dom_dev *v)
{
    char be[DEV_PATH], fe[DEV_PATH];
    uint64_t n[BH_BLK_STATS];

    dev_paths(d, v, be, fe);
    list_numbers(be, BH_KEY_STATS, n, BH_BLK_STATS);
    out("%-20s %-5s %9lu %9lu %8lu %9lu %10lu %10lu %6lu %5lu\n", d->cfg.name,
        d->cfg.disk[v->index].vdev, n[BH_BLK_READS], n[BH_BLK_WRITES], n[BH_BLK_FLUSHES],
        n[BH_BLK_DISCARDS], n[BH_BLK_READ_BYTES] >> 9, n[BH_BLK_WRITE_BYTES] >> 9, n[BH_BLK_ERRORS],
        n[BH_BLK_MALFORMED]);
}

static bool cmd_block_stats(int argc, char **argv)
{
    struct dom *only = argc > 1 ? command_dom(argv[1]) : NULL;

    if (argc > 1 && !only)
        return true;
    out("%-20s %-5s %9s %9s %8s %9s %10s %10s %6s %5s\n", "Name", "Vdev", "Reads", "Writes",
        "Flushes", "Discards", "RdSectors", "WrSectors", "Errors", "Bad");
    for (const struct dom *d = doms; d; d = d->next)
        for (unsigned i = 0; (!only || d == only) && i < d->nr_devs; i++)
            if (d->dev[i].kind == DEV_VBD)
                stats_row(d, &d->dev[i]);
    return true;
}

/* --- disks come and go --------------------------------------------------------------------------- */
static bool cmd_block_attach(int argc, char **argv)
{
    struct errbuf e;
    struct dom *d = command_guest(argv[1]);

    (void)argc;
    if (d && disk_attach(d, argv[2], &e))
        out("%s\n", e.s);
    return true;
}

static bool cmd_block_detach(int argc, char **argv)
{
    struct errbuf e;
    struct dom *d = command_guest(argv[1]);
    struct dom_dev *v = d ? disk_of(d, argv[2]) : NULL;
    bool force = argc > 3 && !strcmp(argv[3], "--force");

    if (argc > 3 && !force)
        out("block-detach: unknown word '%s'\n", argv[3]);
    else if (d && !v)
        out("%s: has no disk %s\n", d->cfg.name, argv[2]);
    else if (d && disk_detach(d, v, force, &e))
        out("%s\n", e.s);
    return true;
}

static bool cmd_block_retry(int argc, char **argv)
{
    struct errbuf e;
    struct dom *d = command_dom(argv[1]);
    struct dom_dev *v = d ? disk_of(d, argv[2]) : NULL;

    (void)argc;
    if (d && !v)
        out("%s: has no disk %s\n", d->cfg.name, argv[2]);
    else if (d && dev_retry(d, v, &e))
        out("%s\n", e.s);
    return true;
}

/* --- limits ------------------------------------------------------------------------------------ */
/* "ops=500" or "bytes=10M" to the configuration, so that it also holds when the guest is made again. */
static bool limit_parse(struct cfg_disk *c, const char *word)
{
    if (!strncmp(word, "ops=", 4))
        return config_amount(word + 4, &c->limit_ops);
    return !strncmp(word, "bytes=", 6) && config_amount(word + 6, &c->limit_bytes);
}

static bool cmd_block_limit(int argc, char **argv)
{
    struct dom *d = command_dom(argv[1]);
    const struct dom_dev *v = d ? disk_of(d, argv[2]) : NULL;

    if (d && !v)
        out("%s: has no disk %s\n", d->cfg.name, argv[2]);
    if (!v)
        return true;
    struct cfg_disk c = d->cfg.disk[v->index];
    for (int i = 3; i < argc; i++)
        if (!limit_parse(&c, argv[i])) {
            out("block-limit: bad '%s' (ops=N or bytes=N, as 500 or 10M)\n", argv[i]);
            return true;
        }
    if (argc == 3)
        out("%s %s: ops=%lu bytes=%lu%s\n", d->cfg.name, c.vdev, c.limit_ops, c.limit_bytes,
            c.limit_ops || c.limit_bytes ? "" : " (no limit)");
    else if (!store_up)
        out("%s: the store is not running\n", d->cfg.name);
    else if (disk_limit(d, v, &c))
        out("%s: the store does not take the limit, it holds from the next change on\n", d->cfg.name);
    return true;
}

static const struct command rows[] = {
    { "volumes", "", "what disk= can name, and who has it", 0, 0, cmd_volumes },
    { "block-list", "NAME...", "disks of domains", 1, MAX_ARGS, cmd_block_list },
    { "block-attach", "NAME DISK", "a disk for a running domain, as disk= has it", 2, 2,
      cmd_block_attach },
    { "block-detach", "NAME VDEV [--force]", "takes a disk away; --force: at once", 2, 3,
      cmd_block_detach },
    { "block-retry", "NAME VDEV", "another chance for a disk that was put aside", 2, 2,
      cmd_block_retry },
    { "block-stats", "[NAME]", "what its disks did: requests, sectors of 512, errors", 0, 1,
      cmd_block_stats },
    { "block-limit", "NAME VDEV [KEY=N ...]", "ops=, bytes= a second; 0: no limit", 2, 4,
      cmd_block_limit },
};
const struct commands block_commands = COMMANDS(rows);
