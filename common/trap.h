/* SPDX-License-Identifier: MIT */
/* What exceptions of the core and of a domain have in common: descriptor tables of 64-bit mode, the frame that trap_entry.inc makes, names. */
#pragma once
#include <stdint.h>
#include "common/regs.h"

struct trap_frame {
    uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
struct gate {
    uint16_t off0, sel;
    uint8_t ist, type;
    uint16_t off1;
    uint32_t off2, zero;
};
_Static_assert(sizeof(struct gate) == 16, "SDM3 figure 6-8");
struct tss {
    uint32_t zero0;
    uint64_t rsp[3], zero1, ist[7], zero2;
    uint16_t zero3, iomap;
} __attribute__((packed));
_Static_assert(sizeof(struct tss) == 104, "SDM3 figure 8-11");
struct desc_ptr {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

/* To a handler in ring 0, interrupts off, on a stack of the TSS; ist 0: on the one that it is on. */
static inline struct gate trap_gate(uint64_t at, uint8_t ist)
{
    return (struct gate){ (uint16_t)at,         SEL_CODE, ist, 0x8e, (uint16_t)(at >> 16),
                          (uint32_t)(at >> 32), 0 };
}

/* Its two words of the GDT, not busy. No I/O map: that begins where it ends. */
static inline void trap_tss(struct tss *t, uint64_t word[2])
{
    uint64_t base = (uint64_t)t;
    t->iomap = sizeof *t;
    word[0] = (sizeof *t - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    word[1] = base >> 32;
}

static inline const char *trap_name(uint64_t vector)
{
    static const char *const name[] = { "divide error",
                                        "debug",
                                        "NMI",
                                        "breakpoint",
                                        "overflow",
                                        "bound",
                                        "invalid opcode",
                                        "no FPU",
                                        "double fault",
                                        "?",
                                        "invalid TSS",
                                        "segment not present",
                                        "stack fault",
                                        "general protection",
                                        "page fault",
                                        "?",
                                        "x87 error",
                                        "alignment check",
                                        "machine check",
                                        "SIMD error",
                                        "virtualization",
                                        "control protection" };
    return vector < sizeof name / sizeof *name ? name[vector] : "exception";
}
