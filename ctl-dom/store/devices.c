/* SPDX-License-Identifier: MIT */
/*
 * A vif whose connection is lost for good (its keep record was unsound, or its driver domain was
 * destroyed and made again) is unplugged and plugged again (docs/linux-pvh.md 12) with a new number:
 * Linux may not have looked before an old one comes back, and then would do nothing.
 */
#include "store/devices.h"
#include <errno.h>
#include <quote.h>
#include <stdlib.h>
#include <store_keys.h>
#include <string.h>
#include <xen/io/xenbus.h>
#include "console/console.h"
#include "console/patience.h"
#include "domain/bridge.h"
#include "domain/identity.h"
#include "domain/pci.h"
#include "domain/slots.h"
#include "job/job.h"
#include "store/connection.h"
#include "store/linux.h"
#include "store/nodes.h"

#define BACKEND_WAIT_NS 15000000000ull /* a driver domain may be in its back-off */
#define LINUX_WAIT_NS   60000000000ull /* it may boot still */
#define SILENT_WAIT_NS  1000000000ull  /* it did not answer the last time, and said nothing since */
/* The part of that time which each device has, whatever was: enough for a sound one on a machine that is very busy, since a create fails beyond. */
#define LEAST_PART 3u
#define FORGETS \
    10u /* what was over that, and that it was silent, is forgotten in so many times as long */
#define DETACH_WAIT_NS 3000000000ull /* a disk finishes what is in flight */
#define LOOK_NS        2000000ull

static bool look_around; /* a back-end asked for something */

static const char *type_of(const struct dom_dev *v) { return v->kind == DEV_VIF ? "vif" : "vbd"; }

void dev_paths(const struct dom *d, const struct dom_dev *v, char be[DEV_PATH], char fe[DEV_PATH])
{
    snprintf(be, DEV_PATH, "/local/domain/%u/backend/%s/%u/%u", v->back, type_of(v), d->id, v->devid);
    snprintf(fe, DEV_PATH, "/local/domain/%u/device/%s/%u", d->id, type_of(v), v->devid);
}

const char *dev_text(const struct dom *d, const struct dom_dev *v)
{
    static char text[32];

    if (v->kind == DEV_VIF)
        snprintf(text, sizeof(text), "vif %u", v->devid);
    else
        snprintf(text, sizeof(text), "disk %s", d->cfg.disk[v->index].vdev);
    return text;
}

/* --- who serves it ---------------------------------------------------------------------------- */
int vif_resolve(struct dom *d, unsigned i, struct dom_dev *v, struct errbuf *e)
{
    struct cfg_vif *c = &d->cfg.vif[i];
    char who[BH_NAME_LEN + 16];
    struct dom *b;

    snprintf(who, sizeof(who), "%s: vif %u", d->cfg.name, i);
    int rc = vif_served(c, who, &b, e);
    if (!rc && b == d)
        rc = fail(e, -EINVAL, "%s would be served by itself", who);
    if (!rc && b->cfg.driver_domain)
        rc = linux_vif_fits(d, i, b, e);
    if (rc)
        return rc;
    if (c->bridge[0]) /* its next life has the same, whoever else has a bridge of that name by then */
        memcpy(c->backend, b->cfg.name, sizeof(c->backend));
    *v = (struct dom_dev){
        .kind = DEV_VIF, .index = i, .devid = i, .back = b->id, .foreign = b->cfg.driver_domain
    };
    return 0;
}

/* Where a disk names none: the only block driver domain that there is. 0: it has one, or says why. */
static int only_blk(const struct dom *d, struct cfg_disk *c, struct errbuf *e)
{
    struct dom *found = NULL;

    for (struct dom *b = doms; b && !c->backend[0]; b = b->next) {
        if (!driver_by_name(b->cfg.name, "blk") || b == d)
            continue;
        if (found)
            return fail(e, -EINVAL,
                        "%s: disk %s: %s and %s are block driver domains: phy:%s:%.60s or phy:%s:%.60s",
                        d->cfg.name, c->vdev, found->cfg.name, b->cfg.name, found->cfg.name,
                        c->volume, b->cfg.name, c->volume);
        found = b;
    }
    if (found) /* its next life has the same */
        memcpy(c->backend, found->cfg.name, sizeof(c->backend));
    return 0;
}

