/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/ctl_machine.c ctl-dom/shell/memory.c
// FLAGS: -fno-sanitize=address -Ictl-dom -Idomains/include -luuid -lcrypto
/*
 * The control domain dies before and after each hypercall and each call of the store that a command makes, or at each store to its records, and the next instance finishes
 * what it did or undoes it: each domain is there with all that belongs to it, or nothing of it is; and all commands work. Then it dies once
 * more while it adopts.
 */
#include "ctl_machine.h"
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/io/xenbus.h>
#include <xen/sched.h>
#include "domain/build.h"
#include "domain/load.h"
#include "domain/records.h"
#include "domain/slots.h"
#include "job/job.h"
#include "run_command.h"
#include "shell/follow.h"
#include "store/devices.h"
#include "store/hotplug.h"
#include "store/store.h"
#include "supervise/guests.h"
#include "supervise/life.h"
#include "supervise/plug.h"
#include "supervise/supervisor.h"
#include "supervise/update.h"
#include "supervise/upgrade.h"
#include "supervise/waiting.h"
#include "unit.h"

#define BAD(...)                                                                      \
    do {                                                                              \
        char bad[512];                                                                \
        snprintf(bad, sizeof(bad), __VA_ARGS__);                                      \
        fprintf(stderr, "%s, step %u: %s\n%s", trial_name, trial_step, bad, m->said); \
        _exit(1);                                                                     \
    } while (0)
#define NET0 4u /* its domid */
static const char *trial_name;
static unsigned trial_step;
static const char by_hand[] = "create, paused"; /* whoever typed it lets it go on */

/* --- how a domain may be ---------------------------------------------------------------------------------------------- */
enum { WHOLE = 1, GONE = 2, WAITS = 4, KEPT = 8 };
static const char *const names[] = { "store", "pciback", "blk0", "net0", "blk1",
                                     "net1",  "web",     "late", "hand", "bad" };

static unsigned at_path(const char *fmt, ...)
{
    char path[160];
    const char *v;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(path, sizeof(path), fmt, ap);
    va_end(ap);
    v = store_value(path);
    return v ? (unsigned)atoi(v) : 0;
}
static unsigned entries_of(domid_t id)
{
    unsigned n = 0;

    for (unsigned k = 0; k < MACHINE_DOMS; k++)
        for (unsigned i = 0; m->dom[k].there && i < SLOT_ENTRIES; i++)
            n += slot_live(&m->dom[k].table[i]) && m->dom[k].table[i].domid == id;
    return n;
}

static void device_whole(const struct dom *d, const struct dom_dev *v)
{
    const char *type = v->kind == DEV_VIF ? "vif" : "vbd", *name = d->cfg.name;
    struct machine_dom *b = core_by_id(v->back);
    unsigned n = 0;

    if (!b && v->replug) /* its driver domain was half made, and is gone: with the next one */
        return;
    if (v->plugging || v->replug)
        BAD("%s: %s %u: is still being plugged", name, type, v->devid);
    if (!b) /* its driver domain was destroyed */
        return;
    for (unsigned i = 0; i < SLOT_ENTRIES; i++)
        n += slot_state(&b->table[i]) == SLOT_ATTACHED && b->table[i].domid == d->id &&
             b->table[i].devid == v->devid;
    if (n != 1)
        BAD("%s: %s %u: %u slot entries", name, type, v->devid, n);
    if (at_path("/local/domain/%u/backend/%s/%u/%u/state", v->back, type, d->id, v->devid) !=
            XenbusStateConnected ||
        at_path("/local/domain/%u/device/%s/%u/state", d->id, type, v->devid) != XenbusStateConnected)
        BAD("%s: %s %u: is not connected", name, type, v->devid);
    for (unsigned i = 0; i < SLOT_ENTRIES; i++) {
        const struct slot_entry *e = &dom_by_id(b->id)->slots[i];
        if (b->table[i].head != e->head || (slot_live(e) && memcmp(e, &b->table[i], sizeof(*e)) != 0))
            BAD("%s: its copy of the slot table is another one", b->name);
    }
}

/* The core, its record and the store say the same of its devices. */
static void pci_whole(const struct dom *d)
{
    unsigned has = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(m->device_of); i++)
        has += m->device_of[i] == d->id;
    if (has != d->cfg.nr_pci ||
        has != at_path("/local/domain/%u/backend/pci/%u/0/num_devs", BH_DOMID_PCIBACK, d->id))
        BAD("%s: %u PCI devices, not %u", d->cfg.name, has, d->cfg.nr_pci);
    for (unsigned i = 0; i < has; i++)
        if (at_path("/local/domain/%u/backend/pci/%u/0/state-%u", BH_DOMID_PCIBACK, d->id, i) >=
            XenbusStateClosing)
            BAD("%s: a PCI device is hidden from it", d->cfg.name);
}

