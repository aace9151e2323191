// SPDX-License-Identifier: MIT
// Restart and destroy at every preemption point, and the control and service hypercalls around them.
// LINK: tests/unit/control_harness.c
#include "control_harness.h"

static bool claimed;
void console_claim(bool claim) { claimed = claim; }
size_t log_read(uint64_t *pos, char *buf, size_t n)
{
    const uint64_t first = 100, end = 1700;
    if (*pos < first)
        *pos = first;
    size_t k = *pos >= end ? 0 : MIN(n, end - *pos);
    for (size_t i = 0; i < k; i++)
        buf[i] = (char)((*pos + i) & 0x7f);
    return k;
}

#define PAGES 1024u
#define XS    (PAGES - 1)
#define CON   (PAGES - 2)
#define KEEP  (PAGES - 6)

int setup(void **state)
{
    machine_of_two(BH_CREATE_RESTARTABLE, 64);
    svc = make(3, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 1, PAGES);
    guest = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 2, 64);
    build(svc, CON, XS);
    build(guest, 2, 3);
    return 0;
}

/* A life: rings with the guest, a mapping of its page, a page of its own given away, registrations, a mess in memory. */
struct life {
    uint32_t gport, sport, handle, theirs, xs_handle, con_port;
};
static void live(struct life *l)
{
    grant_seed(guest, 8, svc->id, 9);
    as(guest);
    assert_int_equal(evtchn_alloc_unbound(guest, svc->id, &l->gport), 0);
    l->sport = bind(svc, guest->id, l->gport);
    l->handle = map(svc, guest->id, 8, WIN, 0);
    l->con_port = bind(ctl, svc->id, svc->console_port);
    l->xs_handle = map(store, svc->id, 1, WIN, 0);
    grant_seed(svc, 9, guest->id, 7);
    l->theirs = map(guest, svc->id, 9, WIN, 0);
    mfn_t f;
    assert_int_equal(grant_frame_mfn(svc, 0, &f), 0);
    assert_int_equal(p2m_set(svc, GFN(WIN + 8), f, 0, P2M_SHARED), 0);
    svc->grant.frame_gfn[0] = WIN + 8;
    assert_int_equal(p2m_set(svc, GFN(0xe0000), MFN(0x3fff), 0, P2M_MMIO), 0);
    for (unsigned g = 0; g < PAGES; g += 31)
        memset(gpa_ptr(svc, (uint64_t)g << 12), 0xaa, PAGE_SIZE);
    memset(gpa_ptr(svc, (uint64_t)KEEP << 12), 0x55, PAGE_SIZE);
    memset(gpa_ptr(svc, (uint64_t)XS << 12), 0x66, PAGE_SIZE);
    svc->hvm_param[HVM_PARAM_CALLBACK_IRQ] = 5;
    svc->shared->evtchn_mask[3] = ~0ul;
    svc->shared->vcpu_info[0].evtchn_upcall_mask = 1;
    memset((char *)svc->shared + 4000, 1, 90);
}

