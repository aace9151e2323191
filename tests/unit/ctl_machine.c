/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/supervise/life.c ctl-dom/supervise/adopt.c ctl-dom/supervise/guests.c ctl-dom/supervise/update.c ctl-dom/supervise/upgrade.c ctl-dom/supervise/autostart.c ctl-dom/supervise/waiting.c
// LINK: ctl-dom/supervise/plug.c ctl-dom/supervise/owned.c ctl-dom/supervise/anew.c ctl-dom/supervise/supervisor.c ctl-dom/supervise/dying.c ctl-dom/supervise/state.c ctl-dom/supervise/backoff.c
// LINK: ctl-dom/console/patience.c ctl-dom/store/devices.c ctl-dom/store/pci_guest.c ctl-dom/store/hotplug.c ctl-dom/store/linux.c ctl-dom/store/linux_life.c ctl-dom/store/store.c ctl-dom/store/nodes.c ctl-dom/store/connection.c
// LINK: ctl-dom/domain/slots.c ctl-dom/domain/dom.c ctl-dom/domain/records.c domains/random.c ctl-dom/domain/identity.c ctl-dom/domain/bridge.c ctl-dom/domain/error.c ctl-dom/domain/pci.c
// LINK: ctl-dom/domain/build.c ctl-dom/domain/scheduling.c ctl-dom/config/config_cpus.c ctl-dom/config/config_disk.c ctl-dom/config/config_vif.c domains/devname.c tests/unit/ctl_stubs.c tests/unit/ctl_store.c tests/unit/stores.c
/* The core, time, and whoever answers in the store. */
#include "ctl_machine.h"
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/io/xenbus.h>
#include <xen/sched.h>
#include "stores.h"
#include "unit.h"

struct machine *m;
static struct machine_dom *const none;

void machine_new(void)
{
    if (!m)
        m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(m, 0, sizeof(*m));
    m->device_of[0] = m->device_of[1] = BH_DOMID_NONE;
    m->left = -1;
    m->clock = NS_PER_S;
    m->keep_pages = MACHINE_KEEP;
}

static void one_step(void)
{
    m->steps++;
    if (m->left >= 0 && m->left-- == 0)
        _exit(DIED);
}
void step(void)
{
    if (m->counts && !m->at_stores)
        one_step();
}
void counts(bool on)
{
    m->counts = on;
    if (m->at_stores)
        stores_watch(m->keep, sizeof(m->keep), on ? one_step : NULL);
}

/* --- the core -------------------------------------------------------------------------------------------------------- */
struct machine_dom *core_by_id(unsigned id)
{
    for (unsigned i = 0; i < MACHINE_DOMS; i++)
        if (m->dom[i].there && m->dom[i].id == id)
            return &m->dom[i];
    return none;
}
struct machine_dom *core_by_name(const char *name)
{
    for (unsigned i = 0; i < MACHINE_DOMS; i++)
        if (m->dom[i].there && m->dom[i].state != BH_DOM_DYING && !strcmp(m->dom[i].name, name))
            return &m->dom[i];
    return none;
}

