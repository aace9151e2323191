/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/net/switch.c drivers-dom/net/guard.c drivers-dom/net/pkt.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net
/* The switch and packet checksums. */
#include "unit.h"
#include "pkt.h"
#include "switch.h"

uint64_t now_ns(void) { return 0; }
volatile void *mmio_map(uint64_t gpa, uint64_t len) { return NULL; }
void shared_stored(void) {}
void *page_alloc(unsigned n) { return NULL; }

static struct sw sw;
static uint8_t frame[2048];
static const uint8_t mac_a[6] = { 0, 0x16, 0x3e, 0, 0, 1 }, mac_b[6] = { 0, 0x16, 0x3e, 0, 0, 2 };
static const uint8_t mac_x[6] = { 0x52, 0x54, 0, 1, 2, 3 }, mac_y[6] = { 0x52, 0x54, 0, 1, 2, 4 };
static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };

int setup(void **state)
{
    memset(&sw, 0, sizeof(sw));
    switch_port_up(&sw, 0, NULL, NULL);
    switch_port_up(&sw, 1, mac_a, NULL);
    switch_port_up(&sw, 2, mac_b, NULL);
    return 0;
}

static ports_t pass(unsigned from, const uint8_t *dst, const uint8_t *src, unsigned type,
                    unsigned len, uint64_t now)
{
    memcpy(frame, dst, 6);
    memcpy(frame + 6, src, 6);
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
    return switch_route(&sw, from, frame, len, now).to;
}

TEST(test_forwarding)
{
    assert_int_equal(pass(1, mac_b, mac_a, 0x800, 60, 0), 1 << 2);
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, 0), 1 << 0); /* unknown: not to the neighbour */
    assert_int_equal(pass(0, mac_a, mac_x, 0x800, 60, 0), 1 << 1);
    assert_int_equal(pass(0, mac_y, mac_x, 0x800, 60, 0), 0); /* nobody here */
    assert_int_equal(pass(1, all, mac_a, 0x800, 60, 0), 1 << 0 | 1 << 2);
    assert_int_equal(pass(0, all, mac_x, 0x800, 60, 0), 1 << 1 | 1 << 2);
    assert_int_equal(pass(0, mac_x, mac_y, 0x800, 60, 0), 0); /* no hairpin */
    assert_int_equal(pass(1, mac_a, mac_a, 0x800, 60, 0), 0);
    assert_int_equal(pass(3, all, mac_a, 0x800, 60, 0), 0); /* port that is down */
}

TEST(test_lengths)
{
    for (unsigned len = 0; len < FRAME_MAX + 10; len++)
        assert_int_equal(pass(1, mac_b, mac_a, 0x800, len, 0),
                         len >= 14 && len <= FRAME_MAX ? 1 << 2 : 0);
    assert_int_equal(sw.port[1].bad_length, 14 + 9);
}

/* 1500 bytes behind up to two tags go to the wire, further ones are among them; more goes to neighbours alone and is counted. */
TEST(test_wire_lengths)
{
    static const uint8_t tags[8] = { 0x88, 0xa8, 0, 100, 0x81, 0, 0, 10 };

    for (unsigned all_tags = 0; all_tags <= 50; all_tags++) {
        unsigned n = all_tags < 2 ? all_tags : 2;
        setup(NULL);
        for (unsigned i = 0; i < all_tags; i++)
            memcpy(frame + 12 + 4 * i, tags + (all_tags == 2 && !i ? 0 : 4), 4);
        memcpy(frame, all, 6);
        memcpy(frame + 6, mac_a, 6);
        frame[12 + 4 * all_tags] = 8, frame[13 + 4 * all_tags] = 0;
        for (unsigned len = 14 + 4 * all_tags + 46; len <= 1600; len++) {
            sw.port[1].flood_ns = 0;
            assert_int_equal(switch_route(&sw, 1, frame, len, 0).to,
                             len <= 1514 + 4 * n ? 1 << 0 | 1 << 2 : 1 << 2);
        }
        assert_int_equal(sw.port[1].wire_long, 1600 - 1514 - 4 * n);
        sw.port[SW_UPLINK].mtu = 9000;
        for (unsigned len = 9000; len <= 9030; len++)
            assert_int_equal(switch_route(&sw, 1, frame, len, 0).to,
                             len <= 9014 + 4 * n ? 1 << 0 | 1 << 2 : 1 << 2);
    }
}

/* A port without tags in a VLAN: the wire gets one more before what it sends, which is one of the two. */
TEST(test_wire_lengths_in_a_vlan)
{
    const struct slot_vif vlan = { .vlan = 10 };

    for (unsigned tags = 0; tags <= 3; tags++) {
        unsigned n = tags < 2 ? tags + 1 : 2, most = WIRE_MTU + 14 + 4 * n - 4;
        switch_port_up(&sw, 1, mac_a, &vlan);
        switch_port_up(&sw, 2, mac_b, &vlan);
        memcpy(frame, all, 6);
        memcpy(frame + 6, mac_a, 6);
        for (unsigned i = 0; i < tags; i++)
            memcpy(frame + 12 + 4 * i, (uint8_t[]){ 0x88, 0xa8, 0, 100 }, 4);
        frame[12 + 4 * tags] = 8, frame[13 + 4 * tags] = 0;
        for (unsigned len = most - 8; len <= most + 8; len++) {
            struct sw_way w = switch_route(&sw, 1, frame, len, 0);
            assert_int_equal(w.to, len <= most ? 1 << 0 | 1 << 2 : 1 << 2);
            assert_int_equal(w.other, len <= most ? 1 << 0 : 0);
        }
        assert_int_equal(sw.port[1].wire_long, 8);
    }
}

