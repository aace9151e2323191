/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/net/virtio_net.c drivers-dom/net/pkt.c
// FLAGS: -Idomains/include -Idrivers-dom/net
/* The uplink's transmit queue with a device that is slower than its senders: one that floods leaves the others their share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "virtio_net.h"

enum { POOL = 600 };
static struct pkt pkts[POOL];
static _Alignas(4096) uint8_t mem[POOL * PKT_BUF];
static struct pkt_pool pool;
static struct vnet n;
static struct vring_desc desc[VQ_SIZE];
static struct vring_avail avail;
static struct vring_used used;

void bh_panic(const char *fmt, ...) { fail_msg("%s", fmt); __builtin_unreachable(); }
long hypercall(unsigned nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return 0; }
const char *virtio_pci_map(struct virtio_dev *v, const struct bh_pci_info *dev, unsigned type) { return NULL; }
bool virtio_reset(struct virtio_dev *v) { return true; }
const char *virtio_negotiate(struct virtio_dev *v, uint64_t wanted) { return "no device"; }
const char *vring_start(struct virtio_dev *v, struct vring *q, uint16_t i, uint16_t max, uint16_t vector) { return NULL; }
void vring_kick(const struct virtio_dev *v, struct vring *q) {}
const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg) { return NULL; }

static void send(unsigned from, unsigned count)
{
    while (count--) {
        struct pkt *p = pkt_alloc(&pool);
        assert_non_null(p);
        p->len = 60;
        p->from = (uint8_t)from;
        vnet_send(&n, p);
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
        used.ring[used.idx % VQ_SIZE] = (struct vring_used_elem){.id = id};
        used.idx++;
    }
    return mine;
}

static void test_share(void **state)
{
    unsigned got = 0;

    pkt_pool_init(&pool, pkts, mem, POOL);
    n.up = true;
    n.pool = &pool;
    n.tx.r = (struct vring){.desc = desc, .avail = &avail, .used = &used, .size = VQ_SIZE};
    for (uint16_t i = 0; i < VQ_SIZE; i++)
        n.tx.free[n.tx.nr_free++] = i;
    n.tx_share = VQ_SIZE / 2;
    for (unsigned round = 0; round < 200; round++) {
        send(1, 64);
        send(2, 1);
        got += sent(16, 2);
        assert_in_range(n.tx_held[1], 0, n.tx_share);
    }
    got += sent(VQ_SIZE, 2);
    assert_int_equal(got, 200);
    assert_true(n.tx_dropped > 1000);
    /* Alone, a port has the whole queue; a share that shrinks under what is held harms nobody. */
    n.tx_share = VQ_SIZE;
    send(1, VQ_SIZE + 5);
    assert_int_equal(vnet_in_flight(&n), VQ_SIZE);
    n.tx_share = 17;
    sent(VQ_SIZE, 0);
    send(2, 1);
    assert_int_equal(vnet_in_flight(&n), 1);
    sent(1, 0);
    vnet_kick(&n);
    assert_int_equal(pool.nr_free, POOL);
    assert_int_equal(n.tx_held[1] + n.tx_held[2], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_share)};
    return cmocka_run_group_tests_name("uplink", tests, NULL, NULL);
}