static void is_whole(const struct dom *d)
{
    struct machine_dom *c = core_by_id(d->id);
    char path[64], want[64];
    unsigned vifs = 0, disks = 0, served = 0;

    if (!c || c->state != BH_DOM_RUNNING || (c->pauses && strcmp(trial_name, by_hand) != 0))
        BAD("%s: domain %u does not run", d->cfg.name, d->id);
    if (d->state != DOM_UP || d->ending)
        BAD("%s: state %u in its record", d->cfg.name, d->state);
    if (d->cfg.role == BH_ROLE_STORE)
        return;
    if (d->cfg.role == BH_ROLE_DRIVER || d->cfg.role == BH_ROLE_GUEST)
        pci_whole(d);
    snprintf(path, sizeof(path), "/local/domain/%u/name", d->id);
    snprintf(want, sizeof(want), "%s", store_value(path) ? store_value(path) : "");
    if (strcmp(want, d->cfg.name) != 0 || !m->introduced[d->id] || !c->talks || d->introduce)
        BAD("%s: the store does not know it", d->cfg.name);
    for (unsigned i = 0; i < d->nr_devs; i++) {
        device_whole(d, &d->dev[i]);
        vifs += d->dev[i].kind == DEV_VIF;
        disks += d->dev[i].kind == DEV_VBD;
        served += core_by_id(d->dev[i].back) != NULL;
    }
    snprintf(path, sizeof(path), "/local/domain/%u/device/vif", d->id);
    snprintf(want, sizeof(want), "/local/domain/%u/device/vbd", d->id);
    if (vifs != d->cfg.nr_vifs || disks != d->cfg.nr_disks || store_below(path) != vifs ||
        store_below(want) != disks || (served == d->nr_devs && entries_of(d->id) != d->nr_devs))
        BAD("%s: %u vifs, %u disks, %u and %u in the store, %u in tables", d->cfg.name, vifs, disks,
            store_below(path), store_below(want), entries_of(d->id));
}

static unsigned state_of(const char *name)
{
    struct dom *d = dom_by_name(name);
    unsigned waits = 0;

    for (struct waiting *w = waiting; w; w = w->next)
        waits += !strcmp(w->cfg.name, name);
    if (waits + (d != NULL) > 1)
        BAD("%s: is there, and waits, or waits twice", name);
    if (d && d->state == DOM_OVER && !d->ending && core_by_id(d->id)) {
        pci_whole(d);
        if (d->cfg.nr_pci)
            BAD("%s: is kept with a device", name);
        return KEPT;
    }
    if (d)
        is_whole(d);
    return d ? WHOLE : waits ? WAITS : GONE;
}

/* Nothing of one that is not listed. */
static void nothing_else(void)
{
    unsigned id, back, listed = 0, kept = 0;

    for (unsigned i = 0; i < MACHINE_DOMS; i++)
        if (m->dom[i].there && !dom_by_id(m->dom[i].id))
            BAD("%s: domain %u is nobody's (state %u)", m->dom[i].name, m->dom[i].id,
                m->dom[i].state);
    for (unsigned i = 0; i < ARRAY_SIZE(m->introduced); i++)
        if (m->introduced[i] && !dom_by_id((domid_t)i))
            BAD("domain %u is not there, and the store was not told", i);
    for (unsigned i = 0; i < MACHINE_NODES; i++) {
        const char *p = m->node[i].path;
        if (!m->node[i].hash)
            continue;
        if (sscanf(p, "/local/domain/%u/backend/%*[a-z]/%u", &back, &id) == 2 && back &&
            (!dom_by_id((domid_t)back) || !dom_by_id((domid_t)id)))
            BAD("%s is left", p);
        else if (sscanf(p, "/local/domain/%u", &id) == 1 && id && !dom_by_id((domid_t)id))
            BAD("%s is left", p);
    }
    for (unsigned i = 0; i < MACHINE_DOMS; i++)
        for (unsigned k = 0; m->dom[i].there && k < SLOT_ENTRIES; k++)
            if (slot_live(&m->dom[i].table[k]) && !dom_by_id(m->dom[i].table[k].domid))
                BAD("%s: an entry of domain %u is left", m->dom[i].name, m->dom[i].table[k].domid);
    for (unsigned i = 0; i < ARRAY_SIZE(m->named); i++)
        if (m->named[i] && !core_by_id(i))
            BAD("domid %u stays used", i);
    if (record_next_ended(0) < DOMID_FIRST_RESERVED)
        BAD("domain %u is noted as ended", record_next_ended(0));
    for (struct dom *d = doms; d; d = d->next)
        listed++;
    for (struct waiting *w = waiting; w; w = w->next)
        listed++;
    for (void *r = record_next(NULL, RECORD_DOM); r; r = record_next(r, RECORD_DOM))
        kept++;
    for (void *r = record_next(NULL, RECORD_WAITING); r; r = record_next(r, RECORD_WAITING))
        kept++;
    if (listed != kept)
        BAD("%u records of %u", kept, listed);
    if (store_below("/vm") + 1 != store_below("/local/domain"))
        BAD("%u in /vm, %u domains", store_below("/vm"), store_below("/local/domain"));
}

/* --- commands --------------------------------------------------------------------------------------------------------- */
static int make(const char *name)
{
    static struct domcfg cfg;
    struct errbuf e;
    struct dom *d;
    int rc = config_load(&cfg, name, &e) ?: dom_create(&cfg, false, &d, &e);

    instance_works();
    return rc;
}
static void end(const char *name)
{
    struct errbuf e;

    (void)dom_destroy(dom_by_name(name), &e);
    instance_works();
}
static int attach(const char *name, const char *spec)
{
    struct errbuf e;
    int rc = disk_attach(dom_by_name(name), spec, &e);

    instance_works();
    return rc;
}
static void detach(const char *name, const char *vdev)
{
    struct dom *d = dom_by_name(name);
    struct errbuf e;

    (void)disk_detach(d, disk_of(d, vdev), false, &e);
    instance_works();
}
static void ends_after(unsigned seconds, const char *name, unsigned state, unsigned reason)
{
    struct machine_dom *d = core_by_name(name);

    m->clock += seconds * NS_PER_S;
    d->state = (uint8_t)state;
    d->reason = reason;
    d->crash_ns = m->clock;
    m->changed = true;
    instance_works();
}

static void ends_by_itself(const char *name, unsigned state, unsigned reason)
{
    ends_after(90, name, state, reason); /* it has lived long */
}

