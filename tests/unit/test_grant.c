// SPDX-License-Identifier: MIT
// Grants: flags and pins, maps, copies, hostile arguments, preemption, redirection, destroy on either side.
// LINK: tests/unit/core_harness.c
#include "core_harness.h"

bool priv_allows(enum bh_role role, enum priv p) { return role == BH_ROLE_CONTROL; }

static struct domain *g, *m, *x; /* granter (restartable), mapper, a third */
#define WIN 0x100000ull          /* gfn of the mapper's window */

int setup(void **state)
{
    machine_setup(state);
    g = make(4, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 1, 64);
    m = make(3, BH_ROLE_DRIVER, 0, 1, 16);
    x = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 1, 16);
    return 0;
}

static void give(struct domain *d, uint32_t ref, domid_t to, uint32_t gfn, uint16_t flags)
{
    grant_entry_v1_t *e = grant_entry(d, ref);
    e->domid = to;
    e->frame = gfn;
    e->flags = flags;
}
static uint16_t flags(struct domain *d, uint32_t ref) { return grant_entry(d, ref)->flags; }
static uint32_t refs_of(struct domain *d, uint64_t gfn)
{
    enum p2m_type t;
    return mfn_to_frame(p2m_lookup(d, GFN(gfn), &t))->refs;
}
static struct gnttab_map_grant_ref map_op(domid_t dom, uint32_t ref, uint64_t gfn, uint32_t fl)
{
    return (struct gnttab_map_grant_ref){
        .host_addr = gfn << 12, .flags = fl, .ref = ref, .dom = dom, .status = 99
    };
}
static int map(struct domain *by, domid_t dom, uint32_t ref, uint64_t gfn, uint32_t fl,
               uint32_t *handle)
{
    struct gnttab_map_grant_ref op = map_op(dom, ref, gfn, fl);
    as(by);
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, PTR(&op), 1), 0);
    *handle = op.handle;
    return op.status;
}
static int unmap(struct domain *by, uint32_t handle, uint64_t gfn)
{
    struct gnttab_unmap_grant_ref op = { .host_addr = gfn << 12, .handle = handle, .status = 99 };
    as(by);
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, PTR(&op), 1), 0);
    return op.status;
}
static void protect(struct domain *d, uint64_t gfn)
{
    uint64_t done = 0;
    assert_int_equal(domain_protect(d, gfn, 1, &done), 0);
}
#define RW GNTMAP_host_map
#define RO (GNTMAP_host_map | GNTMAP_readonly)

