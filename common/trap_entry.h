/* SPDX-License-Identifier: MIT */
/* For assembler: the entries of a descriptor table whose gates stay in ring 0, so there is no GS to swap. */
#pragma once

/* `count` entries of 16 bytes each from `table` on: an entry pushes an error code (0 where the CPU pushes none: APM2 8.2) and its vector, saves every
 * register from rax at the lowest address to r15, and calls `handler` with the frame. What the handler changes in it is loaded again. */
    .macro TRAP_ENTRIES table, count, handler
    .text
    .balign 16
    .globl \table
\table:
    .set vector, 0
    .rept \count
    .balign 16
    .if !((vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || \
          (vector == 29) || (vector == 30))
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

trap_common:
    cld
    .irp r, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
    pushq %\r
    .endr
    movq %rsp, %rdi
    movq %rsp, %rbx
    andq $-16, %rsp
    call \handler
    movq %rbx, %rsp
    .irp r, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
    popq %\r
    .endr
    addq $16, %rsp
    iretq
    .endm
