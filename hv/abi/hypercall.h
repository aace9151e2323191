/* SPDX-License-Identifier: MIT */
/* The one door into the core (abi/hypercall.c, abi/dispatch.h) and the privilege table (abi/privilege.c). */
#pragma once
#include <bulkhead.h>
#include "base/types.h"
#include "sched/vcpu.h"

/* The call that v's registers ask for, by an instruction of insn_len bytes that rip is still on: sets regs.rax and moves rip past it,
 * or leaves both (HC_AGAIN) and redo_len set. CPL 0 only (else -EPERM). Real mode and 16-bit code are not
 * served at all. abi/enter.c calls it. */
void hypercall(struct vcpu *v, unsigned insn_len);
void console_io_init(void); /* before the serial line's interrupt: who tells the console's holder */

/* Privilege classes: what a caller's role may (<ops.def>). */
#define PRIVILEGE(class, name, roles) PRIV_##class,
enum priv {
    PRIV_OPEN = 0, /* everybody */
#include <ops.def>
    NR_PRIV
};
bool priv_allows(enum bh_role role, enum priv p);