int disk_resolve(struct dom *d, unsigned i, struct dom_dev *v, struct errbuf *e)
{
    struct cfg_disk *c = &d->cfg.disk[i];
    int rc = only_blk(d, c, e);
    struct dom *b = c->backend[0] ? driver_by_name(c->backend, "blk") : NULL;

    if (rc)
        return rc;
    if (b && c->kind != DISK_VOLUME)
        return fail(e, -EINVAL, "%s: disk %s: %s has volumes, no paths: phy:%s:VOLUME", d->cfg.name,
                    c->vdev, c->backend, c->backend);
    if (b == d)
        return fail(e, -EINVAL, "%s: disk %s would be served by itself", d->cfg.name, c->vdev);
    if (!b && (b = linux_by_name(c->backend)) != NULL && (rc = linux_disk_fits(d, i, b, e)))
        return rc;
    if (!b)
        return fail(e, -ENOENT, "%s: disk %s: no %s domain%s%s", d->cfg.name, c->vdev,
                    c->kind == DISK_VOLUME ? "block driver" : "Linux storage",
                    c->backend[0] ? " " : "", c->backend);
    *v = (struct dom_dev){
        .kind = DEV_VBD, .index = i, .devid = c->devid, .back = b->id, .foreign = b->cfg.driver_domain
    };
    return 0;
}

int devs_resolve(struct dom *d, struct errbuf *e)
{
    int rc = 0;

    d->nr_devs = 0;
    for (unsigned i = 0; i < d->cfg.nr_vifs && !rc; i++)
        rc = vif_resolve(d, i, &d->dev[d->nr_devs++], e);
    d->next_vif = d->cfg.nr_vifs;
    for (unsigned i = 0; i < d->cfg.nr_disks && !rc; i++)
        rc = disk_resolve(d, i, &d->dev[d->nr_devs++], e);
    if (rc)
        d->nr_devs = 0;
    return rc;
}

int devs_served(const struct domcfg *cfg, struct errbuf *e)
{
    static struct dom d;

    d.cfg = *cfg;
    return devs_resolve(&d, e);
}

struct dom *devs_disk_user(const struct dom *b)
{
    for (struct dom *d = doms; d; d = d->next)
        for (unsigned i = 0; i < d->nr_devs; i++)
            if (d->dev[i].kind == DEV_VBD && d->dev[i].back == b->id)
                return d;
    return NULL;
}

struct dom_dev *disk_of(struct dom *d, const char *vdev)
{
    uint32_t devid;
    bool is_one = config_vdev(vdev, &devid);

    for (unsigned i = 0; is_one && i < d->nr_devs; i++)
        if (d->dev[i].kind == DEV_VBD && d->cfg.disk[d->dev[i].index].devid == devid)
            return &d->dev[i];
    return NULL;
}

/* --- nodes ------------------------------------------------------------------------------------ */
/* What the two directories of any device have. What is written here is ours and stays so: the back-end
 * reads it, and owns its directory only from back_ready on. */
static void back_begin(struct txn *t, const struct dom *d, domid_t back, const char *be,
                       const char *fe)
{
    char perms[32];

    /* Those above it are never the back-end's: what it writes after we removed a device must not bring that back. */
    snprintf(perms, sizeof(perms), "n%u r%u r%u", BH_DOMID_CONTROL, back, d->id);
    node(t, NULL, perms, "%.*s", (int)(strrchr(be, '/') - be), be);
    node(t, NULL, perms, "%s", be);
    node(t, fe, NULL, "%s/frontend", be);
    node_num(t, d->id, "%s/frontend-id", be);
    node(t, "1", NULL, "%s/online", be);
}

/* The state nodes come last: they are what the two sides act on. */
static void back_ready(struct txn *t, const struct dom *d, domid_t back, const char *be)
{
    char perms[32];

    snprintf(perms, sizeof(perms), "n%u r%u", back, d->id);
    node(t, NULL, perms, "%s", be);
    node_num(t, XenbusStateInitialising, "%s/state", be);
}

/* A driver domain goes on after it was anybody's (docs/restart.md): who serves its own device is not its to write, nor the device's address, but what it offers
 * to him. */
