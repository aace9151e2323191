// SPDX-License-Identifier: MIT
// A destroyed domain whose frames others have mapped: who is named, what they lose, and that every frame comes back.
// LINK: tests/unit/control_harness.c
#include "control_harness.h"

static struct domain *drv, *a, *b, *gone;

static long again(unsigned op, void *arg, unsigned *rounds) /* every look at the clock says: enough */
{
    long rc;
    *rounds = 0;
    do {
        yields_after = 0;
        rc = ctl_op(op, arg);
        ++*rounds;
    } while (rc == HC_AGAIN);
    yields_after = ~0u;
    return rc;
}

int setup(void **state)
{
    machine_setup(state);
    ctl = make(0, BH_ROLE_CONTROL, 0, 1, 16);
    start(ctl);
    drv = make(3, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 1, 64);
    a = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 1, 64);
    b = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 1, 64);
    gone = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 1, 64);
    start(a);
    start(b);
    start(gone);
    return 0;
}

static uint32_t seed_and_map(struct domain *by, struct domain *of, uint32_t ref, uint64_t page,
                             uint64_t gfn, uint32_t flags)
{
    grant_seed(of, ref, by->id, page);
    return map(by, of->id, ref, gfn, flags);
}
static struct bh_dominfo info(domid_t id)
{
    struct bh_dominfo i = { .domid = id };
    unsigned rounds;
    assert_int_equal(again(BH_CTL_INFO, &i, &rounds), 0);
    return i;
}
static void destroy(struct domain *d)
{
    struct bh_domid id = { .domid = d->id };
    unsigned rounds;
    assert_int_equal(again(BH_CTL_DESTROY, &id, &rounds), 0);
}
static long reclaim(domid_t of, domid_t holder)
{
    struct bh_reclaim r = { .domid = of, .holder = holder };
    unsigned rounds;
    return again(BH_CTL_RECLAIM, &r, &rounds);
}

TEST(test_named_and_taken_away)
{
    domid_t id = gone->id;
    mfn_t f;
    memcpy(gpa_ptr(gone, 5 << 12), "of the dead", 12);
    memcpy(gpa_ptr(b, 7 << 12), "of the living", 14);
    uint32_t ha = seed_and_map(a, gone, 8, 5, WIN, 0),
             ha2 = seed_and_map(a, gone, 9, 6, WIN + 1, GNTMAP_readonly);
    uint32_t other = seed_and_map(a, b, 8, 7, WIN + 2, 0),
             hd = seed_and_map(drv, gone, 10, 5, WIN, 0);
    assert_int_equal(grant_frame_mfn(gone, GRANT_MAX_FRAMES - 1, &f), 0);
    uint32_t hb = seed_and_map(b, gone, 20000, 30, WIN,
                               0); /* far up in a table that is empty otherwise */
    assert_int_equal(info(id).holder, BH_DOMID_NONE);
    assert_int_equal(reclaim(id, a->id), -EINVAL); /* it lives */
    destroy(gone);
    assert_int_equal(info(id).state, BH_DOM_DYING);
    assert_int_equal(info(id).tot_pages, 3);

    assert_int_equal(info(id).holder, a->id);
    assert_int_equal(reclaim(id, 0x7000), -ESRCH);
    assert_int_equal(reclaim(0x7000, a->id), -ESRCH);
    assert_int_equal(reclaim(b->id, a->id), -EINVAL);
    assert_string_equal(gpa_ptr(a, WIN << 12), "of the dead");
    assert_int_equal(reclaim(id, a->id), 0);
    assert_int_equal(*(char *)gpa_ptr(a, WIN << 12), 0);
    assert_int_equal(*(char *)gpa_ptr(a, (WIN + 1) << 12), 0);
    strcpy(gpa_ptr(a, WIN << 12), "it may still write"); /* and is not killed by that */
    assert_string_equal(gpa_ptr(drv, WIN << 12), "of the dead");
    assert_string_equal(gpa_ptr(a, (WIN + 2) << 12), "of the living");

    assert_int_equal(info(id).holder, drv->id);
    assert_int_equal(reclaim(id, drv->id), 0);
    assert_int_equal(info(id).tot_pages, 1);
    assert_int_equal(info(id).holder, b->id);
    assert_int_equal(reclaim(id, b->id), 0);
    assert_null(domain_get(id)); /* with the last frame it went */

    unmap(a, ha, WIN);
    unmap(a, ha2, WIN + 1);
    unmap(a, other, WIN + 2);
    unmap(drv, hd, WIN);
    unmap(b, hb, WIN);
    assert_int_equal(mfn_to_frame(zero_mfn)->refs, 1);
}

/* Neither operation is longer than its budget, whatever the tables hold. */
TEST(test_in_steps)
{
    struct frame_stats before, after;
    domid_t id = gone->id;
    mfn_t f;
    unsigned rounds;
    frame_get_stats(&before);
    assert_int_equal(grant_frame_mfn(gone, GRANT_MAX_FRAMES - 1, &f), 0);
    for (uint32_t ref = 8; ref < 8000; ref++) { /* a record of each, and of each a handle */
        uint32_t h = seed_and_map(a, gone, ref, 5, WIN + ref, 0);
        if (ref < 7999)
            unmap(a, h, WIN + ref);
        else
            assert_int_equal(h, 0);
    }
    for (uint32_t ref = 8; ref < 2008; ref++)
        (void)seed_and_map(a, b, ref % 500 + 8, 7, 2 * WIN + ref, 0); /* handles of another's frames */
    destroy(gone);
    struct bh_dominfo i = { .domid = id };
    assert_int_equal(again(BH_CTL_INFO, &i, &rounds), 0);
    assert_int_equal(i.holder, a->id);
    assert_true(rounds >= 7999 / 256);
    assert_int_equal(again(BH_CTL_INFO, &i, &rounds), 0);
    assert_int_equal(rounds, 1); /* what was looked at is not looked at again */
    struct bh_reclaim r = { .domid = id, .holder = a->id };
    assert_int_equal(again(BH_CTL_RECLAIM, &r, &rounds), 0);
    assert_true(rounds >= 2000 / 256);
    assert_null(domain_get(id));
    frame_get_stats(&after);
    assert_true(after.free + 40 > before.free); /* a's tables and records stay with it */
}

TEST(test_two_hold_each_other)
{
    domid_t ia = a->id, ib = b->id;
    (void)seed_and_map(a, b, 8, 5, WIN, 0);
    (void)seed_and_map(b, a, 8, 5, WIN, 0);
    destroy(a); /* a's own mappings end with it */
    assert_int_equal(info(ia).holder, ib);
    assert_int_equal(info(ib).holder, BH_DOMID_NONE);
    destroy(b);
    (void)info(0);
    assert_null(domain_get(ia));
    assert_null(domain_get(ib));
}
