// SPDX-License-Identifier: MIT
// Threads as CPUs: peers map, copy, bind and send while domains are restarted and destroyed under them; then every counter
// must be where it began.
// LINK: tests/unit/control_harness.c
// FLAGS: -pthread
#include <threads.h>
#include <time.h>
#include "control_harness.h"

#define SECONDS 3
#define REFS    32u
#define SLOTS   64u

static _Thread_local struct cpu me;
struct cpu *this_cpu(void)
{
    me.counts = &me.own_counts;
    return &me;
}

static void pause_thread(uint64_t ns)
{
    struct timespec t = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
    nanosleep(&t, NULL);
}
static void sched_yield_thread(void) { pause_thread(1000); }

static volatile bool stop;
static volatile unsigned restarts, destroys, maps, copies, sends;
static volatile domid_t victim; /* comes and goes */

struct rng {
    uint64_t x;
};
static uint32_t rnd(struct rng *r, uint32_t n)
{
    r->x ^= r->x << 13;
    r->x ^= r->x >> 7;
    r->x ^= r->x << 17;
    return (uint32_t)(r->x >> 11) % n;
}

/* As the scheduler does: running first, then a look at the state. */
static bool enter(struct domain *d)
{
    __atomic_store_n(&d->vcpu[0]->running, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&d->state, __ATOMIC_SEQ_CST) == BH_DOM_RUNNING) {
        me.current = d->vcpu[0];
        return true;
    }
    __atomic_store_n(&d->vcpu[0]->running, 0, __ATOMIC_RELEASE);
    return false;
}
static void leave(struct domain *d)
{
    me.current = NULL;
    __atomic_store_n(&d->vcpu[0]->running, 0, __ATOMIC_RELEASE);
}

struct peer {
    struct domain *d;
    struct rng r;
    uint64_t instance;
    uint32_t handle[SLOTS];
    bool used[SLOTS];
};

static domid_t other(struct peer *p)
{
    switch (rnd(&p->r, 4)) {
    case 0: return victim;
    case 1: return store->id;
    default: return p->d == guest ? svc->id : guest->id;
    }
}

static void do_map(struct peer *p)
{
    uint32_t i = rnd(&p->r, SLOTS);
    if (p->used[i]) {
        struct gnttab_unmap_grant_ref u = { .host_addr = (WIN + i) << 12, .handle = p->handle[i] };
        assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, PTR(&u), 1), 0);
        assert_int_equal(u.status, 0);
        p->used[i] = false;
    } else {
        struct gnttab_map_grant_ref m = { .host_addr = (WIN + i) << 12,
                                          .ref = 8 + rnd(&p->r, REFS),
                                          .dom = other(p),
                                          .flags = GNTMAP_host_map |
                                                   (rnd(&p->r, 2) ? GNTMAP_readonly : 0) };
        assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, PTR(&m), 1), 0);
        p->used[i] = m.status == 0;
        p->handle[i] = m.handle;
        maps += m.status == 0;
    }
}

static void do_copy(struct peer *p)
{
    struct gnttab_copy c = { .len = 64,
                             .flags = rnd(&p->r, 2) ? GNTCOPY_source_gref : GNTCOPY_dest_gref };
    struct gnttab_copy_ptr *ref = c.flags == GNTCOPY_source_gref ? &c.source : &c.dest;
    struct gnttab_copy_ptr *own = c.flags == GNTCOPY_source_gref ? &c.dest : &c.source;
    ref->u.ref = 8 + rnd(&p->r, REFS);
    ref->domid = other(p);
    own->u.gmfn = rnd(&p->r, 16);
    own->domid = DOMID_SELF;
    assert_int_equal(do_grant_table_op(GNTTABOP_copy, PTR(&c), 1), 0);
    copies += c.status == 0;
}

static void do_events(struct peer *p)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = other(p) };
    struct evtchn_bind_interdomain b = { .remote_dom = other(p), .remote_port = rnd(&p->r, 64) };
    struct evtchn_send s = { rnd(&p->r, 64) };
    struct evtchn_bind_vcpu v = { rnd(&p->r, 64), 0 };
    switch (rnd(&p->r, 8)) {
    case 0:
        if (s.port > 8)
            (void)do_event_channel_op(EVTCHNOP_close, PTR(&s));
        break;
    case 1: (void)do_event_channel_op(EVTCHNOP_alloc_unbound, PTR(&a)); break;
    case 2: (void)do_event_channel_op(EVTCHNOP_bind_interdomain, PTR(&b)); break;
    case 3:
        (void)do_event_channel_op(EVTCHNOP_unmask, PTR(&s));
        (void)do_event_channel_op(EVTCHNOP_bind_vcpu, PTR(&v));
        break;
    default:
        sends += do_event_channel_op(EVTCHNOP_send, PTR(&s)) == 0;
        p->d->shared->evtchn_pending[0] = 0; /* read away */
        p->d->vcpu[0]->info->evtchn_pending_sel = 0;
        p->d->vcpu[0]->info->evtchn_upcall_pending = 0;
    }
}

/* A new instance grants everything anew: to the guest, to the service domain, by turns. */
static void grants(struct domain *d, domid_t a, domid_t b)
{
    for (uint32_t i = 0; i < REFS; i++)
        grant_seed(d, 8 + i, i % 2 ? a : b, i % 16);
}

