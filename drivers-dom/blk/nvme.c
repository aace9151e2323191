/* SPDX-License-Identifier: MIT */
/*
 * NVMe: one controller, its first active namespace, one I/O queue pair. Section numbers are those of NVM Express 1.4.
 *
 * The controller can write to this domain's memory only, but there it may write anything: an answer that names no command of ours
 * ends this instance, because restart is the one way back that is tested.
 */
#include "nvme.h"
#include <errno.h>
#include <device.h>
#include <stdio.h>
#include <string.h>
#include "driver.h"

#define DEPTH       256u /* entries of the I/O queues; a full queue has one less (4.1.2) */
#define ADMIN_DEPTH 8u
#define LIST_BYTES  512u /* a command's PRP list: 63 entries; or its range to deallocate */
#define TRIES       4u
#define ADMIN_NS    (5 * NS_PER_S)
_Static_assert((BLK_MAX_SEGS - 1) * 8 <= LIST_BYTES, "the list holds all pages but the first");

struct queue {
    struct nvme_cmd *sq;
    volatile struct nvme_cqe *cq;
    volatile uint32_t *sq_bell, *cq_bell;
    uint16_t size, tail, told, head;
    uint16_t phase;
};

static struct nvme {
    struct blkdev dev;
    volatile uint8_t *regs;
    uint64_t cap, regs_len;
    uint32_t sbdf;
    struct queue admin, io;
    uint32_t nsid;
    unsigned shift;             /* sector -> logical block */
    struct blk_io *slot[DEPTH]; /* by command id */
    uint16_t free[DEPTH], nr_free;
    uint8_t *lists; /* LIST_BYTES a command id */
    struct stuck stuck;
    char model[41];
    char left_out[64];
} nvme;

/* --- registers --------------------------------------------------------------------------------------------- */

static uint32_t reg(unsigned off) { return *(volatile uint32_t *)(nvme.regs + off); }
static void reg_set(unsigned off, uint32_t v) { *(volatile uint32_t *)(nvme.regs + off) = v; }
/* 64-bit registers may be accessed as two halves (3.1). */
static uint64_t reg64(unsigned off) { return reg(off) | (uint64_t)reg(off + 4) << 32; }
static void reg64_set(unsigned off, uint64_t v)
{
    reg_set(off, (uint32_t)v);
    reg_set(off + 4, (uint32_t)(v >> 32));
}

/* NULL: CSTS.RDY has the value. The bound is the controller's own (CAP.TO), and a second. */
static const char *wait_ready(uint32_t want)
{
    uint64_t start = now_ns(), bound = NVME_CAP_TO_NS(nvme.cap) + NS_PER_S;

    for (;;) {
        uint32_t csts = reg(NVME_CSTS);
        if (csts == ~0u)
            return "its registers do not answer";
        if ((csts & NVME_CSTS_RDY) == want)
            return NULL;
        if (want && (csts & NVME_CSTS_CFS))
            return "it reports a fatal error (CSTS.CFS)";
        if (now_ns() - start > bound)
            return want ? "it does not become ready" : "it does not reset";
        device_pause(start);
    }
}

/* CC.EN = 0 until CSTS.RDY = 0 (7.3.2): every queue and every command of a former instance is gone then. */
static const char *controller_reset(void)
{
    uint32_t cc = reg(NVME_CC), csts = reg(NVME_CSTS);

    /* Cleared before RDY followed a former instance's EN = 1, the result would be undefined (3.1.5). It may never
     * follow, so this wait is no condition. */
    if ((cc & NVME_CC_EN) && !(csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)))
        (void)wait_ready(1);
    reg_set(NVME_CC, cc & ~NVME_CC_EN);
    return wait_ready(0);
}

/* --- queues ------------------------------------------------------------------------------------------------------ */

