/* SPDX-License-Identifier: MIT */
/* Frames of each vif and of the uplink, in the store for those who look on: store_keys.h has the order of the numbers. */
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

static void uplink_count(uint64_t n[BH_NET_STATS])
{
    const struct nic *u = net.uplink;
    const struct sw_port *p = &net.sw.port[SW_UPLINK];

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

/* What of its frames was refused, the first since it was last said. */
static void say_refused(struct vif *v)
{
    char *refused = net.sw.port[v - vifs].refused;

    if (refused[0])
        be_say(&v->be, "vif", &v->refusals, "a frame is refused: %s is none that it was given",
               refused);
    refused[0] = 0;
}

static struct counters uplink; /* in our own directory */

static bool unsaid(void)
{
    uint64_t n[BH_NET_STATS];

    if (net.uplink)
        uplink_count(n);
    bool any = net.uplink && counters_unsaid(&uplink, n, BH_NET_STATS);
    for (const struct vif *v = vifs + 1; v < vifs + SW_PORTS && !any; v++) {
        vif_count(v, n);
        any = v->connected && counters_unsaid(&v->counters, n, BH_NET_STATS);
    }
    return any;
}

uint64_t vifs_say_stats(void)
{
    static uint64_t next;
    uint64_t n[BH_NET_STATS];
    char path[BE_KEY];

    if (now_ns() < next)
        return next; /* without looking: that comes with each packet */
    if (!unsaid())
        return 0;
    next = now_ns() + SAY_NS;
    if (net.uplink)
        uplink_count(n);
    bool said = !net.uplink || counters_say(&uplink, BH_KEY_UPLINK, n, BH_NET_STATS);
    for (struct vif *v = vifs + 1; v < vifs + SW_PORTS && said; v++) {
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
