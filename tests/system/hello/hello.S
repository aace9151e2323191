/* SPDX-License-Identifier: MIT */
/* The smallest domain: PVH entry, long mode, one line on the console, power off. Boots as the control domain. */
    .section .note.pvh, "a", @note
    .long 4, 4, 18          /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    mov $stack, %esp
    mov $pml4, %eax
    mov %eax, %cr3
    mov $0x20, %eax         /* PAE */
    mov %eax, %cr4
    mov $0xc0000080, %ecx   /* EFER.LME */
    mov $0x100, %eax
    xor %edx, %edx
    wrmsr
    mov $0x80000001, %eax   /* PG, PE */
    mov %eax, %cr0
    lgdt gdtr
    ljmp $8, $long_mode

    .code64
long_mode:
    mov $text, %rdx
    mov $(text_end - text), %rsi
    xor %edi, %edi          /* CONSOLEIO_write */
    mov $18, %eax           /* console_io */
    vmmcall
    test %rax, %rax
    jnz failed
    mov $2, %edi            /* SCHEDOP_shutdown */
    mov $reason, %rsi
    mov $29, %eax           /* sched_op */
    vmmcall
failed:
    ud2

    .section .rodata
text:
    .ascii "hello from a PVH domain\n"
text_end:
    .balign 8
reason:
    .long 0                 /* SHUTDOWN_poweroff */
gdt:
    .quad 0, 0x00af9b000000ffff
gdtr:
    .word 15
    .long gdt

    .data
    .balign 4096
pml4:
    .quad pdpt + 3
    .fill 511, 8, 0
pdpt:
    .quad 0x83              /* the first GiB, present, writable, one page */
    .fill 511, 8, 0
    .fill 128, 8, 0
stack:
    .section .note.GNU-stack, "", @progbits
