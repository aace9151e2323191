/* SPDX-License-Identifier: MIT */
/* The groups in the order of `help`; which row a command's name means, and whether its words are as many as the row says. */
#include "shell/command.h"
#include <stdio.h>
#include <string.h>
#include "console/console.h"

static bool cmd_help(int argc, char **argv);

static const struct command own[] = {
    { "help", "[COMMAND]", "this list, or how a command is used", 0, 1, cmd_help },
};
static const struct commands own_commands = COMMANDS(own);
static const struct commands *const groups[] = {
    &own_commands,    &list_commands,  &name_commands,   &create_commands, &domain_commands,
    &config_commands, &sched_commands, &memory_commands, &vcpus_commands,  &info_commands,
    &signal_commands, &top_commands,   &pci_commands,    &block_commands,  &network_commands,
    &store_commands,  &crash_commands, &power_commands,  &update_commands,
};

const struct command *command_find(const char *name)
{
    for (unsigned g = 0; g < ARRAY_SIZE(groups); g++)
        for (unsigned i = 0; i < groups[g]->n; i++)
            if (!strcmp(groups[g]->row[i].name, name))
                return &groups[g]->row[i];
    return NULL;
}

const struct command *command_nth(unsigned i)
{
    for (unsigned g = 0; g < ARRAY_SIZE(groups); i -= groups[g++]->n)
        if (i < groups[g]->n)
            return &groups[g]->row[i];
    return NULL;
}

static void help_of(const struct command *c)
{
    const char *example = command_example(c->name);

    out("%s %s\n  %s\n", c->name, c->args, c->help);
    if (example)
        out("  for example: %s\n", example);
}

static bool cmd_help(int argc, char **argv)
{
    const struct command *one = argc > 1 ? command_find(argv[1]) : NULL;

    if (one)
        help_of(one);
    else if (argc > 1)
        out("%s: unknown command (help lists them)\n", argv[1]);
    if (argc > 1)
        return true;
    for (unsigned g = 0; g < ARRAY_SIZE(groups); g++)
        for (unsigned i = 0; i < groups[g]->n; i++) {
            const struct command *c = &groups[g]->row[i];
            char left[48];
            snprintf(left, sizeof(left), "%s %s", c->name, c->args);
            out("  %-34s %s\n", left, c->help);
        }
    return true;
}

/* What people type to get out, or to end the machine. */
static bool is_end(const char *name)
{
    static const char *const words[] = { "exit", "quit", "logout", "poweroff", "halt" };

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        if (!strcmp(words[i], name))
            return true;
    return false;
}

void command_run(int argc, char **argv)
{
    const struct command *c = command_find(argv[0]);

    if (!c)
        out("%s: unknown command (%s)\n", argv[0],
            is_end(argv[0]) ? "the shell does not end; machine poweroff ends the machine"
                            : "help lists them");
    else if (argc - 1 < c->min_args || argc - 1 > c->max_args || !c->run(argc, argv))
        out("usage: %s %s\n", c->name, c->args);
}
