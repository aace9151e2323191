/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/blk_driver.c drivers-dom/blk/nvme.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk
/*
 * The NVMe driver against a controller made of memory: its registers are looked at whenever the driver asks for the time, and
 * between submit and poll. It holds the driver to the rules (reset before DMA, EN and RDY, PRPs, queues), and misbehaves on demand.
 */
#include <errno.h>
#include "blk_driver.h"
#include "nvme.h"

enum { BAR = 0x4000, BLOCKS = 4096 };
static _Alignas(4096) uint8_t regs[BAR], disk[BLOCKS * 4096u];

/* --- the controller --------------------------------------------------------------------------------------------------- */

struct simq {
    struct nvme_cmd *sq;
    struct nvme_cqe *cq;
    unsigned size, sq_head, cq_tail, phase, cq_head;
};
static struct {
    unsigned delay, wait; /* looks until RDY follows EN */
    uint64_t ready_at;    /* ... which it does not before */
    unsigned looks;
    bool never_ready, never_reset, dead, cfs, hang_admin, hang_io;
    bool dma, was; /* was: EN at the last look */
    struct simq q[2];
    struct nvme_cmd held[MAX]; /* fetched, not completed */
    bool reverse;
    unsigned fail_status, fail_times; /* of the next I/O commands */
    unsigned lbads, mdts, vwc, oncs, vs, mqes, ns_list, ns_others[2], meta;
    uint64_t nsze;
    uint8_t refuse_admin; /* this opcode */
    unsigned flushes, deallocs, reads, writes, done;
} sim;

static uint32_t reg(unsigned off) { return *(volatile uint32_t *)(regs + off); }
static void set(unsigned off, uint32_t v) { *(volatile uint32_t *)(regs + off) = v; }
static void reg64_set(unsigned off, uint64_t v) { memcpy(regs + off, &v, 8); }
static uint64_t reg64(unsigned off) { return reg(off) | (uint64_t)reg(off + 4) << 32; }

static uint8_t *dma(uint64_t at, unsigned len)
{
    uint64_t from = (uint64_t)pool;
    if (!sim.dma)
        fail_msg("DMA before it was enabled");
    if (at < from || at + len > from + sizeof(pool))
        fail_msg("DMA to %lx", (unsigned long)at);
    return (uint8_t *)at;
}

static void answer(struct simq *q, uint16_t cid, unsigned status, uint32_t result)
{
    struct nvme_cqe *e = &q->cq[q->cq_tail];
    dma((uint64_t)e, 16);
    e->result = result;
    e->cid = cid;
    e->status = (uint16_t)(status << 1 | q->phase);
    q->cq_tail = (q->cq_tail + 1) % q->size;
    if (!q->cq_tail)
        q->phase ^= 1;
    if (q->cq_tail == q->cq_head)
        fail_msg("completion queue overflow");
}

static void identify(const struct nvme_cmd *c)
{
    uint8_t *p = dma(c->prp1, PAGE);
    memset(p, 0, PAGE);
    if (c->cdw10 == NVME_CNS_CONTROLLER) {
        memcpy(p + NVME_IDC_MODEL, "A disk\001 of memory                       ", 40);
        p[NVME_IDC_MDTS] = (uint8_t)sim.mdts;
        p[NVME_IDC_VWC] = (uint8_t)sim.vwc;
        p[NVME_IDC_ONCS] = (uint8_t)sim.oncs;
    } else if (c->cdw10 == NVME_CNS_ACTIVE) {
        memcpy(p, &sim.ns_list, 4);
        memcpy(p + 4, sim.ns_others, 8);
    } else {
        assert_int_equal(c->nsid, sim.ns_list);
        memcpy(p, &sim.nsze, 8);
        p[NVME_IDN_FLBAS] = 2;
        p[NVME_IDN_LBAF + 8] = (uint8_t)sim.meta;
        p[NVME_IDN_LBAF + 10] = (uint8_t)sim.lbads;
    }
}