TEST(test_spoofing)
{
    assert_int_equal(pass(1, mac_b, mac_x, 0x800, 60, 0), 0);
    assert_int_equal(pass(1, all, mac_b, 0x800, 60, 0), 0);
    assert_int_equal(sw.port[1].spoofed, 2);
    /* ARP: the sender address inside counts as well, behind VLAN tags too */
    memset(frame, 0, sizeof(frame));
    memcpy(frame + 22, mac_b, 6);
    assert_int_equal(pass(1, all, mac_a, 0x806, 60, 0), 0);
    memcpy(frame + 22, mac_a, 6);
    assert_int_equal(pass(1, all, mac_a, 0x806, 60, 0), 1 << 0 | 1 << 2);
    assert_int_equal(pass(1, all, mac_a, 0x806, 41, 0), 0); /* cut off */
    frame[16] = 8;
    frame[17] = 6;
    memcpy(frame + 26, mac_b, 6);
    assert_int_equal(pass(1, all, mac_a, 0x8100, 64, 0), 0);
    memcpy(frame + 26, mac_a, 6);
    assert_int_equal(pass(1, all, mac_a, 0x8100, 64, 0), 1 << 0 | 1 << 2);
    /* two tags, of each kind */
    static const uint8_t qinq[][4] = { { 0x88, 0xa8, 0x81, 0 },
                                       { 0x91, 0, 0x81, 0 },
                                       { 0x81, 0, 0x81, 0 } };
    for (unsigned i = 0; i < 3; i++) {
        frame[16] = qinq[i][2], frame[17] = qinq[i][3], frame[20] = 8, frame[21] = 6;
        memcpy(frame + 30, mac_b, 6);
        assert_int_equal(pass(1, all, mac_a, (unsigned)qinq[i][0] << 8 | qinq[i][1], 64, 0), 0);
        memcpy(frame + 30, mac_a, 6);
        assert_int_equal(pass(1, all, mac_a, (unsigned)qinq[i][0] << 8 | qinq[i][1], 64, 0),
                         1 << 0 | 1 << 2);
    }
    for (unsigned len = 14; len < 64; len++) /* tags up to the end of a short frame */
        for (unsigned i = 14; i < 64; i += 2)
            frame[i] = 0x81, frame[i + 1] = 0, (void)pass(1, all, mac_a, 0x8100, len, 0);
    /* from outside nobody speaks as one of ours, nor as a group */
    assert_int_equal(pass(0, mac_b, mac_a, 0x800, 60, 0), 0);
    assert_int_equal(pass(0, mac_b, all, 0x800, 60, 0), 0);
    assert_int_equal(pass(1, mac_b, mac_a, 0x800, 60, 0), 1 << 2);
}

TEST(test_learning)
{
    switch_port_up(&sw, 5, NULL, NULL); /* open vif */
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, 0), 1 << 0 | 1 << 5);
    pass(5, mac_a, mac_x, 0x800, 60, 10);
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, 20), 1 << 5);
    pass(0, mac_a, mac_x, 0x800, 60, 30); /* moved */
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, 40), 1 << 0);
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, 31 + SW_AGE_NS), 1 << 0 | 1 << 5); /* aged */
    pass(5, mac_a, mac_y, 0x800, 60, 50);
    assert_int_equal(pass(1, mac_y, mac_a, 0x800, 60, 49), 1 << 5); /* the clock is behind the stamp */
    switch_port_down(&sw, 5);
    assert_int_equal(pass(1, mac_y, mac_a, 0x800, 60, 60), 1 << 0);
    /* many addresses: bounded, and the newest of a set stay */
    for (uint32_t i = 0; i < 100000; i++) {
        uint8_t m[6] = { 2, 1, (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 7 };
        pass(0, mac_a, m, 0x800, 60, 100 + i);
        assert_int_equal(pass(1, m, mac_a, 0x800, 60, 100 + i), 1 << 0);
    }
    assert_int_equal(pass(1, mac_b, mac_a, 0x800, 60, 0), 1 << 2);
}

/* Machines behind the wire whose addresses follow each other, as they do: all are known. */
TEST(test_learning_many)
{
    uint8_t m[6] = { 0, 0x16, 0x3e, 7, 7 };

    switch_port_up(&sw, 5, NULL, NULL);
    for (unsigned i = 0; i < 100; i++) {
        m[5] = (uint8_t)i;
        pass(5, mac_a, m, 0x800, 60, 10 + i);
    }
    for (unsigned i = 0; i < 100; i++) {
        m[5] = (uint8_t)i;
        assert_int_equal(pass(1, m, mac_a, 0x800, 60, 200), 1 << 5);
    }
}

/* --- VLANs ---------------------------------------------------------------------------------------------------- */

static struct sw_way vlan_pass(unsigned from, const uint8_t *dst, const uint8_t *src, int vid)
{
    memset(frame, 0, 64);
    memcpy(frame, dst, 6);
    memcpy(frame + 6, src, 6);
    if (vid < 0) {
        frame[12] = 8;
    } else {
        frame[12] = 0x81, frame[14] = (uint8_t)(0xa0 | vid >> 8), frame[15] = (uint8_t)vid;
        frame[16] = 8;
    }
    sw.port[from].flood_ns = 0;
    return switch_route(&sw, from, frame, 64, 0);
}

static void way(struct sw_way w, ports_t to, ports_t other, unsigned vid)
{
    assert_true(w.to == to && w.other == other);
    if (to)
        assert_int_equal(w.vid, vid);
}

