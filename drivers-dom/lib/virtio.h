/* SPDX-License-Identifier: MIT */
/*
 * Virtio 1.x over PCI: registers and rings as the specification lays them out ("Virtual I/O Device (VIRTIO) Version 1.1":
 * 2.6 split virtqueues, 4.1 PCI transport), and the transport's interface (virtio_pci.c). What a type of device adds is its
 * driver's (drivers-dom/net/virtio_net.h, drivers-dom/blk/virtio_blk.c).
 *
 * The device is not trusted with indices: what it returns is checked, and nonsense ends this instance.
 */
#pragma once
#include <bh.h>

#define VIRTIO_VENDOR 0x1af4
#define VIRTIO_TYPE_NET \
    1u /* 5: PCI device 0x1040 + type, or 0x1000 + type - 1 for transitional ones of these types */
#define VIRTIO_TYPE_BLK 2u

/* 2.1 device status */
#define VIRTIO_ACKNOWLEDGE 1u
#define VIRTIO_DRIVER      2u
#define VIRTIO_DRIVER_OK   4u
#define VIRTIO_FEATURES_OK 8u
#define VIRTIO_NEEDS_RESET 64u
#define VIRTIO_FAILED      128u

/* 6 feature bits of every type */
#define VIRTIO_F_INDIRECT_DESC   (1ull << 28)
#define VIRTIO_F_EVENT_IDX       (1ull << 29)
#define VIRTIO_F_VERSION_1       (1ull << 32)
#define VIRTIO_F_ACCESS_PLATFORM (1ull << 33)

#define VIRTIO_NO_VECTOR 0xffff

/* 4.1.4.3 */
struct virtio_common {
    uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
    uint16_t msix_config, num_queues;
    uint8_t device_status, config_generation;
    uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
    uint32_t queue_desc_lo, queue_desc_hi, queue_driver_lo, queue_driver_hi, queue_device_lo,
        queue_device_hi;
};
_Static_assert(offsetof(struct virtio_common, device_status) == 20, "4.1.4.3");
_Static_assert(offsetof(struct virtio_common, queue_select) == 22, "4.1.4.3");
_Static_assert(offsetof(struct virtio_common, queue_desc_lo) == 32, "4.1.4.3");
_Static_assert(sizeof(struct virtio_common) == 56, "4.1.4.3");

/* 2.6.5 - 2.6.8; behind the entries of avail lies used_event, behind those of used avail_event */
#define VRING_DESC_NEXT     1u
#define VRING_DESC_WRITE    2u
#define VRING_DESC_INDIRECT 4u
#define VRING_NO_INTERRUPT  1u
#define VRING_NO_NOTIFY     1u
#define VQ_SIZE             256u /* the longest that we make */
struct vring_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};
struct vring_avail {
    uint16_t flags, idx, ring[VQ_SIZE + 1];
};
struct vring_used_elem {
    uint32_t id, len;
};
struct vring_used {
    uint16_t flags, idx;
    struct vring_used_elem ring[VQ_SIZE];
    uint16_t avail_event;
};
_Static_assert(sizeof(struct vring_desc) == 16, "2.6.5");
_Static_assert(sizeof(struct vring_avail) == 6 + 2 * VQ_SIZE, "2.6.6");
_Static_assert(offsetof(struct vring_used, ring) == 4, "2.6.8");
_Static_assert(offsetof(struct vring_used, avail_event) == 4 + 8 * VQ_SIZE, "2.6.8");

/* --- transport (virtio_pci.c) ------------------------------------------------------------------------------- */

struct virtio_dev {
    volatile struct virtio_common *common;
    volatile uint8_t *notify, *devcfg; /* devcfg: NULL if there is none */
    uint32_t notify_len, notify_mult, devcfg_len;
    uint64_t features; /* negotiated */
};

static inline bool virtio_is(const struct bh_pci_info *dev, unsigned type)
{
    return dev->vendor == VIRTIO_VENDOR &&
           (dev->device == 0x1040 + type || dev->device == 0x1000 + type - 1);
}
/* Maps the structures of a device of this type where the core says that they are (BH_SVC_DEVICES): neither pciback nor what a former
 * instance wrote is asked. NULL, or why the device is refused. */
const char *virtio_pci_map(struct virtio_dev *v, const struct bh_pci_info *dev, unsigned type);
/* status = 0 until it reads 0 (4.1.4.3.1), which also ends every DMA of the last driver; bounded. */
bool virtio_reset(struct virtio_dev *v);
/* Acknowledges and negotiates. NULL, or why not. */
const char *virtio_negotiate(struct virtio_dev *v, uint64_t wanted);

/* --- a split virtqueue -------------------------------------------------------------------------------------------- */
struct vring {
    struct vring_desc *desc;
    volatile struct vring_avail *avail;
    volatile struct vring_used *used;
    volatile uint16_t *used_event, *avail_event;
    volatile uint16_t *notify;
    uint16_t index, size, avail_idx, used_idx, notified;
};

/* Makes queue `index` of at most `max` descriptors (a power of two, <= VQ_SIZE) and enables it. NULL, or why not. */
const char *vring_start(struct virtio_dev *v, struct vring *q, uint16_t index, uint16_t max,
                        uint16_t vector);
/* Publishes what was posted and tells the device (rings its doorbell) if it asked for that. */
void vring_notify(const struct virtio_dev *v, struct vring *q);

static inline void vring_post(struct vring *q, uint16_t id)
{
    q->avail->ring[q->avail_idx++ & (q->size - 1)] = id;
}

/* Used elements that have not been taken. */
static inline uint16_t vring_pending(const struct vring *q)
{
    uint16_t n = (uint16_t)(q->used->idx - q->used_idx);

    rmb();
    if (n > q->size)
        bh_panic("the virtio device moved its used index by %u", n);
    return n;
}

/* The next of them, its id below the queue's size. */
static inline struct vring_used_elem vring_next_used(struct vring *q)
{
    volatile const struct vring_used_elem *e = &q->used->ring[q->used_idx & (q->size - 1)];
    struct vring_used_elem copy = { e->id, e->len };

    if (copy.id >= q->size)
        bh_panic("the virtio device returned descriptor %u of %u", copy.id, q->size);
    q->used_idx++;
    return copy;
}

/* Asks for an interrupt with the next used element (2.6.8.2); true: there is one already. */
static inline bool vring_arm(struct vring *q)
{
    *q->used_event = q->used_idx;
    mb(); /* the device sees it, or we see its used index */
    return vring_pending(q) != 0;
}
