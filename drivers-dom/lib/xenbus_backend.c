/* SPDX-License-Identifier: MIT */
/* The xenbus side of a back-end: xenbus_backend.h. The directories and states are those of <xen/io/xenbus.h>. */
#include <xenbus_backend.h>
#include <blame.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <store_keys.h>
#include <string.h>
#include <xen/io/xenbus.h>
#include <zlib.h>

#define RETRY_NS (200 * NS_PER_MS)

static const struct be_class *cls;
static bool rescan, scan_failed, watching;
static bool some = true; /* a device may be dirty: else be_work, which comes with each turn, looks at none */
static uint64_t retry_at; /* what failed is tried again then; 0: nothing did */
static struct dtimer retry_timer;
static char problem_said[240] = "?"; /* "?": a former instance may have said anything */

static struct be_dev *behind(struct be_dev *d, unsigned places)
{
    return (void *)((uint8_t *)d + places * cls->size);
}

#define EACH_PLACE(d) \
    for (struct be_dev *d = cls->first, *end_ = behind(d, cls->nr); d != end_; d = behind(d, 1))

/* --- the slot table ---------------------------------------------------------------------------------------------- */

static unsigned slot_entries(void)
{
    return (unsigned)(self.nr_table * (PAGE_SIZE / sizeof(struct slot_entry)));
}

static const struct slot_entry *entry_at(unsigned i)
{
    return (const struct slot_entry *)self.table + i;
}

/* A live entry as it was at one time. false: it is absent, or changes all the time. */
static bool slot_copy(unsigned i, struct slot_entry *e)
{
    const struct slot_entry *s = entry_at(i);

    for (unsigned tries = 0; tries < 1000; tries++) {
        uint64_t head = e->head = READ_ONCE(s->head);
        if (!slot_live(e))
            return false;
        rmb();
        memcpy(e, s, sizeof(*e));
        rmb();
        e->head = head;
        e->spec[SLOT_SPEC - 1] = '\0';
        if (READ_ONCE(s->head) == head)
            return true;
    }
    return false;
}

bool be_slot(enum slot_kind kind, domid_t dom, uint32_t devid, struct slot_entry *e)
{
    for (unsigned i = 0; i < slot_entries(); i++) {
        if (READ_ONCE(entry_at(i)->domid) != dom || READ_ONCE(entry_at(i)->devid) != devid)
            continue; /* without a copy: there are many */
        if (slot_copy(i, e) && slot_kind(e) == kind && e->domid == dom && e->devid == devid)
            return true;
    }
    return false;
}

bool be_any_slot(enum slot_kind kind)
{
    struct slot_entry e;

    for (unsigned i = 0; i < slot_entries(); i++) {
        if (slot_copy(i, &e) && slot_kind(&e) == kind)
            return true;
    }
    return false;
}

bool be_gen_slot(enum slot_kind kind, uint32_t gen, uint64_t *chances)
{
    struct slot_entry e;

    for (unsigned i = 0; i < slot_entries(); i++) {
        if (READ_ONCE(entry_at(i)->head) >> 32 != gen)
            continue;
        if (slot_copy(i, &e) && slot_kind(&e) == kind && slot_gen(&e) == gen) {
            *chances = e.chances;
            return true;
        }
    }
    return false;
}

bool be_aside(enum slot_kind kind, const struct be_dev *d)
{
    uint64_t chances;

    return be_gen_slot(kind, d->gen, &chances) && blame_aside(d->gen, chances);
}

static void fe_path(struct be_dev *d, const char *type)
{
    snprintf(d->fe_path, sizeof(d->fe_path), "/local/domain/%u/device/%s/%u", d->dom, type, d->devid);
}

bool be_adopt(struct be_dev *d, enum slot_kind kind, const char *type, domid_t dom, uint32_t devid,
              struct slot_entry *e)
{
    if (!be_slot(kind, dom, devid, e))
        return false;
    *d = (struct be_dev){ .used = true, .dom = dom, .devid = devid, .gen = slot_gen(e) };
    be_again(d);
    fe_path(d, type);
    return true;
}

/* --- what is said -------------------------------------------------------------------------------------------------- */

void be_say(const struct be_dev *d, const char *type, struct talk *t, const char *fmt, ...)
{
    char line[320];
    unsigned left_out;
    va_list ap;

    if (!talk_may(t, now_ns(), &left_out))
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (left_out)
        printf("%s%u.%u: %s (%u such lines left out before it)\n", type, d->dom, d->devid, line,
               left_out);
    else
        printf("%s%u.%u: %s\n", type, d->dom, d->devid, line);
}

