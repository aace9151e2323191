/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/blk_world.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk -lz
/* blkback against a front-end that lies: every malformed request, indices, failing copies; limits, sector sizes, closing. */
#include "blk_world.h"
#include <talk.h>

int setup(void **state)
{
    world_init(1, 1, PROTO_NATIVE, false);
    lax = false;
    fail_ref = 0;
    arm_hook = NULL;
    the_disk.sector_size = 512;
    the_disk.flush = true;
    the_disk.name = NULL;
    bb.now = 0;
    assert_true(be_start());
    bb.now = 1000000000;
    return 0;
}

static void settle(void)
{
    be_run();
    fe_look(0);
}

static uint8_t *last(void) { return (uint8_t *)fe_slot(0, w.fe[0].req_prod - 1); }

/* The request that was just put is answered with this, and a good one goes on. */
static void refused(struct shadow *s, int status)
{
    uint32_t before = w.done_seq;

    s->expect = status;
    settle();
    assert_false(s->pending);
    assert_int_equal(w.done_seq, before);
    fe_request(0, BLKIF_OP_READ, 8, 8, 0, false, 0);
    settle();
    be_check_idle();
}

static struct shadow *raw(uint8_t op, uint32_t sector, uint32_t n, bool indirect)
{
    return fe_request(0, op, sector, n, 0, indirect, -1); /* -1: its sectors are not claimed */
}

TEST(test_malformed)
{
    struct shadow *s;

    for (unsigned kind = 0; kind < 2; kind++) {
        uint8_t op = kind ? BLKIF_OP_WRITE : BLKIF_OP_READ;
        s = raw(op, 0, 8, false), last()[1] = 0, refused(s, BLKIF_RSP_ERROR);
        s = raw(op, 0, 8, false), last()[1] = 12, refused(s, BLKIF_RSP_ERROR);
        s = raw(op, 0, 8, false), last()[1] = 255, refused(s, BLKIF_RSP_ERROR);
        s = raw(op, 0, 8, false), last()[28] = 5, last()[29] = 4, refused(s, BLKIF_RSP_ERROR);
        s = raw(op, 0, 8, false), last()[29] = 8, refused(s, BLKIF_RSP_ERROR);
        s = raw(op, 0, 8, false), last()[28] = last()[29] = 255, refused(s, BLKIF_RSP_ERROR);
        s = raw(op, SECTORS - 7, 8, false), refused(s, BLKIF_RSP_ERROR);
        s = raw(op, SECTORS, 1, false), refused(s, BLKIF_RSP_ERROR);
        for (unsigned i = 1; i < 64; i++)
            s = raw(op, 0, 8, false), put(last() + 16, ~0ull << i, 8), refused(s, BLKIF_RSP_ERROR);
        s = raw(op, 0, 8, false), put(last() + 16, ~0ull - 3, 8), refused(s, BLKIF_RSP_ERROR);
    }
    for (unsigned op = 7; op < 256; op += 31)
        s = raw(BLKIF_OP_READ, 0, 1, false), last()[0] = s->op = (uint8_t)op,
        refused(s, BLKIF_RSP_EOPNOTSUPP);
    s = raw(BLKIF_OP_FLUSH_DISKCACHE, 0, 8, false), last()[29] = 9, refused(s, BLKIF_RSP_ERROR);
    s = raw(BLKIF_OP_WRITE_BARRIER, SECTORS, 8, false), refused(s, BLKIF_RSP_ERROR);
    s = raw(BLKIF_OP_DISCARD, 0, 0, false), refused(s, BLKIF_RSP_ERROR);
    s = raw(BLKIF_OP_DISCARD, 1, SECTORS, false), refused(s, BLKIF_RSP_ERROR);
    s = raw(BLKIF_OP_DISCARD, 1, 1, false), put(last() + 24, ~0ull, 8), refused(s, BLKIF_RSP_ERROR);
    s = raw(BLKIF_OP_DISCARD, 1, 1, false), put(last() + 16, 1ull << 63, 8),
    refused(s, BLKIF_RSP_ERROR);
    assert_int_equal(disk.stats.errors, 0);
}

