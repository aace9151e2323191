/* SPDX-License-Identifier: MIT */
/* nodes.h. */
#include "nodes.h"
#include <bh.h>
#include <devname.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/pciif.h>
#include <xen/io/xenbus.h>
#include "device.h"
#include "pciif.h"

#define ROOT      "backend/pci"
#define CFG_BYTES 256u
#define MAX_DEVS  16u
#define BASE      48
#define SAY_LINES 8u /* of one front-end in */
#define SAY_NS    (10 * NS_PER_S)

static bool look = true; /* something may have changed since the last look began */

/* An owner whose front-end is watched, since it has a directory. */
static struct owner {
    bool used, there;
    domid_t dom;
    char fe_state[40];
    char said[64]; /* what was said last of its connection */
    uint64_t say_from;
    unsigned lines; /* since then */
} owners[PCIIF_MOST];

/* The store is away, or somebody wrote meanwhile: it is tried again. A connection that is broken begins anew with the next instance. */
static bool no_answer(int rc)
{
    if (rc == -EIO)
        bh_panic("the connection to the store is broken");
    return rc == -ETIME || rc == -ENOTCONN || rc == -EAGAIN || rc == -ENOMEM;
}

static void changed(const char *path, void *arg)
{
    (void)path, (void)arg;
    look = true;
}

/* Below an owner's directory. */
static char *read_node(uint32_t tx, const char *base, const char *fmt, unsigned n)
{
    char path[96];
    int len = snprintf(path, sizeof(path), "%s/", base);

    snprintf(path + len, sizeof(path) - (size_t)len, fmt, n);
    return xs_read(tx, path);
}

static int read_number(uint32_t tx, const char *base, const char *fmt, unsigned n, uint64_t *v)
{
    char path[96];
    int len = snprintf(path, sizeof(path), "%s/", base);

    snprintf(path + len, sizeof(path) - (size_t)len, fmt, n);
    return xs_read_uint(tx, path, v);
}

static int write_node(uint32_t tx, const char *base, const char *key, unsigned n, const char *text)
{
    char path[96];
    int len = snprintf(path, sizeof(path), "%s/", base);

    snprintf(path + len, sizeof(path) - (size_t)len, key, n);
    return xs_write(tx, path, text);
}

static int write_number(uint32_t tx, const char *base, const char *key, unsigned n, unsigned v)
{
    char text[12];

    snprintf(text, sizeof(text), "%u", v);
    return write_node(tx, base, key, n, text);
}

/* --- one device ------------------------------------------------------------------------------------------------------ */

/* The filtered configuration space as text. 0 or the core's refusal. */
static int read_config(uint32_t sbdf, char text[2 * CFG_BYTES + 1])
{
    for (unsigned off = 0; off < CFG_BYTES; off += 4) {
        struct bh_pci_cfg c = { .sbdf = sbdf, .off = (uint16_t)off, .size = 4 };
        long rc = bh_ctl_pci_cfg(&c);
        if (rc)
            return (int)rc;
        for (unsigned i = 0; i < 4; i++)
            snprintf(text + 2 * (off + i), 3, "%02x", c.value >> i * 8 & 0xff);
    }
    return 0;
}

/* Where its owner sees it: there from now on. 0 or the store's error. */
static int show(uint32_t tx, const char *base, domid_t owner, unsigned n, uint32_t sbdf)
{
    uint64_t want = 0;
    char text[20];

    int rc = read_number(tx, base, "vdevfn-%u", n, &want);
    if (no_answer(rc))
        return rc;
    int devfn = vconfig_add(owner, sbdf, rc || want > 0xff ? -1 : (int)want);
    if (devfn < 0) {
        printf("devices of domain %u: no room to show number %u\n", owner, n);
        return 0;
    }
    snprintf(text, sizeof(text), "0000:00:%02x.%02x", (unsigned)devfn >> 3, (unsigned)devfn & 7);
    rc = write_node(tx, base, "vdev-%u", n, text);
    return rc ? rc : write_number(tx, base, "state-%u", n, XenbusStateInitialised);
}

