/* SPDX-License-Identifier: MIT */
/* A round of the net driver domain: frames from the uplink and the vifs, through the switch, to the others (netback.h). */
#include <blame.h>
#include "net.h"
#include "vif.h"

_Static_assert(NIC_PORTS == SW_PORTS, "a share for each port");

static void forward(void *arg, struct pkt *p)
{
    unsigned from = (unsigned)(uintptr_t)arg;
    uint32_t to = switch_route(&net.sw, from, p->data, p->len, net.now);

    if (to && (p->flags & PKT_CSUM_BLANK)) {
        if (!pkt_csum_find(p)) {
            net.sw.port[from].no_csum++;
            return;
        }
        /* Each receiver would finish it its own way, in the one buffer they share. */
        if (to & (to - 1))
            pkt_csum_fill(p);
    }
    p->from = (uint8_t)from;
    if (to & 1u << SW_UPLINK)
        nic_send(net.uplink, p);
    EACH_PORT(i, to & ~(1u << SW_UPLINK))
    vif_offer(&vifs[i], p);
}

/* A frame has arrived somewhere. That a guest's frame was taken says nothing: the NIC may never do anything with it. */
bool net_answered(void)
{
    if (net.uplink && (net.uplink->rx_packets || net.uplink->tx_packets > net.uplink->tx_out))
        return true;
    EACH_PORT(i, vifs_connected())
    {
        if (vifs[i].nb.stats.rx_packets)
            return true;
    }
    return false;
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
    work += nb_collect(on, nr_on, b);
    if (net.uplink)
        net.uplink->tx_share = (uint16_t)(net.uplink->tx_size / (nr_on ? nr_on : 1));
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

bool net_arm(void)
{
    bool again = nic_arm(net.uplink);

    EACH_PORT(i, vifs_connected())
    again |= nb_arm(&vifs[i].nb);
    return again && net.pool.free;
}

/* Requests wait and there is no buffer: they come back from the NIC, which does not say when. */
uint64_t net_look_again(void) { return net.pool.free ? 0 : now_ns() + NS_PER_MS; }