static void front_sealed(struct txn *t, const struct dom *d, enum dev_kind kind, domid_t back,
                         const char *fe)
{
    static const char *const disk[] = { "state", "ring-ref", "event-channel", "protocol" },
                             *const vif[] = { "state",
                                              "tx-ring-ref",
                                              "rx-ring-ref",
                                              "event-channel",
                                              "request-rx-copy",
                                              "feature-rx-notify",
                                              "feature-ipv6-csum-offload" };
    const char *const *own = kind == DEV_VIF ? vif : disk;
    unsigned n = kind == DEV_VIF ? ARRAY_SIZE(vif) : ARRAY_SIZE(disk);
    char perms[32];

    snprintf(perms, sizeof(perms), "n%u r%u r%u", BH_DOMID_CONTROL, d->id, back);
    node(t, NULL, perms, "%s", fe);
    snprintf(perms, sizeof(perms), "n%u r%u", d->id, back);
    for (unsigned i = 0; i < n; i++)
        node(t, "", perms, "%s/%s", fe, own[i]);
}

/* v: NULL of PCI */
static void front_begin(struct txn *t, const struct dom *d, const struct dom_dev *v, domid_t back,
                        const char *be, const char *fe)
{
    char perms[32];

    snprintf(perms, sizeof(perms), "n%u r%u", d->id, back);
    if (v && d->cfg.role == BH_ROLE_DRIVER)
        front_sealed(t, d, v->kind, back, fe);
    else
        node(t, NULL, perms, "%s", fe);
    node_num(t, back, "%s/backend-id", fe);
    node(t, be, NULL, "%s/backend", fe);
}

static void front_ready(struct txn *t, const char *fe)
{
    node_num(t, XenbusStateInitialising, "%s/state", fe);
}

void dev_back_nodes(struct txn *t, const struct dom *d, const struct dom_dev *v)
{
    struct dom *b = dom_by_id(v->back);
    char mac[VIF_MAC], be[DEV_PATH], fe[DEV_PATH];

    dev_paths(d, v, be, fe);
    back_begin(t, d, v->back, be, fe);
    if (v->kind == DEV_VIF) {
        mac_text(d->cfg.vif[v->index].mac, mac);
        node(t, mac, NULL, "%s/mac", be);
        node_num(t, v->devid, "%s/handle", be);
        node(t, vif_bridge(b, &d->cfg.vif[v->index]), NULL, "%s/bridge", be);
        node(t, "", NULL, "%s/script", be);
        node(t, "vif", NULL, "%s/type", be);
    } else {
        const struct cfg_disk *c = &d->cfg.disk[v->index];
        node(t, c->volume, NULL, "%s/params", be);
        node(t, c->mode, NULL, "%s/mode", be);
        node(t, c->vdev, NULL, "%s/dev", be);
        node(t, "phy", NULL, "%s/type", be);
        node(t, "disk", NULL, "%s/device-type", be);
        node(t, "0", NULL, "%s/removable", be);
        node(t, v->index ? "0" : "1", NULL, "%s/bootable", be);
        node(t, c->no_discard ? "0" : "1", NULL, "%s/discard-enable", be);
        if (c->limit_ops)
            node_num(t, c->limit_ops, "%s/" BH_KEY_LIMIT_OPS, be);
        if (c->limit_bytes)
            node_num(t, c->limit_bytes, "%s/" BH_KEY_LIMIT_BYTES, be);
    }
    if (v->foreign)
        linux_nodes(t, d, v, be);
    back_ready(t, d, v->back, be);
}

void dev_front_nodes(struct txn *t, const struct dom *d, const struct dom_dev *v)
{
    const struct dom *b = dom_by_id(v->back);
    char mac[VIF_MAC], be[DEV_PATH], fe[DEV_PATH];

    dev_paths(d, v, be, fe);
    front_begin(t, d, v, v->back, be, fe);
    /* Linux: xen-netfront and xen-blkfront copy then; what one of its clients granted to a back-end it could not grant on. */
    if (d->cfg.driver_domain ||
        (v->kind == DEV_VIF ? d->cfg.vif[v->index].untrusted : d->cfg.disk[v->index].untrusted))
        node(t, "0", NULL, "%s/trusted", fe);
    if (v->kind == DEV_VIF) {
        uint32_t mtu = d->cfg.vif[v->index].mtu;
        if (!mtu && b)
            mtu = b->cfg.mtu;
        if (mtu)
            node_num(t, mtu, "%s/mtu", fe); /* <xen/io/netif.h>, MTU */
        mac_text(d->cfg.vif[v->index].mac, mac);
        node(t, mac, NULL, "%s/mac", fe);
        node_num(t, v->devid, "%s/handle", fe);
    } else {
        node_num(t, v->devid, "%s/virtual-device", fe);
        node(t, "disk", NULL, "%s/device-type", fe);
    }
    front_ready(t, fe);
}

