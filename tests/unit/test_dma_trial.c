/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/lib/trial.c drivers-dom/lib/virtio_trial.c drivers-dom/lib/virtio_pci.c drivers-dom/blk/disk_trial.c drivers-dom/net/nic_trial.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk -Idrivers-dom/net
/*
 * What drivers do in the trial of an IOMMU unit, against devices made of memory: every address that they are told lies in the window,
 * the device is asked twice, and the core's answer is passed on. Register writes are seen when somebody waits.
 */
#include <errno.h>
#include "unit.h"
#include <trial.h>
#include "blkdev.h"
#include "net.h"
#include "nvme.h"
#include "virtio_blk.h"

#define WINDOW 0x123400000ull
static _Alignas(4096) uint8_t bar[0x4000], pages[BH_TRIAL_PAGES + 1][4096];
#define COMMON   ((volatile struct virtio_common *)bar)
#define REG(off) (*(volatile uint32_t *)(bar + (off)))
static uint64_t now;
static unsigned begun, blocked, ended, offs, requests, busy, out_of_pages, looks;
static long begin_says, end_says, again_says;
static uint64_t taken_at;  /* from then on another trial runs */
static uint64_t slow, due; /* ns from a request to its write */
static bool nvme, dead, closed;
static uint16_t seen;

/* An address that a device was told: in the window, or the test fails. The target is the last page, ours does not see it. */
static void *told(uint64_t at, uint64_t len)
{
    if (at < WINDOW || at + len > WINDOW + sizeof(pages))
        fail_msg("the device was told %lx", (unsigned long)at);
    return closed ? NULL : &pages[0][0] + (at - WINDOW);
}
static uint64_t pair(volatile uint32_t *lo) { return lo[0] | (uint64_t)lo[1] << 32; }

static void virtio_runs(void)
{
    uint8_t ok = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK;
    struct vring_desc *d = told(pair(&COMMON->queue_desc_lo), 64);
    volatile struct vring_avail *a = told(pair(&COMMON->queue_driver_lo), 16);
    volatile struct vring_used *u = told(pair(&COMMON->queue_device_lo), 64);

    if (COMMON->device_status != ok || !COMMON->queue_enable)
        return;
    if (((struct vring_avail *)pages[1])->idx != seen && !due)
        due = now + slow;
    if (now < due)
        return;
    due = 0;
    if (closed) { /* it cannot even see that there is a request */
        requests++;
        COMMON->device_status |= VIRTIO_NEEDS_RESET;
        return;
    }
    if (a->idx == seen)
        return;
    assert_int_equal(COMMON->queue_size, 4);
    assert_int_equal(a->flags, VRING_NO_INTERRUPT);
    for (uint16_t i = a->ring[seen & 3];; i = d[i].next) {
        told(d[i].addr, d[i].len);
        if (!(d[i].flags & VRING_DESC_NEXT))
            break;
    }
    seen++;
    requests++;
    u->idx++;
}

static void nvme_runs(void)
{
    uint32_t tail = REG(NVME_DOORBELLS);
    const struct nvme_cmd *sq = told(pair(&REG(NVME_ASQ)), 4 * 64);
    struct nvme_cqe *cq = told(pair(&REG(NVME_ACQ)), 4 * 16);

    if (!(REG(NVME_CC) & NVME_CC_EN) || tail == seen)
        return;
    requests++;
    if (closed) {
        REG(NVME_CSTS) |= NVME_CSTS_CFS;
        return;
    }
    assert_int_equal(sq[seen].opcode, NVME_ADM_IDENTIFY);
    *(uint8_t *)told(sq[seen].prp1, 4096) = 1;
    assert_int_equal(sq[seen].prp1, WINDOW + 2 * 4096);
    cq[seen++].status = 1;
}

static void device_runs(void)
{
    if (nvme)
        REG(NVME_CSTS) = (REG(NVME_CSTS) & ~NVME_CSTS_RDY) | (REG(NVME_CC) & NVME_CC_EN);
    if (begun && !dead && !ended)
        nvme ? nvme_runs() : virtio_runs();
}

uint64_t now_ns(void) { return now += 1000; }
unsigned event_wait(uint64_t until)
{
    device_runs();
    now = until > now ? until : now;
    return 0;
}
void *page_alloc(unsigned n) { return out_of_pages ? NULL : memset(pages, 0, sizeof(pages)); }
void page_free(void *p, unsigned n) { assert_ptr_equal(p, pages); }
volatile void *mmio_map(uint64_t gpa, uint64_t len) { return bar + (gpa - 0xe0000000); }
void bh_panic(const char *fmt, ...)
{
    print_error("%s\n", fmt);
    abort();
}

