/* SPDX-License-Identifier: MIT */
/* For <zconf.h>, which includes it; the domains have no files. */
#pragma once
#include <sys/types.h>

#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