static long create(struct bh_create *c)
{
    struct machine_dom *d = m->dom;

    if (c->domid == BH_DOMID_ANY)
        for (c->domid = BH_FIRST_GUEST; m->named[c->domid] || core_by_id(c->domid); c->domid++)
            ;
    else if (core_by_id(c->domid))
        return -EEXIST;
    while (d->there)
        d++;
    *d = (struct machine_dom){ .there = true,
                               .id = c->domid,
                               .role = c->role,
                               .restartable = c->flags & BH_CREATE_RESTARTABLE,
                               .table_gpa = c->nr_table ? c->table_gfn << 12 : 0 };
    memcpy(d->name, c->name, sizeof(d->name));
    return 0;
}
static long destroy(struct machine_dom *d)
{
    for (unsigned i = 0; i < ARRAY_SIZE(m->device_of); i++)
        if (m->device_of[i] == d->id)
            m->device_of[i] = BH_DOMID_NONE;
    if (d->role == BH_ROLE_GUEST && d->rings)
        m->named[d->id] = true;
    d->state = BH_DOM_DYING;
    d->there = d->role == BH_ROLE_GUEST; /* those have frames out */
    return 0;
}
static long info(struct bh_dominfo *di)
{
    struct machine_dom *d = none;

    for (unsigned i = 0; i < MACHINE_DOMS; i++)
        if (m->dom[i].there && m->dom[i].id >= di->domid && (!d || m->dom[i].id < d->id))
            d = &m->dom[i];
    if (!d)
        return -ESRCH;
    *di = (struct bh_dominfo){ .domid = d->id,
                               .role = d->role,
                               .state = d->state,
                               .flags = d->adopted ? BH_DI_ADOPTED | BH_DI_SERVED : 0,
                               .shutdown_reason = d->reason,
                               .instance = d->instance,
                               .crash_ns = d->crash_ns,
                               .unpause_ns = d->kernels ? 1 : 0,
                               .adopted_ns = d->adopted ? d->adopted_ns : 0,
                               .holder = BH_DOMID_NONE };
    return 0;
}
static long unpause(struct machine_dom *d)
{
    if (d->state != BH_DOM_BUILDING)
        return d->pauses ? (d->pauses--, 0) : -EINVAL;
    if (!d->entry || !d->rings)
        return -EINVAL;
    d->state = BH_DOM_RUNNING;
    d->kernels++;
    return 0;
}
static long restart(struct machine_dom *d)
{
    if (!d->restartable || (d->state == BH_DOM_BUILDING && !d->kernels))
        return -EINVAL;
    d->state = BH_DOM_BUILDING;
    d->adopted = d->entry = d->talks = false;
    d->instance++;
    return 0;
}
static long soft_reset(struct machine_dom *d)
{
    if (d->state != BH_DOM_SHUTDOWN || d->reason != SHUTDOWN_soft_reset)
        return -EINVAL;
    d->state = BH_DOM_RUNNING;
    d->kernels++;
    return 0;
}
static long slot_write(struct machine_dom *d, const struct bh_write *w)
{
    assert_true(d->table_gpa && w->gpa >= d->table_gpa &&
                w->gpa + w->len <= d->table_gpa + sizeof(d->table));
    memcpy((char *)d->table + (w->gpa - d->table_gpa), (const void *)w->src, w->len);
    return 0;
}
static long forget(domid_t id)
{
    if (core_by_id(id))
        return -EBUSY;
    m->named[id] = false;
    return 0;
}
static long pci_info(struct bh_pci_info *i)
{
    if (i->index >= ARRAY_SIZE(m->device_of))
        return -ENOENT;
    i->sbdf = 0x18 + 8 * i->index;
    i->domid = m->device_of[i->index];
    i->state = i->domid == BH_DOMID_NONE ? BH_PCI_ASSIGNABLE : BH_PCI_ASSIGNED;
    return 0;
}
static long assign(const struct bh_assign *a, domid_t to)
{
    const struct machine_dom *d = core_by_id(a->domid);

    if (!d || (d->state == BH_DOM_RUNNING && !d->pauses))
        return -EINVAL;
    assert_int_equal(m->device_of[a->sbdf / 8 - 3], to == BH_DOMID_NONE ? a->domid : BH_DOMID_NONE);
    m->device_of[a->sbdf / 8 - 3] = to;
    return 0;
}
static long sysinfo(struct bh_sysinfo *si)
{
    memset(si, 0, sizeof(*si));
    si->total_pages = si->free_pages = 1 << 20;
    si->features = BH_SYS_IOMMU | BH_SYS_CLOCK;
    return 0;
}

