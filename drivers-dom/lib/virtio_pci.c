/* SPDX-License-Identifier: MIT */
/* The PCI transport of a modern virtio device: memory in the device's BARs, where the core says. Configuration space is pciback's. */
#include <virtio.h>
#include <device.h>
#include <string.h>

#define RESET_BOUND_NS (100 * NS_PER_MS)

const char *virtio_pci_map(struct virtio_dev *v, const struct bh_pci_info *dev, unsigned type)
{
    const struct bh_pci_virtio *s = &dev->virtio;

    memset(v, 0, sizeof(*v));
    if (!virtio_is(dev, type))
        return "not a virtio device of this type";
    if (!s->common || s->common_len < sizeof(struct virtio_common) || !s->notify)
        return "no modern virtio structures (disable-legacy=on?)";
    v->common = mmio_map(s->common, sizeof(struct virtio_common));
    v->notify = mmio_map(s->notify, s->notify_len);
    v->devcfg = s->device ? mmio_map(s->device, s->device_len) : NULL;
    v->notify_len = s->notify_len;
    v->notify_mult = s->notify_mult;
    v->devcfg_len = v->devcfg ? s->device_len : 0;
    return v->common && v->notify ? NULL : "its registers cannot be mapped";
}

bool virtio_reset(struct virtio_dev *v)
{
    uint64_t start = now_ns();

    v->common->device_status = 0;
    while (v->common->device_status) {
        if (now_ns() - start > RESET_BOUND_NS)
            return false;
        device_pause(start);
    }
    return true;
}

const char *virtio_negotiate(struct virtio_dev *v, uint64_t wanted)
{
    volatile struct virtio_common *c = v->common;
    uint64_t offered;

    c->device_status = VIRTIO_ACKNOWLEDGE;
    c->device_status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER;
    c->device_feature_select = 0;
    offered = c->device_feature;
    c->device_feature_select = 1;
    offered |= (uint64_t)c->device_feature << 32;
    if (!(offered & VIRTIO_F_VERSION_1))
        return "it has no VIRTIO_F_VERSION_1 (legacy device)";
    if (!(offered & VIRTIO_F_ACCESS_PLATFORM))
        return "it has no VIRTIO_F_ACCESS_PLATFORM: its DMA would go round the IOMMU (iommu_platform=on?)";
    v->features = offered & (wanted | VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM);
    c->driver_feature_select = 0;
    c->driver_feature = (uint32_t)v->features;
    c->driver_feature_select = 1;
    c->driver_feature = (uint32_t)(v->features >> 32);
    c->device_status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK;
    if (!(c->device_status & VIRTIO_FEATURES_OK))
        return "it refuses the features that it offered";
    return NULL;
}

/* --- queues ------------------------------------------------------------------------------------------------------- */

static void queue_addresses(volatile struct virtio_common *c, const struct vring *q)
{
    c->queue_desc_lo = (uint32_t)(uint64_t)q->desc;
    c->queue_desc_hi = (uint32_t)((uint64_t)q->desc >> 32);
    c->queue_driver_lo = (uint32_t)(uint64_t)q->avail;
    c->queue_driver_hi = (uint32_t)((uint64_t)q->avail >> 32);
    c->queue_device_lo = (uint32_t)(uint64_t)q->used;
    c->queue_device_hi = (uint32_t)((uint64_t)q->used >> 32);
}

const char *vring_start(struct virtio_dev *v, struct vring *q, uint16_t index, uint16_t max,
                        uint16_t vector)
{
    volatile struct virtio_common *c = v->common;
    uint8_t *mem = page_alloc(2); /* descriptors; then avail, and used at +1024 */

    if (!mem)
        return "out of memory";
    memset(q, 0, sizeof(*q));
    c->queue_select = index;
    uint16_t has = c->queue_size; /* the longest it takes, 0: no such queue (4.1.4.3) */
    q->size = max;
    while (q->size > has)
        q->size >>= 1;
    if (!q->size)
        return "it has no such queue";
    q->index = index;
    q->desc = (struct vring_desc *)mem;
    q->avail = (struct vring_avail *)(mem + PAGE_SIZE);
    q->used = (struct vring_used *)(mem + PAGE_SIZE + 1024);
    q->used_event = &q->avail->ring[q->size];
    q->avail_event = (volatile uint16_t *)&q->used->ring[q->size];
    c->queue_size = q->size;
    c->queue_msix_vector = vector;
    if (c->queue_msix_vector != vector)
        return "it has no MSI-X vector for us";
    uint64_t off = (uint64_t)c->queue_notify_off * v->notify_mult;
    if (off + 2 > v->notify_len)
        return "its notify address is out of bounds";
    q->notify = (volatile uint16_t *)(v->notify + off);
    queue_addresses(c, q);
    c->queue_enable = 1;
    return NULL;
}

/* The other side asked to be told when the index passes `event` (2.6.7.2). */
static bool need_event(uint16_t event, uint16_t new, uint16_t old)
{
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

void vring_notify(const struct virtio_dev *v, struct vring *q)
{
    uint16_t old = q->notified, new = q->avail_idx;

    if (old == new)
        return;
    wmb();
    q->avail->idx = new;
    q->notified = new;
    mb(); /* the device sees idx, or we see its avail_event */
    bool tell = v->features & VIRTIO_F_EVENT_IDX ? need_event(*q->avail_event, new, old)
                                                 : !(q->used->flags & VRING_NO_NOTIFY);
    if (tell)
        *q->notify = q->index;
}
