// SPDX-License-Identifier: MIT
// Soft reset (kexec): what the next kernel finds, at every place where the operation can be interrupted.
// LINK: tests/unit/control_harness.c
#include "control_harness.h"

int setup(void **state)
{
    machine_of_two(BH_CREATE_RESTARTABLE, 64);
    svc = make(3, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 1, 64);
    guest = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 2, 64);
    build(svc, 2, 3);
    build(guest, 2, 3);
    return 0;
}

static long soft_reset(struct domain *d)
{
    return ctl_op(BH_CTL_SOFT_RESET, &(struct bh_domid){ .domid = d->id });
}

static void place(struct domain *d, void *page, uint64_t *where, uint64_t gfn)
{
    enum p2m_type t;
    mfn_t f;
    if (p2m_clear(d, GFN(gfn), &f, &t) == 0)
        frame_put(f);
    assert_int_equal(p2m_set(d, GFN(gfn), virt_to_mfn(page), 0, P2M_SHARED), 0);
    *where = gfn;
}

/* What a kernel leaves behind: its pages of the core, a ring that svc has mapped, a registered vcpu_info, memory. */
struct kernel {
    uint32_t port, handle, con_port;
};
static void old_kernel(struct kernel *k)
{
    mfn_t f;
    grant_seed(guest, 8, svc->id, 9);
    as(guest);
    assert_int_equal(evtchn_alloc_unbound(guest, svc->id, &k->port), 0);
    (void)bind(svc, guest->id, k->port);
    if (!k->con_port)
        k->con_port = bind(ctl, guest->id, guest->console_port);
    k->handle = map(svc, guest->id, 8, WIN, 0);
    place(guest, guest->shared, &guest->shared_gfn, 5);
    assert_int_equal(grant_frame_mfn(guest, 0, &f), 0);
    place(guest, mfn_to_virt(f), &guest->grant.frame_gfn[0], WIN + 8);
    memset(gpa_ptr(guest, 9 << 12), 0x77, PAGE_SIZE);
    guest->vcpu[0]->info_mfn = frame_of(guest, 10);
    frame_get_held(guest->vcpu[0]->info_mfn);
    guest->vcpu[0]->info = gpa_ptr(guest, 10 << 12);
    guest->hvm_param[HVM_PARAM_CALLBACK_IRQ] = 2ull << 56 | 0xf3;
    guest->callback_vector = 0xf3;
    guest->shared->evtchn_mask[3] = ~0ul;
    guest->vcpu[1]->state = VCPU_RUNNABLE;
    guest->vcpu[1]->wait_sipi = 0;
    guest->vcpu[0]->regs.rip = 0x1234;
    shim_now_ns = 1000;
    as(guest);
    domain_shutdown(guest, SHUTDOWN_soft_reset);
}

static void check_next_kernel(const struct kernel *k)
{
    enum p2m_type t;
    struct vcpu *v = guest->vcpu[0];
    assert_int_equal(guest->state, BH_DOM_RUNNING);
    assert_int_equal(guest->op_stage, 0);
    assert_int_equal(v->regs.rip, 0x1234);
    assert_int_equal(v->state, VCPU_RUNNABLE);
    assert_int_equal(guest->vcpu[1]->state, VCPU_OFFLINE);
    assert_int_equal(guest->vcpu[1]->wait_sipi, 1);
    assert_ptr_equal(v->info, &guest->shared->vcpu_info[0]);
    assert_int_equal(mfn_to_frame(frame_of(guest, 10))->refs, 1);
    assert_int_equal(guest->callback_vector, 0);
    assert_int_equal(guest->hvm_param[HVM_PARAM_CALLBACK_IRQ], 0);
    assert_int_equal(guest->hvm_param[HVM_PARAM_STORE_EVTCHN], guest->store_port);
    assert_int_equal(guest->shared->evtchn_mask[3], 0);
    /* RAM is whole again; the rest of it is as it was */
    assert_int_equal(guest->shared_gfn, ~0ull);
    p2m_lookup(guest, GFN(5), &t);
    assert_int_equal(t, P2M_RAM);
    assert_int_equal(*(char *)gpa_ptr(guest, 5 << 12), 0);
    p2m_lookup(guest, GFN(WIN + 8), &t);
    assert_int_equal(t, P2M_NONE);
    assert_int_equal(guest->tot_pages, 64);
    assert_int_equal(*(char *)gpa_ptr(guest, 9 << 12), 0x77);
    /* svc has a blank page where the ring was, and no port */
    assert_int_equal(*(char *)gpa_ptr(svc, WIN << 12), 0);
    assert_int_equal(mfn_to_frame(frame_of(guest, 9))->refs, 1);
    assert_int_equal(grant_entry(guest, 8)->flags, 0);
    assert_int_equal(evtchn_chan(guest, k->port)->state, ECS_FREE);
    /* slot */
    assert_int_equal(grant_entry(guest, 0)->flags, GTF_permit_access);
    assert_int_equal(evtchn_chan(guest, guest->console_port)->state, ECS_INTERDOMAIN);
    evtchn_send(ctl, k->con_port);
    assert_true(pending(guest, guest->console_port));
}