static void check_restarted(const struct life *l, uint64_t xs, uint64_t con, uint64_t keep)
{
    assert_int_equal(svc->state, BH_DOM_BUILDING);
    assert_int_equal(svc->op_stage, 0);
    assert_int_equal(svc->tot_pages, PAGES);
    assert_int_equal(frame_of(svc, XS).v, xs);
    assert_int_equal(frame_of(svc, CON).v, con);
    assert_int_equal(frame_of(svc, KEEP).v, keep);
    for (uint64_t g = 0; g < PAGES; g++) {
        uint8_t *p = gpa_ptr(svc, g << 12);
        assert_non_null(p);
        assert_int_equal(mfn_to_frame(frame_of(svc, g))->refs, g == XS ? 2 : 1);
        for (unsigned i = 0; i < PAGE_SIZE; i += 512)
            assert_int_equal(p[i], g == KEEP ? 0x55 : 0);
    }
    enum p2m_type t;
    p2m_lookup(svc, GFN(0xe0000), &t);
    assert_int_equal(t, P2M_MMIO);
    p2m_lookup(svc, GFN(WIN), &t);
    assert_int_equal(t, P2M_NONE);
    p2m_lookup(svc, GFN(WIN + 8), &t);
    assert_int_equal(t, P2M_NONE);
    assert_int_equal(svc->grant.frame_gfn[0], ~0ull);
    /* the guest: its grant is idle and valid, its port waits for the same domid */
    assert_int_equal(grant_entry(guest, 8)->flags, GTF_permit_access);
    assert_int_equal(mfn_to_frame(frame_of(guest, 9))->refs, 1);
    assert_int_equal(evtchn_chan(guest, l->gport)->state, ECS_UNBOUND);
    assert_int_equal(evtchn_chan(guest, l->gport)->remote_domid, svc->id);
    /* what the guest mapped of it is a blank page now */
    assert_int_equal(*(char *)gpa_ptr(guest, WIN << 12), 0);
    assert_int_equal(grant_entry(svc, 9)->flags, 0);
    /* slot */
    assert_int_equal(grant_entry(svc, 0)->flags, GTF_permit_access);
    assert_int_equal(grant_entry(svc, 1)->flags, GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(evtchn_chan(svc, svc->console_port)->state, ECS_INTERDOMAIN);
    assert_int_equal(evtchn_chan(svc, svc->store_port)->state, ECS_UNBOUND);
    assert_int_equal(svc->hvm_param[HVM_PARAM_STORE_PFN], XS);
    assert_int_equal(svc->hvm_param[HVM_PARAM_CONSOLE_EVTCHN], svc->console_port);
    assert_int_equal(svc->hvm_param[HVM_PARAM_CALLBACK_IRQ], 0);
    assert_int_equal(svc->shared->evtchn_mask[3], 0);
    assert_int_equal(svc->shared->vcpu_info[0].evtchn_upcall_mask, 0);
    assert_int_equal(svc->shared->vcpu_info[0].time.version, 2);
    assert_int_equal(svc->shared->wc_sec, 1700000000);
    assert_int_equal(svc->shared->wc_nsec, 0);
    assert_int_equal(((uint8_t *)svc->shared)[4000], 0);
    assert_false(svc->vcpu[0]->initialised);
    assert_int_equal(svc->vcpu[0]->state, VCPU_OFFLINE);
}

static void run_restart(int yield_every)
{
    struct life l;
    live(&l);
    uint64_t xs = frame_of(svc, XS).v, con = frame_of(svc, CON).v, keep = frame_of(svc, KEEP).v;
    uint64_t old = frame_of(svc, 0).v;
    while (frame_scrub_some())
        ;
    domain_crash(svc, svc->vcpu[0], BH_CAUSE_TRIPLE_FAULT, "triple fault");
    assert_int_equal(svc->state, BH_DOM_CRASHED);
    long rc;
    unsigned rounds = 0;
    do {
        yields_after = yield_every < 0 ? ~0u : (unsigned)yield_every;
        rc = ctl_restart(svc, 0);
        rounds++;
        assert_true(rounds < 100000);
        /* peers go on meanwhile; none of this may disturb, some is lost on purpose */
        evtchn_send(guest, l.gport);
        evtchn_send(ctl, l.con_port);
        evtchn_global_virq(ctl, VIRQ_DOM_EXC);
        if (rc == HC_AGAIN &&
            svc->op_stage > 3) /* another operation of the control domain is told to wait */
            assert_int_equal(ctl_op(BH_CTL_UNPAUSE, &(struct bh_domid){ .domid = svc->id }), -EBUSY);
        domain_crash(svc, svc->vcpu[0], BH_CAUSE_NPF, "late");
    } while (rc == HC_AGAIN);
    yields_after = ~0u;
    assert_int_equal(rc, 0);
    if (yield_every == 0)
        assert_true(rounds > 10);
    assert_int_equal(svc->report.cause, BH_CAUSE_TRIPLE_FAULT);
    assert_int_equal(svc->instance, 1);
    assert_int_not_equal(frame_of(svc, 0).v, old);
    check_restarted(&l, xs, con, keep);
    /* an event on a slot port is not lost */
    evtchn_send(ctl, l.con_port);
    assert_true(pending(svc, svc->console_port));
    assert_int_equal(svc->vcpu[0]->info->evtchn_upcall_pending, 1);
    build(svc, CON, XS);
    l.sport = bind(svc, guest->id, l.gport);
    assert_int_equal(evtchn_chan(guest, l.gport)->state, ECS_INTERDOMAIN);
    l.handle = map(svc, guest->id, 8, WIN, 0);
    unmap(svc, l.handle, WIN);
    unmap(guest, l.theirs, WIN);
    unmap(store, l.xs_handle, WIN);
    assert_int_equal(pci_fences, 1);
    assert_int_equal(pci_refills, 1);
}

TEST(test_restart) { run_restart(-1); }
TEST(test_restart_preempted) { run_restart(0); }
TEST(test_restart_preempted_2) { run_restart(2); }

TEST(test_restart_waits_for_vcpu)
{
    svc->vcpu[0]->running = 1;
    assert_int_equal(ctl_restart(svc, 0), HC_AGAIN); /* live: nobody crashed */
    assert_int_equal(ctl_restart(svc, 0), HC_AGAIN);
    assert_int_equal(pci_fences, 0);
    assert_int_equal(svc->state, BH_DOM_BUILDING);
    svc->vcpu[0]->running = 0;
    assert_int_equal(ctl_restart(svc, 0), 0);
    /* twice in a row, never started in between */
    assert_int_equal(ctl_restart(svc, 0), 0);
    assert_int_equal(svc->instance, 2);
    build(svc, CON, XS);
}

TEST(test_restart_refused)
{
    assert_int_equal(ctl_restart(ctl, 0), -EINVAL);
    assert_int_equal(ctl_restart(guest, 0), -EINVAL);
    assert_int_equal(ctl_restart(store, 0), -EINVAL); /* never started: there is nothing to restart */
    struct bh_restart r = { .domid = 9 };
    assert_int_equal(ctl_op(BH_CTL_RESTART, &r), -ESRCH);
    spin_lock(&svc->op_lock);
    assert_int_equal(ctl_restart(svc, 0), HC_AGAIN);
    spin_unlock(&svc->op_lock);
}

TEST(test_hundred_restarts)
{
    struct frame_stats before, after;
    for (unsigned i = 0; i < 100; i++) {
        uint32_t port;
        if (i == 3) /* tables and chunks exist by now */
            frame_get_stats(&before);
        grant_seed(guest, 8, svc->id, 9);
        map(svc, guest->id, 8, WIN, 0);
        assert_int_equal(evtchn_alloc_unbound(svc, guest->id, &port), 0);
        domain_crash(svc, NULL, BH_CAUSE_DEADLINE, "late");
        assert_int_equal(ctl_restart(svc, 0), 0);
        build(svc, CON, XS);
    }
    frame_get_stats(&after);
    assert_int_equal(after.free, before.free);
    assert_int_equal(after.core, before.core);
    assert_int_equal(svc->instance, 100);
    assert_int_equal(svc->tot_pages, PAGES);
    assert_int_equal(svc->nr_extents, 1);
}

/* An instance gives its keep, ring and other pages away before it dies: the next one finds RAM everywhere. */
TEST(test_lost_pages)
{
    const uint64_t lost[] = { XS, KEEP, KEEP + 3, 5 };
    enum p2m_type t;
    mfn_t f;
    for (unsigned i = 0; i < ARRAY_SIZE(lost); i++) {
        assert_int_equal(p2m_clear(svc, GFN(lost[i]), &f, &t), 0);
        frame_put(f);
    }
    assert_int_equal(svc->tot_pages, PAGES - 4);
    assert_int_equal(ctl_restart(svc, 0), 0);
    assert_int_equal(svc->tot_pages, PAGES);
    for (uint64_t g = 0; g < PAGES; g++)
        assert_non_null(gpa_ptr(svc, g << 12));
    build(svc, CON, XS);
    assert_int_equal(ctl_restart(svc, 0), 0);
}

/* Or it puts pages of the core in their place: the next one's ring and keep pages are RAM nevertheless. */
TEST(test_displaced_pages)
{
    const uint64_t displaced[] = { XS, CON, KEEP + 1 };
    enum p2m_type t;
    mfn_t f;
    for (unsigned i = 0; i < ARRAY_SIZE(displaced); i++) {
        assert_int_equal(p2m_clear(svc, GFN(displaced[i]), &f, &t), 0);
        frame_put(f);
        f = i ? virt_to_mfn(svc->grant.shared[0]) : virt_to_mfn(svc->shared);
        assert_int_equal(p2m_set(svc, GFN(displaced[i]), f, 0, P2M_SHARED), 0);
    }
    assert_int_equal(ctl_restart(svc, 0), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(displaced); i++) {
        (void)p2m_lookup(svc, GFN(displaced[i]), &t);
        assert_int_equal(t, P2M_RAM);
    }
    assert_int_equal(svc->tot_pages, PAGES);
    build(svc, CON, XS);
    unmap(store, map(store, svc->id, 1, WIN, 0), WIN); /* the store finds its ring again */
}

TEST(test_destroy_overtakes_restart)
{
    for (unsigned stop = 1; stop <= 8; stop++) {
        struct life l;
        live(&l);
        uint16_t id = svc->id;
        yields_after = 0;
        while (svc->op_stage < stop && ctl_restart(svc, 0) == HC_AGAIN)
            yields_after = 0;
        long rc;
        do {
            yields_after = 0;
            rc = ctl_op(BH_CTL_DESTROY, &(struct bh_domid){ .domid = id });
            if (rc == HC_AGAIN)
                assert_int_equal(ctl_restart(svc, 0), -ESRCH);
        } while (rc == HC_AGAIN);
        yields_after = ~0u;
        assert_int_equal(rc, 0);
        struct bh_create c = { .domid = id,
                               .role = BH_ROLE_DRIVER,
                               .flags = BH_CREATE_RESTARTABLE,
                               .nr_vcpus = 1,
                               .max_pages = PAGES,
                               .keep_gfn = KEEP,
                               .nr_keep = 4,
                               .name = "again" };
        assert_int_equal(ctl_op(BH_CTL_CREATE, &c),
                         -EEXIST); /* the store and perhaps the guest hold pages */
        unmap(store, l.xs_handle, WIN);
        unmap(guest, l.theirs, WIN);
        assert_int_equal(ctl_op(BH_CTL_CREATE, &c), 0);
        svc = domain_get(id);
        domain_put(svc);
        struct bh_populate p = { .domid = id, .gfn = 0, .nr = PAGES };
        assert_int_equal(ctl_op(BH_CTL_POPULATE, &p), 0);
        assert_int_equal(p.done, PAGES);
        build(svc, CON, XS);
        assert_int_equal(evtchn_close(guest, l.gport), 0);
    }
}

/* As many keep pages as a slot's creator says: a store's, of which they are the larger part. */
TEST(test_many_keep_pages)
{
    enum { ALL = 1600, FROM = 100, NR = 1300 };
    struct bh_create c = { .domid = 9,
                           .role = BH_ROLE_STORE,
                           .flags = BH_CREATE_RESTARTABLE,
                           .nr_vcpus = 1,
                           .max_pages = ALL,
                           .keep_gfn = FROM,
                           .nr_keep = NR,
                           .name = "store" };
    struct bh_populate p = { .domid = 9, .gfn = 0, .nr = ALL };
    struct bh_domid id = { .domid = 9 };
    assert_int_equal(ctl_op(BH_CTL_CREATE, &c), 0);
    struct domain *d = domain_get(9);
    assert_int_equal(ctl_op(BH_CTL_POPULATE, &p), 0);
    assert_int_equal(d->tot_pages, ALL); /* charged to it as all its memory */
    struct bh_entry e = { .domid = 9 };
    assert_int_equal(ctl_op(BH_CTL_SET_ENTRY, &e), 0);
    assert_int_equal(ctl_op(BH_CTL_UNPAUSE, &id), 0);
    for (uint64_t g = 0; g < ALL; g++)
        memset(gpa_ptr(d, g << 12), 0x5a, PAGE_SIZE);
    domain_crash(d, d->vcpu[0], BH_CAUSE_TRIPLE_FAULT, "triple fault");
    assert_int_equal(ctl_restart(d, 0), 0);
    for (uint64_t g = 0; g < ALL; g++) {
        const uint8_t *at = gpa_ptr(d, g << 12);
        assert_int_equal(at[0], g >= FROM && g < FROM + NR ? 0x5a : 0);
        assert_int_equal(at[PAGE_SIZE - 1], at[0]);
    }
    assert_int_equal(d->tot_pages, ALL);
    assert_int_equal(ctl_op(BH_CTL_DESTROY, &id), 0);
    domain_put(d);
}

TEST(test_counters_return)
{
    struct frame_stats before, after;
    frame_get_stats(&before);
    for (unsigned i = 0; i < 3; i++) {
        struct domain *d = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 3, 700);
        uint16_t id = d->id;
        uint32_t port;
        build(d, 2, 3);
        for (unsigned k = 0; k < 200; k++)
            assert_int_equal(evtchn_alloc_unbound(d, ctl->id, &port), 0);
        grant_seed(guest, 8, id, 9);
        map(d, guest->id, 8, WIN, 0);
        assert_int_equal(ctl_op(BH_CTL_DESTROY, &(struct bh_domid){ .domid = id }), 0);
        assert_int_equal(ctl_op(BH_CTL_DESTROY, &(struct bh_domid){ .domid = id }), -ESRCH);
        if (i == 0)
            frame_get_stats(&before);
    }
    frame_get_stats(&after);
    assert_int_equal(after.free, before.free);
    assert_int_equal(after.core, before.core);
}

