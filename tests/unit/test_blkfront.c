/* SPDX-License-Identifier: MIT */
// FLAGS: -Idomains/include
/* The disk front-end against a back-end that answers rightly, late, never, and with lies. */
#include "unit.h"

#include "../../domains/internal.h"
#include "../../domains/blkfront.c"

/* --- the library, and a back-end that has its turn when the front-end waits --- */
static const void *granted[64];
static bool in_use[64];
static unsigned given, allocated;
static uint64_t clock_ns;
static const char *state_is = "4", *sectors = "1000", *sector_size = "512", *info = "0";
static bool state_late;
static uint8_t disk[1000 * 512];
static struct blkfront b;
static enum { RIGHT, SILENT, ID, OPERATION, FAILS, UNSUPPORTED, TWO, BACK, FAR, SCRIBBLES } lie;
static uint32_t done;
static unsigned flushes, waits;
static uint64_t slow_ns; /* that each answer takes */
int xs_error;

void *page_alloc(unsigned n)
{
    allocated += n;
    return memset(aligned_alloc(PAGE_SIZE, n * PAGE_SIZE), 0, n * PAGE_SIZE);
}
void page_free(void *p, unsigned n)
{
    allocated -= n;
    free(p);
}
int grant_give(domid_t to, const void *page, unsigned flags)
{
    unsigned ref = 8;

    while (granted[ref])
        ref++;
    granted[ref] = page;
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
int event_alloc_unbound(domid_t remote, event_fn fn, void *arg) { return 5; }
void event_close(uint32_t port) {}
int event_send(uint32_t port) { return 0; }
uint64_t now_ns(void) { return clock_ns += 1000; }
int xs_tx_start(uint32_t *tx) { return *tx = 1, 0; }
int xs_tx_end(uint32_t tx, bool commit) { return 0; }
int xs_write(uint32_t tx, const char *path, const char *v) { return 0; }
int xs_printf(uint32_t tx, const char *path, const char *fmt, ...) { return 0; }
int xs_read_uint(uint32_t tx, const char *path, uint64_t *v)
{
    const char *text = strstr(path, "/sectors")       ? sectors
                       : strstr(path, "/sector-size") ? sector_size
                       : strstr(path, "/info")        ? info
                       : state_late                   ? "2"
                                                      : state_is;
    *v = strtoul(text, NULL, 0);
    return *text ? 0 : -ENOENT;
}

static void serve(void)
{
    const struct blkif_sring *r = b.ring;

    for (; r && done != r->req_prod && lie != SILENT; done++) {
        struct blkif_request q = r->ring[done % 32].req;
        struct blkif_response a = { .id = q.id, .operation = q.operation };
        uint64_t at = q.sector_number * 512;
        flushes += q.operation == BLKIF_OP_FLUSH_DISKCACHE;
        for (unsigned i = 0; i < q.nr_segments; i++) {
            uint8_t *page = (uint8_t *)(uintptr_t)granted[q.seg[i].gref];
            size_t n = (q.seg[i].last_sect - q.seg[i].first_sect + 1u) * 512;
            assert_true(page && at + n <= sizeof(disk) && q.seg[i].last_sect < 8);
            if (q.operation == BLKIF_OP_READ)
                memcpy(page + q.seg[i].first_sect * 512u, disk + at, n);
            else
                memcpy(disk + at, page + q.seg[i].first_sect * 512u, n);
            at += n;
        }
        a.id += lie == ID;
        a.operation = (uint8_t)(a.operation + (lie == OPERATION));
        a.status = lie == FAILS ? BLKIF_RSP_ERROR : lie == UNSUPPORTED ? BLKIF_RSP_EOPNOTSUPP : 0;
        b.ring->ring[done % 32].rsp = a;
        b.ring->rsp_prod = done + (lie == TWO    ? 2
                                   : lie == BACK ? 0xffffffff
                                   : lie == FAR  ? 1 << 20
                                                 : 1);
        if (lie == SCRIBBLES) {
            memset(b.ring, 0xff, PAGE_SIZE);
            return;
        }
    }
}
static void paused(uint64_t until_ns)
{
    waits++;
    state_late = false;
    if (clock_ns + slow_ns > until_ns && slow_ns) {
        clock_ns = until_ns;
        return;
    }
    clock_ns += slow_ns;
    serve();
    clock_ns = until_ns > clock_ns && lie ? until_ns : clock_ns + 1000;
}
void (*xs_pause)(uint64_t until_ns) = paused;

static int opened(void) { return blkfront_open(&b, 3, "/fe", "/be"); }

int setup(void **state)
{
    lie = RIGHT;
    done = flushes = waits = 0;
    state_is = "4";
    sectors = "1000";
    sector_size = "512";
    info = "0";
    memset(in_use, 0, sizeof(in_use));
    for (unsigned i = 0; i < sizeof(disk); i++)
        disk[i] = (uint8_t)(i / 512 * 7 + i);
    return 0;
}
int teardown(void **state)
{
    memset(in_use, 0, sizeof(in_use));
    assert_int_equal(blkfront_close(&b), 0);
    assert_int_equal(given, 0);
    assert_int_equal(allocated, 0);
    return 0;
}

TEST(right_way)
{
    static uint8_t buf[BLKFRONT_MOST * 512], is[BLKFRONT_MOST * 512];

    state_late = true;
    assert_int_equal(opened(), 0);
    assert_int_equal(b.nr_sectors, 1000);
    assert_false(b.read_only);
    for (unsigned i = 0; i < 200; i++) { /* round the ring */
        unsigned nr = 1 + i % BLKFRONT_MOST, first = i * 4;
        assert_int_equal(blkfront_read(&b, first, nr, buf), 0);
        assert_memory_equal(buf, disk + first * 512, nr * 512);
    }
    memset(is, 0x5a, sizeof(is));
    assert_int_equal(blkfront_write(&b, 1000 - BLKFRONT_MOST, BLKFRONT_MOST, is), 0);
    assert_memory_equal(disk + sizeof(disk) - sizeof(is), is, sizeof(is));
    assert_int_equal(blkfront_flush(&b), 0);
    assert_int_equal(flushes, 1);
    assert_int_equal(blkfront_close(&b), 0);
    assert_int_equal(blkfront_read(&b, 0, 1, buf), -EIO);
}

TEST(bounds)
{
    static uint8_t buf[BLKFRONT_MOST * 512 + 512];

    info = "4";
    sector_size = "4096";
    assert_int_equal(opened(), 0);
    assert_true(b.read_only);
    assert_int_equal(blkfront_read(&b, 0, BLKFRONT_MOST + 8, buf), -EINVAL);
    assert_int_equal(blkfront_read(&b, 0, 0, buf), -EINVAL);
    assert_int_equal(blkfront_read(&b, 4, 8, buf), -EINVAL); /* no multiple of the disk's sector */
    assert_int_equal(blkfront_read(&b, 8, 4, buf), -EINVAL);
    assert_int_equal(blkfront_read(&b, 1000, 8, buf), -EINVAL);
    assert_int_equal(blkfront_read(&b, 992, 16, buf), -EINVAL);
    assert_int_equal(blkfront_read(&b, ~0ull & ~7ull, 16, buf), -EINVAL);
    assert_int_equal(blkfront_read(&b, 992, 8, buf), 0);
    assert_int_equal(blkfront_write(&b, 0, 8, buf), -EINVAL);
}

TEST(does_not_connect)
{
    static const struct {
        const char *state, *sectors, *size;
        int rc;
    } t[] = {
        { "2", "1000", "512", -ETIME }, { "6", "1000", "512", -EIO },
        { "4", "0", "512", -EIO },      { "4", "", "512", -EIO },
        { "4", "1000", "0", -EIO },     { "4", "1000", "513", -EIO },
        { "4", "1000", "8192", -EIO },  { "4", "1000", "", -EIO },
        { "4", "1000", "256", -EIO },   { "4", "0xffffffffffffffff", "512", -EIO },
    };

    for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        state_is = t[i].state;
        sectors = t[i].sectors;
        sector_size = t[i].size;
        lie = SILENT;
        assert_int_equal(opened(), t[i].rc);
        assert_non_null(b.broken);
        assert_int_equal(blkfront_flush(&b), -EIO);
        assert_int_equal(blkfront_close(&b), 0);
        assert_int_equal(given, 0);
    }
}

