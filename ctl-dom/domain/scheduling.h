/* SPDX-License-Identifier: MIT */
/* What the core's scheduler goes by for a domain: BH_CTL_SCHED. */
#pragma once
#include "domain/dom.h"

#define CPUS_TEXT 96u /* of 32 CPUs, with its NUL */

/* cpus=, cpu_weight= and cap= of its configuration, before its first instruction. */
int scheduling_begin(const struct dom *d, struct errbuf *e);
/* "all", or numbers and ranges with commas between them. */
void cpus_text(uint64_t set, uint64_t all, char s[CPUS_TEXT]);
/* One call; name is what the line of an error calls the domain. Fills *a. */
int scheduling(const char *name, struct bh_sched *a, struct errbuf *e);
