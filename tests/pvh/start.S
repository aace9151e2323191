/* SPDX-License-Identifier: MIT */
/* PVH entry of both guests: identity map of the first 4 GiB, long mode, then guest_main(start_info). */
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18              /* PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    cld
    mov $stack_end, %esp
    mov %ebx, %esi              /* struct hvm_start_info */
    mov $pd, %edi               /* 2048 pages of 2 MiB: present, writable, large */
    mov $0x83, %eax
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    cmp $pd + 4 * 4096, %edi
    jne 1b
    mov $0x20, %eax             /* PAE */
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax             /* EFER.LME */
    wrmsr
    mov %cr0, %eax
    or $0x80000001, %eax        /* PG, PE */
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $long_mode

    .code64
long_mode:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack_end, %rsp
    mov %esi, %edi
    call guest_main
2:  cli
    hlt
    jmp 2b

/* The up-call. upcall(rip) sees where it came in. */
    .globl upcall_entry
upcall_entry:
    push %rax
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    mov 72(%rsp), %rdi
    cld
    call upcall
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    iretq

/* void wait_nop(void): the same without sleeping: a shadow in front of an ordinary instruction. */
    .globl wait_nop, after_sti_nop
wait_nop:
    sti
after_sti_nop:
    nop
    nop
    cli
    ret

    .globl fault_entry
fault_entry:
    ud2

/* void wait_hlt(void): interrupts off before and after; sleeps until the next up-call. STI is the last byte of a page and HLT the
 * first of the next: an emulator has to look that page up between the two, which makes the moment long that this is about. */
    .section .text.edge, "ax", @progbits
    .balign 4096
    .fill 4095, 1, 0xcc
    .globl wait_hlt, after_sti_hlt
wait_hlt:
    sti
after_sti_hlt:
    hlt
    cli
    ret

    .data
    .balign 16
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    .word 23
    .long gdt
    .balign 4096
pml4:
    .quad pdpt + 3
    .fill 511, 8, 0
pdpt:
    .quad pd + 0x0003, pd + 0x1003, pd + 0x2003, pd + 0x3003
    .fill 508, 8, 0
    .bss
    .balign 4096
pd: .skip 4 * 4096
    .skip 16384
stack_end:
    .section .note.GNU-stack, "", @progbits
