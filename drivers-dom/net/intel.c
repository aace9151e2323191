/* SPDX-License-Identifier: MIT */
/* What Intel's NICs have alike: see intel.h. Section numbers are those of the 82574L's datasheet. */
#include "intel.h"
#include <device.h>
#include <string.h>
#include <trial.h>

#define STOP_NS  (100 * NS_PER_MS) /* 5.3.2.1: what it has asked for comes within 80 ms */
#define RESET_NS (100 * NS_PER_MS)
#define TX_SLOTS (E_TX_FRAMES - 1)
_Static_assert(TX_SLOTS * 3 < E_TX_NR, "a buffer, a context and headers for each");
_Static_assert(PKT_HEAD + E_RX_BUF <= PKT_BUF, "what it may write into a buffer fits");

static void set64(volatile uint8_t *regs, unsigned off, uint64_t v)
{
    intel_set(regs, off, (uint32_t)v);
    intel_set(regs, off + 4, (uint32_t)(v >> 32));
}

bool intel_is(const struct bh_pci_info *dev, const struct intel_kind *kind)
{
    return dev->vendor == INTEL_VENDOR && dev->device == kind->device;
}

static volatile uint8_t *map(const struct bh_pci_info *dev)
{
    const struct bh_pci_bar *bar = &dev->bar[0];

    return (bar->flags & 1) && bar->gpa && bar->size >= INTEL_REGS ? mmio_map(bar->gpa, INTEL_REGS)
                                                                   : NULL;
}

bool intel_wait(volatile uint8_t *regs, unsigned off, uint32_t bits, uint32_t want, uint64_t ns)
{
    uint64_t start = now_ns();

    while ((intel_reg(regs, off) & bits) != want) {
        if (now_ns() - start > ns)
            return false;
        device_pause(start);
    }
    return true;
}

void intel_link_on(volatile uint8_t *regs)
{
    uint32_t ctrl = intel_reg(regs, E_CTRL) & ~(E_CTRL_MASTER_OFF | E_CTRL_FORCE);

    intel_set(regs, E_CTRL, ctrl | E_CTRL_SLU);
}

/*
 * Ends all that a former driver began (5.3.2.1, 3.1.3.10): nothing new is asked of the bus, what was asked for is over, and it forgets. The PHY
 * keeps the link. Whether it forgets is not relied on: the queues are switched off by themselves, and whether they are is read.
 */
bool intel_reset(volatile uint8_t *regs)
{
    intel_set(regs, E_IMC, ~0u);
    intel_set(regs, E_RCTL, 0);
    intel_set(regs, E_TCTL, E_TCTL_PSP);
    intel_set(regs, E_CTRL, intel_reg(regs, E_CTRL) | E_CTRL_MASTER_OFF);
    (void)intel_wait(regs, E_STATUS, E_STATUS_MASTER, 0,
                     STOP_NS); /* one that is stuck is for the reset */
    intel_set(regs, E_CTRL, intel_reg(regs, E_CTRL) | E_CTRL_RST);
    uint64_t start = now_ns();
    while (now_ns() - start < DEVICE_SPIN_NS) /* it must not be read at once */
        device_pause(start);
    if (!intel_wait(regs, E_CTRL, E_CTRL_RST, 0, RESET_NS))
        return false;
    intel_set(regs, E_IMC, ~0u);
    intel_link_on(regs);
    return !((intel_reg(regs, E_RCTL) | intel_reg(regs, E_TCTL)) & E_TCTL_EN);
}
_Static_assert(E_RCTL_EN == E_TCTL_EN, "one test for both");

/* Rings at these addresses, empty; both queues are off. */
static bool rings_set(volatile uint8_t *regs, const struct intel_kind *kind, uint64_t rx,
                      unsigned nr_rx, uint64_t tx, unsigned nr_tx)
{
    set64(regs, E_RDBAL, rx);
    intel_set(regs, E_RDLEN, nr_rx * (uint32_t)sizeof(struct e_rx_desc));
    intel_set(regs, E_RDH, 0);
    intel_set(regs, E_RDT, 0);
    set64(regs, E_TDBAL, tx);
    intel_set(regs, E_TDLEN, nr_tx * (uint32_t)sizeof(struct e_tx_desc));
    intel_set(regs, E_TDH, 0);
    intel_set(regs, E_TDT, 0);
    return kind->rings(regs);
}

