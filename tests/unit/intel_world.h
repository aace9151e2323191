/* SPDX-License-Identifier: MIT */
/*
 * One of Intel's NICs, made of memory: it looks at its registers whenever the driver asks for the time or a test lets it, holds the driver to the
 * rules (at rest before DMA, whatever a dead instance left; rings never full; nothing outside of them), and lies if a test says so. Whoever includes
 * this says before which one it is: DEVICE, OPS, TX_DATA, TX_CUT; and what is its own, runs_more().
 */
#pragma once
#include "unit.h"
#include <trial.h>

enum { POOL = 700 };
static struct pkt pkts[POOL];
static _Alignas(4096) uint8_t mem[POOL * PKT_BUF], regs[INTEL_REGS], ring[21 * 4096];
static struct pkt_pool pool;
static struct intel e;
static const struct bh_pci_info pci = { .sbdf = 0x18,
                                        .vendor = 0x8086,
                                        .device = DEVICE,
                                        .bar[0] = { .gpa = 0xe0000000, .size = 0x20000, .flags = 1 } };
static struct {
    bool never_resets, stuck, forgets_nothing, cannot_stop, no_memory, no_irq, refused;
    bool dma;
    unsigned resets, offs, pages;
    uint32_t rdh, tdh;
    struct e_tx_desc context;
    unsigned contexts, frames, length, sent_len;
    struct e_tx_desc last;   /* the last frame's */
    uint8_t sent[FRAME_MAX]; /* its bytes */
    event_fn irq;
    void *irq_arg;
} sim;

static jmp_buf dead;
static bool may_die;
void bh_panic(const char *fmt, ...)
{
    if (may_die)
        longjmp(dead, 1);
    fail_msg("%s", fmt);
    __builtin_unreachable();
}
#define DIES(what)                             \
    do {                                       \
        may_die = true;                        \
        if (!setjmp(dead)) {                   \
            what;                              \
            may_die = false;                   \
            fail_msg("%s: it goes on", #what); \
        }                                      \
        may_die = false;                       \
    } while (0)

static uint32_t reg(unsigned off) { return *(volatile uint32_t *)(regs + off); }
static void set(unsigned off, uint32_t v) { *(volatile uint32_t *)(regs + off) = v; }

static void runs_more(bool was_reset);

static void device_runs(void)
{
    runs_more(false);
    if (sim.cannot_stop)
        set(E_RCTL, reg(E_RCTL) | E_RCTL_EN);
    if ((reg(E_CTRL) & E_CTRL_MASTER_OFF) && !sim.stuck)
        set(E_STATUS, reg(E_STATUS) & ~E_STATUS_MASTER);
    if (!(reg(E_CTRL) & E_CTRL_RST) || sim.never_resets)
        return;
    sim.resets++;
    set(E_CTRL, reg(E_CTRL) & ~E_CTRL_RST);
    if (sim.forgets_nothing)
        return;
    for (unsigned off = 0x100; off < INTEL_REGS; off += 4)
        set(off, 0);
    set(E_CTRL, E_CTRL_SLU);
    set(E_STATUS, E_STATUS_LU | E_STATUS_1000 | E_STATUS_MASTER);
    memcpy(regs + E_RAL, "RTabcd\0\x80", 8);
    runs_more(true);
}

static uint64_t now;
uint64_t now_ns(void)
{
    device_runs();
    return now += 1000;
}
unsigned event_wait(uint64_t until)
{
    now = until > now ? until : now;
    return 0;
}
void *page_alloc(unsigned n)
{
    if (sim.no_memory || sim.pages + n > sizeof(ring) / 4096)
        return NULL;
    sim.pages += n;
    return memset(ring + (sim.pages - n) * 4096, 0, n * 4096);
}
volatile void *mmio_map(uint64_t gpa, uint64_t len)
{
    assert_int_equal(gpa, 0xe0000000);
    assert_in_range(len, 1, sizeof(regs));
    return regs;
}
const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg)
{
    assert_int_equal(entry, 0);
    sim.irq = fn;
    sim.irq_arg = arg;
    return sim.no_irq ? "no vector" : NULL;
}
long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t d)
{
    const struct bh_dma_enable *dma = (void *)arg;

    assert_int_equal(op, BH_SVC_DMA_ENABLE);
    assert_int_equal(dma->sbdf, 0x18);
    if (dma->enable) {
        assert_false((reg(E_RCTL) | reg(E_TCTL)) & 2);
        assert_true(sim.resets);
        if (sim.refused)
            return -1;
    } else {
        sim.offs++;
    }
    sim.dma = dma->enable;
    return 0;
}
/* --- the trial of its IOMMU unit: addresses that are told to the device lie in the window, and it gets a frame from itself --------- */

