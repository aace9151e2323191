/* SPDX-License-Identifier: MIT */
/* The kernel's command line out of its parts. Pure: no hypercalls. */
#pragma once
#include <stdint.h>
#include "config/settings.h"

/* NULL, or why there is none. */
const char *config_cmdline(const struct settings *s, char *out, size_t n);
/* A vnet domain's (config_vnet.c); vnet 0: it is none, and nothing is written. */
const char *config_vnet(const struct settings *s, uint32_t vnet, char *out, size_t n);
