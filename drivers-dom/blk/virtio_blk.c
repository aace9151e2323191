/* SPDX-License-Identifier: MIT */
/*
 * virtio-blk: one queue; each request is one indirect table of its own, so it takes one descriptor whatever its length.
 * Section numbers are those of Virtio 1.1.
 */
#include "virtio_blk.h"
#include <errno.h>
#include <device.h>
#include <stdio.h>
#include <string.h>
#include <virtio.h>
#include "driver.h"

#define DEPTH   128u
#define S_UNSET 0xff

/* What a request needs besides its data, by descriptor. */
struct slot {
    struct vring_desc table[BLK_MAX_SEGS + 2];
    struct vblk_head head;
    struct vblk_discard discard;
    volatile uint8_t status;
} __attribute__((aligned(1024)));
_Static_assert(PAGE_SIZE % sizeof(struct slot) == 0, "a slot does not cross a page");

static struct vblk {
    struct blkdev dev;
    struct virtio_dev v;
    uint32_t sbdf;
    struct vring q;
    struct slot *slots;
    struct blk_io *io[DEPTH];
    uint16_t free[DEPTH], nr_free;
    uint32_t chunk; /* longest descriptor, whole pages */
    struct stuck stuck;
} vblk;

/* --- start ----------------------------------------------------------------------------------------------------- */

static uint32_t cfg_get(unsigned off, unsigned bytes)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < bytes && off + i < vblk.v.devcfg_len; i++)
        v |= (uint32_t)vblk.v.devcfg[off + i] << 8 * i;
    return v;
}

/* 2.4.1: fields that belong together are read until nothing changed in between. */
static uint64_t capacity(void)
{
    uint64_t v;
    uint8_t gen;

    for (unsigned i = 0; i < 100; i++) {
        gen = vblk.v.common->config_generation;
        v = cfg_get(VBLK_CFG_CAPACITY, 4) | (uint64_t)cfg_get(VBLK_CFG_CAPACITY + 4, 4) << 32;
        if (gen == vblk.v.common->config_generation)
            return v;
    }
    return 0;
}

static const char *set_limits(void)
{
    struct blkdev *d = &vblk.dev;
    uint64_t f = vblk.v.features;
    uint32_t segs = f & VIRTIO_BLK_F_SEG_MAX ? cfg_get(VBLK_CFG_SEG_MAX, 4) : BLK_MAX_SEGS;
    uint32_t longest = f & VIRTIO_BLK_F_SIZE_MAX ? cfg_get(VBLK_CFG_SIZE_MAX, 4) : BLK_MAX_BYTES;

    if (segs < 16 || longest < PAGE_SIZE)
        return "it takes less than 64 KiB at a time";
    d->max_segs = segs < BLK_MAX_SEGS ? segs : BLK_MAX_SEGS;
    d->max_bytes = d->max_segs * BLK_SEG_BYTES;
    vblk.chunk = longest < BLK_MAX_BYTES ? (uint32_t)PAGE_SIZE : BLK_MAX_BYTES;
    return NULL;
}

static const char *read_config(void)
{
    struct blkdev *d = &vblk.dev;
    uint64_t f = vblk.v.features;
    unsigned exp = f & VIRTIO_BLK_F_TOPOLOGY ? cfg_get(VBLK_CFG_PHYS_EXP, 1) : 0;

    if (vblk.v.devcfg_len < VBLK_CFG_CAPACITY + 8)
        return "it has no configuration";
    d->model = "virtio-blk";
    d->nr_sectors = capacity();
    d->sector_size = f & VIRTIO_BLK_F_BLK_SIZE ? cfg_get(VBLK_CFG_BLK_SIZE, 4) : 512;
    if (d->sector_size != 512 && d->sector_size != 4096)
        return "its blocks have neither 512 nor 4096 bytes";
    if (d->nr_sectors > DISK_MAX_SECTORS)
        return "its size makes no sense";
    d->nr_sectors &= ~(uint64_t)(d->sector_size / 512 - 1);
    if (!d->nr_sectors)
        return "it is empty";
    d->physical_sector_size = d->sector_size << (exp < 8 ? exp : 0);
    d->flush = f & VIRTIO_BLK_F_FLUSH;
    if (f & VIRTIO_BLK_F_DISCARD) {
        d->max_discard_sectors = cfg_get(VBLK_CFG_DISCARD_SECTORS, 4);
        d->discard_granularity = cfg_get(VBLK_CFG_DISCARD_ALIGN, 4) * 512;
        d->discard = d->max_discard_sectors >= d->sector_size / 512;
    }
    d->read_only = f & VIRTIO_BLK_F_RO;
    return set_limits();
}

