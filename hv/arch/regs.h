/* SPDX-License-Identifier: MIT */
/* The bits of MSRs, control registers, page-table entries and RFLAGS that the core names, each once (APM2 3, 5 and appendix A; SDM3 2, 4). */
#pragma once

#define RFLAGS_TF (1ull << 8)
#define RFLAGS_IF (1ull << 9)
