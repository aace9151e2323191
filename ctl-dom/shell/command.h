/* SPDX-License-Identifier: MIT */
/* The shell's commands. */
#pragma once

#define MAX_ARGS 16
struct command {
    const char *name, *args, *help;
    int min_args, max_args;
    void (*run)(int argc, char **argv); /* argv[0]: the command */
};
extern const struct command commands[];
extern const unsigned nr_commands;
void cmd_list(int argc, char **argv);
void cmd_info(int argc, char **argv);
void cmd_pci_assignable_list(int argc, char **argv);
void cmd_pci_list(int argc, char **argv);
void cmd_pci_attach(int argc, char **argv);
/* devinfo.c */
struct dom;
void driver_problem(const struct dom *b); /* prints a line about its device, if there is anything wrong */
void cmd_volumes(int argc, char **argv);
void cmd_block_list(int argc, char **argv);
void cmd_block_stats(int argc, char **argv);
void cmd_network_list(int argc, char **argv);
