/* SPDX-License-Identifier: MIT */
/* Nothing is read here, so nothing more than this is wanted of a library. */
#include "shell/json.h"
#include <stdbool.h>
#include <stdio.h>
#include "console/console.h"

static unsigned depth;
static bool some; /* the innermost has a member */

static void quoted(const char *s)
{
    char piece[8];

    out("\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            snprintf(piece, sizeof(piece), "\\%c", *s);
        else if (*s < ' ') /* also what is above ASCII: no more than a byte is known of it */
            snprintf(piece, sizeof(piece), "\\u%04x", (unsigned char)*s);
        else
            snprintf(piece, sizeof(piece), "%c", *s);
        out("%s", piece);
    }
    out("\"");
}

static void member(const char *key)
{
    if (depth)
        out("%s\n%*s", some ? "," : "", (int)(4 * depth), "");
    some = true;
    if (key) {
        quoted(key);
        out(": ");
    }
}

void json_open(const char *key, char bracket)
{
    member(key);
    out("%c", bracket);
    depth++;
    some = false;
}

void json_close(char bracket)
{
    depth--;
    if (some)
        out("\n%*s", (int)(4 * depth), "");
    out("%c", bracket);
    some = true;
    if (!depth)
        out("\n");
}

void json_text(const char *key, const char *val)
{
    member(key);
    quoted(val);
}

void json_number(const char *key, uint64_t val)
{
    member(key);
    out("%lu", val);
}
