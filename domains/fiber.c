/* SPDX-License-Identifier: MIT */
/* Threads of control that hand the CPU to each other by name: what one waits for, another may bring. Nothing else takes it away from them. */
#include "internal.h"

/* What the System V ABI lets a function change is lost, the rest lies on the stack that is left. */
void swap_stacks(uint64_t *leave, uint64_t enter);
__asm__(".text\n"
        "swap_stacks:\n"
        "push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, (%rdi)\n"
        "mov %rsi, %rsp\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
        "ret\n");

static void no_return(void) { bh_panic("a fiber returned"); }

void fiber_make(struct fiber *f, void *stack, size_t size, void (*run)(void))
{
    uint64_t *top = (uint64_t *)((char *)stack + size);

    *--top = (uint64_t)no_return;
    *--top = (uint64_t)run;
    panic_fiber(stack, size);
    f->rsp = (uint64_t)(top - 6); /* six registers that nobody reads */
}

void fiber_switch(struct fiber *from, const struct fiber *to) { swap_stacks(&from->rsp, to->rsp); }
