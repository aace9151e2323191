/* SPDX-License-Identifier: MIT */
/* A round of the net driver domain: frames from the uplink and the vifs, through the switch, to the others (netback.h). */
#include <blame.h>
#include <loop.h>
#include "net.h"
#include "vif.h"
#include "vlan.h"

_Static_assert(NIC_PORTS == SW_PORTS, "a share for each port");

static void deliver(struct pkt *p, ports_t to)
{
    if (to & SW_WIRES) /* its bridge's */
        nic_send(net.uplink[net.sw.port[p->from].conf.bridge], p);
    EACH_PORT(i, to & ~SW_WIRES)
    vif_offer(&vifs[i], p);
}

/* To those who see its tag otherwise than it came; the packet is nobody else's. */
static void deliver_other(struct pkt *p, const struct sw_way *w)
{
    if (w->tagged)
        vlan_pop(p);
    else
        vlan_push(p, w->vid);
    deliver(p, w->other);
}

static void deliver_all(struct pkt *p, const struct sw_way *w)
{
    ports_t same = w->to & ~w->other;
    struct pkt *copy;

    if (w->tagged && w->vid)
        vlan_name(p, w->vid); /* one for the priority's sake named none */
    if (!same) {
        if (w->other)
            deliver_other(p, w);
        return;
    }
    copy = w->other ? pkt_copy(&net.pool, p) : NULL;
    net.sw.port[p->from].no_room += w->other && !copy;
    deliver(p, same);
    if (!copy)
        return;
    deliver_other(copy, w);
    pkt_put(&net.pool, copy);
}

static void forward(void *arg, struct pkt *p)
{
    unsigned from = (unsigned)(uintptr_t)arg;

    p->from = (uint8_t)from;
    if (p->gso && !pkt_gso_find(p)) {
        net.sw.port[from].no_csum++;
        return;
    }
    struct sw_way w = switch_route(&net.sw, from, p->data, pkt_wire_len(p), net.now);
    if (w.to && (p->flags & PKT_CSUM_BLANK) && !p->gso) {
        if (!pkt_csum_find(p)) {
            net.sw.port[from].no_csum++;
            return;
        }
        /* Each receiver would finish it its own way, in the one buffer they share. */
        if (w.to & (w.to - 1))
            pkt_csum_fill(p);
    }
    deliver_all(p, &w);
}

/* A frame has arrived somewhere. That a guest's frame was taken says nothing: the NIC may never do anything with it. */
bool net_answered(void)
{
    for (unsigned b = 0; b < SW_UPLINKS; b++)
        if (net.uplink[b] && (net.uplink[b]->rx_packets || net.uplink[b]->tx_done))
            return true;
    EACH_PORT(i, vifs_connected())
    {
        if (vifs[i].nb.stats.rx_packets)
            return true;
    }
    return false;
}

/* A vif whose frames the NIC does not get rid of waits in its ring, as before a wire that is busy; but one that takes nothing at all for so long
 * stands still, and what goes there is dropped, so that guests have each other. */
#define STUCK_NS (20 * NS_PER_MS)

/* nr: how many vifs the bridge has; on: those of any bridge that there is something to do for. */
static void rooms(unsigned bridge, uint64_t now, unsigned nr, ports_t on)
{
    static struct nb_room room[SW_VIFS];
    static uint64_t done[SW_UPLINKS], moved[SW_UPLINKS]; /* the NIC took a frame then, or had none */
    struct nic *u = net.uplink[bridge];

    if (!u)
        return;
    u->tx_share = (uint16_t)(u->tx_size / (nr ? nr : 1));
    EACH_PORT(i, on)
    {
        if (net.sw.port[i].conf.bridge != bridge)
            continue;
        room[i].bufs = nic_room(u, i, &room[i].idle);
        const struct slot_vif *c = &net.sw.port[i].conf;
        room[i].cut = (u->can & NIC_LARGE) != NIC_LARGE ||
                      (!(u->can & NIC_TSO_TOLD) && (c->vlan || c->trunk[0])); /* nic.c: cuts */
    }
    if (u->tx_done != done[bridge] || !u->tx_out)
        moved[bridge] = now;
    done[bridge] = u->tx_done;
    bool stuck = now - moved[bridge] >= STUCK_NS;
    if (stuck)
        nic_give_up(u);
    EACH_PORT(i, on)
    {
        if (net.sw.port[i].conf.bridge == bridge)
            vifs[i].nb.room = stuck ? NULL : &room[i];
    }
}

/* Whom there is something to do for; nr: of how many, for each bridge. While events wait that no handler has heard of, as in a long turn of the
 * main loop, that may be anybody. */
static ports_t awake(unsigned nr[SW_UPLINKS])
{
    bool all = event_unheard();
    ports_t set = 0;

    EACH_PORT(i, vifs_connected())
    {
        struct nb_vif *v = &vifs[i].nb;
        if (all)
            nb_vif_wake(v);
        if (v->awake || v->broken)
            set |= port_bit(i);
        nr[net.sw.port[i].conf.bridge]++;
    }
    return set;
}

bool net_round(uint64_t now)
{
    struct batch *b = &net.batch;
    struct nb_vif *vif[SW_VIFS];
    unsigned nr[SW_UPLINKS] = { 0 }, nr_on = 0, sends = b->nr_sends, work = 0;

    net.now = now;
    for (unsigned u = 0; u < SW_UPLINKS; u++)
        work += nic_receive(net.uplink[u], 64, forward, (void *)(uintptr_t)sw_uplink(u));
    ports_t on = awake(nr);
    EACH_PORT(i, on)
    {
        vifs[i].nb.now = now;
        vif[nr_on++] = &vifs[i].nb;
    }
    for (unsigned u = 0; u < SW_UPLINKS; u++)
        rooms(u, now, nr[u], on);
    work += nb_collect(vif, nr_on, b);
    if (b->nr_copies || (sends && work))
        batch_flush(b);
    EACH_PORT(i, on)
    {
        blame(vifs[i].nb.gen); /* a frame is its sender's, also on its way through the switch */
        nb_vif_finish(&vifs[i].nb, b, forward, (void *)(uintptr_t)i);
    }
    blame(0);
    for (unsigned u = 0; u < SW_UPLINKS; u++)
        nic_notify(net.uplink[u]);
    return work != 0;
}

static bool short_of_buffers(void) { return net.pool.nr_free < PKT_BUFS; }

bool net_arm(void)
{
    bool again = false;

    for (unsigned b = 0; b < SW_UPLINKS; b++)
        again |= nic_arm(net.uplink[b]);
    EACH_PORT(i, vifs_connected())
    again |= nb_vif_arm(&vifs[i].nb);
    return again && !short_of_buffers();
}

/* Requests wait for a buffer, or for the wire: both come back from the NIC, which does not say when. Or for their turn (rate.h). */
uint64_t net_look_again(void)
{
    uint64_t soon = now_ns() + NS_PER_MS, at = short_of_buffers() ? soon : 0;

    for (unsigned b = 0; b < SW_UPLINKS; b++)
        at = nic_waits(net.uplink[b]) ? soon : at;
    EACH_PORT(i, vifs_connected())
    {
        uint64_t when = rate_when(&vifs[i].nb.rate);
        if (nb_vif_waits(&vifs[i].nb))
            at = earlier(at, when > soon ? when : soon);
    }
    return at;
}
