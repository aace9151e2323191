/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/copies.c drivers-dom/blk/journal.c drivers-dom/blk/adopt.c drivers-dom/lib/blame.c drivers-dom/lib/keep_record.c drivers-dom/blk/rings.c drivers-dom/blk/request.c
/* blk_world.h. */
#include "blk_world.h"

struct world w;

void (*store_hook)(void);

static void check_published(void)
{
    for (unsigned q = 0; q < w.queues; q++) {
        uint32_t prod = RING(q)->rsp_prod;
        if (w.connected && prod - w.fe[q].rsp_cons > w.fe[q].req_prod - w.fe[q].rsp_cons)
            fail_msg("illegal number of responses");
    }
}

void shared_stored(void)
{
    check_published();
    for (unsigned q = 0; q < w.queues && w.eager && w.connected; q++)
        fe_look(q);
    if (store_hook)
        store_hook();
    crash_point();
}

/* --- the front-end's memory ----------------------------------------------------------------------------------- */

void fill(uint8_t *p, uint32_t ver, uint32_t sector)
{
    if (!ver || ver == DISCARDED) {
        memset(p, 0, 512);
        return;
    }
    for (unsigned i = 0; i < 512; i++)
        p[i] = (uint8_t)(ver * 37 + sector * 11 + i * 3 + (ver >> 8) + i / 97);
}

unsigned page_get(void)
{
    for (unsigned i = 0; i < PAGES; i++) {
        if (!w.page_used[i]) {
            w.page_used[i] = true;
            memset(w.mem[i], 0xee, 4096);
            return i;
        }
    }
    fail_msg("script needs more pages");
    return 0;
}

uint32_t grant_new(unsigned page, unsigned lo, unsigned hi, bool write)
{
    while (w.grant[w.next_ref % NGRANT].ref || !w.next_ref)
        w.next_ref++;
    w.grant[w.next_ref % NGRANT] = (struct grant){ w.next_ref, page, lo, hi, write };
    return w.next_ref++;
}

static struct grant *grant_of(uint32_t ref)
{
    struct grant *g = &w.grant[ref % NGRANT];
    return ref && g->ref == ref ? g : NULL;
}

bool lax;
uint32_t fail_ref;
static uint8_t pool[POOL * 4096] __attribute__((aligned(4096)));

static int copy_add(struct batch *b, uint32_t ref, unsigned off, void *p, unsigned len, uint16_t flags)
{
    size_t at = (size_t)((uint8_t *)p - pool);

    if (blame_kept->whose != keep_idx(disk.gen))
        fail_msg("a copy that is nobody's");
    if (at >= sizeof(pool) || at % 4096 + len > 4096)
        fail_msg("copy of %u bytes crosses a page of the back-end's", len);
    return copy_put(b, ref, off, p, len, flags);
}

int batch_copy_from(struct batch *b, domid_t dom, uint32_t ref, unsigned off, void *dst, unsigned len)
{
    return copy_add(b, ref, off, dst, len, GNTCOPY_source_gref);
}

int batch_copy_to(struct batch *b, domid_t dom, uint32_t ref, unsigned off, const void *src,
                  unsigned len)
{
    return copy_add(b, ref, off, (void *)(uintptr_t)src, len, GNTCOPY_dest_gref);
}

