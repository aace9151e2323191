/* SPDX-License-Identifier: MIT */
/* The line editor. Screen state is only `left`: everything else is redrawn from the line. */
#include "console/edit.h"
#include <stdio.h>
#include <string.h>

static void put(struct edit *e, const char *s) { e->out(s, strlen(s)); }

static size_t width(const struct edit *e) { return EDIT_COLUMNS - 1 - strlen(e->prompt); }

/* With the cursor at the start of the screen's line. */
static void draw(struct edit *e)
{
    char move[16];
    size_t w = width(e);

    e->stale = false;
    if (e->cur < e->left)
        e->left = e->cur;
    if (e->cur > e->left + w)
        e->left = e->cur - w;
    size_t shown = e->len - e->left < w ? e->len - e->left : w;
    put(e, e->prompt);
    e->out(e->line + e->left, shown);
    put(e, "\x1b[K");
    if (e->cur - e->left != shown) {
        snprintf(move, sizeof(move), "\r\x1b[%uC", (unsigned)(strlen(e->prompt) + e->cur - e->left));
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

static void insert(struct edit *e, char c)
{
    if (e->len + 1 >= EDIT_MAX)
        return;
    memmove(e->line + e->cur + 1, e->line + e->cur, e->len - e->cur + 1);
    e->line[e->cur++] = c;
    e->len++;
    if (!e->stale && e->cur == e->len && e->len - e->left <= width(e))
        e->out(&c, 1); /* the common case: no redraw */
    else
        e->stale = true; /* text that is pasted in is drawn once */
}

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
    case 'C': move_to(e, e->cur < e->len ? e->cur + 1 : e->cur); break;
    case 'D': move_to(e, e->cur ? e->cur - 1 : 0); break;
    case 'H': move_to(e, 0); break;
    case 'F': move_to(e, e->len); break;
    case '~':
        if (e->esc_arg == 1 || e->esc_arg == 7)
            move_to(e, 0);
        else if (e->esc_arg == 4 || e->esc_arg == 8)
            move_to(e, e->len);
        else if (e->esc_arg == 3 && e->cur < e->len)
            cut(e, e->cur, e->cur + 1);
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
    case 4:
        if (e->cur < e->len)
            cut(e, e->cur, e->cur + 1);
        break;
    case 5: move_to(e, e->len); break;
    case 6: final(e, 'C'); break;
    case 8:
    case 127: cut(e, e->cur ? e->cur - 1 : 0, e->cur); break;
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

/* A byte above ASCII. C1 controls, bare or in UTF-8, are ESC and a letter in one byte (ECMA-48 5.3); the rest is a letter that the
 * line does not take. */
static void high(struct edit *e, unsigned char c)
{
    if (c >= 0xc0) {
        e->utf8 = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        e->c1 = c == 0xc2;
    } else if (e->utf8 && !(e->c1 && c < 0xa0)) {
        e->utf8--;
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