/* A power of two (nic.h). */
static unsigned rx_nr(const struct intel *e) { return E_RX_NR >> e->nic.shift; }

static void rx_post(struct intel *e, unsigned i, struct pkt *p)
{
    e->rx_pkt[i] = p;
    e->rx[i] = (struct e_rx_desc){ .addr = (uint64_t)p->data };
}

static const char *queues_start(struct intel *e)
{
    volatile uint8_t *regs = e->regs;

    if (!e->rx)
        e->rx = page_alloc((E_RX_NR + E_TX_NR) * sizeof(struct e_rx_desc) / PAGE_SIZE);
    if (!e->tx_head)
        e->tx_head = page_alloc(E_TX_FRAMES * PKT_PULL / PAGE_SIZE);
    if (!e->rx || !e->tx_head)
        return "out of memory";
    e->tx = (struct e_tx_desc *)(e->rx + E_RX_NR);
    if (!rings_set(regs, e->kind, (uint64_t)e->rx, rx_nr(e), (uint64_t)e->tx, E_TX_NR))
        return "its queues do not begin";
    for (unsigned i = 0; i < rx_nr(e); i++) {
        struct pkt *p = pkt_alloc(e->nic.pool);
        if (!p)
            return "out of buffers";
        rx_post(e, i, p);
    }
    intel_set(regs, E_RXCSUM, E_RXCSUM_BOTH);
    e->kind->irqs(regs);
    intel_set(regs, E_CTRL_EXT, intel_reg(regs, E_CTRL_EXT) | E_CTRL_EXT_DRV_LOAD);
    intel_set(regs, E_TCTL, E_TCTL_EN | E_TCTL_PSP | E_TCTL_COLLISIONS);
    intel_set(regs, E_RCTL, E_RCTL_EN | E_RCTL_ALL | E_RCTL_LPE | E_RCTL_SECRC);
    return NULL;
}

static void look_at_link(struct intel *e, uint32_t status)
{
    bool cuts = !e->kind->cuts_fast || status & E_STATUS_1000;

    e->nic.no_link = !(status & E_STATUS_LU);
    e->nic.can = NIC_CSUM | NIC_SCATTER | (cuts ? NIC_TSO4 | NIC_TSO6 | NIC_TSO_TOLD : 0);
}

const char *intel_start(struct intel *e, const struct bh_pci_info *dev, const struct intel_kind *kind)
{
    struct bh_dma_enable dma = { .sbdf = dev->sbdf, .enable = 1 };

    e->kind = kind;
    e->regs = map(dev);
    if (!e->regs)
        return "its registers cannot be mapped";
    /* Only now is every DMA of a former instance over. */
    if (!kind->reset(e->regs))
        return "it does not reset";
    if (bh_svc_dma_enable(&dma))
        return "DMA was refused";
    const char *why = pci_irq_bind(dev->sbdf, 0, kind->irq, e);
    if (!why)
        why = queues_start(e);
    if (why) { /* it must not go on with what it was given */
        (void)kind->reset(e->regs);
        dma.enable = 0;
        bh_svc_dma_enable(&dma);
        return why;
    }
    e->nic.mtu = WIRE_MTU;
    e->nic.mtu_max = E_MTU;
    e->nic.tx_size = TX_SLOTS;
    uint32_t mac[2] = { intel_reg(e->regs, E_RAL), intel_reg(e->regs, E_RAH) };
    if (mac[1] & E_RAH_VALID)
        memcpy(e->nic.mac, mac, sizeof(e->nic.mac));
    look_at_link(e, intel_reg(e->regs, E_STATUS));
    return NULL;
}