/* --- the control hypercall ------------------------------------------------------------------------------------ */
/* Written by hand and not read from a table: no control operation is anybody's but the control domain's, except those of pciback, which are not
 * even that one's. Who has which class is in privileges.golden; a row of the wrong class is found here. */
TEST(test_privilege)
{
    for (unsigned op = 0; op < BH_NR_CTL_OPS; op++) {
        struct domain *who[] = { guest, store, svc };
        for (unsigned i = 0; i < ARRAY_SIZE(who); i++) {
            as(who[i]);
            guest_reads = 0;
            assert_int_equal(do_control_op(op, GADDR(BAD_PTR)), -EPERM);
            assert_int_equal(guest_reads, 0);
        }
        as(ctl);
        bool pcibacks = op == BH_CTL_PCI_CFG || op == BH_CTL_PCI_TRAP || op == BH_CTL_PCI_SET;
        if (!pcibacks)
            assert_int_equal(do_control_op(op, GADDR(BAD_PTR)), -EFAULT);
    }
    assert_int_equal(do_control_op(BH_NR_CTL_OPS, GADDR(BAD_PTR)), -ENOSYS);
    assert_int_equal(do_control_op(~0ull, GADDR(BAD_PTR)), -ENOSYS);
    assert_int_equal(do_control_op(BH_CTL_PCI_CFG, GADDR(BAD_PTR)), -EPERM);
    assert_int_equal(do_control_op(BH_CTL_PCI_TRAP, GADDR(BAD_PTR)), -EPERM);
    assert_int_equal(do_control_op(BH_CTL_PCI_SET, GADDR(BAD_PTR)), -EPERM);
    as(guest);
    for (unsigned op = 0; op < BH_NR_SVC_OPS; op++)
        assert_int_equal(do_service_op(op, GADDR(BAD_PTR)), -EPERM);
    as(svc);
    assert_int_equal(do_service_op(BH_NR_SVC_OPS, GADDR(BAD_PTR)), -ENOSYS);
    assert_int_equal(do_service_op(~0ull, GADDR(BAD_PTR)), -ENOSYS);
}

