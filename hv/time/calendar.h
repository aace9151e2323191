/* SPDX-License-Identifier: MIT */
/* The CMOS clock's calendar (MC146818: registers in BCD or binary, 12 or 24 hours) as seconds since 1970. Pure: time/wallclock.c reads the registers. */
#pragma once
#include "base/types.h"

/* v: second, minute, hour, day, month, year, century (0: unknown) as read; mode: register B. */
uint64_t calendar_from_cmos(const uint8_t v[7], uint8_t mode);
uint64_t calendar_seconds(unsigned year, unsigned month, unsigned day, unsigned hour,
                          unsigned minute, unsigned second);

/* When a second begins, from looks at the register of seconds. True with *at (system time, ns) if it was between this look and the one
 * before and these were close enough to tell. `second` counts only if not updating (register A, bit 7). */
#define CLOCK_EDGE_NS (100 * NS_PER_MS)
struct clock_edge {
    uint64_t at; /* of the last look */
    uint8_t second;
    bool seen;
};
bool clock_edge(struct clock_edge *e, uint64_t now, bool updating, uint8_t second, uint64_t *at);