/* --- receive ---------------------------------------------------------------------------------------------------- */

/* What is of no use is dropped, whole, and counted once. */
static void rx_drop(struct intel *e, uint64_t *counter)
{
    (*counter)++;
    if (e->rx_frame)
        pkt_put(e->nic.pool, e->rx_frame);
    e->rx_frame = NULL;
}

/* The frame is there: true, or it is dropped. */
static bool rx_whole(struct intel *e, uint32_t status)
{
    struct pkt *p = e->rx_frame;

    if (!p)
        return false;
    pkt_pull(e->nic.pool, p);
    if (pkt_len(p) < ETH_HLEN) {
        rx_drop(e, &e->nic.rx_length);
        return false;
    }
    if (status & E_RX_BROKEN) {
        rx_drop(e, &e->nic.rx_errors);
        return false;
    }
    p->flags = (status & (E_RX_IXSM | E_RX_L4CS | E_RX_L4E)) == E_RX_L4CS ? PKT_CSUM_VALID : 0;
    return true;
}

static void rx_one(struct intel *e, unsigned i, uint64_t back, nic_deliver *deliver, void *arg)
{
    uint32_t status = (uint32_t)back;
    unsigned len = (uint16_t)(back >> 32);
    struct pkt *p = e->rx_pkt[i], *fresh = NULL;
    bool first = !e->rx_rest;

    if (len > E_RX_BUF || (!len && !first))
        bh_panic("the NIC says that it put %u bytes into a buffer", len);
    e->rx_rest = !(status & E_RX_EOP);
    /* A buffer that nobody can replace is not taken: the ring stays full. */
    if (first || e->rx_frame) {
        fresh = pkt_alloc(e->nic.pool);
        if (!fresh)
            rx_drop(e, &e->nic.rx_dropped);
    }
    rx_post(e, i, fresh ? fresh : p);
    if (fresh) {
        p->len = (uint16_t)len;
        if (first)
            e->rx_frame = p;
        else
            pkt_append(e->rx_frame, e->rx_last, p);
        e->rx_last = p;
    }
    if (e->rx_frame && (pkt_len(e->rx_frame) > nic_frame_max(&e->nic) || e->rx_frame->nr > PKT_BUFS))
        rx_drop(e, &e->nic.rx_length);
    if (e->rx_rest || !rx_whole(e, status))
        return;
    e->nic.rx_packets++;
    p = e->rx_frame;
    e->rx_frame = NULL;
    deliver(arg, p);
    pkt_put(e->nic.pool, p);
}

/* What came back in the next descriptor, read once; 0: nothing yet. */
static uint64_t rx_back(const struct intel *e)
{
    uint64_t back = READ_ONCE(e->rx[e->rx_next % rx_nr(e)].back);

    rmb(); /* the frame after the word that says that it is there */
    return back & E_RX_DD ? back : 0;
}

unsigned intel_receive(struct nic *n, unsigned budget, nic_deliver *deliver, void *arg)
{
    struct intel *e = intel_of(n);
    unsigned done = 0;
    uint64_t back;

    while (done < budget && (back = rx_back(e))) {
        unsigned i = e->rx_next++ % rx_nr(e);
        rx_one(e, i, back, deliver, arg);
        done++;
    }
    return done;
}

/* --- transmit --------------------------------------------------------------------------------------------------- */

static struct e_tx_desc *tx_slot(struct intel *e) { return &e->tx[e->tx_next++ % E_TX_NR]; }

/* A context, if it is another than the one that the device has. */
static void tx_context(struct intel *e, const struct e_tx_desc *c)
{
    if (!memcmp(c, &e->context, sizeof(*c)))
        return;
    e->context = *c;
    *tx_slot(e) = *c;
}

static void tx_data(struct intel *e, const uint8_t *at, uint32_t len, uint32_t cmd, uint32_t offload)
{
    *tx_slot(e) = (struct e_tx_desc){ .addr = (uint64_t)at,
                                      .cmd = len | cmd | e->kind->tx_data | E_TX_DEXT | E_TX_IFCS,
                                      .back = offload };
}

