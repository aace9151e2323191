// SPDX-License-Identifier: MIT
// What net0 believes of a dead instance's records: only what agrees with the slot table.
// LINK: tests/attacks/service/backend_world.c drivers-dom/net/vif.c drivers-dom/net/vif_front.c drivers-dom/net/vif_stats.c drivers-dom/net/adopt.c drivers-dom/net/netback.c drivers-dom/net/mcast.c drivers-dom/net/queues.c drivers-dom/net/rss.c
// LINK: drivers-dom/net/pkt.c drivers-dom/net/gso.c drivers-dom/net/switch.c drivers-dom/net/guard.c drivers-dom/lib/xenbus_backend.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net -Itests/attacks/service -lz
#include <blame.h>
#include "unit.h"
#include "mcast.h"
#include "backend_world.h"
#include "net.h"
#include "vif.h"

struct net net;
static _Alignas(4096) uint8_t keep_pages[VIF_KEEP(KEEP_QUEUES)][4096];
static struct keep_vif *keep_at(unsigned port, unsigned queue)
{
    return (struct keep_vif *)keep_pages[port + queue * (SW_VIFS - 1)];
}
static struct keep_vif *keep_of(unsigned port) { return keep_at(port, 0); }
static unsigned adopts(void) { return vifs_adopt(keep_pages[0]); }

static watch_fn directory_changed;
int xs_watch(const char *path, watch_fn fn, void *arg)
{
    if (!strcmp(path, "backend/vif"))
        directory_changed = fn;
    return 0;
}

int setup(void **state)
{
    static uint8_t mem[8][PKT_BUF];
    static struct pkt pkts[8];

    memset(vifs, 0, sizeof(vifs[0]) * SW_VIFS);
    memset(&net, 0, sizeof(net));
    memset(keep_pages, 0, sizeof(keep_pages));
    memset(ring_memory, 0, sizeof(ring_memory));
    memset(slot_table, 0, sizeof(slot_table));
    memset(nodes, 0, sizeof(nodes));
    event_waits = false;
    vif_queues = KEEP_QUEUES;
    pkt_pool_init(&net.pool, pkts, mem[0], 8);
    return 0;
}

static struct keep_vif_head good(unsigned dom)
{
    return (struct keep_vif_head){ .domid = (uint16_t)dom,
                                   .tx_ref = 1,
                                   .rx_ref = 2,
                                   .tx_port = 7,
                                   .rx_port = 7,
                                   .features = KEEP_F_MAC,
                                   .mac = { 0x00, 0x16, 0x3e, 0, 0, (uint8_t)dom },
                                   .nr_queues = 1,
                                   .slot_gen = 1 };
}
static void record(unsigned port, struct keep_vif_head h)
{
    keep_vif_open(keep_of(port), &h, 0, 0);
}
static bool kept(unsigned port) { return keep_of(port)->head.magic; }

TEST(one_that_agrees)
{
    slot(SLOT_VIF, 16, 0);
    record(3, good(16));
    assert_int_equal(adopts(), 1);
    assert_true(vifs[3].connected && vifs[3].has_mac && kept(3));
    assert_string_equal(vifs[3].be.fe_path, "/local/domain/16/device/vif/0");
}

/* As many as there are, 16 of each guest, while as many others that went are still closing: all are adopted, each in its place; one more is refused. */
TEST(as_many_as_can_be)
{
    enum { VIFS = SW_VIFS - 1 };
    uint8_t frame[60] = { 0 };
    char p[64];

    for (unsigned i = 0; i < VIFS; i++) {
        unsigned dom = 16 + i / 16, port = VIFS - i;
        struct keep_vif_head h = good(dom);
        slot(SLOT_VIF, 100 + dom, i % 16)->head = slot_head(SLOT_DETACHING, SLOT_VIF, 1000 + i);
        struct slot_entry *e = slot(SLOT_VIF, dom, i % 16);
        h.devid = (uint16_t)(i % 16);
        e->head = slot_head(SLOT_ATTACHED, SLOT_VIF, h.slot_gen = i + 1);
        e->mac[4] = h.mac[4] = (uint8_t)port;
        record(port, h);
        snprintf(p, sizeof(p), "/local/domain/%u/device/vif/%u/state", dom, i % 16);
        xs_write(0, p, "4");
    }
    assert_true(slot_live(&slot_table[SLOT_ENTRIES - 1]));
    assert_int_equal(adopts(), VIFS);
    for (unsigned i = 0; i < VIFS; i++) {
        unsigned port = VIFS - i;
        assert_true(vifs[port].connected && vifs[port].be.gen == i + 1 && vifs[port].mac[4] == port);
        memcpy(frame, vifs[port].mac, 6);
        memcpy(frame + 6, vifs[port == 1 ? VIFS : port - 1].mac, 6);
        assert_true(switch_route(&net.sw, port == 1 ? VIFS : port - 1, frame, 60, 1).to ==
                    port_bit(port));
    }
    slot_table[0].head = 0; /* one has closed */
    slot(SLOT_VIF, 30, 2);
    vifs_store_work();
    directory_changed("backend/vif", NULL);
    vifs_store_work();
    assert_string_equal(node("backend/vif/30/2/bh-error")->val,
                        "it has 64 interfaces already, that is all it can");
    for (unsigned i = 1; i <= VIFS; i++)
        assert_true(vifs[i].connected);
}

