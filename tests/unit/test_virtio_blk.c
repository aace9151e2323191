/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/blk_driver.c drivers-dom/blk/virtio_blk.c drivers-dom/lib/virtio_pci.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk
/*
 * The virtio-blk driver against a device made of memory, which walks every descriptor table as a device would, answers in any
 * order, and misbehaves on demand. Both halves of the feature word read the same here: bits 0 and 1 are 32 and 33 as well.
 */
#include <errno.h>
#include <virtio.h>
#include "blk_driver.h"
#include "virtio_blk.h"

enum { SECTORS = 8192 };
#define FEATURES                                                              \
    (3u | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH | \
     VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_DISCARD | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)
static _Alignas(4096) uint8_t bar[0x4000], disk[SECTORS * 512];
#define COMMON ((volatile struct virtio_common *)bar)
static unsigned last_table;
static bool dma_on, reverse;
static uint8_t fail_status;
static unsigned fail_times, ops_done[16];

/* --- the device -------------------------------------------------------------------------------------------------------- */

static uint16_t held[MAX], seen, size;

static void *dma(uint64_t at, uint64_t len)
{
    uint64_t from = (uint64_t)pool;
    if (!dma_on)
        fail_msg("DMA before it was enabled");
    if (!len || at < from || len > sizeof(pool) || at - from > sizeof(pool) - len)
        fail_msg("DMA to %lx", (unsigned long)at);
    return (void *)at;
}
static uint64_t address(volatile uint32_t *lo) { return lo[0] | (uint64_t)lo[1] << 32; }
static struct vring_desc *descs(void) { return dma(address(&COMMON->queue_desc_lo), size * 16u); }
static uint16_t *avail(void) { return dma(address(&COMMON->queue_driver_lo), 6 + 2u * size); }
static uint16_t *used(void) { return dma(address(&COMMON->queue_device_lo), 6 + 8u * size); }

static void give_back(uint32_t id)
{
    struct vring_used_elem *e = (void *)(used() + 2);
    e[used()[1] % size] = (struct vring_used_elem){ id, 1 };
    used()[1]++;
}

/* 5.2.6: head, data, status, as one indirect table. */
static void execute(uint16_t id)
{
    struct vring_desc table = descs()[id], *t = dma(table.addr, table.len);
    unsigned n = table.len / 16;
    uint8_t *status, result = VBLK_S_OK;

    assert_int_equal(table.flags, VRING_DESC_INDIRECT);
    assert_int_equal(table.len % 16, 0);
    assert_true(n >= 2 && n <= 66);
    for (unsigned i = 0; i < n; i++)
        assert_true(i + 1 == n ? !(t[i].flags & VRING_DESC_NEXT)
                               : (t[i].flags & VRING_DESC_NEXT) && t[i].next == i + 1);
    const struct vblk_head *h = dma(t[0].addr, 16);
    assert_int_equal(t[0].flags, VRING_DESC_NEXT);
    assert_int_equal(t[0].len, 16);
    assert_int_equal(t[n - 1].flags, VRING_DESC_WRITE);
    assert_int_equal(t[n - 1].len, 1);
    status = dma(t[n - 1].addr, 1);
    uint64_t at = h->sector * 512;
    if (h->type == VBLK_T_DISCARD) {
        const struct vblk_discard *r = dma(t[1].addr, 16);
        assert_true(n == 3 && !h->sector && r->sector + r->nr_sectors <= SECTORS && !r->flags);
        memset(disk + r->sector * 512, 0, r->nr_sectors * 512);
    } else if (h->type == VBLK_T_FLUSH) {
        assert_true(n == 2 && !h->sector);
    } else {
        assert_true(n > 2);
        for (unsigned i = 1; i < n - 1; i++) {
            assert_true(at + t[i].len <= sizeof(disk));
            assert_int_equal(t[i].flags,
                             VRING_DESC_NEXT | (h->type == VBLK_T_IN ? VRING_DESC_WRITE : 0));
            if (fail_times)
                continue;
            if (h->type == VBLK_T_IN)
                memcpy(dma(t[i].addr, t[i].len), disk + at, t[i].len);
            else
                memcpy(disk + at, dma(t[i].addr, t[i].len), t[i].len);
            at += t[i].len;
        }
    }
    if (fail_times) {
        fail_times--;
        result = fail_status;
    }
    last_table = n;
    ops_done[h->type]++;
    *status = result;
    give_back(id);
}

void work(unsigned n)
{
    for (; seen != avail()[1]; seen++) {
        uint16_t id = avail()[2 + seen % size];
        assert_true(id < size);
        for (unsigned i = 0; i < nr_held; i++)
            assert_int_not_equal(held[i], id);
        held[nr_held++] = id;
    }
    for (; n && nr_held; n--) {
        unsigned i = reverse ? (unsigned)rand() % nr_held : 0;
        uint16_t id = held[i];
        memmove(&held[i], &held[i + 1], (nr_held - i - 1) * sizeof(held[0]));
        nr_held--;
        execute(id);
    }
}