TEST(test_flags_follow_pins)
{
    uint32_t h1, h2, h3;
    give(g, 8, m->id, 5, GTF_permit_access);
    assert_int_equal(map(m, g->id, 8, WIN, RO, &h1), 0);
    assert_int_equal(flags(g, 8), GTF_permit_access | GTF_reading);
    assert_int_equal(refs_of(g, 5), 2);
    assert_int_equal(map(m, g->id, 8, WIN + 1, RW, &h2), 0);
    assert_int_equal(flags(g, 8), GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(map(m, g->id, 8, WIN + 2, RW, &h3), 0);
    assert_int_equal(refs_of(g, 5), 4);
    memcpy(gpa_ptr(m, (WIN + 1) << 12), "hello", 6);
    assert_string_equal(gpa_ptr(g, 5 << 12), "hello");
    assert_int_equal(unmap(m, h2, WIN + 1), 0);
    assert_int_equal(flags(g, 8), GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(unmap(m, h3, WIN + 2), 0);
    assert_int_equal(flags(g, 8), GTF_permit_access | GTF_reading);
    assert_int_equal(unmap(m, h1, WIN), 0);
    assert_int_equal(flags(g, 8), GTF_permit_access);
    assert_int_equal(refs_of(g, 5), 1);
    assert_int_equal(unmap(m, h1, WIN), GNTST_bad_handle);
    enum p2m_type t;
    p2m_lookup(m, GFN(WIN), &t);
    assert_int_equal(t, P2M_NONE);
}

TEST(test_refusals)
{
    uint32_t h, h2;
    give(g, 8, m->id, 5, GTF_permit_access | GTF_readonly);
    give(g, 9, x->id, 5, GTF_permit_access);
    give(g, 10, m->id, 5, GTF_accept_transfer);
    give(g, 11, m->id, 5, GTF_transitive);
    give(g, 12, m->id, 5, GTF_permit_access | GTF_sub_page);
    give(g, 13, m->id, 0xffffffff, GTF_permit_access);
    give(g, 14, m->id, 0x5000, GTF_permit_access); /* a hole */
    give(g, 15, m->id, 5, GTF_permit_access);
    assert_int_equal(map(m, g->id, 8, WIN, RW, &h), GNTST_general_error);
    assert_int_equal(map(m, g->id, 9, WIN, RO, &h), GNTST_general_error);
    for (uint32_t r = 10; r < 13; r++)
        assert_int_equal(map(m, g->id, r, WIN, RO, &h), GNTST_general_error);
    assert_int_equal(map(m, g->id, 13, WIN, RO, &h), GNTST_bad_page);
    assert_int_equal(map(m, g->id, 14, WIN, RO, &h), GNTST_bad_page);
    assert_int_equal(flags(g, 13), GTF_permit_access);
    const uint32_t bad[] = { 512, 0x7fffffff, 0x80000000, ~0u };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(map(m, g->id, bad[i], WIN, RO, &h), GNTST_bad_gntref);
        assert_int_equal(unmap(m, bad[i], WIN), GNTST_bad_handle);
    }
    assert_int_equal(map(m, 99, 8, WIN, RO, &h), GNTST_bad_domain);
    assert_int_equal(map(m, DOMID_SELF, 8, WIN, RO, &h), GNTST_bad_domain);
    assert_int_equal(map(m, g->id, 15, WIN, 0, &h), GNTST_bad_gntref);
    assert_int_equal(map(m, g->id, 15, WIN, RW | GNTMAP_device_map, &h), GNTST_general_error);
    assert_int_equal(map(m, g->id, 15, WIN, RW | GNTMAP_contains_pte, &h), GNTST_general_error);
    assert_int_equal(map(m, g->id, 15, m->p2m.max_gfn, RW, &h), GNTST_bad_virt_addr);
    assert_int_equal(map(m, g->id, 15, ~0ull >> 12, RW, &h), GNTST_bad_virt_addr);
    assert_int_equal(map(m, g->id, 15, 3, RW, &h), GNTST_bad_virt_addr); /* own RAM is there */
    assert_int_equal(flags(g, 15), GTF_permit_access);
    assert_int_equal(refs_of(g, 5), 1);

    assert_int_equal(map(m, g->id, 15, WIN, RW, &h), 0);
    assert_int_equal(unmap(m, h, WIN + 1), GNTST_bad_virt_addr);
    assert_int_equal(unmap(x, h, WIN), GNTST_bad_handle);
    /* The mapper hands the page on: a granted frame is no RAM of its own. */
    give(m, 8, x->id, (uint32_t)WIN, GTF_permit_access);
    assert_int_equal(map(x, m->id, 8, WIN, RO, &h2), GNTST_bad_page);
    assert_int_equal(refs_of(g, 5), 2);
    /* While pinned only the grantee of the first pin may come, whatever the entry says now. */
    give(g, 15, x->id, 6, GTF_permit_access);
    assert_int_equal(map(x, g->id, 15, WIN, RO, &h2), GNTST_general_error);
    assert_int_equal(map(m, g->id, 15, WIN + 1, RO, &h2), 0);
    assert_int_equal(refs_of(g, 5), 3);
    assert_int_equal(refs_of(g, 6), 1);
    assert_int_equal(unmap(m, h2, WIN + 1), 0);
    assert_int_equal(unmap(m, h, WIN), 0);
    assert_int_equal(refs_of(g, 5), 1);
}

TEST(test_handles)
{
    uint32_t h;
    give(g, 8, x->id, 5, GTF_permit_access);
    for (unsigned i = 0; i < 8192; i++) {
        assert_int_equal(map(x, g->id, 8, WIN + i, RO, &h), 0);
        assert_int_equal(h, i);
    }
    assert_int_equal(map(x, g->id, 8, WIN + 8192, RO, &h), GNTST_no_space);
    assert_int_equal(unmap(x, 77, WIN + 77), 0);
    assert_int_equal(unmap(x, 5000, WIN + 5000), 0);
    assert_int_equal(map(x, g->id, 8, WIN + 77, RO, &h), 0);
    assert_int_equal(h, 5000);
    assert_int_equal(map(x, g->id, 8, WIN + 5000, RO, &h), 0);
    assert_int_equal(h, 77);
    uint64_t cursor = 0;
    unsigned rounds = 0;
    uint64_t used = x->allowance_used;
    while (!grant_unmap_all(x, &cursor, 100))
        rounds++;
    assert_true(rounds > 80);
    assert_int_equal(x->allowance_used, used - 32); /* and the pages of 8192 handles are back */
    assert_int_equal(map(x, g->id, 8, WIN, RO, &h), 0);
    assert_int_equal(h, 0);
    assert_int_equal(unmap(x, h, WIN), 0);
    assert_int_equal(refs_of(g, 5), 1);
    assert_int_equal(flags(g, 8), GTF_permit_access);
}

static struct gnttab_copy copy_op(uint64_t src, domid_t sd, uint64_t dst, domid_t dd, uint16_t len,
                                  uint16_t fl)
{
    struct gnttab_copy c = { .len = len, .flags = fl, .status = 99 };
    c.source.u.gmfn = src;
    c.source.domid = sd;
    c.dest.u.gmfn = dst;
    c.dest.domid = dd;
    return c;
}
static int copy(struct domain *by, struct gnttab_copy c)
{
    as(by);
    assert_int_equal(do_grant_table_op(GNTTABOP_copy, PTR(&c), 1), 0);
    return c.status;
}

TEST(test_copy)
{
    const uint16_t S = GNTCOPY_source_gref, D = GNTCOPY_dest_gref;
    give(g, 8, m->id, 5, GTF_permit_access | GTF_readonly);
    give(g, 9, m->id, 6, GTF_permit_access);
    memcpy(gpa_ptr(g, 5 << 12), "payload", 8);
    assert_int_equal(copy(m, copy_op(8, g->id, 3, DOMID_SELF, 8, S)), 0);
    assert_string_equal(gpa_ptr(m, 3 << 12), "payload");
    assert_int_equal(copy(m, copy_op(3, DOMID_SELF, 9, g->id, 4096, D)), 0);
    assert_string_equal(gpa_ptr(g, 6 << 12), "payload");
    assert_int_equal(copy(m, copy_op(8, g->id, 9, g->id, 4096, S | D)), 0);
    struct gnttab_copy c = copy_op(3, m->id, 3, m->id, 4000, 0);
    c.dest.offset = 50;
    assert_int_equal(copy(m, c), 0); /* overlapping */
    assert_string_equal(gpa_ptr(m, (3 << 12) + 50), "payload");
    assert_int_equal(flags(g, 8), GTF_permit_access | GTF_readonly);
    assert_int_equal(flags(g, 9), GTF_permit_access);
    assert_int_equal(refs_of(g, 5), 1);
    assert_int_equal(refs_of(m, 3), 1);

    assert_int_equal(copy(m, copy_op(3, DOMID_SELF, 8, g->id, 8, D)),
                     GNTST_general_error); /* read-only */
    assert_int_equal(copy(m, copy_op(3, g->id, 3, DOMID_SELF, 8, 0)), GNTST_permission_denied);
    assert_int_equal(copy(m, copy_op(3, DOMID_SELF, 5, g->id, 8, 0)), GNTST_permission_denied);
    assert_int_equal(copy(m, copy_op(8, 99, 3, DOMID_SELF, 8, S)), GNTST_bad_domain);
    assert_int_equal(copy(m, copy_op(8, g->id, 3, DOMID_SELF, 4097, S)), GNTST_bad_copy_arg);
    assert_int_equal(copy(m, copy_op(8, g->id, 3, DOMID_SELF, 65535, S)), GNTST_bad_copy_arg);
    assert_int_equal(copy(m, copy_op(8, g->id, 3, DOMID_SELF, 8, S | 4)),
                     0); /* other flags are not looked at */
    c = copy_op(8, g->id, 3, DOMID_SELF, 1, S);
    c.source.offset = 4096;
    assert_int_equal(copy(m, c), GNTST_bad_copy_arg);
    c.source.offset = 0;
    c.dest.offset = 65535;
    assert_int_equal(copy(m, c), GNTST_bad_copy_arg);
    const uint64_t bad[] = { 16, 0x5000, 1ull << 40, ~0ull };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(copy(m, copy_op(8, g->id, bad[i], DOMID_SELF, 8, S)), GNTST_bad_page);
        assert_int_equal(copy(m, copy_op(bad[i], DOMID_SELF, 3, DOMID_SELF, 8, 0)), GNTST_bad_page);
    }
    assert_int_equal(copy(x, copy_op(8, g->id, 3, DOMID_SELF, 8, S)), GNTST_general_error);
    assert_int_equal(refs_of(g, 5), 1);
    assert_int_equal(refs_of(m, 3), 1);
}