void be_again(struct be_dev *d) { d->dirty = some = true; }

/* --- trying again ---------------------------------------------------------------------------------------------- */

/* be_work looks whether it is time. */
static void retry_wakes_only(struct dtimer *t) { (void)t; }

void be_retry(struct be_dev *d)
{
    if (d)
        d->later = true;
    if (retry_at)
        return; /* not moved on: who fails all the time would put everybody off */
    retry_at = now_ns() + RETRY_NS;
    retry_timer.fn = retry_wakes_only;
    dtimer_set(&retry_timer, retry_at);
}

static void retry_now(void)
{
    if (!retry_at || now_ns() < retry_at)
        return;
    retry_at = 0;
    EACH_PLACE(d)
    {
        if (d->later)
            be_again(d);
        d->later = false;
    }
}

/* --- nodes ----------------------------------------------------------------------------------------------------- */

void be_key_path(const struct be_dev *d, char path[BE_KEY], const char *key)
{
    snprintf(path, BE_KEY, "backend/%s/%u/%u/%s", cls->type, d->dom, d->devid, key);
}

static char *be_read(const struct be_dev *d, const char *key)
{
    char path[BE_KEY];

    be_key_path(d, path, key);
    return xs_read(0, path);
}

bool be_write(struct be_dev *d, const char *key, const char *val)
{
    char path[BE_KEY];

    be_key_path(d, path, key);
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

    be_key_path(d, path, key);
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

    be_key_path(d, path, key);
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

bool be_refuse(struct be_dev *d, const char *why)
{
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)why, (uInt)strlen(why));

    if (d->refused == crc || !be_write(d, BH_KEY_ERROR, why))
        return false;
    d->refused = crc;
    return true;
}

void be_admit(struct be_dev *d)
{
    if (d->refused)
        be_remove(d, BH_KEY_ERROR);
    d->refused = 0;
}

void be_problem(const char *problem)
{
    char text[sizeof(problem_said)];

    if (retry_at || !strncmp(problem, problem_said, sizeof(problem_said) - 1))
        return;
    snprintf(text, sizeof(text), "%s", problem);
    if (xs_write(0, "error", text))
        be_retry(NULL);
    else
        memcpy(problem_said, text, sizeof(text));
}

/* --- one device ------------------------------------------------------------------------------------------------ */

static void fe_changed(const char *path, void *arg)
{
    (void)path;
    be_again(arg);
}

#define STATE_PATH (BE_PATH + 8)
static const char *state_path(const struct be_dev *d, char buf[STATE_PATH])
{
    snprintf(buf, STATE_PATH, "%s/state", d->fe_path);
    return buf;
}

static void unwatch(struct be_dev *d)
{
    char path[STATE_PATH];

    if (!d->watched)
        return;
    xs_unwatch(state_path(d, path), fe_changed, d);
    d->watched = false;
}

static bool watch(struct be_dev *d)
{
    char path[STATE_PATH];

    if (d->watched)
        return true;
    d->watched = !xs_watch(state_path(d, path), fe_changed, d);
    if (!d->watched)
        be_retry(d);
    return d->watched;
}

bool be_stale(struct be_dev *d)
{
    char path[STATE_PATH];

    return xs_watch_waits(state_path(d, path), fe_changed, d);
}

static void scan_later(void)
{
    rescan = scan_failed = true;
    be_retry(NULL);
}

/* Nothing of it is left once it may go. */
static bool let_go(struct be_dev *d)
{
    if (!cls->disconnect(d))
        return false;
    unwatch(d);
    cls->forget(d);
    return true;
}

/* Its entry; once, a watch on the front-end's state. false: try again, or it is gone. */
static bool identify(struct be_dev *d, struct slot_entry *e)
{
    bool any = be_slot(cls->kind, d->dom, d->devid, e),
         same = any && (!d->gen || d->gen == slot_gen(e));

    if (!same) {
        if (let_go(d) && any)
            scan_later(); /* that is a new device of the same number */
        return false;
    }
    char *node = be_read(d, "frontend");
    bool there = node, silent = !node && xs_error != ENOENT;
    free(node);
    if (silent) {
        be_retry(d);
        return false;
    }
    if (!there && slot_state(e) == SLOT_DETACHING)
        (void)let_go(d);
    if (!there && slot_state(e) != SLOT_ATTACHED)
        return false; /* or its nodes are to come */
    d->gen = slot_gen(e);
    fe_path(d, cls->type);
    return watch(d);
}

