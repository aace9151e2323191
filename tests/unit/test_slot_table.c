// SPDX-License-Identifier: MIT
// The slot table: who writes it and when, that its domain only reads it, that it outlives restarts.
// LINK: tests/unit/control_harness.c hv/abi/vcpu_op.c
#include "control_harness.h"
#include <xen/vcpu.h>

#define PAGES 1024u
#define TABLE (PAGES - 8)
#define NR    2u
static uint64_t words[BH_SLOT_WRITE_MAX / 8];

static long slot_write(uint64_t gpa, uint64_t len)
{
    return ctl_op(BH_CTL_SLOT_WRITE,
                  &(struct bh_write){
                      .domid = svc->id, .gpa = gpa, .src = (uint64_t)words, .len = len });
}
static long unpause(void)
{
    assert_int_equal(ctl_op(BH_CTL_SET_ENTRY, &(struct bh_entry){ .domid = svc->id, .eip = 0x100000 }),
                     0);
    return ctl_op(BH_CTL_UNPAUSE, &(struct bh_domid){ .domid = svc->id });
}
static uint64_t *table(void) { return gpa_ptr(svc, (uint64_t)TABLE << PAGE_SHIFT); }
static struct bh_create creation(void)
{
    return (struct bh_create){ .domid = 3,
                               .role = BH_ROLE_DRIVER,
                               .flags = BH_CREATE_RESTARTABLE,
                               .nr_vcpus = 1,
                               .max_pages = PAGES + 16,
                               .keep_gfn = PAGES - 6,
                               .nr_keep = 4,
                               .name = "net0",
                               .table_gfn = TABLE,
                               .nr_table = NR };
}

