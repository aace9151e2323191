/* SPDX-License-Identifier: MIT */
/*
 * Every five seconds, while there is a domain that shows it: one text (Prometheus' exposition format, 0.0.4), in pieces, into that domain's
 * directory in the store. Names of domains have no character that a label would have to escape (config.c).
 */
#include "shell/metrics.h"
#include <bh.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <store_keys.h>
#include <string.h>
#include <xen/io/xs_wire.h>
#include "domain/bridge.h"
#include "shell/lists.h"
#include "store/connection.h"
#include "store/devices.h"
#include "supervise/report.h"
#include "supervise/supervisor.h"

#define PERIOD_NS (5 * NS_PER_S)
#define LAST_ROOM 160u

static char text[BH_METRICS_CHUNK * BH_METRICS_CHUNKS];
static size_t len, most;
static bool full;

/* A line that does not fit is not there, and none after it but the last one, which says so. */
static void line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void line(const char *fmt, ...)
{
    size_t room = full ? 0 : most - len;
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text + len, room, fmt, ap);
    va_end(ap);
    full = n < 0 || (size_t)n >= room;
    if (!full)
        len += (size_t)n;
    else
        text[len] = '\0';
}

static void family(const char *name, const char *type, const char *help)
{
    line("# HELP bulkhead_%s %s\n# TYPE bulkhead_%s %s\n", name, help, name, type);
}

static const char *name_of(const struct bh_dominfo *di)
{
    const struct dom *d = dom_by_id(di->domid);

    return d ? d->cfg.name : di->domid == BH_DOMID_CONTROL ? "control" : "";
}

static void domains(void)
{
    struct bh_dominfo di;

    family("domain_cpu_seconds_total", "counter", "Time on a CPU.");
    for (di = (struct bh_dominfo){ 0 }; !bh_ctl_info(&di); di.domid++)
        line("bulkhead_domain_cpu_seconds_total{domain=\"%s\",id=\"%u\"} %lu.%09lu\n", name_of(&di),
             di.domid, di.cpu_ns / NS_PER_S, di.cpu_ns % NS_PER_S);
    family("domain_memory_bytes", "gauge", "RAM that it has.");
    for (di = (struct bh_dominfo){ 0 }; !bh_ctl_info(&di); di.domid++)
        line("bulkhead_domain_memory_bytes{domain=\"%s\",id=\"%u\"} %lu\n", name_of(&di), di.domid,
             di.tot_pages * PAGE_SIZE);
    family("domain_instance", "gauge", "Lives before this one, of a domain that is restarted.");
    for (di = (struct bh_dominfo){ 0 }; !bh_ctl_info(&di); di.domid++)
        if (di.flags & BH_DI_RESTARTABLE)
            line("bulkhead_domain_instance{domain=\"%s\",id=\"%u\"} %lu\n", name_of(&di), di.domid,
                 di.instance);
}

static void machine(void)
{
    static struct bh_sysinfo si;

    if (bh_ctl_sysinfo(&si))
        return;
    family("uptime_seconds", "gauge", "Since the core began.");
    line("bulkhead_uptime_seconds %lu.%09lu\n", si.boot_ns / NS_PER_S, si.boot_ns % NS_PER_S);
    family("free_memory_bytes", "gauge", "RAM that no domain has.");
    line("bulkhead_free_memory_bytes %lu\n", (si.free_pages + si.dirty_pages) * PAGE_SIZE);
}

