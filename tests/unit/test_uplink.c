/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/net/virtio_net.c drivers-dom/net/nic.c drivers-dom/net/pkt.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net
/* The uplink's queues. Transmit, with a device that is slower than its senders: one that floods leaves the others their share. Receive:
 * what does not fit is counted once and nothing of it delivered, what comes behind it is whole. */
#include "unit.h"
#include "virtio_net.h"

enum { POOL = 600 };
static struct pkt pkts[POOL];
static _Alignas(4096) uint8_t mem[POOL * PKT_BUF];
static struct pkt_pool pool;
static struct vnet n;
static struct vring_desc desc[VQ_SIZE];
static struct vring_avail avail;
static struct vring_used used;

static jmp_buf dead;
static bool may_die;
void bh_panic(const char *fmt, ...)
{
    if (may_die)
        longjmp(dead, 1);
    fail_msg("%s", fmt);
    __builtin_unreachable();
}
long hypercall(unsigned nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return 0; }
static struct virtio_common common;
const char *virtio_pci_map(struct virtio_dev *v, const struct bh_pci_info *dev, unsigned type)
{
    v->common = &common;
    return NULL;
}
bool virtio_reset(struct virtio_dev *v) { return true; }
static uint64_t asked_for;
const char *virtio_negotiate(struct virtio_dev *v, uint64_t wanted)
{
    asked_for = wanted;
    return "no device";
}
const char *vring_start(struct virtio_dev *v, struct vring *q, uint16_t i, uint16_t max,
                        uint16_t vector)
{
    return NULL;
}
void vring_notify(const struct virtio_dev *v, struct vring *q) {}
const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg) { return NULL; }

static void send(unsigned from, unsigned count)
{
    while (count--) {
        struct pkt *p = pkt_alloc(&pool);
        assert_non_null(p);
        p->len = 60;
        p->from = (uint8_t)from;
        nic_send(&n.nic, p);
        pkt_put(&pool, p);
    }
}

/* The device sends the oldest `count` frames; returns how many of them were from the port. */
static unsigned sent(unsigned count, unsigned from)
{
    unsigned mine = 0;

    while (count-- && used.idx != n.tx.r.avail_idx) {
        uint16_t id = avail.ring[used.idx % VQ_SIZE];
        mine += n.tx.pkt[id]->from == from;
        used.ring[used.idx % VQ_SIZE] = (struct vring_used_elem){ .id = id };
        used.idx++;
    }
    return mine;
}

TEST(test_share)
{
    unsigned got = 0;

    pkt_pool_init(&pool, pkts, mem, POOL);
    n.nic = (struct nic){ .ops = &virtio_net, .pool = &pool, .tx_size = VQ_SIZE, .can = NIC_CSUM };
    n.tx.r = (struct vring){ .desc = desc, .avail = &avail, .used = &used, .size = VQ_SIZE };
    for (uint16_t i = 0; i < VQ_SIZE; i++)
        n.tx.free[n.tx.nr_free++] = i;
    n.nic.tx_share = VQ_SIZE / 2;
    for (unsigned round = 0; round < 200; round++) {
        send(1, 64);
        send(2, 1);
        got += sent(16, 2);
        assert_in_range(n.nic.tx_held[1], 0, n.nic.tx_share);
    }
    got += sent(VQ_SIZE, 2);
    assert_int_equal(got, 200);
    assert_true(n.nic.tx_dropped > 1000);
    /* Alone, a port has the whole queue; a share that shrinks under what is held harms nobody. */
    n.nic.tx_share = VQ_SIZE;
    send(1, VQ_SIZE + 5);
    assert_int_equal(n.nic.tx_out, VQ_SIZE);
    n.nic.tx_share = 17;
    sent(VQ_SIZE, 0);
    send(2, 1);
    assert_int_equal(n.nic.tx_out, 1);
    sent(1, 0);
    nic_notify(&n.nic);
    assert_int_equal(pool.nr_free, POOL);
    assert_int_equal(n.nic.tx_held[1] + n.nic.tx_held[2], 0);
}

/* --- receive -------------------------------------------------------------------------------------------------- */

static unsigned delivered[4], nr_delivered;

static void deliver(void *arg, struct pkt *p)
{
    assert_in_range(p->len, ETH_HLEN, FRAME_MAX);
    assert_int_equal(p->data[0], 0xaa);
    delivered[nr_delivered++ % 4] = p->len;
}