#define WINDOW 0x123400000ull
static _Alignas(4096) uint8_t window[BH_TRIAL_PAGES][4096];
static unsigned written;
static uint64_t target;

static void *told(uint64_t at, unsigned len)
{
    assert_in_range(at, WINDOW, WINDOW + sizeof(window) - len);
    return &window[0][0] + (at - WINDOW);
}

static void loops_back(void)
{
    uint32_t nr = reg(E_TDLEN) / 16;
    struct e_tx_desc *tx = told(reg(E_TDBAL) | (uint64_t)reg(E_TDBAL + 4) << 32, nr * 16);
    struct e_rx_desc *rx = told(reg(E_RDBAL) | (uint64_t)reg(E_RDBAL + 4) << 32, reg(E_RDLEN));

    assert_true(reg(E_RCTL) & E_RCTL_LBM_MAC && reg(E_RCTL) & E_RCTL_EN && reg(E_TCTL) & E_TCTL_EN);
    assert_true(reg(E_CTRL) & E_CTRL_FORCE);
    for (; sim.tdh != reg(E_TDT); sim.tdh++, sim.rdh++) {
        assert_true(sim.rdh < reg(E_RDT) && sim.tdh < nr);
        const uint8_t *frame = told(tx[sim.tdh].addr, 60);
        assert_int_equal(frame[12], 0x88); /* for local experiments */
        assert_int_equal(tx[sim.tdh].cmd & 0xffff, 60);
        assert_int_equal(rx[sim.rdh].addr, target);
        written++;
    }
}

const char *dma_trial(uint32_t sbdf, const struct trial_ops *ops, void *dev)
{
    struct trial t = { sbdf, window[0], WINDOW, target = WINDOW + ops->nr_pages * 4096 };

    assert_in_range(ops->nr_pages, 1, BH_TRIAL_PAGES);
    sim.rdh = sim.tdh = written = 0;
    assert_true(ops->reset(dev));
    const char *why = ops->ready(dev, &t);
    for (unsigned i = 0; !why && i < 2; i++) {
        assert_int_equal(written, i);
        ops->write(dev, &t, i);
        loops_back();
        assert_false(ops->gave_up(dev));
    }
    return why;
}

/* --- the device's side ---------------------------------------------------------------------------------------- */

static const char *starts(void)
{
    memset(&e, 0, sizeof(e));
    pkt_pool_init(&pool, pkts, mem, POOL);
    sim.rdh = sim.tdh = sim.resets = sim.offs = sim.pages = sim.contexts = sim.frames = sim.length = 0;
    sim.dma = false;
    return nic_start(&e.nic, &OPS, &pci, &pool, NULL, NULL);
}

static const char *begins(void)
{
    memset(&sim, 0, sizeof(sim));
    memset(regs, 0, sizeof(regs));
    set(E_STATUS, E_STATUS_LU | E_STATUS_1000 | E_STATUS_MASTER);
    return starts();
}

static void world(void) { assert_null(begins()); }

static uint64_t base(unsigned lo) { return reg(lo) | (uint64_t)reg(lo + 4) << 32; }

