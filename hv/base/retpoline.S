/* SPDX-License-Identifier: MIT */
/*
 * What the compiler calls and jumps to in place of each indirect branch (hv/build.mk): a return, whose prediction is the call
 * just before it and ends in a loop that does nothing, not where a guest trained the branch predictor to ("Software techniques for
 * managing speculation on AMD processors", V2-2).
 */
    .macro thunk reg
    .balign 32
    .globl __x86_indirect_thunk_\reg
    .type __x86_indirect_thunk_\reg, @function
__x86_indirect_thunk_\reg:
    call 2f
1:  pause
    lfence
    jmp 1b
2:  movq %\reg, (%rsp)
    ret
    .size __x86_indirect_thunk_\reg, . - __x86_indirect_thunk_\reg
    .endm

    .text
    .irp reg, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    thunk \reg
    .endr
    .section .note.GNU-stack, "", @progbits