/* Ports come and go, of few addresses so that many have the same, and of many: each address is that of the lowest port that has it, and nobody
 * else's. */
TEST(test_fixed_owners)
{
    uint8_t m[SW_VIFS][6];
    bool is[SW_VIFS] = { false };

    memset(&sw, 0, sizeof(sw));
    switch_port_up(&sw, 0, NULL, NULL);
    for (unsigned n = 0; n < 3000; n++) {
        unsigned port = 1 + (unsigned)rand() % (SW_VIFS - 1), owner = 0, few = n / 500 % 2 ? 20 : 256;
        uint8_t dst[6] = { 2, 0, 0, 0, (uint8_t)(rand() % 2), (uint8_t)((unsigned)rand() % few) };

        is[port] = rand() % 4;
        memcpy(m[port], dst, 6);
        if (is[port])
            switch_port_up(&sw, port, dst, NULL);
        else
            switch_port_down(&sw, port);
        dst[4] = (uint8_t)(rand() % 2), dst[5] = (uint8_t)((unsigned)rand() % few);
        for (unsigned i = SW_VIFS; --i > 0;)
            if (is[i] && !memcmp(m[i], dst, 6))
                owner = i;
        way(vlan_pass(0, dst, mac_x, -1), owner ? port_bit(owner) : 0, 0, 0);
        way(vlan_pass(0, mac_x, dst, -1), 0, 0, 0); /* it is there, or nobody is */
        assert_int_equal(sw.port[0].refused[0] != 0, owner != 0);
        sw.port[0].refused[0] = 0;
    }
}

/* --- bridges -------------------------------------------------------------------------------------------------- */

static void port(unsigned i, const uint8_t *mac, unsigned bridge, unsigned vlan)
{
    switch_port_up(&sw, i, mac,
                   &(struct slot_vif){ .bridge = (uint8_t)bridge, .vlan = (uint16_t)vlan });
    sw.port[i].mtu = i == sw_uplink(bridge) ? WIRE_MTU : 0;
}
static bool goes(unsigned from, const uint8_t *dst, const uint8_t *src, ports_t to)
{
    return pass(from, dst, src, 0x800, 60, 0) == to;
}

/* What is alike on two of them, they have nothing in common all the same. */
TEST(test_bridges)
{
    const unsigned up1 = sw_uplink(1);

    memset(&sw, 0, sizeof(sw));
    port(SW_UPLINK, NULL, 0, 0);
    port(up1, NULL, 1, 0);
    port(1, mac_a, 0, 0);
    port(2, mac_a, 1, 0);
    port(3, NULL, 0, 0);
    port(4, NULL, 1, 0);
    port(5, mac_b, 2, 0);
    port(6, NULL, 2, 0);
    /* to all, each way; the third has no wire */
    assert_true(goes(SW_UPLINK, all, mac_x, port_bit(1) | port_bit(3)));
    assert_true(goes(up1, all, mac_x, port_bit(2) | port_bit(4)));
    assert_true(goes(1, all, mac_a, port_bit(SW_UPLINK) | port_bit(3)));
    assert_true(goes(2, all, mac_a, port_bit(up1) | port_bit(4)));
    assert_true(goes(5, all, mac_b, port_bit(6)));
    /* one fixed address on two */
    assert_true(goes(SW_UPLINK, mac_a, mac_x, port_bit(1)));
    assert_true(goes(up1, mac_a, mac_x, port_bit(2)));
    assert_true(goes(6, mac_a, mac_x, 0));                        /* nobody there */
    assert_true(goes(6, mac_x, mac_a, 0) && !sw.port[6].spoofed); /* no other's is it there */
    assert_true(goes(3, mac_x, mac_a, 0) && sw.port[3].spoofed == 1);
    /* one learnt address on two */
    assert_true(goes(4, all, mac_y, port_bit(up1) | port_bit(2)));
    assert_true(goes(SW_UPLINK, all, mac_y, port_bit(1) | port_bit(3)));
    assert_true(goes(2, mac_y, mac_a, port_bit(4)));
    assert_true(goes(1, mac_y, mac_a, port_bit(SW_UPLINK)));
    assert_true(goes(5, mac_y, mac_b, port_bit(6)));
    /* a fixed one that comes is forgotten on its own alone */
    port(7, mac_y, 0, 0);
    assert_true(goes(1, mac_y, mac_a, port_bit(7)));
    assert_true(goes(2, mac_y, mac_a, port_bit(4)));
    switch_port_down(&sw, 4);
    assert_true(goes(2, mac_y, mac_a, port_bit(up1)));
    /* what is too long for a wire goes to neighbours, on the second as on the first */
    port(4, NULL, 1, 0);
    assert_true(pass(2, all, mac_a, 0x800, 1515, 0) == port_bit(4));
    assert_int_equal(sw.port[2].wire_long, 1);
}

