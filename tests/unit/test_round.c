/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/tcp_frame.c drivers-dom/net/round.c drivers-dom/net/net.c drivers-dom/net/nic.c drivers-dom/net/pkt.c drivers-dom/net/gso.c
// LINK: drivers-dom/net/switch.c drivers-dom/net/guard.c drivers-dom/net/vlan.c
// FLAGS: -Idomains/include -Idomains -Idrivers-dom/lib -Idrivers-dom/net
/* What a round makes of NICs that stand still: two bridges, a NIC and a vif on each. The rings of the vifs are not here. */
#include "unit.h"
#include "tcp_frame.h"
#include <blame.h>
#include "net.h"
#include "vif.h"

enum { SLOTS = 4, SIZE = 1000, SEGMENT = 100, STUCK_MS = 20 };

struct vif vifs[SW_VIFS];
static struct blame blame_words;
struct blame *blame_kept = &blame_words;
uint64_t now_ns(void) { return 0; }
void shared_stored(void) {}
void *page_alloc(unsigned n) { return NULL; }
volatile void *mmio_map(uint64_t gpa, uint64_t len) { return NULL; }
bool event_unheard(void) { return false; }
int batch_flush(struct batch *b) { return 0; }
void vif_offer(struct vif *v, struct pkt *p) {}
void nb_vif_wake(struct nb_vif *v) {}
bool nb_vif_arm(struct nb_vif *v) { return false; }
bool nb_vif_waits(const struct nb_vif *v) { return false; }
unsigned nb_collect(struct nb_vif *const v[], unsigned n, struct batch *b) { return 0; }
void nb_vif_finish(struct nb_vif *v, struct batch *b, void (*deliver)(void *arg, struct pkt *p),
                   void *arg)
{
}

/* What a NIC has been given and not sent, the first first. */
static struct fake {
    struct nic nic;
    struct pkt *out[SLOTS];
    unsigned nr;
} fake[2];

static const char *fake_start(struct nic *n, const struct bh_pci_info *dev, event_fn irq, void *arg)
{
    n->tx_size = SLOTS;
    n->mtu = n->mtu_max = WIRE_MTU;
    return NULL;
}
static unsigned fake_receive(struct nic *n, unsigned budget, nic_deliver *deliver, void *arg)
{
    return 0;
}
static void fake_send(struct nic *n, struct pkt *p)
{
    struct fake *f = (struct fake *)n;
    assert_in_range(f->nr, 0, SLOTS - 1);
    f->out[f->nr++] = p;
}
static void nothing(struct nic *n) {}
static const struct nic_ops ops = {
    .start = fake_start, .receive = fake_receive, .send = fake_send, .reclaim = nothing, .notify = nothing
};

static void sends_one(struct fake *f)
{
    struct pkt *p = f->out[0];

    memmove(f->out, f->out + 1, --f->nr * sizeof(f->out[0]));
    nic_sent(&f->nic, p);
}

int setup(void **state)
{
    const struct bh_pci_info dev = { .vendor = 1 };

    memset(&net, 0, sizeof(net));
    memset(vifs, 0, sizeof(vifs));
    memset(fake, 0, sizeof(fake));
    net_pool_init();
    for (unsigned b = 0; b < 2; b++) {
        const struct slot_vif conf = { .bridge = (uint8_t)b };
        assert_null(nic_start(&fake[b].nic, &ops, &dev, &net.pool, NULL, NULL));
        net.uplink[b] = &fake[b].nic;
        switch_port_up(&net.sw, sw_uplink(b), NULL, &conf);
        switch_port_up(&net.sw, b + 1, (uint8_t[]){ 0, 0x16, 0x3e, 0, 0, (uint8_t)(b + 1) }, &conf);
        vifs[b + 1].nb.awake = true;
    }
    return 0;
}

/* A packet of the vif's that is to be cut into more than the NIC has room for: the rest of it waits. */
static void sends_large(unsigned bridge)
{
    const struct shape s = { .gso_size = SEGMENT };
    struct pkt *p = pkt_alloc(&net.pool);

    p->len = (uint16_t)make(p->data, &s, 0, SIZE, 0x10, 1);
    p->from = (uint8_t)(bridge + 1);
    p->flags = PKT_CSUM_BLANK | PKT_CSUM_VALID;
    p->gso = PKT_GSO_TCP4;
    p->gso_size = SEGMENT;
    assert_true(pkt_gso_find(p));
    nic_send(net.uplink[bridge], p);
    pkt_put(&net.pool, p);
}

static void round_at(unsigned ms) { net_round(ms * NS_PER_MS + 1); }

TEST(a_nic_that_stands_still)
{
    round_at(1000);
    sends_large(0);
    assert_true(nic_waits(net.uplink[0]));
    for (unsigned ms = 1000; ms < 1000 + STUCK_MS; ms++) {
        round_at(ms);
        assert_true(nic_waits(net.uplink[0]) && vifs[1].nb.room);
    }
    assert_int_equal(net.pool.nr_free, PKT_NR - SLOTS - 1);
    round_at(1000 + STUCK_MS);
    assert_false(nic_waits(net.uplink[0]));
    assert_int_equal(fake[0].nic.tx_dropped, 1);
    assert_int_equal(net.pool.nr_free, PKT_NR - SLOTS); /* what it was given it still has */
    assert_null(vifs[1].nb.room);                       /* its sender does not wait for it */
    assert_non_null(vifs[2].nb.room);
    /* It goes on, and so does what is sent from now on. */
    sends_one(&fake[0]);
    round_at(1000 + STUCK_MS);
    assert_non_null(vifs[1].nb.room);
    sends_large(0);
    round_at(1000 + 2 * STUCK_MS - 1);
    assert_true(nic_waits(net.uplink[0]));
    assert_int_equal(fake[0].nic.tx_dropped, 1);
}

/* One that is slow, and one that had nothing for long, are given their time; each NIC is by itself. */
TEST(a_nic_that_is_slow)
{
    unsigned ms = 1000;

    round_at(ms);
    round_at(ms += 10 * STUCK_MS);
    sends_large(0);
    sends_large(1);
    for (unsigned n = SIZE / SEGMENT; n; n--) {
        round_at(ms += STUCK_MS - 1);
        assert_non_null(vifs[1].nb.room);
        sends_one(&fake[0]);
    }
    round_at(ms);
    assert_false(nic_waits(net.uplink[0]));
    assert_int_equal(fake[0].nic.tx_dropped, 0);
    assert_int_equal(fake[0].nic.tx_packets, SIZE / SEGMENT);
    assert_int_equal(fake[0].nic.tx_out, 0);
    assert_false(nic_waits(net.uplink[1]));
    assert_int_equal(fake[1].nic.tx_dropped, 1);
}