static void admin(const struct nvme_cmd *c)
{
    struct simq *q = &sim.q[1];
    if (sim.hang_admin)
        return;
    if (c->opcode == sim.refuse_admin) {
        answer(&sim.q[0], c->cid, 0x002, 0);
        return;
    }
    if (c->opcode == NVME_ADM_IDENTIFY) {
        identify(c);
    } else if (c->opcode == NVME_ADM_CREATE_CQ) {
        *q = (struct simq){ .cq = (void *)dma(c->prp1, PAGE),
                            .size = (c->cdw10 >> 16) + 1,
                            .phase = 1 };
        assert_true(q->size <= sim.mqes);
        assert_int_equal(c->cdw10 & 0xffff, 1);
        assert_int_equal(c->cdw11, 3);
    } else if (c->opcode == NVME_ADM_CREATE_SQ) {
        assert_non_null(q->cq);
        q->sq = (void *)dma(c->prp1, q->size * 64);
        assert_int_equal(c->cdw11, 0x10001);
    } else {
        assert_int_equal(c->opcode, NVME_ADM_SET_FEATURES);
    }
    answer(&sim.q[0], c->cid, 0, 0);
}

/* 4.3: moves the data of one read or write; every page by its PRP. */
static void transfer(const struct nvme_cmd *c)
{
    uint64_t slba = c->cdw10 | (uint64_t)c->cdw11 << 32, bytes = ((uint64_t)(c->cdw12 & 0xffff) + 1)
                                                                 << sim.lbads;
    uint8_t *at = disk + (slba << sim.lbads);
    unsigned pages = (unsigned)((bytes + PAGE - 1) / PAGE);
    const uint64_t *list = pages > 2 ? (void *)dma(c->prp2, (pages - 1) * 8) : &c->prp2;

    assert_true(slba + (bytes >> sim.lbads) <= sim.nsze);
    if (pages > 2 && (c->prp2 / PAGE != (c->prp2 + (pages - 1) * 8 - 1) / PAGE || c->prp2 % 8))
        fail_msg("a PRP list across a page");
    for (unsigned i = 0; i < pages; i++, at += PAGE) {
        uint64_t prp = i ? list[i - 1] : c->prp1;
        unsigned n = bytes - i * PAGE < PAGE ? (unsigned)(bytes - i * PAGE) : PAGE;
        assert_int_equal(prp % PAGE, 0);
        if (c->opcode == NVME_CMD_READ)
            memcpy(dma(prp, n), at, n);
        else
            memcpy(at, dma(prp, n), n);
    }
}

static void finish(const struct nvme_cmd *c)
{
    unsigned status = 0;
    if (sim.fail_times) {
        sim.fail_times--;
        status = sim.fail_status;
    } else if (c->opcode == NVME_CMD_FLUSH) {
        sim.flushes++;
    } else if (c->opcode == NVME_CMD_DSM) {
        struct nvme_range *r = (void *)dma(c->prp1, 16);
        assert_int_equal(c->cdw10, 0);
        assert_int_equal(c->cdw11, NVME_DSM_DEALLOCATE);
        assert_true(r->first + r->blocks <= sim.nsze);
        memset(disk + (r->first << sim.lbads), 0, (size_t)r->blocks << sim.lbads);
        sim.deallocs++;
    } else {
        transfer(c);
        sim.reads += c->opcode == NVME_CMD_READ;
        sim.writes += c->opcode == NVME_CMD_WRITE;
    }
    sim.done++;
    answer(&sim.q[1], c->cid, status, 0);
}

static void fetch(unsigned id)
{
    struct simq *q = &sim.q[id];
    unsigned tail = reg(NVME_DOORBELLS + 8 * id), head = reg(NVME_DOORBELLS + 8 * id + 4);

    if (!q->sq)
        return;
    assert_true(tail < q->size && head < q->size);
    q->cq_head = head;
    for (; q->sq_head != tail; q->sq_head = (q->sq_head + 1) % q->size) {
        struct nvme_cmd *c = (void *)dma((uint64_t)&q->sq[q->sq_head], 64);
        if (!id) {
            admin(c);
            continue;
        }
        for (unsigned i = 0; i < nr_held; i++)
            assert_int_not_equal(sim.held[i].cid, c->cid);
        assert_int_equal(c->nsid, sim.ns_list);
        sim.held[nr_held++] = *c;
    }
}

/* Completes at most n of what was fetched. */
void work(unsigned n)
{
    fetch(1);
    for (; n && nr_held && !sim.hang_io; n--) {
        unsigned i = sim.reverse ? (unsigned)rand() % nr_held : 0;
        struct nvme_cmd c = sim.held[i];
        memmove(&sim.held[i], &sim.held[i + 1], (nr_held - i - 1) * sizeof(c));
        nr_held--;
        finish(&c);
    }
}

