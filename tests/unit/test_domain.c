// SPDX-License-Identifier: MIT
// Domains: how many there may be, which memory they take, which domids they get.
// LINK: hv/irq/evtchn.c hv/irq/evtchn_op.c hv/mem/grant.c hv/mem/grant_map.c hv/mem/grant_op.c hv/sched/restart.c
// LINK: hv/mem/npt.c hv/mem/frame.c hv/mem/kmalloc.c hv/sched/domain.c hv/sched/vcpu.c
// FLAGS: -DSHIM_RAM_BYTES=0x10000000u
#include "core_harness.h"

bool priv_allows(enum bh_role role, enum priv p) { (void)p; return role == BH_ROLE_CONTROL; }

#define GUESTS 200u /* that there may be */

static struct domain *holder;
static struct domain *made[GUESTS];

static int setup(void **state)
{
    machine_setup(state);
    holder = make(3, BH_ROLE_DRIVER, 0, 1, 16);
    return 0;
}
static int create(struct domain **out)
{
    struct bh_create c = { .domid = BH_DOMID_ANY, .role = BH_ROLE_GUEST, .nr_vcpus = 1, .max_pages = 16, .name = "guest" };
    return domain_create(&c, out);
}
static void destroy(struct domain *d)
{
    int rc;
    while ((rc = domain_destroy(d)) == HC_AGAIN)
        ;
    assert_int_equal(rc, 0);
    domain_reap();
}
/* Page 0 of d is mapped by the holder, and stays that. */
static uint32_t hold_a_page(struct domain *d, uint64_t gfn)
{
    struct gnttab_map_grant_ref op = { .host_addr = gfn << 12, .flags = GNTMAP_host_map, .ref = 8, .dom = d->id };
    uint64_t done = 0;
    assert_int_equal(domain_populate(d, 0, 1, &done), 0);
    grant_seed(d, 8, holder->id, 0);
    as(holder);
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, PTR(&op), 1), 0);
    assert_int_equal(op.status, GNTST_okay);
    return op.handle;
}
static void let_go(uint32_t handle, uint64_t gfn)
{
    struct gnttab_unmap_grant_ref op = { .host_addr = gfn << 12, .handle = handle };
    as(holder);
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, PTR(&op), 1), 0);
    assert_int_equal(op.status, GNTST_okay);
}

static void test_guests_are_counted(void **s)
{
    (void)s;
    struct domain *more;
    for (unsigned i = 0; i < GUESTS; i++)
        assert_int_equal(create(&made[i]), 0);
    assert_int_equal(create(&more), -ENOSPC);
    destroy(made[7]);
    assert_int_equal(create(&made[7]), 0);
    assert_int_equal(create(&more), -ENOSPC);
}

/* What is left of a destroyed guest because somebody maps its page takes nobody's place, and gives none away twice. */
static void test_remains_are_not_counted(void **s)
{
    (void)s;
    uint32_t handle[GUESTS + 20];
    domid_t id[GUESTS + 20];
    struct domain *d, *more;
    for (unsigned i = 0; i < GUESTS + 20; i++) {
        assert_int_equal(create(&d), 0);
        id[i] = d->id;
        handle[i] = hold_a_page(d, 0x1000 + i);
        destroy(d);
        d = domain_get(id[i]);
        assert_non_null(d);
        assert_int_equal(d->state, BH_DOM_DYING);
        domain_put(d);
    }
    for (unsigned i = 0; i < GUESTS; i++)
        assert_int_equal(create(&made[i]), 0);
    for (unsigned i = 0; i < GUESTS + 20; i++)
        let_go(handle[i], 0x1000 + i);
    domain_reap();
    for (unsigned i = 0; i < GUESTS + 20; i++)
        assert_null(domain_get(id[i]));
    assert_int_equal(create(&more), -ENOSPC);
}

/* No two free frames beside each other: a domain can be made all the same. */
static void test_made_of_single_frames(void **s)
{
    (void)s;
    static void *frame[RAM_FRAMES];
    unsigned n = 0;
    struct domain *d;
    frame_promise_end(holder); /* nothing is kept back */
    while ((frame[n] = core_alloc(0)) != NULL)
        n++;
    for (unsigned i = 0; i < n; i++) /* one in two of where it lies */
        if (virt_to_mfn(frame[i]).v % 2 == 0)
            core_free(frame[i], 0);
    assert_null(core_alloc(1));
    assert_int_equal(create(&d), 0);
    destroy(d);
    for (unsigned i = 0; i < n; i++)
        if (virt_to_mfn(frame[i]).v % 2)
            core_free(frame[i], 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, machine_teardown)
    const struct CMUnitTest tests[] = {
        T(test_guests_are_counted), T(test_remains_are_not_counted), T(test_made_of_single_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
