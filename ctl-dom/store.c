/* SPDX-License-Identifier: MIT */
/*
 * What the toolstack writes into the store, in the layout of Xen's: /local/domain/ID for each
 * domain, and both sides of each device. A guest owns its front-end nodes, a driver domain its
 * back-end nodes, each may read the other's.
 */
#include "ctl.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>

#define BACKEND_WAIT_NS 15000000000ull /* a driver domain may be in its back-off */
#define DETACH_WAIT_NS  500000000ull
#define CONNECT_WAIT_NS 5000000000ull

bool store_up;
static void *ctl_page;
static int ctl_ref, ctl_port;

/* --- the connection --------------------------------------------------------------------------- */
int store_prepare(struct dom *store, struct errbuf *e)
{
    ctl_page = page_alloc(1);
    if (!ctl_page)
        return fail(e, -ENOMEM, "store: out of memory");
    ctl_ref = grant_give(store->id, ctl_page, 0);
    ctl_port = event_alloc_unbound(store->id, NULL, NULL);
    if (ctl_ref < 0 || ctl_port < 0)
        return fail(e, ctl_ref < 0 ? ctl_ref : ctl_port, "store: no ring to it");
    size_t at = strlen(store->words);
    snprintf(store->words + at, sizeof(store->words) - at, " ctl_ref=%d ctl_port=%d", ctl_ref,
             ctl_port);
    return 0;
}

int store_connect(void)
{
    int rc = xs_attach(ctl_page, (uint32_t)ctl_port);
    uint64_t end = now_ns() + CONNECT_WAIT_NS;

    /* The first request waits in the ring until the store has bound its end; nothing is lost
     * before. */
    while (!rc && now_ns() < end) {
        rc = xs_mkdir(0, "/local/domain");
        if (!rc)
            break;
        if (rc == -EEXIST)
            rc = 0;
    }
    if (!rc)
        rc = xs_mkdir(0, "/local/domain/0/backend");
    if (!rc)
        rc = xs_printf(0, "/local/domain/0/name", "control");
    store_up = !rc;
    return rc;
}

/* --- one node, in a transaction that remembers its first error -------------------------------- */
struct txn {
    uint32_t tx;
    int rc;
};

/* perms: NULL leaves what the parent gives. */
__attribute__((format(printf, 4, 5))) static void node(struct txn *t, const char *val,
                                                       const char *perms, const char *fmt, ...)
{
    char path[160];
    va_list ap;

    if (t->rc)
        return;
    va_start(ap, fmt);
    vsnprintf(path, sizeof(path), fmt, ap);
    va_end(ap);
    t->rc = val ? xs_write(t->tx, path, val) : xs_mkdir(t->tx, path);
    if (!t->rc && perms)
        t->rc = xs_set_perms(t->tx, path, perms);
}

static const char *num(uint64_t v)
{
    static char text[4][24];
    static unsigned turn_of;
    char *s = text[turn_of++ % 4];

    snprintf(s, sizeof(text[0]), "%lu", v);
    return s;
}

static void domain_nodes(struct txn *t, const struct dom *d)
{
    static const char *const own[] = {
        "control/shutdown",
        "control/sysrq",
        "control/feature-poweroff",
        "control/feature-reboot",
        "control/feature-suspend",
        "device/suspend/event-channel",
        "data",
        "drivers",
        "feature",
        "attr",
        "error",
    };
    char ro[32], rw[32];
    uint64_t kib = (uint64_t)d->cfg.memory_mb * 1024;

    snprintf(ro, sizeof(ro), "n0 r%u", d->id);
    snprintf(rw, sizeof(rw), "n%u", d->id);
    node(t, NULL, ro, "/local/domain/%u", d->id);
    node(t, d->cfg.name, NULL, "/local/domain/%u/name", d->id);
    node(t, num(d->id), NULL, "/local/domain/%u/domid", d->id);
    node(t, num(kib), NULL, "/local/domain/%u/memory/static-max", d->id);
    node(t, num(kib), NULL, "/local/domain/%u/memory/target", d->id);
    node(t, num(d->store_port), NULL, "/local/domain/%u/store/port", d->id);
    node(t, num(d->store_gfn), NULL, "/local/domain/%u/store/ring-ref", d->id);
    for (unsigned i = 0; i < d->cfg.vcpus; i++)
        node(t, "online", NULL, "/local/domain/%u/cpu/%u/availability", d->id, i);
    node(t, NULL, ro, "/local/domain/%u/device", d->id);
    node(t, NULL, ro, "/local/domain/%u/control", d->id);
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
        node(t, "", rw, "/local/domain/%u/%s", d->id, own[i]);
    if (d->cfg.role == BH_ROLE_DRIVER || d->cfg.role == BH_ROLE_PCIBACK)
        node(t, NULL, rw, "/local/domain/%u/backend", d->id);
}