/* Those that name a domain first. */
static long of_domain(unsigned op, void *arg)
{
    struct machine_dom *d = core_by_id(*(domid_t *)arg);

    if (!d || (d->state == BH_DOM_DYING && op != BH_CTL_DESTROY))
        return -ESRCH;
    if (d->state != BH_DOM_BUILDING &&
        (op == BH_CTL_POPULATE || op == BH_CTL_WRITE || op == BH_CTL_PROTECT ||
         op == BH_CTL_SETUP_RINGS || op == BH_CTL_SET_ENTRY))
        return -EACCES;
    switch (op) {
    case BH_CTL_DESTROY: return destroy(d);
    case BH_CTL_PAUSE: return d->pauses++, 0;
    case BH_CTL_UNPAUSE: return unpause(d);
    case BH_CTL_WRITE: return (long)((const struct bh_write *)arg)->len;
    case BH_CTL_SETUP_RINGS: return d->rings ? -EBUSY : (d->rings = true, 0);
    case BH_CTL_SET_ENTRY:
        d->crashes = ((const struct bh_entry *)arg)->eip == BAD_ENTRY;
        return d->entry = true, 0;
    case BH_CTL_RESTART: return restart(d);
    case BH_CTL_SOFT_RESET: return soft_reset(d);
    case BH_CTL_SLOT_WRITE: return slot_write(d, arg);
    case BH_CTL_MAX_PAGES: return d->limit = ((const struct bh_max_pages *)arg)->pages, 0;
    case BH_CTL_CRASH: return d->state = BH_DOM_CRASHED, m->changed = true, 0;
    default: return 0; /* POPULATE, PROTECT, REPORT */
    }
}
static long control(unsigned op, void *arg)
{
    switch (op) {
    case BH_CTL_CREATE: return create(arg);
    case BH_CTL_INFO: return info(arg);
    case BH_CTL_FORGET: return forget(*(domid_t *)arg);
    case BH_CTL_PCI_INFO: return pci_info(arg);
    case BH_CTL_ASSIGN: return assign(arg, ((const struct bh_assign *)arg)->domid);
    case BH_CTL_DEASSIGN: return assign(arg, BH_DOMID_NONE);
    case BH_CTL_SYSINFO: return sysinfo(arg);
    case BH_CTL_RECLAIM: return 0;
    default: return of_domain(op, arg);
    }
}
long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t d)
{
    step();
    long rc = nr == BH_HYPERCALL_CONTROL ? control((unsigned)op, (void *)arg) : 0;
    step();
    return rc;
}

/* --- events, timers, watches: each instance's own -------------------------------------------------------------------- */
static event_fn on_dom_exc;
static struct dtimer *timers;
static struct {
    char path[64];
    watch_fn fn;
    void *arg;
    bool fires;
} watches[32];

int event_bind_virq(unsigned virq, event_fn fn, void *arg)
{
    step();
    on_dom_exc = fn;
    return 1;
}
void dtimer_cancel(struct dtimer *t)
{
    for (struct dtimer **p = &timers; *p; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            break;
        }
    t->armed = false;
}
void dtimer_set(struct dtimer *t, uint64_t when)
{
    dtimer_cancel(t);
    t->when = when;
    t->armed = true;
    t->next = timers;
    timers = t;
}
static int watch(const char *path, watch_fn fn, void *arg)
{
    unsigned i = 0;

    while (watches[i].fn)
        assert_true(++i < ARRAY_SIZE(watches));
    snprintf(watches[i].path, sizeof(watches[i].path), "%s", path);
    watches[i].fn = fn, watches[i].arg = arg, watches[i].fires = true;
    return 0;
}
static int unwatch(const char *path, watch_fn fn)
{
    for (unsigned i = 0; i < ARRAY_SIZE(watches); i++)
        if (watches[i].fn == fn && !strcmp(watches[i].path, path))
            watches[i].fn = NULL;
    return 0;
}
int xs_watch(const char *path, watch_fn fn, void *arg) { STORE_CALL(0, watch(path, fn, arg)); }
int xs_unwatch(const char *path, watch_fn fn, void *arg) { STORE_CALL(0, unwatch(path, fn)); }

