/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/ctl_machine.c ctl-dom/shell/lists.c
// FLAGS: -Ictl-dom -Idomains/include -luuid -lcrypto
// What a command says while it waits for another domain, and what its Ctrl-C leaves: lists show it, a later command mends it.
#include "ctl_machine.h"
#include <errno.h>
#include <sanitizer/lsan_interface.h>
#include "console/patience.h"
#include "domain/load.h"
#include "shell/lists.h"
#include "store/devices.h"
#include "store/hotplug.h"
#include "supervise/life.h"
#include "unit.h"

static struct errbuf e;

int setup(void **state)
{
    static bool booted;

    if (!booted) {        /* one instance does it all */
        __lsan_disable(); /* it is never over, and what its records point to is its own */
        machine_new();
        instance_boots();
        instance_works();
    }
    booted = true;
    m->shown[0] = '\0';
    m->ctrl_c_ns = 0;
    patience_command(true);
    return 0;
}

static void mute(const char *name, bool is) { core_by_name(name)->talks = !is; }
static void ctrl_c_in(unsigned s) { m->ctrl_c_ns = m->clock + s * NS_PER_S; }
static struct dom *web(void) { return dom_by_name("web"); }
static struct dom_dev *vif(void)
{
    for (struct dom_dev *v = web()->dev; v < web()->dev + web()->nr_devs; v++)
        if (v->kind == DEV_VIF)
            return v;
    return NULL;
}
static void listed(const char *text)
{
    m->shown[0] = '\0';
    list_stalled(web(), DEV_VBD);
    list_stalled(web(), DEV_VIF);
    assert_string_equal(m->shown, text);
    m->shown[0] = '\0';
}

/* Nothing of an attach stays, and the next one finds its place free. */
TEST(attach_given_up)
{
    mute("blk0", true);
    ctrl_c_in(3);
    assert_int_equal(disk_attach(web(), "phy:blk0:3,xvdb,w", &e), -EINTR);
    assert_string_equal(e.s, "web: disk xvdb: blk0 had not answered yet: given up");
    assert_non_null(
        strstr(m->shown,
               "web: disk xvdb: waits for blk0 to serve it, 14 s at most; Ctrl-C: waits no more\n"));
    assert_int_equal(m->ctrl_c_ns, 0); /* it is nobody else's */
    assert_null(disk_of(web(), "xvdb"));
    listed("");
    mute("blk0", false);
    assert_int_equal(disk_attach(web(), "phy:blk0:3,xvdb,w", &e), 0);
    assert_string_equal(m->shown, ""); /* in no time */
}

TEST(detach_goes_on)
{
    mute("blk0", true);
    ctrl_c_in(2);
    assert_int_equal(disk_detach(web(), disk_of(web(), "xvdb"), false, &e), -EINTR);
    assert_string_equal(
        e.s, "web: disk xvdb: is being closed, but the guest still has it (--force does not wait)");
    assert_string_equal(
        m->shown,
        "web: disk xvdb: waits for its front-end, then blk0 to close it, 9 s at most; Ctrl-C: waits no more\n");
    listed(
        "web: disk xvdb is being closed: block-detach web xvdb waits for that again, with --force it is taken away\n");
    assert_int_equal(disk_detach(web(), disk_of(web(), "xvdb"), false, &e), -ETIME);
    mute("blk0", false);
    assert_int_equal(disk_detach(web(), disk_of(web(), "xvdb"), false, &e), 0);
    assert_null(disk_of(web(), "xvdb"));
    listed("");
}

TEST(vif_detach_goes_on)
{
    char spec[] = "bridge=net0";

    mute("net0", true);
    ctrl_c_in(2);
    assert_int_equal(vif_detach(web(), vif(), &e), -EINTR);
    assert_string_equal(m->shown,
                        "web: vif 0: waits for net0 to close it, 9 s at most; Ctrl-C: waits no more\n");
    listed("web: vif 0 is being closed: network-detach web 0 waits for that again\n");
    mute("net0", false);
    assert_int_equal(vif_detach(web(), vif(), &e), 0);
    assert_null(vif());
    mute("net0", true);
    ctrl_c_in(1);
    assert_int_equal(vif_attach(web(), spec, &e), -EINTR);
    assert_null(vif());
    mute("net0", false);
}