/* The back-end and the front-end directory of one device, with what both sides always have. */
static void device_nodes(struct txn *t, const struct dom *d, const char *type, unsigned devid,
                         domid_t back)
{
    char perms[32], path[96];

    snprintf(perms, sizeof(perms), "n%u r%u", back, d->id);
    snprintf(path, sizeof(path), "/local/domain/%u/device/%s/%u", d->id, type, devid);
    node(t, NULL, perms, "/local/domain/%u/backend/%s/%u", back, type, d->id);
    node(t, NULL, perms, "/local/domain/%u/backend/%s/%u/%u", back, type, d->id, devid);
    node(t, path, NULL, "/local/domain/%u/backend/%s/%u/%u/frontend", back, type, d->id, devid);
    node(t, num(d->id), NULL, "/local/domain/%u/backend/%s/%u/%u/frontend-id", back, type, d->id,
         devid);
    node(t, "1", NULL, "/local/domain/%u/backend/%s/%u/%u/online", back, type, d->id, devid);
    snprintf(perms, sizeof(perms), "n%u r%u", d->id, back);
    node(t, NULL, perms, "%s", path);
    node(t, num(back), NULL, "%s/backend-id", path);
    snprintf(perms, sizeof(perms), "/local/domain/%u", back);
    char backend[96];
    snprintf(backend, sizeof(backend), "%s/backend/%s/%u/%u", perms, type, d->id, devid);
    node(t, backend, NULL, "%s/backend", path);
}

/* The state nodes come last: they are what the two sides act on. */
static void device_ready(struct txn *t, const struct dom *d, const char *type, unsigned devid,
                         domid_t back)
{
    const char *initialising = num(XenbusStateInitialising);

    node(t, initialising, NULL, "/local/domain/%u/device/%s/%u/state", d->id, type, devid);
    node(t, initialising, NULL, "/local/domain/%u/backend/%s/%u/%u/state", back, type, d->id,
         devid);
}

static domid_t vif_backend(const struct cfg_vif *v)
{
    const char *name = v->backend[0] ? v->backend : v->bridge;
    struct dom *b = *name ? dom_by_name(name) : first_net_backend();

    return b && b->cfg.role == BH_ROLE_DRIVER ? b->id : NO_DOMID;
}

/* Addresses of the range that Xen's users know (00:16:3e), the rest from the domid, which is never
 * used twice. */
static void vif_mac(const struct dom *d, unsigned devid, char *mac, size_t n)
{
    const struct cfg_vif *v = &d->cfg.vif[devid];

    if (v->has_mac)
        snprintf(mac, n, "%02x:%02x:%02x:%02x:%02x:%02x", v->mac[0], v->mac[1], v->mac[2],
                 v->mac[3], v->mac[4], v->mac[5]);
    else
        snprintf(mac, n, "00:16:3e:%02x:%02x:%02x", d->id >> 8, d->id & 0xff, devid);
}

