// SPDX-License-Identifier: MIT
// Calls that unikernels, BSDs and older Linux make and newer Linux does not: what Xen ignores is ignored, old forms are taken.
// LINK: tests/unit/core_harness.c hv/abi/vcpu_op.c hv/abi/hvm_op.c hv/abi/xen_version.c
#include "core_harness.h"
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/vcpu.h>
#include <xen/version.h>

bool priv_allows(enum bh_role role, enum priv p) { return false; }
static struct timer *armed;
static uint64_t armed_at;
void timer_setup(struct timer *t, void (*fn)(struct timer *)) { t->fn = fn; }
void timer_set(struct timer *t, uint64_t at)
{
    armed = t;
    armed_at = at;
}
void timer_cancel(struct timer *t)
{
    if (armed == t)
        armed = NULL;
}

static struct domain *d;
int setup(void **state)
{
    machine_setup(state);
    d = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 2, 64);
    start(d);
    as(d);
    armed = NULL;
    return 0;
}

TEST(test_vcpu_info)
{
    struct vcpu_register_vcpu_info r = { .mfn = 5, .offset = 64, .rsvd = 0xdeadbeef };
    assert_int_equal(do_vcpu_op(VCPUOP_register_vcpu_info, 0, PTR(&r)), 0);
    assert_int_equal(do_vcpu_op(VCPUOP_register_vcpu_info, 0, PTR(&r)), -EINVAL); /* once only */
    r.offset = 4096 - 8;
    assert_int_equal(do_vcpu_op(VCPUOP_register_vcpu_info, 1, PTR(&r)), -EINVAL);
    r.offset = 4;
    assert_int_equal(do_vcpu_op(VCPUOP_register_vcpu_info, 1, PTR(&r)), -EINVAL);
    /* In a place that nobody backs the core would write to a page that the guest may exchange at any time. */
    void *page = core_alloc_for(d);
    uint64_t refs = mfn_to_frame(virt_to_mfn(page))->refs;
    assert_int_equal(p2m_set(d, GFN(0xfee00), virt_to_mfn(page), 0, P2M_FILLER), 0);
    r = (struct vcpu_register_vcpu_info){ .mfn = 0xfee00 };
    assert_int_equal(do_vcpu_op(VCPUOP_register_vcpu_info, 1, PTR(&r)), -EINVAL);
    assert_int_equal(mfn_to_frame(virt_to_mfn(page))->refs, refs);
}

static long param(uint64_t value)
{
    struct xen_hvm_param p = {
        .domid = DOMID_SELF, .pad = 0xffff, .index = HVM_PARAM_CALLBACK_IRQ, .value = value
    };
    return do_hvm_op(HVMOP_set_param, PTR(&p));
}

TEST(test_callback)
{
    assert_int_equal(param(2ull << 56 | 0xf3), 0);
    assert_int_equal(d->callback_vector, 0xf3);
    const uint64_t old[] = { 1, 0x20, 1ull << 56 | 0x1b00, 3ull << 56 | 1, 255ull << 56 | 0xf3, 0 };
    for (unsigned i = 0; i < ARRAY_SIZE(old); i++) {
        assert_int_equal(param(2ull << 56 | 0xf3), 0);
        assert_int_equal(param(old[i]), 0);
        assert_int_equal(d->callback_vector, 0); /* nothing is injected by the number of a line */
        struct xen_hvm_param p = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ };
        assert_int_equal(do_hvm_op(HVMOP_get_param, PTR(&p)), 0);
        assert_true(p.value == old[i]);
    }
    assert_int_equal(param(2ull << 56 | 0x0f), -EINVAL);
    struct xen_hvm_evtchn_upcall_vector u = { .vcpu = 1, .vector = 0x44 };
    assert_int_equal(do_hvm_op(HVMOP_set_evtchn_upcall_vector, PTR(&u)), 0);
    assert_int_equal(param(1), 0);
    assert_int_equal(d->vcpu[1]->upcall_vector, 0x44);
}

TEST(test_timer)
{
    assert_int_equal(do_set_timer_op(12345), 0);
    assert_ptr_equal(armed, &d->vcpu[0]->singleshot);
    assert_int_equal(armed_at, 12345);
    assert_int_equal(do_set_timer_op(0), 0);
    assert_null(armed);
    struct vcpu_set_periodic_timer p = { .period_ns = 10000000 };
    assert_int_equal(do_vcpu_op(VCPUOP_set_periodic_timer, 0, PTR(&p)), -EOPNOTSUPP);
    assert_int_equal(do_vcpu_op(VCPUOP_stop_periodic_timer, 0, GADDR(0)), 0);
}

TEST(test_version)
{
    assert_int_equal(do_xen_version(XENVER_build_id, GADDR(0)), -ENODATA);
    assert_int_equal(do_xen_version(11, GADDR(0)), -ENOSYS);
}

/* A vCPU without register state gets some, once; its own CPU takes it. */
TEST(test_initialise)
{
    struct vcpu_hvm_context c = { .mode = VCPU_HVM_MODE_32B, .cpu_regs.x86_32.eip = 0x1000 };
    struct vcpu *v = d->vcpu[1];
    assert_int_equal(do_vcpu_op(VCPUOP_up, 1, GADDR(0)), -EINVAL);
    assert_int_equal(do_vcpu_op(VCPUOP_initialise, 0, PTR(&c)), -EEXIST); /* it runs */
    assert_int_equal(do_vcpu_op(VCPUOP_initialise, 2, PTR(&c)), -ENOENT);
    assert_int_equal(do_vcpu_op(VCPUOP_initialise, 1, GADDR(BAD_PTR)), -EFAULT);
    c.mode = 2;
    assert_int_equal(do_vcpu_op(VCPUOP_initialise, 1, PTR(&c)), -EINVAL);
    assert_int_equal(v->context_state, 0);
    c.mode = VCPU_HVM_MODE_32B;
    assert_int_equal(do_vcpu_op(VCPUOP_initialise, 1, PTR(&c)), 0);
    assert_int_equal(v->context_state, CONTEXT_READY);
    assert_int_equal(v->context.cpu_regs.x86_32.eip, 0x1000);
    c.cpu_regs.x86_32.eip = 0x2000;
    assert_int_equal(do_vcpu_op(VCPUOP_initialise, 1, PTR(&c)), -EEXIST);
    assert_int_equal(v->context.cpu_regs.x86_32.eip, 0x1000);
    assert_int_equal(do_vcpu_op(VCPUOP_is_up, 1, GADDR(0)), 0);
    assert_int_equal(do_vcpu_op(VCPUOP_up, 1, GADDR(0)), 0);
    assert_int_equal(do_vcpu_op(VCPUOP_is_up, 1, GADDR(0)), 1);
    assert_int_equal(v->wait_sipi, 0);
    v->context_state = 0; /* taken */
    v->initialised = true;
    assert_int_equal(do_vcpu_op(VCPUOP_initialise, 1, PTR(&c)), -EEXIST);
}
