/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/domain/bridge.c ctl-dom/domain/pci.c ctl-dom/domain/slots.c ctl-dom/domain/dom.c ctl-dom/domain/records.c ctl-dom/domain/error.c
// FLAGS: -Ictl-dom -Idomains/include
/* Which bridge a vif is on, by its words; what its slot entry says of that; and which names there may be. */
#include <errno.h>
#include "unit.h"
#include "domain/bridge.h"
#include "domain/pci.h"
#include "domain/slots.h"

struct bh_self self;
uint64_t now_ns(void) { return 5; }
static char said[200];
void say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(said, sizeof(said), fmt, ap);
    va_end(ap);
}

/* Three NICs; who has them. */
static struct bh_pci_info nics[] = { { .sbdf = 0x18 }, { .sbdf = 0x100020 }, { .sbdf = 0x100028 } };
long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t d)
{
    struct bh_pci_info *info = (struct bh_pci_info *)arg;
    struct bh_assign *a = (struct bh_assign *)arg;
    uint32_t i = 0;

    if (op == BH_CTL_PCI_INFO) {
        if ((i = info->index) >= ARRAY_SIZE(nics))
            return -ENOENT;
        *info = nics[i];
        info->index = i;
    } else if (op == BH_CTL_ASSIGN) {
        while (nics[i].sbdf != a->sbdf)
            i++;
        nics[i].state = BH_PCI_ASSIGNED;
        nics[i].domid = a->domid;
    }
    return 0;
}

static struct dom *net0, *net1, *guest;

static struct dom *domain(domid_t id, const char *name, const char *image)
{
    struct domcfg c = { .role = image ? BH_ROLE_DRIVER : BH_ROLE_GUEST, .memory_mb = 6 };

    strcpy(c.name, name);
    strcpy(c.image, image ? image : "");
    return dom_new(id, &c);
}
static void bridge(struct dom *b, const char *name, uint32_t sbdf)
{
    struct cfg_bridge *r = &b->cfg.bridge[b->cfg.nr_bridges++];

    *r = (struct cfg_bridge){ .wire = sbdf, .sbdf = sbdf };
    strcpy(r->name, name);
}
static struct cfg_vif vif(const char *bridge, const char *backend)
{
    struct cfg_vif v = { .any = false };

    strcpy(v.bridge, bridge);
    strcpy(v.backend, backend);
    return v;
}

int setup(void **state)
{
    domain(3, "blk0", "blk");
    net0 = domain(4, "net0", "net");
    bridge(net0, "xenbr0", 0x18);
    bridge(net0, "xenbr1", 0x100020);
    bridge(net0, "inside", 0);
    net1 = domain(5, "net1", "net");
    guest = domain(16, "debian", NULL);
    return 0;
}
int teardown(void **state)
{
    while (doms)
        dom_forget(doms);
    return 0;
}

/* Which it is, "net0/1", or why it is none. */
static const char *meant(const char *bridge, const char *backend)
{
    static char text[300];
    struct cfg_vif v = vif(bridge, backend);
    struct errbuf e = { "" };
    struct dom *b;
    int rc = vif_served(&v, "debian: vif 0", &b, &e);

    assert_true(vif_backend(&v) == b && !b == !!rc);
    if (rc)
        snprintf(text, sizeof(text), "%d %s", rc, e.s + strlen("debian: vif 0: "));
    else
        snprintf(text, sizeof(text), "%s/%d", b->cfg.name, bridge_find(b, &v));
    return text;
}

/* A vnet's has its own name, and is nobody's first one. */
TEST(of_a_vnet)
{
    struct dom *v;

    teardown(NULL);
    v = domain(3, "vnet97", "vnet");
    assert_int_equal(bridges_of(v), 1);
    assert_string_equal(meant("vnet97", ""), "vnet97/0");
    assert_string_equal(meant("vnet97", "vnet97"), "vnet97/0");
    assert_string_equal(meant("vnet98", ""), "-2 no bridge vnet98 (there are: vnet97)");
    assert_string_equal(meant("", ""), "-2 no bridge  (there are: vnet97)");
    net0 = domain(4, "net0", "net");
    assert_string_equal(meant("", ""), "net0/0");
}

TEST(by_its_words)
{
    static const char none[] = "-2 no bridge xenbr9 (there are: xenbr0, xenbr1, inside, net1)";

    assert_string_equal(meant("", ""), "net0/0");
    assert_string_equal(meant("net0", ""), "net0/0"); /* its first one */
    assert_string_equal(meant("4", ""), "net0/0");
    assert_string_equal(meant("", "net0"), "net0/0");
    assert_string_equal(meant("net0", "net0"), "net0/0");
    assert_string_equal(meant("xenbr0", ""), "net0/0");
    assert_string_equal(meant("xenbr1", ""), "net0/1");
    assert_string_equal(meant("xenbr1", "net0"), "net0/1");
    assert_string_equal(meant("inside", ""), "net0/2");
    assert_string_equal(meant("net1", ""), "net1/0");
    assert_string_equal(meant("net1", "net1"), "net1/0");
    assert_string_equal(meant("xenbr9", ""), none);
    assert_string_equal(meant("blk0", ""),
                        "-2 no bridge blk0 (there are: xenbr0, xenbr1, inside, net1)");
    assert_string_equal(meant("xenbr1", "net1"), "-22 no bridge xenbr1 in net1, which has net1");
    assert_string_equal(meant("net1", "net0"),
                        "-22 no bridge net1 in net0, which has xenbr0, xenbr1, inside");
    assert_string_equal(meant("xenbr1", "net2"), "-2 no net driver domain net2");
    assert_string_equal(meant("", "blk0"), "-2 no net driver domain blk0");
    bridge(net1, "xenbr1", 0x28);
    assert_string_equal(meant("xenbr1", ""),
                        "-22 both net0 and net1 have a bridge xenbr1: backend= says which");
    assert_string_equal(meant("xenbr1", "net0"), "net0/1");
    assert_string_equal(meant("xenbr1", "net1"), "net1/0");
    assert_string_equal(meant("net1", ""), "net1/0");
    dom_forget(net0);
    dom_forget(net1);
    assert_string_equal(meant("xenbr1", ""), "-2 no net driver domain xenbr1");
    assert_string_equal(meant("", ""), "-2 no net driver domain runs");
}

