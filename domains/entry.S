/* SPDX-License-Identifier: MIT */
/*
 * PVH entry (32-bit protected mode, paging off, ebx = hvm_start_info) to start_domain() in 64-bit mode. Memory is identity-mapped by 2 MiB pages here; memory.c then gives each page of the image its rights.
 */
#include "internal.h"
#include <common/long_mode.inc>

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
        movl $(boot_pdpt + PTE_P + PTE_RW), boot_pml4
        movl $(boot_pd + PTE_P + PTE_RW), %eax
        xorl %ecx, %ecx
1:      movl %eax, boot_pdpt(, %ecx, 8)
        addl $4096, %eax
        incl %ecx
        cmpl $4, %ecx
        jne 1b
        movl $(PTE_P + PTE_RW + PTE_PS), %eax
        xorl %ecx, %ecx
2:      movl %eax, boot_pd(, %ecx, 8)
        addl $0x200000, %eax
        incl %ecx
        cmpl $2048, %ecx
        jne 2b

        movl $boot_pml4, %eax
        LONG_MODE CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT
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

        .section .note.GNU-stack, "", @progbits
