/* SPDX-License-Identifier: MIT */
/* virtio-net: see virtio_net.h. Section numbers are those of Virtio 1.1. */
#include "virtio_net.h"
#include <device.h>
#include <string.h>

#define HDR sizeof(struct virtio_net_hdr)
#define RX_BYTES \
    (PKT_BUF - PKT_HEAD + HDR) /* header and frame, from PKT_HEAD - HDR to the buffer's end */

static uint8_t *dma_start(const struct pkt *p) { return p->data - HDR; }

static const char *vq_setup(struct vnet *n, struct vq *q, uint16_t index, uint16_t vector)
{
    memset(q, 0, sizeof(*q));
    const char *why = vring_start(&n->dev, &q->r, index, VQ_SIZE, vector);
    if (!why && q->r.size < VQ_SIZE)
        why = "its queues are too short";
    return why;
}

static struct vring_used_elem vq_used(struct vq *q)
{
    struct vring_used_elem e = vring_next_used(&q->r);

    if (!q->pkt[e.id])
        bh_panic("the NIC returned a descriptor that it does not have (%u)", e.id);
    return e;
}

static void rx_post(struct vq *q, uint16_t id, struct pkt *p)
{
    q->pkt[id] = p;
    q->r.desc[id] = (struct vring_desc){ (uint64_t)dma_start(p), RX_BYTES, VRING_DESC_WRITE, 0 };
    vring_post(&q->r, id);
}

static const char *queues_start(struct vnet *n)
{
    const char *why = vq_setup(n, &n->rx, 0, 0);

    if (!why)
        why = vq_setup(n, &n->tx, 1, VIRTIO_NO_VECTOR);
    if (why)
        return why;
    for (uint16_t i = 0; i < VQ_SIZE; i++) {
        struct pkt *p = pkt_alloc(n->pool);
        if (!p)
            return "out of buffers";
        rx_post(&n->rx, i, p);
        n->tx.free[n->tx.nr_free++] = i;
    }
    n->tx.r.avail->flags = VRING_NO_INTERRUPT; /* 2.6.7: without EVENT_IDX; with it there is no vector anyway */
    return NULL;
}

/* It must not go on with what it was given. */
static void stop(struct vnet *n)
{
    struct bh_dma_enable dma = { .sbdf = n->sbdf, .enable = 0 };

    n->dev.common->device_status = 0;
    bh_svc_dma_enable(&dma);
    n->dev.common->device_status = VIRTIO_FAILED;
}

static const char *start(struct vnet *n, event_fn irq, void *arg)
{
    struct bh_dma_enable dma = { .sbdf = n->sbdf, .enable = 1 };
    /* MRG_RXBUF: else a frame that fits no buffer is dropped by the device, where nobody counts it. */
    const uint64_t wanted = VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MRG_RXBUF |
                            VIRTIO_F_EVENT_IDX;

    /* Only now is every DMA of a former instance over. */
    if (!virtio_reset(&n->dev))
        return "it does not reset";
    if (bh_svc_dma_enable(&dma))
        return "DMA was refused";
    const char *why = virtio_negotiate(&n->dev, wanted);
    if (!why)
        why = pci_irq_bind(n->sbdf, 0, irq, arg); /* MSI-X entry 0, for the receive queue */
    if (!why) {
        n->dev.common->msix_config = VIRTIO_NO_VECTOR;
        why = queues_start(n);
    }
    if (why) {
        stop(n);
        return why;
    }
    n->dev.common->device_status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK |
                                   VIRTIO_DRIVER_OK;
    n->up = true;
    return NULL;
}

const char *vnet_start(struct vnet *n, const struct bh_pci_info *dev, struct pkt_pool *pool,
                       event_fn irq, void *arg)
{
    memset(n, 0, sizeof(*n));
    n->pool = pool;
    n->sbdf = dev->sbdf;
    n->tx_share = VQ_SIZE;
    const char *why = virtio_pci_map(&n->dev, dev, VIRTIO_TYPE_NET);
    if (!why)
        why = start(n, irq, arg);
    if (why)
        return why;
    vnet_notify(n);
    return NULL;
}

/* Whether it is a whole frame that we carry. One over several buffers (5.1.6.4) is longer: those that follow hold the rest of it. */
static bool rx_fits(struct vnet *n, uint32_t len, const struct virtio_net_hdr *h)
{
    if (n->rx_rest) {
        n->rx_rest--;
        return false;
    }
    unsigned parts = len >= HDR && n->dev.features & VIRTIO_NET_F_MRG_RXBUF ? h->num_buffers : 1;
    if (!parts || parts > VQ_SIZE)
        bh_panic("the NIC says that a frame is in %u buffers", parts);
    n->rx_rest = (uint16_t)(parts - 1);
    if (parts == 1 && len >= HDR + ETH_HLEN && len <= HDR + FRAME_MAX)
        return true;
    n->rx_length++;
    return false;
}