/* 3.1.5, 7.3.2: EN and RDY. */
static void look(void)
{
    bool en = reg(NVME_CC) & NVME_CC_EN, rdy = reg(NVME_CSTS) & NVME_CSTS_RDY;

    sim.looks++;
    if (sim.dead) {
        memset(regs, 0xff, BAR);
        return;
    }
    if (en != sim.was && en == rdy && !sim.cfs && !sim.never_ready)
        fail_msg("EN changed while RDY had not followed");
    sim.was = en;
    if (sim.cfs)
        set(NVME_CSTS, reg(NVME_CSTS) | NVME_CSTS_CFS);
    if (en != rdy) {
        if ((en && (sim.never_ready || sim.cfs)) || (!en && sim.never_reset))
            return;
        if (sim.wait++ < sim.delay || now < sim.ready_at)
            return;
        sim.wait = 0;
        set(NVME_CSTS, en);
        memset(&sim.q, 0, sizeof(sim.q));
        nr_held = 0;
        memset(regs + NVME_DOORBELLS, 0, 64);
        if (en) {
            assert_int_equal(reg(NVME_CC), NVME_CC_ENTRIES | NVME_CC_EN);
            sim.q[0] = (struct simq){ .sq = (void *)dma(reg64(NVME_ASQ), 64),
                                      .cq = (void *)dma(reg64(NVME_ACQ), 16),
                                      .size = (reg(NVME_AQA) & 0xfff) + 1,
                                      .phase = 1 };
        }
        return;
    }
    if (en)
        fetch(0);
}

/* --- what the driver stands on ---------------------------------------------------------------------------------------- */

static struct dtimer *timer;
static unsigned irqs_bound;

uint64_t now_ns(void)
{
    look();
    return now += 1000;
}
unsigned event_wait(uint64_t until)
{
    if (until > now)
        now = until;
    look();
    return 0;
}
void dtimer_set(struct dtimer *t, uint64_t when)
{
    t->armed = true;
    t->when = when;
    timer = t;
}
volatile void *mmio_map(uint64_t gpa, uint64_t len)
{
    return gpa == 0xe0000000 && len == BAR ? regs : NULL;
}
const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg)
{
    irqs_bound++;
    assert_int_equal(entry, 0);
    return NULL;
}
long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t a3, uint64_t a4)
{
    const struct bh_dma_enable *e = (void *)arg;
    assert_int_equal(op, BH_SVC_DMA_ENABLE);
    assert_int_equal(e->sbdf, 0x28);
    if (e->enable && ((reg(NVME_CC) & NVME_CC_EN) || (reg(NVME_CSTS) & NVME_CSTS_RDY)))
        fail_msg("DMA is enabled while the controller may have old commands");
    sim.dma = e->enable;
    return 0;
}

/* --- start ----------------------------------------------------------------------------------------------------------------- */

static struct bh_pci_info pci = { .sbdf = 0x28,
                                  .class_rev = 0x01080201,
                                  .irqs = 64,
                                  .bar[0] = { .gpa = 0xe0000000, .size = BAR, .flags = 7 } };

static void irq(uint32_t port, void *arg) {}

int setup(void **state)
{
    memset(&sim, 0, sizeof(sim));
    memset(regs, 0, sizeof(regs));
    driver_fresh();
    timer = NULL;
    sim.delay = 3;
    sim.lbads = 9, sim.mdts = 7, sim.vwc = 1, sim.oncs = 4, sim.vs = 0x10400, sim.mqes = 1024,
    sim.ns_list = 1;
    sim.nsze = BLOCKS;
    look();
    return 0;
}

static const char *start(void)
{
    uint64_t cap = (sim.mqes - 1) | 4ull << 24 | NVME_CAP_CSS_NVM;

    memcpy(regs, &cap, 8);
    set(NVME_VS, sim.vs);
    assert_true(nvme_driver.match(&pci));
    return nvme_driver.start(&pci, irq, NULL, &d);
}

static void refused(const char *word)
{
    const char *why = start();
    assert_non_null(why);
    if (!strstr(why, word))
        fail_msg("'%s' instead of '%s'", why, word);
    assert_false(sim.dma);
}