int setup(void **state)
{
    struct bh_create c = creation();
    uint64_t done = 0;

    machine_of_two(0, 16);
    start(store);
    assert_int_equal(ctl_op(BH_CTL_CREATE, &c), 0);
    svc = domain_get(3);
    domain_put(svc); /* the list keeps it */
    assert_int_equal(domain_populate(svc, 0, PAGES, &done), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        words[i] = 0x1111111100000000ull + i;
    return 0;
}

TEST(only_for_slots_that_restart)
{
    struct bh_create c = creation();

    c.domid = 4;
    c.nr_table = BH_TABLE_MAX + 1;
    assert_int_equal(ctl_op(BH_CTL_CREATE, &c), -EINVAL);
    c.nr_table = 1;
    c.nr_keep = c.flags = 0;
    assert_int_equal(ctl_op(BH_CTL_CREATE, &c), -EINVAL);
    c.domid = BH_DOMID_ANY;
    c.role = BH_ROLE_GUEST;
    assert_int_equal(ctl_op(BH_CTL_CREATE, &c), -EINVAL);
}

/* Nobody has it writable when the domain runs for the first time. */
TEST(immutable_before_the_first_instruction)
{
    assert_int_equal(slot_write((uint64_t)TABLE << 12, 8), -EACCES);
    assert_int_equal(unpause(), -EINVAL);
    assert_int_equal(svc->state, BH_DOM_BUILDING);
    assert_int_equal(ctl_protect(svc, TABLE, NR - 1), 0);
    assert_int_equal(unpause(), -EINVAL);
    assert_int_equal(ctl_protect(svc, TABLE, NR), 0);
    assert_int_equal(dma_lost, NR); /* nor does a device reach it */
    assert_int_equal(slot_write((uint64_t)TABLE << 12, 8), 0);
    assert_int_equal(unpause(), 0);
    assert_true(table()[0] == words[0]);
}

TEST(who_and_where)
{
    uint64_t gpa = (uint64_t)TABLE << 12, end = gpa + NR * PAGE_SIZE;
    struct bh_write w = { .domid = svc->id, .gpa = gpa, .src = (uint64_t)words, .len = 8 };
    const struct {
        uint64_t gpa, len;
        long rc;
    } bad[] = {
        { gpa + 4, 8, -EINVAL },
        { gpa, 12, -EINVAL },
        { gpa, BH_SLOT_WRITE_MAX + 8, -E2BIG },
        { gpa, ~7ull, -E2BIG },
        { gpa - 8, 8, -EACCES },
        { gpa - 8, 16, -EACCES },
        { end, 8, -EACCES },
        { end - 8, 16, -EACCES },
        { 0, 8, -EACCES },
        { ~7ull, 8, -EACCES },
        { ~7ull, 16, -EACCES },
        { 1ull << 63, 8, -EACCES },
        { 0x100ull << 12, 8, -EACCES },
        { (PAGES - 6ull) << 12, 8, -EACCES },
    };

    assert_int_equal(ctl_protect(svc, TABLE, NR), 0);
    assert_int_equal(ctl_protect(svc, 0x100, 1), 0);
    assert_int_equal(unpause(), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(slot_write(bad[i].gpa, bad[i].len), bad[i].rc);
    for (unsigned i = 0; i < NR * PAGE_SIZE / 8; i++)
        assert_true(table()[i % 512] == 0); /* all or nothing */
    as(svc);
    assert_int_equal(do_control_op(BH_CTL_SLOT_WRITE, PTR(&w)), -EPERM);
    as(store);
    assert_int_equal(do_control_op(BH_CTL_SLOT_WRITE, PTR(&w)), -EPERM);
    w.domid = store->id;
    assert_int_equal(ctl_op(BH_CTL_SLOT_WRITE, &w), -EACCES);
    w.domid = 77;
    assert_int_equal(ctl_op(BH_CTL_SLOT_WRITE, &w), -ESRCH);
    w = (struct bh_write){ .domid = svc->id, .gpa = gpa, .src = BAD_PTR, .len = 8 };
    assert_int_equal(ctl_op(BH_CTL_SLOT_WRITE, &w), -EFAULT);
    assert_int_equal(slot_write(gpa, 0), 0);
    assert_int_equal(slot_write(gpa + PAGE_SIZE - 256, BH_SLOT_WRITE_MAX), 0); /* across its pages */
    assert_memory_equal((char *)table() + PAGE_SIZE - 256, words, 256);
    assert_memory_equal(gpa_ptr(svc, gpa + PAGE_SIZE), (char *)words + 256, 256);
}

TEST(its_domain_only_reads_it)
{
    struct xen_remove_from_physmap rm = { .domid = DOMID_SELF, .gpfn = TABLE };
    struct xen_add_to_physmap add = { .domid = DOMID_SELF,
                                      .space = XENMAPSPACE_shared_info,
                                      .gpfn = TABLE };
    xen_pfn_t out[1] = { TABLE + 1 };
    struct xen_memory_reservation res = { .nr_extents = 1, .domid = DOMID_SELF };
    struct vcpu_register_vcpu_info vi = { .mfn = TABLE };
    struct bh_write w = {
        .domid = svc->id, .gpa = (uint64_t)TABLE << 12, .src = (uint64_t)words, .len = 8
    };
    mfn_t m;

    assert_int_equal(ctl_protect(svc, TABLE, NR), 0);
    assert_int_equal(ctl_op(BH_CTL_WRITE, &w), -EFAULT); /* the builder neither */
    assert_int_equal(unpause(), 0);
    as(svc);
    set_xen_guest_handle(res.extent_start, out);
    assert_int_equal(do_memory_op(XENMEM_remove_from_physmap, PTR(&rm)), -EPERM);
    assert_int_equal(do_memory_op(XENMEM_add_to_physmap, PTR(&add)), -EPERM);
    assert_int_equal(do_memory_op(XENMEM_decrease_reservation, PTR(&res)), 0);
    assert_int_equal(do_vcpu_op(VCPUOP_register_vcpu_info, 0, PTR(&vi)), -EINVAL);
    for (unsigned ro = 0; ro < 2; ro++) { /* nor gives it to anybody, to read or to write */
        grant_seed(svc, 9, store->id, TABLE);
        assert_int_not_equal(grant_pin(svc, 9, store->id, ro, &m), GNTST_okay);
    }
    assert_int_equal(slot_write((uint64_t)TABLE << 12, 8), 0);
    assert_true(table()[0] == words[0]);
}

TEST(outlives_every_restart)
{
    enum p2m_type t;
    mfn_t was = p2m_lookup(svc, GFN(TABLE), &t);
    const uint32_t how[] = { 0, BH_RESTART_FRESH, 0, BH_RESTART_FRESH };

    assert_int_equal(ctl_protect(svc, TABLE, NR), 0);
    for (unsigned n = 0; n < ARRAY_SIZE(how); n++) {
        words[0] = n + 1;
        assert_int_equal(unpause(), 0);
        assert_int_equal(slot_write((uint64_t)TABLE << 12, 16), 0);
        memset(gpa_ptr(svc, (TABLE - 1ull) << 12), 0xaa, PAGE_SIZE);
        yields_after = 0;
        assert_int_equal(ctl_restart(svc, how[n]), HC_AGAIN);
        yields_after = ~0u;
        words[1] = 100 + n;
        assert_int_equal(slot_write(((uint64_t)TABLE << 12) + 8, 8), 0); /* while it is under way, too */
        assert_int_equal(ctl_restart(svc, how[n]), 0);
        assert_int_equal(p2m_lookup(svc, GFN(TABLE), &t).v, was.v);
        assert_int_equal(t, P2M_RAM_IMMUTABLE);
        assert_int_equal(table()[0], n + 1);
        assert_true(table()[1] == words[0]);
        assert_int_equal(*(char *)gpa_ptr(svc, (TABLE - 1ull) << 12), 0);
        assert_int_equal(svc->tot_pages, PAGES);
    }
    assert_int_equal(ctl_op(BH_CTL_DESTROY, &(struct bh_domid){ .domid = svc->id }), 0);
    assert_int_equal(slot_write((uint64_t)TABLE << 12, 8), -ESRCH);
}
