/* SPDX-License-Identifier: MIT */
/* virtio-net: see virtio_net.h. Section numbers are those of Virtio 1.1. */
#include "virtio_net.h"
#include <device.h>
#include <string.h>

#define HDR sizeof(struct virtio_net_hdr)
#define RX_BYTES \
    (PKT_BUF - PKT_HEAD + HDR) /* header and frame, from PKT_HEAD - HDR to the buffer's end */

_Static_assert(!offsetof(struct vnet, nic), "a driver's own begins with its nic");
static struct vnet *vnet_of(struct nic *n) { return (struct vnet *)n; }
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
        struct pkt *p = pkt_alloc(n->nic.pool);
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
    struct bh_dma_enable dma = { .sbdf = n->nic.sbdf, .enable = 0 };

    n->dev.common->device_status = 0;
    bh_svc_dma_enable(&dma);
    n->dev.common->device_status = VIRTIO_FAILED;
}

static const char *start(struct vnet *n, event_fn irq, void *arg)
{
    struct bh_dma_enable dma = { .sbdf = n->nic.sbdf, .enable = 1 };
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
        why = pci_irq_bind(n->nic.sbdf, 0, irq, arg); /* MSI-X entry 0, for the receive queue */
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
    return NULL;
}

static const char *vnet_start(struct nic *nic, const struct bh_pci_info *dev, event_fn irq, void *arg)
{
    struct vnet *n = vnet_of(nic);
    const char *why = virtio_pci_map(&n->dev, dev, VIRTIO_TYPE_NET);

    n->rx_rest = 0;
    if (!why)
        why = start(n, irq, arg);
    if (why)
        return why;
    nic->mtu = WIRE_MTU;
    nic->tx_size = VQ_SIZE;
    nic->can = n->dev.features & VIRTIO_NET_F_CSUM ? NIC_CSUM : 0;
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
    n->nic.rx_length++;
    return false;
}

static void rx_one(struct vnet *n, struct vring_used_elem e, nic_deliver *deliver, void *arg)
{
    struct pkt *p = n->rx.pkt[e.id], *fresh = NULL;
    const struct virtio_net_hdr *h = (const struct virtio_net_hdr *)dma_start(p);
    bool good = true;

    /* A frame whose buffer nobody can replace is dropped: the ring stays full. */
    if (rx_fits(n, e.len, h)) {
        fresh = pkt_alloc(n->nic.pool);
        n->nic.rx_dropped += !fresh;
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
        n->nic.rx_packets++;
        deliver(arg, p);
    } else {
        n->nic.rx_errors++;
    }
    pkt_put(n->nic.pool, p);
}

static unsigned vnet_receive(struct nic *nic, unsigned budget, nic_deliver *deliver, void *arg)
{
    struct vnet *n = vnet_of(nic);
    unsigned have = vring_pending(&n->rx.r), done = have < budget ? have : budget;

    for (unsigned i = 0; i < done; i++)
        rx_one(n, vq_used(&n->rx), deliver, arg);
    return done;
}

static void vnet_reclaim(struct nic *nic)
{
    struct vq *q = &vnet_of(nic)->tx;

    for (unsigned have = vring_pending(&q->r); have; have--) {
        uint16_t id = (uint16_t)vq_used(q).id;
        nic_sent(nic, q->pkt[id]);
        q->pkt[id] = NULL;
        q->free[q->nr_free++] = id;
    }
}

static void vnet_send(struct nic *nic, struct pkt *p)
{
    struct vq *q = &vnet_of(nic)->tx;
    struct virtio_net_hdr *h = (struct virtio_net_hdr *)dma_start(p);
    uint16_t id = q->free[--q->nr_free];

    *h = (struct virtio_net_hdr){ .flags = 0 };
    if (p->flags & PKT_CSUM_BLANK)
        *h = (struct virtio_net_hdr){ .flags = VNET_HDR_NEEDS_CSUM,
                                      .csum_start = p->csum_start,
                                      .csum_offset = p->csum_offset };
    q->pkt[id] = p;
    q->r.desc[id] = (struct vring_desc){ (uint64_t)h, (uint32_t)(HDR + nic_wire_len(p)), 0, 0 };
    vring_post(&q->r, id);
}

static void vnet_notify(struct nic *nic)
{
    struct vnet *n = vnet_of(nic);

    vring_notify(&n->dev, &n->rx.r);
    vring_notify(&n->dev, &n->tx.r);
}

static bool vnet_arm(struct nic *nic) { return vring_arm(&vnet_of(nic)->rx.r); }

static bool vnet_sane(const struct nic *nic)
{
    return !(((const struct vnet *)nic)->dev.common->device_status & VIRTIO_NEEDS_RESET);
}

const struct nic_ops virtio_net = { .name = "virtio-net",
                                    .start = vnet_start,
                                    .receive = vnet_receive,
                                    .send = vnet_send,
                                    .reclaim = vnet_reclaim,
                                    .notify = vnet_notify,
                                    .arm = vnet_arm,
                                    .sane = vnet_sane };
