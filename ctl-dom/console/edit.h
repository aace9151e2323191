/* SPDX-License-Identifier: MIT */
/*
 * Line editing for a VT100-like terminal of 80 columns: arrows, Home, End, Delete, backspace, ^A ^E
 * ^B ^F ^K ^U ^W ^C ^L ^P ^N, history, Tab; letters also in UTF-8. A line longer than the screen scrolls sideways. The terminal
 * is reached by one function, so that the unit test can be the terminal.
 *
 * Pure: no hypercalls.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define EDIT_MAX     1024 /* with the NUL */
#define EDIT_HISTORY 32
#define EDIT_COLUMNS 80
#define EDIT_WORD    160

struct edit {
    void (*out)(const char *s, size_t len);
    const char *prompt;
    char line[EDIT_MAX];
    size_t len, cur;
    size_t left; /* first character shown */
    char history[EDIT_HISTORY][EDIT_MAX];
    unsigned nr_history;  /* entries made so far; slot = number % EDIT_HISTORY */
    unsigned back;        /* how many entries back the line shown is; 0: the new line */
    char saved[EDIT_MAX]; /* the new line while history is shown */
    bool stale;           /* the screen is behind the line */
    unsigned esc;         /* state of an escape sequence */
    unsigned esc_arg;
    bool esc_odd;         /* it is no key of ours */
    unsigned utf8;        /* bytes that are left of a character */
    unsigned code, least; /* what came of it, and what its length begins with */
    bool c1;              /* it may be a C1 control */
    bool tab;             /* Tab was pressed */
    /* of the words that are offered for it */
    char common[EDIT_WORD]; /* what they begin with */
    unsigned nr_offers;
    bool listing;
};

void edit_init(struct edit *e, void (*out)(const char *s, size_t len), const char *prompt);
/* Starts a line: prints the prompt. */
void edit_start(struct edit *e);
/* One byte from the keyboard. True when a line is complete: it is in e->line (empty after ^C); call
 * edit_start for the next. Or, with e->tab: call edit_complete. */
bool edit_key(struct edit *e, unsigned char c);
/* The word before the cursor goes on as those of the words offered do that begin like it; where they part they are shown. offers calls edit_offer for each
 * that may stand there, whatever it begins with, the same ones twice if it is called twice. */
void edit_complete(struct edit *e, void (*offers)(struct edit *e));
void edit_offer(struct edit *e, const char *word);
/* To be called when no more keys wait: draws what was put off. */
void edit_flush(struct edit *e);
/* Takes the line off the screen, and puts it back: around output that comes in between. */
void edit_hide(struct edit *e);
void edit_show(struct edit *e);
