// SPDX-License-Identifier: MIT
// Immutable pages: who may make them, that nobody writes them, what restarts and the end of the domain do to them.
// LINK: tests/unit/control_harness.c hv/abi/vcpu_op.c
#include "control_harness.h"
#include <xen/vcpu.h>

#define PAGES 1024u
#define XS    (PAGES - 1)
#define CON   (PAGES - 2)
#define KEEP  (PAGES - 6)
#define TEXT  0x100u /* the image's pages that are not written */
#define NR    40u
static char image[NR * PAGE_SIZE];

static long write_page(uint64_t gfn)
{
    return ctl_op(BH_CTL_WRITE,
                  &(struct bh_write){
                      .domid = svc->id, .gpa = gfn << 12, .src = (uint64_t)image, .len = PAGE_SIZE });
}
static void run(void)
{
    assert_int_equal(ctl_op(BH_CTL_SET_ENTRY, &(struct bh_entry){ .domid = svc->id, .eip = 0x100000 }),
                     0);
    assert_int_equal(ctl_op(BH_CTL_UNPAUSE, &(struct bh_domid){ .domid = svc->id }), 0);
}

int setup(void **state)
{
    machine_of_two(0, 16);
    svc = make(3, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 1, PAGES);
    struct bh_setup_rings r = { .domid = svc->id,
                                .console_domid = ctl->id,
                                .store_domid = store->id,
                                .console_gfn = CON,
                                .store_gfn = XS };
    assert_int_equal(ctl_op(BH_CTL_SETUP_RINGS, &r), 0);
    for (unsigned i = 0; i < sizeof image; i++)
        image[i] = (char)(i / PAGE_SIZE + i + 1);
    for (unsigned i = 0; i < NR; i++)
        memcpy(gpa_ptr(svc, (TEXT + i) * PAGE_SIZE), image + i * PAGE_SIZE, PAGE_SIZE);
    return 0;
}

static void intact(void)
{
    for (unsigned i = 0; i < NR; i++) {
        mfn_t m = frame_of(svc, TEXT + i);
        assert_int_equal(type_of(svc, TEXT + i), P2M_RAM_IMMUTABLE);
        assert_int_equal(mfn_to_frame(m)->refs, 1);
        assert_memory_equal(mfn_to_virt(m), image + i * PAGE_SIZE, PAGE_SIZE);
    }
    assert_int_equal(svc->tot_pages, PAGES);
}