int batch_flush(struct batch *b)
{
    if (blame_kept->whose != keep_idx(0))
        fail_msg("the copies of all are somebody's");
    for (unsigned i = 0; i < b->nr_copies; i++) {
        struct gnttab_copy *c = &b->copy[i];
        bool from = c->flags & GNTCOPY_source_gref;
        uint32_t ref = from ? c->source.u.ref : c->dest.u.ref;
        unsigned off = from ? c->source.offset : c->dest.offset;
        struct grant *g = grant_of(ref);
        c->status = GNTST_bad_gntref;
        if (ref == fail_ref || (lax && (!g || (!from && !g->write))))
            continue;
        if (!g || (!from && !g->write))
            fail_msg("copy %s grant %u, which is not offered for it", from ? "from" : "to", ref);
        if (!lax && (off < g->lo || off + c->len > g->hi))
            fail_msg("copy outside of what the request names");
        if (from)
            memcpy(copied[i], w.mem[g->page] + off, c->len);
        else
            memcpy(w.mem[g->page] + off, copied[i], c->len);
        c->status = GNTST_okay;
        crash_point();
    }
    b->nr_copies = 0;
    for (unsigned i = 0; i < b->nr_sends; i++) {
        w.fe[b->send[i] - 1].event = true;
        crash_point();
    }
    b->nr_sends = 0;
    return 0;
}

/* --- the front-end ------------------------------------------------------------------------------------------ */

uint32_t *fe_slot(unsigned q, uint32_t i)
{
    return (uint32_t *)(w.ring[q] + 64 + (i & (RSIZE - 1)) * (w.proto == PROTO_X86_32 ? 108 : 112));
}

void put(uint8_t *p, uint64_t v, unsigned n) { memcpy(p, &v, n); }

static void fe_push(unsigned q)
{
    uint32_t old = RING(q)->req_prod;

    RING(q)->req_prod = w.fe[q].req_prod;
    if (w.fe[q].req_prod - RING(q)->req_event < w.fe[q].req_prod - old)
        w.be_event = true;
}

static unsigned fe_id(unsigned q)
{
    for (unsigned i = 0; i < RSIZE; i++) {
        unsigned id = (w.next_id + i * 7) % RSIZE;
        if (!w.fe[q].shadow[id].pending) {
            w.next_id += 5;
            return id;
        }
    }
    return IDS;
}

/* Pages, grants and data of n sectors from `sector` on; ragged: segments that start and end inside pages. */
static void fe_segs(struct shadow *s, bool write, unsigned ragged)
{
    uint8_t buf[512];

    for (uint32_t at = 0; at < s->n; s->nsegs++) {
        unsigned i = s->nsegs, off = ragged ? (i * 3 + ragged) % 8 : 0, len = 8 - off, p = page_get();
        if (ragged && len > 1)
            len -= i % 2;
        if (len > s->n - at)
            len = s->n - at;
        s->page[i] = (uint16_t)p;
        s->off[i] = (uint8_t)off;
        s->len[i] = (uint8_t)len;
        s->ref[i] = grant_new(p, off * 512, (off + len) * 512, !write);
        for (unsigned k = 0; k < len; k++, at++) {
            if (write) {
                fill(buf, s->ver, s->sector + at);
                memcpy(w.mem[p] + (off + k) * 512, buf, 512);
            }
        }
    }
    s->npages = s->nsegs;
}

static void fe_put_segs(uint8_t *p, const struct shadow *s)
{
    for (unsigned i = 0; i < s->nsegs; i++) {
        put(p + 8 * i, s->ref[i], 4);
        p[8 * i + 4] = s->off[i];
        p[8 * i + 5] = (uint8_t)(s->off[i] + s->len[i] - 1);
    }
}

/* What the request will have done once it is answered. */
static void fe_claim(struct shadow *s, uint8_t op)
{
    bool write = op == BLKIF_OP_WRITE || ((op == 2 || op == 3) && s->n);

    s->read = op == BLKIF_OP_READ;
    s->flush = op == BLKIF_OP_FLUSH_DISKCACHE || op == BLKIF_OP_WRITE_BARRIER;
    s->barrier = op == BLKIF_OP_WRITE_BARRIER;
    s->need_seq = w.acked_seq;
    if (write || op == BLKIF_OP_DISCARD) {
        s->ver = op == BLKIF_OP_DISCARD ? DISCARDED : ++w.ver;
        for (unsigned i = 0; i < s->n && s->expect == 0; i++) {
            if (w.pending[s->sector + i])
                fail_msg("script overlaps writes in flight");
            w.pending[s->sector + i] = s->ver;
        }
    }
}