/* Those of a packet that the device cuts, as it wants them (7.2.10.1): no lengths, and none in the pseudo-header's sum. In a copy, since others may
 * have the frame. */
static const uint8_t *headers(struct intel *e, const struct pkt *p)
{
    unsigned type, at = frame_payload(p->data, p->len, &type);
    uint8_t *h = e->tx_head[e->tx_next_frame % E_TX_FRAMES], *ip = h + at,
            *field = h + p->csum_start + p->csum_offset;
    uint32_t len = pkt_len(p) - p->csum_start;

    memcpy(h, p->data, p->hdr_len);
    memset(ip + (p->ipv6 ? 4 : 2), 0, 2);
    if (!p->ipv6)
        memset(ip + 10, 0, 2);
    uint32_t sum = ((uint32_t)field[0] << 8 | field[1]) + (~len & 0xffff);
    sum += sum >> 16;
    field[0] = (uint8_t)(sum >> 8);
    field[1] = (uint8_t)sum;
    return h;
}

void intel_send(struct nic *n, struct pkt *p)
{
    struct intel *e = intel_of(n);
    struct e_tx_desc c = { 0 };
    uint32_t offload = 0, cut = p->gso ? e->kind->tx_cut : 0, len = nic_wire_len(p);
    unsigned skip = p->gso ? p->hdr_len : 0;

    /* QEMU's takes the segment to be as long as the frame: a short one with a checksum it has to pad itself. */
    if ((p->flags & PKT_CSUM_BLANK) && (p->csum_end != pkt_len(p) || !e->kind->context(&c, p)))
        pkt_csum_fill(p);
    if (p->flags & PKT_CSUM_BLANK) {
        tx_context(e, &c);
        offload = E_TX_L4CSUM | (p->gso && !p->ipv6 ? E_TX_IPCSUM : 0);
        len = p->len;
    }
    if (e->kind->tx_length)
        offload |= (len + p->rest - skip) << e->kind->tx_length;
    if (skip)
        tx_data(e, headers(e, p), skip, cut, offload);
    for (const struct pkt *b = p; b; b = b->next, len = b ? b->len : 0, skip = 0)
        if (len > skip)
            tx_data(e, b->data + skip, len - skip, cut | (b->next ? 0 : E_TX_EOP | E_TX_RS), offload);
    e->tx_last[e->tx_next_frame % E_TX_FRAMES] = (uint16_t)((e->tx_next - 1) % E_TX_NR);
    e->tx_pkt[e->tx_next_frame++ % E_TX_FRAMES] = p;
}

void intel_reclaim(struct nic *n)
{
    struct intel *e = intel_of(n);

    while (e->tx_first_frame != e->tx_next_frame) {
        unsigned i = e->tx_first_frame % E_TX_FRAMES;
        if (!(READ_ONCE(e->tx[e->tx_last[i]].back) & E_TX_DD))
            break;
        nic_sent(n, e->tx_pkt[i]);
        e->tx_pkt[i] = NULL;
        e->tx_first_frame++;
    }
}

/* --- the rest --------------------------------------------------------------------------------------------------- */

void intel_notify(struct nic *n)
{
    struct intel *e = intel_of(n);
    uint32_t rx_tail = e->rx_next + rx_nr(e) - 1; /* that one is not its own */

    wmb();
    if (e->rx_told != rx_tail)
        intel_set(e->regs, E_RDT, (e->rx_told = rx_tail) % rx_nr(e));
    if (e->tx_told != e->tx_next)
        intel_set(e->regs, E_TDT, (e->tx_told = e->tx_next) % E_TX_NR);
}

/* Unless it may interrupt still: what it has to say that has been seen is cleared, then it may. The read comes after these writes, and the look
 * at the ring after what the device wrote before it answered. */
