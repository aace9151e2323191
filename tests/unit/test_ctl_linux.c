/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/ctl_machine.c
// FLAGS: -fno-sanitize=address -Ictl-dom -Idomains/include -luuid -lcrypto
/*
 * A Linux as a back-end: what it is told, and that its clients come to the next one when it ends, wherever the control domain dies meanwhile.
 */
#include "ctl_machine.h"
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/io/xenbus.h>
#include <xen/sched.h>
#include "domain/load.h"
#include "store/devices.h"
#include "store/hotplug.h"
#include "store/linux.h"
#include "supervise/life.h"
#include "unit.h"

static const char *at(const char *fmt, ...)
{
    char path[160];
    const char *v;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(path, sizeof(path), fmt, ap);
    va_end(ap);
    v = store_value(path);
    return v ? v : "-";
}

#define BAD(...)                                                \
    do {                                                        \
        fprintf(stderr, __VA_ARGS__);                           \
        fprintf(stderr, " (step %u)\n%s", trial_step, m->said); \
        _exit(1);                                               \
    } while (0)
static unsigned trial_step;

static int make(const char *name, struct errbuf *e)
{
    static struct domcfg cfg;
    struct dom *d;
    int rc = config_load(&cfg, name, e) ?: dom_create(&cfg, false, &d, e);

    instance_works();
    return rc;
}
static void made(const char *name)
{
    struct errbuf e;

    if (make(name, &e))
        BAD("%s", e.s);
}

static void ends(const char *name, unsigned state, unsigned reason)
{
    struct machine_dom *d = core_by_name(name);

    m->clock += 90 * NS_PER_S;
    d->state = (uint8_t)state;
    d->reason = reason;
    d->crash_ns = m->clock;
    m->changed = true;
    instance_works();
}
static void dies(const char *name) { ends(name, BH_DOM_CRASHED, 0); }
static void kexecs(const char *name) { ends(name, BH_DOM_SHUTDOWN, SHUTDOWN_soft_reset); }

static void all_there(void)
{
    instance_boots();
    instance_works();
    made("netdd");
    made("behind");
    made("relay");
}

static struct dom_dev *dev_of(const char *name, enum dev_kind kind)
{
    struct dom *d = dom_by_name(name);

    for (unsigned i = 0; d && i < d->nr_devs; i++)
        if (d->dev[i].kind == kind)
            return &d->dev[i];
    BAD("%s: has no such device", name);
}

/* Both sides of it connected, and the front-end's names that back-end. */
static void connected(const char *name, enum dev_kind kind)
{
    const struct dom *d = dom_by_name(name);
    const struct dom_dev *v = dev_of(name, kind);
    unsigned b = core_by_name("netdd")->id;
    char be[DEV_PATH], fe[DEV_PATH];

    dev_paths(d, v, be, fe);
    if (v->back != b || !v->foreign)
        BAD("%s: %s: served by %u, not %u", name, dev_text(d, v), v->back, b);
    if (strcmp(at("%s/state", be), "4") || strcmp(at("%s/state", fe), "4") ||
        (unsigned)atoi(at("%s/backend-id", fe)) != b || strcmp(at("%s/backend", fe), be))
        BAD("%s: %s: %s %s, behind %s", name, dev_text(d, v), at("%s/state", be),
            at("%s/state", fe), at("%s/backend-id", fe));
}

/* Nothing names a domain that is not there. */
static void nothing_left(void)
{
    unsigned back, id;

    for (unsigned i = 0; i < MACHINE_NODES; i++)
        if (m->node[i].hash &&
            sscanf(m->node[i].path, "/local/domain/%u/backend/%*[a-z]/%u", &back, &id) == 2 &&
            back && (!dom_by_id((domid_t)back) || !dom_by_id((domid_t)id)))
            BAD("%s is left", m->node[i].path);
}

static void in_a_process(void (*what)(void), int how)
{
    int status;

    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        alarm(100);
        what();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), how);
}

