/* SPDX-License-Identifier: MIT */
/* The xenbus side of a back-end: backend.h. The directories and states are those of <xen/io/xenbus.h>. */
#include <backend.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xenbus.h>

#define RETRY_NS 200000000ull
#define BE_KEY   96 /* bytes of a path in a device's own directory */

static const struct be_class *cls;
static bool rescan, scan_failed, watching;
static uint64_t retry_at; /* what failed is tried again then; 0: nothing did */
static struct dtimer retry_timer;

/* --- trying again ---------------------------------------------------------------------------------------------- */

static void retry_due(struct dtimer *t) { (void)t; }

void be_retry(struct be_dev *d)
{
    if (d)
        d->later = true;
    if (retry_at)
        return; /* not moved on: who fails all the time would put everybody off */
    retry_at = now_ns() + RETRY_NS;
    retry_timer.fn = retry_due;
    dtimer_set(&retry_timer, retry_at);
}

static void retry_now(void)
{
    struct be_dev *d;

    if (!retry_at || now_ns() < retry_at)
        return;
    retry_at = 0;
    for (unsigned i = 0; (d = cls->place(i)); i++) {
        d->dirty |= d->later;
        d->later = false;
    }
}

/* --- nodes ----------------------------------------------------------------------------------------------------- */

static void key_path(const struct be_dev *d, char *buf, const char *key)
{
    snprintf(buf, BE_KEY, "backend/%s/%u/%u/%s", cls->type, d->dom, d->devid, key);
}

char *be_read(const struct be_dev *d, const char *key)
{
    char path[BE_KEY];

    key_path(d, path, key);
    return xs_read(0, path);
}

bool be_write(struct be_dev *d, const char *key, const char *val)
{
    char path[BE_KEY];

    key_path(d, path, key);
    if (!xs_write(0, path, val))
        return true;
    be_retry(d);
    return false;
}

bool be_write_number(struct be_dev *d, const char *key, uint64_t n)
{
    char val[24];

    snprintf(val, sizeof(val), "%lu", n);
    return be_write(d, key, val);
}

void be_remove(const struct be_dev *d, const char *key)
{
    char path[BE_KEY];

    key_path(d, path, key);
    (void)xs_rm(0, path);
}

bool be_nothing_there(int error) { return error == ENOENT || error == EINVAL || error == EACCES; }

static bool number_at(const char *path, uint64_t absent, uint64_t *val)
{
    int rc = xs_read_uint(0, path, val);

    if (be_nothing_there(-rc))
        *val = absent;
    return !rc || be_nothing_there(-rc);
}

bool be_number(const char *dir, const char *key, uint64_t absent, uint64_t *val)
{
    char path[BE_PATH + 48];

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    return number_at(path, absent, val);
}

bool be_read_number(struct be_dev *d, const char *key, uint64_t absent, uint64_t *val)
{
    char path[BE_KEY];

    key_path(d, path, key);
    if (number_at(path, absent, val))
        return true;
    be_retry(d);
    return false;
}

void be_set_state(struct be_dev *d, int state)
{
    if (d->state != state && be_write_number(d, "state", (uint64_t)state))
        d->state = state;
}

/* --- one device ------------------------------------------------------------------------------------------------ */

static void fe_changed(const char *path, void *arg)
{
    (void)path;
    ((struct be_dev *)arg)->dirty = true;
}

static void unwatch(struct be_dev *d)
{
    char path[BE_PATH + 8];

    if (!d->watched)
        return;
    snprintf(path, sizeof(path), "%s/state", d->fe_path);
    xs_unwatch(path, fe_changed, d);
    d->watched = false;
}

static bool watch(struct be_dev *d)
{
    char path[BE_PATH + 8];

    if (d->watched)
        return true;
    snprintf(path, sizeof(path), "%s/state", d->fe_path);
    d->watched = !xs_watch(path, fe_changed, d);
    if (!d->watched)
        be_retry(d);
    return d->watched;
}

/* Where the front-end is; once, a watch on its state. false: try again, or it is gone. */
static bool identify(struct be_dev *d)
{
    char *fe = be_read(d, "frontend");
    bool same = fe && !strcmp(fe, d->fe_path);

    if (!fe && xs_error != ENOENT) {
        be_retry(d);
    } else if (!fe && cls->disconnect(d)) {
        unwatch(d);
        cls->forget(d);
    } else if (fe && !same && cls->disconnect(d)) {
        unwatch(d);
        d->state = 0;
        strlcpy(d->fe_path, fe, sizeof(d->fe_path));
        same = true;
    }
    free(fe);
    return same && watch(d);
}

/* false: as identify. */
static bool learn(struct be_dev *d)
{
    uint64_t state;

    if (!identify(d))
        return false;
    if (d->state)
        return true;
    if (!be_read_number(d, "state", XenbusStateInitialising, &state))
        return false;
    d->state = state && state <= XenbusStateClosed ? (int)state : XenbusStateInitialising;
    return true;
}

