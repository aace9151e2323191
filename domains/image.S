/* SPDX-License-Identifier: MIT */
/* What the image has beside code: descriptor and page tables, stacks, the canary's place, and the start-up calls of static archives. */
#include "internal.h"

        /* What static archives have to set up at start, a call in .init each (System V ABI, "Initialization and Termination
         * Functions"): libcrypto.a looks at the CPU. */
        .section .init.begin, "ax"
        .globl run_init
run_init:
        subq $8, %rsp
        .section .init.end, "ax"
        addq $8, %rsp
        ret

        .data
        .align 16
        .globl gdt
gdt:    .quad 0
        .quad 0x00af9a000000ffff        /* SEL_CODE: 64-bit code */
        .quad 0x00cf92000000ffff        /* SEL_DATA */
        .quad 0, 0                      /* SEL_TSS: filled by exceptions.c */
gdt_end:
        .globl gdt_ptr
gdt_ptr:
        .word gdt_end - gdt - 1
        .quad gdt

        .bss
        .align 4096
        .globl boot_pml4, boot_pdpt, boot_pd
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pd:   .skip 4 * 4096
        /* The page below each stack is taken out of the mapping by memory.c. */
        .globl stack_guard, ist_guard, stack_top, ist_top
stack_guard: .skip 4096
        .skip STACK_SIZE
stack_top:
ist_guard: .skip 4096
        .skip IST_SIZE
ist_top:
        .align 64
        .globl tls_block
tls_block: .skip 64

        .section .note.GNU-stack, "", @progbits
