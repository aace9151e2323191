/* SPDX-License-Identifier: MIT */
// LINK: tests/attacks/core/svm_world.c
// FLAGS: -Itests/attacks/core -D_GNU_SOURCE
/* The SVM half in a process (svm_world.h): MSRs that the CPU may not have, and what is left behind for the next guest. */
#include "unit.h"
#include "svm_world.h"

static struct {
    bool wr;
    uint32_t msr;
    uint64_t x;
} wanted;
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
TEST(msrs_that_are_not_there)
{
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
TEST(ibpb)
{
    static struct domain second;

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
TEST(lfence)
{
    uint64_t x;

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
TEST(shadow)
{
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

static void calls(struct vcpu *v) { svm_of(v)->vmcb->exit_code = EXIT_VMMCALL; }
/* The length of the VMMCALL at rip, 0: the guest was crashed; and in how many copies it was read. */
static unsigned call_len(uint64_t rip, unsigned *copies)
{
    vcpus[0].regs.rip = rip;
    insn_copies = 0;
    guest = calls;
    unsigned len = run(&vcpus[0]);
    guest = NULL;
    crashed = false;
    *copies = insn_copies;
    return len;
}
/* An instruction is read in one copy, and nothing of a page that it does not reach into. */
TEST(instruction_length)
{
    unsigned copies;

    world();
    memcpy(insn, "\x0f\x01\xd9", 3);
    assert_int_equal(call_len(0x1000, &copies), 3);
    assert_int_equal(copies, 1);
    memcpy(insn + 13, "\x0f\x01\xd9", 3);
    no_page = 0x2000;
    assert_int_equal(call_len(0x1ffd, &copies), 3);
    assert_int_equal(copies, 1);
    memcpy(insn + 13, "\xf2\x0f\x01", 3);
    insn[0] = 0xd9;
    assert_int_equal(call_len(0x1ffd, &copies), 0);
    no_page = 0;
    assert_int_equal(call_len(0x1ffd, &copies), 4);
    assert_int_equal(copies, 2);
    memset(insn, 0xf2, sizeof insn); /* longer than an instruction can be */
    assert_int_equal(call_len(0x1000, &copies), 0);
    assert_int_equal(copies, 1);
    vcpus[0].regs.rip = 0x1000;
}

/* A kernel's call at 0x1000: in how many copies it was read. */
static unsigned read_again(unsigned len)
{
    unsigned copies;

    assert_int_equal(call_len(0x1000, &copies), len);
    return copies;
}
static struct vmcb *long_mode(void)
{
    struct vmcb *b = svm_of(&vcpus[0])->vmcb;
    b->efer |= 1u << 10;
    b->cs.attr |= 1u << 9;
    b->cr3 += 0x1000;
    return b;
}
/* What is remembered of an instruction holds as long as all of what it was read from: code that is changed where it stands, another
 * page there, other tables, a page that the guest gave away. */
TEST(instruction_remembered)
{
    static uint64_t entry[4];
    unsigned copies;

    world();
    struct vmcb *b = long_mode();
    for (unsigned i = 0; i < 4; i++) {
        trace.pte[i] = &entry[i];
        trace.val[i] = (entry[i] = 0x1003 + i * 0x1000) | GTRACE_MARKS;
    }
    trace.nr = 4;
    trace.byte = insn;
    memcpy(insn, "\x0f\x01\xd9\xc3", 4);
    assert_int_equal(read_again(3), 1);
    assert_int_equal(read_again(3), 0);
    insn[3] = 0xcc; /* behind it */
    assert_int_equal(read_again(3), 0);
    memcpy(insn, "\xf2\x0f\x01\xd9", 4);
    assert_int_equal(read_again(4), 1);
    assert_int_equal(read_again(4), 0);
    for (unsigned i = 0; i < 4; i++) {
        entry[i] |= 0x60; /* accessed, dirty */
        assert_int_equal(read_again(4), 0);
        entry[i] += 0x1000;
        assert_int_equal(read_again(4), 1);
        entry[i] -= 0x1000;
        assert_int_equal(read_again(4), 0);
    }
    vcpus[0].domain->p2m.gen++;
    assert_int_equal(read_again(4), 1);
    assert_int_equal(read_again(4), 0);
    b->cr3 += 0x1000;
    assert_int_equal(read_again(4), 1);
    assert_int_equal(read_again(4), 0);
    b->cr4 |= 1u << 12; /* five levels */
    assert_int_equal(read_again(4), 1);
    b->cr4 = 0;
    b->cs.attr &= (uint16_t) ~(1u << 9);
    assert_int_equal(read_again(4), 1);
    b->cs.attr |= 1u << 9;
    assert_int_equal(read_again(4), 0);
    b->cpl = 3; /* no user's is remembered */
    b->cr3 += 0x1000;
    assert_int_equal(read_again(4), 1);
    assert_int_equal(read_again(4), 1);
    b->cpl = 0;
    trace.nr = 0; /* its tables cannot be followed */
    assert_int_equal(read_again(4), 1);
    assert_int_equal(read_again(4), 1);
    trace.nr = 4;
    assert_int_equal(read_again(4), 1);
    assert_int_equal(read_again(4), 0);
    svm_state_reset(&vcpus[0]);
    b->cr3 = 0x2000;
    (void)long_mode();
    assert_int_equal(read_again(4), 1);  /* another instance */
    memcpy(insn + 9, "\x0f\x01\xd9", 3); /* too near to the page's end */
    trace.byte = insn + 9;
    assert_int_equal(call_len(0x1ff9, &copies), 3);
    assert_int_equal(call_len(0x1ff9, &copies), 3);
    assert_int_equal(copies, 1);
    trace.nr = 0;
    vcpus[0].regs.rip = 0x1000;
}

static void takes_it(struct vcpu *v) /* the event that goes in, by a handler with interrupts off */
{
    struct vmcb *b = svm_of(v)->vmcb;
    b->exit_code = EXIT_INTR;
    b->exit_int_info = 0;
    if (b->event_inj & EVENT_VALID)
        b->rflags &= ~(1ull << 9);
}
static bool window(void)
{
    run(&vcpus[0]);
    return svm_of(&vcpus[0])->vmcb->intercept1 & 1u << INTERCEPT_VINTR;
}
/* The bit of an up-call that is in is no reason to ask for a window; a kick, or another vector, is. */
TEST(window_for_what_is_new)
{
    world();
    guest = takes_it;
    upcall = 0xf3;
    vcpus[0].regs.rflags = 2;
    assert_true(window()); /* it cannot go in yet */
    vcpus[0].regs.rflags = 0x202;
    assert_false(window()); /* it went in */
    assert_false(vcpus[0].regs.rflags & 0x200);
    assert_false(window()); /* its handler has not cleared it yet */
    apic_vector = 0x40;
    assert_true(window());
    apic_vector = -1;
    assert_false(window());
    vcpus[0].kicked = 1; /* cleared, and another event since */
    assert_true(window());
    assert_true(window());
    vcpus[0].regs.rflags = 0x202;
    assert_false(window());
    assert_false(window());
    upcall = -1; /* cleared, and set again by the guest itself */
    assert_false(window());
    upcall = 0xf3;
    assert_true(window());
    vcpus[0].regs.rflags = 0x202;
    assert_false(window());
    svm_inject(&vcpus[0], 6, false, 0); /* an exception in its place */
    assert_true(window());
    upcall = -1;
    apic_vector = 0x40; /* of the APIC: its request is gone once it is in */
    vcpus[0].regs.rflags = 0x202;
    assert_false(window());
    upcall = 0xf3;
    assert_true(window());
    upcall = apic_vector = -1;
    guest = NULL;
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
TEST(stale_int3)
{
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

/* What the emulator does at a MOV to CR4, at a VMRUN that it refuses before it has loaded the guest, and at one that it refuses later. */
static void moves(struct vcpu *v)
{
    struct vmcb *b = svm_of(v)->vmcb;
    b->exit_code = ~0ull;
    b->exit_info2 = b->exit_int_info = 0; /* an event that went in was delivered */
}
static void not_loaded(struct vcpu *v)
{
    struct vmcb *b = svm_of(v)->vmcb;
    b->exit_code = ~0ull;
    b->rip = (uint64_t)svm_enter;
    b->exit_int_info = b->event_inj;
}
static void not_entered(struct vcpu *v)
{
    not_loaded(v);
    svm_of(v)->vmcb->exit_info2 = 0;
}
static bool gp_after(void (*what)(struct vcpu *v))
{
    struct vmcb *b = svm_of(&vcpus[0])->vmcb;
    guest = what;
    run(&vcpus[0]);
    guest = NULL;
    return b->event_inj & EVENT_VALID && EVENT_VECTOR(b->event_inj) == 13;
}
/* The emulator calls a MOV to CR4 with a bit that is not there an invalid state: #GP as on hardware, unless VMRUN itself refused the state. */
TEST(cr4)
{
    world();
    virt_emulated = true;
    assert_true(gp_after(moves));
    assert_true(gp_after(moves)); /* the same MOV again, as a kernel does that tries bit after bit */
    svm_of(&vcpus[0])->vmcb->event_inj = 0;
    assert_false(crashed);
    assert_false(gp_after(not_loaded)); /* nothing of the core's own state is run */
    assert_true(crashed);
    assert_string_equal(crash_text, "invalid guest state");
    crashed = false;
    assert_true(gp_after(not_entered));
    assert_false(crashed);
    (void)gp_after(not_entered); /* and never without an end */
    assert_true(crashed);
    svm_of(&vcpus[0])->vmcb->event_inj = 0;
    crashed = virt_emulated = false;
    assert_false(gp_after(moves)); /* hardware raises #GP itself */
    assert_true(crashed);
    crashed = false;
    svm_of(&vcpus[0])->vmcb->event_inj = 0;
}

/* The emulator has no such MSR, RDTSC is what guests use: no read goes past the core. */
TEST(time_stamp_counter)
{
    world();
    struct vmcb *b = svm_of(&vcpus[0])->vmcb;
    const uint8_t *map = maddr_to_virt((maddr_t){ b->msrpm_base });
    assert_int_equal(map[0x10 / 4] >> (0x10 % 4 * 2) & 3, 3);
    assert_int_equal(map[0x174 / 4] >> (0x174 % 4 * 2) & 3, 0);
    uint64_t before = rdtsc();
    assert_false(refused(false, 0x10, 0));
    uint64_t x = (uint32_t)vcpus[0].regs.rax | vcpus[0].regs.rdx << 32;
    assert_true(x >= before && x <= rdtsc());
    assert_false(refused(true, 0x10, 0)); /* ignored */
}

static struct vcpu_hvm_context code32(void)
{
    struct vcpu_hvm_context c = { .mode = VCPU_HVM_MODE_32B };
    c.cpu_regs.x86_32 = (struct vcpu_hvm_x86_32){
        .eax = 1,
        .esp = 0x8000,
        .eip = 0x100000,
        .cr0 = 1,
        .cs_limit = ~0u,
        .ds_limit = ~0u,
        .ss_limit = ~0u,
        .tr_limit = 0x67,
        .cs_ar = 0xc9b,
        .ds_ar = 0xc93,
        .ss_ar = 0xc93,
        .tr_ar = 0x8b,
    };
    return c;
}
static struct vcpu_hvm_context code64(void)
{
    struct vcpu_hvm_context c = { .mode = VCPU_HVM_MODE_64B };
    c.cpu_regs.x86_64 = (struct vcpu_hvm_x86_64){ .rdi = 1ull << 40,
                                                  .rip = ~0xfffffffull,
                                                  .cr0 = 0x80000001,
                                                  .cr3 = 0x5000,
                                                  .cr4 = 0x20,
                                                  .efer = 0x500 };
    return c;
}
#define BAD32(field, value)                   \
    do {                                      \
        c = code32();                         \
        c.field = (value);                    \
        assert_false(svm_ops.context_ok(&c)); \
    } while (0)
#define BAD64(field, value)                   \
    do {                                      \
        c = code64();                         \
        c.field = (value);                    \
        assert_false(svm_ops.context_ok(&c)); \
    } while (0)
/* VCPUOP_initialise: what VMRUN would refuse is refused before; what is taken leaves intercepts and nested paging as they are. */
TEST(contexts)
{
    struct vcpu_hvm_context c = code32();
    world();
    struct vmcb *b = svm_of(&vcpus[1])->vmcb;
    uint32_t intercepted = b->intercept1;
    uint64_t tables = b->nested_cr3;
    assert_true(svm_ops.context_ok(&c));
    svm_ops.set_context(&vcpus[1], &c);
    assert_int_equal(vcpus[1].regs.rip, 0x100000);
    assert_int_equal(vcpus[1].regs.rsp, 0x8000);
    assert_int_equal(vcpus[1].regs.rflags, 2);
    assert_int_equal(b->cs.attr, 0xc9b);
    assert_int_equal(b->cr0, 0x11);
    assert_int_equal(b->efer, 1u << 12);
    assert_true(vcpus[1].initialised);
    c = code64();
    c.cpu_regs.x86_64.rflags = ~0ull;
    assert_true(svm_ops.context_ok(&c));
    svm_ops.set_context(&vcpus[1], &c);
    assert_true(vcpus[1].regs.rip == ~0xfffffffull && vcpus[1].regs.rdi == 1ull << 40);
    assert_int_equal(vcpus[1].regs.rflags, 0x3d7fd7);
    assert_int_equal(b->cs.attr, 0xa9b);
    assert_int_equal(b->efer, 0x1500);
    assert_int_equal(b->intercept1, intercepted);
    assert_true(b->nested_cr3 == tables && (b->nested_ctl & 1));

    BAD32(mode, 2);
    BAD32(pad, 1);
    BAD32(cpu_regs.x86_32.pad1, 1);
    BAD32(cpu_regs.x86_32.cs_ar, 0xc93);  /* data */
    BAD32(cpu_regs.x86_32.cs_ar, 0xc1b);  /* not present */
    BAD32(cpu_regs.x86_32.cs_ar, 0xe9b);  /* 64-bit */
    BAD32(cpu_regs.x86_32.ds_ar, 0x1c93); /* a bit above the twelve */
    BAD32(cpu_regs.x86_32.ss_ar, 0);
    BAD32(cpu_regs.x86_32.tr_ar, 0x89); /* not busy */
    BAD32(cpu_regs.x86_32.cr0, 0x80000000);
    BAD32(cpu_regs.x86_32.cr0, 0x20000001);
    BAD32(cpu_regs.x86_32.cr4, 1u << 21);  /* a feature that this CPU has not */
    BAD32(cpu_regs.x86_32.efer, 1u << 12); /* SVM */
    BAD32(cpu_regs.x86_32.efer, 1u << 10);
    BAD64(cpu_regs.x86_64.cr4, 0);
    BAD64(cpu_regs.x86_64.efer, 0x100);
    BAD64(cpu_regs.x86_64.efer, 0);
    BAD64(cpu_regs.x86_64.cr0, 0x180000001);
    BAD64(cpu_regs.x86_64.cr3, 1ull << 60);
    BAD64(cpu_regs.x86_64.cr3, 1ull << 48); /* the machine has 48 */
    cpuid_7_ecx = 1u << 2 | 1u << 7 |
                  1u << 16; /* UMIP; CET and five levels, which no guest is offered */
    BAD32(cpu_regs.x86_32.cr4, 1u << 23);
    BAD64(cpu_regs.x86_64.cr4, 0x20 | 1u << 12);
    c = code32();
    c.cpu_regs.x86_32.cr4 = 1u << 11;
    assert_true(svm_ops.context_ok(&c));
    cpuid_7_ecx = 0;
}

static uint64_t next_exit;
static void exits_so(struct vcpu *v) { svm_of(v)->vmcb->exit_code = next_exit; }
TEST(exits_by_reason)
{
    static const struct {
        uint64_t code;
        enum bh_exit reason;
        const char *insn;
    } of[] = {
        { EXIT_INTR, BH_EXIT_INTR, "" },
        { EXIT_VINTR, BH_EXIT_WINDOW, "" },
        { EXIT_CPUID, BH_EXIT_CPUID, "\x0f\xa2" },
        { EXIT_HLT, BH_EXIT_HLT, "\xf4" },
        { EXIT_IOIO, BH_EXIT_IO, "" },
        { EXIT_MSR, BH_EXIT_MSR, "\x0f\x32" },
        { EXIT_VMMCALL, BH_EXIT_CALL, "\x0f\x01\xd9" },
        { EXIT_NPF, BH_EXIT_NPF, "" },
        { EXIT_NMI, BH_EXIT_OTHER, "" },
        { EXIT_RDPMC, BH_EXIT_OTHER, "" },
    };
    struct bh_counts want;
    memset(&want, 0, sizeof want);
    world();
    vcpus[0].counts = want;
    for (unsigned i = 0; i < ARRAY_SIZE(of); i++) {
        struct vmcb *b = svm_of(&vcpus[0])->vmcb;
        memcpy(insn, of[i].insn, strlen(of[i].insn));
        b->exit_info1 = 0;
        b->exit_info2 = vcpus[0].regs.rip = 0x1000;
        next_exit = of[i].code;
        guest = exits_so;
        run(&vcpus[0]);
        guest = NULL;
        want.exits[of[i].reason]++;
        assert_memory_equal(&vcpus[0].counts, &want, sizeof want);
    }
    crashed = false; /* the nested page fault */
}

int teardown(void **state)
{
    for (unsigned i = 0; i < 3; i++)
        svm_ops.vcpu_free(&vcpus[i]);
    return 0;
}