/* --- what the driver stands on --------------------------------------------------------------------------------------------- */

uint64_t now_ns(void) { return now += 1000; }
unsigned event_wait(uint64_t until) { return 0; }
void dtimer_set(struct dtimer *t, uint64_t when) { t->armed = true; }
volatile void *mmio_map(uint64_t gpa, uint64_t len)
{
    assert_true(gpa >= 0xe0000000 && gpa + len <= 0xe0000000 + sizeof(bar));
    return bar + (gpa - 0xe0000000);
}
const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg) { return NULL; }
long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t a3, uint64_t a4)
{
    const struct bh_dma_enable *e = (void *)arg;
    assert_int_equal(op, BH_SVC_DMA_ENABLE);
    assert_int_equal(e->sbdf, 0x28);
    assert_int_equal(COMMON->queue_enable, 0);
    if (e->enable) /* the core refuses it while the device runs */
        assert_int_equal(COMMON->device_status, 0);
    dma_on = e->enable;
    return 0;
}

/* --- start --------------------------------------------------------------------------------------------------------------------- */

static const struct bh_pci_info good = {
    .sbdf = 0x28,
    .vendor = 0x1af4,
    .device = 0x1042,
    .irqs = 2,
    .bar[4] = { .gpa = 0xe0000000, .size = sizeof(bar), .flags = 7 },
    .virtio = { .common = 0xe0000000,
                .common_len = 0x1000,
                .device = 0xe0002000,
                .device_len = 0x1000,
                .notify = 0xe0003000,
                .notify_len = 0x1000,
                .notify_mult = 4 },
};
static struct bh_pci_info pci;

static void put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static void irq(uint32_t port, void *arg) {}

int setup(void **state)
{
    memset(bar, 0, sizeof(bar));
    pci = good;
    COMMON->device_feature = FEATURES;
    COMMON->queue_size = 256;
    put32(bar + 0x2000 + VBLK_CFG_CAPACITY, SECTORS);
    put32(bar + 0x2000 + VBLK_CFG_SIZE_MAX, 1 << 20);
    put32(bar + 0x2000 + VBLK_CFG_SEG_MAX, 254);
    put32(bar + 0x2000 + VBLK_CFG_BLK_SIZE, 512);
    bar[0x2000 + VBLK_CFG_PHYS_EXP] = 3;
    put32(bar + 0x2000 + VBLK_CFG_DISCARD_SECTORS, 4096);
    put32(bar + 0x2000 + VBLK_CFG_DISCARD_ALIGN, 8);
    driver_fresh();
    seen = 0;
    dma_on = reverse = false;
    fail_times = 0;
    memset(ops_done, 0, sizeof(ops_done));
    return 0;
}

static const char *start(void)
{
    assert_true(virtio_blk_driver.match(&pci));
    COMMON->device_status = 15; /* as a dead instance leaves it */
    const char *why = virtio_blk_driver.start(&pci, irq, NULL, &d);
    size = COMMON->queue_size;
    if (!why)
        assert_int_equal(COMMON->device_status, 15);
    return why;
}
static void refused(const char *word)
{
    const char *why = start();
    assert_non_null(why);
    if (!strstr(why, word))
        fail_msg("'%s' instead of '%s'", why, word);
    assert_false(dma_on);
    setup(NULL);
}

TEST(test_start)
{
    assert_null(start());
    assert_int_equal(d->nr_sectors, SECTORS);
    assert_int_equal(d->sector_size, 512);
    assert_int_equal(d->physical_sector_size, 4096);
    assert_true(d->flush && d->discard && !d->read_only);
    assert_int_equal(d->discard_granularity, 4096);
    assert_int_equal(d->queue_depth, 128);
    assert_int_equal(d->max_segs, 64);
    setup(NULL);
    COMMON->queue_size = 16;
    COMMON->device_feature = (FEATURES | VIRTIO_BLK_F_RO) &
                             ~(VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_DISCARD);
    put32(bar + 0x2000 + VBLK_CFG_BLK_SIZE, 4096);
    put32(bar + 0x2000 + VBLK_CFG_CAPACITY, SECTORS - 3);
    put32(bar + 0x2000 + VBLK_CFG_SEG_MAX, 20);
    assert_null(start());
    assert_int_equal(d->nr_sectors, SECTORS - 8);
    assert_true(!d->flush && !d->discard && d->read_only);
    assert_int_equal(d->queue_depth, 16);
    assert_int_equal(d->max_segs, 20);
    assert_int_equal(d->max_bytes, 20 * 4096);
}

