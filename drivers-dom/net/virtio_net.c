/* SPDX-License-Identifier: MIT */
/* virtio-net: see virtio_net.h. Section numbers are those of Virtio 1.1. */
#include "virtio_net.h"
#include <string.h>
#include <xen/physdev.h>

#define HDR sizeof(struct virtio_net_hdr)
#define RX_BYTES (PKT_BUF - PKT_HEAD + HDR) /* header and frame, from PKT_HEAD - HDR to the buffer's end */

static uint8_t *dma_start(const struct pkt *p) { return p->data - HDR; }

/* The other side asked to be told when the index passes `event` (2.6.7.2). */
static bool need_event(uint16_t event, uint16_t new, uint16_t old)
{
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

static const char *vq_setup(struct vnet *n, struct vq *q, uint16_t index, uint16_t vector)
{
    volatile struct virtio_common *c = n->dev.common;
    uint8_t *mem = page_alloc(2); /* descriptors; then avail, and used at +1024 */

    if (!mem)
        return "out of memory";
    memset(q, 0, sizeof(*q));
    q->index = index;
    q->desc = (struct vring_desc *)mem;
    q->avail = (struct vring_avail *)(mem + PAGE_SIZE);
    q->used = (struct vring_used *)(mem + PAGE_SIZE + 1024);
    c->queue_select = index;
    if (c->queue_size < VQ_SIZE)
        return "its queues are too short";
    c->queue_size = VQ_SIZE;
    c->queue_msix_vector = vector;
    if (c->queue_msix_vector != vector)
        return "it has no MSI-X vector for us";
    uint64_t off = (uint64_t)c->queue_notify_off * n->dev.notify_mult;
    if (off + 2 > n->dev.notify_len)
        return "its notify address is out of bounds";
    q->notify = (volatile uint16_t *)(n->dev.notify + off);
    c->queue_desc_lo = (uint32_t)(uint64_t)q->desc;
    c->queue_desc_hi = (uint32_t)((uint64_t)q->desc >> 32);
    c->queue_driver_lo = (uint32_t)(uint64_t)q->avail;
    c->queue_driver_hi = (uint32_t)((uint64_t)q->avail >> 32);
    c->queue_device_lo = (uint32_t)(uint64_t)q->used;
    c->queue_device_hi = (uint32_t)((uint64_t)q->used >> 32);
    c->queue_enable = 1;
    return NULL;
}

static void vq_post(struct vq *q, uint16_t id)
{
    q->avail->ring[q->avail_idx++ % VQ_SIZE] = id;
}

/* Publishes what was posted and kicks the device if it asked for that. */
static void vq_kick(struct vnet *n, struct vq *q)
{
    uint16_t old = q->kicked, new = q->avail_idx;

    if (old == new)
        return;
    wmb();
    q->avail->idx = new;
    q->kicked = new;
    mb(); /* the device sees idx, or we see its avail_event */
    bool tell = n->dev.features & VIRTIO_F_EVENT_IDX ? need_event(q->used->avail_event, new, old)
                                                     : !(q->used->flags & VRING_NO_NOTIFY);
    if (tell)
        *q->notify = q->index;
}

static struct vring_used_elem vq_used(struct vq *q)
{
    volatile const struct vring_used_elem *e = &q->used->ring[q->used_idx % VQ_SIZE];
    struct vring_used_elem copy = {e->id, e->len};

    if (copy.id >= VQ_SIZE || !q->pkt[copy.id])
        bh_panic("the NIC returned a descriptor that it does not have (%u)", copy.id);
    q->used_idx++;
    return copy;
}

static uint16_t vq_pending(const struct vq *q)
{
    uint16_t n = (uint16_t)(q->used->idx - q->used_idx);

    rmb();
    if (n > VQ_SIZE)
        bh_panic("the NIC moved its used index by %u", n);
    return n;
}

static void rx_post(struct vq *q, uint16_t id, struct pkt *p)
{
    q->pkt[id] = p;
    q->desc[id] = (struct vring_desc){(uint64_t)dma_start(p), RX_BYTES, VRING_DESC_WRITE, 0};
    vq_post(q, id);
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
    n->tx.avail->flags = VRING_NO_INTERRUPT; /* 2.6.7: without EVENT_IDX; with it there is no vector anyway */
    return NULL;
}

/* MSI-X entry 0, for the receive queue. */
static const char *irq_start(struct vnet *n, event_fn irq, void *arg)
{
    struct physdev_map_pirq m = {
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_MSI, .index = -1, .pirq = -1,
        .bus = (int)(n->sbdf >> 16 << 16 | (n->sbdf >> 8 & 0xff)), .devfn = (int)(n->sbdf & 0xff), .entry_nr = 0,
    };

    if (hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, (uint64_t)&m, 0, 0))
        return "its interrupt cannot be mapped";
    return event_bind_pirq((uint32_t)m.pirq, irq, arg) < 0 ? "its interrupt cannot be bound" : NULL;
}