TEST(test_write_and_sealing)
{
    static char image[300 * 1024];
    memset(image, 0x42, sizeof image);
    struct bh_write w = { .domid = store->id, .gpa = 0x100, .src = (uint64_t)image, .len = 100000 };
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w), 100000);
    assert_int_equal(*(char *)gpa_ptr(store, 0x100 + 99999), 0x42);
    w.len = sizeof image;
    w.gpa = 4096;
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w),
                     -EFAULT); /* 256 KiB would end past its 64 pages with it */
    w.domid = svc->id;
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w), -EACCES); /* sealed */
    w.domid = guest->id;
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w), -EACCES);
    assert_int_equal(ctl_restart(svc, 0), 0);
    w.domid = svc->id;
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w), 256 * 1024);
    const uint64_t gpas[] = { (uint64_t)KEEP << 12, ((uint64_t)KEEP << 12) - 1,
                              (((uint64_t)KEEP + 4) << 12) - 1 };
    for (unsigned i = 0; i < ARRAY_SIZE(gpas); i++) {
        w.gpa = gpas[i];
        w.len = 2;
        assert_int_equal(ctl_op(BH_CTL_WRITE, &w), -EACCES);
    }
    w.gpa = (KEEP + 4ull) << 12;
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w), 2);
    w.len = 0;
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w), 0);
    w.len = ~0ull;
    w.gpa = ~0ull;
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w), -EINVAL);
    w.gpa = ~0ull << 12;
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w), -EINVAL);
    w.domid = 77;
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w), -ESRCH);
    /* keep pages of a domain that never ran may be written */
    w = (struct bh_write){ .domid = store->id, .gpa = 58ull << 12, .src = (uint64_t)image, .len = 4096 };
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w), 4096);
}