TEST(test_who_and_what)
{
    struct bh_protect p = { .domid = svc->id, .gfn = TEXT, .nr = NR };
    as(svc);
    assert_int_equal(do_control_op(BH_CTL_PROTECT, PTR(&p)), -EPERM);
    as(store);
    assert_int_equal(do_control_op(BH_CTL_PROTECT, PTR(&p)), -EPERM);
    p.domid = 77;
    assert_int_equal(ctl_op(BH_CTL_PROTECT, &p), -ESRCH);
    const struct {
        uint64_t gfn, nr;
    } bad[] = {
        { KEEP, 1 },
        { KEEP - 2, 3 },
        { KEEP + 3, 1 },
        { CON, 1 },
        { XS, 1 },
        { PAGES, 1 },
        { PAGES - 1, 2 },
        { ~0ull, 1 },
        { ~0ull >> 12, 1 },
        { svc->p2m.max_gfn - 1, 2 },
        { 1ull << 63, 4096 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(ctl_protect(svc, bad[i].gfn, bad[i].nr), -EINVAL);
    assert_int_equal(type_of(svc, KEEP - 2), P2M_RAM); /* all or nothing */
    assert_int_equal(ctl_protect(svc, 0, BH_PROTECT_MAX + 1), -E2BIG);
    assert_int_equal(ctl_protect(svc, 0, ~0ull), -E2BIG);
    mfn_t f;
    assert_int_equal(grant_frame_mfn(svc, 0, &f), 0);
    assert_int_equal(p2m_set(svc, GFN(0x5000), f, 0, P2M_SHARED), 0);
    assert_int_equal(ctl_protect(svc, 0x5000, 1), -EINVAL);
    assert_int_equal(p2m_set(svc, GFN(0x5001), MFN(0x3fff), 0, P2M_MMIO), 0);
    assert_int_equal(ctl_protect(svc, 0x5001, 1), -EINVAL);

    uint64_t gen = svc->p2m.gen;
    assert_int_equal(ctl_protect(svc, TEXT, 0), 0);
    assert_int_equal(ctl_protect(svc, TEXT, NR), 0);
    assert_int_equal(dma_lost, NR);
    assert_true(svc->p2m.gen > gen);
    assert_int_equal(type_of(svc, TEXT - 1), P2M_RAM);
    assert_int_equal(type_of(svc, TEXT + NR), P2M_RAM);
    assert_int_equal(ctl_protect(svc, TEXT, NR), 0); /* again is no harm */
    assert_int_equal(dma_lost, NR);
    intact();
    run();
    assert_int_equal(ctl_protect(svc, TEXT + NR, 1), -EACCES);
    assert_int_equal(type_of(svc, TEXT + NR), P2M_RAM);
}

TEST(test_preempted)
{
    struct bh_protect p = { .domid = svc->id, .gfn = TEXT, .nr = NR };
    unsigned rounds = 0;
    long rc;
    do {
        yields_after = 0;
        rc = ctl_op(BH_CTL_PROTECT, &p);
        rounds++;
    } while (rc == HC_AGAIN);
    yields_after = ~0u;
    assert_int_equal(rc, 0);
    assert_int_equal(rounds, NR);
    assert_int_equal(ctl->vcpu[0]->hc_op, 0);
    intact();
}

TEST(test_nobody_writes)
{
    assert_int_equal(ctl_protect(svc, TEXT, NR), 0);
    assert_int_equal(write_page(TEXT), -EFAULT);
    assert_int_equal(write_page(TEXT + NR), PAGE_SIZE);
    struct bh_setup_rings r = {
        .domid = store->id, .console_domid = 0, .store_domid = 1, .console_gfn = 4, .store_gfn = 5
    };
    assert_int_equal(ctl_protect(store, 4, 1), 0);
    assert_int_equal(ctl_op(BH_CTL_SETUP_RINGS, &r), -EINVAL); /* rings are written */
    run();
    as(svc);
    struct xen_remove_from_physmap rm = { .domid = DOMID_SELF, .gpfn = TEXT };
    assert_int_equal(do_memory_op(XENMEM_remove_from_physmap, PTR(&rm)), -EPERM);
    struct xen_add_to_physmap add = { .domid = DOMID_SELF,
                                      .space = XENMAPSPACE_shared_info,
                                      .gpfn = TEXT + 1 };
    assert_int_equal(do_memory_op(XENMEM_add_to_physmap, PTR(&add)), -EPERM);
    add.space = XENMAPSPACE_grant_table;
    assert_int_equal(do_memory_op(XENMEM_add_to_physmap, PTR(&add)), -EPERM);
    xen_pfn_t out[2] = { TEXT + NR + 5, TEXT + 2 };
    struct xen_memory_reservation res = { .nr_extents = 2, .domid = DOMID_SELF };
    set_xen_guest_handle(res.extent_start, out);
    assert_int_equal(do_memory_op(XENMEM_decrease_reservation, PTR(&res)),
                     1); /* the first, which is RAM */
    assert_int_equal(do_memory_op(XENMEM_populate_physmap, PTR(&res)), 1);
    struct vcpu_register_vcpu_info vi = { .mfn = TEXT + 3 };
    assert_int_equal(do_vcpu_op(VCPUOP_register_vcpu_info, 0, PTR(&vi)), -EINVAL);
    intact();
}

static void fill_with(uint8_t byte)
{
    for (uint64_t g = 0; g < PAGES; g++)
        if (type_of(svc, g) == P2M_RAM)
            memset(gpa_ptr(svc, g << 12), byte, PAGE_SIZE);
}

static void check_fresh(bool text_too)
{
    for (uint64_t g = 0; g < PAGES; g++) {
        uint8_t *p = gpa_ptr(svc, g << 12);
        bool keep = g >= KEEP && g < KEEP + 4;
        assert_non_null(p);
        if (!text_too && g >= TEXT && g < TEXT + NR)
            continue;
        assert_int_equal(type_of(svc, g), P2M_RAM);
        for (unsigned i = 0; i < PAGE_SIZE; i += 64)
            assert_int_equal(p[i], keep ? 0xaa : 0);
    }
    assert_int_equal(svc->tot_pages, PAGES);
}

TEST(test_restarts)
{
    mfn_t was[NR];
    struct frame_stats before, after;
    assert_int_equal(ctl_protect(svc, TEXT, NR), 0);
    for (unsigned i = 0; i < NR; i++)
        was[i] = frame_of(svc, TEXT + i);
    for (unsigned n = 0; n < 20; n++) {
        run();
        fill_with(0xaa);
        if (n == 3)
            frame_get_stats(&before);
        long rc;
        do {
            yields_after = n % 4 == 3 ? ~0u : n % 4;
            rc = ctl_restart(svc, 0);
        } while (rc == HC_AGAIN);
        yields_after = ~0u;
        assert_int_equal(rc, 0);
        intact();
        check_fresh(false);
        for (unsigned i = 0; i < NR; i++)
            assert_int_equal(frame_of(svc, TEXT + i).v, was[i].v);
        assert_int_equal(write_page(TEXT + 7), -EFAULT);
        assert_int_equal(write_page(TEXT + NR), PAGE_SIZE);
    }
    frame_get_stats(&after);
    assert_int_equal(after.free, before.free);
    assert_int_equal(after.core, before.core);
}

/* A grant of such a page is taken back by a restart as any other; its mapper sees zeroes then. */
TEST(test_restart_takes_grants_back)
{
    assert_int_equal(ctl_protect(svc, TEXT, NR), 0);
    run();
    grant_seed(svc, 9, store->id, TEXT + 2);
    map(store, svc->id, 9, WIN, GNTMAP_readonly);
    assert_memory_equal(gpa_ptr(store, WIN << 12), image + 2 * PAGE_SIZE, PAGE_SIZE);
    assert_int_equal(ctl_restart(svc, 0), 0);
    intact();
    assert_int_equal(*(char *)gpa_ptr(store, WIN << 12), 0);
}

TEST(test_fresh)
{
    assert_int_equal(ctl_protect(svc, TEXT, NR), 0);
    run();
    fill_with(0xaa);
    assert_int_equal(ctl_restart(svc, 2), -EINVAL);
    assert_int_equal(ctl_restart(svc, ~0u), -EINVAL);
    assert_int_equal(svc->state, BH_DOM_RUNNING);
    assert_int_equal(ctl_restart(svc, BH_RESTART_FRESH), 0);
    check_fresh(true);
    for (unsigned i = 0; i < NR; i++) /* another image may come now */
        assert_int_equal(write_page(TEXT + i), PAGE_SIZE);
    assert_int_equal(ctl_protect(svc, TEXT + 1, 2), 0);
    run();
    fill_with(0xaa);
    /* a plain restart under way is taken over by a fresh one, wherever it stands */
    for (unsigned stop = 1; stop <= 8; stop++) {
        yields_after = 0;
        while (svc->op_stage < stop && ctl_restart(svc, 0) == HC_AGAIN)
            yields_after = 0;
        yields_after = ~0u;
        assert_int_equal(ctl_restart(svc, BH_RESTART_FRESH), 0);
        check_fresh(true);
        assert_int_equal(ctl_protect(svc, TEXT, NR), 0);
        run();
        fill_with(0xaa);
    }
}

TEST(test_destroy_frees)
{
    struct frame_stats before, after;
    for (unsigned i = 0; i < 3; i++) {
        struct bh_create c = {
            .domid = BH_DOMID_ANY, .role = BH_ROLE_GUEST, .nr_vcpus = 1, .max_pages = 700, .name = "short"
        };
        frame_get_stats(&after);
        if (i == 2)
            assert_int_equal(after.free, before.free);
        before = after;
        assert_int_equal(ctl_op(BH_CTL_CREATE, &c), 0);
        assert_int_equal(ctl_op(BH_CTL_POPULATE,
                                &(struct bh_populate){ .domid = c.domid, .gfn = 0, .nr = 700 }),
                         0);
        assert_int_equal(ctl_op(BH_CTL_PROTECT,
                                &(struct bh_protect){ .domid = c.domid, .gfn = 500, .nr = 100 }),
                         0);
        assert_int_equal(ctl_op(BH_CTL_DESTROY, &(struct bh_domid){ .domid = c.domid }), 0);
        assert_int_equal(ctl_op(BH_CTL_DESTROY, &(struct bh_domid){ .domid = c.domid }), -ESRCH);
    }
}