/* Not even its domain is there. */
TEST(create_given_up)
{
    static struct domcfg cfg;
    struct dom *d;

    mute("blk0", true);
    ctrl_c_in(2);
    assert_int_equal(config_load(&cfg, "hand", &e), 0);
    assert_int_equal(dom_create(&cfg, false, &d, &e), -EINTR);
    assert_string_equal(e.s, "hand: disk xvda: blk0 had not answered yet: given up");
    assert_null(dom_by_name("hand"));
    assert_null(core_by_name("hand"));
    mute("blk0", false);
    assert_int_equal(dom_create(&cfg, false, &d, &e), 0);
}

/* Its devices are shown before its first instruction, or a line says that they are not; it starts all the same. */
TEST(create_with_a_device)
{
    static struct domcfg cfg;
    struct dom *d;

    assert_int_equal(config_load(&cfg, "hand", &e), 0);
    strcpy(cfg.name, "own");
    cfg.nr_disks = cfg.nr_vifs = 0;
    cfg.nr_pci = 1;
    cfg.pci[0] = 0x20;
    mute("pciback", true);
    assert_int_equal(dom_create(&cfg, false, &d, &e), 0);
    assert_non_null(strstr(m->shown, "own: waits for pciback"));
    assert_non_null(strstr(m->said, "own: pciback does not answer: it starts"));
    assert_int_equal(core_by_id(d->id)->state, BH_DOM_RUNNING);
    assert_int_equal(dom_destroy(d, &e), 0);
    mute("pciback", false);
    m->shown[0] = m->said[0] = '\0';
    assert_int_equal(dom_create(&cfg, false, &d, &e), 0);
    assert_string_equal(m->shown, "");
    assert_string_equal(m->said, "");
    assert_int_equal(dom_destroy(d, &e), 0);
}

/* No command: the wait is as long as ever, and what is typed is left to whoever reads it. */
TEST(nobody_is_asked)
{
    mute("blk0", true);
    patience_command(false);
    ctrl_c_in(2);
    assert_int_equal(disk_attach(web(), "phy:blk0:3,xvdb,w", &e), -ETIME);
    assert_string_equal(m->shown, "");
    assert_true(m->ctrl_c_ns != 0);
    mute("blk0", false);
}

/* How long an attach takes that blk0 serves so many seconds late. */
static uint64_t late(unsigned s, int rc)
{
    uint64_t began = m->clock;

    core_by_name("blk0")->serves_from = began + s * NS_PER_S;
    assert_int_equal(disk_attach(web(), "phy:blk0:3,xvdb,w", &e), rc);
    uint64_t took = m->clock - began;
    core_by_name("blk0")->serves_from = 0;
    if (!rc)
        assert_int_equal(disk_detach(web(), disk_of(web(), "xvdb"), false, &e), 0);
    return took;
}

/* A back-end that answers at the last moment, each time, is waited for once; then a third of that at each device, and more again after a while.
 * That it does not answer in what is left does not make it silent, before it was waited for in vain for all its time. */
TEST(always_slow)
{
    patience_command(false);
    m->clock += 600 * NS_PER_S; /* of what others did here */
    assert_in_range(late(0, 0), 0, NS_PER_S);
    assert_in_range(late(14, 0), 14 * NS_PER_S, 15 * NS_PER_S);
    assert_in_range(late(4, 0), 4 * NS_PER_S, 5 * NS_PER_S); /* which is nothing */
    assert_in_range(late(14, -ETIME), 5 * NS_PER_S,
                    11 * NS_PER_S); /* of 15 s 9 are gone, and 3 are its removal */
    assert_string_equal(e.s, "web: disk xvdb: blk0 does not answer");
    assert_in_range(late(4, 0), 4 * NS_PER_S, 5 * NS_PER_S);
    for (unsigned i = 0; i < 3; i++) {
        assert_in_range(late(14, -ETIME), 5 * NS_PER_S, 11 * NS_PER_S);
        assert_string_equal(e.s, "web: disk xvdb: blk0 does not answer");
    }
    assert_in_range(late(14, -ETIME), NS_PER_S, 3 * NS_PER_S); /* three times five */
    assert_string_equal(e.s, "web: disk xvdb: blk0 still does not answer");
    m->clock += 200 * NS_PER_S; /* whether or not it said something */
    assert_in_range(late(14, 0), 14 * NS_PER_S, 15 * NS_PER_S);
}
