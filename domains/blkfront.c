/* SPDX-License-Identifier: MIT */
/* A disk front-end: see blkfront.h. Protocol: <xen/io/blkif.h>, states: <xen/io/xenbus.h>. */
#include <blkfront.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xen/io/protocols.h>
#include <xen/io/xenbus.h>

#define ANSWER_NS (15 * NS_PER_S)   /* a driver domain may be in its back-off */
#define ALL_NS    (2 * ANSWER_NS)   /* of what several take */
#define EARNED_NS (NS_PER_S / 2048) /* by a sector: slower than 1 MiB a second is no disk */
#define LOOK_NS   (2 * NS_PER_MS)
#define CLOSED    "it is closed"
#define SLOT(at)  ((at) % __CONST_RING_SIZE(blkif, PAGE_SIZE))

static int broken(struct blkfront *b, int rc, const char *why)
{
    if (!b->broken)
        b->broken = why;
    return rc;
}

static void on_event(uint32_t port, void *arg) { (void)port, (void)arg; }

/* --- connecting --- */

static int number(const char *dir, const char *key, uint64_t *v)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    return xs_read_uint(0, path, v);
}

static int say(uint32_t tx, const char *fe, const char *key, int value)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", fe, key);
    return xs_printf(tx, path, "%d", value);
}

static int make_pages(struct blkfront *b)
{
    b->ring = page_alloc(1);
    b->data = page_alloc(BLKFRONT_PAGES);
    if (!b->ring || !b->data)
        return -ENOMEM;
    SHARED_RING_INIT(b->ring);
    b->ring_ref = grant_give(b->back, b->ring, 0);
    int rc = b->ring_ref < 0 ? b->ring_ref : 0;
    for (unsigned i = 0; i < BLKFRONT_PAGES && !rc; i++) {
        b->ref[i] = grant_give(b->back, b->data + i * PAGE_SIZE, 0);
        rc = b->ref[i] < 0 ? b->ref[i] : 0;
    }
    return rc;
}

static int publish(const struct blkfront *b, const char *fe)
{
    char path[128];
    uint32_t tx;
    int rc;

    snprintf(path, sizeof(path), "%s/protocol", fe);
    do {
        rc = xs_tx_start(&tx);
        if (rc)
            return rc;
        rc = xs_write(tx, path, XEN_IO_PROTO_ABI_X86_64);
        if (!rc)
            rc = say(tx, fe, "ring-ref", b->ring_ref);
        if (!rc)
            rc = say(tx, fe, "event-channel", b->port);
        if (!rc)
            rc = say(tx, fe, "state", XenbusStateInitialised);
        int end = xs_tx_end(tx, !rc);
        if (!rc)
            rc = end;
    } while (rc == -EAGAIN);
    return rc;
}

/* Until the back-end has our ring. */
static int wait_connected(const char *be)
{
    uint64_t end = now_ns() + ANSWER_NS, state = XenbusStateUnknown;

    for (;;) {
        uint64_t now = now_ns();
        if (!number(be, "state", &state) && state == XenbusStateConnected)
            return 0;
        if (state == XenbusStateClosing || state == XenbusStateClosed)
            return -EIO;
        if (now >= end)
            return -ETIME;
        xs_pause(now + LOOK_NS);
    }
}

static int properties(struct blkfront *b, const char *be)
{
    uint64_t nr, size, info = 0;

    if (number(be, "sectors", &nr) || number(be, "sector-size", &size))
        return -EIO;
    (void)number(be, "info", &info);
    if (size < 512 || size > PAGE_SIZE || size & (size - 1) || !nr || nr >> 50)
        return -EIO;
    b->nr_sectors = nr - nr % (size / 512);
    b->sector_size = (uint32_t)size;
    b->read_only = info & VDISK_READONLY;
    return 0;
}

int blkfront_open(struct blkfront *b, domid_t back, const char *fe, const char *be)
{
    memset(b, 0, sizeof(*b));
    b->back = back;
    b->patience_ns = ALL_NS;
    int rc = make_pages(b);
    if (rc)
        return broken(b, rc, "there is no memory for it");
    b->port = event_alloc_unbound(back, on_event, NULL);
    if (b->port < 0)
        return broken(b, b->port, "there is no event channel for it");
    rc = publish(b, fe);
    if (rc)
        return broken(b, rc, "the store does not take its ring");
    rc = wait_connected(be);
    if (rc)
        return broken(b, rc, rc == -ETIME ? "it does not connect" : "it closes it");
    rc = properties(b, be);
    return rc ? broken(b, rc, "it says nonsense about its size")
              : say(0, fe, "state", XenbusStateConnected);
}