void dev_nodes(struct txn *t, const struct dom *d, const struct dom_dev *v)
{
    dev_back_nodes(t, d, v);
    dev_front_nodes(t, d, v);
}

void dev_goes_on(struct txn *t, const struct dom *d, const struct dom_dev *v)
{
    char be[DEV_PATH], fe[DEV_PATH];

    dev_paths(d, v, be, fe);
    node_num(t, XenbusStateConnected, "%s/state", fe);
    node_num(t, XenbusStateConnected, "%s/state", be);
}

void pci_node(struct txn *t, const struct dom *d, const char *be, unsigned i)
{
    const struct cfg_pci *said = config_pci_said(&d->cfg, d->cfg.pci[i]);

    node(t, sbdf_text(d->cfg.pci[i]).s, NULL, "%s/dev-%u", be, i);
    if (said && said->vslot)
        node_num(t, (uint32_t)said->vslot << 3 | (said->all ? d->cfg.pci[i] & 7 : 0),
                 "%s/vdevfn-%u", be, i);
    if (said && said->permissive)
        node(t, "permissive=1", NULL, "%s/opts-%u", be, i);
}

/* The pciif layout, with one directory for all devices of the domain. */
void pci_nodes(struct txn *t, struct dom *d, void *arg)
{
    char be[DEV_PATH], fe[DEV_PATH];

    (void)arg;
    snprintf(be, sizeof(be), "/local/domain/%u/backend/pci/%u/0", BH_DOMID_PCIBACK, d->id);
    snprintf(fe, sizeof(fe), "/local/domain/%u/device/pci/0", d->id);
    back_begin(t, d, BH_DOMID_PCIBACK, be, fe);
    for (unsigned i = 0; i < d->cfg.nr_pci; i++)
        pci_node(t, d, be, i);
    node_num(t, d->cfg.nr_pci, "%s/num_devs", be);
    back_ready(t, d, BH_DOMID_PCIBACK, be);
    front_begin(t, d, NULL, BH_DOMID_PCIBACK, be, fe);
    front_ready(t, fe);
}

static void pci_nodes_anew(struct txn *t, struct dom *d, void *arg)
{
    no_node(t, "/local/domain/%u/backend/pci/%u", BH_DOMID_PCIBACK, d->id);
    no_node(t, "/local/domain/%u/device/pci", d->id);
    if (d->cfg.nr_pci)
        pci_nodes(t, d, arg);
}

int store_pci_anew(struct dom *d, struct errbuf *e) { return commit(d, pci_nodes_anew, NULL, e); }

/* --- waiting for back-ends -------------------------------------------------------------------- */
uint64_t backend_state(const struct dom *d, const struct dom_dev *v)
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16];
    uint64_t state = 0;

    dev_paths(d, v, be, fe);
    snprintf(path, sizeof(path), "%s/state", be);
    int rc = xs_read_uint(0, path, &state);
    return !rc ? state : rc == -ENOENT || rc == -EINVAL ? 0 : BACKEND_SILENT;
}

/* Whether what its back-end says there is about this device: the last words on one that had its number before may come late. */
static bool is_about(const struct dom *d, const struct dom_dev *v)
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16];
    uint64_t gen;

    if (v->foreign) /* by its domid: no other life of it has that, nor a vif that number twice */
        return true;
    dev_paths(d, v, be, fe);
    snprintf(path, sizeof(path), "%s/" BH_KEY_GEN, be);
    return !xs_read_uint(0, path, &gen) && gen == slot_gen_of(d, v);
}

/* A node of its back-end's directory, for free(); NULL: none. */
static char *backend_word(const struct dom *d, const struct dom_dev *v, const char *key)
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16];

    dev_paths(d, v, be, fe);
    snprintf(path, sizeof(path), "%s/%s", be, key);
    return xs_read(0, path);
}

/* What a back-end says is wrong with a device, for free(); NULL: nothing. */
static char *backend_error(const struct dom *d, const struct dom_dev *v)
{
    char *why = backend_word(d, v, BH_KEY_ERROR);

    return why ? why : backend_word(d, v, "error");
}

/* The word of a Linux's script: 0, -EAGAIN, or -EIO and what it says. */
static int script_ready(const struct dom *d, const struct dom_dev *v, struct errbuf *e)
{
    const struct dom *b = dom_by_id(v->back);
    char *status = backend_word(d, v, "hotplug-status"), *why;
    int rc = status && !strcmp(status, "connected") ? 0 : -EAGAIN;

    if (status && !strcmp(status, "error")) {
        why = backend_word(d, v, "hotplug-error");
        rc = fail(e, -EIO, "%s: %s: %s: %.120s", d->cfg.name, dev_text(d, v),
                  b ? b->cfg.name : "its back-end", why ? QUOTED(why) : "its script failed");
        free(why);
    }
    free(status);
    return rc;
}

