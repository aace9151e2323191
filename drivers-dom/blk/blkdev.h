/* SPDX-License-Identifier: MIT */
/*
 * A disk as blkback and the volumes see it, and what a controller's driver offers to main.c.
 *
 * The caller fills a struct blk_io and owns it until submit; the driver owns it from a successful submit until it calls done,
 * which happens only from within poll. Completion in any order. There is no order between requests in flight: who needs one
 * waits. A completed write is in the device, maybe in its volatile cache; a completed flush covers every write that had completed
 * when it was submitted. Nothing is cached here.
 */
#pragma once
#include <bh.h>

#define BLK_MAX_SEGS  64u
#define BLK_SEG_BYTES 4096u
#define BLK_MAX_BYTES (BLK_MAX_SEGS * BLK_SEG_BYTES)

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD };

/* Own RAM, identity-mapped: the IOMMU's table holds nothing else. va is page-aligned; every segment but the last is a multiple of
 * a page long (as NVMe's PRP lists want it, NVMe 1.4, 4.3); neighbours may be adjacent. */
struct blk_seg {
    void *va;
    uint32_t len;
};

struct blk_io {
    struct blk_io *next; /* the owner's, for any list */
    enum blk_op op;
    uint64_t sector;     /* in 512-byte units from the device's start, whatever its sector size */
    uint32_t nr_sectors; /* ... of the data or the range to discard; 0 for a flush */
    struct blk_seg seg[BLK_MAX_SEGS];
    uint32_t nr_segs;                /* 0 for flush and discard */
    int status;                      /* when done: 0, -EIO, -EOPNOTSUPP or another -errno */
    void (*done)(struct blk_io *io); /* may submit again */
    void *arg;                       /* the caller's */
    uint32_t tries, since;           /* the driver's while it owns the request */
};

struct blkdev;
struct blkdev_ops {
    /* 0, or -EBUSY: the queue is full, try again after a completion; nothing was taken. The request was checked by the caller:
     * it lies on the device, is aligned to its sector size and within max_bytes and max_segs. */
    int (*submit)(struct blkdev *d, struct blk_io *io);
    /* Tells the device of what was submitted (one doorbell for many), calls done for what has completed; returns how many. */
    unsigned (*poll)(struct blkdev *d);
    /* Asks for an interrupt with the next completion; true: there is one already, poll again. */
    bool (*arm)(struct blkdev *d);
};

struct blkdev {
    const struct blkdev_ops *ops;
    const char *model; /* for messages */
    const char *name; /* of one of several disks, before the names of its volumes; NULL: the only one */
    uint64_t base; /* BLK_BASE times its number: where its volumes lie among those of all disks */
    bool away;     /* nobody is there that answers: its table is not read */
    /* Its table cannot be read, and why: it forgets what it has of the caller's, whose pages may be another's next. NULL: what it has is its
     * own for good. */
    void (*lost)(struct blkdev *d, const char *why);
    uint64_t scan_ns; /* how long a read of its table may take, 0: VOLUMES_SCAN_NS */
    const char *left_out; /* what of the device is not this disk and cannot be had, for those who look on; NULL: nothing */
    uint64_t nr_sectors;           /* 512-byte units */
    uint32_t sector_size;          /* 512 or 4096: alignment of everything */
    uint32_t physical_sector_size; /* a multiple of it */
    bool flush;                    /* it has a volatile cache: BLK_FLUSH works and is needed */
    bool discard;                  /* BLK_DISCARD works */
    bool read_only;                /* writes fail: nobody gets a volume for writing */
    uint32_t max_discard_sectors;  /* 512-byte units a request, 0: no limit of its own */
    uint32_t discard_granularity;  /* bytes; 0: its sector size */
    uint32_t max_bytes,
        max_segs; /* of one request; at least 64 KiB and 16: a driver whose device does less splits */
    uint32_t queue_depth; /* requests that submit takes */
    /* blkback's: what it holds for this disk; submit had no room since the last poll */
    uint32_t held_reqs, held_pages;
    bool busy;
};

#define BLK_MAX_DEVS 16u
#define BLK_BASE     (1ull << 48) /* more sectors than a disk among several may have */

/* Whether it is the disk of that sector, as volumes are counted. */
static inline bool blkdev_has(const struct blkdev *d, uint64_t sector)
{
    return sector >= d->base && sector - d->base < d->nr_sectors;
}

/* --- drivers ---------------------------------------------------------------------------------------------- */

/* What the core says of the device (BH_SVC_DEVICES) is all that a driver is told; nothing of it is remembered over a restart. */
struct blk_driver {
    const char *name;
    bool (*match)(const struct bh_pci_info *dev); /* by vendor, device or class */
    /* Reset, then DMA (BH_SVC_DMA_ENABLE), then interrupts (irq is called with each) and queues: docs/restart-protocol.md 3. Bounded. NULL and
     * *out, or why not: then it has no DMA. */
    const char *(*start)(const struct bh_pci_info *dev, event_fn irq, void *arg, struct blkdev **out);
    /* Ends what start began, for good: no DMA, no more answers. Requests that it has are never done. */
    void (*stop)(void);
};
extern const struct blk_driver nvme_driver, virtio_blk_driver;
/* disk_trial.c: tries the IOMMU unit that holds it (trial.h), before start. NULL, or why the device must not be used. */
const char *nvme_trial(const struct bh_pci_info *dev);
const char *virtio_blk_trial(const struct bh_pci_info *dev);
