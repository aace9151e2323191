/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/blk_driver.c drivers-dom/blk/vbd_front.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk
/*
 * A relay's disk against a back-end that keeps written data in its own memory until they are flushed, answers in any order, dies with what it
 * has, does not let go of pages, writes to them after it was left, and lies.
 */
#include <errno.h>
#include "blk_driver.h"
#include "vbd_front.h"

enum { SECTORS = 8192, BYTES = SECTORS * 512, REFS = 400 };
static struct vbd_front f;
static struct batch batch;
static uint8_t disk[BYTES], cached[BYTES]; /* what survives it; what it has */
static void *granted[REFS];
static bool in_use[REFS];
static unsigned given, sends, flushes, deaths, ops_done[8], refuse_grants;
static bool port_open, mortal, reverse;
static int16_t fails;

/* --- what the driver stands on ---------------------------------------------------------------------------- */

uint64_t now_ns(void) { return now += 1000; }
void dtimer_set(struct dtimer *t, uint64_t when) { t->armed = true; }
int grant_give(domid_t to, const void *page, unsigned flags)
{
    unsigned ref = 8;

    assert_int_equal(to, 20 + deaths);
    if (refuse_grants && !--refuse_grants)
        return -ENOSPC;
    while (granted[ref])
        ref++;
    granted[ref] = (void *)(uintptr_t)page;
    given++;
    return (int)ref;
}
int grant_end(uint32_t ref)
{
    assert_non_null(granted[ref]);
    if (in_use[ref])
        return -EBUSY;
    granted[ref] = NULL;
    given--;
    return 0;
}
int event_alloc_unbound(domid_t remote, event_fn fn, void *arg)
{
    assert_false(port_open);
    port_open = true;
    return 5;
}
void event_close(uint32_t port)
{
    assert_true(port_open);
    port_open = false;
}
void batch_send(struct batch *b, uint32_t port)
{
    assert_true(b == &batch && port == 5 && port_open);
    sends++;
}

/* --- the back-end ----------------------------------------------------------------------------------------- */

static struct blkif_request held[32];
static uint32_t seen, rsp;

static struct blkif_sring *ring(void) { return granted[f.ring_ref]; }

static void give_back(const struct blkif_request *q, int16_t status)
{
    struct blkif_response a = { .id = q->id, .operation = q->operation, .status = status };

    memcpy(&ring()->ring[rsp % 32].rsp, &a, sizeof(a));
    ring()->rsp_prod = ++rsp;
}

static void move(const struct blkif_request *q)
{
    uint64_t at = q->sector_number * 512;

    assert_true(q->nr_segments && q->nr_segments <= 11);
    for (unsigned i = 0; i < q->nr_segments; i++) {
        const struct blkif_request_segment *s = &q->seg[i];
        uint8_t *page = granted[s->gref];
        size_t n = (s->last_sect - s->first_sect + 1u) * 512;
        assert_true(page && page != (void *)ring() && s->last_sect < 8 && at + n <= BYTES);
        if (fails)
            continue;
        if (q->operation == BLKIF_OP_READ)
            memcpy(page + s->first_sect * 512u, cached + at, n);
        else
            memcpy(cached + at, page + s->first_sect * 512u, n);
        at += n;
    }
}

static void execute(const struct blkif_request *q)
{
    const struct blkif_request_discard *r = (const void *)q;

    if (q->operation == BLKIF_OP_DISCARD) {
        assert_true(r->sector_number + r->nr_sectors <= SECTORS);
        memset(cached + r->sector_number * 512, 0, r->nr_sectors * 512);
        memset(disk + r->sector_number * 512, 0, r->nr_sectors * 512);
    } else if (q->operation == BLKIF_OP_FLUSH_DISKCACHE) {
        assert_int_equal(q->nr_segments, 0);
        flushes++;
        if (!fails)
            memcpy(disk, cached, BYTES);
    } else {
        move(q);
    }
    ops_done[q->operation]++;
    give_back(q, fails);
}

static void fetch(void)
{
    for (; seen != ring()->req_prod; seen++) {
        assert_true(nr_held < 32);
        memcpy(&held[nr_held++], &ring()->ring[seen % 32].req, sizeof(held[0]));
    }
    ring()->req_event = seen + 1;
}

static void connect(void)
{
    assert_int_equal(vf_let_go(&f), 0);
    assert_int_equal(given, 0);
    assert_int_equal(vf_offer(&f, (domid_t)(20 + deaths)), 0);
    nr_held = seen = rsp = 0;
    vf_up(&f);
}