static const char *queue_init(struct queue *q, unsigned id, unsigned size)
{
    uint64_t bell = NVME_DOORBELLS + 2ull * id * NVME_CAP_STRIDE(nvme.cap),
             stride = NVME_CAP_STRIDE(nvme.cap);
    unsigned sq_pages = (unsigned)((size * sizeof(struct nvme_cmd) + PAGE_SIZE - 1) / PAGE_SIZE);

    if (bell + 2 * stride > nvme.regs_len)
        return "its doorbells lie outside of its BAR";
    memset(q, 0, sizeof(*q));
    q->sq = page_alloc(sq_pages);
    q->cq = page_alloc(1);
    if (!q->sq || !q->cq)
        return "out of memory";
    q->sq_bell = (volatile uint32_t *)(nvme.regs + bell);
    q->cq_bell = (volatile uint32_t *)(nvme.regs + bell + stride);
    q->size = (uint16_t)size;
    q->phase = 1;
    return NULL;
}
_Static_assert(DEPTH * sizeof(struct nvme_cqe) <= PAGE_SIZE, "one page of completions");

static void queue_put(struct queue *q, const struct nvme_cmd *c)
{
    q->sq[q->tail] = *c;
    q->tail = (uint16_t)(q->tail + 1 == q->size ? 0 : q->tail + 1);
}

static void queue_doorbell(struct queue *q)
{
    if (q->told == q->tail)
        return;
    wmb(); /* commands before the doorbell */
    *q->sq_bell = q->tail;
    q->told = q->tail;
}

static bool queue_ready(const struct queue *q) { return (q->cq[q->head].status & 1) == q->phase; }

static bool queue_next(struct queue *q, struct nvme_cqe *out)
{
    volatile const struct nvme_cqe *e = &q->cq[q->head];

    if (!queue_ready(q))
        return false;
    rmb(); /* the phase before the rest */
    *out = (struct nvme_cqe){ .result = e->result, .cid = e->cid, .status = e->status };
    q->head++;
    if (q->head == q->size) {
        q->head = 0;
        q->phase ^= 1;
    }
    return true;
}

/* --- admin commands: one at a time, waited for ------------------------------------------------------------------ */

static const char *admin(struct nvme_cmd *c, const char *what)
{
    static char why[80];
    uint64_t start = now_ns();
    struct nvme_cqe e;

    c->cid = nvme.admin.tail;
    queue_put(&nvme.admin, c);
    queue_doorbell(&nvme.admin);
    while (!queue_next(&nvme.admin, &e)) {
        uint32_t csts = reg(NVME_CSTS);
        if (csts & NVME_CSTS_CFS) /* all ones has it as well */
            return "it reports a fatal error (CSTS.CFS)";
        if (now_ns() - start > ADMIN_NS) {
            snprintf(why, sizeof(why), "it does not answer '%s'", what);
            return why;
        }
        device_pause(start);
    }
    *nvme.admin.cq_bell = nvme.admin.head;
    if (e.cid != c->cid)
        return "it answers a command that it was not given";
    if (!NVME_STATUS(e.status))
        return NULL;
    snprintf(why, sizeof(why), "it refuses '%s', status 0x%x", what, NVME_STATUS(e.status));
    return why;
}

static const char *identify(unsigned cns, uint32_t nsid, const void *page, const char *what)
{
    struct nvme_cmd c = {
        .opcode = NVME_ADM_IDENTIFY, .nsid = nsid, .prp1 = (uint64_t)page, .cdw10 = cns
    };

    return admin(&c, what);
}

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t get32(const uint8_t *p) { return get16(p) | (uint32_t)get16(p + 2) << 16; }
static uint64_t get64(const uint8_t *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }

static const char *read_controller(uint8_t *page)
{
    struct blkdev *d = &nvme.dev;
    const char *why = identify(NVME_CNS_CONTROLLER, 0, page, "identify controller");

    if (why)
        return why;
    for (unsigned i = 0; i < 40; i++) {
        char ch = (char)page[NVME_IDC_MODEL + i];
        nvme.model[i] = ch >= ' ' && ch < 0x7f ? ch : ' ';
    }
    for (unsigned i = 40; i && nvme.model[i - 1] == ' '; i--)
        nvme.model[i - 1] = 0;
    d->model = nvme.model[0] ? nvme.model : "NVMe";
    d->flush = page[NVME_IDC_VWC] & 1;
    d->discard = get16(page + NVME_IDC_ONCS) & NVME_ONCS_DSM;
    d->max_bytes = BLK_MAX_BYTES;
    unsigned mdts = page[NVME_IDC_MDTS]; /* log2 of pages, 0: no limit */
    if (mdts && mdts < 7 && d->max_bytes > PAGE_SIZE << mdts)
        d->max_bytes = (uint32_t)(PAGE_SIZE << mdts);
    if (d->max_bytes < 65536)
        return "it transfers less than 64 KiB at a time";
    d->max_segs = d->max_bytes / BLK_SEG_BYTES;
    return NULL;
}