/* Many ports, few addresses and VLANs: nothing leaves its bridge, and what each sees is what it would see if that were the only one. */
TEST(test_bridges_alone)
{
    enum { PORTS = 24 };
    static struct sw one[SW_UPLINKS];
    unsigned bridge[PORTS];

    memset(&sw, 0, sizeof(sw));
    memset(one, 0, sizeof(one));
    for (unsigned b = 0; b < SW_UPLINKS; b++) {
        port(sw_uplink(b), NULL, b, 0);
        switch_port_up(&one[b], sw_uplink(b), NULL, &(struct slot_vif){ .bridge = (uint8_t)b });
        one[b].port[sw_uplink(b)].mtu = WIRE_MTU;
    }
    for (unsigned i = 1; i < PORTS; i++) {
        const uint8_t m[6] = { 2, 0, 0, 0, 1, (uint8_t)(i / 4) };
        const struct slot_vif c = { .bridge = (uint8_t)(bridge[i] = i % 4),
                                    .vlan = rand() % 2 ? 5 : 0 };
        switch_port_up(&sw, i, i % 3 ? m : NULL, &c);
        switch_port_up(&one[bridge[i]], i, i % 3 ? m : NULL, &c);
    }
    for (unsigned n = 0; n < 20000; n++) {
        unsigned b = (unsigned)rand() % SW_UPLINKS,
                 from = n % 5 ? 4 * ((unsigned)rand() % (PORTS / 4 - 1)) + b : 0;
        if (!from)
            from = sw_uplink(b);
        memcpy(frame,
               rand() % 5 ? (uint8_t[]){ 2, 0, 0, 0, (uint8_t)(rand() % 2), (uint8_t)(rand() % 6) }
                          : all,
               6);
        memcpy(frame + 6, (uint8_t[]){ 2, 0, 0, 0, (uint8_t)(rand() % 2), (uint8_t)(from / 4) }, 6);
        memcpy(frame + 12, rand() % 2 ? (uint8_t[]){ 0x81, 0, 0, 5 } : (uint8_t[]){ 8, 0, 0, 5 }, 4);
        struct sw_way w = switch_route(&sw, from, frame, 60, n * NS_PER_MS),
                      x = switch_route(&one[b], from, frame, 60, n * NS_PER_MS);
        assert_true(w.to == x.to && w.other == x.other && w.vid == x.vid);
        EACH_PORT(i, w.to)
        assert_true(i < PORTS ? bridge[i] == b : i == sw_uplink(b));
    }
}