/* What it had and was not flushed is lost, or some of it. */
static void dies(void)
{
    deaths++;
    for (unsigned s = 0; s < SECTORS; s++) {
        if (rand() & 1)
            memcpy(cached + s * 512, disk + s * 512, 512);
        else
            memcpy(disk + s * 512, cached + s * 512, 512);
    }
    vf_down(&f);
    memset(f.data, 0xee, VF_PAGES * PAGE); /* its last writes */
    memset(f.ring, 0xee, PAGE);
    assert_false(d->ops->arm(d));
    assert_int_equal(d->ops->poll(d), 0);
    connect();
}

void work(unsigned n)
{
    if (mortal && !(rand() % 40))
        dies();
    fetch();
    for (; n && nr_held; n--) {
        unsigned i = reverse ? (unsigned)rand() % nr_held : 0;
        struct blkif_request q = held[i];
        memmove(&held[i], &held[i + 1], (nr_held - i - 1) * sizeof(held[0]));
        nr_held--;
        execute(&q);
    }
}

int setup(void **state)
{
    driver_fresh();
    memset(granted, 0, sizeof(granted));
    memset(in_use, 0, sizeof(in_use));
    memset(disk, 0, BYTES);
    memset(cached, 0, BYTES);
    memset(ops_done, 0, sizeof(ops_done));
    given = sends = flushes = deaths = refuse_grants = 0;
    port_open = mortal = reverse = false;
    fails = 0;
    vf_init(&f, &batch);
    f.dev.nr_sectors = SECTORS;
    f.dev.sector_size = 512;
    f.dev.model = "disk";
    f.can_flush = f.can_discard = true;
    d = &f.dev;
    connect();
    return 0;
}

/* --- requests --------------------------------------------------------------------------------------------- */

static void random_io(bool through, bool dying)
{
    static uint8_t model[BYTES];
    memset(model, 0, BYTES);
    f.through = through;
    mortal = dying;
    reverse = true;
    buffers(8, 32);
    random_requests(model, 1024);
    mortal = false;
    all();
    assert_memory_equal(through ? disk : cached, model, BYTES);
    assert_true(ops_done[BLKIF_OP_READ] > 100 && ops_done[BLKIF_OP_WRITE] > 100 &&
                ops_done[BLKIF_OP_DISCARD] > 100 && flushes > 100);
    assert_true(!dying || deaths > 100);
}
TEST(in_any_order) { random_io(false, false); }
TEST(in_any_order_through) { random_io(true, false); }
TEST(dies_all_the_time) { random_io(true, true); }

/* One flush covers all that were answered before it was asked, and no write is done before it. */
TEST(flush_covers)
{
    f.through = true;
    buffers(8, 1);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(submit(i, BLK_WRITE, i * 8, 8, 4096), 0);
    d->ops->poll(d);
    work(5);
    assert_int_equal(d->ops->poll(d), 5);
    assert_int_equal(completed, 0);
    fetch();
    assert_int_equal(nr_held, 4); /* three writes, and the flush of five */
    assert_int_equal(held[3].operation, BLKIF_OP_FLUSH_DISKCACHE);
    work(3);
    d->ops->poll(d);
    assert_int_equal(completed, 0);
    work(1);
    d->ops->poll(d);
    assert_int_equal(completed, 5);
    work(1);
    d->ops->poll(d);
    assert_int_equal(completed, 8);
    assert_int_equal(flushes, 2);
}

TEST(flush_fails)
{
    f.through = true;
    buffers(2, 1);
    assert_int_equal(submit(0, BLK_WRITE, 0, 8, 4096), 0);
    d->ops->poll(d), work(1), d->ops->poll(d);
    fails = BLKIF_RSP_EOPNOTSUPP;
    work(1);
    d->ops->poll(d);
    assert_int_equal(completed, 1);
    assert_int_equal(io[0].status, -EIO);
}

TEST(parts)
{
    buffers(1, 64);
    for (unsigned i = 0; i < 64 * PAGE; i++)
        data[0][i] = (uint8_t)(i / 512 * 7);
    assert_int_equal(submit(0, BLK_WRITE, 100, 509, 4096), 0);
    d->ops->poll(d);
    fetch();
    assert_int_equal(nr_held, 6);
    all();
    assert_memory_equal(cached + 100 * 512, data[0], 509 * 512);
    io[0].status = 1;
    memset(data[0], 0, 64 * PAGE);
    assert_int_equal(submit(0, BLK_READ, 100, 509, 32768), 0);
    all();
    assert_memory_equal(cached + 100 * 512, data[0], 509 * 512);
    fails = BLKIF_RSP_ERROR; /* any part */
    assert_int_equal(submit(0, BLK_READ, 100, 509, 32768), 0);
    d->ops->poll(d), work(2), fails = 0, all();
    assert_int_equal(io[0].status, -EIO);
}

