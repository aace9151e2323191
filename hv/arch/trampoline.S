/* SPDX-License-Identifier: MIT */
/*
 * Where another CPU starts: real mode, at a page below 640 KiB that smp.c copies this to (SDM3 9.4, APM2 14.1.2). It goes to
 * 64-bit mode on smp.c's own small page tables, then to ap_entry on its own stack. smp.c fills the variables at the end.
 */
#include "common/long_mode.inc"
    .section .rodata, "a"
    .globl tramp_start, tramp_end, tramp_gdtr_base, tramp_jump32, tramp_jump64, tramp_cr3, tramp_stack, tramp_cpu, tramp_entry
    .balign 16
    .code16
tramp_start:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    movzwl %ax, %ebx
    shll $4, %ebx                    /* linear address of this page */
    lgdtl tramp_gdtr - tramp_start
    movl %cr0, %eax
    orl $CR0_PE, %eax
    movl %eax, %cr0
    ljmpl *(tramp_jump32 - tramp_start)

    .code32
tramp32:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl tramp_cr3 - tramp_start(%ebx), %eax
    LONG_MODE CR4_PAE | CR4_MCE
    ljmpl *(tramp_jump64 - tramp_start)(%ebx)

    .code64
tramp64:
    movl %ebx, %ebx
    movq tramp_stack - tramp_start(%rbx), %rsp
    movq tramp_cpu - tramp_start(%rbx), %rdi
    movq tramp_entry - tramp_start(%rbx), %rax
    xorl %ebp, %ebp
    call *%rax                       /* no thunk: none is near this copy, and no guest was on this CPU */
    ud2

    .balign 8
tramp_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff         /* 08: 32-bit code */
    .quad 0x00cf93000000ffff         /* 10: data */
    .quad 0x00af9b000000ffff         /* 18: 64-bit code */
tramp_gdt_end:
    .word 0
tramp_gdtr:
    .word tramp_gdt_end - tramp_gdt - 1
tramp_gdtr_base:
    .long tramp_gdt - tramp_start    /* + page */
tramp_jump32:
    .long tramp32 - tramp_start      /* + page */
    .word 0x08
    .word 0
tramp_jump64:
    .long tramp64 - tramp_start      /* + page */
    .word 0x18
    .word 0
    .balign 8
tramp_cr3:   .quad 0
tramp_stack: .quad 0
tramp_cpu:   .quad 0
tramp_entry: .quad 0
tramp_end:
    .section .note.GNU-stack, "", @progbits
