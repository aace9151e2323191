/* SPDX-License-Identifier: MIT */
/* SHA-256 in one call over one buffer: the bundle lies in memory as a whole. Numbers of sections
 * are FIPS 180-4's. */
#include "sha256.h"
#include <string.h>

static const uint32_t k256[64] = { /* 4.2.2 */
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotr(uint32_t x, unsigned n)
{
    return (x >> n) | (x << (32 - n));
}

#define S0(x) (rotr(x, 2) ^ rotr(x, 13) ^ rotr(x, 22))
#define S1(x) (rotr(x, 6) ^ rotr(x, 11) ^ rotr(x, 25))
#define W0(x) (rotr(x, 7) ^ rotr(x, 18) ^ ((x) >> 3))
#define W1(x) (rotr(x, 17) ^ rotr(x, 19) ^ ((x) >> 10))
/* One round; the caller turns the names instead of moving eight values. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                           \
    do {                                                                           \
        uint32_t t = h + S1(e) + (g ^ (e & (f ^ g))) + k256[i] + w[(i) & 15];      \
        d += t;                                                                    \
        h = t + S0(a) + ((a & b) | (c & (a | b)));                                 \
    } while (0)
#define EIGHT(i)                                                                   \
    do {                                                                           \
        ROUND(a, b, c, d, e, f, g, x, (i));                                        \
        ROUND(x, a, b, c, d, e, f, g, (i) + 1);                                    \
        ROUND(g, x, a, b, c, d, e, f, (i) + 2);                                    \
        ROUND(f, g, x, a, b, c, d, e, (i) + 3);                                    \
        ROUND(e, f, g, x, a, b, c, d, (i) + 4);                                    \
        ROUND(d, e, f, g, x, a, b, c, (i) + 5);                                    \
        ROUND(c, d, e, f, g, x, a, b, (i) + 6);                                    \
        ROUND(b, c, d, e, f, g, x, a, (i) + 7);                                    \
    } while (0)

static void block(uint32_t s[8], const uint8_t *p) /* 6.2.2 */
{
    uint32_t w[16];
    uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], x = s[7];

    for (int i = 0; i < 16; i++) {
        uint32_t v;
        memcpy(&v, p + 4 * i, 4);
        w[i] = __builtin_bswap32(v);
    }
    EIGHT(0);
    EIGHT(8);
    for (int i = 16; i < 64; i += 16) {
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++)
            w[j] += W0(w[(j + 1) & 15]) + w[(j + 9) & 15] + W1(w[(j + 14) & 15]);
        EIGHT(i);
        EIGHT(i + 8);
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e, s[5] += f, s[6] += g, s[7] += x;
}

void sha256(const void *data, size_t len, uint8_t digest[32])
{
    uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, /* 5.3.3 */
                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    const uint8_t *p = data;
    size_t left = len;

    for (; left >= 64; p += 64, left -= 64)
        block(h, p);
    uint8_t tail[128] = { 0 }; /* 5.1.1: a one bit, zeroes, the length in bits */
    size_t n = left < 56 ? 64 : 128;
    if (left)
        memcpy(tail, p, left);
    tail[left] = 0x80;
    for (int i = 0; i < 8; i++)
        tail[n - 1 - (size_t)i] = (uint8_t)((uint64_t)len * 8 >> (8 * i));
    for (size_t i = 0; i < n; i += 64)
        block(h, tail + i);
    for (int i = 0; i < 8; i++) {
        uint32_t v = __builtin_bswap32(h[i]);
        memcpy(digest + 4 * i, &v, 4);
    }
}
