/* SPDX-License-Identifier: MIT */
/* What the machine counts, as text for Prometheus, told to each domain that has `metrics = 1`. It is told; it cannot ask. */
#pragma once
#include <stdbool.h>

/* From the job: tells it, if it is time. True: it did. */
bool metrics_work(void);