TEST(test_build_ops)
{
    struct bh_create c = {
        .domid = BH_DOMID_ANY, .role = BH_ROLE_GUEST, .nr_vcpus = 1, .max_pages = 40, .name = "g"
    };
    struct bh_create bad = c;
    bad.role = BH_ROLE_CONTROL;
    assert_int_equal(ctl_op(BH_CTL_CREATE, &bad), -EINVAL);
    bad = c;
    bad.nr_vcpus = 33;
    assert_int_equal(ctl_op(BH_CTL_CREATE, &bad), -EINVAL);
    bad = c;
    bad.nr_keep = 1;
    assert_int_equal(ctl_op(BH_CTL_CREATE, &bad), -EINVAL);
    bad = c;
    bad.domid = 9;
    bad.role = BH_ROLE_STORE;
    bad.flags = BH_CREATE_RESTARTABLE;
    bad.nr_keep = 41; /* of 40 pages */
    assert_int_equal(ctl_op(BH_CTL_CREATE, &bad), -EINVAL);
    bad = c;
    memset(bad.name, 'x', sizeof bad.name);
    assert_int_equal(ctl_op(BH_CTL_CREATE, &bad), -EINVAL);
    bad = c;
    bad.domid = 200;
    assert_int_equal(ctl_op(BH_CTL_CREATE, &bad), -EINVAL);
    assert_int_equal(ctl_op(BH_CTL_CREATE, &c), 0);
    assert_true(c.domid > guest->id);

    struct bh_populate p = { .domid = c.domid, .gfn = 0, .nr = 41 };
    assert_int_equal(ctl_op(BH_CTL_POPULATE, &p), -E2BIG);
    assert_int_equal(p.done, 40);
    const uint64_t big[] = { 1ull << 52, ~0ull, 1ull << 63 };
    for (unsigned i = 0; i < ARRAY_SIZE(big); i++) {
        p = (struct bh_populate){ .domid = c.domid, .gfn = big[i], .nr = 1 };
        assert_int_equal(ctl_op(BH_CTL_POPULATE, &p), -EINVAL);
        p = (struct bh_populate){ .domid = c.domid, .gfn = 1, .nr = big[i] };
        assert_int_equal(ctl_op(BH_CTL_POPULATE, &p), -EINVAL);
    }
    struct bh_setup_rings r = {
        .domid = c.domid, .console_domid = 0, .store_domid = 1, .console_gfn = 4, .store_gfn = 4
    };
    assert_int_equal(ctl_op(BH_CTL_SETUP_RINGS, &r), -EINVAL);
    r.store_gfn = 4000;
    assert_int_equal(ctl_op(BH_CTL_SETUP_RINGS, &r), -EINVAL);
    r.store_gfn = ~0ull;
    assert_int_equal(ctl_op(BH_CTL_SETUP_RINGS, &r), -EINVAL);
    r.store_gfn = 5;
    r.store_domid = 14;
    assert_int_equal(ctl_op(BH_CTL_SETUP_RINGS, &r), -ESRCH);
    r.store_domid = 1;
    assert_int_equal(ctl_op(BH_CTL_UNPAUSE, &(struct bh_domid){ .domid = c.domid }),
                     -EINVAL); /* no entry yet */
    assert_int_equal(ctl_op(BH_CTL_SETUP_RINGS, &r), 0);
    assert_int_equal(r.console_port, 1);
    assert_int_equal(r.store_port, 2);
    assert_int_equal(ctl_op(BH_CTL_SETUP_RINGS, &r), -EEXIST);
    struct bh_entry e = { .domid = c.domid, .eip = 1ull << 32, .ebx = 0 };
    assert_int_equal(ctl_op(BH_CTL_SET_ENTRY, &e), -EINVAL);
    e.eip = 0x1000;
    assert_int_equal(ctl_op(BH_CTL_SET_ENTRY, &e), 0);
    struct bh_domid id = { .domid = c.domid };
    assert_int_equal(ctl_op(BH_CTL_UNPAUSE, &id), 0);
    assert_int_equal(ctl_op(BH_CTL_SET_ENTRY, &e), -EACCES);
    assert_int_equal(ctl_op(BH_CTL_SETUP_RINGS, &r), -EACCES);
    assert_int_equal(ctl_op(BH_CTL_POPULATE, &p), -EACCES);
    assert_int_equal(ctl_op(BH_CTL_UNPAUSE, &id), -EINVAL);
    struct domain *d = domain_get(c.domid);
    for (unsigned i = 0; i < 255; i++)
        assert_int_equal(ctl_op(BH_CTL_PAUSE, &id), 0);
    assert_int_equal(ctl_op(BH_CTL_PAUSE, &id), -EINVAL);
    assert_int_equal(d->vcpu[0]->pause_count, 1);
    for (unsigned i = 0; i < 255; i++)
        assert_int_equal(ctl_op(BH_CTL_UNPAUSE, &id), 0);
    assert_int_equal(d->vcpu[0]->pause_count, 0);
    domain_put(d);
    id.domid = 0;
    assert_int_equal(ctl_op(BH_CTL_PAUSE, &id), -EINVAL);
    assert_int_equal(ctl_op(BH_CTL_DESTROY, &id), -EINVAL);
    id.domid = 0xffff;
    assert_int_equal(ctl_op(BH_CTL_DESTROY, &id), -ESRCH);
}