TEST(on_one_bridge)
{
    struct cfg_vif a = vif("net0", ""), b = vif("xenbr0", "net0"), c = vif("xenbr1", ""),
                   d = vif("net1", ""), none = vif("xenbr9", "");

    assert_true(vifs_meet(&a, &b));
    assert_true(vifs_meet(&d, &d));
    assert_false(vifs_meet(&a, &c));
    assert_false(vifs_meet(&a, &d));
    assert_false(vifs_meet(&none, &none));
}

/* By name, each time: the domain of a later life may have others. */
TEST(in_the_slot_table)
{
    struct dom_dev v = { .kind = DEV_VIF, .back = 4 };
    struct errbuf e = { "" };

    net0->slots_gpa = 0x1000;
    guest->cfg.nr_vifs = 1;
    guest->cfg.vif[0] = vif("inside", "net0");
    guest->cfg.vif[0].slot.vlan = 7;
    assert_int_equal(slot_attach(guest, &v, &e), 0);
    assert_int_equal(net0->slots[0].vif.bridge, 2);
    assert_int_equal(net0->slots[0].vif.vlan, 7);
    slot_remove(guest, &v);
    net0->cfg.bridge[0] = net0->cfg.bridge[2];
    assert_int_equal(slot_attach(guest, &v, &e), 0);
    assert_int_equal(net0->slots[0].vif.bridge, 0);
    slot_remove(guest, &v);
    net0->cfg.nr_bridges = 0;
    assert_int_equal(slot_attach(guest, &v, &e), -ENOENT);
    assert_string_equal(e.s, "debian: net0 has no bridge inside any more");
    assert_false(slot_live(&net0->slots[0]));
}

TEST(on_its_command_line)
{
    char text[BRIDGES_WORD], *name = net0->cfg.bridge[2].name;

    bridges_word(&net1->cfg, text, sizeof(text));
    assert_string_equal(text, "");
    bridges_word(&net0->cfg, text, sizeof(text));
    assert_string_equal(text, " bridges=xenbr0@18,xenbr1@100020,inside");
    bridge(net0, "", 0);
    for (unsigned i = 0; i < SLOT_BRIDGES; i++) {
        struct cfg_bridge *b = &net0->cfg.bridge[i];
        memset(b->name, 'a', BH_NAME_LEN - 1);
        b->name[BH_NAME_LEN - 1] = '\0';
        b->wire = true;
        b->sbdf = 0xffffffff;
    }
    bridges_word(&net0->cfg, text, sizeof(text));
    assert_int_equal(strlen(text), strlen(" bridges=") + SLOT_BRIDGES * (BH_NAME_LEN - 1 + 9) + 3);
    assert_non_null(strstr(text, name));
}

/* A device that nothing will use is told. */
TEST(on_no_bridge)
{
    struct errbuf e = { "" };

    for (unsigned i = 0; i < ARRAY_SIZE(nics); i++) {
        nics[i].state = BH_PCI_ASSIGNABLE;
        said[0] = '\0';
        assert_int_equal(pci_attach(net0, nics[i].sbdf, &e), 0);
        assert_string_equal(said, i < 2 ? "" : "net0: 0010:00:05.0 is on no bridge: nothing uses it");
    }
    for (unsigned i = 0; i < ARRAY_SIZE(nics); i++) /* one without the word uses its first */
        nics[i].state = BH_PCI_ASSIGNABLE;
    said[0] = '\0';
    assert_int_equal(pci_attach(net1, nics[1].sbdf, &e), 0);
    assert_string_equal(said, "");
    assert_int_equal(pci_attach(net1, nics[0].sbdf, &e), 0);
    assert_string_equal(said, "net1: of its devices only 0000:00:03.0 is used: bridges= has more");
}

TEST(names_once)
{
    struct domcfg c = { .name = "xenbr1" };
    struct errbuf e = { "" };

    assert_int_equal(bridges_check(&c, &e), -EEXIST);
    assert_string_equal(e.s, "xenbr1: is the name of a bridge of net0");
    strcpy(c.name, "net2");
    c.nr_bridges = 2;
    strcpy(c.bridge[0].name, "net2"); /* its own, and another domain's bridge */
    strcpy(c.bridge[1].name, "xenbr1");
    assert_int_equal(bridges_check(&c, &e), 0);
    strcpy(c.bridge[1].name, "debian");
    assert_int_equal(bridges_check(&c, &e), -EEXIST);
    assert_string_equal(e.s, "net2: bridges: debian is the name of a domain");
    strcpy(c.bridge[1].name, "control");
    assert_int_equal(bridges_check(&c, &e), -EEXIST);
}
