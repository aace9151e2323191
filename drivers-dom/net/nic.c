/* SPDX-License-Identifier: MIT */
/* What every NIC's driver leaves to one place: see nic.h. */
#include "nic.h"
#include <string.h>

const char *nic_start(struct nic *n, const struct nic_ops *ops, const struct bh_pci_info *dev,
                      struct pkt_pool *pool, event_fn irq, void *arg)
{
    *n = (struct nic){ .ops = ops, .pool = pool, .sbdf = dev->sbdf };
    const char *why = ops->start(n, dev, irq, arg);
    if (why)
        return why;
    n->tx_share = n->tx_size;
    nic_notify(n);
    return NULL;
}

static unsigned room(const struct nic *n, unsigned port)
{
    unsigned left = (unsigned)n->tx_size - n->tx_out, held = n->tx_held[port],
             share = held < n->tx_share ? n->tx_share - held : 0u;

    return share < left ? share : left;
}

unsigned nic_room(struct nic *n, unsigned port, bool *idle)
{
    if (n->tx_out > n->tx_size / 2)
        n->ops->reclaim(n);
    *idle = !n->tx_held[port] && !n->tx_cut[port];
    return n->tx_cut[port] ? 0 : room(n, port);
}

static bool fits(const struct nic *n, unsigned port, unsigned slots)
{
    return slots <= room(n, port) || (!n->tx_held[port] && n->tx_out + slots <= n->tx_size);
}

static bool has_room(struct nic *n, unsigned port, unsigned slots)
{
    if (!fits(n, port, slots))
        n->ops->reclaim(n);
    return fits(n, port, slots);
}

static void hold(struct nic *n, const struct pkt *p, int slots)
{
    n->tx_out = (uint16_t)(n->tx_out + slots);
    n->tx_held[p->from] = (uint16_t)(n->tx_held[p->from] + slots);
}

/* There is room for it. */
static void send_one(struct nic *n, struct pkt *p)
{
    if ((p->flags & PKT_CSUM_BLANK) && !(n->can & NIC_CSUM))
        pkt_csum_fill(p);
    if (p->len < ETH_MIN) /* what lies behind must not be another guest's */
        memset(p->data + p->len, 0, ETH_MIN - p->len);
    hold(n, p, (int)nic_slots(p));
    n->ops->send(n, pkt_get(p));
    n->tx_packets++;
}

/* The port's large packet goes on, as far as there is room. */
static void cut_on(struct nic *n, unsigned port)
{
    struct pkt *p = n->tx_cut[port];

    for (; !n->no_link && n->tx_cut_at[port] < pkt_segments(p); n->tx_cut_at[port]++) {
        unsigned i = n->tx_cut_at[port];
        struct pkt *s = has_room(n, port, pkt_bufs(pkt_segment_len(p, i)))
                            ? pkt_segment(n->pool, p, i)
                            : NULL;
        if (!s)
            return;
        send_one(n, s);
        pkt_put(n->pool, s);
    }
    n->tx_dropped += n->no_link;
    n->tx_cut[port] = NULL;
    pkt_put(n->pool, p);
}

bool nic_waits(const struct nic *n)
{
    bool any = false;

    for (unsigned i = 0; n && i < NIC_PORTS; i++)
        any |= n->tx_cut[i] != NULL;
    return any;
}

/* Under a tag not every NIC finds the headers. */
static bool cuts(const struct nic *n, const struct pkt *p)
{
    uint32_t needs = NIC_CSUM | NIC_SCATTER | (p->gso == PKT_GSO_TCP6 ? NIC_TSO6 : NIC_TSO4);

    if (p->data[p->csum_start + 13] & TCP_CWR)
        needs |= NIC_TSO_ECN;
    return !p->tagged && (n->can & needs) == needs;
}

void nic_send(struct nic *n, struct pkt *p)
{
    if (!n)
        return;
    bool whole = !p->gso || cuts(n, p);
    if (n->no_link || (whole ? !has_room(n, p->from, nic_slots(p)) : n->tx_cut[p->from] != NULL)) {
        n->tx_dropped++;
    } else if (whole) {
        send_one(n, p);
    } else {
        n->tx_cut[p->from] = pkt_get(p);
        n->tx_cut_at[p->from] = 0;
        cut_on(n, p->from);
    }
}

void nic_sent(struct nic *n, struct pkt *p)
{
    hold(n, p, -(int)nic_slots(p));
    n->tx_done++;
    pkt_put(n->pool, p);
}

void nic_notify(struct nic *n)
{
    if (!n)
        return;
    n->ops->reclaim(n);
    for (unsigned i = 0; i < NIC_PORTS; i++)
        if (n->tx_cut[i])
            cut_on(n, i);
    n->ops->notify(n);
}