/* All ports that there are. */
TEST(test_every_port)
{
    static const unsigned at[] = { 1, 31, 32, 33, 63, 64 };
    uint8_t m[SW_PORTS][6] = { { 0 } };
    ports_t up = 0;
    unsigned n = 0;

    memset(&sw, 0, sizeof(sw));
    switch_port_up(&sw, 0, NULL, NULL);
    for (unsigned i = 1; i < SW_PORTS; i++) {
        m[i][0] = 2, m[i][5] = (uint8_t)i;
        switch_port_up(&sw, i, m[i], NULL);
    }
    EACH_PORT(i, sw.up)
    {
        assert_int_equal(i, n++);
        up |= port_bit(i);
    }
    assert_true(n == SW_PORTS && up == sw.up && up == port_bit(SW_PORTS) - 1);
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        unsigned a = at[i], b = at[(i + 1) % ARRAY_SIZE(at)];
        way(vlan_pass(a, m[b], m[a], -1), port_bit(b), 0, 0);
        way(vlan_pass(a, all, m[a], -1), up & ~port_bit(a), 0, 0);
        way(vlan_pass(a, mac_x, m[a], -1), port_bit(0), 0, 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
        switch_port_down(&sw, at[i]);
    EACH_PORT(i, sw.up & ~port_bit(0))
    {
        n = i;
        way(vlan_pass(0, m[i], mac_x, -1), port_bit(i), 0, 0);
        if (i == 40)
            break; /* of the whole set */
    }
    assert_int_equal(n, 40);
}

/* 1 and 2: access to 10, 3: access to 20, 4: trunk of 10 and 20, 5: the same with 30 as its own, 6: all as they are. */
TEST(test_vlans)
{
    static const uint8_t m[7][6] = { { 0 },    { 2, 1 }, { 2, 2 }, { 2, 3 },
                                     { 2, 4 }, { 2, 5 }, { 2, 6 } };
    static const struct slot_vif conf[7] = { [1] = { .vlan = 10 },
                                             [2] = { .vlan = 10 },
                                             [3] = { .vlan = 20 },
                                             [4] = { .trunk = { 10, 20 } },
                                             [5] = { .vlan = 30, .trunk = { 10, 20 } } };

    memset(&sw, 0, sizeof(sw));
    switch_port_up(&sw, 0, NULL, NULL);
    for (unsigned i = 1; i < 7; i++)
        switch_port_up(&sw, i, m[i], &conf[i]);
    /* an access port: with a tag to who sees tags */
    way(vlan_pass(1, all, m[1], -1), 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6,
        1 << 0 | 1 << 4 | 1 << 5 | 1 << 6, 10);
    /* one for the priority's sake alone: taken off for the neighbour, and named for the others */
    way(vlan_pass(1, all, m[1], 0), 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6, 1 << 2, 10);
    way(vlan_pass(1, m[2], m[1], -1), 1 << 2, 0, 10);
    way(vlan_pass(1, m[3], m[1], -1), 0, 0, 0); /* of another VLAN */
    way(vlan_pass(1, m[4], m[1], -1), 1 << 4, 1 << 4, 10);
    way(vlan_pass(1, m[2], m[1], 10), 0, 0, 0); /* it may not tag, not even so */
    way(vlan_pass(1, m[3], m[1], 20), 0, 0, 0);
    assert_int_equal(sw.port[1].vlan, 2);
    /* a trunk */
    way(vlan_pass(4, m[1], m[4], 10), 1 << 1, 1 << 1, 10);
    way(vlan_pass(4, m[3], m[4], 10), 0, 0, 0);
    way(vlan_pass(4, m[3], m[4], 20), 1 << 3, 1 << 3, 20);
    way(vlan_pass(4, m[5], m[4], 20), 1 << 5, 0, 20);
    way(vlan_pass(4, all, m[4], -1), 0, 0, 0); /* without a tag it is nowhere */
    way(vlan_pass(4, all, m[4], 30), 0, 0, 0);
    way(vlan_pass(5, all, m[5], -1), 1 << 0 | 1 << 6, 1 << 0 | 1 << 6, 30);
    way(vlan_pass(5, all, m[5], 20), 1 << 0 | 1 << 3 | 1 << 4 | 1 << 6, 1 << 3, 20);
    /* who sees all is in all */
    way(vlan_pass(6, m[1], m[6], 10), 1 << 1, 1 << 1, 10);
    way(vlan_pass(6, m[1], m[6], -1), 0, 0, 0);
    way(vlan_pass(6, all, m[6], -1), 1 << 0, 0, 0);
    way(vlan_pass(6, all, m[6], 0), 1 << 0, 0, 0);
    way(vlan_pass(0, all, mac_x, 30), 1 << 5 | 1 << 6, 1 << 5, 30);
    /* what is learnt in one VLAN is nothing in another */
    way(vlan_pass(0, m[1], mac_y, 10), 1 << 1, 1 << 1, 10);
    way(vlan_pass(1, mac_y, m[1], -1), 1 << 0, 1 << 0, 10);
    switch_port_up(&sw, 7, NULL, &conf[1]);
    way(vlan_pass(3, mac_y, m[3], -1), 1 << 0, 1 << 0, 20);
    way(vlan_pass(1, mac_y, m[1], -1), 1 << 0, 1 << 0, 10);
    way(vlan_pass(7, m[1], mac_y, -1), 1 << 1, 0, 10);
    way(vlan_pass(1, mac_y, m[1], -1), 1 << 7, 0, 10);
    way(vlan_pass(3, mac_y, m[3], -1), 1 << 0, 1 << 0, 20);
}

/* A second tag is nobody's word about a VLAN once the first is taken off: 2 has VLAN 10 without tags, and 20 with. */
TEST(test_vlan_behind_vlan)
{
    static const uint8_t m[4][6] = { { 0 }, { 2, 1 }, { 2, 2 }, { 2, 3 } };
    static const struct slot_vif conf[4] = {
        [1] = { .vlan = 10 }, [2] = { .vlan = 10, .trunk = { 20 } }, [3] = { .trunk = { 10 } }
    };
    memset(&sw, 0, sizeof(sw));
    switch_port_up(&sw, 0, NULL, NULL);
    for (unsigned i = 1; i < 4; i++)
        switch_port_up(&sw, i, m[i], &conf[i]);
    for (unsigned second = 0; second < 2; second++) {
        unsigned from[2] = { 1, 3 };
        for (unsigned k = 0; k < 2; k++) {
            (void)vlan_pass(from[k], m[2], m[from[k]], k ? 10 : 0);
            frame[16] = second ? 0x81 : 8, frame[19] = 20, frame[20] = 8;
            way(switch_route(&sw, from[k], frame, 64, 0), second ? 0 : 1 << 2, second ? 0 : 1 << 2,
                10);
            assert_int_equal(sw.port[from[k]].vlan, second);
        }
    }
    memcpy(frame, all, 6); /* the others see both */
    way(switch_route(&sw, 3, frame, 64, 0), 1 << 0 | 1 << 1, 1 << 1, 10);
    memcpy(frame + 6, m[1], 6);
    frame[15] = 0; /* for the priority's sake: not even to the wire */
    way(switch_route(&sw, 1, frame, 64, 0), 0, 0, 0);
    frame[12] = 0x88, frame[13] = 0xa8, frame[14] = frame[15] = 0; /* nor behind one of another type */
    way(switch_route(&sw, 1, frame, 64, 0), 1 << 0 | 1 << 3, 1 << 0 | 1 << 3, 10);
}

/* What is for the next bridge alone goes to nobody: PAUSE, spanning tree, LLDP. */
TEST(test_bridges_own)
{
    uint8_t dst[6] = { 1, 0x80, 0xc2, 0, 0, 0 };

    for (; dst[5] < 32; dst[5]++)
        for (unsigned from = 0; from < 2; from++)
            assert_int_equal(pass(from, dst, from ? mac_a : mac_x, 0x8808, 60, 0) != 0, dst[5] >= 16);
}

/* --- storms --------------------------------------------------------------------------------------------------- */

TEST(test_storms)
{
    uint64_t now = 5 * NS_PER_S;
    unsigned through = 0;

    for (unsigned i = 0; i < 10000; i++)
        through += pass(1, all, mac_a, 0x800, 60, now) != 0;
    assert_int_equal(through, SW_FLOOD_BURST);
    assert_int_equal(sw.port[1].storm, 10000 - SW_FLOOD_BURST);
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, now), 1 << 0); /* unknown, but only there */
    switch_port_up(&sw, 5, NULL, NULL);
    assert_int_equal(pass(1, mac_x, mac_a, 0x800, 60, now), 0); /* unknown: it would go to many */
    switch_port_down(&sw, 5);
    assert_int_equal(pass(1, mac_b, mac_a, 0x800, 60, now), 1 << 2); /* to one: as before */
    assert_int_equal(pass(2, all, mac_b, 0x800, 60, now), 1 << 0 | 1 << 1);
    for (through = 0; now < 6 * NS_PER_S; now += NS_PER_S / 100000)
        through += pass(1, all, mac_a, 0x800, 60, now) != 0;
    assert_in_range(through, SW_FLOOD_RATE - 2, SW_FLOOD_RATE + 2);
    now += 3600 * NS_PER_S; /* no more is saved up than one burst */
    for (unsigned i = through = 0; i < 10000; i++)
        through += pass(1, all, mac_a, 0x800, 60, now) != 0;
    assert_int_equal(through, SW_FLOOD_BURST);
    for (unsigned i = through = 0; i < 100000; i++)
        through += pass(0, all, mac_x, 0x800, 60, now) != 0;
    assert_int_equal(through, SW_FLOOD_BURST * SW_FLOOD_UPLINK);
}

