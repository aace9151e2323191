/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/ctl_machine.c
// FLAGS: -Ictl-dom -Idomains/include -luuid -lcrypto
// A guest that is kept as it ended has no devices: they do not write into its memory while somebody looks at it, and others may have them.
#include "ctl_machine.h"
#include <errno.h>
#include <sanitizer/lsan_interface.h>
#include <xen/sched.h>
#include "domain/load.h"
#include "supervise/life.h"
#include "supervise/plug.h"
#include "unit.h"

enum { DEVICE = 0x20 }; /* the machine's second */

static struct dom *with_device(const char *name)
{
    static struct domcfg cfg;
    struct errbuf e;
    struct dom *d;

    assert_int_equal(config_load(&cfg, name, &e), 0);
    cfg.on_crash = cfg.on_poweroff = ACTION_PRESERVE;
    cfg.nr_pci = 1;
    cfg.pci[0] = DEVICE;
    assert_int_equal(dom_create(&cfg, false, &d, &e), 0);
    assert_int_equal(m->device_of[1], d->id);
    return d;
}

static bool in_store(const struct dom *d)
{
    char path[80];

    snprintf(path, sizeof(path), "/local/domain/%u/backend/pci/%u/0/num_devs", BH_DOMID_PCIBACK,
             d->id);
    bool there = store_value(path);
    snprintf(path, sizeof(path), "/local/domain/%u/device/pci/0/backend", d->id);
    assert_int_equal(store_value(path) != NULL, there);
    return there;
}

static void ends(struct dom *d, unsigned state, unsigned reason)
{
    struct errbuf e;
    uint32_t sbdf = DEVICE;

    assert_true(in_store(d));
    m->clock += 90 * NS_PER_S;
    core_by_id(d->id)->state = (uint8_t)state;
    core_by_id(d->id)->reason = reason;
    m->changed = true;
    instance_works();
    assert_int_equal(d->state, DOM_OVER);
    assert_non_null(core_by_id(d->id)); /* it is there */
    assert_int_equal(m->device_of[1], BH_DOMID_NONE);
    assert_int_equal(d->cfg.nr_pci, 0); /* nobody lists it with one */
    assert_false(in_store(d));
    assert_int_equal(pci_plug(d, &sbdf, 1, &e), -EPERM); /* nor is it given one now */
    assert_int_equal(m->device_of[1], BH_DOMID_NONE);
}

TEST(kept_without_devices)
{
    struct errbuf e;

    __lsan_disable(); /* it is never over, and what its records point to is its own */
    machine_new();
    instance_boots();
    instance_works();
    struct dom *d = with_device("hand");
    ends(d, BH_DOM_CRASHED, 0);
    struct dom *next = with_device("netdd"); /* which may have it */
    ends(next, BH_DOM_SHUTDOWN, SHUTDOWN_poweroff);
    assert_int_equal(dom_destroy(d, &e), 0);
    assert_int_equal(dom_destroy(next, &e), 0);
    instance_works();
}
