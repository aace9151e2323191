/* SPDX-License-Identifier: MIT */
/* The shell: its main loop is the control domain's, which serves everything else between two keys.
 */
#include "ctl.h"
#include "edit.h"
#include "shell.h"
#include "split.h"
#include <stdio.h>
#include <string.h>

#define LEAVE 0x1d /* Ctrl-] */

static struct edit edit;

struct edit *shell_edit(void) { return &edit; }

static const struct command *find(const char *name)
{
    for (unsigned i = 0; i < nr_commands; i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

static void run_line(char *line)
{
    char *argv[MAX_ARGS];
    const char *why = "";
    char **words = argv;
    int n = shell_split(line, argv, MAX_ARGS, &why);

    if (n < 0) {
        out("%s\n", why);
        return;
    }
    if (n && (!strcmp(words[0], "xl") || !strcmp(words[0], "xm") || !strcmp(words[0], "bh"))) {
        words++;
        n--;
    }
    if (!n)
        return;
    const struct command *c = find(words[0]);
    if (!c)
        out("%s: unknown command (help lists them)\n", words[0]);
    else if (n - 1 < c->min_args || n - 1 > c->max_args)
        out("usage: %s %s\n", c->name, c->args);
    else
        c->run(n, words);
}

static void begin(void)
{
    edit_start(&edit);
    con_set_mode(CON_EDITING);
}

static void console_left(void)
{
    /* Colours, margins, a hidden cursor, line-drawing letters are the guest's: the soft reset of a
     * VT220 (DECSTR) ends them. */
    static const char reset[] = "\x1b[!p\n";

    domcon_leave();
    con_write(reset, sizeof(reset) - 1);
    begin();
}

static void shell_key(unsigned char c)
{
    if (!edit_key(&edit, c))
        return;
    con_set_mode(CON_PLAIN);
    run_line(edit.line);
    if (!domcon_attached())
        begin();
}

/* Feeds the keyboard to whoever has it; stops when the attached domain takes no more. */
static void feed(void)
{
    int c;

    while ((c = con_peek()) >= 0) {
        if (!domcon_attached()) {
            con_getc();
            shell_key((unsigned char)c);
        } else if (c == LEAVE) {
            con_getc();
            console_left();
        } else if (domcon_key((unsigned char)c)) {
            con_getc();
        } else if (!con_skip_to(LEAVE)) { /* a domain that does not read must not keep the user from
                                             leaving */
            break;
        }
    }
    if (!domcon_attached())
        edit_flush(&edit);
}

void shell_run(void)
{
    edit_init(&edit, con_write, "bh> ");
    begin();
    for (;;) {
        feed();
        bool was_attached = domcon_attached() != NULL;
        bool more = supervisor_work();
        devs_work();
        if (was_attached && !domcon_attached())
            console_left();
        if (more || con_peek() < 0 || domcon_attached())
            turn(more ? now_ns() : 0);
    }
}
