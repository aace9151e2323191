/* SPDX-License-Identifier: MIT */
/* The door: what a call leaves behind, and what a call that is to be executed again is taken for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "../../hv/abi/hypercall.c"
#include "shim.h"

static struct domain d;
static struct vcpu v;
static long answer;
static bool waits;

static long answered(void)
{
    if (waits)
        v.wait_event = true; /* as vcpu_wait does */
    return answer;
}
long do_memory_op(uint64_t cmd, gaddr_t arg) { return answered(); }
long do_service_op(uint64_t op, gaddr_t arg) { return answered(); }
long do_set_timer_op(uint64_t t) { return 0; }
long do_xen_version(uint64_t cmd, gaddr_t arg) { return 0; }
long do_console_io(uint64_t cmd, uint64_t n, gaddr_t arg) { return 0; }
long do_grant_table_op(uint64_t cmd, gaddr_t arg, uint64_t n) { return 0; }
long do_vcpu_op(uint64_t cmd, uint64_t id, gaddr_t arg) { return 0; }
long do_sched_op(uint64_t cmd, gaddr_t arg) { return 0; }
long do_event_channel_op(uint64_t cmd, gaddr_t arg) { return 0; }
long do_physdev_op(uint64_t cmd, gaddr_t arg) { return 0; }
long do_hvm_op(uint64_t cmd, gaddr_t arg) { return 0; }
long do_control_op(uint64_t cmd, gaddr_t arg) { return 0; }
long hypercall_compat(struct vcpu *x) { return -ENOSYS; }
bool priv_allows(enum bh_role role, enum priv p) { return true; }
void sched_begin_op(void) {}

static unsigned bits_64(const struct vcpu *x) { return 64; }
static unsigned ring_0(const struct vcpu *x) { return 0; }
static const struct virt_ops ops = { .code_bits = bits_64, .cpl = ring_0 };
const struct virt_ops *virt = &ops;

static void call(uint64_t nr, long rc, bool waiting)
{
    v.domain = &d;
    v.regs = (struct regs){ .rax = nr, .rip = 0x1000 };
    v.redo_len = 0;
    answer = rc;
    waits = waiting;
    this_cpu()->current = &v;
    this_cpu()->counts = &v.counts;
    hypercall(&v, 3);
}

static void over(void **state)
{
    call(__HYPERVISOR_memory_op, -EFAULT, false);
    assert_int_equal((long)v.regs.rax, -EFAULT);
    assert_int_equal(v.regs.rip, 0x1003);
    call(12345, 0, false);
    assert_int_equal((long)v.regs.rax, -ENOSYS);
    assert_int_equal(v.counts.hypercalls, 2);
}

/* A vCPU was in a wait when its instance died, or an interrupt was taken out of it: the next call that goes on later is no wait. */
static void again(void **state)
{
    call(BH_HYPERCALL_SERVICE, HC_AGAIN, true);
    assert_int_equal(v.redo_len, 3);
    assert_int_equal(v.regs.rip, 0x1000);
    assert_true(v.wait_event);
    call(__HYPERVISOR_memory_op, HC_AGAIN, false);
    assert_int_equal(v.redo_len, 3);
    assert_false(v.wait_event);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(over), cmocka_unit_test(again) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
