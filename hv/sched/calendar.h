/* SPDX-License-Identifier: MIT */
/* The CMOS clock's calendar as seconds since 1970. Pure. */
#pragma once
#include "lib/types.h"

/* v: second, minute, hour, day, month, year, century (0: unknown) as read; mode: register B. */
uint64_t calendar_from_cmos(const uint8_t v[7], uint8_t mode);
uint64_t calendar_seconds(unsigned year, unsigned month, unsigned day, unsigned hour, unsigned minute, unsigned second);
