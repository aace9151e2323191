/* SPDX-License-Identifier: MIT */
/*
 * Entry from the loader: 32-bit protected mode, paging off, eax = magic, ebx = physical address of the boot information, by
 * Multiboot 1 or 2, from BIOS or UEFI alike. Builds the early page tables (low 4 GiB three times: at 0, at the direct
 * map's place and, the first GiB, under the image), enters 64-bit mode and calls core_main. paging_init replaces the tables.
 */
#include "common/long_mode.inc"
#define IMAGE_VIRT 0xffffffff80000000
#define PHYS(x)    ((x) - IMAGE_VIRT)
#define MB1_MAGIC  0x1BADB002
/* Modules page-aligned, memory map wanted, address fields valid (so that loaders that know only 32-bit ELF take it). */
#define MB1_FLAGS  0x00010003
#define MB2_MAGIC  0xE85250D6

    .section .multiboot, "ax"
    .balign 8
mb1:
    .long MB1_MAGIC, MB1_FLAGS, -(MB1_MAGIC + MB1_FLAGS)
    .long PHYS(mb1), PHYS(__image_start), PHYS(__data_end), PHYS(__image_end), PHYS(start32)
    .balign 8
mb2:
    .long MB2_MAGIC, 0, mb2_end - mb2, -(MB2_MAGIC + (mb2_end - mb2))
    .short 6, 0                      /* modules page-aligned */
    .long 8
    .short 0, 0
    .long 8
mb2_end:

    .section .text.head, "ax"
    .code32
    .globl start32
start32:
    cli
    cld
    movl %eax, %ebp
    movl %ebx, %esi

    /* Not every loader clears what lies behind the file's bytes. */
    movl $PHYS(__data_end), %edi
    movl $PHYS(__image_end), %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    xorl %eax, %eax
    rep stosl

    movl $PHYS(boot_stack_top), %esp

    /* Long mode and NX (CPUID 8000_0001h edx bits 29 and 20). */
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb no_long_mode
    movl $0x80000001, %eax
    cpuid
    andl $0x20100000, %edx
    cmpl $0x20100000, %edx
    jne no_long_mode

    /* Four page directories of 2 MiB pages: present, writable, large. */
    movl $PHYS(early_pd), %edi
    movl $(PTE_P | PTE_RW | PTE_PS), %eax
    xorl %edx, %edx
1:  movl %eax, (%edi)
    movl %edx, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    cmpl $PHYS(early_pd) + 4 * 4096, %edi
    jne 1b

    movl $PHYS(early_pd) + PTE_P + PTE_RW, %eax
    movl $PHYS(early_pdpt), %edi
    movl $4, %ecx
2:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop 2b
    movl $PHYS(early_pd) + PTE_P + PTE_RW, PHYS(early_pdpt_image) + 510 * 8
    movl $PHYS(early_pdpt) + PTE_P + PTE_RW, PHYS(early_pml4)
    movl $PHYS(early_pdpt) + PTE_P + PTE_RW, PHYS(early_pml4) + 256 * 8
    movl $PHYS(early_pdpt_image) + PTE_P + PTE_RW, PHYS(early_pml4) + 511 * 8

    movl $PHYS(early_pml4), %eax
    LONG_MODE CR4_PAE | CR4_MCE
    lgdt PHYS(early_gdtr)
    ljmp $0x08, $PHYS(start64_low)

/* Nothing is known of the machine yet: the reason goes to the standard serial port. */
no_long_mode:
    movl $PHYS(no_long_mode_text), %esi
3:  lodsb
    testb %al, %al
    jz 5f
    movb %al, %ah
    movw $0x3fd, %dx
    movl $100000, %ecx
4:  inb %dx, %al
    testb $0x20, %al
    loopz 4b
    movb %ah, %al
    movw $0x3f8, %dx
    outb %al, %dx
    jmp 3b
5:  hlt
    jmp 5b

    .code64
start64_low:
    movl %esp, %esp                  /* zero-extends */
    movabsq $start64, %rax
    jmp __x86_indirect_thunk_rax     /* the thunk, too, is reached at its low address */
start64:
    lgdt early_gdtr64(%rip)
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movq $boot_stack_top, %rsp
    xorl %r8d, %r8d
    movl %ebp, %edi
    movl %esi, %esi                  /* zero-extends */
    xorl %ebp, %ebp
    call core_main
6:  cli
    hlt
    jmp 6b

    /* stack_switch(top, fn): goes on in fn, which never returns, on another stack. */
    .text
    .globl stack_switch
stack_switch:
    movq %rdi, %rsp
    xorl %ebp, %ebp
    call __x86_indirect_thunk_rsi
    ud2

    .section .rodata, "a"
no_long_mode_text:
    .asciz "(BH) this CPU has no 64-bit mode with no-execute pages\r\n"
    .balign 16
early_gdt:
    .quad 0
    .quad 0x00af9b000000ffff         /* 08: 64-bit code */
    .quad 0x00cf93000000ffff         /* 10: data */
early_gdt_end:
    .balign 8
early_gdtr:
    .word early_gdt_end - early_gdt - 1
    .long PHYS(early_gdt)
    .balign 8
early_gdtr64:
    .word early_gdt_end - early_gdt - 1
    .quad early_gdt

    .section .bss.page_aligned, "aw", @nobits
    .balign 4096
early_pml4:       .skip 4096
early_pdpt:       .skip 4096
early_pdpt_image: .skip 4096
early_pd:         .skip 4 * 4096
boot_stack:       .skip 4 * 4096
boot_stack_top:
    .section .note.GNU-stack, "", @progbits
