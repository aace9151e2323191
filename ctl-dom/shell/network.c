/* SPDX-License-Identifier: MIT */
/* Commands: network interfaces. */
#include "shell/command.h"
#include <devname.h>
#include <stdlib.h>
#include <store_keys.h>
#include <string.h>
#include "console/console.h"
#include "domain/bridge.h"
#include "domain/identity.h"
#include "shell/lists.h"
#include "store/devices.h"
#include "store/hotplug.h"

static void network_row(const struct dom *d, const struct dom_dev *v)
{
    char be[DEV_PATH], fe[DEV_PATH], mac[VIF_MAC];

    dev_paths(d, v, be, fe);
    mac_text(d->cfg.vif[v->index].mac, mac);
    out("%-3u %-2u %-17s %-6u %-5ld %-6ld %5ld/%-5ld %-34s %s\n", v->devid, v->back, mac, v->devid,
        list_number(fe, "state"), list_queue_number(fe, "event-channel", "event-channel-tx"),
        list_queue_number(fe, "tx-ring-ref", "tx-ring-ref"),
        list_queue_number(fe, "rx-ring-ref", "rx-ring-ref"), be, list_bridge(d, v));
}

static void frames_row(bool first, const char *name, const char *idx,
                       const uint64_t n[BH_NET_STATS], const char *bridge)
{
    if (first)
        out("%-20s %-4s %11s %11s %8s %8s %8s %8s %8s %8s %8s %8s %s\n", "Name", "Idx", "In", "Out",
            "Errors", "Dropped", "Spoofed", "TooLong", "WireLong", "NoCsum", "Storm", "VLAN",
            "Bridge");
    out("%-20s %-4s %11lu %11lu %8lu %8lu %8lu %8lu %8lu %8lu %8lu %8lu %s\n", name, idx,
        n[BH_NET_IN], n[BH_NET_OUT], n[BH_NET_ERRORS], n[BH_NET_DROPPED], n[BH_NET_SPOOFED],
        n[BH_NET_LONG], n[BH_NET_WIRE_LONG], n[BH_NET_NO_CSUM], n[BH_NET_STORM], n[BH_NET_VLAN],
        bridge);
}

/* Frames of d's vifs, or of all that d serves; and of the wires behind them. */
static void frames(const struct dom *d)
{
    uint64_t n[BH_NET_STATS];
    char be[DEV_PATH], fe[DEV_PATH], idx[12];
    unsigned rows = 0;

    for (const struct dom *o = doms; o; o = o->next)
        for (unsigned i = 0; i < o->nr_devs; i++) {
            const struct dom_dev *v = &o->dev[i];
            if (v->kind != DEV_VIF || v->foreign || (o != d && v->back != d->id))
                continue; /* a Linux counts for itself */
            dev_paths(o, v, be, fe);
            list_numbers(be, BH_KEY_STATS, n, BH_NET_STATS);
            snprintf(idx, sizeof(idx), "%u", v->devid);
            frames_row(!rows++, o->cfg.name, idx, n, list_bridge(o, v));
        }
    for (const struct dom *b = doms; b; b = b->next)
        for (unsigned i = 0; (b == d || serves(b, d, DEV_VIF)) && i < bridges_of(b); i++)
            if (list_uplink(b, i, n))
                frames_row(!rows++, b->cfg.name, "wire", n, bridge_name(b, i));
}

static void network_rows(const struct dom *d)
{
    unsigned shown = 0;

    for (unsigned i = 0; i < d->nr_devs; i++) {
        if (d->dev[i].kind != DEV_VIF)
            continue;
        if (!shown++)
            out("%-3s %-2s %-17s %-6s %-5s %-6s %5s/%-5s %-28s %s\n", "Idx", "BE", "Mac Addr.",
                "handle", "state", "evt-ch", "tx-", "rx-ring-ref", "BE-path", "Bridge");
        network_row(d, &d->dev[i]);
    }
    frames(d);
    list_problems(d, DEV_VIF);
}

static bool cmd_network_list(int argc, char **argv)
{
    return command_each(argc, argv, network_rows);
}

/* By its number or its address. */
static struct dom_dev *vif_of(struct dom *d, const char *idx)
{
    uint8_t mac[6];
    char *end;

    if (mac_parse(idx, mac))
        for (struct dom_dev *v = d->dev; v < d->dev + d->nr_devs; v++)
            if (v->kind == DEV_VIF && !memcmp(d->cfg.vif[v->index].mac, mac, 6))
                return v;
    unsigned long n = strtoul(idx, &end, 10);

    for (struct dom_dev *v = d->dev; v < d->dev + d->nr_devs; v++)
        if (v->kind == DEV_VIF && v->devid == n && *idx && !*end)
            return v;
    return NULL;
}

static bool cmd_network_retry(int argc, char **argv)
{
    struct errbuf e;
    struct dom *d = command_dom(argv[1]);
    struct dom_dev *v = d ? vif_of(d, argv[2]) : NULL;

    (void)argc;
    if (d && !v)
        out("%s: has no vif %s\n", d->cfg.name, argv[2]);
    else if (d && dev_retry(d, v, &e))
        out("%s\n", e.s);
    return true;
}

/* The words behind its name, as one entry of vif=. */
static bool cmd_network_attach(int argc, char **argv)
{
    struct dom *d = command_guest(argv[1]);
    static char spec[1024];
    struct errbuf e;
    size_t n = 0;

    spec[0] = '\0';
    for (int i = 2; i < argc && n < sizeof(spec); i++)
        n += (size_t)snprintf(spec + n, sizeof(spec) - n, "%s%s", n ? "," : "", argv[i]);
    if (d && n >= sizeof(spec))
        out("network-attach: more than %zu characters\n", sizeof(spec) - 1);
    else if (d && vif_attach(d, spec, &e))
        out("%s\n", e.s);
    return true;
}

static bool cmd_network_detach(int argc, char **argv)
{
    struct dom *d = command_guest(argv[1]);
    struct dom_dev *v = d ? vif_of(d, argv[2]) : NULL;
    struct errbuf e;

    (void)argc;
    if (d && !v)
        out("%s: has no vif %s\n", d->cfg.name, argv[2]);
    else if (d && vif_detach(d, v, &e))
        out("%s\n", e.s);
    return true;
}

static const struct command rows[] = {
    { "network-list", "NAME...", "network interfaces of domains", 1, MAX_ARGS, cmd_network_list },
    { "network-attach", "NAME [KEY=VALUE ...]", "an interface for a running guest, as vif= has it",
      1, MAX_ARGS, cmd_network_attach },
    { "network-detach", "NAME IDX|MAC", "takes one away", 2, 2, cmd_network_detach },
    { "network-retry", "NAME IDX", "another chance for one that was put aside", 2, 2,
      cmd_network_retry },
};
const struct commands network_commands = COMMANDS(rows);