long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t a3, uint64_t a4)
{
    struct bh_trial *t = (void *)arg;

    if (op == BH_SVC_DMA_ENABLE) {
        assert_int_equal(((struct bh_dma_enable *)arg)->enable, 0);
        offs++;
        return 0;
    }
    assert_int_equal(op, BH_SVC_TRIAL);
    assert_int_equal(t->sbdf, 0x28);
    switch (t->step) {
    case BH_TRIAL_BEGIN:
        if (begin_says) /* decided: the device is nobody's business */
            return begin_says;
        if (taken_at && now > taken_at)
            return again_says;
        if (nvme ? (REG(NVME_CC) | REG(NVME_CSTS)) & NVME_CC_EN : COMMON->device_status)
            return -EIO;
        assert_int_equal(t->gfn, (uint64_t)pages / 4096);
        if (busy && busy--)
            return -EBUSY;
        begun++;
        t->window = WINDOW;
        return 0;
    case BH_TRIAL_LOOK:
        looks++;
        if (taken_at && now > taken_at)
            return -EINVAL;
        return pages[nvme ? 2 : 3][nvme ? 0 : 2] != 0;
    case BH_TRIAL_BLOCK:
        if (taken_at && now > taken_at)
            return -EINVAL;
        blocked++;
        closed = true;
        memset(pages[nvme ? 2 : 3], 0, 4096);
        return 0;
    default: ended++; return end_says;
    }
}

static struct bh_pci_info pci;

static void world(bool is_nvme)
{
    memset(bar, 0, sizeof(bar));
    begun = blocked = ended = offs = requests = looks = busy = out_of_pages = seen = 0;
    begin_says = end_says = 0;
    slow = due = taken_at = 0;
    dead = closed = false;
    nvme = is_nvme;
    pci = (struct bh_pci_info){ .sbdf = 0x28,
                                .vendor = 0x1af4,
                                .device = 0x1042,
                                .irqs = 2,
                                .bar[0] = { .gpa = 0xe0000000, .size = sizeof(bar), .flags = 1 },
                                .virtio = { .common = 0xe0000000,
                                            .common_len = 0x1000,
                                            .notify = 0xe0003000,
                                            .notify_len = 0x1000,
                                            .notify_mult = 4 } };
    if (!nvme) {
        COMMON->device_feature = 3; /* both halves read the same: VERSION_1 and ACCESS_PLATFORM */
        COMMON->queue_size = 256;
    }
}

static const char *try(unsigned kind)
{
    pci.device = kind == 1 ? 0x1041 : 0x1042;
    return kind == 0   ? virtio_blk_trial(&pci)
           : kind == 1 ? virtio_net_trial(&pci)
                       : nvme_trial(&pci);
}

TEST(each_passes)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        world(kind == 2);
        COMMON->device_status = kind < 2 ? 15 : 0; /* a former instance died in the middle */
        if (kind == 2)
            REG(NVME_CC) = NVME_CC_EN;
        device_runs();
        assert_null(try(kind));
        assert_true(begun == 1 && blocked == 1 && ended == 1 && !offs);
        assert_int_equal(requests, 2); /* the second one after it was blocked */
    }
}

TEST(answers_are_passed_on)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        world(kind == 2);
        begin_says = 1; /* passed already */
        if (kind < 2)
            COMMON->device_status = 15;
        else
            REG(NVME_CC) = NVME_CC_EN;
        assert_null(try(kind));
        assert_true(kind < 2 ? COMMON->device_status == 15 : REG(NVME_CC) == NVME_CC_EN);
        assert_int_equal(requests + blocked + ended + offs, 0);
        world(kind == 2);
        end_says = -EPERM;
        assert_non_null(strstr(try(kind), "failed its trial"));
        world(kind == 2);
        begin_says = -EPERM;
        assert_non_null(strstr(try(kind), "failed its trial"));
        assert_int_equal(ended, 0);
        world(kind == 2);
        dead = true; /* nothing arrives: the core must be told, or it would never decide */
        end_says = -EPERM;
        assert_non_null(try(kind));
        assert_int_equal(ended, 1);
        world(kind == 2);
        busy = 5; /* another trial runs */
        assert_null(try(kind));
        assert_int_equal(ended, 1);
    }
}

/* One that takes longer than others shows nothing in the time of those: it is given as long as it needs. Nobody looks all the time. */
TEST(slow_devices)
{
    world(false);
    slow = 300000000;
    assert_null(try(0));
    assert_int_equal(requests, 2);
    assert_true(looks < 200);
    world(false);
    dead = true;
    assert_null(try(0)); /* as this core says */
    assert_true(looks > 100 && looks < 1000);
}

/* It took so long that another device's trial came before: what that came to counts for this one, too. */
TEST(another_came_before)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        world(kind == 2);
        dead = true;
        taken_at = now + 1000000;
        again_says = 1;
        assert_null(try(kind));
        assert_true(begun == 1 && !blocked && !ended && looks < 50);
        world(kind == 2);
        dead = true;
        taken_at = now + 1000000;
        again_says = -EPERM;
        assert_non_null(strstr(try(kind), "failed its trial"));
        world(kind == 2);
        taken_at = 1;
        again_says = 0; /* and it goes on like that */
        assert_non_null(strstr(try(kind), "too long"));
    }
}

/* Not the unit's fault: nothing is decided, and the device has no DMA. */
TEST(devices_that_do_not_start)
{
    world(false);
    COMMON->queue_size = 2;
    assert_string_equal(try(0), "its queue is too short");
    assert_true(begun == 1 && offs == 1 && !blocked && !ended);
    world(false);
    out_of_pages = 1;
    assert_string_equal(try(1), "out of memory");
    world(true);
    pci.bar[0].size = 0x1000;
    assert_non_null(try(2));
    assert_int_equal(begun, 0);
}