TEST(test_info_report_crash)
{
    struct bh_dominfo i = { .domid = 0 };
    const uint16_t expect[] = { 0, 1, 3, guest->id };
    for (unsigned k = 0; k < ARRAY_SIZE(expect); k++) {
        assert_int_equal(ctl_op(BH_CTL_INFO, &i), 0);
        assert_int_equal(i.domid, expect[k]);
        i.domid++;
    }
    assert_int_equal(ctl_op(BH_CTL_INFO, &i), -ENOENT);
    i.domid = 3;
    assert_int_equal(ctl_op(BH_CTL_INFO, &i), 0);
    assert_int_equal(i.flags, BH_DI_RESTARTABLE | BH_DI_RINGS);
    assert_int_equal(i.tot_pages, PAGES);
    struct bh_report r = { .domid = 3 };
    assert_int_equal(ctl_op(BH_CTL_REPORT, &r), -ENOENT);
    struct bh_crash c = { .domid = 3, .how = 4 };
    assert_int_equal(ctl_op(BH_CTL_CRASH, &c), -EINVAL);
    c.how = 0;
    c.after_ms = 1; /* what comes at once has no time */
    assert_int_equal(ctl_op(BH_CTL_CRASH, &c), -EINVAL);
    c.how = BH_CRASH_INJECT;
    assert_int_equal(ctl_op(BH_CTL_CRASH, &c), 0);
    c.after_ms = 0;
    assert_int_equal(svc->inject, 1);
    c.how = 0;
    assert_int_equal(ctl_op(BH_CTL_CRASH, &c), 0);
    assert_int_equal(ctl_op(BH_CTL_CRASH, &c), -EINVAL); /* no longer running */
    r.domid = 3;
    assert_int_equal(ctl_op(BH_CTL_REPORT, &r), 0);
    assert_int_equal(r.cause, BH_CAUSE_OTHER);
    assert_int_equal(ctl_restart(svc, 0), 0);
    assert_int_equal(svc->inject, 0);

    static char text[4096];
    struct bh_log l = { .from = 0, .buf = (uint64_t)text, .len = sizeof text };
    assert_int_equal(ctl_op(BH_CTL_LOG, &l), 0);
    assert_int_equal(l.from, 100);
    assert_int_equal(l.len, 1600);
    assert_int_equal(text[1599], 1699 & 0x7f);
    l = (struct bh_log){ .from = ~0ull, .buf = (uint64_t)text, .len = ~0ull };
    assert_int_equal(ctl_op(BH_CTL_LOG, &l), 0);
    assert_int_equal(l.len, 0);
    /* a domain's own words, the newest 2 KiB of them; the core's log has none of them */
    for (unsigned k = 0; k < 3000; k++)
        domain_say(svc, k % 100 == 99 ? "\n\n" : "\x1bx", 2);
    l = (struct bh_log){ .buf = (uint64_t)text, .len = sizeof text, .domid = 3 };
    assert_int_equal(ctl_op(BH_CTL_LOG, &l), 0);
    assert_int_equal(l.from, 3000 - 2048);
    assert_int_equal(l.len, 2048);
    assert_true(text[2047] == '\n' && text[2046] == 'x' && text[2047 - 100] == '\n' &&
                !memchr(text, '\x1b', 2048));
    l = (struct bh_log){ .from = ~0ull, .buf = (uint64_t)text, .len = ~0ull, .domid = 3 };
    assert_int_equal(ctl_op(BH_CTL_LOG, &l), 0);
    assert_int_equal(l.len, 0);
    l.domid = 0x10003;
    assert_int_equal(ctl_op(BH_CTL_LOG, &l), -ESRCH);
    struct bh_console con = { .mode = BH_CONSOLE_CLAIM };
    assert_int_equal(ctl_op(BH_CTL_CONSOLE, &con), 0);
    assert_true(claimed);
    con.mode = 7;
    assert_int_equal(ctl_op(BH_CTL_CONSOLE, &con), -EINVAL);
    struct bh_sysinfo si;
    assert_int_equal(ctl_op(BH_CTL_SYSINFO, &si), 0);
    assert_string_equal(si.version, "test");
    assert_int_equal(si.total_pages, RAM_FRAMES - 1);
    struct bh_machine m = { .how = 2 };
    assert_int_equal(ctl_op(BH_CTL_MACHINE, &m), -EINVAL);
    /* itself, too; then it has no console any more */
    c.domid = 0;
    assert_int_equal(ctl_op(BH_CTL_CRASH, &c), 0);
    assert_int_equal(ctl->state, BH_DOM_CRASHED);
    assert_false(claimed);
}