/* What is there may be our last words on an earlier device of this number, which came too late for its nodes. Whoever waits believes
 * nothing before bh-gen says that all is about this one. */
static bool begin(struct be_dev *d)
{
    static const char *const words[] = { BH_KEY_ERROR, BH_KEY_REPLUG, BH_KEY_STALLED };

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        be_remove(d, words[i]);
    return be_write_number(d, "state", XenbusStateInitialising) &&
           be_write_number(d, BH_KEY_GEN, d->gen);
}

/* false: as identify. */
static bool learn(struct be_dev *d, struct slot_entry *e)
{
    uint64_t gen, state = XenbusStateInitialising;

    if (!identify(d, e))
        return false;
    if (d->state)
        return true;
    if (!be_read_number(d, BH_KEY_GEN, 0, &gen) ||
        !(gen == d->gen ? be_read_number(d, "state", XenbusStateInitialising, &state) : begin(d)))
        return false;
    d->state = state && state <= XenbusStateClosed ? (int)state : XenbusStateInitialising;
    return true;
}

static void look(struct be_dev *d)
{
    struct slot_entry e;
    uint64_t fe;

    d->dirty = false;
    if (!learn(d, &e))
        return;
    if (!be_number(d->fe_path, "state", XenbusStateUnknown, &fe)) {
        be_retry(d);
        return;
    }
    cls->follow(d, fe, slot_state(&e) != SLOT_DETACHING);
}

/* --- all of them ----------------------------------------------------------------------------------------------- */

static struct be_dev *place_of(unsigned dom, unsigned devid)
{
    EACH_PLACE(d)
    {
        if (d->used && d->dom == dom && d->devid == devid)
            return d;
    }
    return NULL;
}

/* false: there is no place for it. */
static bool found(unsigned dom, unsigned devid)
{
    struct be_dev *known = place_of(dom, devid);

    if (known) {
        be_again(known);
        return true;
    }
    EACH_PLACE(d)
    {
        if (d->used)
            continue;
        d->used = true;
        be_again(d);
        d->dom = (domid_t)dom;
        d->devid = devid;
        return true;
    }
    return false;
}

/* Whoever made it waits for an answer. */
static void no_place(const struct slot_entry *e)
{
    struct be_dev d = { .dom = e->domid, .devid = e->devid };
    char why[64];

    snprintf(why, sizeof(why), "it has %u %s already, that is all it can", cls->nr, cls->what);
    printf("%s%u.%u: refused: %s\n", cls->type, d.dom, d.devid, why);
    if (!be_write(&d, BH_KEY_ERROR, why) || !be_write_number(&d, BH_KEY_GEN, slot_gen(e)))
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
    struct slot_entry e;

    rescan = scan_failed = false;
    EACH_PLACE(d)
    d->dirty = d->used;
    some = true;
    for (unsigned i = 0; i < slot_entries(); i++) {
        if (slot_copy(i, &e) && slot_kind(&e) == cls->kind && e.devid <= cls->max_devid &&
            !found(e.domid, e.devid) && slot_state(&e) != SLOT_DETACHING)
            no_place(&e);
    }
}

/* Something in one of our directories: a device of ours if the path names one, else all. Our own writes come by here too. */
static void be_changed(const char *path, void *arg)
{
    char ours[24];
    int n = snprintf(ours, sizeof(ours), "backend/%s/", cls->type);
    const char *at = strstr(path, ours), *slash = at ? strchr(at + n, '/') : NULL;
    unsigned dom, devid;

    (void)arg;
    if (!slash || !number(at + n, DOMID_FIRST_RESERVED - 1, &dom) ||
        !number(slash + 1, cls->max_devid, &devid)) {
        rescan = true;
        return;
    }
    const char *key = strchr(slash + 1, '/');
    bool relevant = !key;
    for (const char *const *k = cls->keys; key && *k; k++)
        relevant |= !strcmp(key + 1, *k);
    struct be_dev *d = place_of(dom, devid);
    if (!relevant)
        return;
    if (d)
        be_again(d);
    else
        rescan = true;
}

bool be_work(const struct be_class *class)
{
    bool looked = false;
    struct slot_entry e;
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
    if (!some)
        return false;
    some = false;
    EACH_PLACE(d)
    {
        if (!d->used || !d->dirty)
            continue;
        looked = true;
        if (!d->state)
            d->dirty = learn(d, &e); /* or it may be gone */
    }
    if (!looked)
        return false;
    EACH_PLACE(d)
    {
        if (d->used && d->dirty)
            look(d);
    }
    return true;
}