/* 0: the guest may run, or does and has gone further; -EAGAIN: not yet, or the error. */
static int backend_ready(const struct dom *d, const struct dom_dev *v, struct errbuf *e)
{
    if (!is_about(d, v))
        return -EAGAIN;
    uint64_t state = backend_state(d, v);
    if (state >= XenbusStateInitWait && state <= XenbusStateConnected)
        return v->foreign ? script_ready(d, v, e) : 0;
    char *why = backend_error(d, v);
    if (!why && state != XenbusStateClosing && state != XenbusStateClosed)
        return -EAGAIN;
    struct dom *b = dom_by_id(v->back);
    fail(e, -EIO, "%s: %s: %s: %s", d->cfg.name, dev_text(d, v), b ? b->cfg.name : "its back-end",
         why ? QUOTED(why) : "closes it");
    free(why);
    return -EIO;
}

/* Once: what another instance says later does not change it. */
static void learn_extent(const struct dom *d, const struct dom_dev *v)
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16], *end;

    if (!slot_wants_extent(d, v))
        return;
    dev_paths(d, v, be, fe);
    snprintf(path, sizeof(path), "%s/" BH_KEY_EXTENT, be);
    char *text = xs_read(0, path);
    if (!text)
        return;
    uint64_t first = strtoul(text, &end, 10), nr = strtoul(end, NULL, 10);
    free(text);
    slot_extent(d, v, first, nr);
}

static uint64_t most_ns(bool foreign) { return foreign ? LINUX_WAIT_NS : BACKEND_WAIT_NS; }

static struct lateness *lateness(struct dom *b)
{
    if (b->late.in != b->instance + 1)
        b->late = (struct lateness){ .in = b->instance + 1 };
    return &b->late;
}

/* It was waited for in vain for all its time, at once or bit by bit: others hardly wait then, until it says something, or one tries it again. */
static bool is_silent(struct dom *b)
{
    uint64_t most = most_ns(b && b->cfg.driver_domain);

    return b && lateness(b)->vain_ns >= most && now_ns() - b->late.vain_at_ns < FORGETS * most;
}

uint64_t dev_patience(const struct dom_dev *v, uint64_t ns)
{
    return is_silent(dom_by_id(v->back)) && ns > SILENT_WAIT_NS ? SILENT_WAIT_NS : ns;
}

/* How long an instance has kept others waiting, beyond what each device may take; less as time goes on. */
static uint64_t slow_ns(struct dom *b)
{
    uint64_t since = (now_ns() - lateness(b)->slow_at_ns) / FORGETS;

    return b->late.slow_ns > since ? b->late.slow_ns - since : 0;
}

/* One that is always slow, but never silent, has its whole time once, and then the part that every device has. */
static uint64_t backend_patience(const struct dom_dev *v)
{
    struct dom *b = dom_by_id(v->back);
    uint64_t slow = b ? slow_ns(b) : 0, most = most_ns(v->foreign), least = most / LEAST_PART;

    return dev_patience(v, slow < most - least ? most - slow : least);
}

/* `same`: all the time for one instance, else it is nobody's. That a Linux boots is no slowness, if it answers then. */
static void was_waited_for(struct dom *b, bool same, uint64_t ns, int rc)
{
    bool in_vain = rc == -ETIME, silent = is_silent(b), boots;
    uint64_t most = most_ns(b->cfg.driver_domain), slow = slow_ns(b);
    struct lateness *l = &b->late;

    boots = b->cfg.driver_domain && !l->answered && !in_vain;
    if (!in_vain && rc != -EINTR) {
        l->answered = true;
        l->vain_ns = 0;
    }
    if (!same)
        return;
    if (in_vain && !silent) {
        l->vain_at_ns = now_ns();
        l->vain_ns = ns + (l->vain_ns < most ? l->vain_ns : 0);
    }
    if (ns > most / LEAST_PART && !boots) {
        l->slow_ns = slow + ns - most / LEAST_PART;
        l->slow_at_ns = now_ns();
    }
}

