/* SPDX-License-Identifier: MIT */
/*
 * CPUID of a guest: the machine's own answers through masks that name each feature let through, the topology of the
 * domain, and Xen's hypervisor leaves (<xen/arch-x86/cpuid.h>, docs/linux-pvh.md 2).
 */
#include <bulkhead.h>
#include "common/regs.h"
#include <xen/xen.h>
#include <xen/arch-x86/cpuid.h>
#include "base/cpu.h"
#include "domain/struct.h"
#include "virt/virt.h"

#define BIT(n)       (1u << (n))
#define MAX_STD      0xdu
#define MAX_EXT      0x80000008u
#define XEN_VERSION  ((4u << 16) | 17u)
#define ADDRESS_BITS 48u /* of the p2m (npt.c), and of linear addresses without five-level paging */
#define XSAVEC       BIT(1)

/* SSE3 PCLMULQDQ SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND. Not: MONITOR, TSC deadline. */
#define F1_ECX                                                                              \
    (BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(22) | \
     BIT(23) | BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define F1_X2APIC     BIT(21)
#define F1_OSXSAVE    BIT(27)
#define F1_HYPERVISOR BIT(31)
/* FPU VME DE PSE TSC MSR PAE MCE CX8 SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 */
#define F1_EDX                                                                                  \
    (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | \
     BIT(12) | BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) |  \
     BIT(25) | BIT(26))
#define F1_APIC BIT(9)
#define F1_HTT  BIT(28)
/* FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS INVPCID AVX512F AVX512DQ RDSEED ADX SMAP IFMA CLFLUSHOPT CLWB AVX512CD SHA AVX512BW AVX512VL */
#define F7_EBX                                                                                     \
    (BIT(0) | BIT(3) | BIT(5) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(16) | BIT(17) | BIT(18) | \
     BIT(19) | BIT(20) | BIT(21) | BIT(23) | BIT(24) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
/* AVX512VBMI UMIP PKU VBMI2 GFNI VAES VPCLMULQDQ VNNI BITALG VPOPCNTDQ RDPID. Not: five-level paging. */
#define F7_ECX                                                                                     \
    (BIT(1) | BIT(2) | BIT(3) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14) | \
     BIT(22))
#define F7_OSPKE BIT(4)
#define F7_EDX   BIT(4) /* fast short REP MOV */
/* LAHF CR8 ABM SSE4A misaligned-SSE PREFETCHW XOP FMA4 TBM. Not: SVM, extended APIC, OSVW, SKINIT, topology extensions. */
#define F81_ECX        (BIT(0) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(16) | BIT(21))
#define F81_CMP_LEGACY BIT(1)
/* the same as F1_EDX, SYSCALL NX MMXEXT FXSR_OPT 1GB RDTSCP LM 3DNOWEXT 3DNOW */
#define F81_EDX                                                                           \
    ((F1_EDX & 0x0183f3ffu) | BIT(11) | BIT(20) | BIT(22) | BIT(25) | BIT(26) | BIT(27) | \
     BIT(29) | BIT(30) | BIT(31))
#define F88_EBX       (BIT(0) | BIT(2)) /* CLZERO, XSAVE error pointers */
#define INVARIANT_TSC BIT(8)
#define ARAT          BIT(2)

static const struct cpuid_regs nothing;

/* Smallest k with 2^k >= n. */
static uint32_t log2_up(uint32_t n)
{
    uint32_t k = 0;
    while ((1u << k) < n)
        k++;
    return k;
}

static struct cpuid_regs xen_leaf(const struct vcpu *v, uint32_t leaf, uint32_t sub)
{
    struct cpuid_regs r = nothing;
    switch (leaf - XEN_CPUID_FIRST_LEAF) {
    case 0:
        return (struct cpuid_regs){ XEN_CPUID_FIRST_LEAF + XEN_CPUID_MAX_NUM_LEAVES,
                                    XEN_CPUID_SIGNATURE_EBX, XEN_CPUID_SIGNATURE_ECX,
                                    XEN_CPUID_SIGNATURE_EDX };
    case 1: r.eax = XEN_VERSION; break;
    case 2: /* one hypercall page, by this MSR */
        r.eax = 1;
        r.ebx = 0x40000000;
        break;
    case 3: r.ecx = sub ? 0 : tsc_khz; break;
    case 4: /* no APIC virtualisation bits: MSI by pirq stays possible; no per-vCPU upcall vector: no EOI for it */
        r.eax = XEN_HVM_CPUID_IOMMU_MAPPINGS | XEN_HVM_CPUID_VCPU_ID_PRESENT |
                XEN_HVM_CPUID_DOMID_PRESENT;
        r.ebx = v->id;
        r.ecx = v->domain->id;
        break;
    default: break;
    }
    return r;
}

/* x2APIC ids are 2 * vcpu (BH_APIC_ID): each vCPU is a core of one thread in one package. */
static struct cpuid_regs topology(const struct vcpu *v, uint32_t sub)
{
    struct cpuid_regs r = { .ecx = sub & 0xff, .edx = BH_APIC_ID(v->id) };
    if (sub == 0) {
        r.eax = 1;
        r.ebx = 1;
        r.ecx |= 1 << 8;
    } else if (sub == 1) {
        r.eax = 1 + log2_up(v->domain->nr_vcpus);
        r.ebx = v->domain->nr_vcpus;
        r.ecx |= 2 << 8;
    }
    return r;
}

