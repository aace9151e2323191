/* SPDX-License-Identifier: MIT */
/* A round of the net driver domain: frames from the uplink and the vifs, through the switch, to the others (netback.h). */
#include <blame.h>
#include "net.h"
#include "vif.h"

_Static_assert(NIC_PORTS == SW_PORTS, "a share for each port");

static void forward(void *arg, struct pkt *p)
{
    unsigned from = (unsigned)(uintptr_t)arg;

    p->from = (uint8_t)from;
    if (p->gso && !pkt_gso_find(p)) {
        net.sw.port[from].no_csum++;
        return;
    }
    uint32_t to = switch_route(&net.sw, from, p->data, pkt_wire_len(p), net.now);
    if (to && (p->flags & PKT_CSUM_BLANK) && !p->gso) {
        if (!pkt_csum_find(p)) {
            net.sw.port[from].no_csum++;
            return;
        }
        /* Each receiver would finish it its own way, in the one buffer they share. */
        if (to & (to - 1))
            pkt_csum_fill(p);
    }
    if (to & 1u << SW_UPLINK)
        nic_send(net.uplink, p);
    EACH_PORT(i, to & ~(1u << SW_UPLINK))
    vif_offer(&vifs[i], p);
}

/* A frame has arrived somewhere. That a guest's frame was taken says nothing: the NIC may never do anything with it. */
bool net_answered(void)
{
    if (net.uplink && (net.uplink->rx_packets || net.uplink->tx_done))
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

static uint64_t moved; /* the NIC took a frame then, or had none */

static void rooms(struct nic *u, uint64_t now, unsigned nr_on)
{
    static struct nb_room room[SW_PORTS];
    static uint64_t done;

    if (!u)
        return;
    u->tx_share = (uint16_t)(u->tx_size / (nr_on ? nr_on : 1));
    EACH_PORT(i, vifs_connected())
    {
        room[i].bufs = nic_room(u, i, &room[i].idle);
        room[i].cut = (u->can & NIC_LARGE) != NIC_LARGE;
    }
    if (u->tx_done != done || !u->tx_out)
        moved = now;
    done = u->tx_done;
    EACH_PORT(i, vifs_connected())
    vifs[i].nb.room = now - moved < STUCK_NS ? &room[i] : NULL;
}

bool net_round(uint64_t now)
{
    struct batch *b = &net.batch;
    struct nb *on[SW_PORTS];
    unsigned nr_on = 0, sends = b->nr_sends, work;

    net.now = now;
    work = nic_receive(net.uplink, 64, forward, (void *)(uintptr_t)SW_UPLINK);
    EACH_PORT(i, vifs_connected())
    on[nr_on++] = &vifs[i].nb;
    rooms(net.uplink, now, nr_on);
    work += nb_collect(on, nr_on, b);
    if (b->nr_copies || (sends && work))
        batch_flush(b);
    EACH_PORT(i, vifs_connected())
    {
        struct nb *nb = &vifs[i].nb;
        blame(nb->gen); /* a frame is its sender's, also on its way through the switch */
        nb_finish_tx(nb, b, forward, (void *)(uintptr_t)i);
        nb_finish_rx(nb, b);
        nb_push(nb, b);
    }
    blame(0);
    nic_notify(net.uplink);
    return work != 0;
}

static bool short_of_buffers(void) { return net.pool.nr_free < PKT_BUFS; }

bool net_arm(void)
{
    bool again = nic_arm(net.uplink);

    EACH_PORT(i, vifs_connected())
    again |= nb_arm(&vifs[i].nb);
    return again && !short_of_buffers();
}

/* Requests wait for a buffer, or for the wire: both come back from the NIC, which does not say when. */
uint64_t net_look_again(void)
{
    bool waits = short_of_buffers();

    EACH_PORT(i, vifs_connected())
    waits |= vifs[i].nb.tx_waits;
    return waits ? now_ns() + NS_PER_MS : 0;
}