TEST(lies)
{
    for (unsigned lie = 0; lie < 7; lie++) {
        struct keep_vif_head h = good(16);
        setup(NULL);
        slot(SLOT_VIF, 16, 0);
        slot(SLOT_VBD, 18, 0);
        switch (lie) {
        case 0: h.mac[5] = 17; break;  /* another's address */
        case 1: h.features = 0; break; /* any address */
        case 2: h.slot_gen = 2; break; /* another attachment */
        case 3: h.domid = 17; break;   /* a guest that has none */
        case 4: h.devid = 1; break;
        case 5: h.domid = 18; break; /* a disk */
        case 6:
            slot_table[0].head = slot_head(SLOT_ABSENT, SLOT_VIF, 1);
            break; /* it was taken away */
        }
        record(1, h);
        record(2, good(16));
        if (lie < 3) /* or there would be two for one entry */
            keep_vif_close(keep_of(2));
        assert_int_equal(adopts(), lie < 3 || lie == 6 ? 0 : 1);
        assert_false(vifs[1].connected);
        assert_false(kept(1));
        assert_int_equal(
            switch_route(&net.sw, 1, (uint8_t[60]){ [6] = 0, 0x16, 0x3e, 0, 0, 16 }, 60, 1).to, 0);
    }
}

TEST(two_for_one_entry)
{
    slot(SLOT_VIF, 16, 0);
    slot(SLOT_VIF, 17, 0);
    record(1, good(16));
    record(4, good(16));
    record(5, good(17));
    assert_int_equal(adopts(), 1);
    assert_false(kept(1) || kept(4));
    assert_true(vifs[5].connected);
}

/* One that is being taken away is adopted, to finish what is in flight; then it is closed. */
TEST(detaching)
{
    slot(SLOT_VIF, 16, 0)->head = slot_head(SLOT_DETACHING, SLOT_VIF, 1);
    record(1, good(16));
    assert_int_equal(adopts(), 1);
    xs_write(0, "backend/vif/16/0/frontend", "/local/domain/16/device/vif/0");
    xs_write(0, "backend/vif/16/0/state", "4");
    xs_write(0, "/local/domain/16/device/vif/0/state", "4");
    vifs_store_work();
    assert_false(vifs[1].connected || kept(1));
    assert_string_equal(node("backend/vif/16/0/state")->val, "6");
}

/* A group's address, or none: such a vif is not connected, rather than free to send as anybody. */
TEST(no_stations_address)
{
    static const char *const fe[][2] = { { "tx-ring-ref", "1" },
                                         { "rx-ring-ref", "2" },
                                         { "event-channel", "7" },
                                         { "request-rx-copy", "1" },
                                         { "state", "4" } };

    for (unsigned i = 0; i < 3; i++) {
        char p[96];
        setup(NULL);
        struct slot_entry *e = slot(SLOT_VIF, 16, 0);
        if (i < 2)
            memset(e->mac, i ? 0xff : 0, 6);
        for (unsigned k = 0; k < ARRAY_SIZE(fe); k++) {
            snprintf(p, sizeof(p), "/local/domain/16/device/vif/0/%s", fe[k][0]);
            xs_write(0, p, fe[k][1]);
        }
        xs_write(0, "backend/vif/16/0/frontend", "/local/domain/16/device/vif/0");
        xs_write(0, "backend/vif/16/0/mac", "");
        xs_write(0, "backend/vif/16/0/state", "2");
        adopts();
        vifs[1].be = (struct be_dev){ .used = true, .dom = 16 };
        be_again(&vifs[1].be);
        vifs_store_work();
        assert_int_equal(vifs[1].connected, i == 2);
    }
}

/* Rings, ports and features are held against what the front-end says, once it can be asked: a sound record may have others. */
TEST(front_end_says)
{
    static const char *const fe[][2] = { { "tx-ring-ref", "1" },
                                         { "rx-ring-ref", "2" },
                                         { "event-channel-tx", "7" },
                                         { "event-channel-rx", "8" },
                                         { "feature-no-csum-offload", "1" },
                                         { "request-rx-copy", "1" },
                                         { "state", "4" } };

    for (unsigned lie = 0; lie < 5; lie++) {
        struct keep_vif_head h = good(16);
        char p[96];
        setup(NULL);
        slot(SLOT_VIF, 16, 0);
        for (unsigned k = 0; k < ARRAY_SIZE(fe); k++) {
            snprintf(p, sizeof(p), "/local/domain/16/device/vif/0/%s", fe[k][0]);
            xs_write(0, p, fe[k][1]);
        }
        xs_write(0, "backend/vif/16/0/frontend", "/local/domain/16/device/vif/0");
        xs_write(0, "backend/vif/16/0/state", "4");
        h.features |= KEEP_F_SPLIT;
        h.rx_port = 8;
        switch (lie) {
        case 1:
            h.tx_port = 8;
            h.rx_port = 7;
            break;
        case 2: h.features |= KEEP_F_CSUM4; break;
        case 3: h.tx_ref = 2; break;
        case 4: h.rx_ref = 1; break;
        }
        record(1, h);
        assert_int_equal(adopts(), 1);
        vifs_store_work();
        assert_int_equal(vifs[1].connected, !lie);
        assert_int_equal(kept(1), !lie);
        assert_int_equal(node("backend/vif/16/0/bh-replug") != NULL, !!lie);
    }
}

