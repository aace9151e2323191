/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/vnet_world.c drivers-dom/net/virtio_net.c drivers-dom/net/nic.c drivers-dom/net/pkt.c drivers-dom/net/gso.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net
/* The uplink's queues. Transmit, with a device that is slower than its senders: one that floods leaves the others their share. Receive:
 * what does not fit is counted once and nothing of it delivered, what comes behind it is whole. Large packets both ways. */
#include "unit.h"
#include "vnet_world.h"

enum { POOL = 600 };
static struct pkt pkts[POOL];
static _Alignas(4096) uint8_t mem[POOL * PKT_BUF];
static struct pkt_pool pool;
static struct vnet n;
static struct vring_desc desc[VQ_SIZE];
static struct vring_avail avail;
static struct vring_used used;

const char *vring_start(struct virtio_dev *v, struct vring *q, uint16_t i, uint16_t max,
                        uint16_t vector)
{
    *q = (struct vring){ .desc = desc, .avail = &avail, .used = &used, .size = max };
    q->used_event = &avail.ring[max];
    return NULL;
}
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

/* --- large packets out --------------------------------------------------------------------------------------- */

static void send_start(uint32_t can)
{
    memset(&n, 0, sizeof(n));
    memset(&used, 0, sizeof(used));
    memset(&avail, 0, sizeof(avail));
    pkt_pool_init(&pool, pkts, mem, POOL);
    n.nic = (struct nic){
        .ops = &virtio_net, .pool = &pool, .tx_size = VQ_SIZE, .tx_share = VQ_SIZE, .can = can
    };
    n.tx.r = (struct vring){ .desc = desc, .avail = &avail, .used = &used, .size = VQ_SIZE };
    for (uint16_t i = 0; i < VQ_SIZE; i++)
        n.tx.free[n.tx.nr_free++] = i;
}

/* TCP over IPv4 or IPv6 of so many bytes, in full buffers. */
static struct pkt *tcp(bool v6, unsigned len, unsigned gso_size, bool cwr)
{
    struct pkt *p = pkt_alloc(&pool), *last = p;
    unsigned at = 0, ip = v6 ? 40 : 20;

    while (at < len) {
        unsigned room = at ? PKT_BUF : PKT_BUF - PKT_HEAD, k = len - at < room ? len - at : room;
        if (at)
            last = pkt_grow(&pool, p, last);
        memset(last->data, (int)(at / PKT_BUF), k);
        last->len = (uint16_t)k;
        p->rest += at ? k : 0;
        at += k;
    }
    uint8_t *h = p->data + 14;
    h[-2] = v6 ? 0x86 : 8, h[-1] = v6 ? 0xdd : 0;
    h[0] = v6 ? 0x60 : 0x45;
    unsigned said = len - 14 - (v6 ? 40 : 0);
    h[v6 ? 4 : 2] = (uint8_t)(said >> 8), h[v6 ? 5 : 3] = (uint8_t)said;
    h[6] = v6 ? 6 : 0, h[7] = 0, h[9] = 6;
    h[ip + 12] = 0x50, h[ip + 13] = cwr ? 0x90 : 0x10;
    p->flags = PKT_CSUM_BLANK | PKT_CSUM_VALID;
    p->gso = v6 ? PKT_GSO_TCP6 : PKT_GSO_TCP4;
    p->gso_size = (uint16_t)gso_size;
    assert_true(pkt_gso_find(p));
    return p;
}

