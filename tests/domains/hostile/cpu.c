/* SPDX-License-Identifier: MIT */
/* CPUID, MSRs, privileged and virtualisation instructions, ports, inter-processor interrupts. */
#include "hostile.h"

unsigned nmis;
static uint64_t resume_at; /* where a faulting instruction continues; 0: none is under way */
static volatile int fault;

static bool on_exception(struct trap_frame *r)
{
    if (r->vector == 2) {
        nmis++;
        return true;
    }
    if (!resume_at)
        return false;
    r->rip = resume_at;
    resume_at = 0;
    fault = (int)r->vector;
    return true;
}

void traps_init(void) { exception_hook = on_exception; }

/* Runs one instruction: `fault` is its exception, or -1. RIP-independent: the label is an absolute address below 2 GiB. */
#define TRY_PLAIN(insn)                                                                        \
    do {                                                                                       \
        fault = -1;                                                                            \
        __asm__ volatile("movq $1f, %[resume]\n\t" insn "\n\t1: movq $0, %[resume]"            \
                         : [resume] "+m"(resume_at)::"rax", "rbx", "rcx", "rdx", "rsi", "rdi", \
                           "memory", "cc");                                                    \
    } while (0)

static int try_rdmsr(uint32_t msr, uint64_t *v)
{
    uint32_t lo = 0, hi = 0;

    fault = -1;
    __asm__ volatile("movq $1f, %[resume]\n\trdmsr\n\t1: movq $0, %[resume]"
                     : [resume] "+m"(resume_at), "+a"(lo), "+d"(hi)
                     : "c"(msr)
                     : "memory");
    *v = (uint64_t)hi << 32 | lo;
    return fault;
}

static int try_wrmsr(uint32_t msr, uint64_t v)
{
    fault = -1;
    __asm__ volatile("movq $1f, %[resume]\n\twrmsr\n\t1: movq $0, %[resume]"
                     : [resume] "+m"(resume_at)
                     : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
                     : "memory");
    return fault;
}

static void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(leaf), "c"(sub));
}

static void check_cpuid(void)
{
    uint32_t r[4];

    cpuid(0x80000001, 0, r);
    check("cpuid_no_svm", !(r[2] & 4), "ecx %x", r[2]);
    cpuid(1, 0, r);
    check("cpuid_no_vmx", !(r[2] & 32), "ecx %x", r[2]);
    check("cpuid_hypervisor", r[2] >> 31, "ecx %x", r[2]);
    for (unsigned i = 0; i < 2000; i++)
        cpuid(i < 1000 ? (uint32_t)rnd() : 0x40000000 + i % 300, i & 1 ? (uint32_t)rnd() : 0, r);
    check("cpuid_any_leaf", true, " ");
}

static void check_msr_reads(void)
{
    static const struct {
        uint32_t from, to;
    } range[] = {
        { 0, 0x2000 },
        { 0x40000000, 0x40000200 },
        { 0xc0000000, 0xc0000400 },
        { 0xc0010000, 0xc0010400 },
        { 0xc0011000, 0xc0011100 },
    };
    unsigned readable = 0, faulted = 0;
    struct tally t = { .name = "msr_read_faults" };
    uint64_t v;

    for (unsigned i = 0; i < ARRAY_SIZE(range); i++)
        for (uint32_t m = range[i].from; m < range[i].to; m++) {
            int f = try_rdmsr(m, &v);
            tally(&t, f == -1 || f == 13, "msr %x: exception %d", m, f);
            readable += f == -1;
            faulted += f == 13;
        }
    for (unsigned i = 0; i < 2000; i++) {
        int f = try_rdmsr((uint32_t)rnd(), &v);
        tally(&t, f == -1 || f == 13, "exception %d", f);
    }
    tally_done(&t);
    say("hostile: %u MSRs readable, %u not\n", readable, faulted);
    check("msr_by_list", readable < 400, "%u readable", readable);
}

static void check_msr_writes(void)
{
    static const uint32_t forbidden[] = {
        0xc0010117 /* VM_HSAVE_PA */,
        0xc0010115 /* IGNNE */,
        0xc0010118 /* SVM_KEY */,
        0xc0010111 /* SMBASE */,
        0xc0010112 /* SMM_ADDR */,
        0xc0010058 /* MMIO config base */,
        0x3a /* FEATURE_CONTROL */,
        0x480 /* VMX_BASIC */,
        0xc0010062 /* P-state control */,
        0x199 /* PERF_CTL */,
        0x12345678,
    };
    struct tally t = { .name = "msr_write_forbidden" };
    uint64_t v = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(forbidden); i++) {
        int f = try_wrmsr(forbidden[i], 0x1000);
        tally(&t, f == 13, "msr %x: exception %d", forbidden[i], f);
    }
    tally_done(&t);
    try_rdmsr(0xc0000080, &v);
    int f = try_wrmsr(0xc0000080, v | 1 << 12);
    uint64_t after = 0;
    try_rdmsr(0xc0000080, &after);
    check("efer_svme", f == 13 || !(after & 1 << 12), "exception %d, EFER %lx", f, after);
    try_rdmsr(0x1b, &v);
    check("apic_base_extd", try_wrmsr(0x1b, v & ~(1ul << 10)) == 13, "x2APIC mode was left");
    check("apic_base_elsewhere", try_wrmsr(0x1b, v ^ 0x10000000) == 13, "APIC was moved");
    struct tally h = { .name = "hypercall_page_silly" };
    static const uint64_t gpa[] = { HOLE, ~0xffful, 1ul << 52, NON_CANONICAL };
    for (unsigned i = 0; i < ARRAY_SIZE(gpa); i++) {
        f = try_wrmsr(0x40000000, gpa[i]);
        tally(&h, f == 13 || f == -1, "%lx: exception %d", gpa[i], f);
    }
    tally_done(&h);
}

