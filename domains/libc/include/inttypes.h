/* SPDX-License-Identifier: MIT */
/* x86-64: 64-bit integers are long. */
#pragma once
#include <stdint.h>

#define PRId32 "d"
#define PRIu32 "u"
#define PRIx32 "x"
#define PRId64 "ld"
#define PRIu64 "lu"
#define PRIx64 "lx"
