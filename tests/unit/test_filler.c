// SPDX-License-Identifier: MIT
// Fillers: a page where nobody backs, bounded, charged, and nothing to grants, hypercalls, RAM and what is put there later.
// LINK: tests/unit/core_harness.c hv/virt/filler.c hv/virt/lapic.c hv/sched/pending.c
// LINK: hv/abi/memory_op.c
#include "core_harness.h"
#include <xen/memory.h>
#include "abi/memory_op.h"
#include "virt/filler.h"

bool priv_allows(enum bh_role role, enum priv p) { return false; }
#define PAGES    64u
#define GPA(gfn) ((uint64_t)(gfn) << PAGE_SHIFT)
#define IOAPIC   0xfec00000ull
#define APIC     0xfee00000ull
static struct domain *d;

int setup(void **state)
{
    machine_setup(state);
    d = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 2, PAGES);
    start(d);
    as(d);
    return 0;
}

static enum p2m_type type_at(uint64_t gfn)
{
    enum p2m_type t;
    (void)p2m_lookup(d, GFN(gfn), &t);
    return t;
}
static uint32_t *page_at(uint64_t gfn)
{
    enum p2m_type t;
    return mfn_to_virt(p2m_lookup(d, GFN(gfn), &t));
}
static long change(unsigned op, uint64_t gfn)
{
    xen_pfn_t list[1] = { gfn };
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    set_xen_guest_handle(r.extent_start, list);
    return do_memory_op(op, PTR(&r));
}

TEST(test_hole)
{
    uint64_t used = d->allowance_used, ram = d->tot_pages;
    assert_true(filler_touch(d, IOAPIC + 0x10, true));
    assert_int_equal(type_at(IOAPIC >> 12), P2M_FILLER);
    assert_true(page_at(IOAPIC >> 12)[4] == 0xffffffff);
    page_at(IOAPIC >> 12)[4] = 7;
    assert_true(filler_touch(d, IOAPIC,
                             false)); /* another vCPU was quicker: its page stays, the slower one's goes */
    assert_int_equal(page_at(IOAPIC >> 12)[4], 7);
    assert_int_equal(d->nr_fillers, 1);
    assert_int_equal(d->tot_pages, ram);
    assert_true(d->allowance_used > used && d->allowance_used < used + 6); /* the page and its tables */
    assert_true(filler_touch(d, APIC + 0x30, false));
    const uint32_t *a = page_at(APIC >> 12);
    assert_int_equal(a[0x20 / 4], 0);
    assert_int_equal(a[0x30 / 4] & 0xff, 0x14);
    assert_int_equal(a[0xf0 / 4], 0xff);
    assert_int_equal(a[0x300 / 4], 0); /* idle: nothing waits for it for ever */
    assert_int_equal(a[0x350 / 4], 0x10000);
    assert_false(filler_touch(d, 0xd0000000, false));
    assert_false(filler_touch(d, 0xfeb00000, false));
    assert_false(filler_touch(d, 0xfef00000, false));
    for (unsigned i = 2; i < FILLER_PAGES; i++)
        assert_true(filler_touch(d, IOAPIC + GPA(i), false));
    assert_false(filler_touch(d, IOAPIC + GPA(FILLER_PAGES), false));
    assert_int_equal(d->nr_fillers, FILLER_PAGES);
}

TEST(test_given_back)
{
    assert_int_equal(change(XENMEM_decrease_reservation, 7), 1);
    assert_false(filler_touch(d, GPA(7), true));
    assert_int_equal(type_at(7), P2M_NONE);
    uint64_t ram = d->tot_pages;
    assert_true(filler_touch(d, GPA(7), false));
    assert_int_equal(type_at(7), P2M_FILLER_RO);
    assert_ptr_equal(page_at(7), mfn_to_virt(ones_mfn));
    assert_int_equal(d->nr_fillers, 0);
    assert_int_equal(d->tot_pages, ram);
    assert_int_equal(change(XENMEM_decrease_reservation, 7), 0); /* there is nothing to give back */
    struct xen_remove_from_physmap r = { .domid = DOMID_SELF, .gpfn = 7 };
    assert_int_equal(do_memory_op(XENMEM_remove_from_physmap, PTR(&r)), -ENOENT);
    assert_int_equal(change(XENMEM_populate_physmap, 7), 1);
    assert_int_equal(type_at(7), P2M_RAM);
    assert_int_equal(page_at(7)[0], 0);
    assert_int_equal(d->tot_pages, ram + 1);
    assert_true(mfn_to_frame(ones_mfn)->refs == 1);
    assert_true(page_at(7)[0] == 0 && *(uint32_t *)mfn_to_virt(ones_mfn) == 0xffffffff);
}

