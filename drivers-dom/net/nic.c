/* SPDX-License-Identifier: MIT */
/* What every NIC's driver leaves to one place: see nic.h. */
#include "nic.h"
#include <string.h>

const char *nic_start(struct nic *n, const struct nic_ops *ops, const struct bh_pci_info *dev,
                      struct pkt_pool *pool, event_fn irq, void *arg)
{
    *n = (struct nic){ .ops = ops, .pool = pool, .sbdf = dev->sbdf, .shift = n->shift };
    const char *why = ops->start(n, dev, irq, arg);
    if (why)
        return why;
    n->tx_size = (uint16_t)(n->tx_size >> n->shift);
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
    *idle = !n->tx_held[port] && !n->wait[port].nr;
    return n->wait[port].nr ? 0 : room(n, port);
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

static bool can_be_told(const struct pkt *p)
{
    unsigned type, at = frame_payload(p->data, p->len, &type);
    bool tag = at == ETH_HLEN + 4 && p->data[12] == 0x81 && !p->data[13];

    return p->hdr_len <= UINT8_MAX && (!p->tagged || tag) && (!p->ipv6 || p->csum_start == at + 40);
}

/* One that finds the headers by itself need not find them behind a tag. */
static bool cuts(const struct nic *n, const struct pkt *p)
{
    uint32_t needs = NIC_CSUM | NIC_SCATTER | (p->gso == PKT_GSO_TCP6 ? NIC_TSO6 : NIC_TSO4);

    if (p->data[p->csum_start + 13] & TCP_CWR)
        needs |= NIC_TSO_ECN;
    return (n->can & needs) == needs && (n->can & NIC_TSO_TOLD ? can_be_told(p) : !p->tagged);
}

static bool goes_whole(const struct nic *n, const struct pkt *p) { return !p->gso || cuts(n, p); }

static bool send_whole(struct nic *n, struct pkt *p)
{
    if (!has_room(n, p->from, nic_slots(p)))
        return false;
    send_one(n, p);
    return true;
}

/* The rest of its segments, from *at on; false: some are left. */
static bool send_cut(struct nic *n, struct pkt *p, uint16_t *at)
{
    for (; *at < pkt_segments(p); ++*at) {
        struct pkt *s = has_room(n, p->from, pkt_bufs(pkt_segment_len(p, *at)))
                            ? pkt_segment(n->pool, p, *at)
                            : NULL;
        if (!s)
            return false;
        send_one(n, s);
        pkt_put(n->pool, s);
    }
    return true;
}

/* What of the port waits goes on, as far as there is room; or it is dropped. */
static void wait_on(struct nic *n, struct nic_wait *w, bool drop)
{
    unsigned out = 0;

    for (; out < w->nr; out++, w->at = 0) {
        struct pkt *p = w->pkt[out];
        bool whole = !w->at && goes_whole(n, p); /* what is begun is cut to its end */
        if (!drop && !(whole ? send_whole(n, p) : send_cut(n, p, &w->at)))
            break;
        n->tx_dropped += drop;
        pkt_put(n->pool, p);
    }
    n->waiting -= out;
    w->nr = (uint16_t)(w->nr - out);
    memmove(w->pkt, w->pkt + out, w->nr * sizeof(w->pkt[0]));
}

void nic_send(struct nic *n, struct pkt *p)
{
    if (!n)
        return;
    struct nic_wait *w = &n->wait[p->from];
    bool whole = !w->nr && goes_whole(n, p);
    /* Those that wait to be cut leave some buffers to cut them into, else they would wait for ever. */
    if (n->no_link || w->nr == NIC_WAIT || (!whole && n->pool->nr_free < PKT_BUFS)) {
        n->tx_dropped++;
    } else if (whole) {
        n->tx_dropped += !send_whole(n, p);
    } else {
        w->pkt[w->nr++] = pkt_get(p);
        n->waiting++;
        if (w->nr == 1)
            wait_on(n, w, false);
    }
}

void nic_sent(struct nic *n, struct pkt *p)
{
    hold(n, p, -(int)nic_slots(p));
    n->tx_done++;
    pkt_put(n->pool, p);
}

static void all_wait_on(struct nic *n, bool drop)
{
    for (unsigned i = 0; n->waiting && i < NIC_PORTS; i++)
        wait_on(n, &n->wait[i], drop);
}

void nic_give_up(struct nic *n) { all_wait_on(n, true); }

void nic_notify(struct nic *n)
{
    if (!n)
        return;
    n->ops->reclaim(n);
    all_wait_on(n, n->no_link);
    n->ops->notify(n);
}