TEST(test_start)
{
    assert_null(start());
    assert_string_equal(d->model, "A disk  of memory");
    assert_int_equal(d->nr_sectors, BLOCKS);
    assert_int_equal(d->sector_size, 512);
    assert_true(d->flush && d->discard && !d->read_only);
    assert_int_equal(d->max_segs, 64);
    assert_int_equal(d->queue_depth, 255);
    assert_null(start()); /* as after a crash: it is running, with queues of the dead */
    uint32_t cc = reg(NVME_CC);
    setup(NULL);
    set(NVME_CC, cc); /* and as after a crash in the middle of enabling */
    sim.was = sim.dma = true;
    sim.delay = 50;
    reg64_set(NVME_ASQ, (uint64_t)pool[0]), reg64_set(NVME_ACQ, (uint64_t)pool[1]);
    look();
    assert_null(start());
    setup(NULL);
    sim.lbads = 12, sim.mdts = 4, sim.vwc = 0, sim.oncs = 0, sim.vs = 0x10000, sim.mqes = 64,
    sim.nsze = 77;
    assert_null(start());
    assert_int_equal(d->nr_sectors, 77 * 8);
    assert_int_equal(d->sector_size, 4096);
    assert_true(!d->flush && !d->discard);
    assert_int_equal(d->max_bytes, 65536);
    assert_int_equal(d->max_segs, 16);
    assert_int_equal(d->queue_depth, 63);
    assert_null(d->left_out);
}

/* A controller that takes its time costs few looks, and is seen soon after it is ready. */
TEST(test_slow)
{
    sim.ready_at = now + 40 * NS_PER_MS;
    sim.looks = 0;
    assert_null(start());
    assert_in_range(sim.looks, 10, 400);
    assert_in_range(now, sim.ready_at, sim.ready_at + 2 * NS_PER_MS);
}

TEST(test_other_namespaces)
{
    sim.ns_list = 2, sim.ns_others[0] = 5, sim.ns_others[1] = 6;
    assert_null(start());
    assert_string_equal(d->left_out, "it has 3 namespaces: 2 is used, the others are not");
    setup(NULL);
    assert_null(start());
    assert_null(d->left_out);
}

TEST(test_refused)
{
    sim.never_ready = true, refused("does not become ready"), setup(NULL);
    sim.cfs = true, refused("fatal"), setup(NULL);
    sim.dead = true, refused("do not answer"), setup(NULL);
    sim.hang_admin = true, refused("identify controller"), setup(NULL);
    sim.refuse_admin = NVME_ADM_CREATE_SQ, refused("create submission queue"), setup(NULL);
    sim.lbads = 11, refused("neither 512"), setup(NULL);
    sim.meta = 8, refused("metadata"), setup(NULL);
    sim.ns_list = 0, refused("no namespace"), setup(NULL);
    sim.nsze = 0, refused("it is empty"), setup(NULL);
    sim.nsze = 1ull << 60, refused("size"), setup(NULL);
    sim.mdts = 3, refused("64 KiB"), setup(NULL);
    sim.mqes = 4, refused("too short"), setup(NULL);
    assert_null(start());
    sim.never_reset = true, refused("does not reset");
    struct bh_pci_info p = pci;
    p.class_rev = 0x01060101;
    assert_false(nvme_driver.match(&p));
    p = pci, p.bar[0].size = 0x1000;
    assert_non_null(nvme_driver.start(&p, irq, NULL, &d));
    p = pci, p.bar[0].gpa = 0;
    assert_non_null(nvme_driver.start(&p, irq, NULL, &d));
    p = pci, p.irqs = 0;
    assert_non_null(nvme_driver.start(&p, irq, NULL, &d));
}

/* --- requests ----------------------------------------------------------------------------------------------------------------- */

TEST(test_random)
{
    static uint8_t model[BLOCKS * 512];
    memset(disk, 0, sizeof(disk));
    memset(model, 0, sizeof(model));
    assert_null(start());
    buffers(8, 32);
    sim.reverse = true;
    random_requests(model, 512);
    all();
    assert_memory_equal(disk, model, sizeof(model));
    assert_true(sim.flushes > 100 && sim.deallocs > 100 && sim.reads > 100 && sim.writes > 100);
}

TEST(test_full)
{
    sim.mqes = 32;
    assert_null(start());
    buffers(40, 1);
    for (unsigned round = 0; round < 100; round++) {
        unsigned taken = 0;
        completed = 0;
        while (!submit(taken, BLK_READ, taken, 1, 4096))
            taken++;
        assert_int_equal(taken, 31);
        assert_false(d->ops->arm(d));
        work(31);
        assert_true(d->ops->arm(d));
        assert_int_equal(d->ops->poll(d), 31);
        assert_int_equal(completed, 31);
    }
}

TEST(test_largest)
{
    assert_null(start());
    buffers(1, 64);
    for (unsigned i = 0; i < 300; i++) { /* every command id in turn: each list page */
        memset(data[0], (int)i, 64 * PAGE);
        assert_int_equal(submit(0, BLK_WRITE, i, 512, i & 1 ? 4096 : 65536), 0);
        all();
        assert_int_equal(io[0].status, 0);
        assert_int_equal(disk[i * 512], i & 0xff);
        assert_int_equal(disk[(i + 511) * 512 + 511], i & 0xff);
    }
}

