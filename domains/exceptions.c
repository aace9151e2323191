/* SPDX-License-Identifier: MIT */
/*
 * Exceptions. Nothing in a service domain is meant to fault, so each one ends in a report and SHUTDOWN_crash; the
 * supervisor then restarts the domain. They run on a stack of their own (IST 1): the code below may have left the red zone
 * in use, or have run into the guard page of its stack. A test program may set exception_hook and carry on.
 */
#include "internal.h"
#include <xen/sched.h>

/* APM2 8.6.1 and 12.2.5: 64-bit gate and task-state segment. */
struct gate {
    uint16_t off0, sel;
    uint8_t ist, type;
    uint16_t off1;
    uint32_t off2, zero;
};
struct tss {
    uint32_t zero0;
    uint64_t rsp[3];
    uint64_t zero1;
    uint64_t ist[7];
    uint64_t zero2;
    uint16_t zero3, iomap;
} __attribute__((packed));
struct table_ptr {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));
_Static_assert(sizeof(struct gate) == 16, "gate");
_Static_assert(sizeof(struct tss) == 104, "tss");

extern uint64_t gdt[];
extern const char exception_entries[], stack_guard[], ist_top[];
bool (*exception_hook)(struct bh_regs *r);
static struct gate idt[32] __attribute__((aligned(16)));
static struct tss tss __attribute__((aligned(16)));

void exceptions_init(void)
{
    uint64_t base = (uint64_t)&tss, limit = sizeof(tss) - 1;
    struct table_ptr p = { sizeof(idt) - 1, (uint64_t)idt };

    for (unsigned v = 0; v < ARRAY_SIZE(idt); v++) {
        uint64_t at = (uint64_t)exception_entries + v * 16;
        idt[v] = (struct gate){ (uint16_t)at,         SEL_CODE, 1, 0x8e, (uint16_t)(at >> 16),
                                (uint32_t)(at >> 32), 0 };
    }
    tss.ist[0] = (uint64_t)ist_top;
    tss.iomap = sizeof(tss);
    gdt[SEL_TSS / 8] = limit | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[SEL_TSS / 8 + 1] = base >> 32;
    __asm__ volatile("lidt %0" ::"m"(p));
    __asm__ volatile("ltr %w0" ::"r"(SEL_TSS) : "memory");
}

void exception_entry(struct bh_regs *r)
{
    static const char *const name[] = {
        "divide error",
        "debug",
        "NMI",
        "breakpoint",
        "overflow",
        "bound",
        "invalid opcode",
        "no FPU",
        "double fault",
        "9",
        "invalid TSS",
        "segment not present",
        "stack fault",
        "general protection",
        "page fault",
        "15",
        "x87 error",
        "alignment",
        "machine check",
        "SIMD error",
    };
    static bool inside;
    uint64_t cr2;

    if (exception_hook && exception_hook(r))
        return;
    if (inside)
        domain_exit(SHUTDOWN_crash);
    inside = true;
    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    panic_print("%s: %s at %lx, error %lx, address %lx\n", self.name[0] ? self.name : "domain",
                r->vector < ARRAY_SIZE(name) ? name[r->vector] : "exception", r->rip, r->error, cr2);
    if (r->vector == 14 && cr2 >= (uint64_t)stack_guard && cr2 < (uint64_t)stack_guard + PAGE_SIZE)
        panic_print("  the stack is full\n");
    panic_print("  rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", r->rax, r->rbx, r->rcx, r->rdx);
    panic_print("  rsi %016lx rdi %016lx rbp %016lx rsp %016lx\n", r->rsi, r->rdi, r->rbp, r->rsp);
    panic_print("  r8  %016lx r9  %016lx r10 %016lx r11 %016lx\n", r->r8, r->r9, r->r10, r->r11);
    panic_print("  r12 %016lx r13 %016lx r14 %016lx r15 %016lx\n", r->r12, r->r13, r->r14, r->r15);
    panic_backtrace(r->rsp);
    domain_exit(SHUTDOWN_crash);
}