static void check_instructions(void)
{
    struct tally t = { .name = "virtualisation_instructions" }, p = { .name = "privileged_state" };

#define REFUSED(tal, insn)                                                   \
    do {                                                                     \
        TRY_PLAIN(insn);                                                     \
        tally(tal, fault == 6 || fault == 13, insn ": exception %d", fault); \
    } while (0)
    REFUSED(&t, "xor %%eax, %%eax; vmrun");
    REFUSED(&t, "xor %%eax, %%eax; vmload");
    REFUSED(&t, "xor %%eax, %%eax; vmsave");
    REFUSED(&t, "stgi");
    REFUSED(&t, "clgi");
    REFUSED(&t, "xor %%eax, %%eax; skinit");
    REFUSED(&t, "xor %%eax, %%eax; xor %%ecx, %%ecx; invlpga");
    REFUSED(&t, "rsm");
    tally_done(&t);
    /* Reserved bits of CR0 and CR4 are left alone: the emulator lets them in, and the next entry then ends the guest. */
    REFUSED(&p, "mov $5, %%ecx; xor %%eax, %%eax; xor %%edx, %%edx; xsetbv");
    TRY_PLAIN("wbinvd");
    tally(&p, fault == -1, "wbinvd: exception %d", fault);
    TRY_PLAIN("mov $0x7fffffff, %%ecx; rdpmc");
    tally(&p, fault == 13 || fault == 6, "rdpmc: exception %d", fault);
    tally_done(&p);
}

/* Ports whose reads mean something in the platform that the core shows; the sleep port is only read. */
static void check_ports(void)
{
    struct tally t = { .name = "ports_read_ones" }, s = { .name = "string_io" };
    unsigned other = 0;

    for (unsigned i = 0; i < 3000; i++) {
        uint16_t port = i < 1024 ? (uint16_t)i : (uint16_t)rnd();
        uint32_t v = 0;

        __asm__ volatile("inl %w1, %0" : "=a"(v) : "d"(port));
        other += v != ~0u;
        /* Bit 5 (SLP_EN of a sleep-control register, ACPI 6.4 4.8.3.7) stays clear: power-off would end the test. */
        if (port != 0xe9)
            __asm__ volatile("outb %b0, %w1" ::"a"(rnd() & 0x1f), "d"(port));
    }
    tally(&t, other < 64, "%u of 3000 reads are not all ones", other);
    tally_done(&t);
    TRY_PLAIN("mov $0x3f8, %%edx; mov $scratch, %%edi; insb");
    tally(&s, fault == 13, "insb: %d", fault);
    TRY_PLAIN("mov $0x3f8, %%edx; mov $scratch, %%esi; outsb");
    tally(&s, fault == 13, "outsb: %d", fault);
    TRY_PLAIN("mov $0x1f0, %%edx; mov $scratch, %%edi; mov $1000, %%ecx; rep insl");
    tally(&s, fault == 13, "rep insl: %d", fault);
    TRY_PLAIN("mov $0xcfc, %%edx; mov $scratch, %%esi; mov $1000, %%ecx; rep outsl");
    tally(&s, fault == 13, "rep outsl: %d", fault);
    tally_done(&s);
}

void check_cpu(void)
{
    check_cpuid();
    check_msr_reads();
    check_msr_writes();
    check_instructions();
    check_ports();
}

/* ICR (SDM3 11.12.9): vector 7:0, mode 10:8, logical 11, level 14, trigger 15, shorthand 19:18, destination 63:32. */
void check_ipis(void)
{
    struct tally t = { .name = "icr_random" };
    uint64_t me = 0, v;

    try_rdmsr(0x802, &me);
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t r = rnd(), mode = r >> 8 & 7, shorthand = r >> 18 & 3,
                 dest = r % 3 ? r >> 59 : r >> 32;
        bool logical = r >> 11 & 1;

        /* INIT and SIPI only to others: an INIT of the one vCPU would end the test. */
        if (mode >= 5 &&
            (logical || dest == me || dest == 0xffffffff || shorthand == 1 || shorthand == 2))
            continue;
        int f = try_wrmsr(0x830, (r & 0xcfff) | shorthand << 18 | dest << 32);
        tally(&t, f == -1 || f == 13, "icr %lx: exception %d", r, f);
        if (i % 64 == 0)
            for (uint32_t m = 0x800; m < 0x840; m++) /* and whatever the other registers make of noise */
                if (m != 0x830 && rnd() % 2)
                    try_wrmsr(m, rnd() % 2 ? rnd() : rnd() & 0xffff);
    }
    for (uint32_t m = 0x800; m < 0x900; m++)
        try_rdmsr(m, &v);
    tally_done(&t);
    say("hostile: %u NMIs came back\n", nmis);
}
