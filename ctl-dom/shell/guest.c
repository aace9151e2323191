/* SPDX-License-Identifier: MIT */
/* The guest that a command is to plug or poke something in. */
#include "console/console.h"
#include "domain/dom.h"
#include "shell/command.h"
#include "store/connection.h"

struct dom *command_guest(const char *name)
{
    struct dom *d = command_dom(name);

    if (d && d->cfg.role != BH_ROLE_GUEST)
        out("%s: is a service domain\n", d->cfg.name);
    else if (d && !store_up)
        out("%s: the store is not running\n", d->cfg.name);
    else
        return d;
    return NULL;
}