/* Describes device n of an owner. 0 or the store's error; *why: what is wrong with the device. */
static int describe(uint32_t tx, const char *base, domid_t owner, unsigned n, const char **why)
{
    char path[96], text[2 * CFG_BYTES + 1], perms[32];
    uint32_t sbdf;

    char *dev = read_node(tx, base, "dev-%u", n);
    if (!dev && no_answer(-xs_error))
        return -xs_error;
    bool ok = dev && pci_parse(dev, &sbdf);
    free(dev);
    if (!ok) {
        *why = "dev-N is missing or is no device address";
        return 0;
    }
    int rc = read_config(sbdf, text);
    if (rc) {
        *why = rc == -EACCES   ? "the device is not hidden"
               : rc == -ENOENT ? "no such device"
                               : "the core refuses it";
        return 0;
    }
    snprintf(path, sizeof(path), "%s/cfg-%u", base, n);
    snprintf(perms, sizeof(perms), "n%u r%u", self.domid, owner);
    rc = xs_write(tx, path, text);
    if (!rc)
        rc = xs_set_perms(tx, path, perms);
    return rc ? rc : show(tx, base, owner, n, sbdf);
}

/* Devices that go: their owner sees them no more once that is in the store, whatever the core has done with them so far. Before that control may think
 * better of it. */
static uint32_t going[MAX_DEVS];
static unsigned nr_going;

static int hide(uint32_t tx, const char *base, unsigned n)
{
    uint32_t sbdf;

    char *dev = read_node(tx, base, "dev-%u", n);
    if (!dev && no_answer(-xs_error))
        return -xs_error;
    if (dev && pci_parse(dev, &sbdf))
        going[nr_going++] = sbdf;
    free(dev);
    return write_number(tx, base, "state-%u", n, XenbusStateClosed);
}

/* --- all of an owner's ----------------------------------------------------------------------------------------------- */

/* All of them, or those that control marked: that one is new, or that it is to go. */
static int look_at(uint32_t tx, const char *base, domid_t owner, bool all, const char **why)
{
    uint64_t n, state = XenbusStateInitialising;

    int rc = read_number(tx, base, "num_devs", 0, &n);
    if (no_answer(rc))
        return rc;
    if (rc || n > MAX_DEVS)
        *why = "num_devs is missing or too large";
    rc = 0;
    for (unsigned i = 0; !rc && !*why && i < n; i++) {
        if (!all && no_answer(rc = read_number(tx, base, "state-%u", i, &state)))
            return rc;
        rc = rc                                 ? 0 /* it has none */
             : state == XenbusStateInitialising ? describe(tx, base, owner, i, why)
             : state == XenbusStateClosing      ? hide(tx, base, i)
                                                : 0;
    }
    if (!rc && !*why)
        rc = write_number(tx, base, "root_num", 0, 1);
    return rc || *why ? rc : write_node(tx, base, "root-0", 0, "0000:00");
}

static bool front_lives(uint64_t fe)
{
    return fe == XenbusStateInitialised || fe == XenbusStateConnected ||
           fe == XenbusStateReconfiguring || fe == XenbusStateReconfigured;
}

/* What our state becomes, 0: it stays. A front-end is given time to let go of what goes (it writes 7, too), and to look at what is new (4). */
static unsigned next_state(uint64_t state, uint64_t fe, bool refused)
{
    switch (state) {
    case XenbusStateInitialising:
    case XenbusStateInitWait: return XenbusStateConnected;
    case XenbusStateConnected:
        return fe == XenbusStateClosing || fe == XenbusStateClosed ? XenbusStateClosed : 0;
    case XenbusStateClosed:
        return !refused && fe != XenbusStateClosing && fe != XenbusStateClosed ? XenbusStateConnected
                                                                               : 0;
    case XenbusStateReconfiguring:
        return !front_lives(fe)                 ? XenbusStateConnected
               : fe == XenbusStateReconfiguring ? XenbusStateReconfigured
                                                : 0;
    case XenbusStateReconfigured: return fe != XenbusStateReconfiguring ? XenbusStateConnected : 0;
    default: return 0;
    }
}

