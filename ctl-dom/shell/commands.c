/* SPDX-License-Identifier: MIT */
/* The groups in the order of `help`; which row a command's name means, and whether its words are as many as the row says. */
#include "shell/command.h"
#include <stdio.h>
#include <string.h>
#include "console/console.h"

#define HELP_WORDS 34 /* columns */

static bool cmd_help(int argc, char **argv);

static const struct command own[] = {
    { "help", "[COMMAND]", "this list, or how a command is used", 0, 1, cmd_help },
};
static const struct commands own_commands = COMMANDS(own);
/* NULL: it goes on with the one before. */
static const struct {
    const char *title;
    const struct commands *c;
} groups[] = {
    { NULL, &own_commands },
    { "Domains", &list_commands },
    { NULL, &name_commands },
    { NULL, &create_commands },
    { NULL, &domain_commands },
    { NULL, &signal_commands },
    { "Configurations", &config_commands },
    { NULL, &update_commands },
    { "CPUs and memory", &sched_commands },
    { NULL, &memory_commands },
    { NULL, &vcpus_commands },
    { "Devices", &pci_commands },
    { NULL, &block_commands },
    { NULL, &network_commands },
    { NULL, &vnet_commands },
    { "The store", &store_commands },
    { "Crashes", &crash_commands },
    { "The machine", &info_commands },
    { NULL, &top_commands },
    { NULL, &power_commands },
};

const struct command *command_find(const char *name)
{
    for (unsigned g = 0; g < ARRAY_SIZE(groups); g++)
        for (unsigned i = 0; i < groups[g].c->n; i++)
            if (!strcmp(groups[g].c->row[i].name, name))
                return &groups[g].c->row[i];
    return NULL;
}

const struct command *command_nth(unsigned i)
{
    for (unsigned g = 0; g < ARRAY_SIZE(groups); i -= groups[g++].c->n)
        if (i < groups[g].c->n)
            return &groups[g].c->row[i];
    return NULL;
}

static void help_of(const struct command *c)
{
    const char *example = command_example(c->name);

    out("%s %s\n  %s\n", c->name, c->args, c->help);
    if (example)
        out("  for example: %s\n", example);
}

/* One whose words are long has its sentence below them. */
static void help_row(const struct command *c)
{
    int n = (int)(strlen(c->name) + strlen(c->args)) + 1;

    out("  %s %s", c->name, c->args);
    if (n > HELP_WORDS)
        out("\n  %*s", HELP_WORDS, "");
    else
        out("%*s", HELP_WORDS - n, "");
    out(" %s\n", c->help);
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
    for (unsigned g = 0; g < ARRAY_SIZE(groups); g++) {
        if (groups[g].title)
            out("%s:\n", groups[g].title);
        for (unsigned i = 0; i < groups[g].c->n; i++)
            help_row(&groups[g].c->row[i]);
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
