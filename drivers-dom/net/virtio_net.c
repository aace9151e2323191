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
        n->tx.free[n->tx.nr_free++] = i;
        if (i >= VQ_SIZE >> n->nic.shift)
            continue;
        struct pkt *p = pkt_alloc(n->nic.pool);
        if (!p)
            return "out of buffers";
        rx_post(&n->rx, i, p);
    }
    n->tx.r.avail->flags = VRING_NO_INTERRUPT; /* 2.6.7: without EVENT_IDX; with it there is no vector anyway */
    return NULL;
}

static void config_changed(uint32_t port, void *arg)
{
    (void)port;
    ((struct vnet *)arg)->link_news = true;
}

/* An interrupt of its own for that, so that none of a frame's reads what the device says. Without it there is no news. */
static void link_start(struct vnet *n)
{
    n->dev.common->msix_config = VIRTIO_NO_VECTOR;
    n->link_news = n->dev.features & VIRTIO_NET_F_STATUS && n->dev.devcfg_len >= VNET_STATUS + 2 &&
                   !pci_irq_bind(n->nic.sbdf, 1, config_changed, n);
    if (n->link_news)
        n->dev.common->msix_config = 1;
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
    const uint64_t large = VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_ECN;
    const uint64_t wanted = VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MRG_RXBUF |
                            VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 |
                            VIRTIO_NET_F_HOST_ECN | VIRTIO_NET_F_STATUS | VIRTIO_NET_F_MTU |
                            VIRTIO_NET_F_MAC | VIRTIO_F_EVENT_IDX;

    /* Only now is every DMA of a former instance over. */
    if (!virtio_reset(&n->dev))
        return "it does not reset";
    if (bh_svc_dma_enable(&dma))
        return "DMA was refused";
    const char *why = virtio_negotiate(&n->dev, wanted | large);
    /* Without mergeable buffers large frames would want large ones (5.1.6.3.1). */
    if (!why && n->dev.features & large && !(n->dev.features & VIRTIO_NET_F_MRG_RXBUF))
        why = virtio_reset(&n->dev) ? virtio_negotiate(&n->dev, wanted) : "it does not reset";
    if (!why)
        why = pci_irq_bind(n->nic.sbdf, 0, irq, arg); /* MSI-X entry 0, for the receive queue */
    if (!why) {
        link_start(n);
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

/* The device says what its wire has, or nobody does. Without mergeable buffers a frame is in one. */
static void mtu_find(struct vnet *n)
{
    struct nic *nic = &n->nic;

    nic->mtu = WIRE_MTU;
    nic->mtu_max = UINT16_MAX;
    if (n->dev.features & VIRTIO_NET_F_MTU && n->dev.devcfg_len >= VNET_MTU + 2) {
        uint16_t said = *(volatile uint16_t *)(n->dev.devcfg + VNET_MTU);
        nic->mtu = nic->mtu_max = said > VNET_MTU_MIN ? said : VNET_MTU_MIN;
    }
    if (!(n->dev.features & VIRTIO_NET_F_MRG_RXBUF)) {
        nic->mtu_max = PKT_BUF - PKT_HEAD - WIRE_HEAD;
        nic_set_mtu(nic, nic->mtu);
    }
}

static const char *vnet_start(struct nic *nic, const struct bh_pci_info *dev, event_fn irq, void *arg)
{
    struct vnet *n = vnet_of(nic);
    const char *why = virtio_pci_map(&n->dev, dev, VIRTIO_TYPE_NET);

    n->rx_rest = 0;
    n->rx_frame = NULL;
    if (!why)
        why = start(n, irq, arg);
    if (why)
        return why;
    mtu_find(n);
    for (unsigned i = 0; n->dev.features & VIRTIO_NET_F_MAC && i < sizeof(nic->mac); i++)
        nic->mac[i] = i < n->dev.devcfg_len ? n->dev.devcfg[i] : 0;
    nic->tx_size = VQ_SIZE;
    nic->can = NIC_SCATTER | (n->dev.features & VIRTIO_NET_F_CSUM ? NIC_CSUM : 0) |
               (n->dev.features & VIRTIO_NET_F_HOST_TSO4 ? NIC_TSO4 : 0) |
               (n->dev.features & VIRTIO_NET_F_HOST_TSO6 ? NIC_TSO6 : 0) |
               (n->dev.features & VIRTIO_NET_F_HOST_ECN ? NIC_TSO_ECN : 0);
    return NULL;
}

/* --- receive ------------------------------------------------------------------------------------------------ */

/* A frame begins, in so many buffers (5.1.6.4). */
static void rx_begins(struct vnet *n, const struct pkt *p, uint32_t len)
{
    const struct virtio_net_hdr *h = (const struct virtio_net_hdr *)dma_start(p);
    unsigned parts = len >= HDR && n->dev.features & VIRTIO_NET_F_MRG_RXBUF ? h->num_buffers : 1;

    if (!parts || parts > VQ_SIZE)
        bh_panic("the NIC says that a frame is in %u buffers", parts);
    n->rx_rest = (uint16_t)parts;
    n->rx_frame = NULL;
}

/* What is of no use is dropped, whole, and counted once. */
static void rx_drop(struct vnet *n, uint64_t *counter)
{
    (*counter)++;
    if (n->rx_frame)
        pkt_put(n->nic.pool, n->rx_frame);
    n->rx_frame = NULL;
}

/* What the header says of checksum and segments. false: nothing that there can be. */
static bool rx_header(const struct vnet *n, struct pkt *p)
{
    const struct virtio_net_hdr *h = (const struct virtio_net_hdr *)dma_start(p);
    unsigned kind = h->gso_type & ~VNET_GSO_ECN;
    bool blank = n->dev.features & VIRTIO_NET_F_GUEST_CSUM && h->flags & VNET_HDR_NEEDS_CSUM;

    p->flags = 0;
    p->gso = kind == VNET_GSO_TCP4 && n->dev.features & VIRTIO_NET_F_GUEST_TSO4   ? PKT_GSO_TCP4
             : kind == VNET_GSO_TCP6 && n->dev.features & VIRTIO_NET_F_GUEST_TSO6 ? PKT_GSO_TCP6
                                                                                  : PKT_WHOLE;
    p->gso_size = h->gso_size;
    if (kind && (!p->gso || !blank || p->gso_size < GSO_MIN))
        return false;
    if (blank)
        return pkt_csum_told(p, h->csum_start, h->csum_offset);
    if (n->dev.features & VIRTIO_NET_F_GUEST_CSUM && h->flags & VNET_HDR_DATA_VALID)
        p->flags = PKT_CSUM_VALID;
    return true;
}

/* The frame is there: true, or it is dropped. */
static bool rx_whole(struct vnet *n)
{
    struct pkt *p = n->rx_frame;

    if (!p)
        return false;
    const struct virtio_net_hdr *h = (const struct virtio_net_hdr *)dma_start(p);
    bool cut = h->gso_type & ~VNET_GSO_ECN;
    pkt_pull(n->nic.pool, p);
    if (pkt_len(p) < ETH_HLEN ||
        (cut ? h->gso_size > n->nic.mtu : pkt_len(p) > nic_frame_max(&n->nic))) {
        rx_drop(n, &n->nic.rx_length);
        return false;
    }
    if (!rx_header(n, p)) {
        rx_drop(n, &n->nic.rx_errors);
        return false;
    }
    return true;
}

static void rx_one(struct vnet *n, struct vring_used_elem e, nic_deliver *deliver, void *arg)
{
    struct pkt *p = n->rx.pkt[e.id], *fresh = NULL;
    bool first = !n->rx_rest;

    if (e.len > RX_BYTES || (!first && !e.len))
        bh_panic("the NIC says that it wrote %u bytes into a buffer of %u", e.len,
                 (unsigned)RX_BYTES);
    if (first)
        rx_begins(n, p, e.len);
    n->rx_rest--;
    /* A buffer that nobody can replace is not taken: the ring stays full. */
    if (first && e.len < HDR)
        rx_drop(n, &n->nic.rx_length);
    else if (first || n->rx_frame) {
        fresh = pkt_alloc(n->nic.pool);
        if (!fresh)
            rx_drop(n, &n->nic.rx_dropped);
    }
    rx_post(&n->rx, (uint16_t)e.id, fresh ? fresh : p);
    if (fresh && first) {
        p->len = (uint16_t)(e.len - HDR);
        n->rx_frame = n->rx_last = p;
    } else if (fresh) {
        p->data -= HDR; /* no header in this one */
        p->len = (uint16_t)e.len;
        pkt_append(n->rx_frame, n->rx_last, p);
        n->rx_last = p;
    }
    if (n->rx_frame && (pkt_len(n->rx_frame) > FRAME_MAX || n->rx_frame->nr > PKT_BUFS))
        rx_drop(n, &n->nic.rx_length);
    if (n->rx_rest || !rx_whole(n))
        return;
    n->nic.rx_packets++;
    p = n->rx_frame;
    n->rx_frame = NULL;
    deliver(arg, p);
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

/* --- transmit ----------------------------------------------------------------------------------------------- */

static void vnet_reclaim(struct nic *nic)
{
    struct vq *q = &vnet_of(nic)->tx;

    for (unsigned have = vring_pending(&q->r); have; have--) {
        uint16_t id = (uint16_t)vq_used(q).id;
        struct pkt *p = q->pkt[id];
        q->pkt[id] = NULL;
        for (unsigned i = 0; i < p->nr; i++, id = q->next[id])
            q->free[q->nr_free++] = id;
        nic_sent(nic, p);
    }
}

static void tx_header(struct virtio_net_hdr *h, const struct pkt *p)
{
    *h = (struct virtio_net_hdr){ .flags = 0 };
    if (!(p->flags & PKT_CSUM_BLANK))
        return;
    h->flags = VNET_HDR_NEEDS_CSUM;
    h->csum_start = p->csum_start;
    h->csum_offset = p->csum_offset;
    if (!p->gso)
        return;
    h->gso_type = p->gso == PKT_GSO_TCP6 ? VNET_GSO_TCP6 : VNET_GSO_TCP4;
    if (p->data[p->csum_start + 13] & TCP_CWR)
        h->gso_type |= VNET_GSO_ECN;
    h->gso_size = p->gso_size;
    h->hdr_len = p->hdr_len;
}

/* A descriptor for each buffer, the header before the first one. */
static void vnet_send(struct nic *nic, struct pkt *p)
{
    struct vq *q = &vnet_of(nic)->tx;
    uint16_t head = q->free[q->nr_free - 1u], id = head;
    uint8_t *from = dma_start(p);
    uint32_t len = (uint32_t)HDR + (p->next ? p->len : nic_wire_len(p));

    tx_header((struct virtio_net_hdr *)from, p);
    q->pkt[head] = p;
    for (const struct pkt *b = p->next;; b = b->next) {
        q->nr_free--;
        q->next[id] = b ? q->free[q->nr_free - 1u] : id;
        q->r.desc[id] = (struct vring_desc){ (uint64_t)from, len, b ? VRING_DESC_NEXT : 0,
                                             b ? q->next[id] : (uint16_t)0 };
        if (!b)
            break;
        id = q->next[id];
        from = b->data;
        len = b->len;
    }
    vring_post(&q->r, head);
}

static void vnet_notify(struct nic *nic)
{
    struct vnet *n = vnet_of(nic);

    vring_notify(&n->dev, &n->rx.r);
    vring_notify(&n->dev, &n->tx.r);
}

static bool vnet_arm(struct nic *nic)
{
    struct vnet *n = vnet_of(nic);

    if (n->link_news) {
        n->link_news = false;
        nic->no_link = !(*(volatile uint16_t *)(n->dev.devcfg + VNET_STATUS) & VNET_LINK_UP);
    }
    return vring_arm(&n->rx.r);
}

static bool vnet_sane(struct nic *nic)
{
    return !(vnet_of(nic)->dev.common->device_status & VIRTIO_NEEDS_RESET);
}

const struct nic_ops virtio_net = { .name = "virtio-net",
                                    .start = vnet_start,
                                    .receive = vnet_receive,
                                    .send = vnet_send,
                                    .reclaim = vnet_reclaim,
                                    .notify = vnet_notify,
                                    .arm = vnet_arm,
                                    .sane = vnet_sane };