/* --- what is there ------------------------------------------------------------------------------------------------------ */
static void nodes(void)
{
    all_there();
    unsigned b = core_by_name("netdd")->id, d = core_by_name("behind")->id;
    const char *disk = "/local/domain/%u/backend/vbd/%u/51712/%s";

    connected("behind", DEV_VIF);
    connected("behind", DEV_VBD);
    connected("relay", DEV_VBD);
    if (strcmp(at(disk, b, d, "type"), "file") || strcmp(at(disk, b, d, "params"), "/vols/a") ||
        strcmp(at(disk, b, d, "mode"), "w") || strcmp(at(disk, b, d, "script"), "block") ||
        strcmp(at("/local/domain/%u/backend/vif/%u/0/script", b, d), "vif-bridge"))
        BAD("the nodes of the Linux");
    if (strcmp(at("/local/domain/%u/device/vif/0/trusted", d), "-") ||
        strcmp(at("/local/domain/%u/device/vif/0/trusted", b), "0"))
        BAD("who copies");
    if (!strstr(m->said, "behind: disk xvda: if netdd dies it stands still"))
        BAD("nobody said so");
}
TEST(what_it_is_told)
{
    machine_new();
    in_a_process(nodes, 0);
}

static void refuse(const char *name, void (*change)(struct domcfg *c), const char *why)
{
    static struct domcfg cfg;
    struct errbuf e = { "" };
    struct dom *d;

    (void)config_load(&cfg, name, &e);
    change(&cfg);
    if (!dom_create(&cfg, false, &d, &e) || !strstr(e.s, why))
        BAD("'%s' instead of '%s'", e.s, why);
}
static void with_ip(struct domcfg *c) { c->vif[0].slot.nr_ips = 1; }
static void with_vlan(struct domcfg *c) { c->vif[0].slot.vlan = 5; }
static void with_volume(struct domcfg *c) { c->disk[0].kind = DISK_VOLUME; }
static void with_limit(struct domcfg *c) { c->disk[0].limit_ops = 5; }
static void of_blk0(struct domcfg *c) { strcpy(c->disk[0].backend, "blk0"); }
static void of_nobody(struct domcfg *c) { strcpy(c->disk[0].backend, "stordd"); }
static void another(struct domcfg *c)
{
    strcpy(c->name, "another");
    c->nr_vifs = 0;
}
/* Who waits for its boot does not find it slow, nor do those who come later; likewise with its next kernel. */
static void again(const char *name, unsigned s)
{
    struct dom *d = dom_by_name(name);
    struct errbuf e;

    if (d && dom_destroy(d, &e))
        BAD("%s", e.s);
    core_by_name("netdd")->serves_from = m->clock + s * NS_PER_S;
    made(name);
}
static void boots_for_long(void)
{
    instance_boots();
    instance_works();
    made("netdd");
    again("behind", 58);
    again("behind", 30);
    if (dom_destroy(dom_by_name("behind"), &(struct errbuf){ 0 }))
        BAD("behind is kept");
    kexecs("netdd");
    again("behind", 58);
}

static void of_itself(struct domcfg *c)
{
    strcpy(c->name, "self");
    c->driver_domain = true;
    strcpy(c->vif[0].backend, "self");
    c->nr_disks = 0;
}
static void refusals(void)
{
    instance_boots();
    instance_works();
    refuse("behind", another, "no Linux storage domain netdd");
    made("netdd");
    refuse("behind", with_ip, "netdd is a Linux: ip= is not enforced there");
    refuse("behind", with_vlan, "netdd is a Linux: VLANs are its own bridges' there");
    refuse("behind", with_volume,
           "netdd is a Linux: phy:/dev/NAME, file:/PATH or nbd:HOST:PORT there");
    refuse("behind", with_limit, "limits are not enforced there");
    refuse("behind", of_blk0, "blk0 has volumes, no paths: phy:blk0:VOLUME");
    refuse("behind", of_nobody, "no Linux storage domain stordd");
    refuse("behind", of_itself, "self: vif 0 would be served by itself");
    made("behind");
    refuse("behind", another, "another: disk xvda: behind has /vols/a already");
    nothing_left();
}
TEST(refused)
{
    machine_new();
    in_a_process(refusals, 0);
}
TEST(slow_boot)
{
    machine_new();
    in_a_process(boots_for_long, 0);
}