TEST(test_chains)
{
    const uint32_t tso = NIC_CSUM | NIC_SCATTER | NIC_TSO4 | NIC_TSO6;

    for (unsigned i = 0; i < 200; i++) {
        send_start(tso);
        unsigned len = 1600 + i * 320, sum = 0, parts = 0;
        struct pkt *p = tcp(i & 1, len, 1400, false), *b = p;
        unsigned nr = p->nr;
        send(1, 3); /* the free ones are in no order */
        sent(2, 0);
        nic_send(&n.nic, p);
        struct vring_desc *d = &desc[avail.ring[3]];
        struct virtio_net_hdr *h = (void *)d->addr;
        assert_int_equal(h->flags, VNET_HDR_NEEDS_CSUM);
        assert_int_equal(h->gso_type, i & 1 ? VNET_GSO_TCP6 : VNET_GSO_TCP4);
        assert_int_equal(h->gso_size, 1400);
        assert_int_equal(h->hdr_len, 14 + (i & 1 ? 40 : 20) + 20);
        assert_int_equal(h->csum_start, h->hdr_len - 20);
        assert_int_equal(h->csum_offset, 16);
        for (;; b = b->next, d = &desc[d->next]) {
            assert_true(d->addr == (uint64_t)b->data - (parts ? 0 : sizeof(*h)));
            assert_int_equal(d->len, b->len + (parts ? 0 : sizeof(*h)));
            sum += d->len;
            parts++;
            if (!(d->flags & VRING_DESC_NEXT))
                break;
        }
        assert_true(!b->next && !(d->flags & VRING_DESC_WRITE));
        assert_int_equal(sum, len + sizeof(*h));
        assert_int_equal(parts, nr);
        pkt_put(&pool, p);
        memset(desc, 0xff, sizeof(desc)); /* what the device does there is nothing to us */
        sent(VQ_SIZE, 0);
        nic_notify(&n.nic);
        assert_int_equal(pool.nr_free, POOL);
        assert_int_equal(n.tx.nr_free, VQ_SIZE);
        assert_int_equal(n.nic.tx_held[0] + n.nic.tx_held[1], 0);
        assert_int_equal(n.nic.tx_done, 4);
        for (unsigned k = 0; k < VQ_SIZE; k++) /* each free once */
            n.tx.next[n.tx.free[k]] = 0xabcd;
        for (unsigned k = 0; k < VQ_SIZE; k++)
            assert_int_equal(n.tx.next[k], 0xabcd);
    }
}

/* What is given to the NIC to be cut: nothing that it does not say it can. Else it gets frames. */
TEST(test_cuts)
{
    for (unsigned i = 0; i < 8; i++) {
        bool v6 = i & 1, cwr = i & 2, tagged = i & 4;
        for (uint32_t can = 0; can < 32; can++) {
            const uint32_t needs = NIC_CSUM | NIC_SCATTER | (v6 ? NIC_TSO6 : NIC_TSO4) |
                                   (cwr ? NIC_TSO_ECN : 0);
            send_start(can);
            struct pkt *p = tcp(v6, 9000, 1400, cwr);
            p->tagged = tagged;
            bool whole = !tagged && (can & needs) == needs;
            nic_send(&n.nic, p);
            assert_int_equal(n.nic.tx_packets, whole ? 1 : pkt_segments(p));
            for (unsigned k = 0; k < n.nic.tx_packets; k++) {
                struct vring_desc *d = &desc[avail.ring[k]];
                struct virtio_net_hdr *h = (void *)d->addr;
                assert_int_equal(h->gso_type, !whole ? 0
                                                     : (v6 ? VNET_GSO_TCP6 : VNET_GSO_TCP4) |
                                                           (cwr ? VNET_GSO_ECN : 0));
                assert_int_equal(h->flags, can & NIC_CSUM ? VNET_HDR_NEEDS_CSUM : 0);
                assert_true(whole || (!(d->flags & VRING_DESC_NEXT) && d->len <= 1514 + 12));
            }
            pkt_put(&pool, p);
            sent(VQ_SIZE, 0);
            nic_notify(&n.nic);
            assert_int_equal(pool.nr_free, POOL);
        }
    }
}

/* A packet longer than a port's share goes when nothing else of it is there; never beyond the queue. */
TEST(test_room)
{
    bool idle;

    send_start(NIC_CSUM | NIC_SCATTER | NIC_TSO4);
    n.nic.tx_share = 10;
    struct pkt *p = tcp(false, 65000, 1400, false);
    assert_int_equal(nic_room(&n.nic, 0, &idle), 10);
    assert_true(idle);
    nic_send(&n.nic, p);
    assert_int_equal(n.nic.tx_held[0], p->nr);
    assert_int_equal(nic_room(&n.nic, 0, &idle), 0);
    assert_false(idle);
    nic_send(&n.nic, p);
    assert_int_equal(n.nic.tx_dropped, 1);
    n.nic.tx_share = VQ_SIZE;
    while (n.nic.tx_dropped == 1)
        nic_send(&n.nic, p);
    assert_int_equal(n.nic.tx_held[0], VQ_SIZE / p->nr * p->nr);
    assert_int_equal(nic_room(&n.nic, 1, &idle), VQ_SIZE % p->nr);
    pkt_put(&pool, p);
    sent(VQ_SIZE, 0);
    nic_notify(&n.nic);
    assert_int_equal(pool.nr_free, POOL);
}

