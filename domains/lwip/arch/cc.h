/* SPDX-License-Identifier: MIT */
/* What lwIP (<lwip/arch.h>) asks of the machine and of the C library that it is compiled for. */
#pragma once
#include <stdint.h>
#include <stdio.h>

uint32_t lwip_random(void);
void lwip_failed(const char *what) __attribute__((noreturn));

#define LWIP_RAND()             lwip_random()
#define LWIP_PLATFORM_DIAG(x)   ((void)printf x)
#define LWIP_PLATFORM_ASSERT(x) lwip_failed(x)
#define SZT_F                   "lu"
#define X8_F                    "02x"
#define U16_F                   "u"
#define S16_F                   "d"
#define X16_F                   "x"
#ifndef SSIZE_MAX
#define SSIZE_MAX LONG_MAX /* <unistd.h> has the type */
#endif
