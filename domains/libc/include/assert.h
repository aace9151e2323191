/* SPDX-License-Identifier: MIT */
#pragma once

void assert_failed(const char *what, const char *file, int line) __attribute__((noreturn));
#define assert(x) ((x) ? (void)0 : assert_failed(#x, __FILE__, __LINE__))
#ifndef static_assert
#define static_assert _Static_assert
#endif