TEST(full)
{
    buffers(2, 64);
    for (unsigned i = 0; i < VF_IOS; i++) {
        data[i] = data[i % 2];
        assert_int_equal(submit(i, BLK_READ, i, i % 3 ? 1 : 512, 4096), 0);
    }
    assert_int_equal(submit(VF_IOS, BLK_READ, 0, 1, 4096), -EBUSY);
    all();
    assert_int_equal(completed, VF_IOS);
    assert_int_equal(f.nr_free_pages, VF_PAGES);
}

/* What it cannot is answered without it. */
TEST(cannot)
{
    f.can_flush = f.can_discard = false;
    assert_int_equal(submit(0, BLK_DISCARD, 0, 8, 4096), 0);
    assert_int_equal(submit(1, BLK_FLUSH, 0, 0, 4096), 0);
    d->ops->poll(d);
    assert_int_equal(completed, 2);
    assert_int_equal(io[0].status, -EOPNOTSUPP);
    assert_int_equal(io[1].status, 0);
}

TEST(errors)
{
    static const struct {
        enum blk_op op;
        int16_t status;
        int want;
    } cases[] = { { BLK_READ, -1, -EIO },    { BLK_READ, -2, -EIO },
                  { BLK_WRITE, 1, -EIO },    { BLK_DISCARD, -2, -EOPNOTSUPP },
                  { BLK_DISCARD, -1, -EIO }, { BLK_FLUSH, -32768, -EIO } };
    buffers(1, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        fails = cases[i].status;
        assert_int_equal(submit(0, cases[i].op, 8, cases[i].op == BLK_FLUSH ? 0 : 1, 4096), 0);
        all();
        assert_false(out[0]);
        assert_int_equal(io[0].status, cases[i].want);
    }
}

TEST(notifies)
{
    buffers(2, 1);
    assert_int_equal(submit(0, BLK_READ, 0, 1, 4096), 0);
    d->ops->poll(d), d->ops->poll(d);
    assert_int_equal(sends, 1);
    assert_int_equal(submit(1, BLK_READ, 0, 1, 4096), 0);
    d->ops->arm(d); /* it has not looked since */
    assert_int_equal(sends, 1);
    assert_int_equal(ring()->rsp_event, 1);
    work(1);
    assert_true(d->ops->arm(d));
    assert_int_equal(ring()->rsp_event, 1);
    all();
    assert_int_equal(submit(1, BLK_READ, 0, 1, 4096), 0);
    d->ops->poll(d);
    assert_int_equal(sends, 2);
}

/* --- a back-end that is left ------------------------------------------------------------------------------ */

/* Whoever still has a page is waited for; what he writes there is nobody's. */
TEST(does_not_let_go)
{
    buffers(2, 1);
    memset(cached, 0x11, 4096);
    memset(data[0], 0, PAGE);
    assert_int_equal(submit(0, BLK_READ, 0, 8, 4096), 0);
    d->ops->poll(d);
    fetch();
    in_use[held[0].seg[0].gref] = true;
    uint8_t *page = granted[held[0].seg[0].gref];
    vf_down(&f);
    assert_int_equal(vf_let_go(&f), 1);
    assert_int_equal(vf_let_go(&f), 1);
    memset(page, 0x55, PAGE);
    assert_int_equal(d->ops->poll(d), 0);
    assert_int_equal(completed, 0);
    memset(in_use, 0, sizeof(in_use));
    deaths++;
    connect();
    all();
    assert_int_equal(completed, 1);
    for (unsigned i = 0; i < PAGE; i++)
        assert_int_equal(data[0][i], 0x11);
}

/* The next back-end sees nothing of what the last one did. */
TEST(pages_are_clean)
{
    buffers(1, 11);
    memset(data[0], 0x77, 11 * PAGE);
    assert_int_equal(submit(0, BLK_WRITE, 0, 88, 4096), 0);
    all();
    vf_down(&f);
    connect();
    for (unsigned r = 0; r < REFS; r++) {
        for (unsigned i = 0; granted[r] && granted[r] != ring() && i < PAGE; i++)
            assert_int_equal(((uint8_t *)granted[r])[i], 0);
    }
}

