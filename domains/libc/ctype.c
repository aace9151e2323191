/* SPDX-License-Identifier: MIT */
/* The table behind glibc's <ctype.h> (LSB 5.0, __ctype_b_loc), which static archives look into: classes of the characters -128 to 255. */
#include <ctype.h>
#include <stdint.h>

const uint16_t **__ctype_b_loc(void);
const uint16_t **__ctype_b_loc(void)
{
    static uint16_t table[384];
    static const uint16_t *at;

    for (int c = 0; !at && c < 128; c++)
        table[128 + c] = (uint16_t)(isupper(c) << 8 | islower(c) << 9 | isalpha(c) << 10 |
                                    isdigit(c) << 11 | isxdigit(c) << 12 | isspace(c) << 13 |
                                    isprint(c) << 14 | isgraph(c) << 15 | (c == ' ' || c == '\t') |
                                    iscntrl(c) << 1 | ispunct(c) << 2 | isalnum(c) << 3);
    at = table + 128;
    return &at;
}