static int waits(const struct dom *d, const struct dom_dev *v, struct errbuf *e)
{
    uint64_t began = now_ns(), looked = began;
    struct patience p;
    struct dom *b;
    int rc;

    patience_begin(&p, PATIENCE_NS, backend_patience(v));
    /* The last look is after the end: this domain may have stood still, too. */
    for (; (rc = backend_ready(d, v, e)) == -EAGAIN; looked = now_ns()) {
        b = dom_by_id(v->back);
        if (looked - began >= backend_patience(v)) {
            fail(e, -ETIME, "%s: %s: %s %s", d->cfg.name, dev_text(d, v),
                 b ? b->cfg.name : "its back-end",
                 is_silent(b) ? "still does not answer" : "does not answer");
            return -ETIME;
        }
        if (patience_ends(&p, "%s: %s: waits for %s to serve it", d->cfg.name, dev_text(d, v),
                          b ? b->cfg.name : "its back-end"))
            return fail(e, -EINTR, "%s: %s: %s had not answered yet: given up", d->cfg.name,
                        dev_text(d, v), b ? b->cfg.name : "its back-end");
        job_wait(now_ns() + LOOK_NS);
    }
    b = dom_by_id(v->back);
    if (!rc)
        learn_extent(d, v);
    if (!rc && v->foreign && v->kind == DEV_VBD && d->cfg.role == BH_ROLE_GUEST)
        say("%s: %s: if %s dies it stands still until it is detached and attached again; by way of a relay it would not",
            d->cfg.name, dev_text(d, v), b ? b->cfg.name : "its back-end");
    return rc;
}

int wait_backend(const struct dom *d, const struct dom_dev *v, struct errbuf *e)
{
    struct dom *b = dom_by_id(v->back);
    uint64_t began = now_ns(), instance = b ? b->instance : 0;
    domid_t back = v->back;
    int rc = waits(d, v, e);

    b = dom_by_id(v->back);
    if (b)
        was_waited_for(b, v->back == back && b->instance == instance, now_ns() - began, rc);
    return rc;
}

/* GRUB takes any state but InitWait for an answer, so a guest runs only when every back-end has got
 * there. */
int wait_backends(const struct dom *d, struct errbuf *e)
{
    int rc = 0;

    for (unsigned i = 0; i < d->nr_devs && !rc; i++)
        rc = dev_lost(&d->dev[i]) ? 0 : wait_backend(d, &d->dev[i], e);
    return rc;
}

/* --- the end ---------------------------------------------------------------------------------- */
/* The domain has ended, so its front-ends are closed, and a back-end lets go of what it has. */
void devs_close(const struct dom *d)
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16];
    uint64_t began = now_ns();
    bool let_go[ARRAY_SIZE(d->dev)];
    struct patience p;
    uint64_t is;

    for (unsigned i = 0; i < d->nr_devs; i++)
        slot_detaching(d, &d->dev[i]);
    for (unsigned i = 0; i < d->nr_devs; i++) {
        is = store_up ? backend_state(d, &d->dev[i]) : BACKEND_SILENT;
        if (is == BACKEND_SILENT)
            return;
        if (!is)
            continue;
        dev_paths(d, &d->dev[i], be, fe);
        snprintf(path, sizeof(path), "%s/state", fe);
        xs_printf(0, path, "%d", XenbusStateClosed);
        snprintf(path, sizeof(path), "%s/online", be);
        xs_write(0, path, "0");
    }
    patience_begin(&p, PATIENCE_NS, DETACH_WAIT_NS);
    for (unsigned i = 0; i < d->nr_devs; i++) {
        while ((is = backend_state(d, &d->dev[i])) && is != XenbusStateClosed &&
               is != BACKEND_SILENT && now_ns() - began < dev_patience(&d->dev[i], DETACH_WAIT_NS) &&
               !patience_ends(&p, "%s: %s: waits for its back-end to let go of it", d->cfg.name,
                              dev_text(d, &d->dev[i])))
            job_wait(now_ns() + LOOK_NS);
        if (is == BACKEND_SILENT)
            return;
        let_go[i] = !is || is == XenbusStateClosed;
    }
    for (unsigned i = 0; i < d->nr_devs; i++) {
        snprintf(path, sizeof(path), "/local/domain/%u/backend/%s/%u", d->dev[i].back,
                 type_of(&d->dev[i]), d->id);
        xs_rm(0, path);
        if (let_go[i]) /* else its entry stays for the next instance, until nothing is left of d */
            slot_remove(d, &d->dev[i]);
    }
}

