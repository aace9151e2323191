/* SPDX-License-Identifier: MIT */
// LINK: hv/virt/svm.c hv/virt/svm_exit.c hv/virt/msr.c
// FLAGS: -Itests/attacks/core -D_GNU_SOURCE
/* The SVM half in a process (svm_world.h): MSRs that the CPU may not have, and what is left behind for the next guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "svm_world.h"

#define MSR_EFER    0xc0000080u
#define MSR_TSC_AUX 0xc0000103u

static struct { bool wr; uint32_t msr; uint64_t x; } wanted;
static void uses_msr(struct vcpu *v)
{
    struct vmcb *b = svm_of(v)->vmcb;
    b->exit_code = EXIT_MSR;
    b->exit_info1 = wanted.wr;
    v->regs.rcx = wanted.msr;
    v->regs.rdx = wanted.x >> 32;
    b->rax = (uint32_t)wanted.x;
}
/* True: the guest got #GP. */
static bool refused(bool wr, uint32_t msr, uint64_t x)
{
    struct vmcb *b = svm_of(&vcpus[0])->vmcb;

    wanted.wr = wr;
    wanted.msr = msr;
    wanted.x = x;
    memcpy(insn, wr ? "\x0f\x30" : "\x0f\x32", 2);
    guest = uses_msr;
    b->event_inj = b->exit_int_info = 0;
    run(&vcpus[0]);
    guest = NULL;
    uint64_t e = b->event_inj;
    b->event_inj = 0;
    return e & EVENT_VALID && EVENT_VECTOR(e) == 13;
}

/* The CPU that is pretended has neither RDTSCP nor FXSR_OPT: neither MSR nor bit exists. */
static void msrs_that_are_not_there(void **state)
{
    (void)state;
    world(); /* its signal handlers in place of cmocka's */
    wrmsrs[0] = 0;
    assert_true(refused(true, MSR_TSC_AUX, 7));
    assert_true(refused(false, MSR_TSC_AUX, 0));
    assert_int_equal(wrmsrs[0], 0);
    assert_true(refused(true, MSR_EFER, 1u << 14));  /* FFXSR: VMRUN would refuse it */
    assert_false(refused(true, MSR_EFER, 1u << 11)); /* NXE */
    assert_false(svm_of(&vcpus[0])->vmcb->efer & 1u << 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(msrs_that_are_not_there) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