TEST(test_malformed_indirect)
{
    struct shadow *s;

    for (unsigned kind = 0; kind < 2; kind++) {
        uint8_t op = kind ? BLKIF_OP_WRITE : BLKIF_OP_READ;
        s = raw(op, 0, 100, true), put(last() + 2, 0, 2), refused(s, BLKIF_RSP_ERROR);
        s = raw(op, 0, 100, true), put(last() + 2, 33, 2), refused(s, BLKIF_RSP_ERROR);
        s = raw(op, 0, 100, true), put(last() + 2, 65535, 2), refused(s, BLKIF_RSP_ERROR);
        s = raw(op, SECTORS - 50, 100, true), refused(s, BLKIF_RSP_ERROR);
        s = raw(op, 0, 100, true), put(last() + 16, ~0ull << 3, 8), refused(s, BLKIF_RSP_ERROR);
        for (unsigned i = 0; i < s->nsegs; i++)
            s = raw(op, 0, 100, true), w.mem[s->page[s->nsegs]][8 * i + 5] = 8,
            refused(s, BLKIF_RSP_ERROR);
        s = raw(op, 0, 100, true), w.mem[s->page[s->nsegs]][4] = 9, refused(s, BLKIF_RSP_ERROR);
        s = raw(op, 0, 100, true), fail_ref = s->ref[s->nsegs], refused(s, BLKIF_RSP_ERROR);
    }
    for (unsigned op = 2; op < 256; op += 17)
        s = raw(BLKIF_OP_READ, 0, 100, true), last()[1] = s->op = (uint8_t)op,
        refused(s, BLKIF_RSP_ERROR);
}

TEST(test_failing_copies)
{
    struct shadow *s = raw(BLKIF_OP_WRITE, 0, 40, false);

    fail_ref = s->ref[2], refused(s, BLKIF_RSP_ERROR);
    s = fe_request(0, BLKIF_OP_READ, 0, 40, 3, false, 0), fail_ref = s->ref[1],
    refused(s, BLKIF_RSP_ERROR);
    fail_ref = 0;
    assert_int_equal(disk.stats.errors, 2);
}

/* We do not offer to make data unreadable, so nobody is told that they are. */
TEST(test_secure_discard)
{
    struct shadow *s = raw(BLKIF_OP_DISCARD, 0, 8, false);
    last()[1] = BLKIF_DISCARD_SECURE;
    refused(s, BLKIF_RSP_EOPNOTSUPP);
}

TEST(test_read_only)
{
    disk.ro = true;
    refused(raw(BLKIF_OP_WRITE, 0, 8, false), BLKIF_RSP_ERROR);
    refused(raw(BLKIF_OP_WRITE, 0, 100, true), BLKIF_RSP_ERROR);
    refused(raw(BLKIF_OP_WRITE_BARRIER, 0, 8, false), BLKIF_RSP_ERROR);
    refused(raw(BLKIF_OP_FLUSH_DISKCACHE, 0, 8, false), BLKIF_RSP_ERROR);
    refused(raw(BLKIF_OP_DISCARD, 0, 8, false), BLKIF_RSP_ERROR);
    disk.discard = false;
    refused(raw(BLKIF_OP_DISCARD, 0, 8, false), BLKIF_RSP_EOPNOTSUPP);
    fe_request(0, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0, false, 0);
    settle();
    be_check_idle();
}

TEST(test_indices)
{
    static const uint32_t bad[] = { 33, 1000, 0x80000000, 0xffffffff, 0xfffffff0 };
    static uint8_t before[sizeof(w.ring)];

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        setup(NULL);
        fe_request(0, BLKIF_OP_WRITE, 0, 8, 0, false, 0);
        settle();
        fe_request(0, BLKIF_OP_READ, 0, 8, 0, false, 0);
        fe_request(0, BLKIF_OP_READ, 8, 8, 0, false, 0);
        (void)bb_round(&bb, devs, 1); /* taken and with the device */
        RING(0)->req_prod = RING(0)->rsp_prod + bad[i];
        memcpy(before, w.ring, sizeof(before));
        lax = true;
        be_run();
        assert_non_null(disk.ring[0].broken);
        assert_memory_equal(before, w.ring, sizeof(before)); /* left alone */
        assert_int_equal(bb.nr_free_pages, POOL);
        assert_true(bb_close(&disk));
        keep_close(&keep, &conn);
        bb_detach(&bb, &disk);
        assert_int_equal(keep_free_pages(&keep), KPAGES);
    }
}

