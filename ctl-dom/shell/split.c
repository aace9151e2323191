/* SPDX-License-Identifier: MIT */
/* A line into words. Quotes around a whole word come off; inside a word (key="a b",
 * vif=['mac=...']) they stay for the parser. */
#include "shell/split.h"
#include <stddef.h>

int shell_split(char *line, char **argv, int max, const char **why)
{
    int n = 0;

    for (char *p = line;;) {
        while (*p == ' ' || *p == '\t')
            p++;
        if (!*p)
            return n;
        if (n == max) {
            *why = "too many words";
            return -1;
        }
        char whole = *p == '"' || *p == '\'' ? *p++ : 0, quote = whole;
        unsigned depth = 0;
        argv[n++] = p;
        for (; *p && (quote || depth || (*p != ' ' && *p != '\t')); p++) {
            if (quote && *p == quote) {
                quote = 0;
                if (whole)
                    break;
            } else if (!quote && (*p == '"' || *p == '\'')) {
                quote = *p;
            } else if (!quote && *p == '[') {
                depth++;
            } else if (!quote && *p == ']' && depth) {
                depth--;
            }
        }
        if (quote || depth) {
            *why = quote ? "the closing quote is missing" : "the closing ] is missing";
            return -1;
        }
        if (*p)
            *p++ = '\0';
    }
}
