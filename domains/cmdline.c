/* SPDX-License-Identifier: MIT */
/* The start info's command line: space-separated words, `key=value` or a bare `key`. */
#include "internal.h"
#include <string.h>

/* The last occurrence counts, so that what a configuration appends overrides what the builder wrote. */
bool cmdline_find(const char *text, const char *key, char *buf, size_t n)
{
    size_t klen = strlen(key);
    bool found = false;

    while (*text) {
        text += strspn(text, " \t\n");
        size_t len = strcspn(text, " \t\n");

        if (len >= klen && !memcmp(text, key, klen) && (len == klen || text[klen] == '=')) {
            const char *val = text + klen + (len > klen);
            size_t vlen = len - (size_t)(val - text);

            found = true;
            if (n) {
                if (vlen >= n)
                    vlen = n - 1;
                memcpy(buf, val, vlen);
                buf[vlen] = '\0';
            }
        }
        text += len;
    }
    return found;
}

bool cmdline_get(const char *key, char *buf, size_t n)
{
    return cmdline_find(self.cmdline, key, buf, n);
}