/* --- counters ------------------------------------------------------------------------------------------------------ */
static struct bh_counts counts_of(struct domain *d)
{
    struct bh_dominfo i = { .domid = d->id };
    assert_int_equal(ctl_op(BH_CTL_INFO, &i), 0);
    assert_int_equal(i.domid, d->id);
    return i.counts;
}
static struct bh_sysinfo sysinfo(void)
{
    struct bh_sysinfo si;
    assert_int_equal(ctl_op(BH_CTL_SYSINFO, &si), 0);
    return si;
}
/* Of all vCPUs; kept over a restart; the machine's sum loses nothing by an end. No other domain learns or sets any of them. */
TEST(test_counts)
{
    struct bh_domid id = { .domid = guest->id };
    struct bh_dominfo di = { .domid = guest->id };
    static struct bh_sysinfo si;
    struct bh_counts ended = sysinfo().ended;
    for (unsigned i = 0; i < 2; i++) {
        guest->vcpu[i]->counts = (struct bh_counts){ .hypercalls = 100 + i, .self_ipis = 7 };
        guest->vcpu[i]->counts.exits[BH_EXIT_HLT] = 5ull << 40;
    }
    struct bh_counts c = counts_of(guest);
    assert_int_equal(c.hypercalls, 201);
    assert_int_equal(c.self_ipis, 14);
    assert_int_equal(c.exits[BH_EXIT_HLT], 10ull << 40);
    assert_int_equal(c.exits[BH_EXIT_INTR] + c.copies + c.guest_walks + c.ipis, 0);
    this_cpu()->own_counts.ipis += 3;
    assert_int_equal(sysinfo().core.ipis, this_cpu()->own_counts.ipis);

    svc->vcpu[0]->counts.hypercalls = 40;
    assert_int_equal(ctl_restart(svc, 0), 0);
    build(svc, CON, XS);
    assert_int_equal(counts_of(svc).hypercalls, 40);

    struct domain *who[] = { guest, store, svc };
    for (unsigned i = 0; i < ARRAY_SIZE(who); i++) {
        as(who[i]);
        assert_int_equal(do_control_op(BH_CTL_INFO, PTR(&di)), -EPERM);
        assert_int_equal(do_control_op(BH_CTL_SYSINFO, PTR(&si)), -EPERM);
    }
    assert_int_equal(di.counts.hypercalls + si.core.nested_walks, 0);

    assert_int_equal(ctl_op(BH_CTL_DESTROY, &id), 0);
    assert_null(domain_get(id.domid));
    si = sysinfo();
    assert_int_equal(si.ended.hypercalls, ended.hypercalls + 201);
    assert_int_equal(si.ended.self_ipis, ended.self_ipis + 14);
    assert_int_equal(si.ended.exits[BH_EXIT_HLT], ended.exits[BH_EXIT_HLT] + (10ull << 40));
}

