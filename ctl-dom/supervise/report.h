/* SPDX-License-Identifier: MIT */
/* Crash reports: fetched from the core, kept for `crashes`, and told in one line each. */
#pragma once
#include "domain/dom.h"

void report_take(struct dom *d); /* fetches the core's report; after the restart, not before */
void report_death(struct dom *d, const char *then); /* "NAME: crashed (why)THEN" */
void report_restart(struct dom *d,
                    const struct bh_dominfo *di); /* "NAME: crashed (why), restarted in ... ms (...), restart N" */
void report_own(void);              /* that this domain itself was restarted, and why */
void report_list(const char *name); /* prints those of NAME, or all (NULL) */
