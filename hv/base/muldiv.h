/* SPDX-License-Identifier: MIT */
/* One multiplication and one division with 128 bits between them: scaling of clocks. */
#pragma once
#include "base/types.h"

/* a * b / c without losing the product's upper half; all ones where the quotient does not fit. c is not 0. */
static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t hi, lo, quotient, rest;
    __asm__("mulq %3" : "=a"(lo), "=d"(hi) : "0"(a), "rm"(b) : "cc");
    if (hi >= c)
        return UINT64_MAX;
    __asm__("divq %4" : "=a"(quotient), "=d"(rest) : "0"(lo), "1"(hi), "rm"(c) : "cc");
    return quotient;
}
