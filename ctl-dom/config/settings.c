/* SPDX-License-Identifier: MIT */
/* Statements: a key, = or +=, a value; and what there is already of that key. */
#include "config/settings.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/settings_reader.h"

__attribute__((format(printf, 2, 3))) static void note(struct reader *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    finding_note(r->s->found, r->file, r->line, fmt, ap);
    va_end(ap);
}

void settings_free(struct settings *s)
{
    for (struct setting *set = s->first, *next; set; set = next) {
        next = set->next;
        free(set);
    }
    for (struct item *i = s->made, *next; i; i = next) {
        next = i->made;
        free(i);
    }
    s->first = NULL;
    s->made = NULL;
}

/* --- what is set ------------------------------------------------------------------------------------------ */
static struct setting *new_setting(struct reader *r)
{
    struct setting **end = &r->s->first,
                   *set = r->s->nr < SETTINGS_MAX ? calloc(1, sizeof(*set)) : NULL;

    if (!set) {
        reader_wrong(r, r->s->nr < SETTINGS_MAX ? "out of memory"
                                                : "there are 256 settings before it");
        return NULL;
    }
    memcpy(set->key, r->key, sizeof(set->key));
    while (*end)
        end = &(*end)->next;
    r->s->nr++;
    *end = set;
    return set;
}

static bool append(struct reader *r, struct setting *set, struct item *items, unsigned nr)
{
    struct item **end = &set->items;

    if (set->nr + nr > SETTINGS_ITEMS)
        return reader_wrong(r, "more than %u entries", SETTINGS_ITEMS);
    while (*end)
        end = &(*end)->next;
    *end = items;
    set->nr += nr;
    return true;
}

static bool join(struct reader *r, struct setting *set, const struct item *more)
{
    size_t len = strlen(set->items->text), add = strlen(more->text);
    struct item *i = reader_item(r, NULL, len + add);

    if (!i)
        return false;
    memcpy(i->text, set->items->text, len);
    memcpy(i->text + len, more->text, add);
    set->items = i;
    return true;
}

/* Words of one command that add up: pci=A pci=B. */
static bool adds_up(const struct reader *r, const struct setting *set)
{
    return r->word && set->word &&
           (!strcmp(set->key, "pci") || !strcmp(set->key, "vif") || !strcmp(set->key, "disk"));
}

static bool set_to(struct reader *r, bool more, bool list, struct item *items, unsigned nr)
{
    struct setting *set = settings_find(r->s, r->key);

    if (set && set->word && !r->word)
        return true; /* the command's word counts */
    if (set && adds_up(r, set)) {
        set->list = true;
        return append(r, set, items, nr);
    }
    if (set && more && set->list != list)
        return reader_wrong(r, "+= %s, where it is %s", list ? "a list" : "a text",
                            set->list ? "a list" : "a text");
    if (set && more)
        return list ? append(r, set, items, nr) : join(r, set, items);
    if (set && !r->word)
        note(r, "%s: line %u has it too, this one counts", r->key, set->line);
    if (!set)
        set = new_setting(r);
    if (!set)
        return false;
    set->line = r->line;
    set->file = r->file;
    set->word = r->word;
    set->list = list;
    set->items = items;
    set->nr = nr;
    return true;
}

/* --- statements ------------------------------------------------------------------------------------------- */
static bool list(struct reader *r, struct item **items, unsigned *nr)
{
    if (r->depth == DEPTH_MAX)
        return reader_wrong(r, "more than %u brackets in each other", DEPTH_MAX);
    r->p++;
    r->depth++;
    for (struct item **end = items;; end = &(*end)->next) {
        reader_skip(r, true);
        if (r->p == r->end)
            return reader_wrong(r, "the closing ] is missing");
        if (*r->p == ']')
            break;
        if (*nr == SETTINGS_ITEMS)
            return reader_wrong(r, "more than %u entries", SETTINGS_ITEMS);
        if (*r->p == '[') {
            struct item *inside = NULL;
            unsigned n = 0;
            if (!list(r, &inside, &n) || !(*end = reader_item(r, "", 0)))
                return false;
            (*end)->list = true;
        } else if (!(*end = reader_value(r))) {
            return false;
        }
        ++*nr;
        reader_skip(r, true);
        if (r->p < r->end && *r->p == ',')
            r->p++;
        else if (r->p < r->end && *r->p != ']')
            return reader_wrong(r, "expected , or ]");
    }
    r->p++;
    r->depth--;
    return true;
}

static bool is_python(const char *key, const struct reader *r)
{
    static const char *const words[] = { "import", "from",   "def",    "if",    "elif",
                                         "else:",  "else",   "for",    "while", "try:",
                                         "try",    "except", "print",  "with",  "class",
                                         "return", "del",    "global", "pass" };

    if (r->p < r->end && *r->p == '=')
        return false;
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(words[i], key))
            return true;
    return false;
}

static bool key(struct reader *r, bool *more)
{
    const char *start = r->p, *odd = reader_odd(r);
    char word[SETTING_KEY] = "";

    while (r->p < r->end && reader_is_word(*r->p))
        r->p++;
    size_t len = (size_t)(r->p - start);
    if (odd)
        return reader_wrong(r, "%s where a key is expected", odd);
    if (!len) {
        while (r->p < r->end && *r->p != '\n' && r->p - start < 10)
            r->p++;
        return reader_wrong(r, "expected key = value at '%.*s'", (int)(r->p - start), start);
    }
    if (len >= sizeof(word))
        return reader_wrong(r, "'%.20s...' is no key", start);
    memcpy(word, start, len);
    reader_skip(r, false);
    if (is_python(word, r))
        return reader_wrong(r, "'%s': this is Python, which is not run here, only settings are read",
                            word);
    *more = r->end - r->p > 1 && r->p[0] == '+' && r->p[1] == '=';
    r->p += *more;
    odd = reader_odd(r);
    if (r->p == r->end || *r->p != '=')
        return odd ? reader_wrong(r, "%s after '%s'", odd, word)
                   : reader_wrong(r, "expected = after '%s'", word);
    r->p++;
    memcpy(r->key, word, sizeof(r->key));
    return true;
}

