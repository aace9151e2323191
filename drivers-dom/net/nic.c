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

static bool has_room(const struct nic *n, const struct pkt *p)
{
    unsigned slots = nic_slots(p);

    return n->tx_out + slots <= n->tx_size && n->tx_held[p->from] + slots <= n->tx_share;
}

static void hold(struct nic *n, const struct pkt *p, int slots)
{
    n->tx_out = (uint16_t)(n->tx_out + slots);
    n->tx_held[p->from] = (uint16_t)(n->tx_held[p->from] + slots);
}

void nic_send(struct nic *n, struct pkt *p)
{
    if (!n)
        return;
    if (!has_room(n, p))
        n->ops->reclaim(n);
    if (!has_room(n, p)) {
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

void nic_sent(struct nic *n, struct pkt *p)
{
    hold(n, p, -(int)nic_slots(p));
    pkt_put(n->pool, p);
}

void nic_notify(struct nic *n)
{
    if (!n)
        return;
    n->ops->reclaim(n);
    n->ops->notify(n);
}
