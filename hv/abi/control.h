/* SPDX-License-Identifier: MIT */
/* Control operations that only read, and those on the machine (control_info.c), for the rows of control.c: *a is the copied argument. 0 or
 * a negative errno. Called without a lock. */
#pragma once
#include <bulkhead.h>

long control_info(struct bh_dominfo *a);
long control_report(struct bh_report *a);
long control_log(struct bh_log *a);
long control_console(const struct bh_console *a);
long control_sysinfo(struct bh_sysinfo *a);
long control_machine(const struct bh_machine *a);