static void nothing(void) {}
static void make_hand(void) { (void)make("hand"); }
static void make_paused(void)
{
    static struct domcfg cfg;
    struct errbuf e;
    struct dom *d;
    int rc = config_load(&cfg, "hand", &e) ?: dom_create_paused(&cfg, &d, &e);

    instance_works();
    if (rc || core_by_name("hand")->pauses != 1)
        BAD("hand: not paused");
}
static void make_bad(void) { (void)make("bad"); }
static void make_blk1(void) { (void)make("blk1"); }
static void make_net0(void) { (void)make("net0"); }
static void end_web(void) { end("web"); }
static void end_net0(void) { end("net0"); }
static void attach_web(void) { (void)attach("web", "phy:blk0:3,xvdb,w"); }
static void attach_bad(void) { (void)attach("web", "phy:blk0:bad,xvdb,w"); }
static void detach_web(void) { detach("web", "xvdb"); }
static void plug_vif(const char *words, const char *says)
{
    struct errbuf e = { "" };
    char spec[64];

    snprintf(spec, sizeof(spec), "%s", words);
    if (vif_attach(dom_by_name("web"), spec, &e) && (!says || !strstr(e.s, says)))
        BAD("%s", e.s);
    instance_works();
}
static void attach_vif(void) { plug_vif("mac=00:16:3e:00:00:07,bridge=net0", NULL); }
static void detach_vif(void)
{
    struct dom *d = dom_by_name("web");
    struct errbuf e;

    for (struct dom_dev *v = d->dev; v < d->dev + d->nr_devs; v++)
        if (v->kind == DEV_VIF) {
            if (vif_detach(d, v, &e))
                BAD("%s", e.s);
            break;
        }
    instance_works();
    for (unsigned i = 0; i < d->nr_devs; i++) /* the one that stayed is the other, with its own words */
        if (d->dev[i].kind == DEV_VIF && d->cfg.vif[d->dev[i].index].mac[5] != 7)
            BAD("web: its other vif went");
}
static void pci_attach_net0(void)
{
    const uint32_t sbdf = 0x20;
    struct dom *d = dom_by_name("net0");
    struct errbuf e;

    if (pci_plug(d, &sbdf, 1, &e))
        BAD("%s", e.s);
    instance_works();
    if (d->cfg.nr_pci != 1)
        BAD("net0: has no device");
}
static void pci_attach_web(void)
{
    const uint32_t sbdf = 0x20;
    struct dom *d = dom_by_name("web");
    char had[64]; /* it had one when it started */
    struct errbuf e;

    snprintf(had, sizeof had, "/local/domain/%u/backend/pci/%u/0/num_devs", BH_DOMID_PCIBACK, d->id);
    (void)xs_write(0, had, "0");
    if (pci_plug(d, &sbdf, 1, &e))
        BAD("%s", e.s);
    instance_works();
    if (d->cfg.nr_pci != 1)
        BAD("web: has no device");
}
static void web_is_for_keeps(void)
{
    pci_attach_web();
    dom_by_name("web")->cfg.on_crash = ACTION_PRESERVE;
}
static void pci_detach_web(void)
{
    const uint32_t sbdf = 0x20;
    struct errbuf e;

    if (pci_unplug(dom_by_name("web"), &sbdf, 1, &e))
        BAD("%s", e.s);
    instance_works();
}
/* Whose guest would lose its disk keeps it. */
static void pci_detach_blk0(void)
{
    const uint32_t sbdf = 0x18;
    struct errbuf e;

    if (pci_unplug(dom_by_name("blk0"), &sbdf, 1, &e) != -EBUSY ||
        !strstr(e.s, "web has its disk xvda"))
        BAD("blk0: is not refused");
}
static void pci_detach_net0(void)
{
    const uint32_t sbdf = 0x20;
    struct dom *d = dom_by_name("net0");
    struct errbuf e;

    pci_detach_blk0();
    if (pci_unplug(d, &sbdf, 1, &e))
        BAD("%s", e.s);
    instance_works();
    if (d->cfg.nr_pci || core_by_name("net0")->state != BH_DOM_RUNNING)
        BAD("net0: has a device, or does not run");
}
static void web_reboots(void) { ends_by_itself("web", BH_DOM_SHUTDOWN, SHUTDOWN_reboot); }
static void web_reboots_soon(void)
{
    ends_after(2, "web", BH_DOM_SHUTDOWN, SHUTDOWN_reboot);
    ends_after(2, "web", BH_DOM_SHUTDOWN, SHUTDOWN_reboot);
}
static void rename_web(void)
{
    struct errbuf e;

    if (store_rename(dom_by_name("web"), "bad", &e))
        BAD("%s", e.s);
    instance_works();
}
/* The name in its record is another's for a moment, part of the old and part of the new. */
static void rename_by_halves(void)
{
    struct dom *d = dom_by_name("web");

    strcpy(d->renamed, "bad");
    wmb();
    d->renames = true;
    wmb();
    strcpy(d->cfg.name, "blk0");
    step();
    strcpy(d->cfg.name, "web");
    rename_web();
}
struct dom *command_dom(const char *name) { return dom_by_name(name); }
void follow(const struct dom *d, const struct follow *f) {}
static void resize_web(void)
{
    (void)RUN(memory_commands, "mem-set", "web", "32");
    instance_works();
}
static unsigned next_mib(void)
{
    static struct domcfg cfg;

    update_next(dom_by_name("web"), &cfg);
    return cfg.memory_mb;
}
static void update(unsigned mib)
{
    static struct domcfg cfg;
    struct errbuf e;

    cfg = dom_by_name("web")->cfg;
    cfg.memory_mb = mib;
    if (update_set(dom_by_name("web"), &cfg, &e))
        BAD("%s", e.s);
    instance_works();
}
static void update_to_48(void) { update(48); }
static void update_to_40(void) { update(40); }
static void upgrade_to(const char *image)
{
    struct dom *d = dom_by_name("net0");
    struct errbuf e;

    if (upgrade_begin(d, image, &e) || supervisor_restart(d, &e))
        BAD("%s", e.s);
    instance_works();
}
static void upgrade_net0(void) { upgrade_to("net-2"); }
static void upgrade_badly(void) { upgrade_to("net-bad"); }
static void make_net1(void) { (void)make("net1"); }
static void web_ends(void) { ends_by_itself("web", BH_DOM_SHUTDOWN, SHUTDOWN_poweroff); }
static void web_crashes(void) { ends_by_itself("web", BH_DOM_CRASHED, 0); }
static void web_kexecs(void) { ends_by_itself("web", BH_DOM_SHUTDOWN, SHUTDOWN_soft_reset); }
static void web_stays_down(void)
{
    dom_by_name("web")->cfg.on_watchdog = ACTION_DESTROY;
    dom_by_name("web")->cfg.on_soft_reset = ACTION_DESTROY;
}
static void web_hangs(void) { ends_by_itself("web", BH_DOM_SHUTDOWN, SHUTDOWN_watchdog); }
static void blk0_crashes(void) { ends_by_itself("blk0", BH_DOM_CRASHED, 0); }
/* Somebody dies before we have seen that: he is brought back, and the store hears of him when it has his front-ends' nodes again. */
static void store_begins_empty(void)
{
    struct machine_dom *d = core_by_name("blk0");

    store_empties();
    d->state = BH_DOM_CRASHED;
    d->crash_ns = m->clock;
    m->changed = true;
    job_wait(TIME_PAST);
    instance_works();
}
static void web_replugs(void)
{
    struct dom *d = dom_by_name("web");
    char path[96];

    snprintf(path, sizeof(path), "/local/domain/%u/backend/vif/%u/%u/bh-replug",
             core_by_name("net0")->id, d->id, d->dev[0].devid);
    store_set(path, "lost");
    devs_driver_found(dom_by_name("net0"));
    instance_works();
}