/* It is connected and its nodes name no rings: the store began empty. There is nothing to hold the record against. */
TEST(front_end_says_nothing)
{
    slot(SLOT_VIF, 16, 0);
    xs_write(0, "/local/domain/16/device/vif/0/state", "4");
    xs_write(0, "backend/vif/16/0/frontend", "/local/domain/16/device/vif/0");
    xs_write(0, "backend/vif/16/0/state", "4");
    record(1, good(16));
    assert_int_equal(adopts(), 1);
    for (unsigned looks = 0; looks < 2; looks++) {
        vifs_store_work();
        assert_true(vifs[1].connected && kept(1));
        assert_null(node("backend/vif/16/0/bh-replug"));
        be_again(&vifs[1].be);
    }
}

static void connects_as(unsigned dom, const char *tx_ref)
{
    const char *const fe[][2] = { { "tx-ring-ref", tx_ref },  { "rx-ring-ref", "2" },
                                  { "event-channel", "7" },   { "feature-no-csum-offload", "1" },
                                  { "request-rx-copy", "1" }, { "state", "4" } };
    char p[96];

    slot(SLOT_VIF, dom, 0);
    for (unsigned k = 0; k < ARRAY_SIZE(fe); k++) {
        snprintf(p, sizeof(p), "/local/domain/%u/device/vif/0/%s", dom, fe[k][0]);
        xs_write(0, p, fe[k][1]);
    }
    snprintf(p, sizeof(p), "backend/vif/%u/0/frontend", dom);
    xs_write(0, p, "");
}
static void connects_at(const char *tx_ref) { connects_as(16, tx_ref); }

/* Large packets are offered; what the front-end says of each kind is in its record. */
TEST(large_packets)
{
    for (unsigned i = 0; i < 4; i++) {
        setup(NULL);
        connects_at("1");
        if (i & 1)
            xs_write(0, "/local/domain/16/device/vif/0/feature-gso-tcpv4", "1");
        xs_write(0, "/local/domain/16/device/vif/0/feature-gso-tcpv6", i & 2 ? "1" : "0");
        xs_write(0, "backend/vif/16/0/state", "1");
        adopts();
        vifs[1].be = (struct be_dev){ .used = true, .dom = 16 };
        be_again(&vifs[1].be);
        vifs_store_work();
        assert_true(vifs[1].connected);
        assert_string_equal(node("backend/vif/16/0/feature-gso-tcpv4")->val, "1");
        assert_string_equal(node("backend/vif/16/0/feature-gso-tcpv6")->val, "1");
        assert_null(node("backend/vif/16/0/feature-gso-tcpv4-prefix"));
        assert_int_equal(keep_of(1)->head.features & (KEEP_F_GSO4 | KEEP_F_GSO6),
                         (i & 1 ? KEEP_F_GSO4 : 0) | (i & 2 ? KEEP_F_GSO6 : 0));
    }
}

/* A front-end that comes back in a life of its own: nothing of the last one is left before it is offered anything. */
TEST(next_life_of_a_front_end)
{
    static const char *const states[][2] = { { "6", "6" }, { "1", "2" } };

    connects_at("1");
    xs_write(0, "backend/vif/16/0/state", "4");
    record(1, good(16));
    assert_int_equal(adopts(), 1);
    vifs_store_work();
    assert_true(vifs[1].connected && kept(1));
    for (unsigned i = 0; i < 2; i++) {
        xs_write(0, "/local/domain/16/device/vif/0/state", states[i][0]);
        be_again(&vifs[1].be);
        vifs_store_work();
        assert_false(vifs[1].connected || kept(1));
        assert_string_equal(node("backend/vif/16/0/state")->val, states[i][1]);
    }
    connects_at("3");
    be_again(&vifs[1].be);
    vifs_store_work();
    assert_true(vifs[1].connected && kept(1));
    assert_int_equal(keep_of(1)->head.tx_ref, 3);
    assert_null(node("backend/vif/16/0/bh-replug"));
}

