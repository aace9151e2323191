/* SPDX-License-Identifier: MIT */
/* Control operations that only read, those on the machine (control_info.c), and scheduling (control_sched.c), for the rows of control.c: *a is the copied argument. 0 or
 * a negative errno. Called without a lock where nothing else is said. */
#pragma once
#include <bulkhead.h>

struct domain;

long control_info(struct bh_dominfo *a);
long control_report(struct bh_report *a);
long control_log(struct bh_log *a);
long control_console(const struct bh_console *a);
long control_sysinfo(struct bh_sysinfo *a);
long control_sched(struct domain *d, struct bh_sched *a); /* its op_lock held */
long control_machine(const struct bh_machine *a);
