/* SPDX-License-Identifier: MIT */
/* Commands about devices in the store: volumes, block-list, block-stats, network-list; and what is wrong with a driver domain's device. */
#include <quote.h>
#include <stdlib.h>
#include <string.h>
#include "console/console.h"
#include "domain/identity.h"
#include "shell/command.h"
#include "store/connection.h"
#include "store/devices.h"

/* --- driver domains --------------------------------------------------------------------------- */
void driver_problem(const struct dom *b)
{
    const char *open = b->problem[0] ? " (" : "it runs without ", *close = b->problem[0] ? ")" : "";

    if (b->without[0])
        out("%s: %s%s%s%s\n", b->cfg.name, b->problem, open, b->without, close);
    else if (b->problem[0])
        out("%s: %s\n", b->cfg.name, b->problem);
}

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
            volume_row(b, quote(line, sizeof(line), text)); /* names off the disk, by way of the driver domain */
        free(text);
    }
    free(nodes);
}

void cmd_volumes(int argc, char **argv)
{
    (void)argc, (void)argv;
    out("%-32s %10s  %s\n", "Name", "Size", "Users");
    for (const struct dom *b = doms; b && store_up; b = b->next)
        if (b->cfg.role == BH_ROLE_DRIVER) {
            volumes_of(b);
            driver_problem(b);
        }
}

/* --- lists of a domain's devices, with the columns of xl -------------------------------------- */
/* As xl shows what is not there: -1. */
static long number_at(const char *dir, const char *key)
{
    char path[DEV_PATH + 32];
    uint64_t v;

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    return xs_read_uint(0, path, &v) ? -1 : (long)v;
}

/* In the device's directory, or in that of its first queue. */
static long queue_number(const char *fe, const char *key, const char *alias)
{
    char queue[DEV_PATH + 16];

    snprintf(queue, sizeof(queue), "%s/queue-0", fe);
    const char *dirs[] = { fe, queue };
    for (unsigned i = 0; i < 2; i++) {
        long v = number_at(dirs[i], key);
        if (v < 0)
            v = number_at(dirs[i], alias);
        if (v >= 0)
            return v;
    }
    return -1;
}

static void block_row(const struct dom *d, const struct dom_dev *v)
{
    char be[DEV_PATH], fe[DEV_PATH];

    dev_paths(d, v, be, fe);
    out("%-5u %-3u %-6u %-5ld %-6ld %-8ld %-30s\n", v->devid, v->back, d->id,
        number_at(fe, "state"), queue_number(fe, "event-channel", "event-channel"),
        queue_number(fe, "ring-ref", "ring-ref0"), be);
}

static void network_row(const struct dom *d, const struct dom_dev *v)
{
    char be[DEV_PATH], fe[DEV_PATH], mac[VIF_MAC];

    dev_paths(d, v, be, fe);
    mac_text(d->cfg.vif[v->index].mac, mac);
    out("%-3u %-2u %-17s %-6u %-5ld %-6ld %5ld/%-5ld %-30s\n", v->devid, v->back, mac,
        v->devid, number_at(fe, "state"), queue_number(fe, "event-channel", "event-channel-tx"),
        queue_number(fe, "tx-ring-ref", "tx-ring-ref"),
        queue_number(fe, "rx-ring-ref", "rx-ring-ref"), be);
}

/* d's own devices of a kind, with the columns of xl. */
static void list(const struct dom *d, enum dev_kind kind)
{
    bool any = false;

    for (unsigned i = 0; i < d->nr_devs; i++) {
        if (d->dev[i].kind != kind)
            continue;
        if (!any && kind == DEV_VBD)
            out("%-5s %-3s %-6s %-5s %-6s %-8s %-30s\n", "Vdev", "BE", "handle", "state", "evt-ch",
                "ring-ref", "BE-path");
        else if (!any)
            out("%-3s %-2s %-17s %-6s %-5s %-6s %5s/%-5s %-30s\n", "Idx", "BE", "Mac Addr.",
                "handle", "state", "evt-ch", "tx-", "rx-ring-ref", "BE-path");
        any = true;
        if (kind == DEV_VBD)
            block_row(d, &d->dev[i]);
        else
            network_row(d, &d->dev[i]);
    }
}

/* --- figures: numbers that a back-end wrote, in an order of its own --------------------------- */
#define NR_NUMBERS 8u

/* What the text has not is 0. false: there is none. */
static bool numbers_at(const char *dir, const char *key, uint64_t n[NR_NUMBERS])
{
    char path[DEV_PATH + 32], *end;

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    char *text = xs_read(0, path), *p = text;
    bool any = text && *text;
    for (unsigned i = 0; i < NR_NUMBERS; i++, p = end) {
        end = p;
        n[i] = p ? strtoul(p, &end, 10) : 0;
    }
    free(text);
    return any;
}

