/* SPDX-License-Identifier: MIT */
/* The one door into the core: the table of hypercalls (abi/hypercall.c) and the privilege table (abi/privilege.c). */
#pragma once
#include <bulkhead.h>
#include "base/types.h"
#include "sched/vcpu.h"

/* The call that v's registers ask for, by an instruction of insn_len bytes that rip is still on: sets regs.rax and moves rip past it,
 * or leaves both (HC_AGAIN) and redo_len set. CPL 0 only (else -EPERM). 32-bit code is served by abi/compat.c, real mode and 16-bit
 * code not at all. abi/enter.c calls it. */
void hypercall(struct vcpu *v, unsigned insn_len);
long hypercall_compat(struct vcpu *v); /* abi/compat.c */

long do_control_op(uint64_t op, gaddr_t arg);    /* abi/control.c */
long do_service_op(uint64_t op, gaddr_t arg);    /* abi/service.c */
long do_memory_op(uint64_t cmd, gaddr_t arg);
long do_sched_op(uint64_t cmd, gaddr_t arg);
long do_vcpu_op(uint64_t cmd, uint64_t vcpu, gaddr_t arg);
long do_set_timer_op(uint64_t timeout_ns);       /* abi/vcpu_op.c */
long do_hvm_op(uint64_t cmd, gaddr_t arg);
long do_xen_version(uint64_t cmd, gaddr_t arg);
long do_console_io(uint64_t cmd, uint64_t count, gaddr_t buf);
void console_io_init(void);                      /* before the serial line's interrupt: who tells the console's holder */

/* Privilege classes: columns of the table; zero means nobody. */
enum priv {
    PRIV_NONE = 0,       /* open to all */
    PRIV_CREATE, PRIV_DESTROY, PRIV_PAUSE, PRIV_BUILD, PRIV_INFO, PRIV_RESTART, PRIV_CRASH,
    PRIV_ASSIGN, PRIV_PCI_INFO, PRIV_PCI_CFG, PRIV_CONSOLE, PRIV_LOG, PRIV_MACHINE, PRIV_SCHED,
    PRIV_SERVICE,        /* the private service operations */
    PRIV_GLOBAL_VIRQ,    /* bind VIRQ_DOM_EXC, VIRQ_CON_RING, VIRQ_CONSOLE */
    PRIV_SLOT,           /* write slot tables */
    PRIV_RECLAIM,        /* take mappings of a destroyed domain's frames away */
    NR_PRIV
};
bool priv_allows(enum bh_role role, enum priv p);