/* Puts so many bytes into as many buffers as they take, with these words about the last. false: it has no buffers. */
static bool arrives(unsigned len, uint32_t status)
{
    struct e_rx_desc *rx = (void *)base(E_RDBAL);

    assert_true(reg(E_RCTL) & E_RCTL_EN);
    assert_int_equal(reg(E_RDLEN), 4096);
    assert_ptr_equal(rx, ring);
    for (unsigned left = len; left;) {
        unsigned part = left < E_RX_BUF ? left : E_RX_BUF;
        if (sim.rdh == reg(E_RDT))
            return false;
        struct e_rx_desc *d = &rx[sim.rdh];
        assert_int_equal(d->back, 0);
        assert_in_range(d->addr, (uint64_t)mem, (uint64_t)mem + sizeof(mem) - E_RX_BUF);
        memset((void *)d->addr, left == len ? 0xaa : 0xbb, part);
        left -= part;
        d->back = (uint64_t)part << 32 | E_RX_DD | (left ? 0 : E_RX_EOP | status);
        sim.rdh = (sim.rdh + 1) % E_RX_NR;
    }
    return true;
}

/* Sends up to `count` frames; says so, if `back`. */
static unsigned sends(unsigned count, bool back)
{
    struct e_tx_desc *tx = (void *)base(E_TDBAL);
    unsigned sent = 0;

    assert_int_equal(reg(E_TDLEN), 1024 * 16);
    for (; sent < count && sim.tdh != reg(E_TDT); sim.tdh = (sim.tdh + 1) % E_TX_NR) {
        struct e_tx_desc *d = &tx[sim.tdh];
        assert_true(d->cmd & E_TX_DEXT);
        if ((d->cmd & 15u << 20) != TX_DATA) {
            sim.context = *d;
            sim.contexts++;
            continue;
        }
        bool cut = d->cmd & TX_CUT;
        if (!cut || sim.length)
            assert_in_range(d->addr, (uint64_t)mem, (uint64_t)mem + sizeof(mem));
        else /* its headers are a copy */
            assert_in_range(d->addr, (uint64_t)ring, (uint64_t)ring + sizeof(ring));
        assert_true(d->cmd & E_TX_IFCS);
        assert_in_range(d->cmd & 0xffff, 1, sizeof(sim.sent) - sim.length);
        memcpy(sim.sent + sim.length, (void *)d->addr, d->cmd & 0xffff);
        sim.length += d->cmd & 0xffff;
        if (!(d->cmd & E_TX_EOP))
            continue;
        assert_true(d->cmd & E_TX_RS);
        assert_in_range(sim.length, d->back & E_TX_L4CSUM ? 42 : ETH_MIN,
                        cut ? FRAME_MAX : nic_frame_max(&e.nic));
        sim.sent_len = sim.length;
        sim.length = 0;
        sim.last = *d;
        if (back)
            d->back |= E_TX_DD;
        sent++;
        sim.frames++;
    }
    return sent;
}

static unsigned nr_delivered;
static struct {
    unsigned len, flags;
} delivered;
static void deliver(void *arg, struct pkt *p)
{
    assert_int_equal(p->data[0], 0xaa);
    assert_true(p->len == pkt_len(p) || p->len >= PKT_PULL);
    unsigned nr = 0, rest = 0;
    for (const struct pkt *b = p->next; b; b = b->next, nr++) {
        assert_int_equal(b->data[0], 0xbb);
        assert_int_equal(b->data[b->len - 1], 0xbb);
        rest += b->len;
    }
    assert_int_equal(p->nr, 1 + nr);
    assert_int_equal(p->rest, rest);
    delivered.len = pkt_len(p), delivered.flags = p->flags;
    nr_delivered++;
}

static unsigned takes(unsigned budget)
{
    nr_delivered = 0;
    unsigned n = nic_receive(&e.nic, budget, deliver, NULL);
    nic_notify(&e.nic);
    return n;
}

/* --- the driver's -------------------------------------------------------------------------------------------------- */

static struct pkt *frame(unsigned from, unsigned len, unsigned flags)
{
    struct pkt *p = pkt_alloc(&pool);

    assert_non_null(p);
    memset(p->data, 0x55, len < ETH_MIN ? ETH_MIN : len);
    p->len = (uint16_t)len;
    p->from = (uint8_t)from;
    p->flags = (uint8_t)flags;
    p->csum_start = 34;
    p->csum_offset = 16;
    p->csum_end = p->len;
    return p;
}

static void send(struct pkt *p)
{
    nic_send(&e.nic, p);
    pkt_put(&pool, p);
}
