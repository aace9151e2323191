/* SPDX-License-Identifier: MIT */
/* Between the sources of settings.h: where reading is, and its parts. */
#pragma once
#include "config/settings.h"

#define TEXT_MAX  4095u /* characters of one text */
#define DEPTH_MAX 8u    /* of brackets in each other */

struct reader {
    struct settings *s;
    const char *file, *p, *end;
    unsigned line, depth;
    bool word;
    char key[SETTING_KEY];
};

/* What is wrong, with the key before it if there is one; false. */
bool reader_wrong(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Blanks and comments; line ends too when `lines`. */
void reader_skip(struct reader *r, bool lines);
bool reader_is_word(char c);
/* What stands there, if it is nothing that a file should have outside of texts; NULL: it is. Good until the next call. */
const char *reader_odd(const struct reader *r);
/* The text in quotes that begins there; NULL: it is none, which was said. */
struct item *reader_text(struct reader *r);
/* NULL: too long, or out of memory, which was said; text: NULL for one to be filled in. */
struct item *reader_item(struct reader *r, const char *text, size_t len);
/* A value that is no list; NULL: it is none, which was said. */
struct item *reader_value(struct reader *r);