/* --- addresses ------------------------------------------------------------------------------------------------ */

static bool sends(unsigned type, const uint8_t *packet, unsigned n, const char *said)
{
    memcpy(frame, all, 6);
    memcpy(frame + 6, mac_a, 6);
    frame[12] = (uint8_t)(type >> 8), frame[13] = (uint8_t)type;
    memcpy(frame + 14, packet, n);
    sw.port[1].flood_ns = 0;
    sw.port[1].refused[0] = 0;
    bool is = switch_route(&sw, 1, frame, 14 + n, 0).to != 0;
    if (said)
        assert_string_equal(sw.port[1].refused, said);
    assert_true(is == !sw.port[1].refused[0]);
    return is;
}

static void guard_setup(void)
{
    static const struct slot_vif conf = { .other = { { 0, 0, 0x5e, 0, 1, 9 } },
                                          .nr_ips = 3,
                                          .ip = { { { [10] = 0xff, 0xff, 10, 0, 0, 5 }, 128 },
                                                  { { [10] = 0xff, 0xff, 10, 0, 1, 128 }, 96 + 25 },
                                                  { { 0x20, 1, 0xd, 0xb8, [15] = 7 }, 128 } } };
    switch_port_up(&sw, 1, mac_a, &conf);
}

TEST(test_guard_ip4)
{
    uint8_t ip[28] = { 0x45, [9] = 17, [12] = 10, 0, 0, 5 }, arp[28] = { 0, 1, 8, 0, 6, 4, 0, 1 };

    guard_setup();
    assert_true(sends(0x800, ip, 28, ""));
    ip[15] = 6;
    assert_false(sends(0x800, ip, 28, "a source address 10.0.0.6"));
    ip[14] = 1, ip[15] = 200;
    assert_true(sends(0x800, ip, 28, ""));
    ip[15] = 127;
    assert_false(sends(0x800, ip, 28, "a source address 10.0.1.127"));
    memset(ip + 12, 0, 4);
    assert_false(sends(0x800, ip, 28, "a source address 0.0.0.0"));
    ip[23] = 67; /* asks for an address */
    assert_true(sends(0x800, ip, 28, ""));
    ip[0] = 0x4f;
    assert_false(sends(0x800, ip, 28, NULL)); /* its port is cut off */
    assert_false(sends(0x800, ip, 19, "an IPv4 header that is cut off"));
    /* ARP */
    memcpy(arp + 8, mac_a, 6);
    assert_true(sends(0x806, arp, 28, "")); /* a probe */
    memcpy(arp + 14, (uint8_t[]){ 10, 0, 0, 5 }, 4);
    assert_true(sends(0x806, arp, 28, ""));
    arp[17] = 1;
    assert_false(sends(0x806, arp, 28, "an ARP sender 10.0.0.1"));
    arp[17] = 5;
    memcpy(arp + 8, mac_b, 6);
    assert_false(sends(0x806, arp, 28, "an ARP sender 00:16:3e:00:00:02"));
    memcpy(arp + 8, sw.port[1].conf.other[0], 6);
    assert_true(sends(0x806, arp, 28, ""));
    assert_false(sends(0x806, arp, 27, "an ARP packet that is cut off"));
    /* without addresses all may be sent from */
    switch_port_up(&sw, 1, mac_a, NULL);
    memcpy(ip + 12, (uint8_t[]){ 10, 9, 9, 9 }, 4);
    assert_true(sends(0x800, ip, 28, ""));
}

/* Behind SNAP, and behind more tags than are looked at: hosts find it. */
TEST(test_guard_behind)
{
    uint8_t ip[28] = { 0x45, [9] = 17, [12] = 10, 0, 0, 6 },
            f[300] = { 0xaa, 0xaa, 3, 0, 0, 0, 8, 0 };

    guard_setup();
    memcpy(f + 8, ip, 28);
    assert_false(sends(36, f, 36, "a source address 10.0.0.6"));
    f[5] = 0xf8;
    assert_false(sends(36, f, 36, "a source address 10.0.0.6"));
    f[8 + 15] = 5;
    assert_true(sends(36, f, 36, ""));
    f[6] = 0x81;
    assert_false(sends(36, f, 36, "a frame whose tags do not end"));
    f[5] = 1; /* another's numbers */
    assert_true(sends(36, f, 36, ""));
    memset(f + 5, 0, 3);
    f[6] = 8, f[7] = 6;
    assert_false(sends(36, f, 36, "an ARP sender 00:11:00:00:0a:00"));
    for (unsigned n = 0; n < 8; n++)
        (void)sends(36, f, n, NULL);
    for (unsigned tags = 1; tags < 70; tags++) {
        memset(f, 0, sizeof(f));
        for (unsigned i = 0; i + 1 < tags; i++)
            f[4 * i + 2] = 0x81;
        f[4 * tags - 2] = 8;
        memcpy(f + 4 * tags, ip, sizeof(f) - 4 * tags < 28 ? 0 : 28);
        if (4 * tags + 28 > sizeof(f))
            break;
        assert_false(sends(0x8100, f, 4 * tags + 28, NULL));
    }
}