/* --- trials ------------------------------------------------------------------------------------------------------------- */
struct trial {
    const char *name;
    void (*before)(void), (*run)(void);
    struct {
        const char *name;
        unsigned died, done; /* how it may be then */
    } of[3];
    const char *disk;    /* of web's, that it has when all is done ... */
    const char *no_disk; /* ... or has not */
    unsigned vifs;       /* that it has then, one more */
};

static unsigned usually(const char *name)
{
    return !strcmp(name, "late") ? WAITS
           : !strcmp(name, "blk1") || !strcmp(name, "net1") || !strcmp(name, "hand") ||
                   !strcmp(name, "bad")
               ? GONE
               : WHOLE;
}
static void remember(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        struct machine_dom *d = core_by_name(names[i]);
        m->before[i].id = d ? d->id : 0;
        m->before[i].instance = d ? d->instance : 0;
        m->before[i].kernels = d ? d->kernels : 0;
    }
}
/* What web is to have is the same in its record and in the store, and not forgotten what it has at most. */
static void one_size(const struct trial *t, bool died)
{
    const struct dom *d = dom_by_name("web");
    char path[64];

    if (!d || t->run != resize_web || m->meanwhile || store_silent())
        return;
    snprintf(path, sizeof(path), "/local/domain/%u/memory/target", d->id);
    const char *target = store_value(path);
    if (!target || strtoul(target, NULL, 10) != d->cfg.memory_mb * 1024ul)
        BAD("web: its record has %u MiB, the store %s KiB", d->cfg.memory_mb, target);
    if (config_most_mb(&d->cfg) != 64 || (!died && d->cfg.memory_mb != 32))
        BAD("web: %u of %u MiB", d->cfg.memory_mb, config_most_mb(&d->cfg));
    uint64_t limit = core_by_name("web")->limit, right = build_pages(d);
    if (limit != right && (limit || d->cfg.memory_mb != 64))
        BAD("web: it may have %lu pages, not %lu", limit, right);
}

/* One of the two configurations whole, never that before them; the next life has it, and the life after that, too. */
static void one_next(const struct trial *t, bool died)
{
    const struct dom *d = dom_by_name("web");

    if (!d || m->meanwhile || t->before != update_to_48)
        return;
    if (t->run == update_to_40 && next_mib() != 40 && (!died || next_mib() != 48))
        BAD("web: starts again with %u MiB", next_mib());
    if (t->run == update_to_40 && d->cfg.memory_mb != 64)
        BAD("web: has %u MiB", d->cfg.memory_mb);
    if (t->run == web_reboots && (d->cfg.memory_mb != 48 || next_mib() != 48))
        BAD("web: has %u MiB, then %u", d->cfg.memory_mb, next_mib());
}

/* The new image or the old one, as the record says, and no half of an upgrade is left; one that does not come up never stays. */
static void one_image(const struct trial *t, bool died)
{
    const struct dom *d = dom_by_name("net0");

    if (!d || (t->run != upgrade_net0 && t->run != upgrade_badly))
        return;
    const char *good = t->run == upgrade_net0 ? "net-2" : "net";
    if (strcmp(upgrade_image(d), d->img->name) != 0 || d->upgrade)
        BAD("net0: is built of %s, its record has %s", d->img->name, upgrade_image(d));
    if (strcmp(d->img->name, good) != 0 && (!died || strcmp(d->img->name, "net") != 0))
        BAD("net0: runs %s", d->img->name);
}

