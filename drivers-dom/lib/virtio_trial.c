/* SPDX-License-Identifier: MIT */
/* The trial of an IOMMU unit by a virtio device: the ring in which it says what it has done is the target. Sections: Virtio 1.1. */
#include <string.h>
#include <trial.h>

#define RING 4u
enum { PAGE_DESC, PAGE_AVAIL, PAGE_DATA, PAGES };

struct tried {
    struct virtio_dev v;
    volatile uint16_t *notify;
    const struct virtio_request *req;
};

static struct vring_avail *avail(const struct trial *t)
{
    return (void *)(t->pages + PAGE_AVAIL * PAGE_SIZE);
}

static void put64(volatile uint32_t *half, uint64_t v)
{
    half[0] = (uint32_t)v;
    half[1] = (uint32_t)(v >> 32);
}

/* 4.1.5.1.3 */
static const char *queue(struct tried *d, const struct trial *t)
{
    volatile struct virtio_common *c = d->v.common;

    c->msix_config = VIRTIO_NO_VECTOR;
    c->queue_select = d->req->queue;
    if (c->queue_size < RING)
        return "its queue is too short";
    uint64_t off = (uint64_t)c->queue_notify_off * d->v.notify_mult;
    if (off + 2 > d->v.notify_len)
        return "its notify address is out of bounds";
    d->notify = (volatile uint16_t *)(d->v.notify + off);
    c->queue_size = RING;
    c->queue_msix_vector = VIRTIO_NO_VECTOR;
    put64(&c->queue_desc_lo, t->window + PAGE_DESC * PAGE_SIZE);
    put64(&c->queue_driver_lo, t->window + PAGE_AVAIL * PAGE_SIZE);
    put64(&c->queue_device_lo, t->target);
    c->queue_enable = 1;
    return NULL;
}

static bool reset(void *dev) { return virtio_reset(&((struct tried *)dev)->v); }

static const char *ready(void *dev, const struct trial *t)
{
    struct tried *d = dev;
    struct vring_desc *desc = (void *)t->pages;
    const char *why = virtio_negotiate(&d->v, 0);

    if (!why)
        why = queue(d, t);
    if (why)
        return why;
    memcpy(t->pages + PAGE_DATA * PAGE_SIZE, d->req->data, sizeof(d->req->data));
    for (unsigned i = 0; i < d->req->nr; i++) {
        desc[i] = d->req->desc[i];
        desc[i].addr += t->window + PAGE_DATA * PAGE_SIZE;
    }
    avail(t)->flags = VRING_NO_INTERRUPT;
    wmb();
    d->v.common->device_status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK |
                                 VIRTIO_DRIVER_OK;
    return NULL;
}

static void request(void *dev, const struct trial *t, unsigned n)
{
    struct tried *d = dev;

    avail(t)->ring[n] = 0;
    wmb();
    avail(t)->idx = (uint16_t)(n + 1);
    mb();
    *d->notify = d->req->queue;
}

static bool gave_up(void *dev)
{
    return ((struct tried *)dev)->v.common->device_status & VIRTIO_NEEDS_RESET;
}

const char *virtio_trial(const struct bh_pci_info *dev, unsigned type,
                         const struct virtio_request *req)
{
    static const struct trial_ops ops = {
        .nr_pages = PAGES, .reset = reset, .ready = ready, .write = request, .gave_up = gave_up
    };
    struct tried d = { .req = req };
    const char *why = virtio_pci_map(&d.v, dev, type);

    return why ? why : dma_trial(dev->sbdf, &ops, &d);
}
