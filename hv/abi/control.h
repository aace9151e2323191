/* SPDX-License-Identifier: MIT */
/* Shared by control.c (the table, operations on domains and devices) and control_info.c (what is only read, the machine). */
#pragma once
#include <bulkhead.h>
#include "base/types.h"

union control_arg {
    struct bh_domid domid;
    struct bh_create create;
    struct bh_populate populate;
    struct bh_write write;
    struct bh_setup_rings rings;
    struct bh_entry entry;
    struct bh_dominfo info;
    struct bh_restart restart;
    struct bh_protect protect;
    struct bh_crash crash;
    struct bh_report report;
    struct bh_pci_info pci_info;
    struct bh_assign assign;
    struct bh_pci_cfg pci_cfg;
    struct bh_log log;
    struct bh_console console;
    struct bh_sysinfo sysinfo;
    struct bh_machine machine;
    struct bh_reclaim reclaim;
};

/* Operations of control that only read or that end the machine (abi/control_info.c): *a is the copied argument, arg where it came from and the
 * answer goes to. 0 or a negative errno; -EFAULT if the answer cannot be written. */
long control_info(union control_arg *a, gaddr_t arg);
long control_report(union control_arg *a, gaddr_t arg);
long control_log(union control_arg *a, gaddr_t arg);
long control_console(union control_arg *a, gaddr_t arg);
long control_sysinfo(union control_arg *a, gaddr_t arg);
long control_machine(union control_arg *a, gaddr_t arg);