static uint64_t next_timer(void)
{
    uint64_t when = 0;

    for (struct dtimer *t = timers; t; t = t->next)
        if (!when || t->when < when)
            when = t->when;
    return when;
}
static bool handlers(void)
{
    bool did = false;

    struct dtimer *t = timers;

    while (t && t->when > m->clock)
        t = t->next;
    if (t) { /* one a turn is enough */
        dtimer_cancel(t);
        t->fn(t);
        did = true;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(watches); i++)
        if (watches[i].fn && watches[i].fires) {
            watches[i].fires = false;
            watches[i].fn(watches[i].path, watches[i].arg);
            did = true;
        }
    if (m->changed && on_dom_exc) {
        m->changed = false;
        on_dom_exc(1, NULL);
        did = true;
    }
    return did;
}

/* --- the others ------------------------------------------------------------------------------------------------------ */
static bool others_changed;

static void put(const char *path, const char *val)
{
    store_set(path, val);
    others_changed = true;
    for (unsigned i = 0; i < ARRAY_SIZE(watches); i++)
        if (watches[i].fn && store_lies_in(path, watches[i].path))
            watches[i].fn(path, watches[i].arg); /* who is called makes no calls */
}
static unsigned number(const char *dir, const char *key)
{
    char path[160];
    const char *v;

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    v = store_value(path);
    return v ? (unsigned)atoi(v) : 0;
}
static void put_state(const char *dir, unsigned state)
{
    char path[160], val[2] = { (char)('0' + state) };

    snprintf(path, sizeof(path), "%s/state", dir);
    put(path, val);
}
static const struct slot_entry *entry_of(const struct machine_dom *b, unsigned id, unsigned devid,
                                         enum slot_kind kind)
{
    for (unsigned i = 0; i < SLOT_ENTRIES; i++)
        if (slot_live(&b->table[i]) && b->table[i].domid == id && b->table[i].devid == devid &&
            slot_kind(&b->table[i]) == kind)
            return &b->table[i];
    return NULL;
}
static void connect(const struct machine_dom *b, const struct machine_dom *g, const char *be,
                    const char *fe, const struct slot_entry *e)
{
    char path[160], gen[16];
    unsigned is = number(be, "state");
    bool opens = e && slot_state(e) != SLOT_DETACHING;

    if (b->role == BH_ROLE_GUEST && is == XenbusStateInitialising) { /* a Linux, and its script */
        if (!number(fe, "state"))                                    /* it lets go of it */
            return;
        snprintf(path, sizeof(path), "%s/hotplug-status", be);
        put(path, "connected");
        put_state(be, XenbusStateInitWait);
        return;
    }
    if (b->role == BH_ROLE_GUEST && !number(be, "online") && is != XenbusStateClosing &&
        number(fe, "state") != XenbusStateClosed)
        return; /* it waits for the front-end, which sees nothing of that */
    if (is == XenbusStateInitialising && opens) {
        snprintf(path, sizeof(path), "%s/bh-gen", be);
        snprintf(gen, sizeof(gen), "%u", slot_gen(e));
        put(path, gen);
    }
    if (is == XenbusStateInitialising && opens && !strcmp(e->spec, "bad")) {
        snprintf(path, sizeof(path), "%s/bh-error", be);
        put(path, "no such volume");
        put_state(be, XenbusStateClosed);
    } else if (is == XenbusStateInitialising && opens) {
        snprintf(path, sizeof(path), "%s/bh-extent", be);
        if (slot_kind(e) == SLOT_VBD)
            put(path, "100 100");
        put_state(be, XenbusStateInitWait);
    } else if (!number(be, "online") && is != XenbusStateClosed) {
        put_state(be, XenbusStateClosed);
        if (number(fe, "state"))
            put_state(fe, XenbusStateClosed);
    } else if (is == XenbusStateInitWait && number(fe, "state") == XenbusStateInitialising && g &&
               g->state == BH_DOM_RUNNING) {
        put_state(fe, XenbusStateConnected);
        put_state(be, XenbusStateConnected);
    }
}
static bool serves(const struct machine_dom *b)
{
    return b && b->state == BH_DOM_RUNNING && (b->adopted || b->role == BH_ROLE_GUEST) &&
           b->talks && m->clock >= b->serves_from;
}
/* pciback, of a guest without a front-end. */
static void reconfigure(const char *be)
{
    char path[180];

    unsigned at = number(be, "state");
    if (at != XenbusStateReconfiguring && at != XenbusStateInitialising && at != XenbusStateInitWait)
        return;
    for (unsigned i = 0; i < CFG_MAX_PCI; i++) {
        snprintf(path, sizeof(path), "state-%u", i);
        unsigned is = number(be, path);
        snprintf(path, sizeof(path), "%s/state-%u", be, i);
        if (is == XenbusStateInitialising)
            put(path, "3");
        else if (is == XenbusStateClosing)
            put(path, "6");
    }
    put_state(be, XenbusStateConnected);
}