static void look(struct be_dev *d)
{
    uint64_t fe, online;

    d->dirty = false;
    if (!learn(d))
        return;
    if (!be_read_number(d, "online", 1, &online))
        return;
    if (!be_number(d->fe_path, "state", XenbusStateUnknown, &fe)) {
        be_retry(d);
        return;
    }
    cls->follow(d, fe, online);
}

/* --- all of them ----------------------------------------------------------------------------------------------- */

/* false: there is no place for it. */
static bool found(unsigned dom, unsigned devid)
{
    struct be_dev *d, *spare = NULL;

    for (unsigned i = 0; (d = cls->place(i)); i++) {
        if (d->used && d->dom == dom && d->devid == devid) {
            d->dirty = true;
            return true;
        }
        if (!d->used && !spare)
            spare = d;
    }
    if (!spare)
        return false;
    spare->used = spare->dirty = true;
    spare->dom = (domid_t)dom;
    spare->devid = devid;
    return true;
}

static void scan_later(void)
{
    rescan = scan_failed = true;
    be_retry(NULL);
}

/* Whoever made it waits for an answer. */
static void refuse(unsigned dom, unsigned devid)
{
    struct be_dev d = {.dom = (domid_t)dom, .devid = devid};
    char why[64];
    unsigned n = 0;

    while (cls->place(n))
        n++;
    snprintf(why, sizeof(why), "it has %u %s already, that is all it can", n, cls->what);
    printf("%s%u.%u: refused: %s\n", cls->type, dom, devid, why);
    if (!be_write(&d, "bh-error", why))
        scan_later();
}

static bool number(const char *s, unsigned max, unsigned *v)
{
    char *end;
    unsigned long n = strtoul(s, &end, 10);

    *v = (unsigned)n;
    return end != s && (!*end || *end == '/') && n <= max;
}

static void scan(void)
{
    unsigned ndoms, ndevs, dom, devid;
    struct be_dev *d;
    char path[48];

    rescan = scan_failed = false;
    for (unsigned i = 0; (d = cls->place(i)); i++)
        d->dirty = d->used;
    snprintf(path, sizeof(path), "backend/%s", cls->type);
    char **doms = xs_ls(0, path, &ndoms);
    bool all = doms || xs_error == ENOENT;
    for (unsigned i = 0; doms && i < ndoms; i++) {
        if (!number(doms[i], DOMID_FIRST_RESERVED - 1, &dom))
            continue;
        snprintf(path, sizeof(path), "backend/%s/%u", cls->type, dom);
        char **devs = xs_ls(0, path, &ndevs);
        all = all && (devs || xs_error == ENOENT);
        for (unsigned k = 0; devs && k < ndevs; k++) {
            if (number(devs[k], cls->max_devid, &devid) && !found(dom, devid))
                refuse(dom, devid);
        }
        free(devs);
    }
    free(doms);
    if (!all)
        scan_later(); /* the event that said so is gone: nobody will say it again */
}

/* Something in one of our directories: a device if the path names it, else all. Our own writes come by here too. */
static void be_changed(const char *path, void *arg)
{
    char ours[24];
    int n = snprintf(ours, sizeof(ours), "backend/%s/", cls->type);
    const char *at = strstr(path, ours), *slash = at ? strchr(at + n, '/') : NULL;
    unsigned dom, devid;

    (void)arg;
    if (!slash || !number(at + n, DOMID_FIRST_RESERVED - 1, &dom) || !number(slash + 1, cls->max_devid, &devid)) {
        rescan = true;
        return;
    }
    const char *key = strchr(slash + 1, '/');
    bool relevant = !key;
    for (const char *const *k = cls->keys; key && *k; k++)
        relevant |= !strcmp(key + 1, *k);
    if (relevant && !found(dom, devid))
        rescan = true; /* an answer is a call of the store, which is not made from here */
}

bool be_work(const struct be_class *class)
{
    bool looked = false;
    struct be_dev *d;
    char path[24];

    cls = class;
    retry_now();
    if (!watching && !retry_at) {
        snprintf(path, sizeof(path), "backend/%s", cls->type);
        watching = !xs_watch(path, be_changed, NULL);
        if (!watching)
            be_retry(NULL);
    }
    if (rescan && !(scan_failed && retry_at))
        scan();
    for (unsigned i = 0; (d = cls->place(i)); i++) {
        if (d->used && d->dirty && !d->state) {
            d->dirty = learn(d); /* or it may be gone */
            looked = true;
        }
    }
    for (unsigned i = 0; (d = cls->place(i)); i++) {
        if (d->used && d->dirty) {
            look(d);
            looked = true;
        }
    }
    return looked;
}