static const char *queue_start(void)
{
    const char *why = vring_start(&vblk.v, &vblk.q, 0, DEPTH, 0);

    if (why)
        return why;
    vblk.slots = page_alloc(
        (unsigned)((vblk.q.size * sizeof(struct slot) + PAGE_SIZE - 1) / PAGE_SIZE));
    if (!vblk.slots)
        return "out of memory";
    for (uint16_t i = 0; i < vblk.q.size; i++)
        vblk.free[vblk.nr_free++] = i;
    vblk.dev.queue_depth = vblk.nr_free;
    return NULL;
}

static const char *bring_up(event_fn irq, void *arg)
{
    struct bh_dma_enable dma = { .sbdf = vblk.sbdf, .enable = 1 };
    const uint64_t wanted = VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_RO |
                            VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_TOPOLOGY |
                            VIRTIO_BLK_F_DISCARD | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;

    /* Only after it is every DMA of a former instance over; the core gives DMA to a device at rest only. */
    if (!virtio_reset(&vblk.v))
        return "it does not reset";
    if (bh_svc_dma_enable(&dma))
        return "DMA was refused";
    const char *why = virtio_negotiate(&vblk.v, wanted);
    if (!why && !(vblk.v.features & VIRTIO_F_INDIRECT_DESC))
        why = "it has no indirect descriptors";
    if (!why)
        why = read_config();
    if (!why)
        why = pci_irq_bind(vblk.sbdf, 0, irq, arg);
    if (why)
        return why;
    vblk.v.common->msix_config = VIRTIO_NO_VECTOR;
    return queue_start();
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static unsigned data_descs(struct vring_desc *t, unsigned n, const struct blk_io *io)
{
    uint16_t flags = VRING_DESC_NEXT | (io->op == BLK_READ ? VRING_DESC_WRITE : 0);

    for (unsigned i = 0; i < io->nr_segs; i++) {
        uint64_t at = (uint64_t)io->seg[i].va, left = io->seg[i].len, len;
        for (; left; left -= len, at += len) {
            struct vring_desc *last = &t[n - 1];
            len = left < PAGE_SIZE ? left : PAGE_SIZE;
            /* Neighbours become one (n > 1: the head is no data). */
            if (n > 1 && last->addr + last->len == at && last->len + len <= vblk.chunk) {
                last->len += (uint32_t)len;
                continue;
            }
            if (n > BLK_MAX_SEGS)
                bh_panic("virtio-blk: a request of too many pages");
            t[n] = (struct vring_desc){ at, (uint32_t)len, flags, (uint16_t)(n + 1) };
            n++;
        }
    }
    return n;
}

/* Head, data or range, status. Returns the length of the table. */
static unsigned build(struct slot *s, const struct blk_io *io)
{
    static const uint32_t types[] = {
        [BLK_READ] = VBLK_T_IN, [BLK_WRITE] = VBLK_T_OUT, [BLK_FLUSH] = VBLK_T_FLUSH, [BLK_DISCARD] = VBLK_T_DISCARD
    };
    bool data = io->op == BLK_READ || io->op == BLK_WRITE;
    unsigned n = 1;

    s->head = (struct vblk_head){ .type = types[io->op], .sector = data ? io->sector : 0 };
    s->status = S_UNSET;
    s->table[0] = (struct vring_desc){ (uint64_t)&s->head, sizeof(s->head), VRING_DESC_NEXT, 1 };
    if (data) {
        n = data_descs(s->table, n, io);
    } else if (io->op == BLK_DISCARD) {
        s->discard = (struct vblk_discard){ .sector = io->sector, .nr_sectors = io->nr_sectors };
        s->table[n] = (struct vring_desc){ (uint64_t)&s->discard, sizeof(s->discard),
                                           VRING_DESC_NEXT, 2 };
        n++;
    }
    s->table[n] = (struct vring_desc){ (uint64_t)&s->status, 1, VRING_DESC_WRITE, 0 };
    return n + 1;
}

static int vblk_submit(struct blkdev *d, struct blk_io *io)
{
    (void)d;
    if (!vblk.nr_free)
        return -EBUSY;
    uint16_t id = vblk.free[--vblk.nr_free];
    struct slot *s = &vblk.slots[id];
    vblk.io[id] = io;
    uint32_t len = (uint32_t)(build(s, io) * sizeof(struct vring_desc));
    vblk.q.desc[id] = (struct vring_desc){ (uint64_t)s->table, len, VRING_DESC_INDIRECT, 0 };
    vring_post(&vblk.q, id);
    stuck_submitted(&vblk.stuck, io);
    return 0;
}

static void complete(uint32_t id)
{
    struct blk_io *io = vblk.io[id];

    if (!io)
        bh_panic("virtio-blk: it completed request %u, which is not there", id);
    uint8_t status = vblk.slots[id].status;
    vblk.io[id] = NULL;
    vblk.free[vblk.nr_free++] = (uint16_t)id;
    stuck_completed(&vblk.stuck);
    io->status = status == VBLK_S_OK ? 0 : status == VBLK_S_UNSUPP ? -EOPNOTSUPP : -EIO;
    if (status)
        disk_complain(io, "virtio-blk", status);
    io->done(io);
}

static unsigned vblk_poll(struct blkdev *d)
{
    (void)d;
    vring_notify(&vblk.v, &vblk.q);
    unsigned n = vring_pending(&vblk.q);
    for (unsigned i = 0; i < n; i++)
        complete(vring_next_used(&vblk.q).id);
    vring_notify(&vblk.v, &vblk.q);
    return n;
}

static bool vblk_arm(struct blkdev *d)
{
    (void)d;
    vring_notify(&vblk.v, &vblk.q);
    return vring_arm(&vblk.q);
}

static const char *vblk_sick(void)
{
    uint8_t status = vblk.v.common->device_status;

    return status == 0xff                ? "its registers do not answer"
           : status & VIRTIO_NEEDS_RESET ? "it asks for a reset"
                                         : NULL;
}

static const struct blkdev_ops vblk_ops = { .submit = vblk_submit, .poll = vblk_poll, .arm = vblk_arm };

/* --- blkdev.h ---------------------------------------------------------------------------------------------------- */

static bool vblk_match(const struct bh_pci_info *dev) { return virtio_is(dev, VIRTIO_TYPE_BLK); }

static void vblk_stop(void)
{
    struct bh_dma_enable dma = { .sbdf = vblk.sbdf, .enable = 0 };

    stuck_stop(&vblk.stuck);
    vblk.v.common->device_status = 0; /* it must not go on with what it was given */
    bh_svc_dma_enable(&dma);
    vblk.v.common->device_status = VIRTIO_FAILED;
}

static const char *vblk_start(const struct bh_pci_info *dev, event_fn irq, void *arg,
                              struct blkdev **out)
{
    memset(&vblk, 0, sizeof(vblk));
    vblk.sbdf = dev->sbdf;
    const char *why = virtio_pci_map(&vblk.v, dev, VIRTIO_TYPE_BLK);
    if (why)
        return why;
    why = vblk.v.devcfg ? bring_up(irq, arg) : "it has no configuration structure";
    if (why) {
        vblk_stop();
        return why;
    }
    vblk.v.common->device_status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK |
                                   VIRTIO_DRIVER_OK;
    stuck_init(&vblk.stuck, vblk.dev.model, vblk_sick, vblk.io, DEPTH);
    vblk.dev.ops = &vblk_ops;
    *out = &vblk.dev;
    return NULL;
}

const struct blk_driver virtio_blk_driver = {
    .name = "virtio-blk",
    .match = vblk_match,
    .start = vblk_start,
    .stop = vblk_stop,
};
