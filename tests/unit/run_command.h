/* SPDX-License-Identifier: MIT */
/* Runs a command of one group as the shell would. The words may be changed, as the shell's are. */
#pragma once
#include <stdio.h>
#include <string.h>
#include "shell/command.h"

static inline bool run_command(const struct commands *g, int argc, const char *const *words)
{
    char copy[MAX_ARGS][1024], *argv[MAX_ARGS + 1] = { NULL };

    for (int i = 0; i < argc; i++) {
        snprintf(copy[i], sizeof(copy[i]), "%s", words[i]);
        argv[i] = copy[i];
    }
    for (unsigned i = 0; i < g->n; i++)
        if (!strcmp(g->row[i].name, words[0]))
            return argc - 1 >= g->row[i].min_args && argc - 1 <= g->row[i].max_args &&
                   g->row[i].run(argc, argv);
    return false;
}
/* RUN(block_commands, "block-list", "guest"); false: its usage would be shown. */
#define RUN(group, ...)                                                                  \
    run_command(&(group), sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *), \
                (const char *const[]){ __VA_ARGS__ })