/* Its state was written again while its nodes were read: they may be of two connections, so nothing follows from them. */
TEST(nodes_of_two_connections)
{
    connects_at("1");
    xs_write(0, "backend/vif/16/0/state", "2");
    adopts();
    vifs[1].be = (struct be_dev){ .used = true, .dom = 16 };
    be_again(&vifs[1].be);
    event_waits = true;
    vifs_store_work();
    assert_false(vifs[1].connected || kept(1));
    assert_string_equal(node("backend/vif/16/0/state")->val, "2");
    event_waits = false;
    be_again(&vifs[1].be); /* by that event */
    vifs_store_work();
    assert_true(vifs[1].connected && kept(1));
}

/* Nor is an adopted record held against them. */
TEST(record_and_nodes_of_two_connections)
{
    connects_at("3"); /* it says another ring than the record */
    xs_write(0, "backend/vif/16/0/state", "4");
    record(1, good(16));
    assert_int_equal(adopts(), 1);
    event_waits = true;
    vifs_store_work();
    assert_true(vifs[1].connected && kept(1));
    assert_null(node("backend/vif/16/0/bh-replug"));
    event_waits = false;
    be_again(&vifs[1].be);
    vifs_store_work();
    assert_false(vifs[1].connected || kept(1));
    assert_non_null(node("backend/vif/16/0/bh-replug"));
}

/* Which blank checksums are filled in for whom: an untagged one by the feature of its protocol, a tagged one always. */
TEST(blank_checksums)
{
    for (unsigned i = 0; i < 16; i++) {
        bool v6 = i & 1, tagged = i & 2;
        struct vif *v = &vifs[2];
        unsigned at = tagged ? 18 : 14, features = i >> 2;
        setup(NULL);
        struct pkt *p = pkt_alloc(&net.pool);
        memset(p->data, 0, 100);
        p->data[12] = 0x81;
        p->data[at - 2] = v6 ? 0x86 : 8, p->data[at - 1] = v6 ? 0xdd : 0;
        p->data[at] = v6 ? 0x60 : 0x45;
        p->data[at + (v6 ? 5 : 3)] = v6 ? 8 : 28;
        p->data[at + (v6 ? 6 : 9)] = 17;
        p->len = 80;
        p->flags = PKT_CSUM_BLANK | PKT_CSUM_VALID;
        v->connected = true;
        v->nb.pool = &net.pool;
        v->nb.nr_queues = 1;
        v->nb.q[0].vif = &v->nb;
        v->nb.features = (features & 1 ? KEEP_F_CSUM4 : 0) | (features & 2 ? KEEP_F_CSUM6 : 0);
        assert_true(pkt_csum_find(p));
        vif_offer(v, p);
        bool blank = !tagged && (features & (v6 ? 2 : 1));
        assert_int_equal(p->flags, blank ? PKT_CSUM_BLANK | PKT_CSUM_VALID : PKT_CSUM_VALID);
        assert_int_equal(v->nb.q[0].rxq_tail, 1);
    }
}

/* A NIC that cannot be driven: nobody gets a carrier that leads nowhere. One that was connected before goes on. */
TEST(no_uplink)
{
    snprintf(net.refusal[0], sizeof(net.refusal[0]), "NIC refused");
    connects_at("1");
    xs_write(0, "backend/vif/16/0/state", "1");
    connects_as(17, "1");
    xs_write(0, "backend/vif/17/0/state", "4");
    record(1, good(17));
    assert_int_equal(adopts(), 1);
    vifs[2].be = (struct be_dev){ .used = true, .dom = 16 };
    be_again(&vifs[2].be);
    vifs_store_work();
    assert_false(vifs[2].connected || kept(2));
    assert_string_equal(node("backend/vif/16/0/state")->val, "1");
    assert_string_equal(node("backend/vif/16/0/bh-error")->val, "NIC refused");
    assert_string_equal(node("error")->val, "NIC refused");
    assert_true(vifs[1].connected && kept(1));
    assert_null(node("backend/vif/17/0/bh-error"));
}

/* Of two bridges the NIC of the second is no good: that one's vifs are refused, by what the slot table says of them. */
TEST(one_bridge_without_its_nic)
{
    static struct nic wire = { .no_link = true };

    strcpy(net.bridge[0], "a");
    strcpy(net.bridge[1], "b");
    strcpy(net.refusal[1], "NIC refused");
    strcpy(net.refusal[2], "there is no such bridge");
    net.uplink[0] = &wire;
    connects_as(16, "1");
    connects_as(17, "1");
    connects_as(18, "1");
    connects_as(19, "1");
    for (unsigned i = 0; i < 4; i++) {
        slot_table[i].vif.bridge = (uint8_t)(i == 3 ? SW_UPLINKS : i);
        vifs[i + 1].be = (struct be_dev){ .used = true, .dom = (uint16_t)(16 + i) };
        be_again(&vifs[i + 1].be);
    }
    assert_int_equal(adopts(), 0);
    vifs_store_work();
    assert_true(vifs[1].connected && kept(1));
    assert_null(node("backend/vif/16/0/bh-error"));
    assert_false(vifs[2].connected || vifs[3].connected || vifs[4].connected);
    assert_string_equal(node("backend/vif/17/0/bh-error")->val, "NIC refused");
    assert_string_equal(node("backend/vif/18/0/bh-error")->val, "there is no such bridge");
    assert_string_equal(node("error")->val,
                        "a: its NIC has no link: nothing goes to the wire; b: NIC refused");
    wire.no_link = false;
}