/* Copies of one call, each with its own granters: no reference is lost or left, and no copy takes another's domain. */
TEST(test_granters)
{
    const uint16_t S = GNTCOPY_source_gref, D = GNTCOPY_dest_gref;
    uint32_t had_g = g->refs, had_x = x->refs;
    give(g, 8, m->id, 5, GTF_permit_access);
    give(x, 8, m->id, 5, GTF_permit_access);
    give(x, 9, m->id, 6, GTF_permit_access);
    memcpy(gpa_ptr(g, 5 << 12), "of g", 5);
    memcpy(gpa_ptr(x, 5 << 12), "of x", 5);
    struct gnttab_copy op[] = {
        copy_op(8, g->id, 3, DOMID_SELF, 5, S), copy_op(8, x->id, 4, DOMID_SELF, 5, S),
        copy_op(8, 99, 5, DOMID_SELF, 5, S),    copy_op(8, g->id, 9, x->id, 5, S | D),
        copy_op(8, x->id, 6, DOMID_SELF, 5, S), copy_op(8, g->id, 7, DOMID_SELF, 5, S),
    };
    as(m);
    assert_int_equal(do_grant_table_op(GNTTABOP_copy, PTR(op), ARRAY_SIZE(op)), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(op); i++)
        assert_int_equal(op[i].status, i == 2 ? GNTST_bad_domain : 0);
    assert_string_equal(gpa_ptr(m, 3 << 12), "of g");
    assert_string_equal(gpa_ptr(m, 4 << 12), "of x");
    assert_string_equal(gpa_ptr(x, 6 << 12), "of g");
    assert_string_equal(gpa_ptr(m, 6 << 12), "of x");
    assert_string_equal(gpa_ptr(m, 7 << 12), "of g");
    assert_int_equal(g->refs, had_g);
    assert_int_equal(x->refs, had_x);
}

