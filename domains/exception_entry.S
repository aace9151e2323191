/* SPDX-License-Identifier: MIT */
/* The exception stubs, to exception_entry() of exceptions.c. */
#include "internal.h"

        /* An exception: error code (or 0) and vector are on the stack; save the rest as struct bh_regs. */
        .text
        .macro VECTOR_ENTRY vec, has_error
        .align 16
        .if \has_error == 0
        pushq $0
        .endif
        pushq $\vec
        jmp exception_common
        .endm

        .align 16
        .globl exception_entries
exception_entries:
        .set v, 0
        .rept 32
        .if (v == 8) | (v == 10) | (v == 11) | (v == 12) | (v == 13) | (v == 14) | (v == 17) | (v == 21) | (v == 29) | (v == 30)
        VECTOR_ENTRY v, 1
        .else
        VECTOR_ENTRY v, 0
        .endif
        .set v, v + 1
        .endr
        .align 16

exception_common:
        pushq %r15
        pushq %r14
        pushq %r13
        pushq %r12
        pushq %r11
        pushq %r10
        pushq %r9
        pushq %r8
        pushq %rdi
        pushq %rsi
        pushq %rbp
        pushq %rbx
        pushq %rdx
        pushq %rcx
        pushq %rax
        cld
        movq %rsp, %rdi
        movq %rsp, %rbp
        andq $-16, %rsp
        call exception_entry
        movq %rbp, %rsp
        popq %rax
        popq %rcx
        popq %rdx
        popq %rbx
        popq %rbp
        popq %rsi
        popq %rdi
        popq %r8
        popq %r9
        popq %r10
        popq %r11
        popq %r12
        popq %r13
        popq %r14
        popq %r15
        addq $16, %rsp
        iretq

        .section .note.GNU-stack, "", @progbits