/* One that is cut here and has more segments than its port has room goes on as room comes, and nothing of it is lost; its port has no more room
 * meanwhile, the others have theirs. Without a link it goes nowhere. */
TEST(test_cut_waits)
{
    bool idle;

    send_start(NIC_CSUM | NIC_SCATTER);
    n.nic.tx_share = 10;
    struct pkt *p = tcp(false, 65000, 1400, false);
    unsigned segments = pkt_segments(p), seen = 0;
    nic_send(&n.nic, p);
    pkt_put(&pool, p);
    for (unsigned at = 0; seen < segments; at = n.tx.r.avail_idx) {
        nic_notify(&n.nic);
        assert_in_range(n.nic.tx_held[0], 1, 10);
        if (nic_waits(&n.nic)) {
            n.nic.tx_share = 20;
            assert_int_equal(nic_room(&n.nic, 0, &idle), 0);
            assert_false(idle);
            n.nic.tx_share = 10;
        }
        send(1, 1);
        for (; at != n.tx.r.avail_idx; at++) {
            const struct pkt *s = n.tx.pkt[avail.ring[at % VQ_SIZE]];
            if (s->from == 0) {
                const uint8_t *seq = s->data + 14 + 20 + 4;
                assert_int_equal(((unsigned)seq[2] << 8 | seq[3]), seen * 1400 & 0xffff);
                seen++;
            }
        }
        sent(VQ_SIZE, 0);
    }
    nic_notify(&n.nic);
    assert_int_equal(n.nic.tx_dropped, 0);
    assert_false(nic_waits(&n.nic));
    assert_int_equal(pool.nr_free, POOL);
    p = tcp(false, 65000, 1400, false);
    for (unsigned i = 0; i < NIC_WAIT + 1; i++)
        nic_send(&n.nic, p);
    assert_int_equal(n.nic.tx_dropped, 1);
    pkt_put(&pool, p);
    n.nic.no_link = true;
    nic_notify(&n.nic);
    assert_int_equal(n.nic.tx_dropped, 1 + NIC_WAIT);
    sent(VQ_SIZE, 0);
    nic_notify(&n.nic);
    assert_int_equal(pool.nr_free, POOL);
}

/* All buffers are in packets of many ports that are to be cut: some are dropped, and the others go. */
TEST(test_cut_reserve)
{
    enum { PORTS = 35 };
    struct pkt *p[PORTS], *rest[POOL];
    unsigned nr = 0, segments;

    send_start(NIC_CSUM | NIC_SCATTER);
    n.nic.tx_share = 7;
    for (unsigned i = 0; i < PORTS; i++) { /* as a round collects them */
        p[i] = tcp(false, 65000, 1400, false);
        p[i]->from = (uint8_t)(i + 1);
    }
    segments = pkt_segments(p[0]);
    while (pool.nr_free)
        rest[nr++] = pkt_alloc(&pool);
    for (unsigned i = 0; i < PORTS; i++) {
        nic_send(&n.nic, p[i]);
        pkt_put(&pool, p[i]);
    }
    assert_in_range(n.nic.tx_dropped, 1, PORTS / 2);
    for (unsigned i = 0; i < PORTS * segments && nic_waits(&n.nic); i++) {
        sent(VQ_SIZE, 0);
        nic_notify(&n.nic);
    }
    assert_false(nic_waits(&n.nic));
    assert_int_equal(n.nic.tx_packets, (PORTS - n.nic.tx_dropped) * segments);
    while (nr)
        pkt_put(&pool, rest[--nr]);
    sent(VQ_SIZE, 0);
    nic_notify(&n.nic);
    assert_int_equal(pool.nr_free, POOL);
}

