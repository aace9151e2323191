/* SPDX-License-Identifier: MIT */
/* Frames of each vif and of the uplinks, and what is wrong with those, in the store for those who look on: store_keys.h has the order of the numbers. */
#include <stdio.h>
#include "net.h"
#include "vif.h"

#define SAY_NS NS_PER_S

void vif_count(const struct vif *v, uint64_t n[BH_NET_STATS])
{
    const struct nb_stats *s = &v->nb.stats;
    const struct sw_port *p = &net.sw.port[v - vifs];

    n[BH_NET_IN] = s->tx_packets;
    n[BH_NET_OUT] = s->rx_packets;
    n[BH_NET_ERRORS] = s->tx_errors + s->rx_errors;
    n[BH_NET_DROPPED] = s->tx_dropped + s->rx_dropped + p->no_room;
    n[BH_NET_SPOOFED] = p->spoofed;
    n[BH_NET_LONG] = s->tx_long + p->bad_length;
    n[BH_NET_WIRE_LONG] = p->wire_long;
    n[BH_NET_NO_CSUM] = p->no_csum;
    n[BH_NET_STORM] = p->storm;
    n[BH_NET_VLAN] = p->vlan;
}

static void uplink_count(unsigned bridge, uint64_t n[BH_NET_STATS])
{
    const struct nic *u = net.uplink[bridge];
    const struct sw_port *p = &net.sw.port[sw_uplink(bridge)];

    n[BH_NET_IN] = u->rx_packets;
    n[BH_NET_OUT] = u->tx_packets;
    n[BH_NET_ERRORS] = u->rx_errors;
    n[BH_NET_DROPPED] = u->rx_dropped + u->tx_dropped;
    n[BH_NET_SPOOFED] = p->spoofed;
    n[BH_NET_LONG] = u->rx_length + p->bad_length;
    n[BH_NET_WIRE_LONG] = 0; /* what comes from there fits there */
    n[BH_NET_NO_CSUM] = p->no_csum;
    n[BH_NET_STORM] = p->storm;
    n[BH_NET_VLAN] = p->vlan;
}

const char *uplinks_problem(void)
{
    static char text[240];
    size_t at = 0;

    text[0] = '\0';
    for (unsigned b = 0; b < SW_UPLINKS && net_bridge(b) && at < sizeof(text); b++) {
        const char *why = net.uplink[b] && net.uplink[b]->no_link
                              ? "its NIC has no link: nothing goes to the wire"
                              : net.refusal[b];
        if (*why)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s%s%s", at ? "; " : "",
                                   net.bridge[b], net.bridge[b][0] ? ": " : "", why);
    }
    return text;
}

/* What of its frames was refused, the first since it was last said. */
static void say_refused(struct vif *v)
{
    char *refused = net.sw.port[v - vifs].refused;

    if (refused[0])
        be_say(&v->be, "vif", &v->refusals, "a frame is refused: %s is none that it was given",
               refused);
    refused[0] = 0;
}

static struct counters uplinks[SW_UPLINKS]; /* in our own directory */

static bool unsaid(void)
{
    uint64_t n[BH_NET_STATS];
    bool any = false;

    for (unsigned b = 0; b < SW_UPLINKS && !any; b++) {
        if (!net.uplink[b])
            continue;
        uplink_count(b, n);
        any = counters_unsaid(&uplinks[b], n, BH_NET_STATS);
    }
    for (const struct vif *v = vifs + 1; v < vifs + SW_VIFS && !any; v++) {
        vif_count(v, n);
        any = v->connected && counters_unsaid(&v->counters, n, BH_NET_STATS);
    }
    return any;
}

uint64_t vifs_say_stats(void)
{
    static const char *const keys[SW_UPLINKS] = BH_KEY_UPLINKS;
    static uint64_t next;
    uint64_t n[BH_NET_STATS];
    char path[BE_KEY];

    if (now_ns() < next)
        return next; /* without looking: that comes with each packet */
    if (!unsaid())
        return 0;
    next = now_ns() + SAY_NS;
    bool said = true;
    for (unsigned b = 0; b < SW_UPLINKS && said; b++) {
        if (!net.uplink[b])
            continue;
        uplink_count(b, n);
        said = counters_say(&uplinks[b], keys[b], n, BH_NET_STATS);
    }
    for (struct vif *v = vifs + 1; v < vifs + SW_VIFS && said; v++) {
        /* One that is looked at again may be gone: a node of ours would bring its directory back. */
        if (!v->connected || v->be.dirty || v->be.later)
            continue;
        say_refused(v);
        vif_count(v, n);
        be_key_path(&v->be, path, BH_KEY_STATS);
        said = counters_say(&v->counters, path, n, BH_NET_STATS);
    }
    return said ? 0 : next;
}