static void vif_nodes(struct txn *t, const struct dom *d, unsigned devid)
{
    const struct cfg_vif *v = &d->cfg.vif[devid];
    domid_t back = vif_backend(v);
    struct dom *b = dom_by_id(back);
    char mac[24], base[64];

    vif_mac(d, devid, mac, sizeof(mac));
    device_nodes(t, d, "vif", devid, back);
    snprintf(base, sizeof(base), "/local/domain/%u/backend/vif/%u/%u", back, d->id, devid);
    node(t, mac, NULL, "%s/mac", base);
    node(t, num(devid), NULL, "%s/handle", base);
    node(t, b ? b->cfg.name : "", NULL, "%s/bridge", base);
    node(t, "", NULL, "%s/script", base);
    node(t, "vif", NULL, "%s/type", base);
    snprintf(base, sizeof(base), "/local/domain/%u/device/vif/%u", d->id, devid);
    node(t, mac, NULL, "%s/mac", base);
    node(t, num(devid), NULL, "%s/handle", base);
    device_ready(t, d, "vif", devid, back);
}

/* The pciif layout, with one directory for all devices of the domain. */
static void pci_nodes(struct txn *t, const struct dom *d)
{
    char base[64];

    snprintf(base, sizeof(base), "/local/domain/%u/backend/pci/%u/0", BH_DOMID_PCIBACK, d->id);
    device_nodes(t, d, "pci", 0, BH_DOMID_PCIBACK);
    for (unsigned i = 0; i < d->cfg.nr_pci; i++) {
        node(t, sbdf_text(d->cfg.pci[i]), NULL, "%s/dev-%u", base, i);
        node(t, num(i << 3), NULL, "%s/vdevfn-%u", base, i);
    }
    node(t, num(d->cfg.nr_pci), NULL, "%s/num_devs", base);
    device_ready(t, d, "pci", 0, BH_DOMID_PCIBACK);
}

static int check_vifs(const struct dom *d, struct errbuf *e)
{
    for (unsigned i = 0; i < d->cfg.nr_vifs; i++) {
        const struct cfg_vif *v = &d->cfg.vif[i];
        struct dom *b = v->backend[0] ? dom_by_name(v->backend) : NULL;

        if (vif_backend(v) == NO_DOMID)
            return fail(e, -ENOENT, "%s: vif %u: no net driver domain %s", d->cfg.name, i,
                        v->backend[0]  ? v->backend
                        : v->bridge[0] ? v->bridge
                                       : "runs");
        /* A driver domain has one switch, which bears the domain's name. */
        if (b && v->bridge[0] && strcmp(b->cfg.name, v->bridge) != 0)
            return fail(e, -ENOENT, "%s: vif %u: no bridge %s in %s", d->cfg.name, i, v->bridge,
                        b->cfg.name);
    }
    return 0;
}

/* Runs fill in a transaction until no other writer was in its way. */
static int commit(struct dom *d, void (*fill)(struct txn *t, const struct dom *d), struct errbuf *e)
{
    struct txn t = { .rc = -EAGAIN };

    for (unsigned tries = 0; t.rc == -EAGAIN && tries < 20; tries++) {
        t.rc = xs_tx_start(&t.tx);
        if (t.rc)
            break;
        fill(&t, d);
        int rc = xs_tx_end(t.tx, !t.rc);
        t.rc = t.rc ? t.rc : rc;
    }
    return t.rc ? fail(e, t.rc, "%s: store: %s", d->cfg.name, errno_text(t.rc)) : 0;
}

static void all_nodes(struct txn *t, const struct dom *d)
{
    domain_nodes(t, d);
    for (unsigned i = 0; i < d->cfg.nr_vifs; i++)
        vif_nodes(t, d, i);
    if (d->cfg.nr_pci)
        pci_nodes(t, d);
}

int store_add_domain(struct dom *d, struct errbuf *e)
{
    int rc = check_vifs(d, e);

    if (rc)
        return rc;
    d->in_store = true; /* also what a commit that failed may have left */
    return commit(d, all_nodes, e);
}

int store_add_pci(struct dom *d, struct errbuf *e) { return commit(d, pci_nodes, e); }

