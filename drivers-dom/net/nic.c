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
    *idle = !n->tx_held[port];
    return room(n, port);
}

static bool has_room(const struct nic *n, const struct pkt *p)
{
    unsigned slots = nic_slots(p);

    return slots <= room(n, p->from) || (!n->tx_held[p->from] && n->tx_out + slots <= n->tx_size);
}

static void hold(struct nic *n, const struct pkt *p, int slots)
{
    n->tx_out = (uint16_t)(n->tx_out + slots);
    n->tx_held[p->from] = (uint16_t)(n->tx_held[p->from] + slots);
}

static void send_one(struct nic *n, struct pkt *p)
{
    if (!has_room(n, p))
        n->ops->reclaim(n);
    if (n->no_link || !has_room(n, p)) {
        n->tx_dropped++;
        return;
    }
    if ((p->flags & PKT_CSUM_BLANK) && !(n->can & NIC_CSUM))
        pkt_csum_fill(p);
    if (p->len < ETH_MIN) /* what lies behind must not be another guest's */
        memset(p->data + p->len, 0, ETH_MIN - p->len);
    hold(n, p, (int)nic_slots(p));
    n->ops->send(n, pkt_get(p));
    n->tx_packets++;
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
    if (!p->gso || cuts(n, p)) {
        send_one(n, p);
        return;
    }
    for (unsigned i = 0; i < pkt_segments(p); i++) {
        struct pkt *s = pkt_segment(n->pool, p, i);
        if (!s) {
            n->tx_dropped++;
            return;
        }
        send_one(n, s);
        pkt_put(n->pool, s);
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
    n->ops->notify(n);
}