/* Its entry says that it is on the second one: so it is, in this life as in the last. */
TEST(on_its_bridge)
{
    static struct nic wire = { .rx_packets = 7 };
    uint8_t frame[60] = { 255, 255, 255, 255, 255, 255, 0, 0x16, 0x3e, 0, 0, 16 };

    strcpy(net.bridge[0], "a");
    strcpy(net.bridge[1], "b");
    net.uplink[1] = &wire;
    switch_port_up(&net.sw, SW_UPLINK, NULL, NULL);
    switch_port_up(&net.sw, sw_uplink(1), NULL, &(struct slot_vif){ .bridge = 1 });
    slot(SLOT_VIF, 16, 0)->vif.bridge = 1;
    record(1, good(16));
    assert_int_equal(adopts(), 1);
    assert_true(switch_route(&net.sw, 1, frame, 60, 1).to == port_bit(sw_uplink(1)));
    xs_write(0, "backend/vif/16/0/state", "4");
    clock_ns += 2 * NS_PER_S;
    vifs_say_stats();
    assert_null(node("uplink"));
    assert_memory_equal(node("uplink-1")->val, "7 0 ", 4);
    clock_ns += 2 * NS_PER_S; /* the next test may say its own */
}

/* A wire that is away is said, as long as it is. Front-ends cannot be told. */
TEST(no_link)
{
    static struct nic wire = { .no_link = true };

    net.uplink[0] = &wire;
    connects_at("1");
    vifs_store_work();
    assert_string_equal(node("error")->val, "its NIC has no link: nothing goes to the wire");
    wire.no_link = false;
    vifs_store_work();
    assert_string_equal(node("error")->val, "");
}

/* Frames that do not fit, and all others, as the store has them: once a second at most, and on from where a former life was. */
TEST(frames_are_counted)
{
    uint64_t frame[190] = { 0 };
    uint8_t *f = (uint8_t *)frame;

    static struct nic wire;

    net.uplink[0] = &wire;
    switch_port_up(&net.sw, SW_UPLINK, NULL, NULL);
    connects_at("1");
    xs_write(0, "backend/vif/16/0/state", "4");
    xs_write(0, "backend/vif/16/0/bh-stats", "1000 100 0 0 0 5 x");
    record(1, good(16));
    assert_int_equal(adopts(), 1);
    vifs_store_work();
    assert_int_equal(vifs_say_stats(), 0);
    memcpy(f + 6, vifs[1].mac, 6);
    assert_int_equal(switch_route(&net.sw, 1, f, 1514, 1).to, 1 << SW_UPLINK);
    assert_int_equal(switch_route(&net.sw, 1, f, 1520, 1).to, 0); /* not to the wire */
    assert_int_equal(switch_route(&net.sw, 1, f, FRAME_MAX + 1, 1).to, 0);
    f[6] ^= 2;
    assert_int_equal(switch_route(&net.sw, 1, f, 60, 1).to, 0);
    vifs[1].nb.stats = (struct nb_stats){
        .tx_packets = 4, .tx_long = 2, .rx_packets = 3, .tx_errors = 1, .rx_errors = 1, .rx_dropped = 6
    };
    wire.rx_packets = 7, wire.tx_packets = 1, wire.rx_length = 9, wire.rx_dropped = 1,
    wire.tx_dropped = 1;
    assert_int_equal(vifs_say_stats(), 0);
    assert_string_equal(node("backend/vif/16/0/bh-stats")->val, "1004 103 2 6 1 8 1 0 0 0");
    assert_string_equal(node("uplink")->val, "7 1 0 2 0 9 0 0 0 0");
    vifs[1].nb.stats.rx_packets++;
    uint64_t next = vifs_say_stats();
    assert_true(next > now_ns());
    assert_string_equal(node("backend/vif/16/0/bh-stats")->val, "1004 103 2 6 1 8 1 0 0 0");
    event_wait(next);
    assert_int_equal(vifs_say_stats(), 0);
    assert_string_equal(node("backend/vif/16/0/bh-stats")->val, "1004 104 2 6 1 8 1 0 0 0");
}

static bool attached(uint32_t gen, uint64_t *chances)
{
    return be_gen_slot(SLOT_VIF, gen, chances);
}

/* The instance before died at work for that one. */
static unsigned next_life(uint32_t whose)
{
    struct blame *b = (struct blame *)keep_pages;

    b->whose = keep_idx(whose);
    memset(vifs, 0, sizeof(vifs[0]) * SW_VIFS);
    blame_begin(b, SW_VIFS - 1, clock_ns, false, attached);
    unsigned n = adopts();
    assert_true(b->whose == keep_idx(0));
    return n;
}