TEST(lies)
{
    static const int kinds[] = { SILENT, ID, OPERATION, TWO, BACK, FAR, SCRIBBLES };
    uint8_t buf[512], before[512];

    memset(before, 0x11, sizeof(before));
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        memcpy(buf, before, sizeof(buf));
        lie = RIGHT;
        done = 0;
        assert_int_equal(opened(), 0);
        lie = kinds[i];
        assert_int_equal(blkfront_read(&b, 1, 1, buf), -EIO);
        assert_memory_equal(buf, before, sizeof(buf));
        assert_non_null(b.broken);
        waits = 0;
        lie = RIGHT;
        assert_int_equal(blkfront_read(&b, 1, 1, buf), -EIO); /* there is no way back */
        assert_int_equal(waits, 0);
        assert_int_equal(blkfront_close(&b), 0);
    }
}

/* Each request in time, and all of them never. */
TEST(slow_for_ever)
{
    uint8_t buf[64 * 512];
    unsigned n = 0;

    assert_int_equal(opened(), 0);
    uint64_t begin = clock_ns;
    for (slow_ns = 3 * NS_PER_S; n < 100 && !blkfront_read(&b, 0, 64, buf); n++) {
    }
    assert_in_range(n, 9, 11);
    assert_true(clock_ns - begin < 40 * NS_PER_S);
    assert_string_equal(b.broken, "it does not answer");
    slow_ns = 0;
    assert_int_equal(blkfront_close(&b), 0);
    done = 0;
    assert_int_equal(opened(), 0);
    for (slow_ns = 20 * NS_PER_MS, n = 0; n < 2000; n++) /* a slow disk */
        assert_int_equal(blkfront_read(&b, 0, 64, buf), 0);
    slow_ns = 14 * NS_PER_S; /* which stops once */
    assert_int_equal(blkfront_read(&b, 0, 64, buf), 0);
    slow_ns = 0;
}

/* An error of the disk is no breach. */
TEST(disk_errors)
{
    uint8_t buf[512];

    assert_int_equal(opened(), 0);
    lie = FAILS;
    assert_int_equal(blkfront_read(&b, 0, 1, buf), -EIO);
    lie = UNSUPPORTED;
    assert_int_equal(blkfront_flush(&b), -EOPNOTSUPP);
    lie = RIGHT;
    assert_null(b.broken);
    assert_int_equal(blkfront_read(&b, 0, 1, buf), 0);
}

/* Pages that the back-end still has are not anybody else's. */
TEST(does_not_let_go)
{
    assert_int_equal(opened(), 0);
    in_use[b.ref[3]] = true;
    assert_int_equal(blkfront_close(&b), -EBUSY);
    assert_int_equal(given, 1);
    assert_int_equal(allocated, 1 + BLKFRONT_PAGES);
    assert_int_equal(blkfront_close(&b), -EBUSY);
    assert_int_equal(blkfront_flush(&b), -EIO);
    memset(in_use, 0, sizeof(in_use));
    assert_int_equal(blkfront_close(&b), 0);
    assert_int_equal(allocated, 0);
}
