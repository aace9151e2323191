/* SPDX-License-Identifier: MIT */
/*
 * The PCI transport of a modern virtio device. Configuration space is pciback's: we get a snapshot of it once, as text in the
 * store, and keep what it said; everything else is memory in the device's BARs.
 */
#include "virtio.h"
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

const char *virtio_pci_parse(const uint8_t *cfg, const struct bh_pci_info *dev, struct keep_nic *out)
{
    uint16_t vendor = (uint16_t)(cfg[0] | cfg[1] << 8), device = (uint16_t)(cfg[2] | cfg[3] << 8);
    uint32_t len;

    memset(out, 0, sizeof(*out));
    out->sbdf = dev->sbdf;
    if (vendor != VIRTIO_VENDOR || (device != VIRTIO_DEV_NET && device != VIRTIO_DEV_NET_OLD))
        return "not a virtio network device";
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

bool virtio_pci_matches(const struct keep_nic *k, const struct bh_pci_info *dev)
{
    return k->sbdf == dev->sbdf && in_a_bar(dev, k->common, sizeof(struct virtio_common)) &&
           in_a_bar(dev, k->notify, k->notify_len);
}

bool virtio_pci_map(struct virtio_dev *v, const struct keep_nic *k)
{
    v->common = mmio_map(k->common, sizeof(struct virtio_common));
    v->notify = mmio_map(k->notify, k->notify_len);
    v->notify_len = k->notify_len;
    v->notify_mult = k->notify_mult;
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