struct shadow *fe_request(unsigned q, uint8_t op, uint32_t sector, uint32_t n, unsigned ragged,
                          bool indirect, int expect)
{
    unsigned id = fe_id(q), at = w.proto == PROTO_X86_32 ? 4 : 8;
    struct shadow *s = &w.fe[q].shadow[id];
    uint8_t r[112] = { 0 };

    if (id == IDS || w.fe[q].req_prod - w.fe[q].rsp_cons == RSIZE)
        fail_msg("script overfills the ring");
    *s = (struct shadow){
        .pending = true, .op = op, .sector = sector, .n = n, .expect = expect, .order = ++w.order
    };
    fe_claim(s, op);
    if (op != BLKIF_OP_DISCARD)
        fe_segs(s, op != BLKIF_OP_READ, ragged);
    r[0] = indirect ? BLKIF_OP_INDIRECT : op;
    put(r + at, id + ((uint64_t)id << 40), 8);
    put(r + at + 8, sector, 8);
    if (indirect) {
        unsigned p = page_get();
        r[1] = op;
        put(r + 2, s->nsegs, 2);
        s->page[s->npages] = (uint16_t)p;
        s->ref[s->npages] = grant_new(p, 0, s->nsegs * 8, false);
        put(r + at + 20, s->ref[s->npages++], 4);
        fe_put_segs(w.mem[p], s);
    } else if (op == BLKIF_OP_DISCARD) {
        put(r + at + 16, n, 8);
    } else {
        r[1] = (uint8_t)s->nsegs;
        fe_put_segs(r + at + 16, s);
    }
    memcpy(fe_slot(q, w.fe[q].req_prod++), r, w.proto == PROTO_X86_32 ? 108 : 112);
    fe_push(q);
    return s;
}

static void fe_release(struct shadow *s)
{
    for (unsigned i = 0; i < s->npages; i++) {
        struct grant *g = grant_of(s->ref[i]);
        g->ref = 0;
        w.page_used[s->page[i]] = false;
    }
    s->pending = false;
}

static void fe_read_check(const struct shadow *s)
{
    uint8_t buf[512];
    uint32_t at = s->sector;

    for (unsigned i = 0; i < s->nsegs; i++) {
        for (unsigned k = 0; k < s->len[i]; k++, at++) {
            fill(buf, w.acked[at], at);
            if (memcmp(buf, w.mem[s->page[i]] + (s->off[i] + k) * 512, 512))
                fail_msg("read of sector %u is wrong", at);
        }
    }
}

/* blkif_interrupt: a response to what is not pending, or with another operation, disables the disk. */
static void fe_response(unsigned q, const uint8_t *r)
{
    uint64_t id;
    int16_t status;

    memcpy(&id, r, 8);
    memcpy(&status, r + 10, 2);
    if ((uint32_t)id >= RSIZE || id != ((id & 0xff) | (id & 0xff) << 40) ||
        !w.fe[q].shadow[id & 0xff].pending)
        fail_msg("response to %lx, which is not pending", (unsigned long)id);
    struct shadow *s = &w.fe[q].shadow[id & 0xff];
    if (r[8] != s->op)
        fail_msg("response with operation %u to one with %u", r[8], s->op);
    if (status != s->expect)
        fail_msg("status %d instead of %d (operation %u, sector %u)", status, s->expect, s->op,
                 s->sector);
    if (s->read && status == 0)
        fe_read_check(s);
    if (s->ver && status == 0) {
        for (unsigned i = 0; i < s->n; i++) {
            uint8_t buf[512];
            fill(buf, s->ver, s->sector + i);
            if (memcmp(buf, w.disk[FIRST + s->sector + i], 512))
                fail_msg("write of sector %u was answered and is not on the disk", s->sector + i);
            w.acked[s->sector + i] = s->ver;
            w.pending[s->sector + i] = 0;
        }
        w.acked_seq = w.done_seq;
    }
    if (s->flush && status == 0 && (int32_t)(w.flushed_seq - s->need_seq) < 0)
        fail_msg("flush answered before the device flushed what was answered before");
    if (s->barrier && s->n && status == 0 &&
        (!s->done_seq || (int32_t)(w.flushed_seq - s->done_seq) < 0))
        fail_msg("barrier answered before the device flushed its data");
    w.answers++;
    fe_release(s);
}

