/* SPDX-License-Identifier: MIT */
/* One run of the store's fuzzer: aborts, or a sanitizer does, if something is wrong. */
#pragma once
void fuzz_xs(unsigned long long seed, unsigned long steps);
