/* SPDX-License-Identifier: MIT */
/*
 * One domain from its configuration, in the order create, memory, program, rings, entry, devices, store, console, unpause.
 * Everything before the unpause is undone by ending the domain, which the core does whatever state it is in; the nodes in the store
 * go with it. From the unpause on nothing of the domain's memory can be reached from here.
 */
#include "supervise/life.h"
#include <errno.h>
#include <string.h>
#include "console/console.h"
#include "domain/bridge.h"
#include "domain/build.h"
#include "domain/identity.h"
#include "domain/load.h"
#include "domain/pci.h"
#include "domain/records.h"
#include "domain/scheduling.h"
#include "domain/start_info.h"
#include "job/job.h"
#include "store/devices.h"
#include "store/linux_life.h"
#include "store/pci_guest.h"
#include "store/store.h"
#include "supervise/dying.h"
#include "supervise/supervisor.h"
#include "supervise/update.h"
#include "supervise/waiting.h"

#define CLOCK_WAIT_NS 3000000000ull

static int attach_devices(struct dom *d, bool lenient, struct errbuf *e)
{
    unsigned kept = 0;
    int rc = pci_expand(&d->cfg, e);

    if (rc)
        return rc;
    for (unsigned i = 0; i < d->cfg.nr_pci; i++) {
        rc = pci_attach(d, d->cfg.pci[i], e);
        if (rc && !lenient)
            return rc;
        if (rc) {
            say("%s; it starts without", e->s);
            snprintf(d->without, sizeof(d->without), "%s",
                     e->s + strlen(d->cfg.name) + 2); /* less "NAME: " */
        } else
            d->cfg.pci[kept++] = d->cfg.pci[i];
    }
    d->cfg.nr_pci = kept;
    return 0;
}

/* The machine's clock counts seconds, and the core may not have seen one begin since it started. A guest takes its time from it once. */
static void wait_clock(void)
{
    static bool exact;
    static struct bh_sysinfo si;

    for (uint64_t end = now_ns() + CLOCK_WAIT_NS; !exact && now_ns() < end;
         job_wait(now_ns() + 10000000))
        exact = bh_ctl_sysinfo(&si) || si.features & BH_SYS_CLOCK;
    exact = true;
}

static int connect_and_start(struct dom *d, bool paused, struct errbuf *e)
{
    struct bh_domid id = { .domid = d->id };
    int rc = 0;

    if (d->cfg.role != BH_ROLE_STORE) {
        rc = store_add_domain(d, e);
        d->introduced = !rc; /* before it is: else nobody would take it back */
        if (!rc && (rc = store_introduce(d)))
            fail(e, rc, "%s: the store refuses it: %s", d->cfg.name, errno_text(rc));
    }
    if (!rc)
        rc = domcon_connect(d, e);
    if (!rc)
        rc = wait_backends(d, e);
    if (rc)
        return rc;
    store_pci_shown(d);
    if (d->cfg.role == BH_ROLE_GUEST)
        wait_clock();
    if (d->cfg.role == BH_ROLE_DRIVER)
        devs_driver_up(d); /* before it is: whoever follows us finds it written down */
    supervisor_watch(d);
    long urc = paused ? bh_ctl_pause(&id) : 0; /* it stays in force over the start */
    if (!urc)
        urc = bh_ctl_unpause(&id);
    if (urc)
        return fail(e, (int)urc, "%s: does not start: %s", d->cfg.name, errno_text((int)urc));
    if (may_serve(d)) {
        linux_look();
        waiting_look();
    }
    return 0;
}