void fe_look(unsigned q)
{
    uint32_t prod = RING(q)->rsp_prod;

    for (; w.fe[q].rsp_cons != prod; w.fe[q].rsp_cons++) {
        uint8_t r[12];
        memcpy(r, fe_slot(q, w.fe[q].rsp_cons), 12);
        fe_response(q, r);
        RING(q)->rsp_event = w.fe[q].rsp_cons + 2;
    }
    /* The slot is used again at once: a late body would land on a request. */
    while (w.eager && w.fillers && fe_id(q) != IDS &&
           w.fe[q].req_prod - w.fe[q].rsp_cons < RSIZE / 2) {
        w.fillers--;
        fe_request(q, BLKIF_OP_READ, SECTORS - 8 + w.fillers % 8, 1, 0, false, 0);
    }
    RING(q)->rsp_event = prod + 1;
}

/* --- the disk -------------------------------------------------------------------------------------------------- */

static struct blk_io *queue[DEPTH];
static unsigned nr_queued;
struct bb_disk disk;
void (*arm_hook)(void);
void (*fresh_hook)(void);

static struct shadow *owner_of(uint32_t sector, unsigned *q)
{
    for (*q = 0; *q < w.queues; ++*q) {
        for (unsigned i = 0; i < RSIZE; i++) {
            struct shadow *s = &w.fe[*q].shadow[i];
            if (s->pending && s->ver && sector >= s->sector && sector < s->sector + s->n)
                return s;
        }
    }
    return NULL;
}

/* A barrier runs alone in its ring. */
static void order_check(const struct shadow *s, unsigned q)
{
    for (unsigned i = 0; i < RSIZE; i++) {
        const struct shadow *o = &w.fe[q].shadow[i];
        if (!o->pending || o == s || o->expect)
            continue;
        if (s->barrier && o->order < s->order && o->ver && !o->executed)
            fail_msg("barrier before an earlier write");
        if (o->barrier && o->order < s->order && !(o->executed || !o->n))
            fail_msg("write before an earlier barrier");
    }
}

static void disk_write(uint32_t at, const uint8_t *p)
{
    uint8_t buf[512];
    uint32_t sector = at - FIRST;
    unsigned q;

    if (lax && at >= FIRST && sector < SECTORS) {
        memcpy(w.disk[at], p, 512);
        return;
    }
    if (at < FIRST || sector >= SECTORS || !w.pending[sector])
        fail_msg("write to sector %u, which nobody asked for", sector);
    fill(buf, w.pending[sector], sector);
    if (memcmp(buf, p, 512))
        fail_msg("wrong data for sector %u", sector);
    struct shadow *s = owner_of(sector, &q);
    order_check(s, q);
    memcpy(w.disk[at], p, 512);
    if (sector == s->sector + s->n - 1)
        s->executed = true;
}

static bool is_bad(const struct blk_io *io)
{
    return io->op != BLK_FLUSH && io->sector <= FIRST + BAD_SECTOR &&
           io->sector + io->nr_sectors > FIRST + BAD_SECTOR;
}