/* The first active namespace. Controllers before 1.1 have no list: theirs is 1. */
static void find_namespace(uint8_t *page)
{
    nvme.nsid = 1;
    if (reg(NVME_VS) < 0x10100 || identify(NVME_CNS_ACTIVE, 0, page, "list namespaces"))
        return;
    nvme.nsid = get32(page);
    unsigned nr = 0; /* ascending, up to a zero (5.15.2) */
    while (nr < PAGE_SIZE / 4 && get32(page + 4 * nr))
        nr++;
    if (nr < 2)
        return;
    snprintf(nvme.left_out, sizeof(nvme.left_out),
             "it has %u namespaces: %u is used, the others are not", nr, nvme.nsid);
    nvme.dev.left_out = nvme.left_out;
}

static const char *read_namespace(uint8_t *page)
{
    struct blkdev *d = &nvme.dev;
    const char *why = nvme.nsid ? identify(NVME_CNS_NAMESPACE, nvme.nsid, page, "identify namespace")
                                : "it has no namespace";

    if (why)
        return why;
    const uint8_t *format = page + NVME_IDN_LBAF + 4 * (page[NVME_IDN_FLBAS] & 15);
    uint64_t blocks = get64(page + NVME_IDN_NSZE);
    if (get16(format))
        return "its blocks carry metadata";
    if (format[2] != 9 && format[2] != 12)
        return "its blocks have neither 512 nor 4096 bytes";
    nvme.shift = format[2] - 9u;
    if (!blocks)
        return "it is empty";
    if (blocks > DISK_MAX_SECTORS >> nvme.shift)
        return "its size makes no sense";
    d->nr_sectors = blocks << nvme.shift;
    d->read_only = page[NVME_IDN_NSATTR] & 1;
    d->sector_size = d->physical_sector_size = d->discard_granularity = 512u << nvme.shift;
    if (page[NVME_IDN_NSFEAT] & NVME_NSFEAT_OPTPERF) {
        d->physical_sector_size *= get16(page + NVME_IDN_NPWG) + 1u;
        d->discard_granularity *= get16(page + NVME_IDN_NPDG) + 1u;
    }
    return NULL;
}

/* --- start ---------------------------------------------------------------------------------------------------- */

static const char *check_cap(void)
{
    nvme.cap = reg64(NVME_CAP);
    if (nvme.cap == ~0ull)
        return "its registers do not answer";
    if (!(nvme.cap & NVME_CAP_CSS_NVM))
        return "it has no NVM command set";
    if (NVME_CAP_MPSMIN(nvme.cap))
        return "it has no 4 KiB pages";
    if (NVME_CAP_MQES(nvme.cap) < ADMIN_DEPTH)
        return "its queues are too short";
    return NULL;
}

static const char *enable(void)
{
    const char *why = queue_init(&nvme.admin, 0, ADMIN_DEPTH);

    if (why)
        return why;
    reg_set(NVME_AQA, (ADMIN_DEPTH - 1) << 16 | (ADMIN_DEPTH - 1));
    reg64_set(NVME_ASQ, (uint64_t)nvme.admin.sq);
    reg64_set(NVME_ACQ, (uint64_t)nvme.admin.cq);
    reg_set(NVME_CC, NVME_CC_ENTRIES | NVME_CC_EN);
    return wait_ready(1);
}