/* --- the service hypercall --------------------------------------------------------------------------------------- */
TEST(test_batch)
{
    static struct gnttab_copy c[BH_BATCH_COPIES];
    static uint32_t ports[BH_BATCH_SENDS];
    struct life l;
    live(&l);
    grant_seed(guest, 10, svc->id, 12);
    memcpy(gpa_ptr(guest, 12 << 12), "packet", 7);
    for (unsigned i = 0; i < BH_BATCH_COPIES; i++) {
        c[i] = (struct gnttab_copy){ .len = 7, .flags = GNTCOPY_source_gref, .status = 99 };
        c[i].source.u.ref = i == 100 ? 11 : 10;
        c[i].source.domid = guest->id;
        c[i].dest.u.gmfn = 40;
        c[i].dest.domid = DOMID_SELF;
        c[i].dest.offset = (uint16_t)(i * 8);
    }
    for (unsigned i = 0; i < BH_BATCH_SENDS; i++)
        ports[i] = i == 7 ? ~0u : l.sport;
    guest->shared->evtchn_pending[0] = 0;
    struct bh_batch b = { (uint64_t)c, (uint64_t)ports, BH_BATCH_COPIES, BH_BATCH_SENDS };
    uint64_t copied = this_cpu()->counts->copies;
    long rc;
    unsigned rounds = 0;
    do {
        as(svc);
        yields_after = 0;
        rc = do_service_op(BH_SVC_BATCH, PTR(&b));
        if (rc == HC_AGAIN)
            assert_false(pending(guest, l.gport)); /* sends come last */
        rounds++;
    } while (rc == HC_AGAIN);
    yields_after = ~0u;
    assert_int_equal(rc, 0);
    assert_int_equal(rounds, BH_BATCH_COPIES / 16 + 1);
    assert_int_equal(this_cpu()->counts->copies - copied,
                     BH_BATCH_COPIES); /* those that failed, too, and each once */
    for (unsigned i = 0; i < BH_BATCH_COPIES; i++) {
        assert_int_equal(c[i].status, i == 100 ? GNTST_general_error : 0);
        if (i != 100)
            assert_string_equal((char *)gpa_ptr(svc, 40 << 12) + i * 8, "packet");
    }
    assert_true(pending(guest, l.gport));
    assert_int_equal(svc->vcpu[0]->hc_op, 0);

    b.nr_copies = BH_BATCH_COPIES + 1;
    assert_int_equal(do_service_op(BH_SVC_BATCH, PTR(&b)), -E2BIG);
    b = (struct bh_batch){ (uint64_t)c, (uint64_t)ports, 1, ~0u };
    assert_int_equal(do_service_op(BH_SVC_BATCH, PTR(&b)), -E2BIG);
    guest->shared->evtchn_pending[0] = 0;
    b = (struct bh_batch){ (uint64_t)c, BAD_PTR, 1, 1 };
    assert_int_equal(do_service_op(BH_SVC_BATCH, PTR(&b)), -EFAULT);
    b = (struct bh_batch){ BAD_PTR, (uint64_t)ports, 1, 1 };
    assert_int_equal(do_service_op(BH_SVC_BATCH, PTR(&b)), -EFAULT);
    assert_false(pending(guest, l.gport));
    assert_int_equal(svc->vcpu[0]->hc_op, 0);
    b = (struct bh_batch){ 0, 0, 0, 0 };
    assert_int_equal(do_service_op(BH_SVC_BATCH, PTR(&b)), 0);
    struct bh_wait w = { 0, (uint64_t)ports, BH_BATCH_SENDS + 1 };
    assert_int_equal(do_service_op(BH_SVC_WAIT, PTR(&w)), -E2BIG);
    w = (struct bh_wait){ 0, BAD_PTR, 1 };
    assert_int_equal(do_service_op(BH_SVC_WAIT, PTR(&w)), -EFAULT);
    assert_false(pending(guest, l.gport));
    w.sends = (uint64_t)ports;
    assert_int_equal(do_service_op(BH_SVC_WAIT, PTR(&w)), HC_AGAIN); /* sent before it waits */
    assert_true(pending(guest, l.gport));
    unmap(guest, l.theirs, WIN);
    unmap(store, l.xs_handle, WIN);
}

TEST(test_service_rest)
{
    as(svc);
    shim_now_ns = 5000;
    assert_int_equal(do_service_op(BH_SVC_ADOPTED, GADDR(0)), 0);
    assert_true(svc->adopted);
    assert_int_equal(svc->adopted_ns, 5000);
    assert_false(svc->served);
    assert_int_equal(do_service_op(BH_SVC_SERVED, GADDR(0)), 0);
    assert_true(svc->served);
    struct bh_ptr_mode p = { 2 };
    assert_int_equal(do_service_op(BH_SVC_PTR_MODE, PTR(&p)), -EINVAL);
    p.physical = 1;
    assert_int_equal(do_service_op(BH_SVC_PTR_MODE, PTR(&p)), 0);
    assert_true(svc->vcpu[0]->phys_ptr);
    struct bh_deadline dl = { 200 };
    assert_int_equal(do_service_op(BH_SVC_DEADLINE, PTR(&dl)), 0);
    assert_int_equal(svc->deadline_ms, 200);
    struct bh_dma_enable e = { 0x18, 1 };
    assert_int_equal(do_service_op(BH_SVC_DMA_ENABLE, PTR(&e)), 0);
    assert_int_equal(svc->dma_ns, 5000);
    e.enable = 7;
    assert_int_equal(do_service_op(BH_SVC_DMA_ENABLE, PTR(&e)), -EINVAL);
    struct bh_wait w = { 0 };
    assert_int_equal(do_service_op(BH_SVC_WAIT, PTR(&w)), HC_AGAIN);
    struct bh_pci_info pi = { .index = 0 };
    assert_int_equal(do_service_op(BH_SVC_DEVICES, PTR(&pi)), -ENOENT);
    assert_int_equal(ctl_restart(svc, 0), 0);
    assert_false(svc->adopted || svc->served || svc->vcpu[0]->phys_ptr);
    assert_int_equal(svc->deadline_ms, 0);
}

static bool told(uint32_t port) /* the control domain, since the last look */
{
    return __atomic_fetch_and(&ctl->shared->evtchn_pending[port / 64], ~(1ul << (port % 64)),
                              __ATOMIC_SEQ_CST) >>
               (port % 64) &
           1;
}

/* The control domain hears of each instance's adoption once. */
TEST(test_adopted_is_told)
{
    struct evtchn_bind_virq b = { .virq = VIRQ_DOM_EXC, .vcpu = 0 };
    as(ctl);
    assert_int_equal(do_event_channel_op(EVTCHNOP_bind_virq, PTR(&b)), 0);
    (void)told(b.port);
    for (int instance = 0; instance < 3; instance++) {
        as(svc);
        assert_int_equal(do_service_op(BH_SVC_ADOPTED, GADDR(0)), 0);
        assert_true(told(b.port));
        assert_int_equal(do_service_op(BH_SVC_ADOPTED, GADDR(0)), 0);
        assert_false(told(b.port));
        assert_int_equal(ctl_restart(svc, 0), 0);
        assert_false(svc->adopted);
        (void)told(b.port);
    }
}