bool intel_arm(struct nic *n)
{
    struct intel *e = intel_of(n);

    if (!e->armed) {
        e->armed = true;
        e->kind->unmask(e->regs);
        look_at_link(e, intel_reg(e->regs, E_STATUS));
    }
    return rx_back(e) != 0;
}

bool intel_sane(struct nic *n)
{
    struct intel *e = intel_of(n);
    uint32_t status = intel_reg(e->regs, E_STATUS);

    if (status == ~0u) /* there is nothing */
        return false;
    look_at_link(e, status);
    return true;
}

/* --- the trial of its IOMMU unit --------------------------------------------------------------------------------
 * A frame to itself, over the MAC's loopback: what it receives is the write. It needs a link, which is forced where the device lets us. */

#define FRAME_LEN 60u
#define LINK_NS   (2 * NS_PER_S) /* QEMU's 82576 takes half a second */
enum { PAGE_RX, PAGE_TX, PAGE_FRAME, PAGES };
#define TRIAL_NR 8u /* the shortest rings */

struct tried {
    volatile uint8_t *regs;
    const struct intel_kind *kind;
};

static bool trial_reset(void *dev)
{
    struct tried *d = dev;

    return d->kind->reset(d->regs);
}

static const char *trial_ready(void *dev, const struct trial *t)
{
    static const uint8_t head[14] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
    const struct intel_kind *kind = ((struct tried *)dev)->kind;
    volatile uint8_t *regs = ((struct tried *)dev)->regs;
    struct e_rx_desc *rx = (void *)(t->pages + PAGE_RX * PAGE_SIZE);
    struct e_tx_desc *tx = (void *)(t->pages + PAGE_TX * PAGE_SIZE);

    if (!kind->reset(regs))
        return "it does not reset";
    memcpy(t->pages + PAGE_FRAME * PAGE_SIZE, head, sizeof(head));
    for (unsigned i = 0; i < TRIAL_NR; i++) {
        rx[i] = (struct e_rx_desc){ .addr = t->target };
        tx[i] = (struct e_tx_desc){ .addr = t->window + PAGE_FRAME * PAGE_SIZE,
                                    .cmd = FRAME_LEN | kind->tx_data | E_TX_DEXT | E_TX_EOP |
                                           E_TX_IFCS | E_TX_RS };
    }
    intel_set(regs, E_CTRL, intel_reg(regs, E_CTRL) | E_CTRL_FD | E_CTRL_1000 | E_CTRL_FORCE);
    if (!intel_wait(regs, E_STATUS, E_STATUS_LU, E_STATUS_LU, LINK_NS))
        return "it has no link, without which its IOMMU unit cannot be tried";
    if (!rings_set(regs, kind, t->window + PAGE_RX * PAGE_SIZE, TRIAL_NR,
                   t->window + PAGE_TX * PAGE_SIZE, TRIAL_NR))
        return "its queues do not begin";
    intel_set(regs, E_TCTL, E_TCTL_EN | E_TCTL_PSP | E_TCTL_COLLISIONS);
    intel_set(regs, E_RCTL, E_RCTL_EN | E_RCTL_ALL | E_RCTL_LBM_MAC | E_RCTL_SECRC);
    wmb();
    intel_set(regs, E_RDT, TRIAL_NR - 1);
    return NULL;
}

static void trial_write(void *dev, const struct trial *t, unsigned n)
{
    (void)t;
    wmb();
    intel_set(((struct tried *)dev)->regs, E_TDT, n + 1);
}

static bool gave_up(void *dev) { return intel_reg(((struct tried *)dev)->regs, E_STATUS) == ~0u; }

const char *intel_trial(const struct bh_pci_info *dev, const struct intel_kind *kind)
{
    static const struct trial_ops ops = { .nr_pages = PAGES,
                                          .reset = trial_reset,
                                          .ready = trial_ready,
                                          .write = trial_write,
                                          .gave_up = gave_up };
    struct tried d = { map(dev), kind };

    return d.regs ? dma_trial(dev->sbdf, &ops, &d) : "its registers cannot be mapped";
}