static int check(const struct domcfg *cfg, const struct svc_image **img, struct errbuf *e)
{
    struct dom *other = dom_by_name(cfg->name);

    if (other || !strcmp(cfg->name, "control"))
        return fail(e, -EEXIST, "%s: exists already, domain %u", cfg->name, other ? other->id : 0);
    if (cfg->role != BH_ROLE_STORE && !store_up)
        return fail(e, -EIO, "%s: cannot be created, the store is not running", cfg->name);
    /* A domid or a UUID of one that ended must not be taken from the next. */
    if (cfg->role != BH_ROLE_STORE && !dying_leave())
        return fail(e, -EIO, "%s: cannot be created, the store does not answer", cfg->name);
    if (cfg->image[0] && !(*img = svc_image_get(cfg->image, e))) {
        struct errbuf why = *e;
        return fail(e, -ENOENT, "%s: %.200s", cfg->name, why.s);
    }
    /* The last record stays free: for the next life of a guest, which waits meanwhile. */
    if (record_left() < (waiting_find(cfg->name) ? 1 : 2))
        return fail(e, -ENOSPC,
                    "%s: the control domain has no room for another domain (ctl_mem= sets its size)",
                    cfg->name);
    int rc = identity_check(cfg, e);
    if (!rc)
        rc = bridges_check(cfg, e);
    return rc;
}

int dom_would(const struct domcfg *cfg, struct errbuf *e)
{
    const struct svc_image *img = NULL;
    static struct domcfg c;
    int rc = check(cfg, &img, e);

    c = *cfg;
    if (!rc)
        rc = build_files(cfg, e);
    if (!rc)
        rc = build_room(cfg, e);
    if (!rc)
        rc = devs_served(cfg, e);
    if (!rc)
        rc = pci_expand(&c, e);
    for (unsigned i = 0; i < c.nr_pci && !rc; i++)
        rc = pci_could(&c, c.pci[i], e);
    return rc;
}

static int create(const struct domcfg *cfg, bool lenient, bool paused, struct dom **out,
                  struct errbuf *e)
{
    const struct svc_image *img = NULL;
    struct bh_entry entry = { .ebx = BH_SVC_BOOT };
    struct errbuf ignored;
    struct dom *d;
    int rc = check(cfg, &img, e);

    if (!rc)
        rc = build_begin(cfg, &d, e);
    if (rc)
        return rc;
    d->img = img;
    entry.domid = d->id;
    entry.eip = img ? img->entry : 0;
    if (cfg->role == BH_ROLE_STORE)
        rc = store_prepare(d, e);
    if (!rc)
        rc = img ? build_service(d, e) : build_guest(d, &entry, e);
    if (!rc) /* after its memory is there: assigning puts that into the IOMMU's table */
        rc = attach_devices(d, lenient, e);
    if (!rc)
        rc = build_rings(d, e);
    if (!rc && (rc = (int)bh_ctl_set_entry(&entry)))
        fail(e, rc, "%s: entry: %s", cfg->name, errno_text(rc));
    if (!rc)
        rc = scheduling_begin(d, e);
    if (!rc)
        rc = connect_and_start(d, paused, e);
    if (!rc) {
        waiting_forget(d->cfg.name); /* it waits no more, also when this one is gone */
        *out = d;
        return 0;
    }
    dom_destroy(d, &ignored);
    return rc;
}

int dom_create(const struct domcfg *cfg, bool lenient, struct dom **out, struct errbuf *e)
{
    return create(cfg, lenient, false, out, e);
}

int dom_create_paused(const struct domcfg *cfg, struct dom **out, struct errbuf *e)
{
    return create(cfg, false, true, out, e);
}

int dom_destroy(struct dom *d, struct errbuf *e)
{
    struct bh_domid id = { .domid = d->id };

    d->ending = true; /* from here on the next instance of ours ends it, too */
    d->state = state_after(d->state, EV_ENDED); /* nobody brings it back meanwhile */
    d->introduce = false;
    domcon_drain(d);
    /* First it stops; then the others let go of its pages; its name is free at once, its frames
     * when the last one did. */
    bh_ctl_pause(&id);
    pci_detach_all(d);
    domcon_disconnect(d);
    dying_follow(d->id);
    long rc = bh_ctl_destroy(&id);
    if (rc)
        fail(e, (int)rc, "%s: %s", d->cfg.name, errno_text((int)rc));
    if (!store_remove_domain(d))
        dying_unnamed(d->id);
    update_forget(d);
    dom_forget(d);
    return (int)rc;
}