/* --- the beginning ----------------------------------------------------------------------------- */
int devs_attach(struct dom *d, void (*nodes)(struct txn *t, struct dom *d, void *arg),
                struct errbuf *e)
{
    int rc = 0;

    for (unsigned i = 0; i < d->nr_devs && !rc; i++)
        rc = dev_lost(&d->dev[i]) ? 0 : slot_attach(d, &d->dev[i], e);
    if (!rc)
        rc = commit(d, nodes, NULL, e);
    for (unsigned i = 0; i < d->nr_devs && !rc; i++)
        slot_attached(d, &d->dev[i]);
    return rc;
}

/* --- the next kernel -------------------------------------------------------------------------- */
static void renew_nodes(struct txn *t, struct dom *d, void *arg)
{
    char be[DEV_PATH], fe[DEV_PATH];

    (void)arg;
    for (unsigned i = 0; i < d->nr_devs; i++) {
        dev_paths(d, &d->dev[i], be, fe);
        no_node(t, "%s", be);
        no_node(t, "%s", fe);
        if (!dev_lost(&d->dev[i]))
            dev_nodes(t, d, &d->dev[i]);
        d->dev[i].replug = d->dev[i].stalled = false;
    }
}

int devs_renew(struct dom *d, struct errbuf *e)
{
    devs_close(d);
    int rc = devs_attach(d, renew_nodes, e);
    return rc ? rc : wait_backends(d, e);
}

/* --- plugging again --------------------------------------------------------------------------- */
static void replug_nodes(struct txn *t, struct dom *d, void *arg)
{
    const struct dom_dev *old = arg;
    struct dom_dev new = *old;
    char be[DEV_PATH], fe[DEV_PATH];

    /* The back-end's side first: without it a front-end that is removed does not wait for it. */
    dev_paths(d, old, be, fe);
    no_node(t, "%s", be);
    no_node(t, "%s", fe);
    new.devid = d->next_vif;
    dev_nodes(t, d, &new);
}

static void plugged(struct dom *d, struct dom_dev *v)
{
    d->next_vif++;
    v->replug = v->plugging = false;
}

static void replug(struct dom *d, struct dom_dev *v, const char *why)
{
    struct dom_dev new = *v;
    struct errbuf e;
    uint64_t is;

    v->stalled = false;
    new.devid = d->next_vif;
    if (v->plugging &&
        v->devid == d->next_vif) { /* a former instance of ours ended between the two last steps */
        plugged(d, v);
        return;
    }
    /* Or after its commit. */
    bool committed = v->plugging && (is = backend_state(d, &new)) && is != BACKEND_SILENT;
    v->plugging = true;
    int rc = committed ? 0 : slot_attach(d, &new, &e);
    if (!rc)
        slot_detaching(d, v); /* it has no rings, or the instance that had them is gone */
    if (!rc && !committed && (rc = commit(d, replug_nodes, v, &e))) {
        slot_attached(d, v);
        slot_remove(d, &new);
    }
    if (rc) {
        v->replug = v->plugging = false;
        say("%s; %s cannot be plugged again", e.s, dev_text(d, v));
        return;
    }
    slot_attached(d, &new);
    slot_remove(d, v);
    say("%s: vif %u plugged again as vif %u: %s", d->cfg.name, v->devid, d->next_vif, why);
    WRITE_ONCE(v->devid, d->next_vif); /* first: whoever finds it so has only the rest to do */
    plugged(d, v);
}

bool dev_word(const struct dom *d, const struct dom_dev *v, const char *key, char text[DEV_WORD])
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16];

    dev_paths(d, v, be, fe);
    snprintf(path, sizeof(path), "%s/%s", be, key);
    char *why = is_about(d, v) ? xs_read(0, path) : NULL;
    if (!why)
        return false;
    struct dom *b = dom_by_id(v->back);
    snprintf(text, DEV_WORD, "%s: %.100s", b ? b->cfg.name : "its back-end", QUOTED(why));
    free(why);
    return true;
}

int dev_retry(const struct dom *d, struct dom_dev *v, struct errbuf *e)
{
    char be[DEV_PATH], fe[DEV_PATH], path[DEV_PATH + 16];

    if (!v->stalled)
        return fail(e, -EINVAL, "%s: %s does not stand still", d->cfg.name, dev_text(d, v));

    slot_chance(d, v);
    v->stalled = false;
    dev_paths(d, v, be, fe);
    snprintf(path, sizeof(path), "%s/" BH_KEY_STALLED, be);
    xs_rm(0, path);
    snprintf(path, sizeof(path), "%s/online", be);
    int rc = xs_write(0, path, "1"); /* only says that there is something to look at */
    return rc ? fail(e, rc, "%s: store: %s", d->cfg.name, errno_text(rc)) : 0;
}

