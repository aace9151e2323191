// SPDX-License-Identifier: MIT
// What a guest's CPU says of itself: CPUID against a machine that has more than a guest may use, and the local APIC's registers.
// LINK: hv/virt/cpuid.c hv/virt/lapic.c hv/sched/pending.c
#include "unit.h"
#include "base/cpu.h"
#include "domain/domain.h"
#include "sched/sched.h"
#include "shim.h"
#include "sched/pending.h"
#include "virt/lapic.h"
#include "virt/virt.h"

uint32_t tsc_khz = 1000000;
static unsigned kicks;
void vcpu_kick(struct vcpu *v) { kicks++; }
void vcpu_set_online(struct vcpu *v) { v->state = VCPU_RUNNABLE; }

/* --- the machine: five-level paging, 52 bits, MPX, CET states, AMX, XSAVES -------------------------------------------- */
static uint32_t machine_xcr0 = 0x602ff, xsave_features = 0x1f, address_bits = 0x3934;
struct cpuid_regs cpuid(uint32_t leaf, uint32_t sub)
{
    static const struct cpuid_regs component[32] = {
        /* size, offset, flags: 1 supervisor, 2 aligned */
        [2] = { 256, 576, 0, 0 },    [3] = { 64, 960, 0, 0 },   [4] = { 64, 1024, 0, 0 },
        [5] = { 64, 1088, 0, 0 },    [6] = { 512, 1152, 0, 0 }, [7] = { 1024, 1664, 0, 0 },
        [9] = { 8, 2688, 0, 0 },     [11] = { 16, 0, 1, 0 },    [17] = { 64, 2752, 2, 0 },
        [18] = { 8192, 2816, 2, 0 },
    };
    switch (leaf) {
    case 0: return (struct cpuid_regs){ 0x20, 0, 0, 0 };
    case 0x80000000: return (struct cpuid_regs){ 0x80000021, 0, 0, 0 };
    case 0x80000008: return (struct cpuid_regs){ address_bits, ~0u, ~0u, ~0u };
    case 0xd:
        return sub == 0   ? (struct cpuid_regs){ machine_xcr0, 11008, 11008, 0 }
               : sub == 1 ? (struct cpuid_regs){ xsave_features, 11008, 0x1800, 0 }
                          : component[sub & 31];
    default: return (struct cpuid_regs){ ~0u, ~0u, ~0u, ~0u };
    }
}

static uint64_t guest_xcr0, guest_cr4;
static uint64_t get_cr(const struct vcpu *v, unsigned n)
{
    return n == CR_XCR0 ? guest_xcr0 : n == 4 ? guest_cr4 : 0;
}
static const struct virt_ops ops = { .name = "test", .get_cr = get_cr };
const struct virt_ops *virt = &ops;
static struct domain dom;
static struct vcpu vcpus[4];

int setup(void **state)
{
    memset(vcpus, 0, sizeof vcpus);
    memset(&dom, 0, sizeof dom);
    dom.nr_vcpus = 4;
    for (unsigned i = 0; i < 4; i++) {
        vcpus[i].domain = &dom;
        vcpus[i].id = i;
        dom.vcpu[i] = &vcpus[i];
        lapic_reset(&vcpus[i]);
    }
    guest_xcr0 = 1;
    guest_cr4 = kicks = 0;
    machine_xcr0 = 0x602ff;
    xsave_features = 0x1f;
    address_bits = 0x3934;
    return 0;
}

static struct cpuid_regs ask(uint32_t leaf, uint32_t sub)
{
    vcpus[1].regs.rax = leaf | 1ull << 40; /* what is above 32 bits does not count */
    vcpus[1].regs.rcx = sub | 1ull << 40;
    virt_cpuid(&vcpus[1]);
    const struct regs *r = &vcpus[1].regs;
    assert_int_equal((r->rax | r->rbx | r->rcx | r->rdx) >> 32, 0);
    return (struct cpuid_regs){ (uint32_t)r->rax, (uint32_t)r->rbx, (uint32_t)r->rcx,
                                (uint32_t)r->rdx };
}

TEST(address_sizes)
{
    assert_int_equal(ask(7, 0).ecx & 1u << 16, 0); /* no five levels */
    assert_int_equal(ask(0x80000008, 0).eax, 0x3030);
    address_bits = 0x3027;
    assert_int_equal(ask(0x80000008, 0).eax, 0x3027);
}

/* XCR0 as far as it is let through (no MPX, AMX), whatever the machine has loaded. */
TEST(xsave_sizes)
{
    struct cpuid_regs r = ask(0xd, 0);
    assert_int_equal(r.eax, 0x2e7);
    assert_int_equal(r.edx, 0);
    assert_int_equal(r.ebx, 576);
    assert_int_equal(r.ecx, 2696);
    guest_xcr0 = 7;
    assert_int_equal(ask(0xd, 0).ebx, 832);
    assert_int_equal(ask(0xd, 1).ebx, 832);
    guest_xcr0 = 0x207; /* protection keys: far behind, unless compacted */
    assert_int_equal(ask(0xd, 0).ebx, 2696);
    assert_int_equal(ask(0xd, 1).ebx, 840);
    guest_xcr0 = 0x2e7;
    assert_int_equal(ask(0xd, 1).ebx, 576 + 256 + 64 + 512 + 1024 + 8);
    r = ask(0xd, 1);
    assert_int_equal(r.eax, 7); /* no XSAVES, no XFD */
    assert_int_equal(r.ecx | r.edx, 0);
    xsave_features = 1;
    assert_int_equal(ask(0xd, 1).ebx, 0); /* no compacted form */
    r = ask(0xd, 2);
    assert_int_equal(r.eax, 256);
    assert_int_equal(r.ebx, 576);
    for (uint32_t sub = 10; sub < 40; sub++) {
        r = ask(0xd, sub);
        assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
    }
}

