/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/control_harness.c hv/virt/ports.c hv/abi/xen_version.c
/* Configuration space of guests by ports: what is answered at once, what waits, who may answer, and whose turn it is. How the vCPU sleeps
 * meanwhile is in test_sched.c. */
#include "control_harness.h"
#include <xen/features.h>
#include <xen/version.h>
#include "pci/trap.h"

static struct domain *pciback, *other;
static struct pci_dev *const device = (void *)8; /* only whether there is one is looked at */
static uint32_t trap_port;

int setup(void **state)
{
    machine_of_two(0, 64);
    pciback = make(BH_DOMID_PCIBACK, BH_ROLE_PCIBACK, BH_CREATE_RESTARTABLE, 1, 64);
    svc = make(3, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 1, 64);
    guest = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 4, 64);
    other = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 1, 64);
    build(pciback, 2, 3);
    build(svc, 2, 3);
    build(guest, 2, 3);
    build(other, 2, 3);
    guest->devices = other->devices = svc->devices = device;
    struct evtchn_bind_virq b = { .virq = BH_VIRQ_PCI_TRAP };
    as(pciback);
    assert_int_equal(do_event_channel_op(EVTCHNOP_bind_virq, PTR(&b)), 0);
    trap_port = b.port;
    return 0;
}

static uint32_t in(struct vcpu *v, uint16_t port, unsigned size)
{
    v->regs.rax = virt_port_in(v, port, size);
    return (uint32_t)v->regs.rax;
}
static void select_at(struct vcpu *v, uint32_t at) { virt_port_out(v, 0xcf8, 4, at); }
static long serve(struct bh_pci_trap *t)
{
    as(pciback);
    return do_control_op(BH_CTL_PCI_TRAP, PTR(t));
}
static struct bh_pci_trap next_after(domid_t last)
{
    struct bh_pci_trap t = { .domid = last };
    assert_int_equal(serve(&t), 0);
    return t;
}
static long answer(struct bh_pci_trap t, uint32_t value)
{
    t.step = BH_TRAP_ANSWER;
    t.value = value;
    return serve(&t);
}
static bool told(void)
{
    bool is = pending(pciback, trap_port);
    pciback->shared->evtchn_pending[0] = 0;
    return is;
}

/* PCI 3.0, 3.2.2.3.2; and how Linux looks for it (pci_check_type1). */
TEST(address_and_what_needs_no_device)
{
    struct vcpu *v = guest->vcpu[0];

    virt_port_out(v, 0xcfb, 1, 1);
    assert_int_equal(in(v, 0xcf8, 4), 0);
    select_at(v, 0x80000000);
    assert_int_equal(in(guest->vcpu[1], 0xcf8, 4), 0x80000000); /* the domain's, not the vCPU's */
    assert_int_equal(in(other->vcpu[0], 0xcf8, 4), 0);
    select_at(v, ~0u);
    assert_int_equal(in(v, 0xcf8, 4), 0x80fffffc);
    assert_int_equal(in(v, 0xcf8, 2), ~0u);
    assert_int_equal(in(v, 0xcfa, 1), ~0u);
    assert_int_equal(in(v, 0xcfc, 4), ~0u); /* bus 255 */
    select_at(v, 0x80010000);
    virt_port_out(v, 0xcfc, 4, 1);
    select_at(v, 0x00000800); /* not enabled */
    assert_int_equal(in(v, 0xcfc, 4), ~0u);
    select_at(v, 0x80000800);
    assert_int_equal(in(v, 0xcfd, 2), ~0u); /* across, and beyond */
    assert_int_equal(in(v, 0xcff, 2), ~0u);
    assert_int_equal(in(v, 0xcfe, 4), ~0u);
    assert_int_equal(v->trap.state, TRAP_NONE);
    assert_false(told());
}