static const char *io_queues(void)
{
    uint32_t size = NVME_CAP_MQES(nvme.cap) < DEPTH ? NVME_CAP_MQES(nvme.cap) : DEPTH;
    const char *why = queue_init(&nvme.io, 1, size);

    if (why)
        return why;
    /* One pair; the interrupt of both the admin queue and this one is entry 0. */
    struct nvme_cmd feat = { .opcode = NVME_ADM_SET_FEATURES, .cdw10 = NVME_FEAT_QUEUES };
    struct nvme_cmd cq = { .opcode = NVME_ADM_CREATE_CQ,
                           .prp1 = (uint64_t)nvme.io.cq,
                           .cdw10 = (size - 1) << 16 | 1,
                           .cdw11 = NVME_QUEUE_IEN | NVME_QUEUE_PC };
    struct nvme_cmd sq = { .opcode = NVME_ADM_CREATE_SQ,
                           .prp1 = (uint64_t)nvme.io.sq,
                           .cdw10 = (size - 1) << 16 | 1,
                           .cdw11 = 1u << 16 | NVME_QUEUE_PC };
    why = admin(&feat, "number of queues");
    if (!why)
        why = admin(&cq, "create completion queue");
    if (!why)
        why = admin(&sq, "create submission queue");
    if (why)
        return why;
    nvme.lists = page_alloc(size * LIST_BYTES / PAGE_SIZE + 1);
    if (!nvme.lists)
        return "out of memory";
    /* One less than the queue: it can never overflow, so the controller's head pointers are not needed. */
    for (uint16_t i = 0; i < size - 1; i++)
        nvme.free[nvme.nr_free++] = i;
    nvme.dev.queue_depth = nvme.nr_free;
    return NULL;
}

static const char *identify_all(void)
{
    uint8_t *page = page_alloc(1);

    if (!page)
        return "out of memory";
    const char *why = read_controller(page);
    if (!why) {
        memset(page, 0, PAGE_SIZE); /* what the controller leaves out reads as nothing */
        find_namespace(page);
        memset(page, 0, PAGE_SIZE);
        why = read_namespace(page);
    }
    page_free(page, 1);
    return why;
}

static const char *bring_up(event_fn irq, void *arg)
{
    struct bh_dma_enable dma = { .sbdf = nvme.sbdf, .enable = 1 };
    const char *why = check_cap();

    if (!why)
        why = controller_reset();
    if (why)
        return why;
    /* Only now is every DMA of a former instance over. */
    if (bh_svc_dma_enable(&dma))
        return "DMA was refused";
    why = pci_irq_bind(nvme.sbdf, 0, irq, arg);
    if (!why)
        why = enable();
    if (!why)
        why = identify_all();
    if (!why)
        why = io_queues();
    return why;
}

/* --- requests --------------------------------------------------------------------------------------------------- */

/* 4.3: the first page in the command; a second one too; more as a list. Segments are whole pages but for the end. */
static void set_prps(struct nvme_cmd *c, const struct blk_io *io, uint64_t *list)
{
    uint64_t page = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < io->nr_segs; i++) {
        page = (uint64_t)io->seg[i].va;
        for (uint64_t end = page + io->seg[i].len; page < end; page += PAGE_SIZE, n++) {
            if (n == BLK_MAX_SEGS || (page & (PAGE_SIZE - 1)))
                bh_panic("NVMe: a request of too many pages, or of pieces of pages");
            if (!n)
                c->prp1 = page;
            else
                list[n - 1] = page;
        }
    }
    if (n == 2)
        c->prp2 = list[0];
    else if (n > 2)
        c->prp2 = (uint64_t)list;
}

static void issue(struct blk_io *io, uint16_t cid)
{
    struct nvme_cmd c = { .cid = cid, .nsid = nvme.nsid };
    uint8_t *own = nvme.lists + cid * LIST_BYTES;
    uint64_t first = io->sector >> nvme.shift;

    if (io->op == BLK_READ || io->op == BLK_WRITE) {
        c.opcode = io->op == BLK_READ ? NVME_CMD_READ : NVME_CMD_WRITE;
        set_prps(&c, io, (uint64_t *)own);
        c.cdw10 = (uint32_t)first;
        c.cdw11 = (uint32_t)(first >> 32);
        c.cdw12 = (io->nr_sectors >> nvme.shift) - 1;
    } else if (io->op == BLK_DISCARD) {
        *(struct nvme_range *)own = (struct nvme_range){ .blocks = io->nr_sectors >> nvme.shift,
                                                         .first = first };
        c.opcode = NVME_CMD_DSM;
        c.prp1 = (uint64_t)own;
        c.cdw11 = NVME_DSM_DEALLOCATE; /* cdw10: one range */
    } else {
        c.opcode = NVME_CMD_FLUSH;
    }
    queue_put(&nvme.io, &c);
}

