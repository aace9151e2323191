/* SPDX-License-Identifier: MIT */
/* Commands that show what is in the store, under the names of Debian's xenstore-utils. Values are others': quoted. */
#include <errno.h>
#include <quote.h>
#include <stdlib.h>
#include <string.h>
#include "console/console.h"
#include "domain/dom.h"
#include "shell/command.h"

#define MAX_DEPTH 24u /* nobody needs more; a guest may have made more */

static char at[1024];

/* All below the first len characters of `at`. */
static void list(size_t len, unsigned depth)
{
    unsigned n;
    char **name = xs_ls(0, at, &n);

    if (!name)
        return;
    len = len > 1 ? len : 0;
    for (unsigned i = 0; i < n; i++) {
        size_t more = strlen(name[i]);
        if (len + 1 + more >= sizeof(at))
            continue;
        at[len] = '/';
        memcpy(at + len + 1, name[i], more + 1);
        char *value = xs_read(0, at);
        out("%*s%s = %s\n", (int)depth, "", QUOTED(name[i]),
            value ? QUOTED(value) : errno_text(-xs_error));
        free(value);
        if (depth < MAX_DEPTH)
            list(len + 1 + more, depth + 1);
    }
    at[len ? len : 1] = '\0';
    free(name);
}

static bool cmd_ls(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "/";
    unsigned n;

    if (strlcpy(at, path, sizeof(at)) >= sizeof(at))
        return false;
    char **name = xs_ls(0, at, &n);
    if (!name)
        out("%s: %s\n", path, errno_text(-xs_error));
    else
        list(strlen(at), 0);
    free(name);
    return true;
}

static bool cmd_read(int argc, char **argv)
{
    char *value = xs_read(0, argv[1]);

    (void)argc;
    out("%s%s%s\n", value ? QUOTED(value) : argv[1], value ? "" : ": ",
        value ? "" : errno_text(-xs_error));
    free(value);
    return true;
}

static const struct command rows[] = {
    { "xenstore-ls", "[PATH]", "what is in the store", 0, 1, cmd_ls },
    { "xenstore-read", "PATH", "one node", 1, 1, cmd_read },
};
const struct commands store_commands = COMMANDS(rows);