TEST(test_soft_reset)
{
    struct kernel k = { 0 };
    old_kernel(&k);
    assert_int_equal(soft_reset(guest), 0);
    check_next_kernel(&k);
    assert_int_equal(soft_reset(guest), -EINVAL); /* it runs */
    unmap(svc, k.handle, WIN);
    for (unsigned i = 0; i < 20; i++) { /* the same place again and again: nothing is lost */
        old_kernel(&k);
        assert_int_equal(soft_reset(guest), 0);
        check_next_kernel(&k);
        unmap(svc, k.handle, WIN);
    }
}

/* Copies in flight are waited for; meanwhile nothing else may be done to the domain, and it does not run. */
TEST(test_soft_reset_waits)
{
    struct bh_domid id = { .domid = guest->id };
    struct kernel k = { 0 };
    mfn_t m;
    old_kernel(&k);
    assert_int_equal(grant_pin(guest, 8, svc->id, true, &m), GNTST_okay);
    yields_after = 0;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(soft_reset(guest), HC_AGAIN);
        assert_int_equal(guest->state, BH_DOM_SHUTDOWN);
        assert_int_equal(ctl_op(BH_CTL_PAUSE, &id), -EBUSY);
    }
    yields_after = ~0u;
    grant_unpin(guest, 8, true);
    assert_int_equal(soft_reset(guest), 0);
    check_next_kernel(&k);
    unmap(svc, k.handle, WIN);
}

/* The vCPU that asked goes on, whichever it is; nobody does before every vCPU stands still. */
TEST(test_soft_reset_by_other)
{
    guest->vcpu[1]->state = VCPU_RUNNABLE;
    guest->vcpu[1]->wait_sipi = 0;
    guest->vcpu[1]->regs.rip = 0x4321;
    guest->vcpu[0]->running = 1;
    this_cpu()->current = guest->vcpu[1];
    domain_shutdown(guest, SHUTDOWN_soft_reset);
    assert_int_equal(soft_reset(guest), HC_AGAIN);
    assert_int_equal(guest->state, BH_DOM_SHUTDOWN);
    guest->vcpu[0]->running = 0;
    assert_int_equal(soft_reset(guest), 0);
    assert_int_equal(guest->vcpu[1]->regs.rip, 0x4321);
    assert_int_equal(guest->vcpu[1]->state, VCPU_RUNNABLE);
    assert_int_equal(guest->vcpu[0]->state, VCPU_OFFLINE);
    assert_int_equal(guest->vcpu[0]->wait_sipi, 1);
}

TEST(test_soft_reset_refused)
{
    struct bh_domid id = { .domid = guest->id };
    as(svc);
    assert_int_equal(do_control_op(BH_CTL_SOFT_RESET, PTR(&id)), -EPERM);
    assert_int_equal(soft_reset(guest), -EINVAL);
    as(svc);
    domain_shutdown(svc, SHUTDOWN_soft_reset);
    assert_int_equal(soft_reset(svc), -EINVAL); /* that is a death */
    as(guest);
    domain_shutdown(guest, SHUTDOWN_poweroff);
    assert_int_equal(soft_reset(guest), -EINVAL);
    id.domid = 0x1ff;
    assert_int_equal(ctl_op(BH_CTL_SOFT_RESET, &id), -ESRCH);
}

TEST(test_destroy_overtakes_soft_reset)
{
    struct kernel k = { 0 };
    struct bh_domid id = { .domid = guest->id };
    mfn_t m;
    old_kernel(&k);
    assert_int_equal(grant_pin(guest, 8, svc->id, true, &m), GNTST_okay);
    yields_after = 0;
    assert_int_equal(soft_reset(guest), HC_AGAIN);
    yields_after = ~0u;
    grant_unpin(guest, 8, true);
    assert_int_equal(ctl_op(BH_CTL_DESTROY, &id), 0);
    assert_int_equal(soft_reset(guest), -ESRCH);
    unmap(svc, k.handle, WIN);
}