struct states {
    uint64_t be, fe;
    bool refused;
};

/* 0: there is an owner. */
static int read_states(uint32_t tx, const char *base, domid_t owner, struct states *s)
{
    char fe[40];

    *s = (struct states){ .be = 0 };
    int rc = read_number(tx, base, "state", 0, &s->be);
    if (rc)
        return rc;
    snprintf(fe, sizeof(fe), "/local/domain/%u/device/pci/0", owner);
    rc = read_number(tx, fe, "state", 0, &s->fe);
    if (no_answer(rc))
        return rc;
    if (s->be == XenbusStateClosed) {
        char *error = read_node(tx, base, "error", 0);
        s->refused = error || xs_error != ENOENT;
        free(error);
        if (!error && no_answer(-xs_error))
            return -xs_error;
    }
    return 0;
}

static int change(uint32_t tx, const char *base, domid_t owner, const struct states *s, unsigned next)
{
    bool anew = s->be == XenbusStateInitialising || s->be == XenbusStateInitWait,
         looks = anew || s->be == XenbusStateReconfiguring;
    const char *why = NULL;

    int rc = looks ? look_at(tx, base, owner, anew, &why) : 0;
    if (!rc && why)
        rc = write_node(tx, base, "error", 0, why);
    if (!rc)
        rc = write_number(tx, base, "state", 0, why ? XenbusStateClosed : next);
    if (!rc && looks)
        printf("devices of domain %u: %s\n", owner, why ? why : "described");
    return rc;
}

/* One change in one transaction: all of it or nothing. False: to be tried again. */
static bool settle(domid_t owner, const char *base, struct states *s)
{
    uint32_t tx;

    int rc = read_states(0, base, owner, s);
    if (rc || !next_state(s->be, s->fe, s->refused))
        return !no_answer(rc);
    rc = xs_tx_start(&tx);
    if (rc && !no_answer(rc)) /* whose ends were not answered are used up: the next instance has none */
        bh_panic("the store refuses a transaction: %d", rc);
    if (rc)
        return false;
    rc = read_states(tx, base, owner,
                     s); /* from here on nobody else changes it, or the end is refused */
    unsigned next = rc ? 0 : next_state(s->be, s->fe, s->refused);
    nr_going = 0;
    if (!rc && next)
        rc = change(tx, base, owner, s, next);
    int end = xs_tx_end(tx, !rc && next);
    rc = rc ? rc : end;
    if (rc && !no_answer(rc))
        printf("devices of domain %u: the store does not take their description: %d\n", owner, rc);
    if (!rc && next) {
        for (unsigned i = 0; i < nr_going; i++)
            vconfig_remove(owner, going[i]);
        s->be = next;
        look = true; /* there may be a next one */
        bh_served();
    }
    return !no_answer(rc);
}

/* --- connections ----------------------------------------------------------------------------------------------------- */

static void say_once(struct owner *o, const char *what)
{
    if (!strcmp(o->said, what))
        return;
    snprintf(o->said, sizeof(o->said), "%s", what);
    if (now_ns() - o->say_from >= SAY_NS) {
        o->say_from = now_ns();
        o->lines = 0;
    }
    if (*what && o->lines++ < SAY_LINES)
        printf("devices of domain %u: its front-end %s\n", o->dom, what);
}