static void look(const struct trial *t, bool died)
{
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        unsigned may = usually(names[i]), is = state_of(names[i]);
        bool touched = false;
        for (unsigned k = 0; k < ARRAY_SIZE(t->of) && t->of[k].name; k++)
            if (!strcmp(t->of[k].name, names[i])) {
                may = died ? t->of[k].died : t->of[k].done;
                touched = true;
            }
        if (m->meanwhile && !dom_by_name("net0") && !strcmp(names[i], "web"))
            may |= WAITS; /* it rebooted, and its driver domain is not there */
        if (!(is & may))
            BAD("%s: is %u, not %u", names[i], is, may);
        struct machine_dom *d = core_by_name(names[i]);
        if (!touched && d && t->run != nothing && !m->meanwhile &&
            (m->before[i].id != d->id || m->before[i].instance != d->instance ||
             m->before[i].kernels != d->kernels))
            BAD("%s: was touched", names[i]);
    }
    nothing_else();
    if ((t->run == rename_web || t->run == rename_by_halves) && !m->meanwhile &&
        !dom_by_name("web") == !dom_by_name("bad"))
        BAD("web: has no name, or two");
    if (dom_by_name("web") && !disk_of(dom_by_name("web"), "xvda"))
        BAD("web: its disk is gone");
    one_size(t, died);
    one_next(t, died);
    one_image(t, died);
    if (!died && t->disk && !disk_of(dom_by_name("web"), t->disk))
        BAD("web: has no %s", t->disk);
    if (!died && t->no_disk && disk_of(dom_by_name("web"), t->no_disk))
        BAD("web: has %s still", t->no_disk);
    if (!died && t->vifs && dom_by_name("web")->cfg.nr_vifs != t->vifs - 1)
        BAD("web: has %u vifs", dom_by_name("web")->cfg.nr_vifs);
}

/* A slot has the name of its first domain for ever, or the vifs of a guest would become another one's. */
static void net1_has_its_slot(void)
{
    if (core_by_name("net1")->id == NET0)
        BAD("net1: has the slot of net0");
}
/* All commands do what they do. */
static void all_works(void)
{
    struct errbuf e;

    if (dom_by_name("bad") && store_rename(dom_by_name("bad"), "web", &e))
        BAD("%s", e.s);
    if (!dom_by_name("net1") && make("net1"))
        BAD("net1: is not created");
    net1_has_its_slot();
    end("net1");
    if (!dom_by_name("net0") && make("net0"))
        BAD("net0: is not created again");
    if (dom_by_name("web") && dom_by_name("web")->state == DOM_OVER)
        end("web");
    if (!dom_by_name("web") && make("web"))
        BAD("web: is not created again");
    if (!dom_by_name("hand") && make("hand"))
        BAD("hand: is not created");
    if (attach("hand", "phy:blk0:4,xvdc,w"))
        BAD("hand: gets no disk");
    (void)state_of("hand");
    detach("hand", "xvdc");
    if (state_of("hand") != WHOLE || disk_of(dom_by_name("hand"), "xvdc"))
        BAD("hand: keeps its disk");
    end("hand");
    if (!make("bad"))
        BAD("bad: is there");
    if (!dom_by_name("blk1") && make("blk1"))
        BAD("blk1: is not created");
    if (state_of("late") != WHOLE || state_of("hand") != GONE || state_of("bad") != GONE ||
        state_of("web") != WHOLE)
        BAD("in the end one is not as it should be");
    end("late");
    end("blk1");
    nothing_else();
}

/* Runs what in a process of its own. How it ended. */
static int instance(void (*what)(const struct trial *t), const struct trial *t, long left)
{
    int status;
    pid_t pid;

    m->counts = false;
    m->left = left;
    m->steps = 0;
    fflush(NULL);
    pid = fork();
    if (!pid) {
        alarm(100);
        what(t);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) && WEXITSTATUS(status) != DIED)) {
        print_error("%s, step %u: %s\n", t->name, trial_step, WIFEXITED(status) ? "" : "a signal");
        fail_msg("%s", t->name);
    }
    return WEXITSTATUS(status);
}
static void first(const struct trial *t)
{
    counts(t->run == nothing); /* the boot itself */
    instance_boots();
    instance_works();
    if (t->before)
        t->before();
    if (t->run != nothing) {
        remember();
        m->steps = 0;
        counts(true);
    }
    t->run();
    counts(false);
    look(t, false);
}
static void adopts(const struct trial *t)
{
    counts(true);
    instance_boots();
    instance_works();
    counts(false);
    look(t, true);
}
static void adopts_and_works(const struct trial *t)
{
    adopts(t);
    all_works();
}

/* While there is no control domain driver domains crash, and a guest reboots. */
static void others_end(void)
{
    m->meanwhile = true;
    m->clock += 90 * NS_PER_S;
    for (unsigned i = 0; i < MACHINE_DOMS; i++) {
        struct machine_dom *d = &m->dom[i];
        bool guest = !strcmp(d->name, "web");
        if (!d->there || d->state != BH_DOM_RUNNING || (d->role != BH_ROLE_DRIVER && !guest))
            continue;
        d->state = guest ? BH_DOM_SHUTDOWN : BH_DOM_CRASHED;
        d->reason = SHUTDOWN_reboot;
        d->crash_ns = m->clock;
    }
}

/* What may be in its way: others end, too; the store says nothing for longer than the next instance waits for it; it dies at stores. */
enum { NOTHING, MEANWHILE = 1, LATE = 2, AT_STORES = 4 };
#define LATE_NS (123 * NS_PER_S)

/* Dies at each n-th of its steps; second: the next one does so, too, at each of these. */
static void deaths(const struct trial *t, unsigned stride, unsigned second, unsigned how)
{
    int died = DIED;
    unsigned n = 0;

    trial_name = t->name;
    for (; died == DIED; n += stride) {
        int next = DIED;
        for (unsigned k = second ? 0 : ~0u; next == DIED; k += second) {
            machine_new();
            m->at_stores = how & AT_STORES;
            trial_step = n;
            died = instance(first, t, n);
            if (died != DIED)
                break;
            if (how & MEANWHILE)
                others_end();
            if (how & LATE)
                m->silent_until = m->clock + LATE_NS;
            next = second ? instance(adopts, t, k) : 0;
            if (second && next != DIED)
                break;
            (void)instance(adopts_and_works, t, -1);
            assert_true(k == ~0u || k < 3000);
        }
        assert_true(n < 3000);
    }
    assert_true(stride > 1 || n > (how & AT_STORES ? 3 : t->run == update_to_40 ? 0 : 4));
}