/* --- requests --- */

/* The answer to the one request that is out. */
static int answer(struct blkfront *b, const struct blkif_request *q, unsigned nr)
{
    uint64_t begin = now_ns(), now = begin,
             end = begin + (b->patience_ns < ANSWER_NS ? b->patience_ns : ANSWER_NS);

    for (;; now = now_ns()) {
        uint32_t come = READ_ONCE(b->ring->rsp_prod) - (b->asked - 1);
        rmb();
        if (come == 1)
            break;
        if (come)
            return broken(b, -EIO, "it answers what it was not asked");
        if (now >= end) /* the last look was after the end: we may have stood still, too */
            return broken(b, -EIO, "it does not answer");
        xs_pause(end);
    }
    b->patience_ns -= now - begin < b->patience_ns ? now - begin : b->patience_ns;
    b->patience_ns += nr * EARNED_NS;
    if (b->patience_ns > ALL_NS)
        b->patience_ns = ALL_NS;
    struct blkif_response r;
    memcpy(&r, &b->ring->ring[SLOT(b->asked - 1)].rsp, sizeof(r));
    if (r.id != q->id || r.operation != q->operation)
        return broken(b, -EIO, "it answers another request");
    return r.status == BLKIF_RSP_OKAY ? 0 : r.status == BLKIF_RSP_EOPNOTSUPP ? -EOPNOTSUPP : -EIO;
}

static int ask(struct blkfront *b, uint8_t op, uint64_t first, unsigned nr)
{
    struct blkif_request q = { .operation = op, .id = b->asked, .sector_number = first };

    for (unsigned left = nr; left; q.nr_segments++) {
        unsigned n = left < 8 ? left : 8;
        q.seg[q.nr_segments] = (struct blkif_request_segment){
            .gref = (grant_ref_t)b->ref[q.nr_segments], .last_sect = (uint8_t)(n - 1)
        };
        left -= n;
    }
    memcpy(&b->ring->ring[SLOT(b->asked)].req, &q, sizeof(q));
    b->asked++;
    /* One answer, for which the back-end is to send: then there is no event too many, whatever it does. */
    WRITE_ONCE(b->ring->rsp_event, b->asked);
    wmb();
    WRITE_ONCE(b->ring->req_prod, b->asked);
    (void)event_send((uint32_t)b->port);
    return answer(b, &q, nr);
}

/* Whether these sectors can be asked for. */
static bool right(const struct blkfront *b, uint64_t first, unsigned nr)
{
    unsigned unit = b->sector_size / 512;

    return nr && nr <= BLKFRONT_MOST && !(first % unit) && !(nr % unit) && first < b->nr_sectors &&
           nr <= b->nr_sectors - first;
}

int blkfront_read(struct blkfront *b, uint64_t first, unsigned nr, void *to)
{
    if (b->broken)
        return -EIO;
    if (!right(b, first, nr))
        return -EINVAL;
    int rc = ask(b, BLKIF_OP_READ, first, nr);
    if (!rc)
        memcpy(to, b->data, nr * 512ul);
    return rc;
}

int blkfront_write(struct blkfront *b, uint64_t first, unsigned nr, const void *from)
{
    if (b->broken)
        return -EIO;
    if (!right(b, first, nr) || b->read_only)
        return -EINVAL;
    memcpy(b->data, from, nr * 512ul);
    return ask(b, BLKIF_OP_WRITE, first, nr);
}

int blkfront_flush(struct blkfront *b)
{
    return b->broken ? -EIO : ask(b, BLKIF_OP_FLUSH_DISKCACHE, 0, 0);
}

/* --- the end --- */

/* Takes one back; false: the back-end still has it. */
static bool take_back(int *ref)
{
    if (*ref > 0 && grant_end((uint32_t)*ref) == -EBUSY)
        return false;
    *ref = 0;
    return true;
}

int blkfront_close(struct blkfront *b)
{
    bool all = take_back(&b->ring_ref);

    if (b->port > 0)
        event_close((uint32_t)b->port);
    b->port = 0;
    b->broken = CLOSED;
    for (unsigned i = 0; i < BLKFRONT_PAGES; i++)
        all &= take_back(&b->ref[i]);
    if (!all)
        return -EBUSY;
    if (b->ring)
        page_free(b->ring, 1);
    if (b->data)
        page_free(b->data, BLKFRONT_PAGES);
    memset(b, 0, sizeof(*b));
    b->broken = CLOSED;
    return 0;
}