static void disk_execute(struct blk_io *io)
{
    static const uint8_t zero[512];
    uint32_t at = (uint32_t)io->sector;

    io->status = is_bad(io) ? -EIO : 0;
    if (io->status)
        return;
    if (io->op == BLK_DISCARD) {
        for (unsigned i = 0; i < io->nr_sectors; i++)
            disk_write(at + i, zero);
    }
    for (unsigned i = 0; i < io->nr_segs; i++) {
        uint8_t *va = io->seg[i].va;
        if ((uintptr_t)va % 4096 || (io->seg[i].len % 4096 && i + 1 < io->nr_segs))
            fail_msg("segment that no PRP list can express");
        for (unsigned k = 0; k < io->seg[i].len; k += 512, at++) {
            if (at < FIRST || at >= FIRST + SECTORS)
                fail_msg("access outside of the volume");
            if (io->op == BLK_WRITE)
                disk_write(at, va + k);
            else
                memcpy(va + k, w.disk[at], 512);
        }
    }
    if (io->nr_segs && at != io->sector + io->nr_sectors)
        fail_msg("segments and sectors differ");
}

/* A flush covers what had completed when it came, and that only once it has completed itself: all the rest may be in the cache. */
static void disk_completed(const struct blk_io *io)
{
    unsigned q;

    if (io->op == BLK_FLUSH) {
        if ((int32_t)(io->since - w.flushed_seq) > 0)
            w.flushed_seq = io->since;
        w.device_flushes++;
    } else if (io->op != BLK_READ && !io->status) {
        struct shadow *s = owner_of((uint32_t)io->sector - FIRST, &q);
        w.done_seq++;
        if (s)
            s->done_seq = w.done_seq;
    }
}

static int disk_submit(struct blkdev *d, struct blk_io *io)
{
    const struct bb_req *r = (const struct bb_req *)io;

    if (blame_kept->whose != keep_idx(disk.gen))
        fail_msg("a submission that is nobody's");
    if (nr_queued == DEPTH)
        return -EBUSY;
    if (!r->replay && disk.replays_waiting)
        fail_msg("new request before all of the last life were started");
    if (io->op == BLK_FLUSH && disk.replays_data)
        fail_msg("flush before all data requests of the last life were done");
    if (io->nr_segs > d->max_segs ||
        (uint64_t)io->nr_sectors * 512 > d->max_bytes * (io->op == BLK_DISCARD ? 100ull : 1))
        fail_msg("request beyond the device's limits");
    if (!w.exec_late)
        disk_execute(io);
    crash_point();
    io->since = w.done_seq;
    queue[nr_queued++] = io;
    return 0;
}

static unsigned disk_poll(struct blkdev *d)
{
    unsigned n = 0;

    for (unsigned i = 0; i < nr_queued;) {
        unsigned at = w.lifo ? nr_queued - 1 - i : i;
        struct blk_io *io = queue[at];
        if (io->op == BLK_FLUSH ? w.hold_flushes
                                : w.slow >= 0 && io->sector == (uint64_t)(FIRST + w.slow)) {
            i++;
            continue;
        }
        memmove(&queue[at], &queue[at + 1], (--nr_queued - at) * sizeof(queue[0]));
        if (w.exec_late)
            disk_execute(io);
        disk_completed(io);
        crash_point();
        n++;
        if (blame_kept->whose != keep_idx(0))
            fail_msg("what the device says is somebody's");
        io->done(io);
        i = 0;
    }
    return n;
}

static bool disk_arm(struct blkdev *d)
{
    if (arm_hook)
        arm_hook();
    return false;
}

static const struct blkdev_ops disk_ops = { disk_submit, disk_poll, disk_arm };
struct blkdev the_disk = {
    .ops = &disk_ops,
    .model = "model",
    .nr_sectors = DISK,
    .sector_size = 512,
    .flush = true,
    .discard = true,
    .max_discard_sectors = 5,
    .max_bytes = 1 << 18,
    .max_segs = 64,
    .queue_depth = DEPTH,
};
struct blkdev *const devs[] = { &the_disk };

/* --- one instance of the back-end ------------------------------------------------------------------------------ */

struct bb bb;
static struct batch batch;
struct keep keep;
struct keep_conn conn;

static struct blame blamed;