/* What stands behind a value, where nothing should. */
static bool tail(struct reader *r)
{
    const char *odd = reader_odd(r);

    if (odd)
        return reader_wrong(r, "%s after the value", odd);
    if (*r->p == '\\')
        return reader_wrong(
            r,
            "a backslash after the value: a line does not go on behind it, a text in brackets or a += does");
    if (*r->p == '"' || *r->p == '\'')
        return reader_wrong(r, "unexpected text after the value: + joins texts");
    return reader_wrong(r, "unexpected text after the value");
}

static bool statement(struct reader *r)
{
    struct item *items = NULL;
    unsigned nr = 0, from = r->line;
    bool more = false;

    r->key[0] = '\0';
    r->depth = 0;
    if (!key(r, &more))
        return false;
    reader_skip(r, false);
    bool is_list = r->p < r->end && *r->p == '[';
    if (is_list ? !list(r, &items, &nr) : !(items = reader_value(r)))
        return false;
    reader_skip(r, false);
    if (r->p < r->end && *r->p != '\n' && *r->p != ';')
        return tail(r);
    unsigned to = r->line;
    r->line = from;
    (void)set_to(r, more, is_list, items,
                 is_list ? nr : 1); /* what is wrong with it is no matter of reading */
    r->line = to;
    return true;
}

static bool begins_statement(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    const char *word = p;
    while (p < end && reader_is_word(*p))
        p++;
    bool some = p > word;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    p += p < end && *p == '+';
    return some && end - p > 1 && p[0] == '=' && p[1] != '=';
}

/* The next line; after an error inside of brackets, the next that begins as a statement does. */
static void recover(struct reader *r)
{
    do {
        while (r->p < r->end && *r->p != '\n')
            r->p++;
        if (r->p == r->end)
            return;
        r->p++;
        r->line++;
    } while (r->depth && !begins_statement(r->p, r->end));
}

static void statements(struct reader *r)
{
    for (;;) {
        reader_skip(r, true);
        if (r->p == r->end)
            return;
        if (*r->p == ';')
            r->p++;
        else if (!statement(r))
            recover(r);
    }
}

/* --- files and words -------------------------------------------------------------------------------------- */
/* Whether it is text whose bytes are characters and whose lines end as ours do. */
static bool readable(struct reader *r)
{
    const unsigned char *p = (const unsigned char *)r->p;
    size_t len = (size_t)(r->end - r->p);

    if (len >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff) ||
                     (!p[0] != !p[1] && len > 3 && !p[0] == !p[2] && !p[1] == !p[3])))
        return reader_wrong(r, "the file is UTF-16: it has to be saved as UTF-8");
    if (len && memchr(p, '\r', len) && !memchr(p, '\n', len) &&
        ((const unsigned char *)memchr(p, '\r', len) - p) + 1 < (long)len)
        return reader_wrong(r, "its lines end in a carriage return without a line feed");
    if (len >= 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf)
        r->p += 3;
    return true;
}

void settings_read(struct settings *s, const char *file, const char *text, size_t len)
{
    struct reader r = { .s = s, .file = file, .p = text, .end = text + len, .line = 1 };

    if (readable(&r))
        statements(&r);
}

/* Behind a ; comes another key. */
static bool has_several(const struct settings *s, const char *text)
{
    for (const char *p = strchr(text, ';'); p; p = strchr(p, ';')) {
        char name[SETTING_KEY];
        p += 1 + strspn(p + 1, " \t");
        size_t len = strcspn(p, " \t=+");
        snprintf(name, sizeof(name), "%.*s", len < sizeof(name) ? (int)len : 0, p);
        if (begins_statement(p, p + strlen(p)) && s->is_key(name))
            return true;
    }
    return false;
}

/* Its value may go without quotes even if it has blanks: the shell took them off. */
void settings_word(struct settings *s, const char *word)
{
    struct reader r = { .s = s, .p = word, .end = word + strlen(word), .word = true };
    const char *eq = strchr(word, '=');
    size_t len = eq ? (size_t)(eq - word) : 0;
    bool more = len && word[len - 1] == '+';
    char name[SETTING_KEY]; /* of a long one its beginning, so that there is room for what is wrong with it */
    struct item *kept;

    snprintf(name, sizeof(name), strlen(word) < sizeof(name) ? "%s" : "%.60s...", word);
    r.file = name;
    kept = reader_item(&r, name, strlen(name));
    if (!kept)
        return;
    r.file = kept->text;
    while (len && (word[len - 1] == ' ' || word[len - 1] == '+'))
        len--;
    const char *value = eq ? eq + 1 + strspn(eq + 1, " \t") : "";
    if (!len) {
        reader_wrong(&r, "expected key=value");
    } else if (*value && strchr("[\"'", *value)) {
        statements(&r);
    } else if (has_several(s, value)) {
        statements(&r);
    } else if (len >= sizeof(r.key)) {
        reader_wrong(&r, "'%.20s...' is no key", word);
    } else {
        memcpy(r.key, word, len);
        struct item *i = reader_item(&r, eq + 1, strlen(eq + 1));
        long v;
        if (i)
            i->number = setting_number(i->text, &v);
        if (i)
            (void)set_to(&r, more, false, i, 1);
    }
}