static void restarts(void)
{
    static const char *const why[] = {
        [BH_CAUSE_NONE] = "unknown",
        [BH_CAUSE_TRIPLE_FAULT] = "triple_fault",
        [BH_CAUSE_SHUTDOWN_CRASH] = "gave_up",
        [BH_CAUSE_DEADLINE] = "deadline",
        [BH_CAUSE_NPF] = "nested_page_fault",
        [BH_CAUSE_INJECTED] = "injected",
        [BH_CAUSE_VMENTRY] = "invalid_state",
        [BH_CAUSE_OTHER] = "other",
        [REPORT_ASKED] = "request",
    };
    static const unsigned limit[] = { REPORT_OUTAGE_LIMITS };
    const struct report_sums *s = report_sums();
    uint64_t all = 0;

    family("restarts_total", "counter", "Restarts of service domains, by reason.");
    for (unsigned i = 0; i < ARRAY_SIZE(why); i++) {
        line("bulkhead_restarts_total{reason=\"%s\"} %lu\n", why[i], s->restarts[i]);
        all += s->restarts[i];
    }
    family("outage_seconds", "histogram",
           "How long a service domain was away, until it served again.");
    for (unsigned i = 0; i < REPORT_OUTAGES; i++)
        line("bulkhead_outage_seconds_bucket{le=\"%u.%03u\"} %lu\n", limit[i] / 1000,
             limit[i] % 1000, s->within[i]);
    line("bulkhead_outage_seconds_bucket{le=\"+Inf\"} %lu\n", all);
    line("bulkhead_outage_seconds_sum %lu.%09lu\nbulkhead_outage_seconds_count %lu\n",
         s->outage_ns / NS_PER_S, s->outage_ns % NS_PER_S, all);
}

/* What a driver domain counts of one device, or of its wire. */
static struct row {
    enum { OF_VIF, OF_WIRE, OF_VBD } of;
    char name[BH_NAME_LEN], device[BH_NAME_LEN];
    uint64_t n[(int)BH_BLK_STATS > (int)BH_NET_STATS ? BH_BLK_STATS : BH_NET_STATS];
} row[256];
static unsigned nr_rows;

static struct row *new_row(unsigned of, const char *name)
{
    struct row *r = &row[nr_rows];

    r->of = of;
    snprintf(r->name, sizeof(r->name), "%s", name);
    return r;
}

static bool is_away(void) { return xs_error == ETIME || xs_error == EIO; }

/* The store is asked once for all that is counted of a device, since the lines of one family stand together.
 * False: it does not answer. */
static bool collect(void)
{
    char be[DEV_PATH], fe[DEV_PATH];
    struct row *r;

    nr_rows = 0;
    xs_error = 0;
    for (const struct dom *d = doms; d && nr_rows < ARRAY_SIZE(row); d = d->next) {
        for (unsigned i = 0; i < d->nr_devs && nr_rows < ARRAY_SIZE(row); i++) {
            const struct dom_dev *v = &d->dev[i];
            bool vif = v->kind == DEV_VIF;

            r = new_row(vif ? OF_VIF : OF_VBD, d->cfg.name);
            if (vif)
                snprintf(r->device, sizeof(r->device), "%u", v->devid);
            else
                snprintf(r->device, sizeof(r->device), "%s", d->cfg.disk[v->index].vdev);
            dev_paths(d, v, be, fe);
            nr_rows += list_numbers(be, BH_KEY_STATS, r->n, vif ? BH_NET_STATS : BH_BLK_STATS);
            if (is_away()) /* each of the others would be waited for, too */
                return false;
        }
        for (unsigned i = 0; i < bridges_of(d) && nr_rows < ARRAY_SIZE(row); i++) {
            r = new_row(OF_WIRE, d->cfg.name);
            snprintf(r->device, sizeof(r->device), "%s", bridge_name(d, i));
            nr_rows += list_uplink(d, i, r->n);
            if (is_away())
                return false;
        }
    }
    return true;
}

static void column(unsigned of, unsigned i, const char *name, const char *help)
{
    static const char *const label[] = { "vif", "bridge", "vbd" };

    family(name, "counter", help);
    for (const struct row *r = row; r < row + nr_rows; r++)
        if (r->of == of)
            line("bulkhead_%s{domain=\"%s\",%s=\"%s\"} %lu\n", name, r->name, label[of], r->device,
                 r->n[i]);
}

