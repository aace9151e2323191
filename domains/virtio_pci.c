/* SPDX-License-Identifier: MIT */
/*
 * The PCI transport of a modern virtio device. Configuration space is pciback's: we get a snapshot of it once, as text in the
 * store, and keep what it said; everything else is memory in the device's BARs.
 */
#include <virtio.h>
#include <string.h>

#define RESET_BOUND_NS 100000000ull

#define PCI_STATUS   0x06 /* bit 4: there is a capability list */
#define PCI_CAP_PTR  0x34
#define PCI_CAP_VNDR 0x09
#define CFG_SIZE     256u

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* One vendor capability (4.1.4): cap_len, type, BAR, offset and length in it. 0: not in a memory BAR that we have. */
static uint64_t structure(const uint8_t *cap, const struct bh_pci_info *dev, uint32_t min, uint32_t *len)
{
    uint8_t bar = cap[4];
    uint64_t off = le32(cap + 8), n = le32(cap + 12);

    if (bar >= ARRAY_SIZE(dev->bar) || !(dev->bar[bar].flags & 1) || !dev->bar[bar].gpa)
        return 0;
    if (n < min || off + n > dev->bar[bar].size || (off & 3))
        return 0;
    *len = (uint32_t)n;
    return dev->bar[bar].gpa + off;
}

const char *virtio_pci_parse(const uint8_t *cfg, const struct bh_pci_info *dev, unsigned type, struct virtio_regs *out)
{
    unsigned vendor = cfg[0] | cfg[1] << 8, device = cfg[2] | cfg[3] << 8;
    uint32_t len;

    memset(out, 0, sizeof(*out));
    if (vendor != VIRTIO_VENDOR || (device != 0x1040 + type && device != 0x1000 + type - 1))
        return "not a virtio device of this type";
    if (!(cfg[PCI_STATUS] & 0x10))
        return "no capability list";
    /* A list cannot have more entries than 4-byte places: a loop ends here. */
    unsigned at = cfg[PCI_CAP_PTR] & 0xfcu;
    for (unsigned n = 0; at >= 0x40 && n < CFG_SIZE / 4; n++, at = cfg[at + 1] & 0xfcu) {
        const uint8_t *cap = cfg + at;
        if (cap[0] != PCI_CAP_VNDR || at + 16 > CFG_SIZE || cap[2] < 16)
            continue;
        /* The first of a kind that we can use counts (4.1.4.1). */
        if (cap[3] == VIRTIO_CAP_COMMON && !out->common) {
            out->common = structure(cap, dev, sizeof(struct virtio_common), &len);
        } else if (cap[3] == VIRTIO_CAP_NOTIFY && !out->notify && cap[2] >= 20 && at + 20 <= CFG_SIZE) {
            out->notify = structure(cap, dev, 2, &out->notify_len);
            out->notify_mult = le32(cap + 16);
        } else if (cap[3] == VIRTIO_CAP_DEVICE && !out->devcfg) {
            out->devcfg = structure(cap, dev, 6, &out->devcfg_len);
        }
    }
    if (!out->common || !out->notify)
        return "no modern virtio structures (disable-legacy=on?)";
    return NULL;
}

static bool in_a_bar(const struct bh_pci_info *dev, uint64_t at, uint64_t len)
{
    for (unsigned i = 0; i < ARRAY_SIZE(dev->bar); i++) {
        const struct bh_pci_bar *b = &dev->bar[i];
        if ((b->flags & 1) && b->gpa && at >= b->gpa && len <= b->size && at - b->gpa <= b->size - len)
            return true;
    }
    return false;
}

bool virtio_pci_matches(const struct virtio_regs *r, const struct bh_pci_info *dev)
{
    return in_a_bar(dev, r->common, sizeof(struct virtio_common)) && in_a_bar(dev, r->notify, r->notify_len) &&
           (!r->devcfg || in_a_bar(dev, r->devcfg, r->devcfg_len));
}

bool virtio_pci_map(struct virtio_dev *v, const struct virtio_regs *r)
{
    v->common = mmio_map(r->common, sizeof(struct virtio_common));
    v->notify = mmio_map(r->notify, r->notify_len);
    v->devcfg = r->devcfg ? mmio_map(r->devcfg, r->devcfg_len) : NULL;
    v->notify_len = r->notify_len;
    v->notify_mult = r->notify_mult;
    v->devcfg_len = v->devcfg ? r->devcfg_len : 0;
    return v->common && v->notify;
}

bool virtio_reset(struct virtio_dev *v)
{
    uint64_t end = now_ns() + RESET_BOUND_NS;

    v->common->device_status = 0;
    while (v->common->device_status) {
        if (now_ns() > end)
            return false;
        __builtin_ia32_pause();
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

const char *vring_start(struct virtio_dev *v, struct vring *q, uint16_t index, uint16_t max, uint16_t vector)
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

void vring_kick(const struct virtio_dev *v, struct vring *q)
{
    uint16_t old = q->kicked, new = q->avail_idx;

    if (old == new)
        return;
    wmb();
    q->avail->idx = new;
    q->kicked = new;
    mb(); /* the device sees idx, or we see its avail_event */
    bool tell = v->features & VIRTIO_F_EVENT_IDX ? need_event(*q->avail_event, new, old) : !(q->used->flags & VRING_NO_NOTIFY);
    if (tell)
        *q->notify = q->index;
}
