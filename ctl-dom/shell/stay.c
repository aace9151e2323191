/* SPDX-License-Identifier: MIT */
/* The command that is not over when its function returns: there is one at most, as there is one command. */
#include <stddef.h>
#include "shell/command.h"

static bool (*stays)(void);

void command_stays(bool (*on)(void)) { stays = on; }

bool command_is_on(void)
{
    if (stays && stays())
        return true;
    stays = NULL;
    return false;
}
