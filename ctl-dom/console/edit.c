/* SPDX-License-Identifier: MIT */
/* The line editor. Screen state is only `left`: everything else is redrawn from the line. */
#include "console/edit.h"
#include <stdio.h>
#include <string.h>

static void put(struct edit *e, const char *s) { e->out(s, strlen(s)); }

static size_t width(const struct edit *e) { return EDIT_COLUMNS - 1 - strlen(e->prompt); }

/* Letters above ASCII are two or three bytes of UTF-8; each has one column (high). */
static bool is_inside(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

static size_t next(const struct edit *e, size_t at)
{
    if (at < e->len)
        at++;
    while (at < e->len && is_inside(e->line[at]))
        at++;
    return at;
}

static size_t before(const struct edit *e, size_t at)
{
    if (at)
        at--;
    while (at && is_inside(e->line[at]))
        at--;
    return at;
}

static size_t columns(const struct edit *e, size_t from, size_t to)
{
    size_t n = 0;

    for (; from < to; from++)
        n += !is_inside(e->line[from]);
    return n;
}

/* With the cursor at the start of the screen's line. */
static void draw(struct edit *e)
{
    char move[16];
    size_t w = width(e), end;

    e->stale = false;
    if (e->cur < e->left)
        e->left = e->cur;
    for (size_t n = columns(e, e->left, e->cur); n > w; n--)
        e->left = next(e, e->left);
    end = e->left;
    for (size_t n = 0; n < w && end < e->len; n++)
        end = next(e, end);
    put(e, e->prompt);
    e->out(e->line + e->left, end - e->left);
    put(e, "\x1b[K");
    if (e->cur != end) {
        snprintf(move, sizeof(move), "\r\x1b[%uC",
                 (unsigned)(strlen(e->prompt) + columns(e, e->left, e->cur)));
        put(e, move);
    }
}

static void redraw(struct edit *e)
{
    put(e, "\r");
    draw(e);
}

void edit_init(struct edit *e, void (*out)(const char *s, size_t len), const char *prompt)
{
    memset(e, 0, sizeof(*e));
    e->out = out;
    e->prompt = prompt;
}

void edit_start(struct edit *e)
{
    e->len = e->cur = e->left = 0;
    e->back = 0;
    e->esc = 0;
    e->line[0] = '\0';
    put(e, e->prompt);
}

void edit_flush(struct edit *e)
{
    if (e->stale)
        redraw(e);
}

void edit_hide(struct edit *e) { put(e, "\r\x1b[K"); }

void edit_show(struct edit *e) { draw(e); }

static void insert_bytes(struct edit *e, const char *s, size_t n)
{
    if (e->len + n >= EDIT_MAX)
        return;
    memmove(e->line + e->cur + n, e->line + e->cur, e->len - e->cur + 1);
    memcpy(e->line + e->cur, s, n);
    e->cur += n;
    e->len += n;
    if (!e->stale && e->cur == e->len && columns(e, e->left, e->len) <= width(e))
        e->out(s, n); /* the common case: no redraw */
    else
        e->stale = true; /* text that is pasted in is drawn once */
}

static void insert(struct edit *e, char c) { insert_bytes(e, &c, 1); }

static void cut(struct edit *e, size_t from, size_t to)
{
    if (from >= to)
        return;
    memmove(e->line + from, e->line + to, e->len - to + 1);
    e->len -= to - from;
    e->cur = from;
    redraw(e);
}

static void set_line(struct edit *e, const char *s)
{
    snprintf(e->line, sizeof(e->line), "%s", s);
    e->len = e->cur = strlen(e->line);
    e->left = 0;
    redraw(e);
}

static void walk_history(struct edit *e, bool older)
{
    unsigned kept = e->nr_history < EDIT_HISTORY ? e->nr_history : EDIT_HISTORY;

    if (older ? e->back == kept : e->back == 0)
        return;
    if (e->back == 0)
        memcpy(e->saved, e->line, sizeof(e->saved));
    e->back = older ? e->back + 1 : e->back - 1;
    set_line(e, e->back ? e->history[(e->nr_history - e->back) % EDIT_HISTORY] : e->saved);
}

static void remember(struct edit *e)
{
    if (!e->len ||
        (e->nr_history && !strcmp(e->history[(e->nr_history - 1) % EDIT_HISTORY], e->line)))
        return;
    memcpy(e->history[e->nr_history++ % EDIT_HISTORY], e->line, EDIT_MAX);
}

static void move_to(struct edit *e, size_t at)
{
    if (at == e->cur)
        return;
    e->cur = at;
    redraw(e);
}

static void final(struct edit *e, unsigned char c)
{
    switch (c) {
    case 'A': walk_history(e, true); break;
    case 'B': walk_history(e, false); break;
    case 'C': move_to(e, next(e, e->cur)); break;
    case 'D': move_to(e, before(e, e->cur)); break;
    case 'H': move_to(e, 0); break;
    case 'F': move_to(e, e->len); break;
    case '~':
        if (e->esc_arg == 1 || e->esc_arg == 7)
            move_to(e, 0);
        else if (e->esc_arg == 4 || e->esc_arg == 8)
            move_to(e, e->len);
        else if (e->esc_arg == 3)
            cut(e, e->cur, next(e, e->cur));
        break;
    default: break; /* a key that means nothing here */
    }
}

/* What a terminal sends is swallowed whole, also what means nothing here (answers to what a guest asked it). ECMA-48: a control
 * sequence is ESC [, parameters 30..3F, intermediates 20..2F, a final 40..7E (5.4); a control string is ESC and one of P X ] ^ _
 * (DCS, SOS, OSC, PM, APC) up to ESC \ or, as xterm has it for OSC, BEL (5.6); ESC with intermediates ends with 30..7E (5.3.3). And
 * the application keypad's ESC O final. CAN and SUB end anything; an ESC begins anew. */
enum esc {
    ESC_NONE,
    ESC_BEGUN,
    ESC_CSI,
    ESC_KEYPAD,
    ESC_STRING,
    ESC_STRING_END,
    ESC_OTHER,
    ESC_MOUSE
};

static enum esc begun(unsigned char c)
{
    switch (c) {
    case '[': return ESC_CSI;
    case 'O': return ESC_KEYPAD;
    case 'P':
    case 'X':
    case ']':
    case '^':
    case '_': return ESC_STRING;
    case 27: return ESC_BEGUN;
    default: return c >= 0x20 && c <= 0x2f ? ESC_OTHER : ESC_NONE;
    }
}

static enum esc csi(struct edit *e, unsigned char c)
{
    if (c >= '0' && c <= '9' && !e->esc_odd)
        e->esc_arg = e->esc_arg * 10 % 1000 + (c - '0');
    else if (c < 0x20 || c > 0x7e)
        return ESC_NONE;
    else if (c < 0x40)
        e->esc_odd |= c != ';'; /* private parameters, intermediates: no key of ours */
    else if (c == 'M' && !e->esc_arg && !e->esc_odd) {
        e->esc_arg = 3; /* xterm's mouse without mode 1006: three bytes of any kind follow */
        return ESC_MOUSE;
    } else {
        if (!e->esc_odd)
            final(e, c);
        return ESC_NONE;
    }
    return ESC_CSI;
}

static enum esc escape(struct edit *e, unsigned char c)
{
    if (e->esc == ESC_MOUSE)
        return --e->esc_arg ? ESC_MOUSE : ESC_NONE;
    if (c == 0x18 || c == 0x1a)
        return ESC_NONE;
    if (e->esc == ESC_STRING_END)
        return c == '\\' ? ESC_NONE : begun(c);
    if (c == 27)
        return e->esc == ESC_STRING ? ESC_STRING_END : ESC_BEGUN;
    switch (e->esc) {
    case ESC_BEGUN:
        e->esc_arg = 0;
        e->esc_odd = false;
        return begun(c);
    case ESC_CSI: return csi(e, c);
    case ESC_KEYPAD: final(e, c); return ESC_NONE;
    case ESC_STRING:
        return c == 7 || c == 3 ? ESC_NONE : ESC_STRING; /* ^C: who pressed ESC and P by hand */
    case ESC_OTHER: return c >= 0x20 && c <= 0x2f ? ESC_OTHER : ESC_NONE;
    default: return ESC_NONE;
    }
}

static size_t word_start(const struct edit *e)
{
    size_t at = e->cur;
    while (at && e->line[at - 1] == ' ')
        at--;
    while (at && e->line[at - 1] != ' ')
        at--;
    return at;
}

/* --- Tab -------------------------------------------------------------------------------------- */
#define OFFER_WIDTH 20u

static size_t typed_from(const struct edit *e)
{
    size_t at = e->cur;

    while (at && e->line[at - 1] != ' ')
        at--;
    return at;
}

static bool fits(const struct edit *e, const char *word)
{
    size_t from = typed_from(e), len = strlen(word);

    for (const char *p = word; *p; p++)
        if (*p <= ' ' || *p > '~') /* words of others are among them: none is more than a word */
            return false;
    return len && len < EDIT_WORD && !strncmp(word, e->line + from, e->cur - from);
}

/* In columns; nr_offers: where the row ends. */
static void show_offer(struct edit *e, const char *word)
{
    char text[2 * EDIT_COLUMNS];
    unsigned at = e->nr_offers ? (e->nr_offers / OFFER_WIDTH + 1) * OFFER_WIDTH : 0;
    unsigned len = (unsigned)strlen(word);

    if (len > EDIT_COLUMNS - 2)
        len = EDIT_COLUMNS - 2;
    if (at + len > EDIT_COLUMNS - 2) {
        put(e, "\n");
        at = e->nr_offers = 0;
    }
    snprintf(text, sizeof(text), "%*s%.*s", (int)(at - e->nr_offers), "", (int)len, word);
    put(e, text);
    e->nr_offers = at + len;
}

void edit_offer(struct edit *e, const char *word)
{
    size_t n = 0;

    if (!fits(e, word))
        return;
    if (e->listing) {
        show_offer(e, word);
        return;
    }
    if (!e->nr_offers++)
        snprintf(e->common, sizeof(e->common), "%s", word);
    while (word[n] && e->common[n] == word[n])
        n++;
    e->common[n] = '\0';
}

/* A whole word has a blank behind it, unless more of it follows. */
static void go_on(struct edit *e, size_t typed)
{
    size_t len = strlen(e->common);

    for (size_t i = typed; i < len; i++)
        insert(e, e->common[i]);
    if (e->nr_offers == 1 && len && !strchr(":=/,", e->common[len - 1]) && e->line[e->cur] != ' ')
        insert(e, ' ');
    edit_flush(e);
}

void edit_complete(struct edit *e, void (*offers)(struct edit *e))
{
    size_t typed = e->cur - typed_from(e);

    e->tab = e->listing = false;
    e->nr_offers = 0;
    offers(e);
    if (!e->nr_offers)
        return;
    if (e->nr_offers == 1 || strlen(e->common) > typed) {
        go_on(e, typed);
        return;
    }
    e->listing = true;
    e->nr_offers = 0;
    put(e, "\n");
    offers(e);
    put(e, "\n");
    draw(e);
}

static bool control(struct edit *e, unsigned char c)
{
    switch (c) {
    case '\r':
    case '\n':
        remember(e);
        edit_flush(e);
        put(e, "\n");
        return true;
    case 3: /* ^C */
        edit_flush(e);
        e->line[0] = '\0';
        e->len = e->cur = 0;
        put(e, "\n");
        return true;
    case 1: move_to(e, 0); break;
    case 2: final(e, 'D'); break;
    case 4: cut(e, e->cur, next(e, e->cur)); break;
    case 5: move_to(e, e->len); break;
    case 6: final(e, 'C'); break;
    case 9:
        edit_flush(e);
        e->tab = true;
        return true;
    case 8:
    case 127: cut(e, before(e, e->cur), e->cur); break;
    case 11: cut(e, e->cur, e->len); break;
    case 12: redraw(e); break;
    case 14: walk_history(e, false); break;
    case 16: walk_history(e, true); break;
    case 21: cut(e, 0, e->cur); break;
    case 23: cut(e, word_start(e), e->cur); break;
    case 27: e->esc = ESC_BEGUN; break;
    default: break;
    }
    return false;
}

/* What is surely one column wide, and changes nothing of what stands around it: Latin, Greek, Cyrillic and Armenian letters, the marks of
 * Western texts, currencies. No combining, no wide and no turned letters. */
static bool is_letter(unsigned c)
{
    return (c >= 0xa0 && c < 0x300 && c != 0xad) || (c >= 0x370 && c < 0x483) ||
           (c >= 0x48a && c < 0x590) || (c >= 0x1e00 && c < 0x2000) ||
           (c >= 0x2010 && c < 0x2028) || (c >= 0x2030 && c < 0x205f) || (c >= 0x20a0 && c < 0x20c0);
}

/* It is whole. Within a sequence it is a part of that. */
static void letter(struct edit *e)
{
    const char bytes[] = { (char)(0xc0 | e->code >> 6), (char)(0x80 | (e->code & 0x3f)) };
    const char three[] = { (char)(0xe0 | e->code >> 12), (char)(0x80 | (e->code >> 6 & 0x3f)),
                           (char)(0x80 | (e->code & 0x3f)) };

    if (!is_letter(e->code) || e->code < e->least || e->esc)
        return;
    if (e->code < 0x800)
        insert_bytes(e, bytes, sizeof(bytes));
    else
        insert_bytes(e, three, sizeof(three));
}

/* A byte above ASCII. C1 controls, bare or in UTF-8, are ESC and a letter in one byte (ECMA-48 5.3); the rest is a part of a letter. */
static void high(struct edit *e, unsigned char c)
{
    if (c >= 0xc0) {
        e->utf8 = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        e->c1 = c == 0xc2;
        e->code = c & (0x3fu >> e->utf8);
        e->least = e->utf8 == 1 ? 0x80 : e->utf8 == 2 ? 0x800 : 0x10000;
    } else if (e->utf8 && !(e->c1 && c < 0xa0)) {
        e->code = e->code << 6 | (c & 0x3fu);
        if (!--e->utf8)
            letter(e);
    } else {
        e->utf8 = 0;
        if (c < 0xa0) {
            e->esc = e->esc ? escape(e, 27) : ESC_BEGUN;
            e->esc = escape(e, c - 0x40);
        }
    }
}

bool edit_key(struct edit *e, unsigned char c)
{
    if (c >= 128 && e->esc != ESC_MOUSE) {
        high(e, c);
        return false;
    }
    e->utf8 = 0;
    if (e->esc) {
        e->esc = escape(e, c);
        return false;
    }
    if (c >= 32 && c < 127) {
        insert(e, (char)c);
        return false;
    }
    return control(e, c);
}
