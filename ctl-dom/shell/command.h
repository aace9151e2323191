/* SPDX-License-Identifier: MIT */
/*
 * The shell's commands. Each group of them is a file with a table at its end; commands.c lists the groups. A new command is a row there
 * and its function.
 */
#pragma once
#include <bh.h>

#define MAX_ARGS 16

struct command {
    const char *name, *args, *help; /* args and help: as `help` and a wrong use show them */
    int min_args, max_args;
    /* argv[0] is the command; false: its words are no use of it, and the usage is shown. */
    bool (*run)(int argc, char **argv);
};
struct commands {
    const struct command *row;
    unsigned n;
};
#define COMMANDS(rows)           \
    {                            \
        (rows), ARRAY_SIZE(rows) \
    }

/* The groups, in the order of `help`. */
extern const struct commands list_commands, name_commands, domain_commands, config_commands,
    sched_commands, memory_commands, vcpus_commands, info_commands, pci_commands, block_commands,
    network_commands, vnet_commands, store_commands, crash_commands, power_commands;
extern const struct commands create_commands, signal_commands, top_commands, update_commands;

const char *command_example(const char *name);        /* NULL: it has none */
const struct command *command_find(const char *name); /* NULL: there is none */
const struct command *command_nth(unsigned i);        /* of all */
/* Runs the command that argv[0] names, or says why not. */
void command_run(int argc, char **argv);
/* From a command: it is not over when its function returns. on() is asked by the job, each time that something came, until it says false; other work of
 * the job goes on between. */
void command_stays(bool (*on)(void));
bool command_is_on(void); /* for the job: asks that */
/* The domain of that name, number or UUID; NULL: there is none, which was said (_if: only written). */
struct dom *command_dom(const char *name);
/* A command that lists something of each domain that its words name. */
bool command_each(int argc, char **argv, void (*rows)(const struct dom *d));
/* Prints what there is to say of a configuration; why: what kept it from being read, if anything. */
struct findings;
void command_findings(const struct findings *found, const char *why);
/* The same of a guest, while the store runs. */
struct dom *command_guest(const char *name);
struct errbuf;
struct dom *command_dom_if(const char *name, struct errbuf *e);
/* Attaches its console, once it is told by which key that is left. */
void command_console(struct dom *d, unsigned char leave);
/* What a domain of the core's list is called here. */
struct bh_dominfo;
const char *command_name(const struct bh_dominfo *di);