TEST(without_a_device_there_are_no_ports)
{
    guest->devices = NULL;
    select_at(guest->vcpu[0], 0x80000800);
    select_at(svc->vcpu[0], 0x80000800); /* our own driver */
    assert_int_equal(in(guest->vcpu[0], 0xcf8, 4), ~0u);
    assert_int_equal(in(svc->vcpu[0], 0xcf8, 4), ~0u);
    assert_int_equal(in(guest->vcpu[0], 0xcfc, 4), ~0u);
    assert_int_equal(in(svc->vcpu[0], 0xcfc, 4), ~0u);
    assert_int_equal(guest->vcpu[0]->trap.state + svc->vcpu[0]->trap.state, TRAP_NONE);
    assert_int_equal(guest->cfg_address + svc->cfg_address, 0);
}

TEST(kernels_are_told_that_messages_have_numbers)
{
    struct xen_feature_info f = { 0 };

    as(guest);
    assert_int_equal(do_xen_version(XENVER_get_features, PTR(&f)), 0);
    assert_true(f.submap >> XENFEAT_hvm_pirqs & 1);
    guest->devices = NULL;
    assert_int_equal(do_xen_version(XENVER_get_features, PTR(&f)), 0);
    assert_false(f.submap >> XENFEAT_hvm_pirqs & 1);
}

TEST(an_access_waits_and_is_answered)
{
    struct vcpu *v = guest->vcpu[1];

    select_at(v, 0x80000800 | 3 << 8 | 0x3c);
    v->regs.rax = 0x1122334455667788;
    uint64_t keep = v->regs.rax & ~0xffull;
    v->regs.rax = keep | (virt_port_in(v, 0xcfd, 1) & 0xff);
    assert_true(told());
    struct bh_pci_trap t = next_after(0), again = next_after(0);
    assert_int_equal(t.domid, guest->id);
    assert_int_equal(t.vcpu, 1);
    assert_int_equal(t.devfn, 1 << 3 | 3);
    assert_int_equal(t.off, 0x3d);
    assert_int_equal(t.size, 1);
    assert_int_equal(t.write, 0);
    assert_int_equal(t.serial, again.serial); /* to whom asks anew, it is there anew */
    assert_true(trap_waits(v));

    again.serial++;
    assert_int_equal(answer(again, 1), -ESTALE);
    again = t;
    again.vcpu = 0;
    assert_int_equal(answer(again, 1), -ESTALE);
    again.vcpu = 4;
    assert_int_equal(answer(again, 1), -ESTALE);
    again = t;
    again.domid = other->id;
    assert_int_equal(answer(again, 1), -ESTALE);
    again.domid = 77;
    assert_int_equal(answer(again, 1), -ESRCH);
    again.step = 2;
    assert_int_equal(serve(&again), -EINVAL);
    as(ctl);
    assert_int_equal(do_control_op(BH_CTL_PCI_TRAP, PTR(&t)), -EPERM);
    assert_true(trap_waits(v));

    assert_int_equal(answer(t, 0xffff5a), 0);
    assert_int_equal(answer(t, 0), -ESTALE);
    assert_false(trap_waits(v));
    assert_int_equal(v->regs.rax, keep | 0x5a);
    assert_int_equal(v->trap.state, TRAP_NONE);

    virt_port_out(v, 0xcfe, 2, 0xbeef);
    t = next_after(0);
    assert_int_equal(t.off, 0x3e);
    assert_int_equal(t.size, 2);
    assert_int_equal(t.write, 1);
    assert_int_equal(t.value, 0xbeef);
    assert_int_equal(answer(t, 0x1234), 0);
    v->regs.rax = 9;
    assert_false(trap_waits(v));
    assert_int_equal(v->regs.rax, 9);
}

