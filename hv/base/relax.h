/* SPDX-License-Identifier: MIT */
/* What a CPU does between two looks at something that another one will change. The unit tests have their own. */
#pragma once

static inline void cpu_relax(void) { __asm__ volatile("pause" ::: "memory"); }
