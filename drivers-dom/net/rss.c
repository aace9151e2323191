/* SPDX-License-Identifier: MIT */
/* Which flow a frame belongs to: see rss.h. */
#include "rss.h"
#include <string.h>
#include "pkt.h"

/* The 40 bytes of the key, as words. */
static const uint32_t key[] = { 0x6d5a56da, 0x255b0ec2, 0x4167253d, 0x43a38fb0, 0xd0ca2bcb,
                                0xae7b30b4, 0x77cb2da3, 0x8030f20c, 0x6a42b73b, 0xbeac01fa };
#define RSS_MAX 36u /* bytes: two addresses of IPv6 and two ports */
_Static_assert(RSS_MAX / 4 < ARRAY_SIZE(key), "the last word takes a look at one more");

/* Of n bytes, a multiple of four: the words that a frame has, in its order. */
static uint32_t toeplitz(const uint8_t *data, unsigned n)
{
    uint32_t hash = 0;

    for (unsigned i = 0; i < n / 4; i++) {
        uint64_t window = (uint64_t)key[i] << 32 | key[i + 1];
        uint32_t word;
        memcpy(&word, data + 4 * i, 4);
        word = __builtin_bswap32(word);
        /* The i-th bit from the left adds the 32 bits of the key that begin at the i-th. */
        while (word) {
            unsigned bit = (unsigned)__builtin_clz(word);
            hash ^= (uint32_t)(window << bit >> 32);
            word &= ~(0x80000000u >> bit);
        }
    }
    return hash;
}

/* addrs: where its addresses are, n bytes; off: where its payload begins, 0: nobody knows. */
static uint32_t hash_ip(const uint8_t *frame, unsigned len, unsigned addrs, unsigned n,
                        unsigned off, uint8_t proto)
{
    uint8_t data[RSS_MAX];

    if (addrs + n > len)
        return 0;
    memcpy(data, frame + addrs, n);
    if (!off || (proto != 6 && proto != 17) || off + 4 > len)
        return toeplitz(data, n);
    memcpy(data + n, frame + off, 4);
    return toeplitz(data, n + 4);
}

uint32_t rss_hash(const uint8_t *frame, unsigned len)
{
    unsigned type, at = frame_payload(frame, len, &type);
    uint8_t proto = 0;

    if (type == 0x86dd) {
        unsigned off = frame_ip6_transport(frame, len, at,
                                           &proto); /* a fragment is none of its protocols */
        return hash_ip(frame, len, at + 8, 32, off, proto);
    }
    if (type != 0x0800 || at + 20 > len)
        return 0;
    bool fragment = (frame[at + 6] & 0x3f) || frame[at + 7];
    return hash_ip(frame, len, at + 12, 8, fragment ? 0 : at + (frame[at] & 15) * 4u, frame[at + 9]);
}
