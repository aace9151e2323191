/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/blk_world.c drivers-dom/blk/vbd_front.c
// FLAGS: -O2 -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk -lz
/*
 * The deaths of test_blk_journal.c, after every store and in pairs, of a relay: between the journal and the disk is a ring to a back-end, which takes
 * requests from it, does them and answers when it likes. The relay dies with requests there, and what the back-end still has of them is nobody's.
 */
#include "blk_deaths.h"
#include "vbd_front.h"

struct bh_self self = { .name = "relay" };
static struct vbd_front f;
static struct batch to_back;
static const struct blkdev_ops *disk_ops;
static _Alignas(4096) uint8_t own[VF_PAGES + 1][4096]; /* what page_alloc gives */
static unsigned taken_pages;
static uint64_t clock_ns;
static const void *granted[VF_PAGES + 2];

void *page_alloc(unsigned n)
{
    void *p = own[taken_pages];

    taken_pages += n;
    assert_true(taken_pages <= VF_PAGES + 1);
    return p;
}
uint64_t now_ns(void) { return clock_ns += 1000; }
int grant_give(domid_t to, const void *page, unsigned flags)
{
    unsigned ref = 1;

    while (granted[ref])
        ref++;
    granted[ref] = page;
    return (int)ref;
}
int grant_end(uint32_t ref) { return granted[ref] = NULL, 0; }
int event_alloc_unbound(domid_t remote, event_fn fn, void *arg) { return 5; }
void event_close(uint32_t port) {}
void batch_send(struct batch *b, uint32_t port)
{
    if (b != &to_back)
        b->send[b->nr_sends++] = port;
}

/* --- the back-end ----------------------------------------------------------------------------------------- */

static struct asked {
    struct bb_req q; /* the disk looks into it */
    struct blkif_request r;
    bool used, waits;
} asked[VF_SLOTS];
static uint32_t seen, rsp;

static void answered(struct blk_io *io)
{
    struct asked *a = io->arg;
    struct blkif_response r = { .id = a->r.id,
                                .operation = a->r.operation,
                                .status = io->status ? BLKIF_RSP_ERROR : 0 };

    memcpy(&f.ring->ring[rsp % VF_SLOTS].rsp, &r, sizeof(r));
    f.ring->rsp_prod = ++rsp;
    a->used = false;
}

static void fetched(struct asked *a)
{
    static const enum blk_op ops[] = {
        [BLKIF_OP_READ] = BLK_READ, [BLKIF_OP_WRITE] = BLK_WRITE, [BLKIF_OP_FLUSH_DISKCACHE] = BLK_FLUSH, [BLKIF_OP_DISCARD] = BLK_DISCARD
    };
    struct blkif_request_discard d;
    struct blk_io *io = &a->q.io;

    memcpy(&d, &a->r, sizeof(d));
    *io = (struct blk_io){
        .op = ops[a->r.operation], .sector = a->r.sector_number, .done = answered, .arg = a
    };
    if (io->op == BLK_DISCARD)
        io->nr_sectors = (uint32_t)d.nr_sectors;
    for (unsigned i = 0; io->op <= BLK_WRITE && i < a->r.nr_segments; i++) {
        unsigned n = a->r.seg[i].last_sect + 1u;
        assert_true(granted[a->r.seg[i].gref] && n <= 8 && !a->r.seg[i].first_sect);
        io->seg[io->nr_segs++] = (struct blk_seg){ (void *)(uintptr_t)granted[a->r.seg[i].gref],
                                                   n * 512 };
        io->nr_sectors += n;
    }
    a->q.replay = true;
}

static unsigned back_end(void)
{
    unsigned n = 0;

    for (; seen != f.ring->req_prod; seen++, n++) {
        struct asked *a = asked;
        while (a->used)
            a++;
        assert_true(a < asked + VF_SLOTS);
        memcpy(&a->r, &f.ring->ring[seen % VF_SLOTS].req, sizeof(a->r));
        a->used = a->waits = true;
        fetched(a);
    }
    f.ring->req_event = seen + 1;
    for (struct asked *a = asked; a < asked + VF_SLOTS; a++) {
        if (!a->used || !a->waits)
            continue;
        blame(disk.gen);
        a->waits = disk_ops->submit(&the_disk, &a->q.io);
        blame(0);
        n += !a->waits;
    }
    return n + disk_ops->poll(&the_disk);
}

/* --- the relay's disk ------------------------------------------------------------------------------------- */

static void relay_fresh(void)
{
    taken_pages = 0;
    memset(granted, 0, sizeof(granted)); /* by the fence */
    memset(asked, 0, sizeof(asked));
    seen = rsp = 0;
    vf_init(&f, &to_back);
    f.can_flush = f.can_discard = true;
    f.dev.model = "disk";
    assert_int_equal(vf_offer(&f, 20), 0);
    vf_up(&f);
}
static int relay_submit(struct blkdev *d, struct blk_io *io)
{
    (void)d;
    return f.dev.ops->submit(&f.dev, io);
}
static unsigned relay_poll(struct blkdev *d)
{
    unsigned n = back_end();

    (void)d;
    if (f.breach)
        fail_msg("%s", f.breach);
    return n + f.dev.ops->poll(&f.dev);
}
static bool relay_arm(struct blkdev *d)
{
    bool again = f.dev.ops->arm(&f.dev);

    if (arm_hook)
        arm_hook();
    return again || seen != f.ring->req_prod;
}
static const struct blkdev_ops relay_ops = { relay_submit, relay_poll, relay_arm };

int setup_all(void **state)
{
    disk_ops = the_disk.ops;
    the_disk.ops = &relay_ops;
    fresh_hook = relay_fresh;
    return 0;
}
