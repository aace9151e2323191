/* SPDX-License-Identifier: MIT */
/* The 256 interrupt entries, to trap_entry() of arch/trap.c; what they push is struct trap_frame (common/trap.h). */
#include "common/trap_entry.inc"
    TRAP_ENTRIES idt_stubs, 256, trap_entry
    .section .note.GNU-stack, "", @progbits