TEST(test_guard_other_address)
{
    static const uint8_t vrrp[6] = { 0, 0, 0x5e, 0, 1, 9 };

    guard_setup();
    memset(frame, 0, 64);
    assert_int_equal(pass(1, mac_b, vrrp, 0x88b5, 60, 0), 1 << 2);
    assert_int_equal(pass(2, vrrp, mac_b, 0x88b5, 60, 0), 1 << 1);        /* learnt */
    assert_int_equal(pass(0, all, vrrp, 0x88b5, 60, 0), 1 << 1 | 1 << 2); /* another has taken over */
    assert_int_equal(pass(2, vrrp, mac_b, 0x88b5, 60, 0), 1 << 0);
    static const uint8_t none[6];
    assert_int_equal(pass(1, mac_b, none, 0x88b5, 60, 0), 0);
}

TEST(test_guard_ip6)
{
    uint8_t ip[240] = { 0x60, [6] = 17, [8] = 0x20, 1, 0xd, 0xb8, [23] = 7 }, *icmp = ip + 40;
    static const uint8_t ll[16] = { 0xfe, 0x80, [8] = 2, 0x16, 0x3e, 0xff, 0xfe, 0, 0, 1 };

    guard_setup();
    assert_true(sends(0x86dd, ip, 60, ""));
    ip[23] = 8;
    assert_false(sends(0x86dd, ip, 60, "a source address 2001:0db8:0000:0000:0000:0000:0000:0008"));
    memcpy(ip + 8, ll, 16);
    assert_true(sends(0x86dd, ip, 60, ""));
    ip[23] = 2;
    assert_false(sends(0x86dd, ip, 60, NULL));
    memset(ip + 8, 0, 16);
    assert_false(sends(0x86dd, ip, 60, NULL));
    ip[6] = 58, icmp[0] = 135; /* is it free? */
    memcpy(icmp + 8, (uint8_t[]){ 0x20, 1, 0xd, 0xb8, [15] = 7 }, 16);
    assert_true(sends(0x86dd, ip, 64, ""));
    icmp[23] = 8;
    assert_false(sends(0x86dd, ip, 64,
                       "a search for an address's owner 2001:0db8:0000:0000:0000:0000:0000:0008"));
    icmp[0] = 143; /* listens to a group: from no address, too */
    assert_true(sends(0x86dd, ip, 64, ""));
    icmp[0] = 135;
    memcpy(icmp + 8, ll, 16);
    assert_true(sends(0x86dd, ip, 64, ""));
    icmp[23] = 8;
    memcpy(ip + 8, ll, 16); /* where is it? */
    assert_true(sends(0x86dd, ip, 64, ""));
    memcpy(ip + 8, ll, 16);
    icmp[0] = 134;
    assert_false(sends(0x86dd, ip, 64, "a router advertisement"));
    icmp[0] = 137;
    assert_false(sends(0x86dd, ip, 100, "a redirect"));
    icmp[0] = 136;
    memcpy(icmp + 8, ll, 16);
    assert_true(sends(0x86dd, ip, 64, ""));
    icmp[24] = 2, icmp[25] = 1;
    memcpy(icmp + 26, mac_a, 6);
    assert_true(sends(0x86dd, ip, 72, ""));
    icmp[31] = 2;
    assert_false(sends(0x86dd, ip, 72, "a neighbour's link address 00:16:3e:00:00:02"));
    icmp[24] = 14, icmp[32] = 2, icmp[33] = 1; /* behind another option */
    assert_false(sends(0x86dd, ip, 80, "a neighbour's link address 00:00:00:00:00:00"));
    icmp[23] = 9;
    assert_false(
        sends(0x86dd, ip, 64, "a neighbour advertisement fe80:0000:0000:0000:0216:3eff:fe00:0009"));
    icmp[0] = 133, memset(icmp + 8, 0, 100);
    icmp[8] = 1, icmp[9] = 1;
    assert_false(sends(0x86dd, ip, 64, "a neighbour's link address 00:00:00:00:00:00"));
    memcpy(icmp + 10, mac_a, 6);
    assert_true(sends(0x86dd, ip, 56, "")); /* a router solicitation as Linux sends it */
    assert_true(sends(0x86dd, ip, 48, ""));
    assert_false(sends(0x86dd, ip, 47, "an ICMPv6 header that is cut off"));
    icmp[0] = 135;
    assert_false(sends(0x86dd, ip, 63, "an ICMPv6 header that is cut off"));
    icmp[0] = 128; /* ping */
    assert_true(sends(0x86dd, ip, 64, ""));
    /* behind extension headers, and behind so many that it is not seen */
    memmove(ip + 56, ip + 40, 64);
    memset(ip + 40, 0, 16);
    ip[6] = 0, ip[40] = 60, ip[48] = 58, ip[56] = 134;
    assert_false(sends(0x86dd, ip, 100, "a router advertisement"));
    ip[49] = 30;
    assert_false(sends(0x86dd, ip, 240, "an ICMPv6 header that is cut off"));
    ip[48] = 60;
    assert_false(sends(0x86dd, ip, 240, "IPv6 headers that are cut off"));
    for (unsigned n = 0; n < 60; n++) /* cut off anywhere */
        (void)sends(0x86dd, ip, n, NULL);
    assert_false(sends(0x86dd, ip, 39, "an IPv6 header that is cut off"));
    /* a short prefix of the one family is none of the other */
    sw.port[1].conf.nr_ips = 1;
    sw.port[1].conf.ip[0] = (struct slot_ip){ { 0 }, 0 };
    uint8_t ip4[28] = { 0x45, [12] = 10, 0, 0, 5 };
    assert_false(sends(0x800, ip4, 28, NULL));
}

/* --- checksums -------------------------------------------------------------------------------------------------- */