TEST(test_batches)
{
    static struct gnttab_map_grant_ref op[100];
    static struct gnttab_unmap_grant_ref un[100];
    for (unsigned i = 0; i < 100; i++) {
        give(g, 8 + i, m->id, i % 32, GTF_permit_access);
        op[i] = map_op(g->id, 8 + i, WIN + i, RW);
    }
    as(m);
    struct vcpu *v = m->vcpu[0];
    gaddr_t arg = PTR(op);
    uint64_t count = 100;
    unsigned rounds = 0;
    yields_after = 0;
    while (do_grant_table_op(GNTTABOP_map_grant_ref, arg, count) == HC_AGAIN) {
        arg = GADDR(v->regs.rsi);
        count = v->regs.rdx;
        rounds++;
    }
    yields_after = ~0u;
    assert_int_equal(rounds, 3);
    uint64_t gen = m->p2m.gen;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(op[i].status, 0);
        un[i] = (struct gnttab_unmap_grant_ref){ .host_addr = (WIN + i) << 12,
                                                 .handle = op[i].handle };
    }
    un[50].handle = un[49].handle; /* the same twice in one batch */
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, PTR(un), 100), 0);
    assert_int_equal(m->p2m.gen - gen, 4); /* one flush a batch */
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(un[i].status, i == 50 ? GNTST_bad_handle : 0);
        assert_int_equal(flags(g, 8 + i),
                         GTF_permit_access | (i == 50 ? GTF_reading | GTF_writing : 0));
    }
    assert_int_equal(unmap(m, op[50].handle, WIN + 50), 0);
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, GADDR(BAD_PTR), 1), -EFAULT);
    assert_int_equal(do_grant_table_op(GNTTABOP_copy, PTR(op), ~0ull), -EINVAL);
    assert_int_equal(do_grant_table_op(GNTTABOP_copy, PTR(op), 0x80000000ull), -EINVAL);
    assert_int_equal(do_grant_table_op(GNTTABOP_copy, PTR(op), 0), 0);
    assert_int_equal(do_grant_table_op(GNTTABOP_copy, GADDR(BAD_PTR), 0x7fffffff), -EFAULT);
}

TEST(test_single_ops)
{
    as(m);
    struct gnttab_query_size q = { .dom = DOMID_SELF };
    assert_int_equal(do_grant_table_op(GNTTABOP_query_size, PTR(&q), 1), 0);
    assert_int_equal(q.status, 0);
    assert_int_equal(q.nr_frames, 1);
    assert_int_equal(q.max_nr_frames, GRANT_MAX_FRAMES);
    q.dom = g->id;
    assert_int_equal(do_grant_table_op(GNTTABOP_query_size, PTR(&q), 1), 0);
    assert_int_equal(q.status, GNTST_permission_denied);
    struct gnttab_set_version v = { 2 };
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, PTR(&v), 1), -ENOSYS);
    assert_int_equal(v.version, 1);
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, PTR(&v), 1), 0);
    struct gnttab_get_version gv = { .dom = DOMID_SELF };
    assert_int_equal(do_grant_table_op(GNTTABOP_get_version, PTR(&gv), 1), 0);
    assert_int_equal(gv.version, 1);
    assert_int_equal(do_grant_table_op(GNTTABOP_get_version | 1ull << 33, PTR(&gv), 0),
                     0); /* as Xen takes them */
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, PTR(&v), 7), 0);
    const unsigned none[] = { GNTTABOP_dump_table,
                              GNTTABOP_transfer,
                              GNTTABOP_unmap_and_replace,
                              GNTTABOP_get_status_frames,
                              GNTTABOP_cache_flush,
                              13,
                              ~0u };
    for (unsigned i = 0; i < ARRAY_SIZE(none); i++)
        assert_int_equal(do_grant_table_op(none[i], GADDR(BAD_PTR), 1), -ENOSYS);

    mfn_t f;
    uint64_t list[4] = { 1, 2, 3, 4 };
    struct gnttab_setup_table st = { .dom = DOMID_SELF, .nr_frames = 2 };
    set_xen_guest_handle(st.frame_list, list);
    m->grant.frame_gfn[0] = 0x1234;
    assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, PTR(&st), 1), 0);
    assert_int_equal(st.status, GNTST_okay);
    assert_int_equal(list[0], 0x1234);
    assert_true(list[1] == ~0ull); /* made, and nowhere */
    assert_int_equal(list[2], 3);
    assert_int_equal(m->grant.nr_frames, 2);
    m->grant.frame_gfn[0] = ~0ull;
    st.nr_frames = GRANT_MAX_FRAMES + 1;
    assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, PTR(&st), 1), 0);
    assert_int_equal(st.status, GNTST_general_error);
    st = (struct gnttab_setup_table){ .dom = g->id, .nr_frames = 1, .frame_list = st.frame_list };
    assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, PTR(&st), 1), 0);
    assert_int_equal(st.status, GNTST_permission_denied);
    st.dom = DOMID_SELF;
    set_xen_guest_handle(st.frame_list, (xen_pfn_t *)BAD_PTR);
    assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, PTR(&st), 1), 0);
    assert_int_equal(st.status, GNTST_bad_virt_addr);
    assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, PTR(&st), 2), -EINVAL);
    assert_int_equal(grant_frame_mfn(m, 2, &f), 0);
    assert_ptr_equal(mfn_to_virt(f), m->grant.shared[2]);
    assert_int_equal(m->grant.nr_frames, 3);
    assert_int_equal(grant_frame_mfn(m, GRANT_MAX_FRAMES, &f), -EINVAL);
    assert_int_equal(grant_frame_mfn(m, ~0u, &f), -EINVAL);
    assert_int_equal(grant_frame_mfn(m, GRANT_MAX_FRAMES - 1, &f), 0);

    uint32_t h;
    give(m, 8, g->id, 5, GTF_permit_access);
    give(m, 1500, x->id, 6, GTF_permit_access);
    struct gnttab_swap_grant_ref sw = { 8, 1500, 99 };
    assert_int_equal(do_grant_table_op(GNTTABOP_swap_grant_ref, PTR(&sw), 1), 0);
    assert_int_equal(sw.status, 0);
    assert_int_equal(grant_entry(m, 8)->domid, x->id);
    assert_int_equal(grant_entry(m, 1500)->frame, 5);
    assert_int_equal(map(g, m->id, 1500, WIN, RO, &h), 0);
    as(m);
    assert_int_equal(do_grant_table_op(GNTTABOP_swap_grant_ref, PTR(&sw), 1), 0);
    assert_int_equal(sw.status, GNTST_eagain);
    sw.ref_b = ~0u;
    assert_int_equal(do_grant_table_op(GNTTABOP_swap_grant_ref, PTR(&sw), 1), 0);
    assert_int_equal(sw.status, GNTST_bad_gntref);
    assert_int_equal(unmap(g, h, WIN), 0);
}