static bool devices(void)
{
    static const struct {
        unsigned i;
        const char *name, *help;
    } net[] = {
        { BH_NET_IN, "frames_received_total", "Frames that came from there." },
        { BH_NET_OUT, "frames_sent_total", "Frames that went there." },
        { BH_NET_ERRORS, "frame_errors_total", "Frames that could not be read or written." },
        { BH_NET_DROPPED, "frames_dropped_total", "Frames for which there was no room." },
        { BH_NET_SPOOFED, "frames_spoofed_total", "Frames from an address that is not theirs." },
    };
    static const char *const blk[] = {
#define X(NAME, name) #name,
        BH_BLK_STATS_IN_ORDER(X)
#undef X
    };
    char name[40];

    if (!collect())
        return false;
    for (unsigned of = OF_VIF; of <= OF_WIRE; of++)
        for (unsigned i = 0; i < ARRAY_SIZE(net); i++) {
            snprintf(name, sizeof(name), "%s_%s", of == OF_VIF ? "vif" : "wire", net[i].name);
            column(of, net[i].i, name, net[i].help);
        }
    for (unsigned i = 0; i < ARRAY_SIZE(blk); i++) {
        snprintf(name, sizeof(name), "vbd_%s_total", blk[i]);
        column(OF_VBD, i, name, "Of the disk, as block-stats has it.");
    }
    return true;
}

static bool store(void)
{
    static const struct {
        const char *word, *name, *type, *help;
    } rows[] = {
        { "requests ", "store_operations_total", "counter", "Requests that the store answered." },
        { "connections ", "store_connections", "gauge", "Clients of the store." },
        { "nodes ", "store_nodes", "gauge", "Nodes in the store." },
    };
    char *said;
    uint32_t n;

    if (xs_raw(XS_CONTROL, 0, "stats", 6, &said, &n))
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *at = strstr(said, rows[i].word);
        if (!at)
            continue;
        family(rows[i].name, rows[i].type, rows[i].help);
        line("bulkhead_%s %lu\n", rows[i].name, strtoul(at + strlen(rows[i].word), NULL, 10));
    }
    free(said);
    return true;
}

/* What there is most of comes last. False: half of it would look as if the rest were gone. */
static bool gather(void)
{
    len = 0;
    most = sizeof(text) - LAST_ROOM;
    full = false;
    machine();
    restarts();
    if (!store())
        return false;
    domains();
    if (!devices())
        return false;
    bool whole = !full && nr_rows < ARRAY_SIZE(row);
    most = sizeof(text);
    full = false;
    family("page_whole", "gauge", "1: all of it had room.");
    line("bulkhead_page_whole %u\n", whole);
    return true;
}

static void tell(const struct dom *d, unsigned set)
{
    char path[64], chunk[BH_METRICS_CHUNK + 1];
    unsigned n = 0;

    for (size_t at = 0; at < len; at += BH_METRICS_CHUNK, n++) {
        snprintf(path, sizeof(path), "/local/domain/%u/" BH_KEY_METRICS "/%u/%u", d->id, set, n);
        snprintf(chunk, sizeof(chunk), "%s", text + at);
        if (xs_write(0, path, chunk))
            return;
    }
    snprintf(path, sizeof(path), "/local/domain/%u/" BH_KEY_METRICS_NOW, d->id);
    xs_printf(0, path, "%u %u", set, n);
}

static bool shows(const struct dom *d) { return d->cfg.metrics && d->in_store && !d->ending; }

static void wake(struct dtimer *t) { (void)t; } /* the loop turns, and the job with it */

bool metrics_work(void)
{
    static struct dtimer timer = { .fn = wake };
    static uint64_t next;
    static unsigned set;
    const struct dom *d = doms;

    while (d && !shows(d))
        d = d->next;
    if (!d || !store_up || now_ns() < next)
        return false;
    if (supervisor_store_serves() && gather()) {
        set ^= 1;
        for (d = doms; d; d = d->next)
            if (shows(d))
                tell(d, set);
    }
    next = now_ns() + PERIOD_NS;
    dtimer_set(&timer, next);
    return true;
}