static uint16_t plain_sum(const uint8_t *b, unsigned n, uint32_t sum)
{
    for (unsigned i = 0; i < n; i++)
        sum += i & 1 ? b[i] : (uint32_t)b[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* Builds a frame, fills its checksum in, and adds everything up the slow way. */
static void check_csum(bool v6, bool udp, unsigned payload, unsigned options, unsigned padding,
                       unsigned tags)
{
    static uint8_t buf[PKT_BUF];
    struct pkt p = { .data = buf + PKT_HEAD, .flags = PKT_CSUM_BLANK };
    static const uint8_t kind[3][2] = { { 0x81, 0 }, { 0x88, 0xa8 }, { 0x91, 0 } };
    unsigned at = 14 + 4 * tags, iph = (v6 ? 40 : 20) + options, th = udp ? 8 : 20,
             seg = th + payload;
    uint8_t *d = p.data, *ip = d + at, proto = udp ? 17 : 6;

    for (unsigned i = 0; i < PKT_BUF - PKT_HEAD; i++)
        d[i] = (uint8_t)rand();
    for (unsigned i = 0; i < tags; i++)
        memcpy(d + 12 + 4 * i, kind[rand() % 3], 2);
    d[at - 2] = v6 ? 0x86 : 8, d[at - 1] = v6 ? 0xdd : 0;
    if (v6) {
        unsigned n = options + seg;
        ip[0] = 0x60, ip[4] = (uint8_t)(n >> 8), ip[5] = (uint8_t)n, ip[6] = options ? 0 : proto;
        if (options)
            ip[40] = proto, ip[41] = (uint8_t)(options / 8 - 1);
    } else {
        unsigned n = iph + seg;
        ip[0] = (uint8_t)(0x40 | iph / 4), ip[2] = (uint8_t)(n >> 8), ip[3] = (uint8_t)n,
        ip[6] = 0x40, ip[7] = 0, ip[9] = proto;
    }
    p.len = (uint16_t)(at + iph + seg + padding);
    assert_true(pkt_csum_find(&p));
    assert_true(p.tagged == (tags > 0) && p.ipv6 == v6);
    pkt_csum_fill(&p);
    assert_int_equal(p.flags, PKT_CSUM_VALID);
    assert_int_equal(p.csum_start, at + iph);
    uint32_t pseudo = plain_sum(v6 ? ip + 8 : ip + 12, v6 ? 32 : 8, proto + seg);
    assert_int_equal(plain_sum(ip + iph, seg, pseudo), 0xffff);
    if (udp)
        assert_true(ip[iph + 6] || ip[iph + 7]);
}

TEST(test_checksums)
{
    for (unsigned i = 0; i < 4000; i++)
        check_csum(i & 1, i & 2, (unsigned)rand() % 1300, i & 4 ? (i & 1 ? 16 : 12) : 0,
                   (unsigned)rand() % 20, (i >> 3) % 6);
}

TEST(test_checksum_bounds)
{
    uint8_t *buf = malloc(PKT_BUF); /* exact ends, for the sanitizer */
    struct pkt p = { 0 };

    for (unsigned i = 0; i < 300000; i++) {
        unsigned len = (unsigned)rand() % 120;
        p.len = (uint16_t)len;
        p.data = buf + PKT_BUF - len;
        for (unsigned k = 0; k < len; k++)
            p.data[k] = (uint8_t)rand();
        if (len > 20) {
            p.data[12] = i & 1 ? 0x86 : 8;
            p.data[13] = i & 1 ? 0xdd : 0;
            p.data[14] = i & 1 ? 0x60 : (uint8_t)(0x40 | rand() % 16);
            p.data[16] = p.data[18] = 0;
        }
        p.flags = PKT_CSUM_BLANK;
        if (i % 3 == 0 && len > 20) /* tags, and half of them nothing but tags */
            for (unsigned k = 12; k + 2 <= len && (i & 8 || k < 24); k += 4)
                p.data[k] = 0x81, p.data[k + 1] = 0;
        if (pkt_csum_find(&p)) {
            assert_true(p.csum_start + p.csum_offset + 2 <= (int)p.csum_end && p.csum_end <= len);
            pkt_csum_fill(&p);
        }
        unsigned start = (unsigned)rand() % 140, offset = (unsigned)rand() % 20;
        assert_true(pkt_csum_told(&p, start, offset) == (start + offset + 2 <= len));
    }
    free(buf);
}

/* What a device says is blank: left alone where a receiver finds it too; inside of a tunnel filled in, and the outer checksum stays. */
TEST(test_checksum_told)
{
    static uint8_t buf[PKT_BUF];
    struct pkt p = { .data = buf + PKT_HEAD, .len = 14 + 20 + 8 + 30 };
    uint8_t *d = p.data;

    memset(d, 0, p.len);
    d[12] = 8, d[14] = 0x45, d[17] = 58, d[23] = 17; /* IPv4, UDP */
    d[40] = 0xab, d[41] = 0xcd;                      /* the outer checksum */
    assert_true(pkt_csum_told(&p, 34, 6));
    assert_int_equal(p.flags, PKT_CSUM_BLANK | PKT_CSUM_VALID);
    assert_true(d[40] == 0xab && d[41] == 0xcd);
    d[56] = 0x12; /* the sum of an inner pseudo-header at 50 + 6 */
    assert_true(pkt_csum_told(&p, 50, 6));
    assert_int_equal(p.flags, PKT_CSUM_VALID);
    assert_true(d[40] == 0xab && d[41] == 0xcd);
    assert_int_equal(plain_sum(d + 50, p.len - 50u, 0x1200), 0xffff);
}
