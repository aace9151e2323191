/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/ctl_machine.c
// FLAGS: -Ictl-dom -Idomains/include -luuid -lcrypto
/*
 * Guests and driver domains come, go, crash, get and lose disks at random, the control domain dies in between, at any of its calls or at any store
 * to its records, and the store is away now and then, for shorter or longer than anybody waits. When all that is over and the guests are
 * gone, everything is as it was before: what the store has, slot tables, domids, records. SEED=n replays one.
 */
#include "ctl_machine.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/sched.h>
#include "domain/load.h"
#include "domain/records.h"
#include "domain/slots.h"
#include "store/devices.h"
#include "store/hotplug.h"
#include "supervise/life.h"
#include "supervise/supervisor.h"
#include "supervise/waiting.h"
#include "unit.h"

#define CHANGES 500

/* For all instances. */
static struct all {
    uint64_t random;
    unsigned seed, changes, deaths, made;
    struct machine before;
} * all;

#define BAD(...)                                                                                 \
    do {                                                                                         \
        fprintf(stderr, "SEED=%u, change %u, death %u: ", all->seed, all->changes, all->deaths); \
        fprintf(stderr, __VA_ARGS__);                                                            \
        fprintf(stderr, "\n%s", m->said);                                                        \
        _exit(1);                                                                                \
    } while (0)

static unsigned below(unsigned n)
{
    all->random = all->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(all->random >> 33) % n;
}
static bool one_in(unsigned n) { return !below(n); }

/* --- changes ------------------------------------------------------------------------------------------------------------ */
static const char *const guests[] = { "web", "hand", "late" };
static const char *const drivers[] = { "net0", "blk0", "net1", "blk1" };
static const char *any_guest(void) { return guests[below(ARRAY_SIZE(guests))]; }
static const char *any_driver(void) { return drivers[below(ARRAY_SIZE(drivers))]; }

static void make(const char *name)
{
    static struct domcfg cfg;
    struct errbuf e;
    struct dom *d;

    if (!config_load(&cfg, name, &e) && !dom_create(&cfg, false, &d, &e))
        all->made++;
}
static void end(const char *name)
{
    struct dom *d = dom_by_name(name);
    struct errbuf e;

    if (d)
        (void)dom_destroy(d, &e);
}
static void dies(const char *name)
{
    static const uint8_t reasons[] = { SHUTDOWN_poweroff, SHUTDOWN_reboot };
    struct machine_dom *d = core_by_name(name);

    m->clock += below(3) * 45 * NS_PER_S;
    if (!d || d->state != BH_DOM_RUNNING)
        return;
    d->state = d->role == BH_ROLE_GUEST && one_in(2) ? BH_DOM_SHUTDOWN : BH_DOM_CRASHED;
    d->reason = reasons[below(ARRAY_SIZE(reasons))];
    d->crash_ns = m->clock;
    m->changed = true;
}
static void disk(const char *guest, bool comes)
{
    struct dom *d = dom_by_name(guest);
    char spec[40], letter = (char)('b' + below(3));
    struct errbuf e;

    snprintf(spec, sizeof(spec), "phy:blk%u:%u,xvd%c,w", below(2), below(9), letter);
    if (d && comes)
        (void)disk_attach(d, spec, &e);
    snprintf(spec, sizeof(spec), "xvd%c", letter);
    struct dom_dev *v = d && !comes ? disk_of(d, spec) : NULL;
    if (v)
        (void)disk_detach(d, v, one_in(3), &e);
}
static void store_goes_away(void)
{
    static const uint64_t away[] = { NS_PER_MS, 100 * NS_PER_MS, 4 * NS_PER_S, 20 * NS_PER_S,
                                     150 * NS_PER_S };

    m->silent_until = m->clock + away[below(ARRAY_SIZE(away) - !one_in(4))];
}

static void change(void)
{
    switch (below(16)) {
    case 0:
    case 1:
    case 2:
    case 3: make(any_guest()); break;
    case 4:
    case 5: make(any_driver()); break;
    case 6:
    case 7:
    case 8: end(any_guest()); break;
    case 9: end(any_driver()); break;
    case 10: dies(any_guest()); break;
    case 11: dies(any_driver()); break;
    case 12:
    case 13: disk(any_guest(), one_in(2)); break;
    case 14: store_goes_away(); break;
    default: dies("store");
    }
    if (one_in(2))
        instance_works();
}

/* --- instances ---------------------------------------------------------------------------------------------------------- */
static void remembers(void)
{
    instance_boots();
    instance_works();
    end("web");
    waiting_forget("late");
    instance_works();
    memcpy(&all->before, m, sizeof(*m));
}
static void lives(void)
{
    counts(true);
    instance_boots();
    instance_works();
    while (all->changes < CHANGES) {
        all->changes++;
        change();
    }
}