/* True: somebody did something. */
static bool others(void)
{
    unsigned back, id, devid, held[128] = { 0 };
    char type[8], be[160], fe[160];
    int len;

    others_changed = false;
    for (unsigned i = 0; i < MACHINE_DOMS; i++) {
        struct machine_dom *d = &m->dom[i];
        if (!d->there || d->state != BH_DOM_RUNNING || d->role == BH_ROLE_GUEST || d->adopted)
            continue;
        m->changed = others_changed = true;
        if (d->crashes) {
            d->state = BH_DOM_CRASHED;
            d->crash_ns = m->clock;
            continue;
        }
        d->adopted = true;
        d->adopted_ns = m->clock;
    }
    for (unsigned i = 0; i < MACHINE_NODES; i++) {
        len = (int)strlen(m->node[i].path) - 6;
        if (!m->node[i].hash || len < 0 || memcmp(m->node[i].path + len, "/state", 6) != 0)
            continue;
        len = 0;
        if (sscanf(m->node[i].path, "/local/domain/%u/backend/%3[a-z]/%u/%u/state%n", &back, type,
                   &id, &devid, &len) != 4 ||
            m->node[i].path[len])
            continue;
        if (!strcmp(type, "pci")) {
            snprintf(be, sizeof(be), "/local/domain/%u/backend/pci/%u/0", back, id);
            if (serves(core_by_id(back)))
                reconfigure(be);
            continue;
        }
        const struct machine_dom *b = core_by_id(back);
        snprintf(be, sizeof(be), "/local/domain/%u/backend/%s/%u/%u", back, type, id, devid);
        snprintf(fe, sizeof(fe), "/local/domain/%u/device/%s/%u", id, type, devid);
        if (serves(b))
            connect(b, core_by_id(id), be, fe,
                    entry_of(b, id, devid, strcmp(type, "vif") ? SLOT_VBD : SLOT_VIF));
        held[id % 128] |= serves(b) && number(be, "state") == XenbusStateConnected;
    }
    for (unsigned i = 0; i < MACHINE_DOMS; i++)
        if (m->dom[i].there && m->dom[i].state == BH_DOM_DYING && !held[m->dom[i].id])
            m->dom[i].there = false, others_changed = true;
    return others_changed;
}

/* --- time ------------------------------------------------------------------------------------------------------------ */
uint64_t now_ns(void) { return m->clock += 100; }

static void turn(uint64_t until)
{
    m->clock += NS_PER_MS;
    bool did = others();
    did |= handlers();
    uint64_t next = next_timer();
    if (did || until == TIME_PAST)
        return;
    if (until && (!next || until < next))
        next = until;
    if (next > m->clock)
        m->clock = next;
}
void job_wait(uint64_t until) { turn(until); }
void job_breathe(void) { turn(TIME_PAST); }
