/* SPDX-License-Identifier: MIT */
/* One run of the net driver domain's fuzzer: aborts, or a sanitizer does, if something is wrong. */
#pragma once
void fuzz_net(unsigned long long seed, unsigned long steps);
