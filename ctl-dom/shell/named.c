/* SPDX-License-Identifier: MIT */
/* The domain that a command names. */
#include "console/console.h"
#include "domain/dom.h"
#include "shell/command.h"

struct dom *command_dom(const char *name)
{
    struct errbuf e;
    struct dom *d = dom_find(name, &e);

    if (!d)
        out("%s\n", e.s);
    return d;
}
