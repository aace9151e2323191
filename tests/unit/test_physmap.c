// SPDX-License-Identifier: MIT
// Pages of the core in a domain's map: each is at one place, also when two vCPUs move it at once.
// LINK: tests/unit/core_harness.c hv/abi/memory_op.c
// FLAGS: -pthread
#include <threads.h>
#include "core_harness.h"
#include <xen/memory.h>
#include "abi/memory_op.h"

bool priv_allows(enum bh_role role, enum priv p) { return false; }

#define WIN 0x100000ull
static struct domain *d;

int setup(void **state)
{
    machine_setup(state);
    d = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 2, 64);
    start(d);
    return 0;
}

static unsigned places_of(mfn_t m)
{
    unsigned n = 0;
    enum p2m_type t;
    for (uint64_t g = 0; g < 64; g++)
        n += p2m_lookup(d, GFN(g), &t).v == m.v && t == P2M_SHARED;
    for (uint64_t g = WIN; g < WIN + 8; g++)
        n += p2m_lookup(d, GFN(g), &t).v == m.v && t == P2M_SHARED;
    return n;
}

TEST(test_one_place)
{
    mfn_t shared = virt_to_mfn(d->shared), frame;
    assert_int_equal(physmap_add(d, XENMAPSPACE_shared_info, 0, 5), 0);
    assert_int_equal(d->tot_pages, 63);
    assert_int_equal(physmap_add(d, XENMAPSPACE_shared_info, 0, WIN), 0);
    assert_int_equal(physmap_add(d, XENMAPSPACE_shared_info, 0, WIN), 0);
    assert_int_equal(places_of(shared), 1);
    assert_int_equal(grant_frame_mfn(d, 0, &frame), 0);
    assert_int_equal(physmap_add(d, XENMAPSPACE_grant_table, 0, WIN), 0); /* in the other's place */
    assert_int_equal(places_of(shared), 0);
    assert_int_equal(places_of(frame), 1);
    assert_int_equal(physmap_add(d, XENMAPSPACE_shared_info, 0, WIN + 1), 0);
    assert_int_equal(places_of(frame), 1); /* it was not there any more, so it was not taken away */
    assert_int_equal(physmap_add(d, XENMAPSPACE_shared_info, 1, 6), -EINVAL);
    assert_int_equal(physmap_add(d, XENMAPSPACE_grant_table, GRANT_MAX_FRAMES, 6), -EINVAL);
    assert_int_equal(physmap_add(d, XENMAPSPACE_grant_table, ~0ull, 6), -EINVAL);
    assert_int_equal(physmap_add(d, 77, 0, 6), -EINVAL);
    assert_int_equal(physmap_add(d, XENMAPSPACE_shared_info, 0, d->p2m.max_gfn), -EINVAL);
    assert_int_equal(places_of(shared), 1);
}

static volatile bool go;
static int mover(void *arg)
{
    uint64_t gfn = (uint64_t)arg;
    while (!go)
        thrd_yield();
    return physmap_add(d, XENMAPSPACE_shared_info, 0, gfn);
}

/* Both have begun and neither has got to the page's place of before; then they go on. */
TEST(test_two_at_once)
{
    thrd_t t[2];
    int rc;
    for (unsigned i = 0; i < 3; i++) {
        go = false;
        for (uint64_t k = 0; k < 2; k++)
            assert_int_equal(thrd_create(&t[k], mover, (void *)(WIN + (i + k) % 4)), thrd_success);
        spin_lock(&d->lock);
        go = true;
        for (unsigned k = 0; k < 30; k++)
            thrd_yield();
        assert_int_equal(places_of(virt_to_mfn(d->shared)),
                         i ? 1 : 0); /* nobody moves it without the lock of its place */
        uint64_t where = d->shared_gfn;
        enum p2m_type type;
        assert_true(i == 0 || p2m_lookup(d, GFN(where), &type).v == virt_to_mfn(d->shared).v);
        spin_unlock(&d->lock);
        for (unsigned k = 0; k < 2; k++) {
            assert_int_equal(thrd_join(t[k], &rc), thrd_success);
            assert_int_equal(rc, 0);
        }
        assert_int_equal(places_of(virt_to_mfn(d->shared)), 1);
    }
}
