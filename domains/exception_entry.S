/* SPDX-License-Identifier: MIT */
/* The exception stubs, to exception_entry() of exceptions.c. */
#include <common/trap_entry.inc>
        TRAP_ENTRIES exception_entries, 32, exception_entry
        .section .note.GNU-stack, "", @progbits