/* What a port sends behind a packet that is being cut comes behind it, large or small; another port's does not wait. */
TEST(test_cut_order)
{
    send_start(NIC_CSUM | NIC_SCATTER);
    n.nic.tx_share = 10;
    struct pkt *p = tcp(false, 65000, 1400, false), *q = tcp(false, 9000, 1400, false);
    unsigned whole = pkt_segments(p) + pkt_segments(q) + 2, seen = 0;
    nic_send(&n.nic, p);
    send(0, 1);
    nic_send(&n.nic, q);
    send(0, 1);
    send(1, 1);
    assert_int_equal(n.nic.tx_held[1], 1);
    for (unsigned at = 0; seen < whole; at = n.tx.r.avail_idx) {
        nic_notify(&n.nic);
        for (; at != n.tx.r.avail_idx; at++) {
            const struct pkt *s = n.tx.pkt[avail.ring[at % VQ_SIZE]];
            if (s->from)
                continue;
            bool small = seen == pkt_segments(p) || seen == whole - 1;
            assert_int_equal(pkt_len(s) == 60, small);
            if (!small) {
                const uint8_t *seq = s->data + 14 + 20 + 4;
                unsigned i = seen < pkt_segments(p) ? seen : seen - pkt_segments(p) - 1;
                assert_int_equal(((unsigned)seq[2] << 8 | seq[3]), i * 1400 & 0xffff);
            }
            seen++;
        }
        sent(VQ_SIZE, 0);
    }
    nic_notify(&n.nic);
    assert_int_equal(n.nic.tx_dropped, 0);
    assert_false(nic_waits(&n.nic));
    /* A device that moves nothing: what waits is given up, and holds nothing. */
    n.nic.tx_share = 2;
    for (unsigned i = 0; i < 5; i++)
        nic_send(&n.nic, q);
    unsigned held = n.nic.tx_out;
    assert_int_equal(n.nic.waiting, 5);
    nic_give_up(&n.nic);
    assert_false(nic_waits(&n.nic));
    assert_int_equal(n.nic.tx_dropped, 5);
    assert_int_equal(pool.nr_free, POOL - p->nr - q->nr - held);
    sent(VQ_SIZE, 0);
    nic_notify(&n.nic);
    pkt_put(&pool, p);
    pkt_put(&pool, q);
    assert_int_equal(pool.nr_free, POOL);
}

/* --- receive -------------------------------------------------------------------------------------------------- */

static unsigned delivered[4], nr_delivered, delivered_gso;

static void deliver(void *arg, struct pkt *p)
{
    unsigned at = 0, nr = 0;

    assert_in_range(pkt_len(p), ETH_HLEN, p->gso ? FRAME_MAX : nic_frame_max(&n.nic));
    for (const struct pkt *b = p; b; b = b->next, nr++) {
        for (unsigned i = 0; i < b->len; i++, at++)
            if (at >= 80 && b->data[i] != (uint8_t)(at / 7))
                fail_msg("byte %u", at);
    }
    assert_int_equal(nr, p->nr);
    assert_int_equal(at, pkt_len(p));
    assert_true(p->len >= (at < PKT_PULL ? at : PKT_PULL));
    delivered_gso = p->gso ? p->gso_size : 0;
    if (p->gso)
        if (!pkt_gso_find(p) && at > 80 && at < 65550)
            fail_msg("%u bytes, the first %u, end %u, v6 %d", at, p->len, p->csum_end, p->ipv6);
    delivered[nr_delivered++ % 4] = at;
}

static void receive_start(uint64_t features)
{
    memset(&n, 0, sizeof(n));
    memset(&used, 0, sizeof(used));
    memset(&avail, 0, sizeof(avail));
    pkt_pool_init(&pool, pkts, mem, POOL);
    n = (struct vnet){ .nic = { .ops = &virtio_net, .pool = &pool, .mtu = WIRE_MTU },
                       .dev.features = features };
    n.rx.r = (struct vring){ .desc = desc, .avail = &avail, .used = &used, .size = VQ_SIZE };
    for (uint16_t i = 0; i < VQ_SIZE; i++) {
        n.rx.pkt[i] = pkt_alloc(&pool);
        desc[i] = (struct vring_desc){ (uint64_t)n.rx.pkt[i]->data - sizeof(struct virtio_net_hdr),
                                       PKT_BUF - PKT_HEAD + 12, VRING_DESC_WRITE, 0 };
        avail.ring[i] = i;
    }
    nr_delivered = delivered_gso = 0;
}