static const struct trial trials[] = {
    { .name = "boot", .run = nothing },
    { .name = "create", .run = make_hand, .of = { { "hand", WHOLE | GONE, WHOLE } } },
    { .name = by_hand, .run = make_paused, .of = { { "hand", WHOLE | GONE, WHOLE } } },
    { .name = "create, refused", .run = make_bad, .of = { { "bad", GONE, GONE } } },
    { .name = "create of a driver domain for whom a guest waits",
      .run = make_blk1,
      .of = { { "blk1", WHOLE | GONE, WHOLE }, { "late", WHOLE | WAITS, WHOLE } } },
    { .name = "destroy", .run = end_web, .of = { { "web", WHOLE | GONE, GONE } } },
    { .name = "destroy of a driver domain", .run = end_net0, .of = { { "net0", WHOLE | GONE, GONE } } },
    { .name = "a driver domain anew",
      .before = end_net0,
      .run = make_net0,
      .of = { { "net0", WHOLE | GONE, WHOLE } } },
    { .name = "attach", .run = attach_web, .disk = "xvdb" },
    { .name = "attach, refused", .run = attach_bad, .no_disk = "xvdb" },
    { .name = "detach", .before = attach_web, .run = detach_web, .no_disk = "xvdb" },
    { .name = "attach of a vif", .run = attach_vif, .vifs = 3 },
    { .name = "detach of a vif", .run = detach_vif, .vifs = 1 },
    { .name = "detach of the first of two vifs", .before = attach_vif, .run = detach_vif, .vifs = 2 },
    { .name = "pci-attach", .run = pci_attach_net0, .of = { { "net0", WHOLE, WHOLE } } },
    { .name = "pci-detach",
      .before = pci_attach_net0,
      .run = pci_detach_net0,
      .of = { { "net0", WHOLE, WHOLE } } },
    { .name = "pci-attach to a guest", .run = pci_attach_web },
    { .name = "pci-detach of a guest", .before = pci_attach_web, .run = pci_detach_web },
    { .name = "reboot", .run = web_reboots, .of = { { "web", WHOLE, WHOLE } } },
    { .name = "reboot after a short life", .run = web_reboots_soon, .of = { { "web", WHOLE, WHOLE } } },
    { .name = "another driver domain",
      .before = end_net0,
      .run = make_net1,
      .of = { { "net0", GONE, GONE }, { "net1", WHOLE | GONE, WHOLE } } },
    { .name = "crash of a guest", .run = web_crashes, .of = { { "web", WHOLE, WHOLE } } },
    { .name = "crash of a guest that is kept",
      .before = web_is_for_keeps,
      .run = web_crashes,
      .of = { { "web", KEPT, KEPT } } },
    { .name = "power off", .run = web_ends, .of = { { "web", GONE, GONE } } },
    { .name = "rename",
      .run = rename_web,
      .of = { { "web", WHOLE | GONE, GONE }, { "bad", WHOLE | GONE, WHOLE } } },
    { .name = "rename, half done",
      .run = rename_by_halves,
      .of = { { "web", WHOLE | GONE, GONE }, { "bad", WHOLE | GONE, WHOLE } } },
    { .name = "mem-set", .run = resize_web },
    { .name = "config-update", .before = update_to_48, .run = update_to_40 },
    { .name = "reboot as another",
      .before = update_to_48,
      .run = web_reboots,
      .of = { { "web", WHOLE, WHOLE } } },
    { .name = "upgrade", .run = upgrade_net0, .of = { { "net0", WHOLE, WHOLE } } },
    { .name = "upgrade to what does not come up",
      .run = upgrade_badly,
      .of = { { "net0", WHOLE, WHOLE } } },
    { .name = "kexec", .run = web_kexecs, .of = { { "web", WHOLE, WHOLE } } },
    { .name = "kexec that is not wanted",
      .before = web_stays_down,
      .run = web_kexecs,
      .of = { { "web", GONE, GONE } } },
    { .name = "watchdog that ends it",
      .before = web_stays_down,
      .run = web_hangs,
      .of = { { "web", GONE, GONE } } },
    { .name = "crash of a driver domain", .run = blk0_crashes, .of = { { "blk0", WHOLE, WHOLE } } },
    { .name = "replug", .run = web_replugs },
    { .name = "a store that begins empty",
      .run = store_begins_empty,
      .of = { { "pciback", WHOLE, WHOLE }, { "blk0", WHOLE, WHOLE }, { "net0", WHOLE, WHOLE } } },
};

TEST(one_death)
{
    for (unsigned i = 0; i < ARRAY_SIZE(trials); i++)
        deaths(&trials[i], 1, 0, NOTHING);
}
TEST(two_deaths)
{
    for (unsigned i = 0; i < ARRAY_SIZE(trials); i++)
        deaths(&trials[i], 23, 19, NOTHING);
}
TEST(others_end_too)
{
    for (unsigned i = 0; i < ARRAY_SIZE(trials); i++)
        deaths(&trials[i], 5, 0, MEANWHILE);
}
/* The next instance goes on without the store, which has what was half done and half ended. */
TEST(store_comes_late)
{
    for (unsigned i = 0; i < ARRAY_SIZE(trials); i++)
        /* A boot ends without it, and the next kernel of a kexec has what it can have. */
        if (trials[i].run != nothing && trials[i].run != web_kexecs)
            deaths(&trials[i], 4, 0, LATE);
}
/* Between two stores to its records, not only between two calls. */
TEST(death_at_each_store)
{
    for (unsigned i = 0; i < ARRAY_SIZE(trials); i++)
        deaths(&trials[i], 1, 0, AT_STORES);
}
TEST(two_deaths_at_stores)
{
    for (unsigned i = 0; i < ARRAY_SIZE(trials); i++)
        deaths(&trials[i], 31, 29, AT_STORES);
}

