/* SPDX-License-Identifier: MIT */
/* One run of the store's fuzzer: aborts, or a sanitizer does, if something is wrong. */
#pragma once
#include <stddef.h>
void fuzz_xs(unsigned long long seed, unsigned long steps);
/* What libFuzzer calls; the symbol's name is its own. */
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