/* drivers-dom/net/README.md has the order of the numbers in bh-stats and uplink. */
static void frames_row(bool first, const char *name, const char *idx, const uint64_t n[NR_NUMBERS])
{
    if (first)
        out("%-20s %-4s %11s %11s %8s %8s %8s %8s %8s %8s\n", "Name", "Idx", "In", "Out", "Errors", "Dropped", "Spoofed", "TooLong",
            "WireLong", "NoCsum");
    out("%-20s %-4s %11lu %11lu %8lu %8lu %8lu %8lu %8lu %8lu\n", name, idx, n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]);
}

static bool serves(const struct dom *b, const struct dom *d, enum dev_kind kind)
{
    for (unsigned i = 0; i < d->nr_devs; i++)
        if (d->dev[i].kind == kind && d->dev[i].back == b->id)
            return true;
    return false;
}

/* Frames of d's vifs, or of all that d serves; and of the wires behind them. */
static void frames(const struct dom *d)
{
    uint64_t n[NR_NUMBERS];
    char be[DEV_PATH], fe[DEV_PATH], idx[12];
    unsigned rows = 0;

    for (const struct dom *o = doms; o; o = o->next)
        for (unsigned i = 0; i < o->nr_devs; i++) {
            const struct dom_dev *v = &o->dev[i];
            if (v->kind != DEV_VIF || (o != d && v->back != d->id))
                continue;
            dev_paths(o, v, be, fe);
            numbers_at(be, "bh-stats", n);
            snprintf(idx, sizeof(idx), "%u", v->devid);
            frames_row(!rows++, o->cfg.name, idx, n);
        }
    for (const struct dom *b = doms; b; b = b->next) {
        snprintf(be, sizeof(be), "/local/domain/%u", b->id);
        if ((b == d || serves(b, d, DEV_VIF)) && b->cfg.role == BH_ROLE_DRIVER && numbers_at(be, "uplink", n))
            frames_row(!rows++, b->cfg.name, "wire", n);
    }
}

/* What is wrong with the driver domains that serve d, or with d itself. */
static void problems(const struct dom *d, enum dev_kind kind)
{
    for (const struct dom *b = doms; b; b = b->next)
        if (b == d || serves(b, d, kind))
            driver_problem(b);
}

/* NULL: there is none, which was said. */
static const struct dom *named(const char *name)
{
    struct errbuf e;
    const struct dom *d = dom_find(name, &e);

    if (!d)
        out("%s\n", e.s);
    return d;
}

void cmd_block_list(int argc, char **argv)
{
    const struct dom *d = named(argv[1]);

    (void)argc;
    if (!d)
        return;
    list(d, DEV_VBD);
    problems(d, DEV_VBD);
}

void cmd_network_list(int argc, char **argv)
{
    const struct dom *d = named(argv[1]);

    (void)argc;
    if (!d)
        return;
    list(d, DEV_VIF);
    frames(d);
    problems(d, DEV_VIF);
}

/* --- disks: figures ---------------------------------------------------------------- */
/* drivers-dom/blk/README.md has the order of the numbers in bh-stats. */
enum {
    ST_READS, ST_WRITES, ST_FLUSHES, ST_DISCARDS, ST_READ_BYTES, ST_WRITE_BYTES, ST_ERRORS,
    ST_MALFORMED
};
_Static_assert(ST_MALFORMED < NR_NUMBERS, "all of them are read");

static void stats_row(const struct dom *d, const struct dom_dev *v)
{
    char be[DEV_PATH], fe[DEV_PATH];
    uint64_t n[NR_NUMBERS];

    dev_paths(d, v, be, fe);
    numbers_at(be, "bh-stats", n);
    out("%-20s %-5s %9lu %9lu %8lu %9lu %10lu %10lu %6lu %5lu\n", d->cfg.name,
        d->cfg.disk[v->index].vdev, n[ST_READS], n[ST_WRITES], n[ST_FLUSHES], n[ST_DISCARDS],
        n[ST_READ_BYTES] >> 9, n[ST_WRITE_BYTES] >> 9, n[ST_ERRORS], n[ST_MALFORMED]);
}

void cmd_block_stats(int argc, char **argv)
{
    struct errbuf e;
    struct dom *only = argc > 1 ? dom_find(argv[1], &e) : NULL;

    if (argc > 1 && !only) {
        out("%s\n", e.s);
        return;
    }
    out("%-20s %-5s %9s %9s %8s %9s %10s %10s %6s %5s\n", "Name", "Vdev", "Reads", "Writes",
        "Flushes", "Discards", "RdSectors", "WrSectors", "Errors", "Bad");
    for (const struct dom *d = doms; d; d = d->next)
        for (unsigned i = 0; (!only || d == only) && i < d->nr_devs; i++)
            if (d->dev[i].kind == DEV_VBD)
                stats_row(d, &d->dev[i]);
}
