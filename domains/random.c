/* SPDX-License-Identifier: MIT */
/* The CPU's random numbers, for whoever makes something out of them: it may have none. */
#include "bh.h"
#include <cpuid.h>

uint64_t hw_random(void)
{
    unsigned a, b, c = 0, d;
    unsigned long long v = 0;
    uint8_t ok = 0;

    if (__get_cpuid(1, &a, &b, &c, &d) && c & bit_RDRND)
        for (unsigned i = 0; !ok && i < 10; i++) /* Intel SDM 7.3.17: it may have none for a moment */
            __asm__ volatile("rdrand %0; setc %1" : "=r"(v), "=qm"(ok)::"cc");
    return v;
}