/* A read of which the front-end gives no more: pages run out, others wait their turn, nobody is lost. */
TEST(test_scarce)
{
    for (unsigned round = 0; round < 5; round++) {
        w.slow = 0;
        for (unsigned i = 0; i < 3; i++)
            fe_request(0, BLKIF_OP_READ, 0, 250, 0, true, 0);
        for (unsigned i = 0; i < 6; i++)
            fe_request(0, BLKIF_OP_READ, 300 + i, 1, 0, false, i ? 0 : BLKIF_RSP_ERROR);
        be_run();
        assert_non_null(bb.starving);
        w.slow = -1;
        settle();
        be_check_idle();
        assert_null(bb.starving);
    }
}

TEST(test_sector_sizes)
{
    the_disk.sector_size = disk.sector_size = 4096;
    refused(raw(BLKIF_OP_READ, 4, 8, false), BLKIF_RSP_ERROR);
    refused(raw(BLKIF_OP_READ, 8, 7, false), BLKIF_RSP_ERROR);
    refused(raw(BLKIF_OP_DISCARD, 8, 4, false), BLKIF_RSP_ERROR);
    refused(raw(BLKIF_OP_READ, 8, 9, true), BLKIF_RSP_ERROR);
    fe_request(0, BLKIF_OP_WRITE, 16, 16, 0, false, 0);
    settle();
    fe_request(0, BLKIF_OP_READ, 16, 16, 0, false, 0);
    fe_request(0, BLKIF_OP_READ, 16, 8, 3, false, 0); /* in memory it may lie as it likes */
    settle();
    be_check_idle();
    /* feature-large-sector-size: everything counts in sectors of 4096 */
    disk.unit = 8;
    struct shadow *s = fe_request(0, BLKIF_OP_READ, 16, 8, 0, false, 0);
    put(last() + 16, 2, 8), last()[28] = last()[29] = 0;
    settle();
    assert_false(s->pending);
    s = raw(BLKIF_OP_READ, 16, 8, false), put(last() + 16, 2, 8), last()[29] = 1;
    s->expect = -1;
    settle();
    s = raw(BLKIF_OP_READ, 16, 8, false), put(last() + 16, SECTORS / 8, 8), last()[29] = 0;
    s->expect = -1;
    settle();
    be_check_idle();
}

TEST(test_limits)
{
    disk.ops.per_s = 10;
    for (unsigned i = 0; i < 8; i++)
        fe_request(0, BLKIF_OP_READ, i, 1, 0, false, 0);
    settle();
    unsigned done = w.answers;
    assert_in_range(done, 1, 2);
    assert_true(bb.retry > bb.now && bb.retry <= bb.now + 200000000);
    for (unsigned i = 0; i < 10 && w.answers < 8; i++) {
        bb.now = bb.retry;
        settle();
        assert_int_equal(w.answers, ++done);
    }
    assert_int_equal(w.answers, 8);
    disk.ops.per_s = 0;
    disk.bytes.per_s = 512 * 100;
    bb.now += 1000000000;
    for (unsigned i = 0; i < 20; i++)
        fe_request(0, BLKIF_OP_READ, 0, 8, 0, false, 0);
    uint64_t start = bb.now;
    for (settle(); w.answers < 28; settle()) {
        assert_true(bb.retry > bb.now);
        bb.now = bb.retry;
    }
    assert_in_range(bb.now - start, 1300000000, 1700000000);

    disk.bytes.per_s = 1000; /* by mistake */
    fe_request(0, BLKIF_OP_READ, 0, 40, 0, false, 0);
    fe_request(0, BLKIF_OP_READ, 0, 40, 0, false, 0);
    bb.now += 1000000000;
    settle();
    assert_int_equal(w.answers, 29);
    bb_limit(&disk.bytes, 1000);
    settle();
    assert_int_equal(w.answers, 29);
    bb_limit(&disk.bytes, 1000000000); /* what was done under the old one is not paid for by waiting */
    settle();
    assert_int_equal(w.answers, 30);
}

