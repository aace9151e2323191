/* SPDX-License-Identifier: MIT */
/* The kernel's command line out of its parts. Pure: no hypercalls. */
#pragma once
#include "config/settings.h"

/* NULL, or why there is none. */
const char *config_cmdline(const struct settings *s, char *out, size_t n);
