// SPDX-License-Identifier: MIT
// Domains: how many there may be, which memory they take, which domids they get.
// LINK: tests/unit/core_harness.c
// FLAGS: -DSHIM_RAM_BYTES=0x10000000u
#include "core_harness.h"

bool priv_allows(enum bh_role role, enum priv p) { return role == BH_ROLE_CONTROL; }

#define GUESTS 200u /* that there may be */

static struct domain *holder;
static struct domain *made[GUESTS];

int setup(void **state)
{
    machine_setup(state);
    holder = make(3, BH_ROLE_DRIVER, 0, 1, 16);
    return 0;
}
static int create(struct domain **out)
{
    struct bh_create c = { .domid = BH_DOMID_ANY,
                           .role = BH_ROLE_GUEST,
                           .nr_vcpus = 1,
                           .max_pages = 16,
                           .name = "guest",
                           .clock_offset = -3600 };
    return domain_create(&c, out);
}
/* It starts by the clock as it is known then, in its own offset from UTC. */
TEST(wall_clock)
{
    struct domain *d;
    assert_int_equal(create(&d), 0);
    assert_int_equal(d->shared->wc_sec, 1700000000 - 3600);
    wallclock_ns += 1300000000;
    d->vcpu[0]->initialised = true;
    assert_int_equal(domain_start(d), 0);
    assert_int_equal(d->shared->wc_sec, 1700000001 - 3600);
    assert_int_equal(d->shared->wc_nsec, 300000000);
    wallclock_ns -= 1300000000;
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
    struct gnttab_map_grant_ref op = {
        .host_addr = gfn << 12, .flags = GNTMAP_host_map, .ref = 8, .dom = d->id
    };
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

TEST(test_guests_are_counted)
{
    struct domain *more;
    for (unsigned i = 0; i < GUESTS; i++)
        assert_int_equal(create(&made[i]), 0);
    assert_int_equal(create(&more), -ENOSPC);
    destroy(made[7]);
    assert_int_equal(create(&made[7]), 0);
    assert_int_equal(create(&more), -ENOSPC);
}

/* What is left of a destroyed guest because somebody maps its page takes nobody's place, and gives none away twice. */
TEST(test_remains_are_not_counted)
{
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
TEST(test_made_of_single_frames)
{
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

/* --- domids ------------------------------------------------------------------------------------------------- */
#define IDS (BH_DOMID_ANY - BH_FIRST_GUEST)

static unsigned again; /* times that a creation said so */
static domid_t create_one(struct domain **out)
{
    struct domain *d;
    int rc;
    again = 0;
    while ((rc = create(&d)) == HC_AGAIN)
        again++;
    assert_int_equal(rc, 0);
    if (out)
        *out = d;
    else
        destroy(d);
    return d->id;
}
/* Makes and ends n guests; when each domid came (from 1), 0: not. */
static uint32_t came[BH_DOMID_ANY];
static void make_many(unsigned n)
{
    struct domain *d;
    memset(came, 0, sizeof came);
    for (unsigned i = 1; i <= n; i++) {
        domid_t id = create_one(&d);
        if (!came[id])
            came[id] = i;
        destroy(d);
    }
}

TEST(test_domids_come_again)
{
    enum { BY_GRANT, BY_PORT, BY_SERVICE, FORGOTTEN, FREE, KINDS };
    struct domain *d[KINDS];
    domid_t id[KINDS];
    uint32_t port;
    make_many(IDS); /* each has been used now */
    for (unsigned i = 0; i < KINDS; i++)
        id[i] = create_one(&d[i]);
    grant_seed(holder, 100, id[BY_GRANT], 1);
    assert_int_equal(evtchn_alloc_unbound(holder, id[BY_PORT], &port), 0);
    d[BY_SERVICE]->rings = d[FORGOTTEN]->rings = true;
    assert_int_equal(domid_forget(id[FORGOTTEN]), -EBUSY); /* it lives */
    for (unsigned i = 0; i < KINDS; i++)
        destroy(d[i]);
    assert_int_equal(domid_forget(id[FORGOTTEN]), 0);
    assert_int_equal(domid_forget(id[FORGOTTEN]), -ESRCH);
    assert_int_equal(domid_forget(id[FREE]), -ESRCH);
    assert_int_equal(domid_forget(3), -EINVAL);

    make_many(IDS);
    assert_int_equal(came[id[BY_GRANT]], 0);
    assert_int_equal(came[id[BY_PORT]], 0);
    assert_int_equal(came[id[BY_SERVICE]], 0);
    assert_in_range(came[id[FREE]], IDS - KINDS - 8, IDS); /* behind all that were free for longer */
    assert_in_range(came[id[FORGOTTEN]], IDS - KINDS - 8, IDS);

    grant_entry(holder, 100)->flags = 0;
    as(holder);
    assert_int_equal(evtchn_close(holder, port), 0);
    assert_int_equal(domid_forget(id[BY_SERVICE]), 0);
    make_many(IDS);
    assert_int_not_equal(came[id[BY_GRANT]], 0);
    assert_int_not_equal(came[id[BY_PORT]], 0);
    assert_int_not_equal(came[id[BY_SERVICE]], 0);
}

/* A table full of grants is looked through in steps; all domids named, there is none, and that is said. */
TEST(test_domids_are_looked_for_in_steps)
{
    mfn_t m;
    struct domain *d;
    int rc;
    assert_int_equal(grant_frame_mfn(holder, GRANT_MAX_FRAMES - 1, &m), 0);
    create_one(NULL);
    assert_in_range(again, 7, 12);
    for (unsigned i = 0; i < IDS; i++)
        grant_seed(holder, i, (domid_t)(BH_FIRST_GUEST + i), 1);
    while ((rc = create(&d)) == HC_AGAIN)
        ;
    assert_int_equal(rc, -ENOSPC);
}