/* What the shell shows. */
TEST(test_stats)
{
    static const struct bb_stats right = {
        .reads = 3, .writes = 1, .flushes = 1, .read_bytes = 12288, .write_bytes = 8192, .malformed = 2
    };

    fe_request(0, BLKIF_OP_WRITE, 16, 16, 0, false, 0);
    settle();
    fe_request(0, BLKIF_OP_READ, 16, 8, 0, false, 0);
    fe_request(0, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0, false, 0);
    settle();
    refused(raw(BLKIF_OP_READ, SECTORS, 8, false),
            BLKIF_RSP_ERROR); /* each with a good read of 4 KiB after it */
    refused(raw(BLKIF_OP_READ, SECTORS, 8, true), BLKIF_RSP_ERROR);
    assert_memory_equal(&disk.stats, &right, sizeof(right));
}

/* Buffers for two requests at a time, one ring that never runs dry: the other one is not forgotten. */
TEST(test_rings_take_turns)
{
    world_init(2, 1, PROTO_NATIVE, false);
    assert_true(be_start());
    unsigned held = bb.nr_free_pages - 2;
    bb.nr_free_pages = 2;
    for (unsigned i = 0; i < 30; i++)
        fe_request(0, BLKIF_OP_READ, i, 1, 0, false, 0);
    for (unsigned i = 0; i < 5; i++)
        fe_request(1, BLKIF_OP_READ, i, 1, 0, false, 0);
    assert_false(bb.answered);
    while (RING(1)->rsp_prod != w.fe[1].req_prod)
        assert_true(bb_round(&bb, devs, 1));
    assert_true(bb.answered);
    assert_in_range(RING(0)->rsp_prod - START, 3, 10);
    be_run();
    fe_look(0);
    fe_look(1);
    assert_int_equal(w.answers, 35);
    memmove(&bb.free_page[held], &bb.free_page[0], 2 * sizeof(bb.free_page[0]));
    bb.nr_free_pages += held;
    assert_int_equal(bb.nr_free_pages, POOL);
}

/* --- two disks, of which the other one is silent ------------------------------------------------------------------ */

static struct blk_io *silent_has[BB_REQS + 1];
static unsigned silent_nr, silent_room;
static bool silent_answers;

static int silent_submit(struct blkdev *d, struct blk_io *io)
{
    if (silent_nr == silent_room)
        return -EBUSY;
    silent_has[silent_nr++] = io;
    return 0;
}
static unsigned silent_poll(struct blkdev *d)
{
    unsigned n = silent_answers ? silent_nr : 0;

    for (unsigned i = 0; i < n; i++) {
        if (silent_has[i]->nr_segs)
            memset(silent_has[i]->seg[0].va, 0, silent_has[i]->seg[0].len);
        silent_has[i]->done(silent_has[i]);
    }
    silent_nr -= n;
    return n;
}
static bool silent_arm(struct blkdev *d) { return false; }
static const struct blkdev_ops silent_ops = { silent_submit, silent_poll, silent_arm };
static struct blkdev silent;
static struct bb_disk other;

