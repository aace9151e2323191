// SPDX-License-Identifier: MIT
// LINK: tests/unit/control_harness.c
// A guest's memory while it runs: it gives pages back and takes them again within its limit, whatever it asks for besides; nobody else loses or
// gains a page by it.
#include "control_harness.h"
#include "abi/memory_op.h"

#define RAM 1024u /* frames: two 2 MiB leaves, if they are there to have */

static struct domain *peer;

int setup(void **state)
{
    machine_of_two(BH_CREATE_RESTARTABLE, 64);
    guest = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 2, RAM);
    build(guest, 2, 3);
    peer = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 1, 64);
    build(peer, 2, 3);
    return 0;
}

static uint64_t free_now(void)
{
    struct frame_stats s;
    frame_get_stats(&s);
    return s.free;
}

/* n extents from gfn on; how many of them were done, or the error. */
static long change(struct domain *d, unsigned op, uint64_t gfn, unsigned n, unsigned order,
                   domid_t whose)
{
    static xen_pfn_t g[RAM];
    struct xen_memory_reservation r = { .nr_extents = n, .extent_order = order, .domid = whose };
    unsigned nr = op;
    long rc;

    for (unsigned i = 0; i < n; i++)
        g[i] = gfn + ((uint64_t)i << order % 64);
    r.extent_start.p = g;
    as(d);
    do {
        rc = CALL_OP(memory_op, __HYPERVISOR_memory_op, nr, (uint64_t)&r, 0);
        nr = (unsigned)this_cpu()->current->regs.rdi;
    } while (rc == HC_AGAIN);
    return rc;
}
static long give_back(uint64_t gfn, unsigned n)
{
    return change(guest, XENMEM_decrease_reservation, gfn, n, 0, DOMID_SELF);
}
static long take(uint64_t gfn, unsigned n)
{
    return change(guest, XENMEM_populate_physmap, gfn, n, 0, DOMID_SELF);
}
static long limit(struct domain *d, uint64_t pages)
{
    return ctl_op(BH_CTL_MAX_PAGES, &(struct bh_max_pages){ .domid = d->id, .pages = pages });
}

TEST(down_to_half_and_up)
{
    uint64_t before = free_now(), tables = guest->allowance_used;

    yields_after = 7; /* and at every page from then on: it goes on where it was */
    assert_int_equal(give_back(RAM / 2, RAM / 2), RAM / 2);
    yields_after = ~0u;
    assert_int_equal(guest->tot_pages, RAM / 2);
    assert_int_equal(free_now(), before + RAM / 2);
    assert_int_equal(type_of(guest, RAM / 2 - 1), P2M_RAM);
    assert_int_equal(type_of(guest, RAM / 2), P2M_NONE);
    assert_true(guest->allowance_used <= tables + RAM / 512); /* what 2 MiB leaves were split into */
    assert_int_equal(take(RAM / 2, RAM / 2), RAM / 2);
    assert_int_equal(guest->tot_pages, RAM);
    assert_int_equal(free_now(), before);
    for (uint64_t g = RAM / 2; g < RAM; g++)
        for (unsigned i = 0; i < PAGE_SIZE; i += 512)
            assert_int_equal(*(char *)gpa_ptr(guest, (g << PAGE_SHIFT) + i), 0);
    /* large extents too, also those of which a part is missing */
    assert_int_equal(change(guest, XENMEM_decrease_reservation, 512, 1, 9, DOMID_SELF), 1);
    assert_int_equal(take(512 + 5, 1), 1);
    assert_int_equal(change(guest, XENMEM_populate_physmap, 512, 1, 9, DOMID_SELF), 0);
    assert_int_equal(guest->tot_pages, RAM - 512 + 6);
}

/* Asked for by a hostile guest. */
TEST(not_more_than_the_limit)
{
    uint64_t most = guest->max_pages;

    assert_int_equal(most, RAM + 16);
    assert_int_equal(take(WIN, 100), 16);
    assert_int_equal(guest->tot_pages, most);
    assert_int_equal(take(WIN + 100, 1), 0);
    assert_int_equal(give_back(WIN, 16), 16);
    assert_int_equal(limit(guest, RAM / 2), 0); /* less than it has: that it keeps */
    assert_int_equal(guest->tot_pages, RAM);
    assert_int_equal(take(WIN, 1), 0);
    assert_int_equal(give_back(RAM / 2 - 1, RAM / 2 + 1), RAM / 2 + 1);
    assert_int_equal(take(RAM / 2 - 1, RAM), 1);
    assert_int_equal(guest->tot_pages, RAM / 2);
    struct xen_memory_domain self = { .domid = DOMID_SELF };
    as(guest);
    assert_int_equal(do_memory_op(XENMEM_current_reservation, PTR(&self)), RAM / 2);
    assert_int_equal(do_memory_op(XENMEM_maximum_reservation, PTR(&self)), RAM / 2);
    assert_int_equal(limit(guest, most), 0);
    assert_int_equal(take(RAM / 2, RAM / 2), RAM / 2);
    struct bh_dominfo di = { .domid = guest->id };
    assert_int_equal(ctl_op(BH_CTL_INFO, &di), 0);
    assert_true(di.tot_pages == RAM && di.max_pages == most);
}

TEST(who_sets_the_limit)
{
    struct bh_max_pages own = { .domid = guest->id, .pages = RAM };

    assert_int_equal(limit(guest, RAM + 17), -EINVAL); /* its allowance was reckoned by less */
    assert_int_equal(limit(guest, ~0ull), -EINVAL);
    assert_int_equal(limit(store, 64), -EINVAL); /* a slot's RAM is promised to its next instance, too */
    own.domid = 99;
    assert_int_equal(ctl_op(BH_CTL_MAX_PAGES, &own), -ESRCH);
    own.domid = guest->id;
    as(guest);
    assert_int_equal(do_control_op(BH_CTL_MAX_PAGES, PTR(&own)), -EPERM);
    assert_int_equal(guest->max_pages, RAM + 16);
}

