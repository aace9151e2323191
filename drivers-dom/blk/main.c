/* SPDX-License-Identifier: MIT */
/*
 * blk: a block driver domain. Peers and rights:
 *   front-ends      their rings are mapped, data move by grant copy; hostile
 *   the controller  own device behind the IOMMU (dev_dma_enable, interrupts); its DMA reaches this domain's memory only
 *   back-ends       in its place, of a relay (relay.h): grants of pages for their data alone, ports; hostile
 *   the store       own back-end directories, and those of own disks; read: the front-ends' ones, and those of the back-ends; may be away
 * It may be killed at any instruction: keep.h and journal.h. It works in rounds (loop.h, blkback.h), one exit each while there is work.
 */
#include <device.h>
#include <loop.h>
#include <stdio.h>
#include "relay.h"
#include "vbd.h"

#define VOLUMES_NS (200 * NS_PER_MS)
#define POOL_STEP  256u /* pages */

/* Memory is zeroed when it is allocated, which would show in the outage of a restart: the pool begins small and grows on demand, but
 * for an eighth of what is free, which the store's answers may need. */
static void pool_grow(void)
{
    unsigned n = POOL_STEP;
    void *mem = NULL;

    for (; !mem && n; n /= 2) {
        if (page_avail() > n + n / 8 + 16)
            mem = page_alloc(n);
        if (mem)
            bb_pool_add(&blk.bb, mem, n);
    }
}

static bool round(uint64_t now)
{
    blk.bb.now = now;
    bool work = bb_round(&blk.bb, blk.dev, blk.nr_devs);
    if ((blk.bb.starving || blk.bb.short_of_pages) && blk.bb.nr_pages < BB_MAX_PAGES)
        pool_grow();
    return work;
}

static bool arm(void) { return bb_arm(&blk.bb, blk.dev, blk.nr_devs); }
static bool answered(void) { return blk.bb.answered; }
static bool attached(uint32_t gen, uint64_t *chances)
{
    return be_gen_slot(SLOT_VBD, gen, chances);
}
static uint64_t look_again(void) { return blk.bb.retry; }

/* Tells the store who uses what, when that may have changed, and who did what. */
static uint64_t store(void)
{
    static bool due = true;
    static uint64_t next;

    relay_work();
    due |= vbds_store_work() || blk.devs_new;
    blk.devs_new = false;
    be_problem(dev_problem());
    if (due && now_ns() >= next) {
        due = volumes_tell();
        next = now_ns() + VOLUMES_NS;
    }
    uint64_t say = vbds_say_stats();
    return earlier(relay_next(), earlier(due ? next : 0, say));
}

/* The store is looked at only afterwards. Returns how many vbds. */
static unsigned adopt(void)
{
    bb_init(&blk.bb, &blk.batch);
    batch_left_to_wait(&blk.batch);
    pool_grow();
    if (blk.bb.nr_pages <= BLK_MAX_SEGS)
        bh_panic("no memory for data: ram= is too small");
    unsigned n = vbds_adopt();
    blk.bb.now = now_ns();
    (void)bb_round(&blk.bb, blk.dev, blk.nr_devs);
    batch_flush(&blk.batch); /* what the last instance published and did not tell */
    driver_adopted();
    return n;
}

int main(void)
{
    static const struct driver driver = {
        .round = round, .arm = arm, .answered = answered, .store = store, .look_again = look_again
    };
    uint64_t start = now_ns();
    unsigned n;

    driver_begin(&driver);
    void *keep = keep_memory(1, 16, &n);
    keep_init(&blk.keep, keep, n);
    _Static_assert(BLAME_WORDS(BB_MAX_DISKS) <= ARRAY_SIZE(blk.keep.page->room), "room for blame");
    driver_blame(&blk.keep.page->blame, BB_MAX_DISKS, attached);
    controller_find();
    n = adopt();
    const struct blkdev *d = blk.dev[0];
    printf("%s: up, %s", self.name, d ? d->model : "no controller");
    if (d)
        printf(" of %lu MiB, sectors of %u", d->nr_sectors >> 11, d->sector_size);
    if (d && d->left_out)
        printf(" (%s)", d->left_out);
    printf(", %u vbds adopted, %lu us\n", n, (now_ns() - start) / 1000);
    driver_run();
}
