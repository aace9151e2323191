/* SPDX-License-Identifier: MIT */
/* blk_driver.h. */
#include "blk_driver.h"

struct bh_self self = { .name = "blk0", .domid = 4 };
_Alignas(4096) uint8_t pool[POOL][PAGE];
unsigned pool_used;
uint64_t now;
jmp_buf crash;
char crash_why[160];
bool crash_armed;

void bh_panic(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(crash_why, sizeof(crash_why), fmt, ap);
    va_end(ap);
    if (!crash_armed)
        fail_msg("%s", crash_why);
    crash_armed = false;
    longjmp(crash, 1);
}
void *page_alloc(unsigned n)
{
    if (pool_used + n > POOL)
        return NULL;
    void *p = memset(pool[pool_used], 0, n * PAGE);
    pool_used += n;
    return p;
}
void page_free(void *p, unsigned n) { memset(p, 0xdd, n * PAGE); }
void dtimer_cancel(struct dtimer *t) { t->armed = false; }

struct blkdev *d;
struct blk_io io[MAX];
bool out[MAX];
uint8_t *data[MAX];
unsigned completed, nr_held;

void driver_fresh(void)
{
    pool_used = nr_held = completed = 0;
    memset(io, 0, sizeof(io));
    memset(out, 0, sizeof(out));
}
static void done(struct blk_io *r)
{
    assert_true(out[r - io]);
    out[r - io] = false;
    completed++;
}
int submit(unsigned i, enum blk_op op, uint64_t sector, uint32_t n, unsigned piece)
{
    io[i] = (struct blk_io){ .op = op, .sector = sector, .nr_sectors = n, .done = done };
    for (uint32_t at = 0, left = op <= BLK_WRITE ? n * 512 : 0; left;) {
        uint32_t len = left < piece ? left : piece;
        io[i].seg[io[i].nr_segs++] = (struct blk_seg){ data[i] + at, len };
        at += len, left -= len;
    }
    int rc = d->ops->submit(d, &io[i]);
    out[i] = !rc;
    return rc;
}
void all(void)
{
    for (unsigned quiet = 0; quiet < 3; quiet = d->ops->poll(d) || nr_held ? 0 : quiet + 1)
        work(3);
}
void buffers(unsigned n, unsigned pages)
{
    for (unsigned i = 0; i < n; i++)
        assert_non_null(data[i] = page_alloc(pages));
}

void random_requests(uint8_t *model, uint32_t part)
{
    for (unsigned round = 0; round < 20000; round++) {
        unsigned i = (unsigned)rand() % 8;
        if (!out[i]) {
            uint32_t n = 1 + (unsigned)rand() % 256,
                     at = i * part + (unsigned)rand() % (part - n + 1);
            unsigned op = (unsigned)rand() % 8;
            assert_int_equal(io[i].status, 0);
            if (io[i].op == BLK_READ && io[i].nr_segs)
                assert_memory_equal(data[i], model + io[i].sector * 512, io[i].nr_sectors * 512);
            if (op < 3) {
                for (unsigned k = 0; k < n * 512; k += 64)
                    data[i][k] = (uint8_t)rand();
                memcpy(model + at * 512, data[i], n * 512);
            } else if (op == 7) {
                memset(model + at * 512, 0, n * 512);
            }
            assert_int_equal(submit(i,
                                    op < 3    ? BLK_WRITE
                                    : op < 6  ? BLK_READ
                                    : op == 6 ? BLK_FLUSH
                                              : BLK_DISCARD,
                                    at, op == 6 ? 0 : n, rand() & 1 ? 4096 : 32768),
                             0);
        }
        if (rand() & 1)
            d->ops->poll(d);
        if (rand() & 1)
            work((unsigned)rand() % 4);
    }
}
