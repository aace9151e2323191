/* SPDX-License-Identifier: MIT */
// LINK: tests/attacks/service/backend_world.c drivers-dom/blk/vbd.c drivers-dom/blk/vbd_store.c drivers-dom/blk/adopt.c
// LINK: drivers-dom/blk/journal.c drivers-dom/blk/rings.c drivers-dom/blk/request.c drivers-dom/lib/xenbus_backend.c
/* vbd_world.h. */
#include "vbd_world.h"

struct blk blk;
const char *dev_problem(void) { return ""; }
/* The disk's table is good: partition 1. */
const char *volume_find(const char *spec, uint64_t *first, uint64_t *nr)
{
    *first = strcmp(spec, "1") ? 0 : 100, *nr = *first ? 100 : 4000;
    return NULL;
}
const char *volume_claim(struct volume_claim *c)
{
    c->claimed = true;
    return NULL;
}
bool volume_overlap(const struct volume_claim *a, const struct volume_claim *b) { return true; }
void volume_release(struct volume_claim *c) { c->claimed = false; }

uint64_t wrote_at = ~0ull;
static struct blk_io *out;
static int submit(struct blkdev *d, struct blk_io *io) { return out ? -EBUSY : (out = io, 0); }
static unsigned poll(struct blkdev *d)
{
    struct blk_io *io = out;

    if (!io)
        return 0;
    out = NULL;
    if (io->op == BLK_WRITE)
        wrote_at = io->sector;
    io->status = 0;
    io->done(io);
    return 1;
}
static bool arm(struct blkdev *d) { return false; }
static const struct blkdev_ops ops = { submit, poll, arm };
struct blkdev dev = { .ops = &ops,
                      .model = "disk",
                      .nr_sectors = 4000,
                      .sector_size = 512,
                      .max_bytes = BLK_MAX_BYTES,
                      .max_segs = BLK_MAX_SEGS };

void blk_begin(void *keep_pages, unsigned n)
{
    blk.dev[0] = &dev;
    blk.nr_devs = 1;
    keep_init(&blk.keep, keep_pages, n);
    bb_init(&blk.bb, &blk.batch);
    bb_pool_add(&blk.bb, page_alloc(256), 256);
}
