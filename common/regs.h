/* SPDX-License-Identifier: MIT */
/*
 * The bits of MSRs, control registers, RFLAGS and page-table entries that the core and the domains name, each once, in the order of their numbers
 * (APM2 3 and appendix A, page tables APM2 5.3 and, nested, 15.25; MSRs that Intel defined SDM4 2). For assembly, too.
 */
#pragma once

#ifdef __ASSEMBLER__
#define REG_BIT(n) (1 << (n))
#else
#define REG_BIT(n) (1ull << (n))
#endif

#define MSR_APIC_BASE     0x1b
#define APIC_BASE_BSP     REG_BIT(8)
#define APIC_BASE_EXTD    REG_BIT(10) /* x2APIC mode */
#define APIC_BASE_EN      REG_BIT(11)
#define MSR_PRED_CMD      0x49
#define PRED_IBPB         1u
#define MSR_MCG_CAP       0x179
#define MSR_DEBUGCTL      0x1d9
#define MSR_PAT           0x277
#define MSR_MC0_STATUS    0x401 /* one each four */
#define MC_STATUS_VALID   REG_BIT(63)
#define MSR_TSC_DEADLINE  0x6e0
#define MSR_X2APIC        0x800
#define MSR_X2APIC_LAST   0x8ff
#define MSR_EFER          0xc0000080
#define EFER_SCE          REG_BIT(0)
#define EFER_LME          REG_BIT(8)
#define EFER_LMA          REG_BIT(10)
#define EFER_NXE          REG_BIT(11)
#define EFER_SVME         REG_BIT(12)
#define EFER_FFXSR        REG_BIT(14)
#define MSR_FS_BASE       0xc0000100
#define MSR_GS_BASE       0xc0000101
#define MSR_TSC_AUX       0xc0000103
#define MSR_VM_CR         0xc0010114
#define VM_CR_SVMDIS      REG_BIT(4)
#define MSR_HSAVE_PA      0xc0010117
#define MSR_DE_CFG        0xc0011029
#define LFENCE_SERIALISES REG_BIT(1)

#define CR0_PE    REG_BIT(0)
#define CR0_MP    REG_BIT(1)
#define CR0_EM    REG_BIT(2)
#define CR0_TS    REG_BIT(3)
#define CR0_ET    REG_BIT(4)
#define CR0_NE    REG_BIT(5)
#define CR0_WP    REG_BIT(16)
#define CR0_NW    REG_BIT(29)
#define CR0_CD    REG_BIT(30)
#define CR0_PG    REG_BIT(31)
#define CR0_START (CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE) /* of every CPU of ours */

#define CR4_PSE        REG_BIT(4)
#define CR4_PAE        REG_BIT(5)
#define CR4_MCE        REG_BIT(6)
#define CR4_OSFXSR     REG_BIT(9)
#define CR4_OSXMMEXCPT REG_BIT(10)
#define CR4_LA57       REG_BIT(12)
#define CR4_OSXSAVE    REG_BIT(18)
#define CR4_SMEP       REG_BIT(20)
#define CR4_SMAP       REG_BIT(21)
#define CR4_PKE        REG_BIT(22)

#define XCR0_KNOWN  0x2e7ull /* x87, SSE, AVX, AVX-512, PKRU */
#define DR6_BS      REG_BIT(14)
#define DR7_ENABLED 0xffull

#define RFLAGS_TF   REG_BIT(8)
#define RFLAGS_IF   REG_BIT(9)
#define RFLAGS_KEPT 0x3d7fd5ull /* what is no reserved bit, and not virtual-8086 mode: APM2 3.1.6 */

#define PTE_P    REG_BIT(0)
#define PTE_RW   REG_BIT(1)
#define PTE_US   REG_BIT(2) /* nested accesses count as user accesses: APM2 15.25.5 */
#define PTE_PWT  REG_BIT(3)
#define PTE_PCD  REG_BIT(4)
#define PTE_UC   (PTE_PWT | PTE_PCD) /* PAT entry 3, uncached after reset */
#define PTE_A    REG_BIT(5)
#define PTE_D    REG_BIT(6)
#define PTE_PS   REG_BIT(7)
#define PTE_NX   REG_BIT(63)
#define PTE_ADDR 0x000ffffffffff000ull

/* Selectors of the core's descriptor tables and of the domains'. */
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS  0x18