TEST(no_room)
{
    vf_down(&f);
    assert_int_equal(vf_let_go(&f), 0);
    refuse_grants = 50;
    assert_int_equal(vf_offer(&f, 20), -ENOSPC);
    vf_down(&f);
    assert_int_equal(vf_let_go(&f), 0);
    assert_int_equal(given, 0);
    connect();
}

TEST(forgets)
{
    buffers(2, 1);
    assert_int_equal(submit(0, BLK_READ, 0, 8, 4096), 0);
    d->ops->poll(d);
    vf_down(&f);
    vf_forget(&f);
    connect();
    assert_int_equal(submit(1, BLK_READ, 0, 8, 4096), 0);
    all();
    assert_int_equal(completed, 1);
    assert_true(out[0] && !out[1]);
}

/* --- lies ------------------------------------------------------------------------------------------------- */

static void breaks(const char *word)
{
    unsigned before = completed;
    d->ops->poll(d);
    assert_non_null(f.breach);
    if (!strstr(f.breach, word))
        fail_msg("'%s' instead of '%s'", f.breach, word);
    assert_false(f.up || port_open);
    assert_int_equal(completed, before);
    assert_false(d->ops->arm(d));
    connect(); /* an honest one: all is answered */
    assert_null(f.breach);
    all();
    assert_int_equal(f.nr_ios, 0);
}

static struct blkif_request *asks(enum blk_op op)
{
    buffers(1, 1);
    assert_int_equal(submit(0, op, 0, op == BLK_FLUSH ? 0 : 8, 4096), 0);
    d->ops->poll(d);
    fetch();
    return &held[0];
}

TEST(lies)
{
    struct blkif_request *q = asks(BLK_READ);
    q->id++, give_back(q, 0), breaks("not asked");                          /* another slot */
    q = asks(BLK_READ), q->id += 256, give_back(q, 0), breaks("not asked"); /* another time */
    q = asks(BLK_READ), q->id |= 1ull << 40, give_back(q, 0), breaks("not asked");
    q = asks(BLK_READ), q->operation = BLKIF_OP_WRITE, give_back(q, 0), breaks("not asked");
    q = asks(BLK_WRITE), q->operation = BLKIF_OP_FLUSH_DISKCACHE, give_back(q, 0),
    breaks("not asked");
    asks(BLK_READ), ring()->rsp_prod = rsp + 2, breaks("more than");
    asks(BLK_READ), ring()->rsp_prod = 0xffffffff, breaks("more than");
    asks(BLK_READ), ring()->rsp_prod = 1u << 31, breaks("more than");
    asks(BLK_READ), ring()->req_prod = 40, ring()->rsp_prod = rsp + 33, breaks("more than");
    asks(BLK_READ), memset(ring(), 0xff, PAGE), breaks("more than");
}

/* The same answer twice: the second one may fall on a later request in the same place. */
TEST(twice)
{
    struct blkif_request q = *asks(BLK_READ);
    give_back(&q, 0), nr_held = 0;
    d->ops->poll(d);
    assert_int_equal(completed, 1);
    (void)asks(BLK_READ);
    give_back(&q, 0);
    breaks("not asked");
}

/* Whatever is in the shared pages: nothing but breaches, and never an answer that was not earned. */
TEST(rubbish)
{
    buffers(8, 2);
    for (unsigned round = 0; round < 3000; round++) {
        unsigned i = (unsigned)rand() % 8;
        if (!out[i])
            assert_int_equal(submit(i, rand() & 1 ? BLK_READ : BLK_WRITE, i * 16, 16, 4096), 0);
        struct blkif_request q = { .operation = (uint8_t)rand() % 4,
                                   .id = (unsigned)rand() % 32 | (1 + (unsigned)rand() % 2) << 8 };
        if (rand() & 1)
            give_back(&q, 0);
        for (unsigned k = (unsigned)rand() % 4; !(rand() % 4) && k; k--)
            ((uint8_t *)ring())[rand() % (rand() & 1 ? 16 : PAGE)] = (uint8_t)rand();
        d->ops->poll(d);
        d->ops->arm(d);
        if (!f.up)
            connect();
        else if (rand() & 1)
            vf_down(&f), connect();
    }
    vf_down(&f), connect(), all();
    assert_int_equal(f.nr_ios, 0);
}
