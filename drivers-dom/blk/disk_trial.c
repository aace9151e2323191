/* SPDX-License-Identifier: MIT */
/* What disk controllers write in the trial of their IOMMU unit: who they are. Sections: NVM Express 1.4; Virtio 1.1. */
#include <string.h>
#include <trial.h>
#include "blkdev.h"
#include "nvme.h"
#include "virtio_blk.h"

/* --- virtio-blk: its name, which it may not have; the answer is the write -------------------------------------------- */

#define ID_AT     64u
#define STATUS_AT 128u

const char *virtio_blk_trial(const struct bh_pci_info *dev)
{
    struct virtio_request req = {
        .nr = 3,
        .desc = { { 0, sizeof(struct vblk_head), VRING_DESC_NEXT, 1 },
                  { ID_AT, VBLK_ID_LEN, VRING_DESC_NEXT | VRING_DESC_WRITE, 2 },
                  { STATUS_AT, 1, VRING_DESC_WRITE, 0 } },
    };
    struct vblk_head head = { .type = VBLK_T_GET_ID };

    memcpy(req.data, &head, sizeof(head));
    return virtio_trial(dev, VIRTIO_TYPE_BLK, &req);
}

/* --- NVMe: "identify controller" ----------------------------------------------------------------------------------------- */

#define DEPTH 4u /* of the admin queues */
enum { PAGE_SQ, PAGE_CQ, PAGES };

struct tried {
    volatile uint8_t *regs;
    uint64_t bound;
};

static uint32_t reg(const struct tried *d, unsigned off)
{
    return *(volatile uint32_t *)(d->regs + off);
}
static void reg_set(const struct tried *d, unsigned off, uint32_t v)
{
    *(volatile uint32_t *)(d->regs + off) = v;
}

/* 3.1.6: the bound is the controller's own, and a second. */
static bool wait_ready(const struct tried *d, uint32_t want)
{
    uint64_t end = now_ns() + d->bound;

    while ((reg(d, NVME_CSTS) & NVME_CSTS_RDY) != want) {
        if (now_ns() > end)
            return false;
        event_wait(now_ns() + 200000);
    }
    return reg(d, NVME_CSTS) != ~0u;
}

/* 3.1.5: EN must not be cleared before RDY followed it. */
static bool reset(void *dev)
{
    const struct tried *d = dev;
    uint32_t cc = reg(d, NVME_CC);

    if ((cc & NVME_CC_EN) && !(reg(d, NVME_CSTS) & (NVME_CSTS_RDY | NVME_CSTS_CFS)))
        (void)wait_ready(d, NVME_CSTS_RDY);
    reg_set(d, NVME_CC, cc & ~NVME_CC_EN);
    return wait_ready(d, 0);
}

static const char *ready(void *dev, const struct trial *t)
{
    const struct tried *d = dev;
    const uint64_t at[] = { t->window + PAGE_SQ * PAGE_SIZE, t->window + PAGE_CQ * PAGE_SIZE };

    reg_set(d, NVME_AQA, (DEPTH - 1) << 16 | (DEPTH - 1));
    for (unsigned i = 0; i < 2; i++) {
        reg_set(d, NVME_ASQ + 8 * i, (uint32_t)at[i]);
        reg_set(d, NVME_ASQ + 8 * i + 4, (uint32_t)(at[i] >> 32));
    }
    reg_set(d, NVME_CC, NVME_CC_ENTRIES | NVME_CC_EN);
    return wait_ready(d, NVME_CSTS_RDY) ? NULL : "it does not become ready";
}

static void identify(void *dev, const struct trial *t, unsigned n)
{
    const struct tried *d = dev;
    struct nvme_cmd *sq = (void *)(t->pages + PAGE_SQ * PAGE_SIZE);

    sq[n] = (struct nvme_cmd){ .opcode = NVME_ADM_IDENTIFY,
                               .cid = (uint16_t)n,
                               .prp1 = t->target,
                               .cdw10 = NVME_CNS_CONTROLLER };
    wmb();
    reg_set(d, NVME_DOORBELLS, n + 1);
}

/* The completion comes after the data (4.1). */
static bool finished(void *dev, const struct trial *t)
{
    volatile const struct nvme_cqe *cq = (void *)(t->pages + PAGE_CQ * PAGE_SIZE);

    (void)dev;
    return cq[0].status & 1;
}

static bool gave_up(void *dev) { return reg(dev, NVME_CSTS) & NVME_CSTS_CFS; }

const char *nvme_trial(const struct bh_pci_info *dev)
{
    static const struct trial_ops ops = { .nr_pages = PAGES,
                                          .reset = reset,
                                          .ready = ready,
                                          .write = identify,
                                          .finished = finished,
                                          .gave_up = gave_up };
    const struct bh_pci_bar *bar = &dev->bar[0];
    struct tried d = { 0 };

    if ((bar->flags & 1) && bar->gpa && bar->size >= NVME_DOORBELLS + 16)
        d.regs = mmio_map(bar->gpa, bar->size);
    if (!d.regs)
        return "its registers cannot be mapped";
    uint64_t cap = reg(&d, NVME_CAP);
    d.bound = NVME_CAP_TO_NS(cap) + NS_PER_S;
    return dma_trial(dev->sbdf, &ops, &d);
}