/* Its rings are the world's second one, the disk's the first. */
static void two_disks(unsigned depth)
{
    static struct blkdev *const both[] = { &the_disk, &silent };

    world_init(2, 2, PROTO_NATIVE, false);
    silent = the_disk;
    silent.ops = &silent_ops;
    silent.name = "xvdb";
    silent.queue_depth = silent_room = depth;
    silent_nr = 0;
    silent_answers = false;
    assert_true(be_start());
    the_disk.name = "xvda";
    other = disk;
    other.dev = &silent;
    other.nr_rings = disk.nr_rings = 1;
    other.ring[0] = disk.ring[1];
    other.ring[0].disk = &other;
    bb.disk[bb.nr_disks++] = &other;
    (void)bb_round(&bb, both, 2);
}
static void two_run(void)
{
    static struct blkdev *const both[] = { &the_disk, &silent };

    for (unsigned i = 0; i < 1000 && (bb_round(&bb, both, 2) || bb_arm(&bb, both, 2)); i++)
        assert_true(i < 900);
    fe_look(0);
    fe_look(1);
}
/* More of the silent one's than it can have, then some of the other's: these are done. */
static void others_go_on(uint8_t op, uint32_t n, unsigned asked)
{
    for (unsigned i = 0; i < asked; i++)
        fe_request(1, op, 0, n, 0, false, 0);
    two_run();
    assert_int_equal(w.answers, 0);
    assert_null(bb.starving);
    for (unsigned i = 1; i <= 20; i++) {
        fe_request(0, BLKIF_OP_READ, i, 1, 0, false, 0);
        if (i % 4)
            continue;
        two_run();
        assert_int_equal(w.answers, i);
    }
}
static void two_end(unsigned asked)
{
    silent_answers = true;
    two_run();
    assert_int_equal(w.answers, 20 + asked);
    assert_int_equal(silent.held_reqs + silent.held_pages, 0);
    assert_int_equal(the_disk.held_reqs + the_disk.held_pages, 0);
    assert_int_equal(bb.nr_free_pages, POOL);
    assert_null(bb.submit.head);
}

TEST(test_silent_full)
{
    two_disks(3);
    others_go_on(BLKIF_OP_READ, 1, 30);
    assert_int_equal(silent.held_reqs, 3);
    two_end(30);
}
TEST(test_silent_requests)
{
    two_disks(1000);
    others_go_on(BLKIF_OP_FLUSH_DISKCACHE, 0, 60);
    assert_int_equal(silent.held_reqs, BB_REQS / 3);
    assert_false(bb.short_of_pages);
    two_end(60);
}
TEST(test_silent_pages)
{
    two_disks(1000);
    others_go_on(BLKIF_OP_READ, 64, 11);
    assert_int_equal(silent.held_pages, 24); /* 8 each, of a third of 80 */
    assert_true(bb.short_of_pages);
    two_end(11);
}
/* It takes fewer at a time than it said: what waits for it keeps its order, and goes as soon as it can. */
TEST(test_silent_busy)
{
    two_disks(30);
    silent_room = 2;
    for (unsigned i = 0; i < 7; i++)
        fe_request(1, BLKIF_OP_READ, i, 1, 0, false, 0);
    others_go_on(BLKIF_OP_READ, 1, 0);
    assert_non_null(bb.submit.head);
    silent_room = 30;
    two_run();
    assert_int_equal(silent_nr, 7);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(silent_has[i]->sector, FIRST + i);
    two_end(7);
}

/* A ring breaks before what the last life left in it ran again: the other ring is served, and the disk can be closed. */
TEST(test_broken_with_replays)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        world_init(2, 1, PROTO_NATIVE, false);
        assert_true(be_start());
        w.slow = 20;
        for (unsigned i = 0; i < 3; i++)
            fe_request(0, BLKIF_OP_READ, 20, 1, 0, false, 0);
        fe_request(1, BLKIF_OP_READ, 20, 1, 0, false, 0);
        be_run(); /* taken, with the disk */
        fe_request(kind, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0, false, 0);
        (void)bb_round(&bb, devs, 1); /* taken */
        assert_true(be_start());
        assert_int_equal(disk.replays, 5);
        RING(0)->req_prod = RING(0)->rsp_prod + 1000;
        (void)bb_arm(&bb, devs, 1);
        assert_non_null(disk.ring[0].broken);
        w.slow = -1;
        be_run();
        fe_request(1, BLKIF_OP_READ, 40, 1, 0, false, 0);
        be_run();
        fe_look(1);
        assert_int_equal(RING(1)->rsp_prod, w.fe[1].req_prod);
        assert_int_equal(disk.replays, 0);
        assert_int_equal(disk.replays_data, 0);
        assert_int_equal(disk.replays_waiting, 0);
        assert_true(bb_close(&disk));
        bb_detach(&bb, &disk);
    }
}

