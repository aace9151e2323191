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

static unsigned ibpbs(struct vcpu *v)
{
    wrmsrs[2] = 0;
    run(v);
    return wrmsrs[2];
}

/* A barrier where another domain, or another instance of one, comes to the CPU; none between vCPUs of the same. */
static void ibpb(void **state)
{
    static struct domain second;

    (void)state;
    world();
    virt_mitigations.ibpb = true;
    second.nr_vcpus = 1;
    second.vcpu[0] = &vcpus[2];
    vcpus[2].domain = &second;
    run(&vcpus[0]);
    assert_int_equal(ibpbs(&vcpus[1]), 0);
    assert_int_equal(ibpbs(&vcpus[2]), 1);
    assert_int_equal(ibpbs(&vcpus[2]), 0);
    assert_int_equal(ibpbs(&vcpus[0]), 1);
    svm_ops.set_pvh_entry(&vcpus[0], 0x1000, 0); /* a restart */
    assert_int_equal(ibpbs(&vcpus[0]), 1);
    assert_int_equal(ibpbs(&vcpus[1]), 0);
    virt_mitigations.ibpb = false;
    assert_int_equal(ibpbs(&vcpus[2]), 0);
    vcpus[2].domain = &dom;
}

/* DE_CFG is there for a guest when every CPU's LFENCE was made what it says. */
static uint64_t de_cfg;
static bool de_cfg_sticks;
static unsigned de_cfg_writes;
int rdmsr_safe(uint32_t msr, uint64_t *v)
{
    *v = msr == 0xc0011029 ? de_cfg : 0;
    return 0;
}
int wrmsr_safe(uint32_t msr, uint64_t v)
{
    de_cfg_writes += msr == 0xc0011029;
    if (msr == 0xc0011029 && de_cfg_sticks)
        de_cfg = v;
    return 0;
}
static void lfence(void **state)
{
    uint64_t x;

    (void)state;
    virt_mitigations.lfence = true;
    de_cfg = 0x200; /* another bit, which stays */
    de_cfg_sticks = true;
    virt_msr_cpu_init();
    assert_int_equal(de_cfg, 0x202);
    assert_int_equal(virt_rdmsr(&vcpus[0], 0xc0011029, &x), 0);
    assert_int_equal(x, 2);
    assert_int_equal(virt_wrmsr(&vcpus[0], 0xc0011029, 0), 0); /* ignored */
    de_cfg_writes = 0;
    virt_msr_cpu_init();
    assert_int_equal(de_cfg_writes, 0);
    de_cfg = 0;
    de_cfg_sticks = false; /* one CPU drops it */
    virt_msr_cpu_init();
    assert_int_equal(virt_rdmsr(&vcpus[0], 0xc0011029, &x), -1);
    assert_int_equal(virt_wrmsr(&vcpus[0], 0xc0011029, 2), -1);
    de_cfg_sticks = true;
    virt_msr_cpu_init();
    assert_int_equal(virt_rdmsr(&vcpus[0], 0xc0011029, &x), -1); /* and the others do not make it good */
}

/* The shadow of STI goes into the guest only where the emulator drops it, and not with an event. */
static void shadow(void **state)
{
    (void)state;
    world();
    struct vmcb *b = svm_of(&vcpus[0])->vmcb;
    b->int_state = 1;
    run(&vcpus[0]);
    assert_false(entered_shadow); /* hardware loads it */
    virt_emulated = true;
    run(&vcpus[0]);
    assert_true(entered_shadow);
    b->event_inj = vmcb_event(EVENT_EXC, 6);
    run(&vcpus[0]);
    assert_false(entered_shadow);
    b->int_state = 0;
    b->event_inj = 0;
    run(&vcpus[0]);
    assert_false(entered_shadow);
    virt_emulated = false;
}

static void ints(struct vcpu *v) { svm_of(v)->vmcb->exit_code = EXIT_SWINT; }
/* One INT at 0x1000, where memory holds op; true: it runs with the next entry. */
static bool int_runs(uint8_t op)
{
    insn[0] = op;
    guest = ints;
    run(&vcpus[0]);
    guest = NULL;
    assert_int_equal(vcpus[0].regs.rip, 0x1000);
    return !(svm_of(&vcpus[0])->vmcb->intercept1 & 1u << INTERCEPT_SWINT);
}
/* An INT that memory does not hold is tried again, once; one that it holds runs, and the next is looked at again. */
static void stale_int3(void **state)
{
    (void)state;
    world();
    struct vmcb *b = svm_of(&vcpus[0])->vmcb;
    run(&vcpus[0]);
    assert_false(b->intercept1 & 1u << INTERCEPT_SWINT); /* hardware keeps no old code */
    virt_emulated = true;
    run(&vcpus[0]);
    assert_true(b->intercept1 & 1u << INTERCEPT_SWINT);
    rewrites = 0;
    assert_false(int_runs(0xeb));
    assert_int_equal(rewrites, 1);
    assert_true(int_runs(0xeb)); /* again there: it was a prefix */
    assert_int_equal(rewrites, 1);
    run(&vcpus[0]);
    assert_true(b->intercept1 & 1u << INTERCEPT_SWINT);
    assert_true(int_runs(0xcc));
    assert_true(int_runs(0xcd));
    assert_true(int_runs(0xce));
    assert_false(int_runs(0x0f));
    assert_true(int_runs(0xcc));
    code_is_ram = false;
    assert_true(int_runs(0x90));
    code_is_ram = true;
    assert_false(crashed);
    virt_emulated = false;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        svm_ops.vcpu_free(&vcpus[i]);
    return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, NULL, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(msrs_that_are_not_there), T(ibpb), T(lfence), T(shadow), T(stale_int3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