/* Then each of the others would be waited for, too. */
static bool store_is_away(void) { return xs_error == ETIME; }

static void look_at(struct dom *d, struct dom_dev *v)
{
    char line[DEV_WORD];

    if (v->kind == DEV_VIF && dev_word(d, v, BH_KEY_REPLUG, line)) {
        replug(d, v, line);
        return;
    }
    bool stalled = dev_word(d, v, BH_KEY_STALLED, line);
    if (store_is_away())
        return;
    if (stalled && !v->stalled)
        say("%s: %s stands still: %s", d->cfg.name, dev_text(d, v), line);
    v->stalled = stalled;
}

/* What a driver domain says is wrong with its device: said when it changes. */
static void look_at_driver(struct dom *b)
{
    char path[48];

    snprintf(path, sizeof(path), "/local/domain/%u/error", b->id);
    char *why = xs_read(0, path);
    char problem[sizeof(b->problem)];
    if (why && strcmp(quote(problem, sizeof(problem), why), b->problem) != 0) {
        unsigned left_out;
        memcpy(b->problem, problem, sizeof(problem));
        if (*why && talk_may(&b->talk, now_ns(), &left_out))
            say("%s: %s", b->cfg.name, b->problem);
    }
    free(why);
}

static void look_at_all(void)
{
    xs_error = 0;
    for (struct dom *b = doms; b && !store_is_away(); b = b->next)
        if (b->cfg.role == BH_ROLE_DRIVER)
            look_at_driver(b);
    for (struct dom *d = doms; d; d = d->next)
        for (unsigned i = 0; i < d->nr_devs && !store_is_away(); i++) {
            struct dom_dev *v = &d->dev[i];
            struct dom *b = dom_by_id(v->back);
            char why[BH_NAME_LEN + 16];
            if (v->foreign || v->coming ||
                (v->kind == DEV_VIF && d->cfg.vif[v->index].leaving)) /* hotplug.c's */
                continue;
            if (b && (v->replug || (v->plugging && v->kind == DEV_VIF))) {
                snprintf(why, sizeof(why), v->replug ? "%s is a new one" : "%s asked for it",
                         b->cfg.name);
                replug(d, v, why);
            } else if (b) {
                look_at(d, v);
            }
        }
}

bool devs_work(void)
{
    if (!look_around || !store_up)
        return false;
    look_around = false;
    look_at_all();
    look_around |= store_is_away(); /* what they ask for is not forgotten; when that is back something comes */
    return !store_is_away();
}

static void on_backend(const char *path, void *arg)
{
    const char *key = strrchr(path, '/');

    (void)arg;
    /* Nobody but it writes these. */
    if (key && (!strcmp(key, "/" BH_KEY_GEN) || !strcmp(key, "/" BH_KEY_STATS))) {
        struct dom *b = dom_by_id((domid_t)strtoul(path + strlen("/local/domain/"), NULL, 10));
        if (b)
            b->late.vain_ns = 0;
    }
    /* The watch's own path: there were more events than the queue takes. */
    if (key && (!strcmp(key, "/" BH_KEY_REPLUG) || !strcmp(key, "/" BH_KEY_STALLED) ||
                !strcmp(key, "/backend") || !strcmp(key, "/error")))
        look_around = true;
}

static const char *const watched[] = { "backend", "error" };

void devs_driver_found(struct dom *b)
{
    char path[48];

    for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
        snprintf(path, sizeof(path), "/local/domain/%u/%s", b->id, watched[i]);
        if (xs_watch(path, on_backend, NULL))
            say("%s: what it asks for will not be seen", b->cfg.name);
    }
    look_around = true;
}

void devs_driver_up(struct dom *b)
{
    devs_driver_found(b);
    for (struct dom *d = doms; d; d = d->next)
        for (unsigned i = 0; i < d->nr_devs; i++)
            if (d->dev[i].back == b->id && d->dev[i].kind == DEV_VIF)
                d->dev[i].replug = true;
}

void devs_driver_gone(struct dom *b)
{
    char path[48];

    for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
        snprintf(path, sizeof(path), "/local/domain/%u/%s", b->id, watched[i]);
        xs_unwatch(path, on_backend, NULL);
    }
}