/* A line that can be caused at will: eight at once, then one each five seconds. */
TEST(test_talk)
{
    struct talk t = { 0 };
    unsigned said = 0, left_out = 9, sum = 0;
    uint64_t now = 1000;

    for (unsigned i = 0; i < 100; i++)
        said += talk_may(&t, now, &left_out);
    assert_int_equal(said, TALK_BURST);
    assert_int_equal(left_out, 0);
    assert_true(talk_may(&t, now += TALK_EACH_NS, &left_out));
    assert_int_equal(left_out, 100 - TALK_BURST);
    assert_false(talk_may(&t, now, &left_out));
    for (unsigned i = 0; i < 1000; i++, now += TALK_EACH_NS / 10) {
        if (talk_may(&t, now, &left_out))
            said++, sum += left_out + 1;
    }
    assert_in_range(said, TALK_BURST + 99, TALK_BURST + 101);
    assert_in_range(sum, 990, 1001);
    for (unsigned i = said = 0; i < 20; i++)
        said += talk_may(&t, now + 100 * TALK_EACH_NS, &left_out);
    assert_int_equal(said, TALK_BURST);
}

static unsigned hook_runs;

static void hook(void)
{
    if (!hook_runs++)
        fe_request(0, BLKIF_OP_READ, 30, 1, 0, false, 0);
}

/* A request that comes between the last look and the request for an event, after the ring had been held up by a barrier. */
TEST(test_arm_race)
{
    w.slow = 20;
    fe_request(0, BLKIF_OP_WRITE, 20, 1, 0, false, 0);
    fe_request(0, BLKIF_OP_WRITE_BARRIER, 24, 1, 0, false, 0);
    settle();
    w.slow = -1;
    hook_runs = 0;
    arm_hook = hook;
    settle();
    arm_hook = NULL;
    assert_int_equal(w.answers, 3);
    be_check_idle();
}

TEST(test_closing)
{
    w.slow = 20;
    fe_request(0, BLKIF_OP_WRITE, 20, 1, 0, false, 0);
    be_run();
    assert_false(bb_close(&disk));
    fe_request(0, BLKIF_OP_READ, 40, 1, 0, false, 0); /* too late */
    be_run();
    assert_false(bb_close(&disk));
    w.slow = -1;
    settle();
    assert_true(bb_close(&disk));
    assert_int_equal(w.answers, 1);
    keep_close(&keep, &conn);
    unsigned at = 0;
    assert_int_equal(keep_next(&keep, &at, &conn), KEEP_END);
    bb_detach(&bb, &disk);
    assert_int_equal(bb.nr_disks, 0);
    assert_false(bb_round(&bb, devs, 1));
}

/* A flush is answered after the device's, and covers what was answered before it came: one that comes while another is at the
 * device needs one of its own. */
TEST(test_flush_covers)
{
    struct shadow *first, *second;

    w.hold_flushes = true;
    fe_request(0, BLKIF_OP_WRITE, 20, 4, 0, false, 0);
    settle();
    assert_int_equal(w.answers, 1);
    first = fe_request(0, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0, false, 0);
    settle();
    assert_true(first->pending);
    fe_request(0, BLKIF_OP_WRITE, 40, 4, 0, false, 0);
    settle();
    assert_int_equal(w.answers, 2);
    second = fe_request(0, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0, false, 0);
    settle();
    assert_true(first->pending && second->pending);
    w.hold_flushes = false;
    settle();
    assert_false(first->pending || second->pending);
    assert_int_equal(w.device_flushes, 2);
    be_check_idle();
}

TEST(test_no_cache)
{
    the_disk.flush = false;
    fe_request(0, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0, false, 0);
    fe_request(0, BLKIF_OP_FLUSH_DISKCACHE, 8, 8, 0, false, 0);
    settle();
    assert_int_equal(w.answers, 2);
    assert_int_equal(w.device_flushes, 0);
    be_check_idle();
}

/* A guest's limits outlive a crash, unless that was while they were stored. */