/* What is put where a filler is: RAM, a page of the core. The filler's frame is free then. */
TEST(test_replaced)
{
    uint64_t gfn = IOAPIC >> 12;
    assert_true(filler_touch(d, IOAPIC, true));
    uint64_t used = d->allowance_used;
    assert_int_equal(physmap_add(d, XENMAPSPACE_shared_info, 0, gfn), 0);
    assert_int_equal(type_at(gfn), P2M_SHARED);
    assert_int_equal(d->allowance_used, used - 1);
    assert_true(filler_touch(d, IOAPIC + PAGE_SIZE, true));
    assert_int_equal(change(XENMEM_populate_physmap, gfn + 1), 1);
    assert_int_equal(type_at(gfn + 1), P2M_RAM);
    assert_true(filler_touch(d, IOAPIC, false)); /* the p2m says that something is there: try again */
    assert_int_equal(type_at(gfn), P2M_SHARED);
}

TEST(test_nobody_reads_it)
{
    uint64_t gfn = APIC >> 12;
    struct domain *peer = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 1, 16);
    assert_true(filler_touch(d, APIC, true));
    assert_int_equal(change(XENMEM_decrease_reservation, 9), 1);
    assert_true(filler_touch(d, GPA(9), false));
    const uint64_t at[] = { gfn, 9 };
    for (unsigned i = 0; i < 2; i++) {
        d->grant.shared[0][8] = (grant_entry_v1_t){ .flags = GTF_permit_access,
                                                    .domid = peer->id,
                                                    .frame = (uint32_t)at[i] };
        mfn_t m;
        assert_int_equal(grant_pin(d, 8, peer->id, true, &m), GNTST_bad_page);
        struct gnttab_copy c = { .len = 8,
                                 .source = { .u.gmfn = at[i], .domid = DOMID_SELF },
                                 .dest = { .u.gmfn = 3, .domid = DOMID_SELF } };
        grant_copy(&c, 1);
        assert_int_equal(c.status, GNTST_bad_page);
        c = (struct gnttab_copy){ .len = 8,
                                  .source = { .u.gmfn = 3, .domid = DOMID_SELF },
                                  .dest = { .u.gmfn = at[i], .domid = DOMID_SELF } };
        grant_copy(&c, 1);
        assert_int_equal(c.status, GNTST_bad_page);
    }
    assert_int_equal(mfn_to_frame(virt_to_mfn(page_at(gfn)))->refs, 1);
}

TEST(test_services_end)
{
    struct domain *svc = make(3, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 1, PAGES);
    assert_false(filler_touch(svc, APIC, false));
    assert_int_equal(svc->nr_fillers, 0);
}

TEST(test_kexec)
{
    assert_true(filler_touch(d, APIC, true));
    assert_true(filler_touch(d, IOAPIC, true));
    page_at(APIC >> 12)[0xf0 / 4] = 0x12f;
    d->state = BH_DOM_SHUTDOWN;
    d->shutdown_reason = 5; /* SHUTDOWN_soft_reset */
    assert_int_equal(domain_soft_reset(d), 0);
    assert_int_equal(type_at(APIC >> 12), P2M_NONE);
    assert_int_equal(type_at(IOAPIC >> 12), P2M_NONE);
    assert_int_equal(d->nr_fillers, 0);
    assert_true(filler_touch(d, APIC, false));
    assert_int_equal(page_at(APIC >> 12)[0xf0 / 4], 0xff);
}
