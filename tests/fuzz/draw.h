/* SPDX-License-Identifier: MIT */
/* What a fuzzer decides by: numbers drawn at random from a seed, or read from libFuzzer's input. For the one file of it that draws. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(c)                                                                     \
    do {                                                                             \
        if (!(c)) {                                                                  \
            fprintf(stderr, "seed %llu: %s:%d: %s\n", seed, __FILE__, __LINE__, #c); \
            abort();                                                                 \
        }                                                                            \
    } while (0)

static unsigned long long seed;
static uint64_t rng;

static const unsigned char *input; /* libFuzzer's, or NULL */
static size_t input_left;

static void draw_from(unsigned long long with_seed)
{
    seed = with_seed;
    rng = seed * 0x9e3779b97f4a7c15ull + 1;
}

static uint32_t from_input(uint32_t n)
{
    uint32_t v = 0;
    for (uint32_t most = n - 1; most && input_left; most >>= 8, input_left--)
        v = v << 8 | *input++;
    return v % n;
}

static uint32_t rnd(uint32_t n)
{
    if (input)
        return from_input(n);
    rng = rng * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(rng >> 33) % n;
}

/* What libFuzzer calls; the symbol's name is its own. */
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