/* Leaves 1, 0xb, 0x80000001 and 0x80000008 count alike, for one vCPU as for four. */
TEST(topology)
{
    assert_int_equal(ask(1, 0).ebx >> 16, 0x0208);
    assert_int_equal(ask(1, 0).edx >> 28 & 1, 1);
    assert_int_equal(ask(0x80000001, 0).ecx >> 1 & 1, 1);
    assert_int_equal(ask(0x80000001, 0).ecx & 1u << 22,
                     0); /* no topology extensions, so no leaf 0x8000001e */
    assert_int_equal(ask(0x8000001e, 0).eax, 0);
    assert_int_equal(ask(0x80000008, 0).ecx, 0x3007);
    assert_int_equal(ask(0xb, 0).edx, 2);
    assert_int_equal(ask(0xb, 1).eax, 3);
    assert_int_equal(ask(0xb, 1).ebx, 4);
    assert_int_equal(ask(0xb, 2).ebx, 0);
    dom.nr_vcpus = 1;
    assert_int_equal(ask(1, 0).ebx >> 16, 0x0201);
    assert_int_equal(ask(1, 0).edx >> 28 & 1, 0);
    assert_int_equal(ask(0x80000001, 0).ecx >> 1 & 1, 0);
    assert_int_equal(ask(0x80000008, 0).ecx, 0);
}

/* --- the local APIC ------------------------------------------------------------------------------------------- */
enum {
    TPR = 0x808,
    EOI = 0x80b,
    SVR = 0x80f,
    ESR = 0x828,
    ICR = 0x830,
    LVT_ERROR = 0x837,
    SELF_IPI = 0x83f
};
static uint64_t rd(uint32_t msr)
{
    uint64_t x = ~0ull;
    assert_int_equal(lapic_read(&vcpus[0], msr, &x), 0);
    return x;
}
static void wr(uint32_t msr, uint64_t x) { assert_int_equal(lapic_write(&vcpus[0], msr, x), 0); }
static void refused(uint32_t msr, uint64_t x)
{
    assert_int_equal(lapic_write(&vcpus[0], msr, x), -1);
}

TEST(after_reset)
{
    assert_int_equal(rd(SVR), 0xff);
    for (uint32_t r = 0x832; r <= 0x837; r++)
        assert_int_equal(rd(r), 0x10000);
    assert_int_equal(rd(ESR) | rd(ICR) | rd(TPR), 0);
}

TEST(errors)
{
    wr(SELF_IPI, 15);
    assert_int_equal(rd(ESR), 0); /* what a write made readable counts */
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 0x20);
    assert_int_equal(rd(ESR), 0x20);
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 0);
    refused(ESR, 1);
    assert_int_equal(kicks, 0); /* the error's interrupt is masked */

    wr(LVT_ERROR, 0xfe);
    assert_int_equal(rd(LVT_ERROR), 0x100fe); /* it is off */
    wr(SELF_IPI, 15);
    assert_int_equal(vcpus[0].apic.irr[7], 0);
    wr(ESR, 0);
    wr(SVR, 0x1ff);
    wr(LVT_ERROR, 0xfe);
    wr(ICR, 2ull << 32 | 7); /* to vCPU 1 */
    assert_int_equal(vcpus[1].apic.irr[0], 0);
    assert_int_equal(vcpus[0].apic.irr[7], 1u << 30);
    assert_int_equal(kicks, 1);
    wr(ICR, 2ull << 32 | 7); /* known already */
    assert_int_equal(kicks, 1);
    wr(LVT_ERROR, 3);
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 0x20);
    wr(SELF_IPI, 1); /* and the interrupt that should say so has no good vector itself */
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 0x60);
    wr(ICR, 2ull << 32 | 0x4500 | 7); /* INIT: its vector does not count */
    wr(ESR, 0);
    assert_int_equal(rd(ESR), 0);
    assert_int_equal(rd(LVT_ERROR), 3);
    wr(SVR, 0xff);
    assert_int_equal(rd(LVT_ERROR), 0x10003);
}

/* ICR reads as it was written; a refused write changes nothing. */
/* Who waits for it may sleep, and not be offline yet. */
TEST(startup)
{
    uint64_t second = (uint64_t)BH_APIC_ID(1) << 32;
    vcpus[1].wait_sipi = 1;
    vcpus[1].state = VCPU_BLOCKED;
    assert_int_equal(lapic_write(&vcpus[0], ICR, second | 0x69a), 0);
    assert_int_equal(vcpus[1].wait_sipi, 0);
    assert_int_equal(vcpus[1].sipi_vector, 0x19a);
    assert_int_equal(kicks, 1);
    assert_int_equal(lapic_write(&vcpus[0], ICR, second | 0x69b), 0);
    assert_int_equal(vcpus[1].sipi_vector, 0x19a);
    assert_int_equal(kicks, 1);
}

TEST(registers)
{
    wr(ICR, 2ull << 32 | 0x40);
    assert_int_equal(rd(ICR), 2ull << 32 | 0x40);
    assert_int_equal(vcpus[1].apic.irr[2], 1);
    wr(TPR, 0x50);
    refused(TPR, 0x160);
    assert_int_equal(rd(TPR), 0x50);
    assert_false(vcpu_vector_injected(&vcpus[0], 0x60));
    refused(EOI, 1);
    assert_int_equal(vcpus[0].apic.isr[3], 1);
    wr(EOI, 0);
    assert_int_equal(vcpus[0].apic.isr[3], 0);
    refused(SELF_IPI, 0x140);
}