/* The second death at one vif's rings: it is not adopted, nor plugged again, whatever its front-end does; its neighbour is served. */
TEST(put_aside)
{
    static const char *const fe[] = { "4", "5", "6", "1", "4" };
    struct keep_vif_head second = good(17);

    connects_as(16, "1");
    connects_as(17, "1");
    slot_table[1].head = slot_head(SLOT_ATTACHED, SLOT_VIF, second.slot_gen = 2);
    xs_write(0, "backend/vif/16/0/state", "4");
    xs_write(0, "backend/vif/17/0/state", "4");
    record(1, good(16));
    record(2, second);
    assert_int_equal(next_life(0), 2);
    assert_int_equal(next_life(1), 2);
    assert_int_equal(next_life(2), 2);
    vifs_store_work();
    assert_true(vifs[1].connected && vifs[2].connected);
    memset(ring_memory, 0x5a, sizeof(ring_memory[0]));
    memset(ring_memory[1], 0, sizeof(ring_memory) - sizeof(ring_memory[0]));
    for (unsigned life = 0; life < 2; life++) {
        assert_int_equal(next_life(life ? 0 : 1), 1);
        for (unsigned i = 0; i < ARRAY_SIZE(fe); i++) {
            xs_write(0, "/local/domain/16/device/vif/0/state", fe[i]);
            be_again(&vifs[1].be);
            vifs_store_work();
            assert_true(!vifs[1].connected && kept(1));
            assert_true(vifs[2].connected && kept(2));
            assert_string_equal(node("backend/vif/16/0/bh-stalled")->val, BLAME_WHY);
            assert_string_equal(node("backend/vif/16/0/state")->val, "4");
            assert_null(node("backend/vif/16/0/bh-replug"));
        }
        assert_null(node("backend/vif/17/0/bh-stalled"));
    }
    memset(ring_memory, 0, sizeof(ring_memory));
    slot_table[0].chances++; /* another chance: its rings are taken over as they are */
    for (unsigned life = 0; life < 2; life++) {
        be_again(&vifs[1].be);
        vifs_store_work();
        assert_true(vifs[1].connected && vifs[2].connected && kept(1));
        assert_null(node("backend/vif/16/0/bh-stalled"));
        assert_int_equal(next_life(1), 2 - life); /* which it does not deserve */
    }
    be_again(&vifs[1].be);
    vifs_store_work();
    assert_non_null(node("backend/vif/16/0/bh-stalled"));
    slot_table[0].head = slot_head(SLOT_DETACHING, SLOT_VIF, 1);
    be_again(&vifs[1].be);
    vifs_store_work();
    assert_false(kept(1));
    assert_string_equal(node("backend/vif/16/0/state")->val, "6");
    slot_table[0].head = slot_head(SLOT_ATTACHED, SLOT_VIF, 3); /* attached anew */
    xs_write(0, "backend/vif/16/0/state", "2");
    assert_int_equal(next_life(3), 1);
    vifs[1].be = (struct be_dev){ .used = true, .dom = 16 };
    be_again(&vifs[1].be);
    vifs_store_work();
    assert_true(vifs[1].connected && kept(1));
}

/* --- queues --- */

static void fe_says(unsigned queue, const char *key, const char *val)
{
    char p[96];

    if (queue == KEEP_QUEUES)
        snprintf(p, sizeof(p), "/local/domain/16/device/vif/0/%s", key);
    else
        snprintf(p, sizeof(p), "/local/domain/16/device/vif/0/queue-%u/%s", queue, key);
    xs_write(0, p, val);
}
#define ALONE KEEP_QUEUES /* of no queue */

