// SPDX-License-Identifier: MIT
// Formatting that the core and the domains share, against the C library's.
#include <limits.h>
#include "unit.h"

#define vsnprintf bh_vsnprintf
#define snprintf  bh_snprintf
#include "../../common/format.c"
#undef vsnprintf
#undef snprintf

#define SAME(...)                                                                                \
    do {                                                                                         \
        char a[256], b[256];                                                                     \
        int x = snprintf(a, sizeof(a), __VA_ARGS__), y = bh_snprintf(b, sizeof(b), __VA_ARGS__); \
        assert_string_equal(a, b);                                                               \
        assert_int_equal(x, y);                                                                  \
    } while (0)

TEST(formats_like_the_library)
{
    SAME("plain %%");
    SAME("%d %i %i %d %u %x %X", -1, 42, INT_MIN, INT32_MIN, UINT_MAX, 0xbeefu, 0xbeefu);
    SAME("%5d|%-5d|%05d|%05d|%+d|% d|%*d", 42, 42, 42, -42, 42, 42, 6, 7);
    SAME("%8x|%-8x|%08x|%#x %#X|%016lx|%#o %o", 0xabc, 0xabc, 0xabc, 0xabc, 0xabc, 0xabcul, 8, 8);
    SAME("%ld %lu %lx %llx %zu %jd", LONG_MIN, ULONG_MAX, ULONG_MAX, 1ull << 63, (size_t)77,
         (intmax_t)-1);
    SAME("%hhd %hu %hhx", 300, 70000, 0x1ff);
    SAME("%s|%10s|%-10s|%.2s|%.*s|%*s", "abc", "abc", "abc", "abc", 1, "abc", 6, "abc");
    SAME("%c%c|%3c %%", 'a', 'b', 'c');
    SAME("%.5d|%8.3d|%-8.3d|%.0d", 42, 42, 42, 0);
    SAME("%p", (void *)0x1234);
}

TEST(never_writes_past_the_end)
{
    char b[8] = "\x7f\x7f\x7f\x7f\x7f\x7f\x7f";
    assert_int_equal(bh_snprintf(b, 4, "%s", "abcdef"), 6);
    assert_string_equal(b, "abc");
    assert_int_equal(b[4], 0x7f);
    assert_int_equal(bh_snprintf(NULL, 0, "%d", 12345), 5);
}