/* A UUID that was made anew is another one. */
static void same_nodes(const struct machine *a, const struct machine *b, const char *what)
{
    for (unsigned i = 0, k; i < MACHINE_NODES; i++) {
        const char *p = a->node[i].path, *last = strrchr(p, '/');
        if (!a->node[i].hash || !strncmp(p, "/vm/", 4))
            continue;
        for (k = 0; k < MACHINE_NODES && (!b->node[k].hash || strcmp(b->node[k].path, p) != 0);)
            k++;
        if (k == MACHINE_NODES)
            BAD("%s is %s", p, what);
        else if (strcmp(last, "/vm") != 0 && strcmp(a->node[i].val, b->node[k].val) != 0)
            BAD("%s: %s, %s", p, a->node[i].val, b->node[k].val);
    }
}
static void as_before(void)
{
    unsigned there = 0, was = 0, kept = 0;

    same_nodes(m, &all->before, "left");
    same_nodes(&all->before, m, "lost");
    if (store_below("/vm") + 1 != store_below("/local/domain"))
        BAD("%u in /vm, %u domains", store_below("/vm"), store_below("/local/domain"));
    for (unsigned i = 0; i < MACHINE_DOMS; i++) {
        const struct machine_dom *d = &m->dom[i];
        there += d->there, was += all->before.dom[i].there;
        const struct slot_entry *copy = d->there ? dom_by_id(d->id)->slots : NULL;
        for (unsigned k = 0; d->there && k < SLOT_ENTRIES; k++)
            if (slot_live(&d->table[k]) || (copy && slot_live(&copy[k])))
                BAD("%s: an entry of domain %u is left", d->name, d->table[k].domid);
    }
    for (void *r = record_next(NULL, RECORD_DOM); r; r = record_next(r, RECORD_DOM))
        kept++;
    if (there != was || kept != was)
        BAD("%u domains, %u records, of %u", there, kept, was);
    for (unsigned i = 0; i < ARRAY_SIZE(m->named); i++)
        if (m->named[i] || m->introduced[i] != all->before.introduced[i])
            BAD("domid %u stays used, or the store was not told", i);
    if (record_next(NULL, RECORD_WAITING) || record_next_ended(0) < DOMID_FIRST_RESERVED)
        BAD("domain %u is noted as ended, or one waits", record_next_ended(0));
}
static void ends_late(void)
{
    instance_boots();
    instance_works();
    for (unsigned i = 0; i < 2; i++) { /* a driver domain that comes may have one that waits start */
        for (unsigned k = 0; k < ARRAY_SIZE(guests); k++) {
            end(guests[k]);
            waiting_forget(guests[k]);
        }
        for (unsigned k = 0; k < 2; k++) {
            end(drivers[2 + k]);
            if (!dom_by_name(drivers[k]))
                make(drivers[k]);
        }
        instance_works();
    }
    instance_works();
    as_before();
}

static void ends(void)
{
    m->silent_until = 0;
    ends_late();
}

static int instance(void (*what)(void), long left)
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
        what();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) && WEXITSTATUS(status) != DIED))
        fail_msg("SEED=%u, change %u, death %u%s", all->seed, all->changes, all->deaths,
                 WIFEXITED(status) ? "" : ": a signal");
    return WEXITSTATUS(status);
}

int setup(void **unused)
{
    const char *seed = getenv("SEED");

    if (!all)
        all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    machine_new();
    memset(all, 0, sizeof(*all));
    all->seed = seed ? (unsigned)atoi(seed) : 1;
    all->random = all->seed;
    return instance(remembers, -1);
}

TEST(nothing_is_left)
{
    do {
        m->at_stores = one_in(3);
        all->deaths++;
    } while (instance(lives, 20 + below(one_in(4) ? 1500 : 400)) == DIED);
    m->at_stores = false;
    assert_int_equal(instance(ends, -1), 0);
    print_message("SEED=%u: %u changes, %u domains made, %u deaths\n", all->seed, all->changes,
                  all->made, all->deaths - 1);
    assert_true(all->changes == CHANGES && all->made > 20 && all->deaths > 20);
}

/* --- one at a time ------------------------------------------------------------------------------------------------------ */
/* The store has what no record tells of: a guest, a driver domain. */
static void nobodys(void)
{
    store_set("/local/domain/77/vm", "/vm/77");
    store_set("/vm/77/name", "who");
    store_set("/local/domain/3/backend/vbd/77/51712/state", "4");
    store_set("/local/domain/9/vm", "/vm/9");
    store_set("/vm/9/name", "driver");
    m->introduced[77] = m->introduced[9] = true;
}

TEST(strangers_in_the_store)
{
    nobodys();
    assert_int_equal(instance(ends, -1), 0);
    m->silent_until = m->clock + 123 * NS_PER_S; /* longer than that is waited for */
    nobodys();
    assert_int_equal(instance(ends_late, -1), 0);
}

/* The store comes late, and has nothing. */
TEST(late_and_empty)
{
    assert_int_equal(instance(store_empties, -1), 0);
    m->silent_until = m->clock + 123 * NS_PER_S;
    assert_int_equal(instance(ends_late, -1), 0);
}

/* Its back-ends hear of its end by their tables; a next one comes only once the store has nothing of it. */
static void ends_silently(void)
{
    unsigned n = 0;

    instance_boots();
    make("web");
    instance_works();
    domid_t id = core_by_name("web") ? core_by_name("web")->id : 0;
    m->silent_until = m->clock + 200 * NS_PER_S;
    end("web");
    end("net0");
    for (unsigned i = 0; i < MACHINE_DOMS; i++)
        for (unsigned k = 0; m->dom[i].there && k < SLOT_ENTRIES; k++)
            if (slot_live(&m->dom[i].table[k]) && m->dom[i].table[k].domid == id)
                n += slot_state(&m->dom[i].table[k]) == SLOT_DETACHING ? 1 : 100;
    if (!id || n != 1)
        BAD("domain %u: %u entries", id, n);
    make("web");
    if (dom_by_name("web") || record_next_ended(0) != 4 || record_next_ended(5) != id)
        BAD("web is there again, or it or net0 has not ended");
    m->silent_until = 0;
    make("net0"); /* which has the domid of the last one */
    make("web");
    if (!dom_by_name("web") || dom_by_id(id))
        BAD("web: is not made, or as %u at once", id);
    instance_works();
    if (!dom_by_name("net0") || !store_value("/local/domain/4/name"))
        BAD("net0: is not made, or something was taken from it");
}

TEST(store_is_silent)
{
    assert_int_equal(instance(ends_silently, -1), 0);
    assert_int_equal(instance(ends, -1), 0);
}