/* The device puts a frame of so many bytes into as many buffers as it takes, of which it fills `room` bytes, saying `parts` of them (0: the truth). */
static struct virtio_net_hdr head; /* and this in front of it */
static void arrives_in(unsigned len, unsigned parts, unsigned room)
{
    static uint8_t frame[12 + 70000];
    unsigned bytes = len + 12, truth = (bytes + room - 1) / room;
    bool v6 = head.gso_type == VNET_GSO_TCP6;
    uint8_t *ip = frame + 12 + 14;

    head.num_buffers = (uint16_t)(parts ? parts : truth);
    memset(frame, 0, 12 + 80);
    memcpy(frame, &head, 12);
    ip[-2] = v6 ? 0x86 : 8, ip[-1] = v6 ? 0xdd : 0, ip[0] = v6 ? 0x60 : 0x45;
    unsigned said = len - 14 - (v6 ? 40 : 0);
    ip[v6 ? 4 : 2] = (uint8_t)(said >> 8), ip[v6 ? 5 : 3] = (uint8_t)said;
    ip[v6 ? 6 : 9] = 6, ip[v6 ? 52 : 32] = 0x50;
    for (unsigned i = 80; i < len; i++)
        frame[12 + i] = (uint8_t)(i / 7);
    for (unsigned i = 0; i < truth; i++) {
        uint16_t id = avail.ring[used.idx % VQ_SIZE];
        unsigned part = bytes - i * room < room ? bytes - i * room : room;
        memcpy((void *)desc[id].addr, frame + i * room, part);
        used.ring[used.idx % VQ_SIZE] = (struct vring_used_elem){ .id = id, .len = part };
        used.idx++;
    }
}
static void arrives(unsigned len, unsigned parts)
{
    arrives_in(len, parts, PKT_BUF - PKT_HEAD + 12);
}

TEST(test_too_long)
{
    struct bh_pci_info nic = { .index = 0 };

    assert_string_equal(nic_start(&n.nic, &virtio_net, &nic, &pool, NULL, NULL), "no device");
    assert_true(asked_for & VIRTIO_NET_F_MRG_RXBUF);
    receive_start(VIRTIO_NET_F_MRG_RXBUF);
    head = (struct virtio_net_hdr){ .flags = 0 };
    for (unsigned round = 0; round < 300; round++) {
        static const unsigned sizes[] = { WIRE_MAX, WIRE_MAX + 1, 4032, 4033, 9014, 65000, 60, 13 };
        for (unsigned i = 0; i < 8; i++)
            arrives(sizes[i], 0);
        /* The budget may end in the middle of a frame. */
        while (nic_receive(&n.nic, 3, deliver, NULL))
            ;
        assert_int_equal(n.nic.rx_packets, 2 * (round + 1));
        assert_int_equal(n.nic.rx_length, 6 * (round + 1));
        assert_int_equal(delivered[nr_delivered % 4 ? 0 : 2], WIRE_MAX);
        assert_int_equal(delivered[nr_delivered % 4 ? 1 : 3], 60);
        assert_int_equal(pool.nr_free, POOL - VQ_SIZE);
    }
    assert_int_equal(n.nic.rx_dropped + n.nic.rx_errors, 0);
}

