/* SPDX-License-Identifier: MIT */
/*
 * PVH entry (32-bit protected mode, paging off, ebx = hvm_start_info) to start_domain() in 64-bit mode, and the exception
 * stubs. Memory is identity-mapped by 2 MiB pages here; memory.c then gives each page of the image its rights.
 */
#include "internal.h"

        /* XEN_ELFNOTE_PHYS32_ENTRY of <xen/elfnote.h>. */
        .section .note.Xen, "a", @note
        .long 4, 8, 18
        .asciz "Xen"
        .quad _start32

        .section .text.entry, "ax"
        .code32
        .globl _start32
_start32:
        cli
        cld
        movl $stack_top, %esp
        movl %ebx, %ebp

        /* PML4[0] -> PDPT[0..3] -> four directories of 2 MiB pages: 4 GiB, writable, executable for now. */
        movl $(boot_pdpt + PTE_P + PTE_W), boot_pml4
        movl $(boot_pd + PTE_P + PTE_W), %eax
        xorl %ecx, %ecx
1:      movl %eax, boot_pdpt(, %ecx, 8)
        addl $4096, %eax
        incl %ecx
        cmpl $4, %ecx
        jne 1b
        movl $(PTE_P + PTE_W + PTE_PS), %eax
        xorl %ecx, %ecx
2:      movl %eax, boot_pd(, %ecx, 8)
        addl $0x200000, %eax
        incl %ecx
        cmpl $2048, %ecx
        jne 2b

        movl $(CR4_PAE + CR4_OSFXSR + CR4_OSXMMEXCPT), %eax
        movl %eax, %cr4
        movl $boot_pml4, %eax
        movl %eax, %cr3
        movl $MSR_EFER, %ecx
        movl $(EFER_LME + EFER_NXE), %eax
        xorl %edx, %edx
        wrmsr
        movl $(CR0_PG + CR0_WP + CR0_NE + CR0_MP + CR0_ET + CR0_PE), %eax
        movl %eax, %cr0
        lgdt gdt_ptr
        ljmp $SEL_CODE, $start64

        .code64
start64:
        movl $SEL_DATA, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs

        /* Stack protector: GCC (also in libfdt.a and libz.a) reads its canary at %fs:0x28. A canary of this start, its
         * low byte zero so that a runaway string ends at it. Set before the first C function. */
        rdtsc
        shlq $32, %rdx
        orq %rdx, %rax
        movabsq $0x9e3779b97f4a7c15, %rdx
        mulq %rdx
        xorq %rdx, %rax
        xorb %al, %al
        movq %rax, tls_block + 0x28
        movl $MSR_FS_BASE, %ecx
        movl $tls_block, %eax
        xorl %edx, %edx
        wrmsr

        movl $stack_top, %esp
        movl %ebp, %edi
        xorl %ebp, %ebp
        call start_domain
        ud2

        /* What static archives have to set up at start, a call in .init each (System V ABI, "Initialization and Termination
         * Functions"): libcrypto.a looks at the CPU. */
        .section .init.begin, "ax"
        .globl run_init
run_init:
        subq $8, %rsp
        .section .init.end, "ax"
        addq $8, %rsp
        ret

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

        .data
        .align 16
        .globl gdt
gdt:    .quad 0
        .quad 0x00af9a000000ffff        /* SEL_CODE: 64-bit code */
        .quad 0x00cf92000000ffff        /* SEL_DATA */
        .quad 0, 0                      /* SEL_TSS: filled by exceptions.c */
gdt_end:
gdt_ptr:
        .word gdt_end - gdt - 1
        .quad gdt

        .bss
        .align 4096
        .globl boot_pml4, boot_pd
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
tls_block: .skip 64

        .section .note.GNU-stack, "", @progbits