static const char *start(struct vnet *n, event_fn irq, void *arg)
{
    struct bh_dma_enable dma = {.sbdf = n->sbdf, .enable = 1};
    const uint64_t wanted = VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_F_EVENT_IDX;

    /* Only now is every DMA of a former instance over. */
    if (!virtio_reset(&n->dev))
        return "it does not reset";
    if (bh_service(BH_SVC_DMA_ENABLE, &dma))
        return "DMA was refused";
    const char *why = virtio_negotiate(&n->dev, wanted);
    if (!why)
        why = irq_start(n, irq, arg);
    n->dev.common->msix_config = VIRTIO_NO_VECTOR;
    if (!why)
        why = queues_start(n);
    if (why) {
        n->dev.common->device_status = VIRTIO_FAILED;
        return why;
    }
    n->dev.common->device_status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK;
    n->up = true;
    return NULL;
}

const char *vnet_start(struct vnet *n, const struct keep_nic *k, struct pkt_pool *pool, event_fn irq, void *arg)
{
    memset(n, 0, sizeof(*n));
    n->pool = pool;
    n->sbdf = k->sbdf;
    if (!virtio_pci_map(&n->dev, k))
        return "its registers cannot be mapped";
    const char *why = start(n, irq, arg);
    if (why)
        return why;
    vnet_kick(n);
    return NULL;
}

static void rx_one(struct vnet *n, struct vring_used_elem e, void (*deliver)(void *arg, struct pkt *p), void *arg)
{
    struct pkt *p = n->rx.pkt[e.id], *fresh = NULL;
    const struct virtio_net_hdr *h = (const struct virtio_net_hdr *)dma_start(p);

    /* A frame whose buffer nobody can replace is dropped: the ring stays full. */
    if (e.len >= HDR + ETH_HLEN && e.len <= HDR + FRAME_MAX)
        fresh = pkt_alloc(n->pool);
    if (!fresh) {
        n->rx_dropped++;
        rx_post(&n->rx, (uint16_t)e.id, p);
        return;
    }
    p->len = (uint16_t)(e.len - HDR);
    p->flags = 0;
    if (n->dev.features & VIRTIO_NET_F_GUEST_CSUM) {
        if (h->flags & VNET_HDR_NEEDS_CSUM)
            p->flags = PKT_CSUM_BLANK | PKT_CSUM_VALID;
        else if (h->flags & VNET_HDR_DATA_VALID)
            p->flags = PKT_CSUM_VALID;
    }
    rx_post(&n->rx, (uint16_t)e.id, fresh);
    n->rx_packets++;
    deliver(arg, p);
    pkt_put(n->pool, p);
}

unsigned vnet_receive(struct vnet *n, unsigned budget, void (*deliver)(void *arg, struct pkt *p), void *arg)
{
    if (!n->up)
        return 0;
    unsigned have = vq_pending(&n->rx), done = have < budget ? have : budget;
    for (unsigned i = 0; i < done; i++)
        rx_one(n, vq_used(&n->rx), deliver, arg);
    return done;
}

static void tx_reclaim(struct vnet *n)
{
    for (unsigned have = vq_pending(&n->tx); have; have--) {
        uint16_t id = (uint16_t)vq_used(&n->tx).id;
        pkt_put(n->pool, n->tx.pkt[id]);
        n->tx.pkt[id] = NULL;
        n->tx.free[n->tx.nr_free++] = id;
    }
}

void vnet_send(struct vnet *n, struct pkt *p)
{
    bool v6;

    if (!n->up)
        return;
    struct virtio_net_hdr *h = (struct virtio_net_hdr *)dma_start(p);
    *h = (struct virtio_net_hdr){.flags = 0};
    if (p->flags & PKT_CSUM_BLANK) {
        bool offload = n->dev.features & VIRTIO_NET_F_CSUM;
        if (!(offload ? pkt_csum_find(p, &v6) : pkt_csum_fill(p))) {
            n->tx_dropped++;
            return;
        }
        if (offload)
            *h = (struct virtio_net_hdr){.flags = VNET_HDR_NEEDS_CSUM, .csum_start = p->csum_start, .csum_offset = p->csum_offset};
    }
    if (!n->tx.nr_free)
        tx_reclaim(n);
    if (!n->tx.nr_free) {
        n->tx_dropped++;
        return;
    }
    unsigned len = p->len;
    if (len < ETH_MIN) { /* hardware wants whole frames; what lies behind must not be another guest's */
        memset(p->data + len, 0, ETH_MIN - len);
        len = ETH_MIN;
    }
    uint16_t id = n->tx.free[--n->tx.nr_free];
    n->tx.pkt[id] = pkt_get(p);
    n->tx.desc[id] = (struct vring_desc){(uint64_t)dma_start(p), (uint32_t)(HDR + len), 0, 0};
    vq_post(&n->tx, id);
    n->tx_packets++;
}

void vnet_kick(struct vnet *n)
{
    if (!n->up)
        return;
    tx_reclaim(n);
    vq_kick(n, &n->rx);
    vq_kick(n, &n->tx);
}

bool vnet_arm(struct vnet *n)
{
    if (!n->up)
        return false;
    n->rx.avail->used_event = n->rx.used_idx; /* 2.6.8.2: interrupt once it passes this */
    mb();                                     /* the device sees it, or we see its used index */
    return vq_pending(&n->rx) != 0;
}

bool vnet_sane(const struct vnet *n)
{
    return !n->up || !(n->dev.common->device_status & VIRTIO_NEEDS_RESET);
}
