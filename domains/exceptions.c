/* SPDX-License-Identifier: MIT */
/*
 * Exceptions. Nothing in a service domain is meant to fault, so each one ends in a report and SHUTDOWN_crash; the
 * supervisor then restarts the domain. They run on a stack of their own (IST 1): the code below may have left the red zone
 * in use, or have run into the guard page of its stack. A test program may set exception_hook and carry on.
 */
#include "internal.h"
#include <xen/sched.h>

extern uint64_t gdt[];
extern const char exception_entries[], ist_top[];
bool (*exception_hook)(struct trap_frame *r);
static struct gate idt[32] __attribute__((aligned(16)));
static struct tss tss __attribute__((aligned(16)));

void exceptions_init(void)
{
    struct desc_ptr p = { sizeof(idt) - 1, (uint64_t)idt };

    for (unsigned v = 0; v < ARRAY_SIZE(idt); v++)
        idt[v] = trap_gate((uint64_t)exception_entries + v * 16, 1);
    tss.ist[0] = (uint64_t)ist_top;
    trap_tss(&tss, &gdt[SEL_TSS / 8]);
    __asm__ volatile("lidt %0" ::"m"(p));
    __asm__ volatile("ltr %w0" ::"r"(SEL_TSS) : "memory");
}

void exception_entry(struct trap_frame *r)
{
    static bool inside;
    uint64_t cr2;

    if (exception_hook && exception_hook(r))
        return;
    if (inside)
        domain_exit(SHUTDOWN_crash);
    inside = true;
    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    panic_print("%s: %s at %lx, error %lx, address %lx\n", self.name[0] ? self.name : "domain",
                trap_name(r->vector), r->rip, r->error, cr2);
    if (r->vector == 14 && page_is_guard(cr2))
        panic_print("  the stack is full\n");
    panic_print("  rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", r->rax, r->rbx, r->rcx, r->rdx);
    panic_print("  rsi %016lx rdi %016lx rbp %016lx rsp %016lx\n", r->rsi, r->rdi, r->rbp, r->rsp);
    panic_print("  r8  %016lx r9  %016lx r10 %016lx r11 %016lx\n", r->r8, r->r9, r->r10, r->r11);
    panic_print("  r12 %016lx r13 %016lx r14 %016lx r15 %016lx\n", r->r12, r->r13, r->r14, r->r15);
    panic_backtrace(r->rsp);
    domain_exit(SHUTDOWN_crash);
}