TEST(test_redirect)
{
    uint32_t slot, ro, rw, rw2, h;
    enum p2m_type t;
    grant_seed(g, 0, m->id, 20);
    g->rings = true;
    g->console_domid = g->store_domid = m->id;
    g->console_gfn = 20;
    g->store_gfn = 21;
    give(g, 8, m->id, 5, GTF_permit_access);
    give(g, 9, m->id, 6, GTF_permit_access);
    give(g, 10, x->id, 6, GTF_permit_access);
    memcpy(gpa_ptr(g, 5 << 12), "old secret", 11);
    assert_int_equal(map(m, g->id, 0, WIN, RW, &slot), 0);
    assert_int_equal(map(m, g->id, 8, WIN + 1, RO, &ro), 0);
    assert_int_equal(map(m, g->id, 9, WIN + 2, RW, &rw), 0);
    assert_int_equal(map(x, g->id, 10, WIN, RW, &rw2), 0);
    struct frame_stats before, after;
    frame_get_stats(&before);

    struct grant_cursor cursor = { 0 };
    unsigned rounds = 0;
    while (!grant_redirect(g, &cursor, 1))
        rounds++;
    assert_true(rounds >= 2);
    assert_int_equal(refs_of(g, 5), 1);
    assert_int_equal(refs_of(g, 6), 1);
    assert_int_equal(refs_of(g, 20), 2); /* the slot page stays mapped */
    assert_int_equal(flags(g, 0), GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(flags(g, 8), 0);
    assert_int_equal(p2m_lookup(m, GFN(WIN + 1), &t).v, zero_mfn.v);
    assert_int_equal(t, P2M_GRANT_RO);
    assert_int_not_equal(p2m_lookup(m, GFN(WIN + 2), &t).v, p2m_lookup(x, GFN(WIN), &t).v);
    assert_int_equal(t, P2M_GRANT_RW);
    strcpy(gpa_ptr(m, (WIN + 2) << 12), "lost");
    assert_int_equal(*(char *)gpa_ptr(x, WIN << 12), 0);
    assert_int_equal(*(char *)gpa_ptr(m, (WIN + 1) << 12), 0);
    assert_int_equal(map(m, g->id, 8, WIN + 3, RO, &h), GNTST_general_error);

    /* The next instance uses the same reference for another peer; the old handle has no part in it. */
    give(g, 9, x->id, 7, GTF_permit_access);
    assert_int_equal(map(x, g->id, 9, WIN + 5, RW, &h), 0);
    assert_int_equal(unmap(m, rw, WIN + 2), 0);
    assert_int_equal(flags(g, 9), GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(refs_of(g, 7), 2);
    assert_int_equal(unmap(m, ro, WIN + 1), 0);
    assert_int_equal(unmap(x, rw2, WIN), 0);
    assert_int_equal(unmap(x, h, WIN + 5), 0);
    assert_int_equal(unmap(m, slot, WIN), 0);
    assert_int_equal(mfn_to_frame(zero_mfn)->refs, 1);
    frame_get_stats(&after);
    assert_true(after.core <= before.core);
}

/* An instance turns its slot entries to other pages, and a peer keeps mapping through a pin that it holds. */
TEST(test_redirect_hostile)
{
    uint32_t h0, h1, h8, again;
    enum p2m_type t;
    g->rings = true;
    g->console_domid = m->id;
    g->store_domid = m->id;
    g->console_gfn = 20;
    g->store_gfn = 21;
    give(g, 0, x->id, 20, GTF_permit_access); /* right page, wrong domain */
    give(g, 1, m->id, 5, GTF_permit_access);  /* wrong page */
    give(g, 8, m->id, 6, GTF_permit_access);
    assert_int_equal(map(x, g->id, 0, WIN, RW, &h0), 0);
    assert_int_equal(map(m, g->id, 1, WIN, RO, &h1), 0);
    assert_int_equal(map(m, g->id, 8, WIN + 1, RW, &h8), 0);
    struct grant_cursor cursor = { 0 };
    assert_false(grant_redirect(g, &cursor, 510)); /* all entries are cleared, no mapping is taken away */
    assert_int_equal(refs_of(g, 6), 2);
    assert_int_equal(map(m, g->id, 8, WIN + 2, RW, &again), GNTST_general_error);
    assert_int_equal(copy(m, copy_op(8, g->id, 3, DOMID_SELF, 8, GNTCOPY_source_gref)),
                     GNTST_general_error);
    while (!grant_redirect(g, &cursor, 1))
        ;
    assert_int_equal(grant_entry(g, 0)->domid, m->id);
    assert_int_equal(grant_entry(g, 1)->frame, 21);
    assert_int_equal(flags(g, 0), GTF_permit_access);
    assert_int_equal(flags(g, 1), GTF_permit_access);
    assert_int_equal(p2m_lookup(m, GFN(WIN), &t).v, zero_mfn.v);
    for (uint64_t f = 0; f < 64; f++)
        assert_int_equal(refs_of(g, f), 1);
    assert_int_equal(map(m, g->id, 1, WIN + 2, RW, &again), 0);
    assert_int_equal(refs_of(g, 21), 2);
    assert_int_equal(unmap(m, again, WIN + 2), 0);
    assert_int_equal(unmap(x, h0, WIN), 0);
    assert_int_equal(unmap(m, h1, WIN), 0);
    assert_int_equal(unmap(m, h8, WIN + 1), 0);
}

/* Every entry, record, handle and mapper looked at counts, also empty ones. */
TEST(test_redirect_in_steps)
{
    mfn_t f;
    uint32_t h;
    assert_int_equal(grant_frame_mfn(g, 7, &f), 0);
    for (uint32_t ref = 0; ref < 4096; ref += 64) {
        give(g, ref, x->id, 5, GTF_permit_access);
        assert_int_equal(map(x, g->id, ref, WIN + ref, RW, &h), 0);
        if (ref)
            assert_int_equal(unmap(x, h, WIN + ref), 0);
    }
    struct grant_cursor cursor = { 0 };
    unsigned steps = 1;
    while (!grant_redirect(g, &cursor, 16))
        steps++;
    assert_true(steps >= 2 * 4096 / 16);
    uint64_t ref = 0;
    for (steps = 1; !grant_revoke(g, &ref, &(unsigned){ 16 }); steps++)
        ;
    assert_true(steps >= 4096 / 16);
    assert_int_equal(refs_of(g, 5), 1);
}

/* Frames of the core that the machine or d has left, all taken; returns them in a chain. */
static void *take_all(struct domain *d)
{
    void *chain = NULL, *p;
    while ((p = d ? core_alloc_table(d) : core_alloc(0)) !=
           NULL) { /* also what is held back for tables */
        *(void **)p = chain;
        chain = p;
    }
    return chain;
}
static void give_back(void *chain)
{
    for (void *p; (p = chain) != NULL; core_free(p, 0))
        chain = *(void **)p;
}

/* Without a free frame mappings are detached all the same, and who may write may go on writing. */
TEST(test_redirect_without_memory)
{
    uint32_t h[40], other;
    enum p2m_type t;
    struct frame_stats before, after;
    for (uint32_t i = 0; i < ARRAY_SIZE(h); i++) {
        give(g, 8 + i, m->id, 5, GTF_permit_access);
        assert_int_equal(map(m, g->id, 8 + i, WIN + i, RW, &h[i]), 0);
    }
    give(g, 100, x->id, 5, GTF_permit_access);
    assert_int_equal(map(x, g->id, 100, WIN, RW, &other), 0);
    frame_get_stats(&before);
    void *machine = take_all(NULL), *allowance = take_all(m);
    struct grant_cursor cursor = { 0 };
    while (!grant_redirect(g, &cursor, 100))
        ;
    give_back(allowance);
    give_back(machine);
    frame_get_stats(&after);
    assert_int_equal(after.free, before.free); /* nor does it take any */
    assert_int_equal(refs_of(g, 5), 1);
    for (uint32_t i = 0; i < ARRAY_SIZE(h); i++) {
        p2m_lookup(m, GFN(WIN + i), &t);
        assert_int_equal(t, P2M_GRANT_RW);
        assert_int_equal(*(char *)gpa_ptr(m, (WIN + i) << 12), 0);
    }
    strcpy(gpa_ptr(m, WIN << 12), "into the void");
    assert_int_equal(*(char *)gpa_ptr(x, WIN << 12), 0); /* no way from one mapper to the other */
    for (uint32_t i = 0; i < ARRAY_SIZE(h); i++)
        assert_int_equal(unmap(m, h[i], WIN + i), 0);
    assert_int_equal(unmap(x, other, WIN), 0);
    assert_int_equal(mfn_to_frame(virt_to_mfn(m->grant.blank))->refs, 1);
}

TEST(test_redirect_waits_for_copies)
{
    mfn_t f;
    give(g, 8, m->id, 5, GTF_permit_access);
    assert_int_equal(grant_pin(g, 8, m->id, true, &f), 0); /* a copy under way on another CPU */
    struct grant_cursor cursor = { 0 };
    assert_false(grant_redirect(g, &cursor, 1000));
    assert_false(grant_redirect(g, &cursor, 1000));
    grant_unpin(g, 8, true);
    assert_true(grant_redirect(g, &cursor, 1000));
    assert_int_equal(flags(g, 8), 0);
}

TEST(test_granter_destroyed)
{
    uint32_t h, h2;
    uint16_t id = x->id;
    give(x, 8, m->id, 5, GTF_permit_access);
    memcpy(gpa_ptr(x, 5 << 12), "still", 6);
    assert_int_equal(map(m, x->id, 8, WIN, RW, &h), 0);
    assert_int_equal(domain_destroy(x), 0);
    assert_int_equal(domain_destroy(x), 0); /* again: nothing more to do */
    domain_reap();
    assert_ptr_equal(domain_get(id), x); /* dying: m holds a frame */
    domain_put(x);
    assert_int_equal(x->state, BH_DOM_DYING);
    assert_int_equal(x->tot_pages, 1);
    assert_string_equal(gpa_ptr(m, WIN << 12), "still");
    assert_int_equal(map(m, id, 8, WIN + 1, RW, &h2), GNTST_bad_domain);
    assert_int_equal(copy(m, copy_op(8, id, 3, DOMID_SELF, 8, GNTCOPY_source_gref)),
                     GNTST_bad_domain);
    assert_int_equal(unmap(m, h, WIN), 0);
    domain_reap();
    assert_null(domain_get(id));
}

TEST(test_mapper_destroyed)
{
    uint32_t h;
    give(g, 8, x->id, 5, GTF_permit_access);
    give(g, 9, x->id, 6, GTF_permit_access);
    assert_int_equal(map(x, g->id, 8, WIN, RW, &h), 0);
    assert_int_equal(map(x, g->id, 9, WIN + 1, RO, &h), 0);
    uint16_t id = x->id;
    yields_after = 0;
    int rc;
    while ((rc = domain_destroy(x)) == HC_AGAIN)
        ;
    yields_after = ~0u;
    assert_int_equal(rc, 0);
    assert_int_equal(flags(g, 8), GTF_permit_access);
    assert_int_equal(flags(g, 9), GTF_permit_access);
    assert_int_equal(refs_of(g, 5), 1);
    domain_reap();
    assert_null(domain_get(id));
}

TEST(test_self_mapping)
{
    uint32_t h;
    uint16_t id = x->id;
    give(x, 8, x->id, 5, GTF_permit_access);
    assert_int_equal(map(x, x->id, 8, WIN, RW, &h), 0);
    assert_int_equal(domain_destroy(x), 0);
    domain_reap();
    assert_null(domain_get(id));
}

/* What is spent for a domain counts against its own allowance; nobody spends a peer's, and a full machine is no matter. */
TEST(test_allowance)
{
    uint32_t h, h2;
    mfn_t f;
    uint64_t xs = x->allowance_used, ms = m->allowance_used, gs = g->allowance_used;
    assert_int_equal(grant_frame_mfn(x, 3, &f), 0);
    assert_int_equal(x->allowance_used, xs + 3);
    struct gnttab_swap_grant_ref sw = { .ref_a = 8, .ref_b = 1500 };
    as(x);
    assert_int_equal(do_grant_table_op(GNTTABOP_swap_grant_ref, PTR(&sw), 1), 0);
    assert_int_equal(sw.status, 0);
    give(x, 9, g->id, 5, GTF_permit_access);
    give(x, 10, m->id, 5, GTF_permit_access | GTF_readonly);
    for (uint32_t ref = 8; ref < 2048; ref += 64) /* none of them is m's to write */
        assert_int_equal(map(m, x->id,
                             ref == 72    ? 9
                             : ref == 136 ? 10
                                          : ref,
                             WIN, RW, &h),
                         GNTST_general_error);
    assert_int_equal(x->allowance_used, xs + 3);
    assert_int_equal(map(m, x->id, 10, WIN, RO, &h), 0);
    assert_int_equal(x->allowance_used, xs + 4); /* a page of records */
    assert_int_equal(m->allowance_used,
                     ms + 2 + 2); /* handles and the blank page; two tables down to WIN */
    assert_int_equal(g->allowance_used, gs);

    /* All memory is somebody's, x's own limit is reached: what it maps is on its allowance. */
    uint64_t done = 0;
    x->state = BH_DOM_BUILDING;
    assert_int_equal(domain_populate(x, 0x1000, x->max_pages - x->tot_pages, &done), 0);
    x->state = BH_DOM_RUNNING;
    void *machine = take_all(NULL);
    give(g, 8, x->id, 5, GTF_permit_access);
    assert_int_equal(map(x, g->id, 8, WIN, RW, &h2), 0);
    assert_int_equal(unmap(x, h2, WIN), 0);
    /* m has used up what it had: m's matter, and x's neither when it maps nor when m's mapping of it ends. */
    void *ms_all = take_all(m);
    give(g, 200, m->id, 5, GTF_permit_access);
    give(g, 9, x->id, 6, GTF_permit_access);
    assert_int_equal(map(m, g->id, 200, 4 * WIN, RW, &h2), GNTST_no_space);
    assert_int_equal(grant_frame_mfn(m, 2, &f), -ENOMEM);
    assert_int_equal(map(x, g->id, 9, WIN, RW, &h2), 0);
    assert_int_equal(unmap(x, h2, WIN), 0);
    assert_int_equal(unmap(m, h, WIN), 0);
    give_back(ms_all);
    give_back(machine);
    assert_int_equal(map(m, g->id, 200, 4 * WIN, RW, &h2), 0);
    assert_int_equal(unmap(m, h2, 4 * WIN), 0);
}

/* Peers read immutable pages and never write them; the first pin's kind does not matter. */
TEST(test_immutable)
{
    uint32_t h1, h2;
    const uint16_t S = GNTCOPY_source_gref, D = GNTCOPY_dest_gref;
    memcpy(gpa_ptr(g, 5 << 12), "pristine", 8);
    memcpy(gpa_ptr(m, 3 << 12), "scribble", 8);
    memcpy(gpa_ptr(m, 4 << 12), "constant", 8);
    give(g, 8, m->id, 5, GTF_permit_access);
    protect(g, 5);
    assert_int_equal(map(m, g->id, 8, WIN, RW, &h1), GNTST_general_error);
    assert_int_equal(flags(g, 8), GTF_permit_access);
    assert_int_equal(refs_of(g, 5), 1);
    assert_int_equal(map(m, g->id, 8, WIN, RO, &h1), 0);
    assert_int_equal(map(m, g->id, 8, WIN + 1, RW, &h2), GNTST_general_error); /* pinned, to read */
    assert_int_equal(flags(g, 8), GTF_permit_access | GTF_reading);
    assert_int_equal(copy(m, copy_op(3, DOMID_SELF, 8, g->id, 8, D)), GNTST_general_error);
    assert_int_equal(unmap(m, h1, WIN), 0);
    assert_int_equal(copy(m, copy_op(3, DOMID_SELF, 8, g->id, 8, D)), GNTST_general_error);
    assert_int_equal(copy(m, copy_op(8, g->id, 6, DOMID_SELF, 8, S)), 0);
    assert_memory_equal(gpa_ptr(m, 6 << 12), "pristine", 8);
    protect(m, 4);
    assert_int_equal(copy(m, copy_op(4, DOMID_SELF, 7, DOMID_SELF, 8, 0)), 0);
    assert_memory_equal(gpa_ptr(m, 7 << 12), "constant", 8);
    assert_int_equal(copy(m, copy_op(8, g->id, 4, DOMID_SELF, 8, S)), GNTST_bad_page);
    assert_memory_equal(gpa_ptr(g, 5 << 12), "pristine", 8);
    assert_memory_equal(gpa_ptr(m, 4 << 12), "constant", 8);
    assert_int_equal(flags(g, 8), GTF_permit_access);
    assert_int_equal(refs_of(g, 5), 1);
    assert_int_equal(refs_of(m, 4), 1);
    /* an entry that names RAM again is an ordinary one again */
    give(g, 8, m->id, 6, GTF_permit_access);
    assert_int_equal(map(m, g->id, 8, WIN, RW, &h1), 0);
    assert_int_equal(unmap(m, h1, WIN), 0);
}
