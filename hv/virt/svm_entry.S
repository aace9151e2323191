/* SPDX-License-Identifier: MIT */
/*
 * void svm_enter(struct regs *r, uint64_t guest_vmcb, uint64_t host_vmcb, bool shadow)
 *
 * One VMRUN (APM2 15.5). Called with interrupts off; GIF is off from before VMRUN until after the host's TR, GS and the
 * rest of what VMLOAD carries are back. IF is on around VMRUN, so that a physical interrupt ends the guest
 * (V_INTR_MASKING: the host's IF counts, APM2 15.21.1). rax, rsp, rip and rflags travel in the VMCB.
 *
 * shadow: STI stands directly before VMRUN. It changes nothing on hardware (IF is on, GIF off); an emulator that does not load the
 * VMCB's interrupt shadow (see virt_emulated) takes the shadow of this STI into the guest instead.
 */
#define RETURN_STACK 32
    .text
    .globl svm_enter
    .type svm_enter, @function
svm_enter:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    push %rcx
    push %rdx
    push %rdi

    clgi
    sti
    mov %rsi, %rax
    vmload %rax

    mov 0x08(%rdi), %rcx
    mov 0x10(%rdi), %rdx
    mov 0x18(%rdi), %rbx
    mov 0x28(%rdi), %rbp
    mov 0x30(%rdi), %rsi
    mov 0x40(%rdi), %r8
    mov 0x48(%rdi), %r9
    mov 0x50(%rdi), %r10
    mov 0x58(%rdi), %r11
    mov 0x60(%rdi), %r12
    mov 0x68(%rdi), %r13
    mov 0x70(%rdi), %r14
    mov 0x78(%rdi), %r15
    mov 0x38(%rdi), %rdi

    testb $1, 0x10(%rsp)
    jz 1f
    sti
1:  vmrun %rax
    vmsave %rax             /* rax and rsp are the host's again */

    push %rdi
    mov 8(%rsp), %rdi
    mov %rcx, 0x08(%rdi)
    mov %rdx, 0x10(%rdi)
    mov %rbx, 0x18(%rdi)
    mov %rbp, 0x28(%rdi)
    mov %rsi, 0x30(%rdi)
    mov %r8, 0x40(%rdi)
    mov %r9, 0x48(%rdi)
    mov %r10, 0x50(%rdi)
    mov %r11, 0x58(%rdi)
    mov %r12, 0x60(%rdi)
    mov %r13, 0x68(%rdi)
    mov %r14, 0x70(%rdi)
    mov %r15, 0x78(%rdi)
    pop %rax
    mov %rax, 0x38(%rdi)

    /* No guest value is left in a register that the core could speculate with. */
    xor %ecx, %ecx
    xor %edx, %edx
    xor %ebx, %ebx
    xor %ebp, %ebp
    xor %esi, %esi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    xor %r12d, %r12d
    xor %r13d, %r13d
    xor %r14d, %r14d
    xor %r15d, %r15d

    /* Nor is the core's next return predicted by the guest's calls: the return stack is filled with places that trap ("Software
     * techniques for managing speculation on AMD processors", V2-3). */
    .rept RETURN_STACK
    call 1f
    int3
1:
    .endr
    add $(RETURN_STACK * 8), %rsp
    lfence

    pop %rdi
    pop %rax
    vmload %rax
    cli
    stgi
    pop %rcx

    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size svm_enter, . - svm_enter
    .section .note.GNU-stack, "", @progbits