/* Between the last look and the sleep. */
static struct bh_pci_trap to_answer;
static void answered_now(struct vcpu *v)
{
    blocked_meanwhile = NULL;
    assert_int_equal(answer(to_answer, 0x77), 0);
}
static void init_now(struct vcpu *v)
{
    blocked_meanwhile = NULL;
    v->wait_sipi = 1;
}
TEST(no_answer_is_slept_over)
{
    struct vcpu *v = guest->vcpu[0];

    select_at(v, 0x80000800);
    (void)in(v, 0xcfc, 4);
    to_answer = next_after(0);
    blocked_meanwhile = init_now;
    assert_true(trap_waits(v));
    assert_int_equal(v->state, VCPU_RUNNABLE); /* it has INIT to look at */
    v->wait_sipi = 0;
    blocked_meanwhile = answered_now;
    assert_false(trap_waits(v));
    assert_int_equal(v->state, VCPU_RUNNABLE);
    assert_int_equal(v->regs.rax, 0x77);
}

/* Four vCPUs that never tire get no more than the one of another guest, and none of the four is forgotten. */
TEST(each_domain_has_its_turn)
{
    unsigned served[4] = { 0 }, others = 0;
    domid_t last = 0;

    for (unsigned i = 0; i < 4; i++)
        select_at(guest->vcpu[i], 0x80000000);
    select_at(other->vcpu[0], 0x80000000);
    for (unsigned n = 0; n < 80; n++) {
        for (unsigned i = 0; i < 4; i++)
            if (guest->vcpu[i]->trap.state == TRAP_NONE)
                (void)in(guest->vcpu[i], 0xcfc, 4);
        if (other->vcpu[0]->trap.state == TRAP_NONE)
            (void)in(other->vcpu[0], 0xcfc, 4);
        struct bh_pci_trap t = next_after(last);
        last = t.domid;
        assert_int_equal(answer(t, 0), 0);
        struct domain *d = t.domid == guest->id ? guest : other;
        if (d == guest)
            served[t.vcpu]++;
        else
            others++;
        assert_false(trap_waits(d->vcpu[t.vcpu]));
    }
    assert_int_equal(others, 40);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(served[i], 10);
    /* Any place to go on from will do. */
    (void)next_after(0xffff);
    (void)next_after(BH_DOMID_NONE);
    (void)next_after(other->id);
}

TEST(it_goes_with_its_domain)
{
    struct bh_domid id = { .domid = guest->id };
    struct bh_pci_trap none = { 0 };

    select_at(guest->vcpu[2], 0x80000000);
    (void)in(guest->vcpu[2], 0xcfc, 4);
    struct bh_pci_trap t = next_after(0);
    guest->devices = NULL; /* the last was taken away: whoever waits still wants an answer */
    assert_int_equal(next_after(0).serial, t.serial);
    domain_crash(guest, NULL, BH_CAUSE_OTHER, "test");
    assert_int_equal(serve(&none), -ENOENT);
    assert_int_equal(ctl_whole(BH_CTL_DESTROY, &id), 0);
    long rc = answer(t, 1);
    assert_true(rc == -ESRCH || rc == -ESTALE);
    assert_int_equal(serve(&none), -ENOENT);

    /* Soft reset: the other vCPUs' accesses and the address are the old kernel's. */
    (void)in(other->vcpu[0], 0xcfc, 4);
    select_at(other->vcpu[0], 0x80000000);
    as(other);
    domain_shutdown(other, SHUTDOWN_soft_reset);
    id.domid = other->id;
    unsigned before = pci_soft_resets;
    assert_int_equal(ctl_whole(BH_CTL_SOFT_RESET, &id), 0);
    assert_int_equal(pci_soft_resets, before + 1);
    assert_int_equal(other->cfg_address, 0);
}

TEST(the_virq_is_pcibacks)
{
    struct evtchn_bind_virq b = { .virq = BH_VIRQ_PCI_TRAP };

    as(ctl);
    assert_int_equal(do_event_channel_op(EVTCHNOP_bind_virq, PTR(&b)), -EPERM);
    as(guest);
    assert_int_equal(do_event_channel_op(EVTCHNOP_bind_virq, PTR(&b)), -EPERM);
    b.virq = VIRQ_DOM_EXC;
    as(pciback);
    assert_int_equal(do_event_channel_op(EVTCHNOP_bind_virq, PTR(&b)), -EPERM);
}