/* What the front-end wrote is a claim: a wrong one is its own loss. False: to be tried again. */
static bool follow(struct owner *o, const struct states *s)
{
    char fe[40];
    uint64_t ref, port;

    if (s->fe == XenbusStateClosing || s->fe == XenbusStateClosed)
        pciif_disconnect(o->dom);
    if (!front_lives(s->fe)) { /* none, or one to come: another's connection stays until it has its own */
        say_once(o, "");
        return true;
    }
    snprintf(fe, sizeof(fe), "/local/domain/%u/device/pci/0", o->dom);
    char *magic = read_node(0, fe, "magic", 0);
    if (!magic && no_answer(-xs_error))
        return false;
    bool ours = magic && !strcmp(magic, XEN_PCI_MAGIC);
    free(magic);
    int rc = read_number(0, fe, "pci-op-ref", 0, &ref);
    if (!rc)
        rc = read_number(0, fe, "event-channel", 0, &port);
    if (no_answer(rc))
        return false;
    if (!ours || rc || ref >> 32 || port >> 32) {
        pciif_disconnect(o->dom);
        say_once(o, "speaks another protocol, or names no page and port");
        return true;
    }
    rc = pciif_connect(o->dom, (uint32_t)ref, (uint32_t)port);
    say_once(o, rc ? "is not served: its page or port is not to be had" : "is served");
    return true;
}

/* --- which owners there are ------------------------------------------------------------------------------------------ */

static struct owner *place_of(domid_t dom)
{
    struct owner *free_one = NULL;

    for (unsigned i = 0; i < PCIIF_MOST; i++) {
        struct owner *o = &owners[i];
        if (o->used && o->dom == dom)
            return o;
        if (!o->used && !free_one)
            free_one = o;
    }
    if (free_one) {
        *free_one = (struct owner){ .dom = dom };
        snprintf(free_one->fe_state, sizeof(free_one->fe_state),
                 "/local/domain/%u/device/pci/0/state", dom);
    }
    return free_one;
}

static bool one_owner(domid_t dom)
{
    struct owner *o = place_of(dom); /* NULL: one too many to be a front-end */
    struct states s;
    char base[BASE];

    if (o && !o->used && xs_watch(o->fe_state, changed, NULL))
        return false;
    if (o)
        o->used = o->there = true;
    snprintf(base, sizeof(base), ROOT "/%u/0", dom);
    return settle(dom, base, &s) && (!o || follow(o, &s));
}

static void owner_gone(struct owner *o)
{
    xs_unwatch(o->fe_state, changed, NULL);
    o->used = false;
    pciif_disconnect(o->dom);
}

static bool is_there(domid_t dom)
{
    for (unsigned i = 0; i < PCIIF_MOST; i++)
        if (owners[i].used && owners[i].dom == dom)
            return true;
    return false;
}

/* All of it. False: the store did not answer, or somebody wrote meanwhile. */
static bool scan(void)
{
    unsigned n;
    char **list = xs_ls(0, ROOT, &n);
    bool all = true;

    if (!list && no_answer(-xs_error))
        return false;
    for (unsigned i = 0; i < PCIIF_MOST; i++)
        owners[i].there = false;
    for (unsigned i = 0; list && i < n; i++) {
        char *end;
        unsigned long id = strtoul(list[i], &end, 10);
        if (end != list[i] && !*end && id < DOMID_FIRST_RESERVED)
            all &= one_owner((domid_t)id);
    }
    free(list);
    for (unsigned i = 0; i < PCIIF_MOST; i++)
        if (owners[i].used && !owners[i].there)
            owner_gone(&owners[i]);
    if (!all)
        return false;
    /* Of a former instance, and gone since. */
    for (int dom = pciif_front(-1); dom >= 0; dom = pciif_front(dom))
        if (!is_there((domid_t)dom))
            pciif_disconnect((domid_t)dom);
    device_drop();
    return true;
}

int nodes_begin(void) { return xs_watch(ROOT, changed, NULL); }

bool nodes_changed(void) { return look; }

bool nodes_work(void)
{
    look = false;
    bool all = scan();
    look |= !all;
    return all;
}
