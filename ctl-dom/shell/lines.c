/* SPDX-License-Identifier: MIT */
/* An editor of its own, so that the history of the shell's stays one of commands. */
#include "shell/lines.h"
#include <stdlib.h>
#include <string.h>
#include "console/console.h"
#include "console/edit.h"
#include "shell/command.h"

#define CTRL_C 3
#define CTRL_D 4

static struct edit edit;
static char *text;
static size_t len, room;
static bool cut; /* the line is longer than the editor holds */
static void (*when_over)(const char *text, size_t len);

static void end(bool good)
{
    con_set_mode(CON_PLAIN);
    if (text)
        text[len] = '\0';
    when_over(good ? text : NULL, len);
    free(text);
    text = NULL;
}

/* Another line is complete. True: it is over. */
static bool line(void)
{
    size_t n = edit.len;

    if (!strcmp(edit.line, ".")) {
        end(true);
        return true;
    }
    if (cut || n + 1 > room - len) {
        if (cut)
            out("a line has %d characters at most\n", EDIT_MAX - 1);
        else
            out("all lines have %zu characters at most\n", room);
        end(false);
        return true;
    }
    memcpy(text + len, edit.line, n);
    len += n;
    text[len++] = '\n';
    edit_start(&edit);
    return false;
}

/* True: it is over. */
static bool key(unsigned char c)
{
    if (c == CTRL_C && !edit.esc) {
        out("\n");
        end(false);
        return true;
    }
    if (c == CTRL_D && !edit.len) {
        out("\n");
        end(true);
        return true;
    }
    if (c == '\t' && !edit.esc)
        c = ' ';
    cut |= !edit.esc && c >= ' ' && c != 127 &&
           edit.len + (c < 128 ? 1 : 3) >= EDIT_MAX; /* a letter may be three bytes */
    return edit_key(&edit, c) && line();
}

static bool going_on(void)
{
    int c;

    while ((c = con_peek()) >= 0) {
        con_getc();
        if (key((unsigned char)c))
            return false;
    }
    edit_flush(&edit);
    return true;
}

void lines_take(const char *prompt, size_t most, void (*over)(const char *text, size_t len))
{
    when_over = over;
    len = 0;
    room = most;
    cut = false;
    text = malloc(most + 1);
    if (!text) {
        out("out of memory\n");
        over(NULL, 0);
        return;
    }
    edit_init(&edit, con_write, prompt);
    con_edits(&edit);
    edit_start(&edit);
    con_set_mode(CON_EDITING);
    command_stays(going_on);
}