/* --- another image, refused ---------------------------------------------------------------------------------------------- */
static void refused_images(const struct trial *t)
{
    static const char *const refused[][3] = {
        { "web", "kernel", "only service domains are built anew in place" },
        { "net0", "blk", "'blk' is no image of its kind: those are called net, or net-..." },
        { "net0", "network", "is no image of its kind" },
        { "net0", "", "is no image of its kind" },
        { "net0", "net-3", "image 'net-3' is not in the bundle" },
        { "net0", "net-big", "image 'net-big' does not fit into 16 MiB" },
    };
    struct errbuf e;

    (void)t;
    instance_boots();
    instance_works();
    for (unsigned i = 0; i < ARRAY_SIZE(refused); i++)
        if (!upgrade_begin(dom_by_name(refused[i][0]), refused[i][1], &e) ||
            !strstr(e.s, refused[i][2]))
            BAD("%s %s: %s", refused[i][0], refused[i][1], e.s);
    if (strcmp(upgrade_image(dom_by_name("net0")), "net") != 0)
        BAD("net0: is another");
    upgrade_badly();
    if (!strstr(m->said, "net0: image net-bad does not come up: net again\n"))
        BAD("it is not said");
    upgrade_net0(); /* the next one has its turn all the same */
    if (!strstr(m->said, "net0: runs image net-2\n") || !driver_by_name("net0", "net"))
        BAD("it is not said, or no net driver domain any more");
}

TEST(images_refused)
{
    static const struct trial t = { .name = "images" };

    trial_name = t.name;
    machine_new();
    assert_int_equal(instance(refused_images, &t, -1), 0);
}

/* --- the first boot ------------------------------------------------------------------------------------------------------ */
static void boots_late(const struct trial *t)
{
    (void)t;
    instance_boots();
    instance_works();
    if (!dom_by_name("net0") || state_of("web") != WHOLE)
        BAD("not all has started");
}

TEST(a_store_that_is_slow_to_come)
{
    static const struct trial t = { .name = "a slow store" };

    trial_name = t.name;
    machine_new();
    m->silent_until = m->clock + 40 * NS_PER_S;
    assert_int_equal(instance(boots_late, &t, -1), 0);
}

/* --- nothing is made ---------------------------------------------------------------------------------------------------- */
static void would(const struct trial *t)
{
    static struct machine before;
    struct domcfg cfg;
    struct errbuf e;

    (void)t;
    instance_boots();
    instance_works();
    memcpy(&before, m, sizeof(before));
    if (config_load(&cfg, "hand", &e) || dom_would(&cfg, &e))
        BAD("hand: could not be made: %s", e.s);
    if (config_load(&cfg, "web", &e) || dom_would(&cfg, &e) != -EEXIST)
        BAD("web: is there already, or: %s", e.s);
    if (config_load(&cfg, "late", &e) || dom_would(&cfg, &e) != -ENOENT ||
        !strstr(e.s, "no block driver domain blk1"))
        BAD("late: has a disk, or: %s", e.s);
    if (memcmp(before.dom, m->dom, sizeof(m->dom)) || memcmp(before.node, m->node, sizeof(m->node)) ||
        memcmp(before.keep, m->keep, sizeof(m->keep)))
        BAD("something was made");
}

TEST(what_would_be_made)
{
    static const struct trial t = { .name = "dry run" };

    trial_name = t.name;
    machine_new();
    assert_int_equal(instance(would, &t, -1), 0);
}

/* --- nothing is plugged ------------------------------------------------------------------------------------------------- */
static void refused_vifs(const struct trial *t)
{
    static const char *const words[][2] = { { "bridge=nowhere", "nowhere" },
                                            { "colour=red", "colour" },
                                            { "mac=01:00:00:00:00:01", "of a group" },
                                            { "mac=00:16:3e:00:00:07",
                                              "the address 00:16:3e:00:00:07" } };

    (void)t;
    instance_boots();
    instance_works();
    attach_vif();
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        plug_vif(words[i][0], words[i][1]);
    if (dom_by_name("web")->cfg.nr_vifs != 2 || state_of("web") != WHOLE)
        BAD("web: one was plugged");
    for (unsigned i = 2; i < CFG_MAX_VIFS; i++)
        plug_vif("", NULL);
    plug_vif("", "vif: more than 16");
    if (dom_by_name("web")->cfg.nr_vifs != CFG_MAX_VIFS || state_of("web") != WHOLE)
        BAD("web: not all were plugged");
}

TEST(vifs_that_are_refused)
{
    static const struct trial t = { .name = "vifs refused" };

    trial_name = t.name;
    machine_new();
    assert_int_equal(instance(refused_vifs, &t, -1), 0);
}

/* A detach that its driver domain did not answer: the next instance of that does not bring the interface back. */
static void leaves(const struct trial *t)
{
    (void)t;
    instance_boots();
    instance_works();
    struct dom *d = dom_by_name("web");
    unsigned devid = d->dev[0].devid;
    d->cfg.vif[d->dev[0].index].leaving = true;
    devs_driver_up(dom_by_name("net0"));
    web_replugs();
    if (d->dev[0].devid != devid)
        BAD("web: its vif is plugged again");
    detach_vif();
    if (d->cfg.nr_vifs || state_of("web") != WHOLE)
        BAD("web: has a vif yet");
}

TEST(a_vif_that_leaves)
{
    static const struct trial t = { .name = "a vif that leaves" };

    trial_name = t.name;
    machine_new();
    assert_int_equal(instance(leaves, &t, -1), 0);
}