static int nvme_submit(struct blkdev *d, struct blk_io *io)
{
    (void)d;
    if (!nvme.nr_free)
        return -EBUSY;
    uint16_t cid = nvme.free[--nvme.nr_free];
    nvme.slot[cid] = io;
    io->tries = 1;
    issue(io, cid);
    stuck_submitted(&nvme.stuck, io);
    return 0;
}

static void complete(const struct nvme_cqe *e)
{
    struct blk_io *io = e->cid < DEPTH ? nvme.slot[e->cid] : NULL;
    unsigned status = NVME_STATUS(e->status);

    if (!io)
        bh_panic("NVMe: it completed command %u, which is not there", e->cid);
    if (status && !(e->status & NVME_STATUS_DNR) && io->tries < TRIES) {
        io->tries++; /* 4.6.1: a retry may succeed */
        stuck_stamp(&nvme.stuck, io);
        issue(io, e->cid);
        return;
    }
    nvme.slot[e->cid] = NULL;
    nvme.free[nvme.nr_free++] = e->cid;
    stuck_completed(&nvme.stuck);
    io->status = !status ? 0 : status == NVME_SC_BAD_OPCODE ? -EOPNOTSUPP : -EIO;
    if (status)
        disk_complain(io, "NVMe", status);
    io->done(io);
}

static unsigned nvme_poll(struct blkdev *d)
{
    struct nvme_cqe e;
    unsigned n = 0;

    (void)d;
    queue_doorbell(&nvme.io);
    /* Bounded by the queue: who submits from done gets the next poll. */
    while (n < DEPTH && queue_next(&nvme.io, &e)) {
        complete(&e);
        n++;
    }
    if (n)
        *nvme.io.cq_bell = nvme.io.head;
    queue_doorbell(&nvme.io);
    return n;
}

/* Every completion interrupts: nothing to ask for. One that comes after this look leaves the event pending. */
static bool nvme_arm(struct blkdev *d)
{
    (void)d;
    queue_doorbell(&nvme.io);
    return queue_ready(&nvme.io);
}

static const char *nvme_sick(void)
{
    uint32_t csts = reg(NVME_CSTS);

    return csts == ~0u            ? "its registers do not answer"
           : csts & NVME_CSTS_CFS ? "it reports a fatal error (CSTS.CFS)"
                                  : NULL;
}

static const struct blkdev_ops nvme_ops = { .submit = nvme_submit, .poll = nvme_poll, .arm = nvme_arm };

/* --- blkdev.h ------------------------------------------------------------------------------------------------------ */

static bool nvme_match(const struct bh_pci_info *dev) { return dev->class_rev >> 8 == 0x010802; }

static void nvme_stop(void)
{
    struct bh_dma_enable dma = { .sbdf = nvme.sbdf, .enable = 0 };

    stuck_stop(&nvme.stuck);
    reg_set(NVME_CC, 0); /* it must not go on with what it was given */
    bh_svc_dma_enable(&dma);
}

static const char *nvme_start(const struct bh_pci_info *dev, event_fn irq, void *arg,
                              struct blkdev **out)
{
    const struct bh_pci_bar *bar = &dev->bar[0];

    memset(&nvme, 0, sizeof(nvme));
    if (!(bar->flags & 1) || !bar->gpa || bar->size < NVME_DOORBELLS + 16)
        return "its registers (BAR 0) are not mapped";
    if (!dev->irqs)
        return "it has no MSI-X";
    nvme.sbdf = dev->sbdf;
    nvme.regs_len = bar->size;
    nvme.regs = mmio_map(bar->gpa, bar->size);
    if (!nvme.regs)
        return "its registers cannot be mapped";
    const char *why = bring_up(irq, arg);
    if (why) {
        nvme_stop();
        return why;
    }
    stuck_init(&nvme.stuck, nvme.model, nvme_sick, nvme.slot, DEPTH);
    nvme.dev.ops = &nvme_ops;
    *out = &nvme.dev;
    return NULL;
}

const struct blk_driver nvme_driver = {
    .name = "nvme",
    .match = nvme_match,
    .start = nvme_start,
    .stop = nvme_stop,
};