static void rx_one(struct vnet *n, struct vring_used_elem e,
                   void (*deliver)(void *arg, struct pkt *p), void *arg)
{
    struct pkt *p = n->rx.pkt[e.id], *fresh = NULL;
    const struct virtio_net_hdr *h = (const struct virtio_net_hdr *)dma_start(p);
    bool good = true;

    /* A frame whose buffer nobody can replace is dropped: the ring stays full. */
    if (rx_fits(n, e.len, h)) {
        fresh = pkt_alloc(n->pool);
        n->rx_dropped += !fresh;
    }
    if (!fresh) {
        rx_post(&n->rx, (uint16_t)e.id, p);
        return;
    }
    p->len = (uint16_t)(e.len - HDR);
    p->flags = 0;
    if (n->dev.features & VIRTIO_NET_F_GUEST_CSUM) {
        if (h->flags & VNET_HDR_NEEDS_CSUM)
            good = pkt_csum_told(p, h->csum_start, h->csum_offset);
        else if (h->flags & VNET_HDR_DATA_VALID)
            p->flags = PKT_CSUM_VALID;
    }
    rx_post(&n->rx, (uint16_t)e.id, fresh);
    if (good) {
        n->rx_packets++;
        deliver(arg, p);
    } else {
        n->rx_errors++;
    }
    pkt_put(n->pool, p);
}

unsigned vnet_receive(struct vnet *n, unsigned budget, void (*deliver)(void *arg, struct pkt *p),
                      void *arg)
{
    if (!n->up)
        return 0;
    unsigned have = vring_pending(&n->rx.r), done = have < budget ? have : budget;
    for (unsigned i = 0; i < done; i++)
        rx_one(n, vq_used(&n->rx), deliver, arg);
    return done;
}

static void tx_reclaim(struct vnet *n)
{
    for (unsigned have = vring_pending(&n->tx.r); have; have--) {
        uint16_t id = (uint16_t)vq_used(&n->tx).id;
        n->tx_held[n->tx.pkt[id]->from]--;
        pkt_put(n->pool, n->tx.pkt[id]);
        n->tx.pkt[id] = NULL;
        n->tx.free[n->tx.nr_free++] = id;
    }
}

void vnet_send(struct vnet *n, struct pkt *p)
{
    if (!n->up)
        return;
    if (!n->tx.nr_free || n->tx_held[p->from] >= n->tx_share)
        tx_reclaim(n);
    if (!n->tx.nr_free || n->tx_held[p->from] >= n->tx_share) {
        n->tx_dropped++;
        return;
    }
    struct virtio_net_hdr *h = (struct virtio_net_hdr *)dma_start(p);
    *h = (struct virtio_net_hdr){ .flags = 0 };
    if (p->flags & PKT_CSUM_BLANK) {
        if (!(n->dev.features & VIRTIO_NET_F_CSUM))
            pkt_csum_fill(p);
        else
            *h = (struct virtio_net_hdr){ .flags = VNET_HDR_NEEDS_CSUM,
                                          .csum_start = p->csum_start,
                                          .csum_offset = p->csum_offset };
    }
    unsigned len = p->len;
    if (len < ETH_MIN) { /* hardware wants whole frames; what lies behind must not be another guest's */
        memset(p->data + len, 0, ETH_MIN - len);
        len = ETH_MIN;
    }
    uint16_t id = n->tx.free[--n->tx.nr_free];
    n->tx.pkt[id] = pkt_get(p);
    n->tx_held[p->from]++;
    n->tx.r.desc[id] = (struct vring_desc){ (uint64_t)dma_start(p), (uint32_t)(HDR + len), 0, 0 };
    vring_post(&n->tx.r, id);
    n->tx_packets++;
}

void vnet_notify(struct vnet *n)
{
    if (!n->up)
        return;
    tx_reclaim(n);
    vring_notify(&n->dev, &n->rx.r);
    vring_notify(&n->dev, &n->tx.r);
}

bool vnet_arm(struct vnet *n)
{
    if (!n->up)
        return false;
    return vring_arm(&n->rx.r);
}

bool vnet_sane(const struct vnet *n)
{
    return !n->up || !(n->dev.common->device_status & VIRTIO_NEEDS_RESET);
}
