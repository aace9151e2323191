/* SPDX-License-Identifier: MIT */
// LINK: domains/random.c ctl-dom/domain/identity.c ctl-dom/domain/bridge.c ctl-dom/domain/dom.c ctl-dom/domain/records.c ctl-dom/domain/error.c
// FLAGS: -Ictl-dom -Idomains/include -luuid -lcrypto
/* UUIDs and addresses: nobody's twice, and the same in every life. */
#include <errno.h>
#include "unit.h"
#include "domain/dom.h"
#include "domain/identity.h"

struct bh_self self;

static struct dom *net0, *net1;
uint64_t now_ns(void) { return 5; }

static struct domcfg guest(const char *name, unsigned vifs)
{
    struct domcfg c = { .nr_vifs = vifs };
    strcpy(c.name, name);
    uuid_make(c.uuid);
    return c;
}
static void choose(struct domcfg *c, unsigned i, uint8_t last, const char *bridge)
{
    c->vif[i] = (struct cfg_vif){ .mac = { 0, 0x16, 0x3e, 0, 0, last }, .has_mac = true };
    strcpy(c->vif[i].bridge, bridge);
}

int setup(void **state)
{
    struct domcfg c = guest("net0", 0);
    c.role = BH_ROLE_DRIVER;
    strcpy(c.image, "net");
    net0 = dom_new(4, &c);
    strcpy(c.name, "net1");
    net1 = dom_new(5, &c);
    c = guest("debian", 2);
    choose(&c, 0, 1, "net0");
    identity_fill(dom_new(16, &c));
    return 0;
}
int teardown(void **state)
{
    while (doms)
        dom_forget(doms);
    return 0;
}

TEST(an_address_once)
{
    struct domcfg c = guest("debian2", 2);
    struct errbuf e = { "" };
    choose(&c, 0, 2, "net0");
    choose(&c, 1, 1, "");
    assert_int_equal(identity_check(&c, &e), -EEXIST);
    assert_string_equal(
        e.s,
        "debian2: vif 1: debian has the address 00:16:3e:00:00:01 already, chosen for its vif 0 on net0");
    choose(&c, 1, 1, "net1"); /* another switch */
    assert_int_equal(identity_check(&c, &e), 0);
    net0->cfg.nr_bridges = 2;
    strcpy(net0->cfg.bridge[0].name, "br0");
    strcpy(net0->cfg.bridge[1].name, "br1");
    choose(&c, 1, 1, "br1");
    assert_int_equal(identity_check(&c, &e), 0);
    choose(&c, 1, 1, "br0");
    assert_int_equal(identity_check(&c, &e), -EEXIST);
    assert_non_null(strstr(e.s, "its vif 0 on br0"));
    net0->cfg.nr_bridges = 0;
    choose(&c, 1, 2, "");
    assert_int_equal(identity_check(&c, &e), -EEXIST);
    assert_string_equal(e.s, "debian2: vif 0 and vif 1 have the same address 00:16:3e:00:00:02");
    choose(&c, 1, 1, "none"); /* that nobody serves it is said by others */
    assert_int_equal(identity_check(&c, &e), 0);
    memcpy(c.vif[1].mac, dom_by_id(16)->cfg.vif[1].mac, 6);
    c.vif[1].bridge[0] = 0;
    assert_int_equal(identity_check(&c, &e), -EEXIST);
    assert_non_null(strstr(e.s, "already, made for its vif 1 on net0"));
}

TEST(a_uuid_once)
{
    struct domcfg c = guest("debian2", 0);
    struct errbuf e = { "" };
    assert_int_equal(identity_check(&c, &e), 0);
    memcpy(c.uuid, dom_by_id(16)->cfg.uuid, 16);
    assert_int_equal(identity_check(&c, &e), -EEXIST);
    assert_string_equal(e.s, "debian2: uuid: debian has the same");
    memset(c.uuid, 0, 16); /* none yet */
    assert_int_equal(identity_check(&c, &e), 0);
    /* what it is to be next has its own, and still nobody else's */
    c = dom_by_id(16)->cfg;
    assert_int_equal(identity_check_next(&c, dom_by_id(16), &e), 0);
    assert_int_equal(identity_check(&c, &e), -EEXIST);
    assert_int_equal(identity_check_next(&c, NULL, &e), -EEXIST);
}

TEST(addresses_are_made_once)
{
    struct dom *debian = dom_by_id(16);
    struct domcfg again = debian->cfg, c = guest("other", 1);
    uint8_t first[6];
    memcpy(first, debian->cfg.vif[1].mac, 6);
    assert_memory_equal(first, "\x00\x16\x3e", 3);
    assert_true(first[3] & 0x80);
    mac_derive(again.uuid, 1, 0, c.vif[0].mac);
    assert_memory_equal(first, c.vif[0].mac, 6);
    assert_int_equal(debian->cfg.vif[0].mac[5], 1); /* a chosen one stays */

    /* Somebody chose it while that guest was away: the next one is taken, and kept over a reboot. */
    dom_forget(debian);
    c.vif[0].has_mac = true;
    dom_new(17, &c);
    memset(again.vif[1].mac, 0, 6);
    struct dom *made = dom_new(18, &again);
    identity_fill(made);
    assert_memory_not_equal(made->cfg.vif[1].mac, first, 6);
    again = made->cfg;
    dom_forget(made);
    made = dom_new(19, &again);
    identity_fill(made);
    assert_memory_equal(made->cfg.vif[1].mac, again.vif[1].mac, 6);
}

TEST(uuids_differ)
{
    uint8_t u[64][16];
    for (unsigned i = 0; i < 64; i++) {
        uuid_make(u[i]);
        assert_int_equal(u[i][6] >> 4, 4);
        assert_int_equal(u[i][8] >> 6, 2);
        for (unsigned k = 0; k < i; k++)
            assert_memory_not_equal(u[i], u[k], 16);
    }
}