TEST(test_keep_pages_run_out)
{
    struct keep_conn more[4];

    for (unsigned i = 0; i < 4; i++) {
        memset(&more[i], 0, sizeof(more[i]));
        more[i].head = (struct keep_head){
            .gen = i, .domid = 17, .devid = i, .nr_queues = 2, .nr_pages = 2
        };
        assert_int_equal(keep_open(&keep, &more[i]), i < 2 ? 0 : -ENOSPC);
    }
    unsigned at = 0, n = 0;
    keep_init(&keep, w.keep, KPAGES);
    while (keep_next(&keep, &at, &conn) == KEEP_VALID)
        n++;
    assert_int_equal(n, 3);
    assert_int_equal(keep_free_pages(&keep), 0);
    keep_close(&keep, &more[0]);
    assert_int_equal(keep_free_pages(&keep), 4);
}

/* With the pages of the configuration there is room for every disk that can be, whatever the first ones took. */
TEST(test_keep_share)
{
    for (unsigned taken = 1; taken <= 16; taken *= 2) {
        unsigned left = 63;
        for (unsigned i = 0; i < BB_MAX_DISKS; i++) {
            unsigned n = keep_share(left, BB_MAX_DISKS - 1 - i);
            assert_true(n && n <= left && n <= KEEP_QUEUES * KEEP_RING_PAGES);
            left -= n < taken ? n : taken;
        }
    }
    assert_int_equal(keep_share(63, 15), 16);
    assert_int_equal(keep_share(1, 0), 1);
}

/* Random rings, indirect pages and deaths: nothing but the sanitizers and the mocks' checks to hold against. */
TEST(test_random)
{
    srand(7);
    for (unsigned run = 0; run < 400; run++) {
        world_init(1 + run % 2, 1 + run / 2 % 2, run / 4 % 2 ? PROTO_X86_32 : PROTO_NATIVE, false);
        lax = true;
        for (unsigned i = 0; i < 40; i++) {
            unsigned p = page_get();
            for (unsigned k = 0; k < 512; k++)
                put(w.mem[p] + 8 * k,
                    8 + (unsigned)rand() % 60 + ((uint64_t)(rand() % 8) << 32) +
                        ((uint64_t)(rand() % 9) << 40),
                    8);
            grant_new(p, 0, 4096, rand() % 2);
        }
        assert_true(be_start());
        for (unsigned step = 0; step < 30; step++) {
            for (unsigned q = 0; q < w.queues; q++) {
                for (unsigned n = (unsigned)rand() % 12; n > 0; n--) {
                    uint8_t *r = (uint8_t *)fe_slot(q, RING(q)->req_prod);
                    unsigned at = w.proto == PROTO_X86_32 ? 4 : 8;
                    for (unsigned i = 0; i < 108; i++)
                        r[i] = (uint8_t)(rand() % 4 ? 8 + rand() % 40 : rand());
                    r[0] = (uint8_t)(rand() % 8);
                    r[1] = (uint8_t)(r[0] == 6 ? rand() % 3 : rand() % 13);
                    if (r[0] == 6)
                        put(r + 2, (unsigned)rand() % 40, 2);
                    put(r + at + 8, (unsigned)rand() % (SECTORS + 8), 8);
                    for (unsigned i = 0; i < 11; i++) {
                        put(r + at + 16 + 8 * i, 8 + (unsigned)rand() % 50, 4);
                        r[at + 20 + 8 * i] = (uint8_t)(rand() % 8);
                        r[at + 21 + 8 * i] = (uint8_t)(rand() % 9);
                    }
                    if (RING(q)->req_prod - RING(q)->rsp_prod < RSIZE)
                        RING(q)->req_prod++;
                }
                w.fe[q].req_prod = w.fe[q].rsp_cons + RSIZE; /* anything may be answered */
                w.fe[q].rsp_cons = RING(q)->rsp_prod;
            }
            w.connected = false; /* the model's checks do not apply */
            if (rand() % 5)
                be_run();
            else
                (void)bb_round(&bb, devs, 1);
            if (rand() % 6 == 0)
                assert_true(be_start());
        }
        be_run();
        for (unsigned q = 0; q < w.queues; q++)
            assert_int_equal(RING(q)->rsp_prod, RING(q)->req_prod);
        be_check_idle();
    }
    lax = false;
}