static void receive_start(uint64_t features)
{
    memset(&n, 0, sizeof(n));
    memset(&used, 0, sizeof(used));
    memset(&avail, 0, sizeof(avail));
    pkt_pool_init(&pool, pkts, mem, POOL);
    n = (struct vnet){ .nic = { .ops = &virtio_net, .pool = &pool }, .dev.features = features };
    n.rx.r = (struct vring){ .desc = desc, .avail = &avail, .used = &used, .size = VQ_SIZE };
    for (uint16_t i = 0; i < VQ_SIZE; i++) {
        n.rx.pkt[i] = pkt_alloc(&pool);
        desc[i] = (struct vring_desc){ (uint64_t)n.rx.pkt[i]->data - sizeof(struct virtio_net_hdr),
                                       PKT_BUF - PKT_HEAD + 12, VRING_DESC_WRITE, 0 };
        avail.ring[i] = i;
    }
    nr_delivered = 0;
}

/* The device puts a frame of so many bytes into as many buffers as it takes, saying `parts` of them (0: the truth). */
static void arrives(unsigned len, unsigned parts)
{
    const unsigned room = PKT_BUF - PKT_HEAD + 12;
    unsigned bytes = len + 12, truth = (bytes + room - 1) / room;

    for (unsigned i = 0; i < truth; i++, bytes -= room) {
        uint16_t id = avail.ring[used.idx % VQ_SIZE];
        uint8_t *b = (uint8_t *)desc[id].addr;
        memset(b, i ? 0xff : 0, 12);
        memset(b + 12, i ? 0xbb : 0xaa, 100);
        if (!i)
            ((struct virtio_net_hdr *)b)->num_buffers = (uint16_t)(parts ? parts : truth);
        used.ring[used.idx % VQ_SIZE] = (struct vring_used_elem){ .id = id,
                                                                  .len = bytes < room ? bytes : room };
        used.idx++;
    }
}

TEST(test_too_long)
{
    struct bh_pci_info nic = { .index = 0 };

    assert_string_equal(nic_start(&n.nic, &virtio_net, &nic, &pool, NULL, NULL), "no device");
    assert_true(asked_for & VIRTIO_NET_F_MRG_RXBUF);
    receive_start(VIRTIO_NET_F_MRG_RXBUF);
    for (unsigned round = 0; round < 300; round++) {
        static const unsigned sizes[] = { FRAME_MAX, FRAME_MAX + 1, 1984, 1985, 4014, 9014, 60, 13 };
        for (unsigned i = 0; i < 8; i++)
            arrives(sizes[i], 0);
        /* The budget may end in the middle of a frame. */
        while (nic_receive(&n.nic, 3, deliver, NULL))
            ;
        assert_int_equal(n.nic.rx_packets, 2 * (round + 1));
        assert_int_equal(n.nic.rx_length, 6 * (round + 1));
        assert_int_equal(delivered[nr_delivered % 4 ? 0 : 2], FRAME_MAX);
        assert_int_equal(delivered[nr_delivered % 4 ? 1 : 3], 60);
        assert_int_equal(pool.nr_free, POOL - VQ_SIZE);
    }
    assert_int_equal(n.nic.rx_dropped + n.nic.rx_errors, 0);
}

/* A device without the feature drops such frames itself and says nothing of buffers. */
TEST(test_without_mergeable)
{
    receive_start(0);
    arrives(60, 77);
    arrives(FRAME_MAX + 1, 77);
    arrives(FRAME_MAX, 77);
    assert_int_equal(nic_receive(&n.nic, 64, deliver, NULL), 3);
    assert_int_equal(nr_delivered, 2);
    assert_int_equal(n.nic.rx_length, 1);
}

TEST(test_nonsense)
{
    static unsigned parts; /* not on the stack that longjmp leaves */

    for (parts = VQ_SIZE + 1; parts < 0x10000; parts += 0x7f80) {
        receive_start(VIRTIO_NET_F_MRG_RXBUF);
        arrives(60, parts);
        may_die = true;
        if (!setjmp(dead)) {
            nic_receive(&n.nic, 64, deliver, NULL);
            may_die = false;
            fail_msg("a frame in %u buffers was taken", parts);
        }
        may_die = false;
    }
}