/* The machine has none left: as many as there are, and the guest stays lower. */
TEST(a_full_machine)
{
    uint64_t left = 10;

    assert_int_equal(give_back(RAM / 2, RAM / 2), RAM / 2);
    while (free_now() > left)
        assert_non_null(core_alloc(0));
    assert_int_equal(take(RAM / 2, RAM / 2), left);
    assert_int_equal(guest->tot_pages, RAM / 2 + left);
    assert_int_equal(take(RAM / 2 + left, 1), 0);
    assert_int_equal(give_back(0, 1), 1); /* what one gives back another may have */
    assert_int_equal(change(peer, XENMEM_populate_physmap, WIN, 3, 0, DOMID_SELF), 1);
    assert_int_equal(take(0, 1), 0);
}

TEST(what_is_no_page_of_its_own)
{
    uint64_t before = free_now();

    assert_int_equal(give_back(7, 1), 1);
    assert_int_equal(give_back(7, 1), 0); /* twice */
    assert_int_equal(give_back(6, 3), 1); /* as far as it goes */
    assert_int_equal(guest->tot_pages, RAM - 2);
    assert_int_equal(take(5, 1), 0); /* there is one */
    assert_int_equal(take(6, 2), 2);
    assert_int_equal(give_back(guest->p2m.max_gfn, 1), 0);
    assert_int_equal(give_back(~0ull, 1), 0);
    assert_int_equal(take(guest->p2m.max_gfn, 1), 0);
    for (unsigned i = 0; i < 2; i++) {
        unsigned op = i ? XENMEM_populate_physmap : XENMEM_decrease_reservation;
        assert_int_equal(change(guest, op, 8, 1, 0, peer->id), -EPERM);
        assert_int_equal(change(guest, op, 8, 1, 10, DOMID_SELF), -EINVAL);
        assert_int_equal(change(guest, op, 8, 1, 1u << 31, DOMID_SELF), -EINVAL);
        assert_int_equal(change(guest, op, 3, 1, 1, DOMID_SELF), 0); /* not aligned */
    }
    as(guest);
    assert_int_equal(physmap_add(guest, XENMAPSPACE_shared_info, 0, WIN), 0);
    assert_int_equal(give_back(WIN, 1), 0); /* the core's */
    assert_int_equal(guest->tot_pages, RAM);
    assert_int_equal(peer->tot_pages, 64);
    assert_int_equal(free_now(), before);
}

static uint32_t granted(struct domain *by, uint64_t gfn, struct domain *to)
{
    static uint32_t next = 8;
    mfn_t m;
    assert_int_equal(grant_frame_mfn(by, 0, &m), 0);
    ((grant_entry_v1_t *)mfn_to_virt(m))[next] = (grant_entry_v1_t){ .flags = GTF_permit_access,
                                                                     .domid = to->id,
                                                                     .frame = (uint32_t)gfn };
    return next++;
}

/* A page that a peer has mapped is given back for its owner alone: nobody gets it while the peer looks at it, and it counts. */
TEST(pages_that_are_granted)
{
    uint32_t ref = granted(guest, 600, peer);
    uint32_t h = map(peer, guest->id, ref, WIN, 0);
    mfn_t m = frame_of(guest, 600);
    uint64_t before = free_now();

    assert_int_equal(give_back(600, 1), 1);
    assert_int_equal(type_of(guest, 600), P2M_NONE);
    assert_int_equal(frame_of(peer, WIN).v, m.v);
    assert_int_equal(mfn_to_frame(m)->owner, guest->id);
    assert_true(free_now() <= before); /* a table for the split may have gone */
    assert_int_equal(guest->tot_pages, RAM);
    assert_int_equal(take(WIN, 17), 16); /* no more than the limit by pages that others hold */
    assert_int_equal(give_back(WIN, 16), 16);
    /* what is mapped from a peer is not the mapper's to give */
    assert_int_equal(change(peer, XENMEM_decrease_reservation, WIN, 1, 0, DOMID_SELF), 0);
    assert_int_equal(change(peer, XENMEM_populate_physmap, WIN, 1, 0, DOMID_SELF), 0);
    assert_int_equal(peer->tot_pages, 64);
    assert_int_equal(take(600, 1), 1); /* another page */
    assert_int_not_equal(frame_of(guest, 600).v, m.v);
    unmap(peer, h, WIN);
    assert_int_equal(mfn_to_frame(m)->owner, DOMID_NONE);
    assert_int_equal(guest->tot_pages, RAM);
}

/* One whose kernel took it down is not online, nor one that never was brought up. */
TEST(vcpus_that_are_online)
{
    struct bh_dominfo di = { .domid = guest->id };

    assert_int_equal(ctl_op(BH_CTL_INFO, &di), 0);
    assert_true(di.nr_vcpus == 2 && di.vcpus_online == 1);
    guest->vcpu[1]->state = VCPU_BLOCKED;
    guest->vcpu[1]->halted = true;
    guest->vcpu[1]->regs.rflags = 1u << 9;
    assert_int_equal(ctl_op(BH_CTL_INFO, &di), 0);
    assert_int_equal(di.vcpus_online, 2); /* idle */
    guest->vcpu[1]->regs.rflags = 0;
    assert_int_equal(ctl_op(BH_CTL_INFO, &di), 0);
    assert_int_equal(di.vcpus_online, 1);
}