/* What the device says of its wire; what the configuration says, if that is not more than it can. */
TEST(test_mtu)
{
    static const struct {
        uint64_t features;
        unsigned said, mtu, max;
    } devices[] = {
        { VIRTIO_NET_F_MRG_RXBUF, 9000, 1500, 65535 },
        { VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_MTU, 9000, 9000, 9000 },
        { VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_MTU, 1400, 1400, 1400 },
        { VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_MTU, 0, 68, 68 },
        { VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC, 9000, 4010, 4010 }, /* in one buffer */
        { VIRTIO_F_EVENT_IDX, 0, 1500, 4010 },
    };

    for (unsigned i = 0; i < 6; i++) {
        struct bh_pci_info nic = { .index = 0 };
        offered = devices[i].features;
        memcpy(devcfg + VNET_MTU,
               (uint8_t[]){ (uint8_t)devices[i].said, (uint8_t)(devices[i].said >> 8) }, 2);
        memcpy(devcfg, "RTabcd", 6);
        memset(&used, 0, sizeof(used));
        pkt_pool_init(&pool, pkts, mem, POOL);
        assert_null(nic_start(&n.nic, &virtio_net, &nic, &pool, NULL, NULL));
        assert_int_equal(n.nic.mac[5], offered & VIRTIO_NET_F_MAC ? 'd' : 0);
        assert_int_equal(n.nic.mtu, devices[i].mtu);
        nic_set_mtu(&n.nic, ~0ul);
        assert_int_equal(n.nic.mtu, devices[i].max);
        nic_set_mtu(&n.nic, 68);
        assert_int_equal(n.nic.mtu, 68);
    }
    receive_start(VIRTIO_NET_F_MRG_RXBUF);
    n.nic.mtu = 9000;
    head = (struct virtio_net_hdr){ .flags = 0 };
    arrives(9000 + WIRE_HEAD, 0);
    arrives(9001 + WIRE_HEAD, 0);
    arrives(60, 0);
    while (nic_receive(&n.nic, 3, deliver, NULL))
        ;
    assert_int_equal(nr_delivered, 2);
    assert_int_equal(n.nic.rx_length, 1);
}

/* A device without the feature drops such frames itself and says nothing of buffers. */
TEST(test_without_mergeable)
{
    receive_start(0);
    head = (struct virtio_net_hdr){ .flags = 0 };
    arrives(60, 77);
    arrives(WIRE_MAX + 1, 77);
    arrives(WIRE_MAX, 77);
    assert_int_equal(nic_receive(&n.nic, 64, deliver, NULL), 3);
    assert_int_equal(nr_delivered, 2);
    assert_int_equal(n.nic.rx_length, 1);
}

#define LARGE                                                                     \
    (VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4 | \
     VIRTIO_NET_F_GUEST_TSO6)

static void tcp_head(bool v6, unsigned gso_size)
{
    head = (struct virtio_net_hdr){ .flags = VNET_HDR_NEEDS_CSUM,
                                    .gso_type = v6 ? VNET_GSO_TCP6 : VNET_GSO_TCP4,
                                    .hdr_len = 0xffff, /* nobody looks at it */
                                    .gso_size = (uint16_t)gso_size,
                                    .csum_start = v6 ? 54 : 34,
                                    .csum_offset = 16 };
}

/* TCP in large pieces, in buffers that are full and in ones that are not. */
TEST(test_large_in)
{
    for (unsigned i = 0; i < 400; i++) {
        unsigned len = 1600 + i * 159, room = i % 3 ? PKT_BUF - PKT_HEAD + 12 : 300 + i * 8;
        receive_start(LARGE);
        tcp_head(i & 1, 1400);
        arrives_in(len, 0, room);
        arrives(100, 0); /* one segment */
        while (nic_receive(&n.nic, 3, deliver, NULL))
            ;
        assert_int_equal(nr_delivered, 2);
        assert_int_equal(delivered[0], len);
        assert_int_equal(pool.nr_free, POOL - VQ_SIZE);
    }
    receive_start(LARGE);
    tcp_head(false, 1400);
    arrives(65549, 0);
    arrives(FRAME_MAX + 1, 0);
    arrives(66000, 0);
    while (nic_receive(&n.nic, 64, deliver, NULL))
        ;
    assert_int_equal(nr_delivered, 1);
    assert_int_equal(n.nic.rx_length, 2);
    tcp_head(false, WIRE_MTU + 1); /* segments that were too long */
    arrives(9000, 0);
    head = (struct virtio_net_hdr){ .gso_type = VNET_GSO_ECN }; /* none at all */
    arrives(9000, 0);
    while (nic_receive(&n.nic, 64, deliver, NULL))
        ;
    assert_int_equal(nr_delivered, 1);
    assert_int_equal(n.nic.rx_length, 4);
    tcp_head(false, 1400);
    arrives_in(9000, 0, 400); /* in more buffers than any packet here has */
    while (nic_receive(&n.nic, 64, deliver, NULL))
        ;
    assert_int_equal(nr_delivered, 1);
    assert_int_equal(n.nic.rx_length, 5);
    /* no buffers to put in the place of them: dropped as a whole, once */
    struct pkt *all[POOL];
    unsigned have = 0;
    while ((all[have] = pkt_alloc(&pool)))
        have++;
    pkt_put(&pool, all[--have]);
    pkt_put(&pool, all[--have]);
    arrives(60000, 0);
    while (nic_receive(&n.nic, 64, deliver, NULL))
        ;
    assert_int_equal(n.nic.rx_dropped, 1);
    assert_int_equal(pool.nr_free, 2);
    while (have)
        pkt_put(&pool, all[--have]);
    arrives(60000, 0);
    nic_receive(&n.nic, 64, deliver, NULL);
    assert_int_equal(delivered[1], 60000);
    assert_int_equal(pool.nr_free, POOL - VQ_SIZE);
}