/* Bytes of an XSAVE area with these components, in the standard or the compacted form (SDM1 13.4.2, 13.4.3). */
static uint32_t xsave_size(uint32_t components, bool compacted)
{
    uint32_t end = 512 + 64; /* legacy region and header */
    for (uint32_t left = components & ~3u; left; left &= left - 1) {
        struct cpuid_regs c = cpuid(0xd, (uint32_t)__builtin_ctz(left));
        uint32_t at = c.ecx & BIT(1) ? (end + 63) & ~63u : end;
        end = MAX(end, (compacted ? at : c.ebx) + c.eax);
    }
    return end;
}

/* Of the components let through and the guest's XCR0: the machine's own answers count what it has and a guest may not use. */
static struct cpuid_regs xsave_leaf(const struct vcpu *v, uint32_t sub)
{
    struct cpuid_regs r = cpuid(0xd, sub);
    uint32_t all = cpuid(0xd, 0).eax & XCR0_KNOWN, on = (uint32_t)virt->get_cr(v, CR_XCR0) & all;
    if (sub == 0) {
        r = (struct cpuid_regs){ .eax = all,
                                 .ebx = xsave_size(on, false),
                                 .ecx = xsave_size(all, false) };
    } else if (sub == 1) { /* XSAVEOPT, XSAVEC, XGETBV(1). Not XSAVES: no supervisor states */
        r = (struct cpuid_regs){ .eax = r.eax & (BIT(0) | XSAVEC | BIT(2)) };
        r.ebx = r.eax & XSAVEC ? xsave_size(on, true) : 0;
    } else if (sub > 31 || !(all & BIT(sub))) {
        r = nothing;
    }
    return r;
}

static struct cpuid_regs standard_leaf(const struct vcpu *v, uint32_t leaf, uint32_t sub)
{
    struct cpuid_regs r = cpuid(leaf, sub);
    uint32_t n = v->domain->nr_vcpus, apic = BH_APIC_ID(v->id);
    uint64_t cr4 = virt->get_cr(v, 4);
    switch (leaf) {
    case 0: r.eax = MIN(r.eax, MAX_STD); return r;
    case 1:
        r.ebx = (r.ebx & 0xff00) | ((n > 1 ? MIN(2 * n, 255u) : 1) << 16) | (apic << 24);
        r.ecx = (r.ecx & F1_ECX) | F1_X2APIC | F1_HYPERVISOR | (cr4 & CR4_OSXSAVE ? F1_OSXSAVE : 0);
        r.edx = (r.edx & F1_EDX) | F1_APIC | (n > 1 ? F1_HTT : 0);
        return r;
    case 6: return (struct cpuid_regs){ .eax = ARAT };
    case 7:
        if (sub)
            return nothing;
        r.eax = 0;
        r.ebx &= F7_EBX;
        r.ecx &= F7_ECX;
        r.ecx |= (r.ecx & BIT(3)) && (cr4 & CR4_PKE) ? F7_OSPKE : 0;
        r.edx &= F7_EDX;
        return r;
    case 0xb: return topology(v, sub);
    case 0xd: return xsave_leaf(v, sub);
    default: return nothing;
    }
}

static struct cpuid_regs extended_leaf(const struct vcpu *v, uint32_t leaf)
{
    struct cpuid_regs r = cpuid(leaf, 0);
    uint32_t n = v->domain->nr_vcpus;
    switch (leaf) {
    case 0x80000000: r.eax = MIN(r.eax, MAX_EXT); return r;
    case 0x80000001:
        r.ecx = (r.ecx & F81_ECX) | (n > 1 ? F81_CMP_LEGACY : 0);
        r.edx = (r.edx & F81_EDX) | F1_APIC;
        return r;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: /* brand */
    case 0x80000005:
    case 0x80000006: /* caches and TLBs */ return r;
    case 0x80000007: return (struct cpuid_regs){ .edx = r.edx & INVARIANT_TSC };
    case 0x80000008:
        /* physical and linear bits; no narrower guest-physical space */
        r.eax = MIN(r.eax & 0xff, ADDRESS_BITS) | MIN(r.eax >> 8 & 0xff, ADDRESS_BITS) << 8;
        r.ebx &= F88_EBX;
        r.ecx = n > 1 ? (2 * n - 1) | ((1 + log2_up(n)) << 12) : 0;
        r.edx = 0;
        return r;
    default: return nothing;
    }
}

void virt_cpuid(struct vcpu *v)
{
    uint32_t leaf = (uint32_t)v->regs.rax, sub = (uint32_t)v->regs.rcx;
    struct cpuid_regs r = nothing;
    if (leaf <= MIN(cpuid(0, 0).eax, MAX_STD))
        r = standard_leaf(v, leaf, sub);
    else if (leaf >= XEN_CPUID_FIRST_LEAF && leaf <= XEN_CPUID_FIRST_LEAF + XEN_CPUID_MAX_NUM_LEAVES)
        r = xen_leaf(v, leaf, sub);
    else if (leaf >= 0x80000000 && leaf <= MIN(cpuid(0x80000000, 0).eax, MAX_EXT))
        r = extended_leaf(v, leaf);
    v->regs.rax = r.eax;
    v->regs.rbx = r.ebx;
    v->regs.rcx = r.ecx;
    v->regs.rdx = r.edx;
}