/* --- introduce, release, wait ----------------------------------------------------------------- */
int store_introduce(const struct dom *d)
{
    char msg[64];
    int n = snprintf(msg, sizeof(msg), "%u %lu %u", d->id, d->store_gfn, d->store_port);

    for (int i = 0; i < n; i++)
        if (msg[i] == ' ')
            msg[i] = '\0';
    return xs_raw(XS_INTRODUCE, 0, msg, (uint32_t)n + 1, NULL, NULL);
}

void store_release(const struct dom *d)
{
    char msg[8];
    int n = snprintf(msg, sizeof(msg), "%u", d->id);

    xs_raw(XS_RELEASE, 0, msg, (uint32_t)n + 1, NULL, NULL);
}

static uint64_t backend_state(const struct dom *d, const char *type, unsigned devid, domid_t back)
{
    char path[96];
    uint64_t v = 0;

    snprintf(path, sizeof(path), "/local/domain/%u/backend/%s/%u/%u/state", back, type, d->id,
             devid);
    return xs_read_uint(0, path, &v) ? 0 : v;
}

static bool backends_in(const struct dom *d, uint64_t state, unsigned *missing)
{
    for (unsigned i = 0; i < d->cfg.nr_vifs; i++) {
        uint64_t is = backend_state(d, "vif", i, vif_backend(&d->cfg.vif[i]));
        if (is != state && is != 0) {
            *missing = i;
            return false;
        }
        if (!is && state == XenbusStateInitWait) {
            *missing = i;
            return false;
        }
    }
    return true;
}

/* GRUB takes any state but InitWait for an answer, so a guest runs only when every back-end has got
 * there. */
int store_wait_backends(const struct dom *d, struct errbuf *e)
{
    uint64_t end = now_ns() + BACKEND_WAIT_NS;
    unsigned missing = 0;

    while (!backends_in(d, XenbusStateInitWait, &missing)) {
        if (now_ns() >= end) {
            struct dom *b = dom_by_id(vif_backend(&d->cfg.vif[missing]));
            return fail(e, -ETIME, "%s: vif %u: %s does not answer", d->cfg.name, missing,
                        b ? b->cfg.name : "its back-end");
        }
        turn(now_ns() + 2000000);
    }
    return 0;
}

int store_control(const struct dom *d, const char *what)
{
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", d->id);
    return xs_write(0, path, what);
}

/* --- the end of a domain ---------------------------------------------------------------------- */
static void ask_backends_to_close(const struct dom *d)
{
    char path[96];
    unsigned missing;

    for (unsigned i = 0; i < d->cfg.nr_vifs; i++) {
        domid_t back = vif_backend(&d->cfg.vif[i]);
        if (back == NO_DOMID || !backend_state(d, "vif", i, back))
            continue;
        snprintf(path, sizeof(path), "/local/domain/%u/backend/vif/%u/%u/online", back, d->id, i);
        xs_write(0, path, "0");
        snprintf(path, sizeof(path), "/local/domain/%u/backend/vif/%u/%u/state", back, d->id, i);
        xs_printf(0, path, "%d", XenbusStateClosing);
    }
    for (uint64_t end = now_ns() + DETACH_WAIT_NS;
         now_ns() < end && !backends_in(d, XenbusStateClosed, &missing);)
        turn(now_ns() + 2000000);
}

void store_remove_domain(struct dom *d)
{
    char path[96];

    if (!store_up || !d->in_store)
        return;
    if (d->introduced)
        ask_backends_to_close(d);
    for (unsigned i = 0; i < d->cfg.nr_vifs; i++) {
        snprintf(path, sizeof(path), "/local/domain/%u/backend/vif/%u", vif_backend(&d->cfg.vif[i]),
                 d->id);
        xs_rm(0, path);
    }
    if (d->cfg.nr_pci) {
        snprintf(path, sizeof(path), "/local/domain/%u/backend/pci/%u", BH_DOMID_PCIBACK, d->id);
        xs_rm(0, path);
    }
    snprintf(path, sizeof(path), "/local/domain/%u", d->id);
    xs_rm(0, path);
    if (d->introduced)
        store_release(d);
    d->in_store = d->introduced = false;
}