/* --- records that somebody wrote to ------------------------------------------------------------------------------------- */
static void damaged(const struct trial *t)
{
    static struct domcfg c = { .name = "a", .nr_disks = CFG_MAX_DISKS + 1 };
    struct errbuf e;

    (void)t;
    instance_boots();
    instance_works();
    if (!waiting_add(&c, NULL, "") || update_set(dom_by_name("web"), &c, &e))
        BAD("no room");
    waiting = NULL;
    waiting_find_all();
    update_find_all();
    for (struct waiting *w = waiting; w; w = w->next)
        if (!strcmp(w->cfg.name, "a"))
            BAD("it waits, with %u disks", w->cfg.nr_disks);
    if (record_next(NULL, RECORD_UPDATE))
        BAD("web: is to have %u disks", c.nr_disks);
}

TEST(damaged_records)
{
    static const struct trial t = { .name = "damaged records" };

    trial_name = t.name;
    machine_new();
    assert_int_equal(instance(damaged, &t, -1), 0);
}

/* --- no room ------------------------------------------------------------------------------------------------------------ */
#define ALL_RECORDS 7 /* five domains, one that waits, and one more */

static void full(const struct trial *t)
{
    static struct machine before;
    struct domcfg cfg;
    struct errbuf e;
    struct dom *d;

    instance_boots();
    instance_works();
    memcpy(&before, m, sizeof(before));
    if (config_load(&cfg, "hand", &e) || dom_create(&cfg, false, &d, &e) != -ENOSPC ||
        !strstr(e.s, "no room for another domain"))
        BAD("hand: there was room, or: %s", e.s);
    if (memcmp(before.dom, m->dom, sizeof(m->dom)) || memcmp(before.node, m->node, sizeof(m->node)) ||
        memcmp(before.keep, m->keep, sizeof(m->keep)))
        BAD("hand: something is left of it");
    if (config_load(&cfg, "net1", &e) || dom_create(&cfg, false, &d, &e) != -ENOSPC ||
        memcmp(before.keep, m->keep, sizeof(m->keep)))
        BAD("net1: there was room, or it has a slot");
    web_reboots(); /* its next life has the room of this one */
    if (state_of("web") != WHOLE)
        BAD("web: does not come back");
    web_reboots();
    if (state_of("web") != WHOLE)
        BAD("web: does not come back again");
    end("web");
    make_hand();
    if (state_of("hand") != WHOLE)
        BAD("hand: has no room where web was");
    nothing_else();
}

TEST(no_room_for_another)
{
    static const struct trial t = { .name = "no room" };

    trial_name = t.name;
    machine_new();
    m->keep_pages = (2 * 4096 + RECORD_BOOK_SIZE + TABLES_SIZE + ALL_RECORDS * RECORD_SIZE) / 4096;
    assert_int_equal(instance(full, &t, -1), 0);
}

/* --- the machine is about to end ------------------------------------------------------------------------------------------ */
static void shutdown_of_web(const char *want)
{
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", dom_by_name("web")->id);
    if (want)
        store_set(path, want);
    else if (!store_value(path) || *store_value(path))
        BAD("web: is still asked to shut down");
}

/* Whatever web does, it stays down; who waits for a driver domain, or for his next life, waits on, until the machine stays up after all. */
static void nobody_starts(const struct trial *t)
{
    instance_boots();
    instance_works();
    make_hand();
    m->clock += 2 * NS_PER_S; /* a short life: its next one is not at once */
    core_by_name("hand")->state = BH_DOM_SHUTDOWN;
    core_by_name("hand")->reason = SHUTDOWN_reboot;
    m->changed = true;
    for (unsigned i = 0; i < 3 && dom_by_name("hand")->state == DOM_UP; i++) {
        job_wait(TIME_PAST);
        guests_work();
    }
    if (dom_by_name("hand")->state != DOM_WAITING)
        BAD("hand: does not wait for its next life");
    *record_machine_ends = 1;
    t->run();
    make_blk1();
    if (state_of("web") != GONE || state_of("late") != WAITS || !dom_by_name("hand") ||
        dom_by_name("hand")->state != DOM_WAITING)
        BAD("one was started");
    guests_may_start();
    instance_works();
    if (state_of("web") != GONE || state_of("late") != WHOLE || state_of("hand") != WHOLE)
        BAD("one does not start any more");
}

TEST(guests_stay_down)
{
    static const struct trial ends[] = { { .name = "reboots at the end", .run = web_reboots },
                                         { .name = "crashes at the end", .run = web_crashes },
                                         { .name = "kexecs at the end", .run = web_kexecs },
                                         { .name = "powers off at the end", .run = web_ends } };

    for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
        trial_name = ends[i].name;
        machine_new();
        assert_int_equal(instance(nobody_starts, &ends[i], -1), 0);
        assert_non_null(strstr(m->said, ", stays down\n"));
    }
}

/* The instance that was to end the machine dies: the next one says that it stays up, asks nobody any more, and guests start again as ever. */
static void is_to_end(const struct trial *t)
{
    instance_boots();
    instance_works();
    *record_machine_ends = 1;
    shutdown_of_web("poweroff");
}
static void stays_up(const struct trial *t)
{
    instance_boots();
    instance_works();
    if (!strstr(m->said, "the machine was about to end") || *record_machine_ends)
        BAD("it does not say that the machine stays up");
    shutdown_of_web(NULL);
    web_reboots();
    if (state_of("web") != WHOLE)
        BAD("web: does not start again");
}

TEST(who_ends_the_machine_dies)
{
    static const struct trial t = { .name = "who ends the machine dies" };

    trial_name = t.name;
    machine_new();
    assert_int_equal(instance(is_to_end, &t, -1), 0);
    assert_int_equal(instance(stays_up, &t, -1), 0);
}