/* Headers that say what cannot be: no frame. */
TEST(test_large_refused)
{
    for (unsigned i = 0; i < 9; i++) {
        receive_start(i == 6   ? LARGE & ~VIRTIO_NET_F_GUEST_TSO4
                      : i == 7 ? LARGE & ~VIRTIO_NET_F_GUEST_CSUM
                               : LARGE);
        tcp_head(false, 1400);
        switch (i) {
        case 0: head.gso_size = 0; break;
        case 1: head.gso_size = GSO_MIN - 1; break;
        case 2: head.flags = 0; break;
        case 3: head.gso_type = 3; break; /* UDP */
        case 4: head.csum_offset = 6; break;
        case 5: head.csum_start = 0xfff0; break;
        case 8: head.gso_type = 5; break;
        }
        arrives(9000, 0);
        nic_receive(&n.nic, 64, deliver, NULL);
        assert_int_equal(nr_delivered, 0);
        assert_int_equal(n.nic.rx_errors, 1);
        assert_int_equal(pool.nr_free, POOL - VQ_SIZE);
    }
}

TEST(test_nonsense)
{
    static unsigned parts, i; /* not on the stack that longjmp leaves */

    head = (struct virtio_net_hdr){ .flags = 0 };
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
    for (i = 0; i < 3;
         i++) { /* more than a buffer holds, in the first and in a later one; nothing in that */
        receive_start(LARGE);
        tcp_head(false, 1400);
        arrives(9000, 0);
        used.ring[i ? 1 : 0].len = i < 2 ? PKT_BUF - PKT_HEAD + 13 : 0;
        may_die = true;
        if (!setjmp(dead)) {
            nic_receive(&n.nic, 64, deliver, NULL);
            may_die = false;
            fail_msg("a buffer that is too long");
        }
        may_die = false;
    }
}

/* --- link ------------------------------------------------------------------------------------------------------- */

static void starts(uint64_t features)
{
    struct bh_pci_info nic = { .index = 0 };

    offered = features;
    memset(&used, 0, sizeof(used));
    pkt_pool_init(&pool, pkts, mem, POOL);
    assert_null(nic_start(&n.nic, &virtio_net, &nic, &pool, NULL, NULL));
    (void)nic_arm(&n.nic);
}

/* Looked at when the device says that something is new, and only then. */
TEST(test_link)
{
    devcfg[VNET_STATUS] = 0;
    starts(VIRTIO_F_EVENT_IDX);
    assert_false(n.nic.no_link);
    assert_int_equal(common.msix_config, VIRTIO_NO_VECTOR);
    one_vector = true;
    starts(VIRTIO_NET_F_STATUS);
    assert_false(n.nic.no_link);
    assert_int_equal(common.msix_config, VIRTIO_NO_VECTOR);
    one_vector = false;
    starts(VIRTIO_NET_F_STATUS);
    assert_true(n.nic.no_link);
    assert_int_equal(common.msix_config, 1);
    send(1, 1);
    assert_int_equal(n.nic.tx_dropped, 1);
    devcfg[VNET_STATUS] = VNET_LINK_UP;
    (void)nic_arm(&n.nic);
    assert_true(n.nic.no_link);
    irq[1](0, &n);
    (void)nic_arm(&n.nic);
    assert_false(n.nic.no_link);
    send(1, 1);
    assert_int_equal(n.nic.tx_out, 1);
}