/* --- it dies ------------------------------------------------------------------------------------------------------------ */
static void next_life(void)
{
    struct errbuf e;

    if (!core_by_name(
            "netdd")) { /* the control domain died where that was to be made: its restart waits, as any guest's */
        m->clock += 120 * NS_PER_S;
        instance_works();
    }
    connected("behind", DEV_VIF);
    connected("relay", DEV_VBD);
    struct dom *d = dom_by_name("behind");
    struct dom_dev *v = dev_of("behind", DEV_VBD);
    if (dev_of("behind", DEV_VIF)->devid)
        BAD("behind: its vif has another number");
    if (!dev_lost(v) || strcmp(at("/local/domain/%u/device/vbd/51712/state", d->id), "4"))
        BAD("behind: its disk does not stand still as it was");
    nothing_left();
    if (disk_detach(d, v, false, &e) || disk_of(d, "xvda"))
        BAD("%s", e.s);
    if (disk_attach(d, "file:/vols/a,xvda,w,backend=netdd", &e))
        BAD("%s", e.s);
    instance_works();
    connected("behind", DEV_VBD);
    if (disk_detach(d, dev_of("behind", DEV_VBD), false, &e)) /* from one that lives */
        BAD("%s", e.s);
    nothing_left();
}
static void one_death(void)
{
    all_there();
    m->steps = 0;
    counts(true);
    dies("netdd");
    counts(false);
    next_life();
}
static void adopts(void)
{
    instance_boots();
    instance_works();
    next_life();
}
TEST(dies_and_comes_back)
{
    machine_new();
    in_a_process(one_death, 0);
}
/* The control domain dies at each of its steps, and the next instance finishes all of that. */
TEST(the_control_domain_dies_too)
{
    for (unsigned stores = 0; stores < 2; stores++)
        for (trial_step = 0;; trial_step += stores ? 3 : 1) {
            int status;
            machine_new();
            m->at_stores = stores;
            m->left = -1;
            fflush(NULL);
            pid_t pid = fork();
            if (!pid) {
                alarm(100);
                all_there();
                m->left = trial_step;
                m->steps = 0;
                counts(true);
                dies("netdd");
                _exit(0);
            }
            assert_int_equal(waitpid(pid, &status, 0), pid);
            assert_true(WIFEXITED(status));
            m->left = -1;
            m->counts = false;
            if (!WEXITSTATUS(status)) {
                assert_true(trial_step > 40);
                break;
            }
            assert_int_equal(WEXITSTATUS(status), DIED);
            in_a_process(adopts, 0);
        }
}

/* Destroyed, and made again by hand; a client that ends meanwhile leaves nothing. */
static void by_hand(void)
{
    struct errbuf e;

    all_there();
    (void)dom_destroy(dom_by_name("netdd"), &e);
    instance_works();
    if (!dev_lost(dev_of("behind", DEV_VIF)) ||
        strcmp(at("/local/domain/%u/device/vif/0/state", dom_by_name("behind")->id), "-"))
        BAD("behind: has its vif");
    nothing_left();
    (void)dom_destroy(dom_by_name("behind"), &e);
    instance_works();
    nothing_left();
    made("netdd");
    connected("relay", DEV_VBD);
    made("behind");
    connected("behind", DEV_VIF);
}
TEST(destroyed_and_made)
{
    machine_new();
    in_a_process(by_hand, 0);
}

/* Its next kernel knows of none of them, under the same domid; and that of a client, while there is no back-end, gets along without. */
static void next_kernels(void)
{
    struct errbuf e;

    all_there();
    unsigned id = core_by_name("netdd")->id;
    kexecs("netdd");
    if (core_by_name("netdd")->id != id || core_by_name("netdd")->kernels != 2)
        BAD("netdd: has no next kernel");
    next_life();
    (void)dom_destroy(dom_by_name("netdd"), &e);
    kexecs("behind");
    if (core_by_name("behind")->kernels != 2)
        BAD("behind: has no next kernel");
    nothing_left();
    made("netdd");
    connected("behind", DEV_VIF);
    connected("relay", DEV_VBD);
    nothing_left();
}
TEST(kexec)
{
    machine_new();
    in_a_process(next_kernels, 0);
}
