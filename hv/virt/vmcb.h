/* SPDX-License-Identifier: MIT */
/* The virtual machine control block: AMD APM volume 2, appendix B (layout) and C (exit codes). */
#pragma once
#include "base/types.h"

struct vmcb_seg {
    uint16_t sel, attr; /* attr: descriptor bits 47:40 in 7:0, bits 55:52 in 11:8 */
    uint32_t limit;
    uint64_t base;
};

struct vmcb {
    uint32_t intercept_cr;  /* 000: reads 15:0, writes 31:16 */
    uint32_t intercept_dr;  /* 004 */
    uint32_t intercept_exc; /* 008 */
    uint32_t intercept1;    /* 00c: INTERCEPT_* below 32 */
    uint32_t intercept2;    /* 010: INTERCEPT_* from 32 */
    uint32_t intercept3;    /* 014 */
    uint8_t rsvd018[0x03c - 0x018];
    uint16_t pause_threshold; /* 03c */
    uint16_t pause_count;     /* 03e */
    uint64_t iopm_base;       /* 040 */
    uint64_t msrpm_base;      /* 048 */
    uint64_t tsc_offset;      /* 050 */
    uint32_t asid;            /* 058 */
    uint32_t tlb_control;     /* 05c */
    uint32_t int_ctl;         /* 060: V_* */
    uint32_t int_vector;      /* 064 */
    uint64_t int_state;       /* 068: bit 0 interrupt shadow */
    uint64_t exit_code;       /* 070 */
    uint64_t exit_info1;      /* 078 */
    uint64_t exit_info2;      /* 080 */
    uint64_t exit_int_info;   /* 088: as event_inj */
    uint64_t nested_ctl;      /* 090: bit 0 nested paging */
    uint64_t avic_bar;        /* 098 */
    uint64_t ghcb;            /* 0a0 */
    uint64_t event_inj;       /* 0a8: EVENT_* */
    uint64_t nested_cr3;      /* 0b0 */
    uint64_t lbr_ctl;         /* 0b8 */
    uint32_t clean;           /* 0c0 */
    uint32_t rsvd0c4;
    uint64_t next_rip;   /* 0c8: with NRIP save */
    uint8_t fetched_len; /* 0d0 */
    uint8_t fetched[15]; /* 0d1 */
    uint8_t rsvd0e0[0x400 - 0x0e0];

    struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; /* 400 */
    uint8_t rsvd4a0[0x4cb - 0x4a0];
    uint8_t cpl; /* 4cb */
    uint32_t rsvd4cc;
    uint64_t efer; /* 4d0 */
    uint8_t rsvd4d8[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0; /* 548 550 558 */
    uint64_t dr7, dr6;      /* 560 568 */
    uint64_t rflags, rip;   /* 570 578 */
    uint8_t rsvd580[0x5d8 - 0x580];
    uint64_t rsp;                                     /* 5d8 */
    uint64_t s_cet, ssp, isst;                        /* 5e0 5e8 5f0 */
    uint64_t rax;                                     /* 5f8 */
    uint64_t star, lstar, cstar, sfmask;              /* 600 */
    uint64_t kernel_gs_base;                          /* 620 */
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip; /* 628 */
    uint64_t cr2;                                     /* 640 */
    uint8_t rsvd648[0x668 - 0x648];
    uint64_t g_pat;                            /* 668 */
    uint64_t dbgctl;                           /* 670 */
    uint64_t br_from, br_to, int_from, int_to; /* 678 */
    uint8_t rsvd698[0x1000 - 0x698];
};

#define VMCB_AT(field, off) _Static_assert(offsetof(struct vmcb, field) == (off), #field)
_Static_assert(sizeof(struct vmcb_seg) == 16, "vmcb_seg");
_Static_assert(sizeof(struct vmcb) == 4096, "vmcb");
VMCB_AT(intercept_cr, 0x000);
VMCB_AT(intercept_dr, 0x004);
VMCB_AT(intercept_exc, 0x008);
VMCB_AT(intercept1, 0x00c);
VMCB_AT(intercept2, 0x010);
VMCB_AT(intercept3, 0x014);
VMCB_AT(pause_threshold, 0x03c);
VMCB_AT(pause_count, 0x03e);
VMCB_AT(iopm_base, 0x040);
VMCB_AT(msrpm_base, 0x048);
VMCB_AT(tsc_offset, 0x050);
VMCB_AT(asid, 0x058);
VMCB_AT(tlb_control, 0x05c);
VMCB_AT(int_ctl, 0x060);
VMCB_AT(int_vector, 0x064);
VMCB_AT(int_state, 0x068);
VMCB_AT(exit_code, 0x070);
VMCB_AT(exit_info1, 0x078);
VMCB_AT(exit_info2, 0x080);
VMCB_AT(exit_int_info, 0x088);
VMCB_AT(nested_ctl, 0x090);
VMCB_AT(avic_bar, 0x098);
VMCB_AT(ghcb, 0x0a0);
VMCB_AT(event_inj, 0x0a8);
VMCB_AT(nested_cr3, 0x0b0);
VMCB_AT(lbr_ctl, 0x0b8);
VMCB_AT(clean, 0x0c0);
VMCB_AT(next_rip, 0x0c8);
VMCB_AT(fetched_len, 0x0d0);
VMCB_AT(es, 0x400);
VMCB_AT(cs, 0x410);
VMCB_AT(ss, 0x420);
VMCB_AT(ds, 0x430);
VMCB_AT(fs, 0x440);
VMCB_AT(gs, 0x450);
VMCB_AT(gdtr, 0x460);
VMCB_AT(ldtr, 0x470);
VMCB_AT(idtr, 0x480);
VMCB_AT(tr, 0x490);
VMCB_AT(cpl, 0x4cb);
VMCB_AT(efer, 0x4d0);
VMCB_AT(cr4, 0x548);
VMCB_AT(cr3, 0x550);
VMCB_AT(cr0, 0x558);
VMCB_AT(dr7, 0x560);
VMCB_AT(dr6, 0x568);
VMCB_AT(rflags, 0x570);
VMCB_AT(rip, 0x578);
VMCB_AT(rsp, 0x5d8);
VMCB_AT(rax, 0x5f8);
VMCB_AT(star, 0x600);
VMCB_AT(sfmask, 0x618);
VMCB_AT(kernel_gs_base, 0x620);
VMCB_AT(sysenter_cs, 0x628);
VMCB_AT(sysenter_eip, 0x638);
VMCB_AT(cr2, 0x640);
VMCB_AT(g_pat, 0x668);
VMCB_AT(dbgctl, 0x670);
VMCB_AT(int_to, 0x690);

/* Numbered through both words, APM2 15.9-15.14. */
enum vmcb_intercept {
    INTERCEPT_INTR = 0,
    INTERCEPT_NMI = 1,
    INTERCEPT_SMI = 2,
    INTERCEPT_INIT = 3,
    INTERCEPT_VINTR = 4,
    INTERCEPT_RDPMC = 15,
    INTERCEPT_CPUID = 18,
    INTERCEPT_RSM = 19,
    INTERCEPT_IRET = 20,
    INTERCEPT_SWINT = 21,
    INTERCEPT_INVD = 22,
    INTERCEPT_HLT = 24,
    INTERCEPT_INVLPGA = 26,
    INTERCEPT_IOIO = 27,
    INTERCEPT_MSR = 28,
    INTERCEPT_TASK_SWITCH = 29,
    INTERCEPT_FERR = 30,
    INTERCEPT_SHUTDOWN = 31,
    INTERCEPT_VMRUN = 32,
    INTERCEPT_VMMCALL = 33,
    INTERCEPT_VMLOAD = 34,
    INTERCEPT_VMSAVE = 35,
    INTERCEPT_STGI = 36,
    INTERCEPT_CLGI = 37,
    INTERCEPT_SKINIT = 38,
    INTERCEPT_WBINVD = 41,
    INTERCEPT_MONITOR = 42,
    INTERCEPT_MWAIT = 43,
    INTERCEPT_MWAIT_ARMED = 44,
    INTERCEPT_XSETBV = 45,
    INTERCEPT_RDPRU = 46
};
static inline void vmcb_intercept(struct vmcb *b, enum vmcb_intercept i, bool on)
{
    uint32_t *word = i < 32 ? &b->intercept1 : &b->intercept2;
    uint32_t bit = 1u << ((unsigned)i & 31);
    *word = on ? *word | bit : *word & ~bit;
}

#define V_IRQ          (1u << 8)
#define V_IGN_TPR      (1u << 20)
#define V_INTR_MASKING (1u << 24)
#define V_TPR_MASK     0xfu
#define TLB_FLUSH_ALL  1u

#define EVENT_VALID     (1ull << 31)
#define EVENT_ERR       (1ull << 11)
#define EVENT_TYPE(e)   (((e) >> 8) & 7)
#define EVENT_VECTOR(e) ((e)&0xff)
enum { EVENT_INTR = 0, EVENT_NMI = 2, EVENT_EXC = 3, EVENT_SOFT = 4 };
static inline uint64_t vmcb_event(unsigned type, unsigned vector)
{
    return EVENT_VALID | ((uint64_t)type << 8) | vector;
}
static inline uint64_t vmcb_event_err(unsigned vector, uint32_t err)
{
    return vmcb_event(EVENT_EXC, vector) | EVENT_ERR | ((uint64_t)err << 32);
}

enum vmcb_exit {
    EXIT_DR_READ = 0x020,
    EXIT_DR_WRITE_LAST = 0x03f,
    EXIT_EXC_DB = 0x041,
    EXIT_EXC_AC = 0x051,
    EXIT_EXC_MC = 0x052,
    EXIT_INTR = 0x060,
    EXIT_NMI = 0x061,
    EXIT_SMI = 0x062,
    EXIT_INIT = 0x063,
    EXIT_VINTR = 0x064,
    EXIT_RDPMC = 0x06f,
    EXIT_CPUID = 0x072,
    EXIT_RSM = 0x073,
    EXIT_IRET = 0x074,
    EXIT_SWINT = 0x075,
    EXIT_INVD = 0x076,
    EXIT_HLT = 0x078,
    EXIT_INVLPGA = 0x07a,
    EXIT_IOIO = 0x07b,
    EXIT_MSR = 0x07c,
    EXIT_TASK_SWITCH = 0x07d,
    EXIT_FERR = 0x07e,
    EXIT_SHUTDOWN = 0x07f,
    EXIT_VMRUN = 0x080,
    EXIT_VMMCALL = 0x081,
    EXIT_VMLOAD = 0x082,
    EXIT_VMSAVE = 0x083,
    EXIT_STGI = 0x084,
    EXIT_CLGI = 0x085,
    EXIT_SKINIT = 0x086,
    EXIT_WBINVD = 0x089,
    EXIT_MONITOR = 0x08a,
    EXIT_MWAIT = 0x08b,
    EXIT_MWAIT_ARMED = 0x08c,
    EXIT_XSETBV = 0x08d,
    EXIT_RDPRU = 0x08e,
    EXIT_NPF = 0x400,
    EXIT_INVALID = 0xffffffff /* its low half */
};

/* exit_info1 of EXIT_IOIO */
#define IOIO_IN      1u
#define IOIO_STRING  4u
#define IOIO_SIZE(i) (((i) >> 4) & 7) /* bytes: one of 1, 2, 4 */
#define IOIO_PORT(i) ((uint16_t)((i) >> 16))