/* It has n queues with rings 1 to 2n and two event channels each. */
static void connects_with(unsigned n)
{
    static const char *const digits[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10" };

    slot(SLOT_VIF, 16, 0);
    fe_says(ALONE, "multi-queue-num-queues", digits[n]);
    fe_says(ALONE, "request-rx-copy", "1");
    fe_says(ALONE, "feature-no-csum-offload", "1");
    fe_says(ALONE, "state", "4");
    for (unsigned q = 0; q < n && q < KEEP_QUEUES; q++) {
        unsigned to = n == 1 ? ALONE : q;
        fe_says(to, "tx-ring-ref", digits[2 * q + 1]);
        fe_says(to, "rx-ring-ref", digits[2 * q + 2]);
        fe_says(to, "event-channel-tx", digits[2 * q + 1]);
        fe_says(to, "event-channel-rx", digits[2 * q + 2]);
    }
    xs_write(0, "backend/vif/16/0/frontend", "/local/domain/16/device/vif/0");
    xs_write(0, "backend/vif/16/0/state", "1");
}

static void looks(void)
{
    if (!vifs[1].keep[0])
        assert_int_equal(adopts(), 0);
    vifs[1].be = (struct be_dev){ .used = true, .dom = 16 };
    be_again(&vifs[1].be);
    vifs_store_work();
}

static unsigned pages_kept(void)
{
    unsigned n = 0;

    for (unsigned i = 1; i < ARRAY_SIZE(keep_pages); i++)
        n += keep_vif_state((struct keep_vif *)keep_pages[i]) == KEEP_VALID;
    return n;
}

TEST(queues)
{
    for (unsigned n = 1; n <= KEEP_QUEUES; n++) {
        setup(NULL);
        connects_with(n);
        looks();
        assert_string_equal(node("backend/vif/16/0/multi-queue-max-queues")->val, "4");
        assert_true(vifs[1].connected && vifs[1].nb.nr_queues == n);
        assert_int_equal(pages_kept(), n);
        for (unsigned q = 0; q < n; q++) {
            const struct keep_vif_head *h = &keep_at(1, q)->head;
            assert_int_equal(h->tx_ref, 2 * q + 1);
            assert_int_equal(h->rx_ref, 2 * q + 2);
            assert_true(h->features & KEEP_F_SPLIT);
        }
        /* in the next life, which holds it against the store */
        memset(vifs, 0, sizeof(vifs[0]) * SW_VIFS);
        assert_int_equal(adopts(), 1);
        vifs_store_work();
        assert_true(vifs[1].connected && vifs[1].held && vifs[1].nb.nr_queues == n);
        xs_write(0, "/local/domain/16/device/vif/0/state", "5");
        be_again(&vifs[1].be);
        vifs_store_work();
        assert_false(vifs[1].connected);
        assert_int_equal(pages_kept(), 0);
    }
}

/* As many as there are pages for. */
/* The groups of one that asked for them when it connected are heard by the next life, too. */
TEST(groups)
{
    static const uint8_t one[6] = { 1, 0, 0x5e, 1, 2, 3 }, other[6] = { 1, 0, 0x5e, 3, 2, 1 };

    for (unsigned asked = 0; asked < 2; asked++) {
        setup(NULL);
        connects_with(1);
        fe_says(ALONE, "request-multicast-control", asked ? "1" : "0");
        looks();
        assert_string_equal(node("backend/vif/16/0/feature-multicast-control")->val, "1");
        assert_true(mcast_change(keep_of(1), one, true));
        memset(vifs, 0, sizeof(vifs[0]) * SW_VIFS);
        assert_int_equal(adopts(), 1);
        assert_true(mcast_passes(&vifs[1].nb, one));
        assert_int_equal(mcast_passes(&vifs[1].nb, other), !asked);
        fe_says(ALONE, "request-multicast-control", asked ? "0" : "1"); /* too late: no effect */
        vifs_store_work();
        assert_true(vifs[1].connected);
        assert_int_equal(mcast_passes(&vifs[1].nb, other), !asked);
    }
}

TEST(queues_that_have_pages)
{
    vif_queues = 2;
    connects_with(3);
    looks();
    assert_string_equal(node("backend/vif/16/0/multi-queue-max-queues")->val, "2");
    assert_string_equal(node("backend/vif/16/0/bh-error")->val, "it wants 3 queues, of 1 to 2");
    assert_false(vifs[1].connected);
}

/* Nothing of it is connected, and its directory says why. */
TEST(queues_refused)
{
    static const struct {
        unsigned queue;
        const char *key, *val, *why;
    } bad[] = {
        { ALONE, "multi-queue-num-queues", "0", "it wants 0 queues, of 1 to 4" },
        { ALONE, "multi-queue-num-queues", "5", "it wants 5 queues, of 1 to 4" },
        { ALONE, "multi-queue-num-queues", "4294967297",
          "its multi-queue-num-queues is no number of 32 bits" },
        { 2, "tx-ring-ref", "0", "queue 2 names no rings or event channel" },
        { 3, "rx-ring-ref", "x", "queue 3 names no rings or event channel" },
        { 1, "event-channel-rx", "0", "queue 1 names no rings or event channel" },
        { 3, "tx-ring-ref", "1", "it names a ring twice" },
        { 3, "rx-ring-ref", "7", "it names a ring twice" },
        { 2, "rx-ring-ref", "4294967296", "its rx-ring-ref is no number of 32 bits" },
        { 0, "event-channel-tx", "0", "not all of its queues have split event channels" },
        { ALONE, "request-rx-copy", "0", "it does not want its packets copied (request-rx-copy)" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        setup(NULL);
        connects_with(4);
        if (!strcmp(bad[i].key, "event-channel-tx"))
            fe_says(0, "event-channel", "1");
        fe_says(bad[i].queue, bad[i].key, bad[i].val);
        looks();
        assert_false(vifs[1].connected || vifs[1].map.va);
        assert_int_equal(pages_kept(), 0);
        assert_non_null(node("backend/vif/16/0/bh-error"));
        assert_string_equal(node("backend/vif/16/0/bh-error")->val, bad[i].why);
        assert_string_equal(node("backend/vif/16/0/state")->val, "2");
        connects_with(4); /* it thinks better of it */
        be_again(&vifs[1].be);
        vifs_store_work();
        assert_true(vifs[1].connected);
        assert_null(node("backend/vif/16/0/bh-error"));
    }
}

/* A queue whose ring is out of bounds: none is connected. */
TEST(queues_all_or_none)
{
    for (unsigned q = 0; q < 4; q++) {
        setup(NULL);
        connects_with(4);
        ((netif_tx_sring_t *)ring_memory[2 * q + 1])->req_prod = 1000;
        looks();
        assert_false(vifs[1].connected || vifs[1].map.va);
        assert_int_equal(pages_kept(), 0);
        assert_string_equal(node("backend/vif/16/0/bh-error")->val, "request index out of bounds");
    }
}

/* The dead instance's pages of four queues, of which one says something else: none is adopted, none is left, and no ring is touched. */
TEST(queues_adopted_all_or_none)
{
    for (unsigned lie = 0; lie < 11; lie++) {
        for (unsigned q = 0; q < 4; q++) {
            static uint8_t was[16][4096];
            setup(NULL);
            connects_with(4);
            looks();
            assert_true(vifs[1].connected);
            xs_write(0, "backend/vif/16/0/state", "4");
            struct keep_vif *k = keep_at(1, q);
            struct keep_vif_head h = k->head;
            switch (lie) {
            case 0: k->head.crc ^= 1; break;
            case 1: k->head.magic = 0; break; /* of the first: it never was */
            case 2: h.queue ^= 1; break;
            case 3: h.nr_queues = 3; break;
            case 4: h.domid = 17; break;
            case 5: h.devid = 1; break;
            case 6: h.features ^= KEEP_F_SG; break;
            case 7: h.mac[5] ^= 1; break;
            case 8: h.slot_gen++; break;
            case 9: k->tx.rsp_pub ^= 1; break;
            case 10: ((netif_rx_sring_t *)ring_memory[2 * q + 2])->rsp_prod = 5; break;
            }
            if (lie > 1 && lie < 9)
                keep_record_save(&k->head, &h, KEEP_VIF_MAGIC, KEEP_VERSION, sizeof(h));
            memcpy(was, ring_memory, sizeof(was));
            memset(vifs, 0, sizeof(vifs[0]) * SW_VIFS);
            assert_int_equal(adopts(), 0);
            assert_memory_equal(was, ring_memory, sizeof(was));
            assert_int_equal(pages_kept(), 0);
        }
    }
}

/* Of an instance that died while it opened or closed: pages without a first one are nobody's, and nobody hears of it. */
TEST(queues_half_open)
{
    for (unsigned from = 1; from < 4; from++) {
        struct keep_vif_head h = good(16);
        setup(NULL);
        slot(SLOT_VIF, 16, 0);
        h.nr_queues = 4;
        for (unsigned q = from; q < 4; q++) {
            h.queue = (uint8_t)q;
            keep_vif_open(keep_at(1, q), &h, 0, 0);
        }
        unsigned said = lines;
        assert_int_equal(adopts(), 0);
        assert_int_equal(pages_kept(), 0);
        assert_int_equal(lines, said);
    }
}

/* Held against what the front-end says: another number of queues, another ring of a later one. */
TEST(queues_front_end_says)
{
    for (unsigned lie = 0; lie < 4; lie++) {
        setup(NULL);
        connects_with(3);
        looks();
        assert_true(vifs[1].connected);
        memset(vifs, 0, sizeof(vifs[0]) * SW_VIFS);
        switch (lie) {
        case 1: fe_says(ALONE, "multi-queue-num-queues", "2"); break;
        case 2: fe_says(2, "tx-ring-ref", "9"); break;
        case 3: fe_says(1, "event-channel-rx", "9"); break;
        }
        assert_int_equal(adopts(), 1);
        vifs_store_work();
        assert_int_equal(vifs[1].connected, !lie);
        assert_int_equal(pages_kept(), lie ? 0 : 3);
        assert_int_equal(node("backend/vif/16/0/bh-replug") != NULL, !!lie);
    }
}

/* All vifs with all queues have pages of their own. */
TEST(pages)
{
    slot(SLOT_VIF, 16, 0);
    assert_int_equal(adopts(), 0);
    memset(keep_pages, 1, sizeof(keep_pages[0])); /* page 0 is nobody's */
    for (unsigned i = 1; i < SW_VIFS; i++) {
        for (unsigned q = 0; q < KEEP_QUEUES; q++) {
            assert_true(vifs[i].keep[q] == keep_at(i, q));
            assert_int_equal(vifs[i].keep[q]->head.magic, 0);
            vifs[i].keep[q]->head.magic = 1;
        }
    }
    for (unsigned i = 1; i < ARRAY_SIZE(keep_pages); i++)
        assert_int_equal(((struct keep_vif *)keep_pages[i])->head.magic, 1);
}