TEST(test_errors)
{
    assert_null(start());
    buffers(1, 1);
    static const struct {
        unsigned status, times;
        int want;
        unsigned tries;
    } cases[] = {
        { 0x281, 3, 0, 4 },             /* comes back with a retry */
        { 0x281, 100, -EIO, 4 },        /* does not */
        { 0x281 | 0x4000, 1, -EIO, 1 }, /* do not retry */
        { 0x001 | 0x4000, 1, -EOPNOTSUPP, 1 },
        { 0x080 | 0x4000, 1, -EIO, 1 },
        { 0x280 | 0x4000, 1, -EIO, 1 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        sim.fail_status = cases[i].status, sim.fail_times = cases[i].times, sim.done = 0;
        assert_int_equal(submit(0, BLK_READ, 8, 1, 4096), 0);
        all();
        assert_false(out[0]);
        assert_int_equal(io[0].status, cases[i].want);
        assert_int_equal(sim.done, cases[i].tries);
    }
    sim.fail_times = 0;
}

#define CRASHES(expr)                          \
    do {                                       \
        crash_armed = true;                    \
        if (!setjmp(crash)) {                  \
            expr;                              \
            fail_msg("it goes on: %s", #expr); \
        }                                      \
    } while (0)

static void tick(unsigned seconds)
{
    for (; seconds && timer->armed; seconds--) {
        timer->armed = false;
        now = timer->when;
        timer->fn(timer);
    }
}

static void foreign(uint16_t id)
{
    setup(NULL);
    assert_null(start());
    buffers(1, 1);
    assert_int_equal(submit(0, BLK_READ, 8, 1, 4096), 0);
    all();
    fetch(1);
    answer(&sim.q[1], id, 0, 0); /* nothing of that id is in flight */
    CRASHES(d->ops->poll(d));
    assert_non_null(strstr(crash_why, "not there"));
}

TEST(test_nonsense)
{
    foreign(3), foreign(255), foreign(256), foreign(0xffff);
    setup(NULL);
    assert_null(start());
    buffers(1, 1);
    assert_int_equal(submit(0, BLK_READ, 8, 1, 4096), 0);
    all();
    sim.hang_io = true;
    tick(5);
    assert_false(timer->armed); /* nothing in flight: silence is fine */
    out[0] = false;
    assert_int_equal(submit(0, BLK_READ, 8, 1, 4096), 0);
    d->ops->poll(d);
    tick(20);
    assert_true(timer->armed);
    CRASHES(tick(20));
    assert_non_null(strstr(crash_why, "no answer"));
    set(NVME_CSTS, NVME_CSTS_RDY | NVME_CSTS_CFS);
    timer->armed = true;
    CRASHES(tick(1));
    assert_non_null(strstr(crash_why, "fatal"));
    set(NVME_CSTS, ~0u);
    timer->armed = true;
    CRASHES(tick(1));
    assert_non_null(strstr(crash_why, "do not answer"));
}

static void busy(unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        assert_int_equal(submit(1, BLK_READ, 8, 1, 4096), 0);
        all();
        assert_false(out[1]);
        tick(1);
    }
}

/* One lost command shows, although all others are answered. */
TEST(test_lost)
{
    assert_null(start());
    buffers(2, 1);
    assert_int_equal(submit(0, BLK_READ, 8, 1, 4096), 0);
    d->ops->poll(d);
    fetch(1);
    assert_int_equal(nr_held, 1);
    nr_held = 0;
    busy(25);
    CRASHES(busy(20));
    assert_non_null(strstr(crash_why, "no answer"));
}

/* Stopped with a request that it never answered: no DMA, and no complaint about the silence. */
TEST(test_stop)
{
    assert_null(start());
    buffers(1, 1);
    sim.hang_io = true;
    assert_int_equal(submit(0, BLK_READ, 8, 1, 4096), 0);
    d->ops->poll(d);
    assert_true(timer->armed);
    nvme_driver.stop();
    assert_false(timer->armed);
    assert_false(sim.dma);
    assert_int_equal(reg(NVME_CC) & NVME_CC_EN, 0);
    out[0] = false;
    sim.hang_io = false;
    assert_null(start());
    assert_int_equal(submit(0, BLK_READ, 8, 1, 4096), 0);
    all();
    assert_int_equal(io[0].status, 0);
}
