/* SPDX-License-Identifier: MIT */
/*
 * The device's side of the trial of an IOMMU unit (docs/iommu-trial.md): before it serves anybody, a driver has its device write to a
 * place that means nothing but by translation, and once more when the core has blocked it. The core sees whether it arrived.
 */
#pragma once
#include <virtio.h>

struct trial {
    uint32_t sbdf;
    uint8_t *pages; /* rings, commands, data: ours ... */
    uint64_t window,
        target; /* ... where the device has them, and where it is to write; addresses that are told to it alone */
};
struct trial_ops {
    unsigned nr_pages;        /* at most BH_TRIAL_PAGES */
    bool (*reset)(void *dev); /* brings it to rest, if the core finds that it runs; bounded */
    const char *(*ready)(void *dev, const struct trial *t); /* sets it up: NULL, or why it cannot be */
    void (*write)(void *dev, const struct trial *t,
                  unsigned n); /* has it write to the target for the first (0) or second (1) time */
    bool (*finished)(void *dev,
                     const struct trial *t); /* it has also done all that comes after the first write; or NULL */
    bool (*gave_up)(void *dev);              /* it says that it will do nothing more */
};
/* Tries the unit that holds the device, if nobody did. NULL: it passed, now or before. Else why the device must not be used; it has no
 * DMA. Where nothing was to be tried the device was not touched; else it is to be reset afterwards, whatever came out. */
const char *dma_trial(uint32_t sbdf, const struct trial_ops *ops, void *dev);

/* The same for a virtio device of this type: gives queue `queue` one request of `nr` descriptors, whose addresses count from
 * the beginning of `data`; its answer in the queue is the write. The chain's addresses are few, so a ring of 4 does. */
struct virtio_request {
    uint16_t queue, nr;
    struct vring_desc desc[3];
    uint8_t data[256];
};
const char *virtio_trial(const struct bh_pci_info *dev, unsigned type,
                         const struct virtio_request *req);