static int peer_thread(void *arg)
{
    struct peer *p = arg;
    while (!stop) {
        if (!enter(p->d)) {
            sched_yield_thread();
            continue;
        }
        if (p->instance != p->d->instance) { /* born again: it knows nothing of its former life */
            p->instance = p->d->instance;
            memset(p->used, 0, sizeof p->used);
            grants(p->d, guest->id, svc->id);
        }
        for (unsigned i = 0; i < 20; i++) {
            if (rnd(&p->r, 2))
                do_map(p);
            else if (rnd(&p->r, 2))
                do_copy(p);
            else
                do_events(p);
        }
        leave(p->d);
    }
    return 0;
}

static long control(unsigned op, void *arg)
{
    long rc;
    me.current = ctl->vcpu[0];
    while ((rc = do_control_op(op, PTR(arg))) == HC_AGAIN)
        sched_yield_thread();
    return rc;
}

static void make_victim(void)
{
    struct bh_create c = {
        .domid = BH_DOMID_ANY, .role = BH_ROLE_GUEST, .nr_vcpus = 1, .max_pages = 40, .name = "victim"
    };
    assert_int_equal(control(BH_CTL_CREATE, &c), 0);
    struct bh_populate p = { .domid = c.domid, .nr = 32 };
    assert_int_equal(control(BH_CTL_POPULATE, &p), 0);
    struct domain *d = domain_get(c.domid);
    grants(d, guest->id, svc->id);
    for (unsigned i = 0; i < 32; i++) {
        uint32_t port;
        assert_int_equal(evtchn_alloc_unbound(d, i % 2 ? guest->id : svc->id, &port), 0);
    }
    domain_put(d);
    struct bh_entry e = { .domid = c.domid };
    assert_int_equal(control(BH_CTL_SET_ENTRY, &e), 0);
    struct bh_domid id = { .domid = c.domid };
    assert_int_equal(control(BH_CTL_UNPAUSE, &id), 0);
    victim = c.domid;
}

static int control_thread(void *arg)
{
    struct rng r = { 99 };
    while (!stop) {
        struct bh_restart rs = { .domid = svc->id };
        struct bh_entry e = { .domid = svc->id };
        struct bh_domid id = { .domid = svc->id }, gone = { .domid = victim };
        if (rnd(&r, 2))
            domain_crash(svc, NULL, BH_CAUSE_INJECTED, "injected");
        assert_int_equal(control(BH_CTL_RESTART, &rs), 0);
        enum p2m_type t;
        for (uint64_t g = 0; g < 16; g++) /* nobody has a hold on the new image */
            assert_int_equal(mfn_to_frame(p2m_lookup(svc, GFN(g), &t))->refs, 1);
        assert_int_equal(control(BH_CTL_SET_ENTRY, &e), 0);
        assert_int_equal(control(BH_CTL_UNPAUSE, &id), 0);
        restarts++;
        if (rnd(&r, 4) == 0) {
            assert_int_equal(control(BH_CTL_DESTROY, &gone), 0);
            destroys++;
            make_victim();
        }
        pause_thread(2000000);
    }
    return 0;
}

static void drop_mappings(struct domain *d)
{
    uint64_t cursor = 0;
    assert_true(grant_unmap_all(d, &cursor, ~0u));
}

TEST(test_race)
{
    machine_of_two(BH_CREATE_RESTARTABLE, 32);
    svc = make(3, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 1, 128);
    guest = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 1, 64);
    start(store);
    start(svc);
    start(guest);
    struct frame_stats before, after;
    make_victim();
    frame_get_stats(&before);

    static struct peer peers[3];
    thrd_t th[4];
    peers[0] = (struct peer){ .d = svc, .r = { 1 }, .instance = ~0ull };
    peers[1] = (struct peer){ .d = guest, .r = { 2 }, .instance = ~0ull };
    peers[2] = (struct peer){ .d = store, .r = { 3 }, .instance = ~0ull };
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(thrd_create(&th[i], peer_thread, &peers[i]), thrd_success);
    assert_int_equal(thrd_create(&th[3], control_thread, NULL), thrd_success);
    pause_thread(SECONDS * 1000000000ull);
    stop = true;
    for (unsigned i = 0; i < 4; i++)
        thrd_join(th[i], NULL);
    print_message("%u restarts, %u destroys, %u maps, %u copies, %u sends\n", restarts, destroys,
                  maps, copies, sends);
    assert_true(restarts > 10 && destroys > 2 && maps > 100 && copies > 100 && sends > 100);

    drop_mappings(guest);
    drop_mappings(svc);
    drop_mappings(store);
    struct domain *all[] = { guest, svc, store };
    for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
        assert_true(grant_idle(all[i], 0, &(uint64_t){ 0 }, &(unsigned){ ~0u }));
        for (uint32_t ref = 0; ref < 512; ref++)
            assert_false(grant_entry(all[i], ref)->flags & (GTF_reading | GTF_writing));
    }
    assert_int_equal(mfn_to_frame(zero_mfn)->refs, 1);
    me.current = ctl->vcpu[0];
    domain_reap();
    unsigned n = 0;
    for (struct domain *d, *next = domain_get_next(0); (d = next) != NULL; n++) {
        next = domain_get_next((domid_t)(d->id + 1));
        assert_int_equal(d->refs, 2); /* the list's and ours */
        assert_int_equal(d->state, BH_DOM_RUNNING);
        domain_put(d);
    }
    assert_int_equal(n, 5); /* ctl, store, svc, guest, victim: no dying one is left */
    frame_get_stats(&after);
    assert_true(before.free - after.free < 128); /* tables and records that stay for the domain's life */
}