TEST(test_refused)
{
    COMMON->device_feature &= ~1u, refused("VERSION_1");
    COMMON->device_feature &= ~2u, refused("ACCESS_PLATFORM");
    COMMON->device_feature &= ~(uint32_t)VIRTIO_F_INDIRECT_DESC, refused("indirect");
    put32(bar + 0x2000 + VBLK_CFG_BLK_SIZE, 1024), refused("neither 512");
    put32(bar + 0x2000 + VBLK_CFG_CAPACITY, 0), refused("empty");
    put32(bar + 0x2000 + VBLK_CFG_CAPACITY + 4, 1 << 30), refused("size");
    put32(bar + 0x2000 + VBLK_CFG_SEG_MAX, 15), refused("64 KiB");
    put32(bar + 0x2000 + VBLK_CFG_SIZE_MAX, 512), refused("64 KiB");
    COMMON->queue_size = 0, refused("queue");
    COMMON->queue_notify_off = 0x400, refused("notify");
    pci.virtio.device = 0, refused("configuration");
    pci.virtio.device_len = 6, refused("configuration");
    pci.virtio.common = 0, refused("structures");
    pci.virtio.common_len = 0x20, refused("structures");
    pci.virtio.notify = 0, refused("structures");
    pci.device = 0x1041;
    assert_false(virtio_blk_driver.match(&pci));
}

/* --- requests -------------------------------------------------------------------------------------------------------------------- */

static void random_io(void)
{
    static uint8_t model[SECTORS * 512];
    memset(disk, 0, sizeof(disk));
    memset(model, 0, sizeof(model));
    assert_null(start());
    buffers(8, 32);
    reverse = true;
    random_requests(model, 1024);
    all();
    assert_memory_equal(disk, model, sizeof(model));
    assert_true(ops_done[VBLK_T_IN] > 100 && ops_done[VBLK_T_OUT] > 100 &&
                ops_done[VBLK_T_FLUSH] > 100 && ops_done[VBLK_T_DISCARD] > 100);
}
TEST(test_random)
{
    random_io();
    setup(NULL);
    put32(bar + 0x2000 + VBLK_CFG_SIZE_MAX, 4096); /* nothing may be merged */
    random_io();
}

TEST(test_tables)
{
    assert_null(start());
    buffers(1, 64);
    assert_int_equal(submit(0, BLK_WRITE, 0, 512, 4096), 0), all();
    assert_int_equal(last_table, 3); /* neighbours are one */
    io[0] = (struct blk_io){ .op = BLK_READ, .nr_sectors = 512, .done = io[0].done, .nr_segs = 64 };
    for (unsigned i = 0; i < 64; i++)
        io[0].seg[i] = (struct blk_seg){ data[0] + (63 - i) * PAGE, PAGE };
    out[0] = true;
    assert_int_equal(d->ops->submit(d, &io[0]), 0), all();
    assert_int_equal(last_table, 66);
    assert_false(out[0]);
}

TEST(test_full)
{
    COMMON->queue_size = 32;
    assert_null(start());
    buffers(40, 1);
    for (unsigned round = 0; round < 5000; round++) {
        unsigned taken = 0;
        completed = 0;
        while (!submit(taken, BLK_READ, taken, 1, 4096))
            taken++;
        assert_int_equal(taken, 32);
        assert_false(d->ops->arm(d));
        assert_int_equal(avail()[2 + size], used()[1]); /* used_event: the next one interrupts */
        work(32);
        assert_true(d->ops->arm(d));
        assert_int_equal(d->ops->poll(d), 32);
        assert_int_equal(completed, 32);
    }
}

TEST(test_errors)
{
    static const struct {
        uint8_t status;
        int want;
    } cases[] = { { VBLK_S_IOERR, -EIO }, { VBLK_S_UNSUPP, -EOPNOTSUPP }, { 3, -EIO }, { 0xff, -EIO } };
    assert_null(start());
    buffers(1, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        fail_status = cases[i].status, fail_times = 1;
        assert_int_equal(submit(0, BLK_READ, 8, 1, 4096), 0);
        all();
        assert_false(out[0]);
        assert_int_equal(io[0].status, cases[i].want);
    }
}

static void crashes(const char *word)
{
    crash_armed = true;
    if (!setjmp(crash)) {
        d->ops->poll(d);
        fail_msg("it goes on: %s", word);
    }
    assert_non_null(strstr(crash_why, word));
    setup(NULL);
    assert_null(start());
}

TEST(test_nonsense)
{
    assert_null(start());
    give_back(5), crashes("not there");
    give_back(128), crashes("descriptor");
    give_back(~0u), crashes("descriptor");
    used()[1] = 129, crashes("used index");
    used()[1] = 0xffff, crashes("used index");
}

TEST(test_stop)
{
    assert_null(start());
    buffers(1, 1);
    assert_int_equal(submit(0, BLK_READ, 8, 1, 4096), 0);
    d->ops->poll(d);
    assert_true(dma_on);
    COMMON->queue_enable = 0;
    virtio_blk_driver.stop();
    assert_false(dma_on);
    assert_int_equal(COMMON->device_status, VIRTIO_FAILED);
    out[0] = false;
}
