/* SPDX-License-Identifier: MIT */
/* Heads of records in keep memory: whether one is whole, and how it is written so that a death in between leaves none. */
#include <keep_record.h>
#include <string.h>

/* Four bits a step: records are small and this runs once for each. */
uint32_t keep_crc(const void *p, size_t n)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    const uint8_t *b = p;
    uint32_t c = 0xffffffffu;

    while (n--) {
        c ^= *b++;
        c = c >> 4 ^ nibble[c & 15];
        c = c >> 4 ^ nibble[c & 15];
    }
    return ~c;
}

bool keep_record_valid(const void *rec, uint32_t magic, uint32_t version, size_t n)
{
    const uint32_t *w = rec;

    return w[0] == magic && w[2] == version && w[1] == keep_crc(w + 2, n - 8);
}

void keep_record_save(void *rec, const void *from, uint32_t magic, uint32_t version, size_t n)
{
    uint32_t *to = rec, word[KEEP_RECORD_MAX / 4];

    memcpy(word, from, n);
    word[0] = magic;
    word[2] = version;
    word[1] = keep_crc(word + 2, n - 8);
    SHARED_STORE(&to[0], 0u);
    for (size_t i = 1; i < n / 4; i++)
        SHARED_STORE(&to[i], word[i]);
    SHARED_STORE(&to[0], word[0]);
}
