/* SPDX-License-Identifier: MIT */
/*
 * The text of a configuration into settings: keys with a text or a list of texts each. The grammar is xl's (quotes, escapes, lists, lists in
 * lists, +=, comments), with what files of the first years have besides, which Python read: names that were set before, + - * %, and a text % its values.
 * No Python is run. After an error reading goes on with the next line that can be one, so that all errors of a file are said together.
 *
 * Pure: no hypercalls.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "config/findings.h"

#define SETTING_KEY    64
#define SETTINGS_MAX   256u
#define SETTINGS_ITEMS 64u            /* of a list */
#define SETTINGS_BYTES (1024u * 1024) /* of all texts */

struct item {
    struct item *next, *made; /* in its list; of all that there are */
    unsigned line;
    bool number; /* without quotes, and a number */
    bool bare;   /* without quotes, and nothing that was set */
    bool list;   /* a list in a list, whose texts are not kept */
    char text[];
};

struct setting {
    struct setting *next;
    unsigned line; /* 0: of the word `file` */
    const char *file;
    bool list;
    bool used;   /* another one has its value */
    bool word;   /* of the command */
    unsigned nr; /* of its items */
    struct item *items;
    char key[SETTING_KEY];
};

struct settings {
    struct findings *found;
    bool (*is_key)(const char *name); /* its later value counts, not that of the command's word */
    struct setting *first;
    struct item *made;
    size_t bytes;
    unsigned nr;
};

/* All of a file (line 1 on) or of one word of the command, whose name then is the word. What is wrong stands in found. */
void settings_read(struct settings *s, const char *file, const char *text, size_t len);
void settings_word(struct settings *s, const char *word);
void settings_free(struct settings *s);

/* NULL: it is not set. */
static inline struct setting *settings_find(const struct settings *s, const char *key)
{
    for (struct setting *set = s->first; set; set = set->next)
        if (!strcmp(set->key, key))
            return set;
    return NULL;
}

/* The number that the whole text is, in C's forms; false: it is none. */
bool setting_number(const char *text, long *v);