static void be_fresh(void)
{
    memset(&batch, 0, sizeof(batch));
    memset(&disk, 0, sizeof(disk));
    memset(pool, 0xdd, sizeof(pool));
    nr_queued = 0;
    the_disk.held_reqs = the_disk.held_pages = 0;
    memset(&blamed, 0xff, sizeof(blamed)); /* as after a death */
    blame_kept = &blamed;
    blame_kept->whose = keep_idx(0);
    bb_init(&bb, &batch);
    bb_pool_add(&bb, pool, POOL / 2);
    bb_pool_add(&bb, pool + POOL / 2 * 4096, POOL / 2);
    keep_init(&keep, w.keep, KPAGES);
    disk.dev = &the_disk;
    disk.first = FIRST;
    disk.nr_sectors = SECTORS;
    disk.sector_size = the_disk.sector_size;
    disk.unit = 1;
    disk.max_segs = 32;
    disk.discard = true;
    disk.dom = 16;
    disk.gen = 7;
    for (unsigned q = 0; q < w.queues; q++) {
        disk.ring[q].sring = w.ring[q];
        disk.ring[q].port = q + 1;
    }
    if (fresh_hook)
        fresh_hook();
}

const char *be_why;

static void be_connect(void)
{
    memset(&conn, 0, sizeof(conn));
    conn.head = (struct keep_head){ .devid = 51712,
                                    .gen = 1234567 + points,
                                    .domid = 16,
                                    .nr_queues = (uint8_t)w.queues,
                                    .nr_pages = (uint8_t)w.rpages,
                                    .proto = (uint8_t)w.proto };
    for (unsigned q = 0; q < w.queues; q++) {
        conn.q[q].port = q + 1;
        conn.q[q].start = RING(q)->rsp_prod;
    }
    assert_int_equal(keep_open(&keep, &conn), 0);
    bb_attach(&bb, &disk, &conn);
}

bool be_start(void)
{
    unsigned at = 0;
    enum keep_found f;

    be_fresh();
    be_why = NULL;
    f = keep_next(&keep, &at, &conn);
    if (f == KEEP_END && !w.connected)
        be_connect();
    else if (f == KEEP_VALID)
        be_why = bb_adopt(&bb, &disk, &conn);
    else
        be_why = f == KEEP_END ? "no record" : "damaged record";
    if (be_why)
        return false;
    w.connected = true;
    crash_point();
    w.be_event = true;
    return true;
}

void be_run(void)
{
    for (unsigned n = 0;; n++) {
        if (n > 20000)
            fail_msg("the back-end never rests");
        if (!bb_round(&bb, devs, 1) && !bb_arm(&bb, devs, 1))
            break;
    }
    batch_flush(&batch); /* the wait takes along what is left */
}

void be_check_idle(void)
{
    unsigned n = 0;

    for (struct bb_req *q = bb.free_req; q; q = q->next)
        n++;
    assert_int_equal(n, BB_REQS);
    assert_int_equal(bb.nr_free_pages, POOL);
    for (unsigned q = 0; q < w.queues; q++) {
        assert_int_equal(disk.ring[q].j.nr_free, RSIZE);
        assert_int_equal(disk.ring[q].inflight, 0);
        assert_null(disk.ring[q].broken);
    }
    assert_int_equal(disk.replays, 0);
    assert_int_equal(disk.replays_data, 0);
    assert_int_equal(disk.replays_waiting, 0);
}

void world_init(unsigned queues, unsigned rpages, enum keep_proto proto, bool eager)
{
    memset(&w, 0, sizeof(w));
    w.queues = queues;
    w.rpages = rpages;
    w.proto = proto;
    w.eager = eager;
    w.fillers = eager ? 20 : 0;
    w.next_ref = 8;
    w.slow = -1;
    for (unsigned q = 0; q < queues; q++) {
        w.fe[q].req_prod = w.fe[q].rsp_cons = START;
        RING(q)->req_prod = RING(q)->rsp_prod = START;
        RING(q)->req_event = RING(q)->rsp_event = START + 1;
    }
    armed = false;
    points = 0;
}
