/* SPDX-License-Identifier: MIT */
/* Crash reports: fetched from the core, kept for `crashes`, and told in one line each. */
#pragma once
#include "domain/dom.h"

/* Of all restarts since the machine booted, by BH_CAUSE_*, or on request; and how many were over within so many milliseconds. */
#define REPORT_ASKED         (BH_CAUSE_OTHER + 1)
#define REPORT_OUTAGE_LIMITS 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000
#define REPORT_OUTAGES       12
struct report_sums {
    uint64_t restarts[REPORT_ASKED + 1];
    uint64_t within[REPORT_OUTAGES];
    uint64_t outage_ns;
};
const struct report_sums *report_sums(void);

void report_take(struct dom *d); /* fetches the core's report; after the restart, not before */
void report_death(struct dom *d, const char *then); /* "NAME: crashed (why)THEN" */
void report_restart(struct dom *d,
                    const struct bh_dominfo *di); /* "NAME: crashed (why), restarted in ... ms (...), restart N" */
void report_own(void);              /* that this domain itself was restarted, and why */
void report_list(const char *name); /* prints those of NAME, or all (NULL) */
