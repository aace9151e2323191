/* SPDX-License-Identifier: MIT */
// LINK: hv/virt/lapic.c
/* Which vector is next for a vCPU, and whether the up-call is alone: with a second one pending the exit's short way is closed. */
#include "unit.h"
#include "../../hv/sched/pending.c"
#include "virt/lapic.h"

static struct domain d;
static struct vcpu v;
static struct vcpu_info info;
void vcpu_kick(struct vcpu *x) {}
void vcpu_set_online(struct vcpu *x) {}

enum { CALLBACK = 0xf3, OTHER = 0x41, ICR_SELF = 0x83f, MSR_TPR = 0x808, MSR_SVR = 0x80f };

int setup(void **state)
{
    memset(&d, 0, sizeof d);
    memset(&v, 0, sizeof v);
    v.domain = &d;
    v.info = &info;
    d.callback_vector = CALLBACK;
    lapic_reset(&v);
    assert_int_equal(lapic_write(&v, MSR_SVR, 0x1ff), 0);
    info.evtchn_upcall_pending = 0;
    return 0;
}

TEST(nothing_and_upcall)
{
    assert_int_equal(vcpu_pending_vector(&v), -1);
    assert_false(vcpu_only_upcall(&v));
    info.evtchn_upcall_pending = 1;
    assert_int_equal(vcpu_pending_vector(&v), CALLBACK);
    assert_true(vcpu_only_upcall(&v));
    v.upcall_vector = 0x50; /* of this vCPU */
    assert_int_equal(vcpu_pending_vector(&v), 0x50);
    assert_true(vcpu_only_upcall(&v));
    v.upcall_vector = 0;
    d.callback_vector = 0; /* none was asked for */
    assert_int_equal(vcpu_pending_vector(&v), -1);
    assert_false(vcpu_only_upcall(&v));
}

TEST(second_vector)
{
    info.evtchn_upcall_pending = 1;
    assert_int_equal(lapic_write(&v, ICR_SELF, OTHER), 0);
    assert_int_equal(vcpu_pending_vector(&v), CALLBACK);
    assert_false(vcpu_only_upcall(&v));
    assert_int_equal(lapic_write(&v, MSR_TPR, 0x50),
                     0); /* not deliverable now: a change of TPR has an exit of its own */
    assert_true(vcpu_only_upcall(&v));
    assert_int_equal(lapic_write(&v, MSR_TPR, 0), 0);
    info.evtchn_upcall_pending = 0;
    assert_int_equal(vcpu_pending_vector(&v), OTHER);
    assert_false(vcpu_only_upcall(&v));
    assert_false(vcpu_vector_injected(&v, OTHER));
    info.evtchn_upcall_pending = 1; /* in service, it keeps back what is not above it, and no up-call */
    assert_true(vcpu_only_upcall(&v));
    assert_true(vcpu_vector_injected(&v, CALLBACK));
}
