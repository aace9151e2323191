/* SPDX-License-Identifier: MIT */
/* Two rings: what the keyboard sent, and what waits for room in the core (which waits for the wire). What other parts of the domain say while a
 * guest's console is on the screen is held until it is left. */
#include "console/console.h"
#include <bh.h>
#include <bulkhead.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "console/edit.h"
#include "domain/dom.h"

#define INPUT_SIZE 4096u
#define HELD_SIZE  8192u
#define WRITE_MAX  1024u
#define OUT_SIZE   65536u

static enum con_mode mode = CON_PLAIN;
static struct edit *edited; /* in mode EDITING */
static uint8_t input[INPUT_SIZE];
static uint32_t in_head, in_tail;   /* free running */
static char output[OUT_SIZE];       /* waits for room in the core, which waits for the wire */
static uint32_t out_head, out_tail; /* free running */
static char held[HELD_SIZE];
static size_t held_len;
static unsigned held_lost; /* lines that found it full */
static bool log_waiting;
static uint64_t log_pos;

/* As much as the core takes: it tells by VIRQ_CONSOLE when it takes more. */
static void flush_output(void)
{
    while (out_tail != out_head) {
        uint32_t at = out_tail % OUT_SIZE, n = out_head - out_tail;
        if (n > OUT_SIZE - at)
            n = OUT_SIZE - at;
        if (n > WRITE_MAX)
            n = WRITE_MAX;
        long left = hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, n, (uint64_t)output + at, 0);
        if (left < 0 || left > n) /* not ours: nobody will ever take it */
            left = 0;
        out_tail += n - (uint32_t)left;
        if (left)
            return;
    }
}

size_t con_busy(void) { return out_head - out_tail; }

void con_write(const char *s, size_t len)
{
    while (len) {
        uint32_t at = out_head % OUT_SIZE, n = OUT_SIZE - (out_head - out_tail);
        if (n > OUT_SIZE - at)
            n = OUT_SIZE - at;
        if (n > len)
            n = (uint32_t)len;
        memcpy(output + at, s, n);
        out_head += n;
        s += n;
        len -= n;
        flush_output(); /* where it is full: until the wire has made room */
    }
}

/* Words of other domains are in these lines: reasons, errors, the core's log. None of them may move the cursor, colour the
 * screen or ask the terminal for an answer. */
static void make_plain(char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((s[i] < ' ' && s[i] != '\n' && s[i] != '\t') || s[i] == 0x7f)
            s[i] = '?'; /* bytes from 0x80 on are negative, and among them are the C1 controls */
}

void out(const char *fmt, ...)
{
    static char line[2048];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    size_t len = n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1;
    make_plain(line, len);
    con_write(line, len);
}

static void line_out(const char *line, size_t len)
{
    switch (mode) {
    case CON_HELD:
        if (held_lost || len > HELD_SIZE - held_len) { /* the first ones say what began it */
            held_lost++;
            return;
        }
        memcpy(held + held_len, line, len);
        held_len += len;
        break;
    case CON_EDITING:
        edit_hide(edited);
        con_write(line, len);
        edit_show(edited);
        break;
    case CON_PLAIN: con_write(line, len); break;
    }
}

void say(const char *fmt, ...)
{
    static char line[1024];
    va_list ap;

    con_core_log(); /* what the core said before */
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    size_t len = n < (int)sizeof(line) - 1 ? (size_t)n : sizeof(line) - 2;
    for (char *at = line; (at = memchr(at, '\n', len - (size_t)(at - line)));)
        *at = '?'; /* one line: the next would look like ours */
    make_plain(line, len);
    line[len++] = '\n';
    line_out(line, len);
}

void con_edits(struct edit *e) { edited = e; }

void con_set_mode(enum con_mode m)
{
    mode = m;
    if (m != CON_HELD && held_len) {
        size_t len = held_len;
        held_len = 0;
        line_out(held, len);
    }
    if (m != CON_HELD && held_lost) {
        unsigned lost = held_lost;
        held_lost = 0;
        say("(%u more lines came meanwhile: dmesg, crashes)", lost);
    }
}

/* --- input ------------------------------------------------------------------------------------ */
static void fill_input(void)
{
    char buf[256];

    for (;;) {
        uint32_t room = INPUT_SIZE - (in_head - in_tail);
        if (!room) /* the rest stays in the core until somebody reads */
            return;
        long n = hypercall(__HYPERVISOR_console_io, CONSOLEIO_read,
                           room < sizeof(buf) ? room : sizeof(buf), (uint64_t)buf, 0);
        if (n <= 0)
            return;
        for (long i = 0; i < n; i++)
            input[in_head++ % INPUT_SIZE] = (uint8_t)buf[i];
    }
}

static void on_input(uint32_t port, void *arg)
{
    (void)port, (void)arg;
    flush_output();
    fill_input();
}

int con_peek(void) { return in_head == in_tail ? -1 : input[in_tail % INPUT_SIZE]; }

void con_getc(void)
{
    in_tail++;
    if (in_head == in_tail)
        fill_input();
}

bool con_skip_to(unsigned char c)
{
    for (uint32_t at = in_tail; at != in_head; at++)
        if (input[at % INPUT_SIZE] == c) {
            in_tail = at;
            return true;
        }
    return false;
}

bool con_skip_past(const char *s)
{
    uint32_t len = (uint32_t)strlen(s);

    for (uint32_t at = in_tail; at + len - in_tail <= in_head - in_tail; at++) {
        uint32_t i = 0;
        while (i < len && input[(at + i) % INPUT_SIZE] == (uint8_t)s[i])
            i++;
        if (i == len) {
            in_tail = at + len;
            return true;
        }
    }
    return false;
}

void con_drop_input(void)
{
    do {
        in_tail = in_head;
        fill_input();
    } while (in_tail != in_head);
}

/* --- the core's log --------------------------------------------------------------------------- */
static void on_log(uint32_t port, void *arg)
{
    (void)port, (void)arg;
    log_waiting = true;
}

static size_t log_read(domid_t id, char *buf, size_t n, uint64_t *pos)
{
    struct bh_log l = { .from = *pos, .buf = (uint64_t)buf, .len = n, .domid = id };

    if (bh_ctl_log(&l) || !l.len)
        return 0;
    *pos = l.from + l.len;
    return l.len;
}

void con_core_log(void)
{
    static char buf[1024], line[320];
    static size_t len;
    size_t n;

    if (!log_waiting)
        return;
    log_waiting = false;
    while ((n = log_read(0, buf, sizeof(buf), &log_pos)))
        for (size_t i = 0; i < n; i++) {
            if (buf[i] != '\n' && len < sizeof(line) - 2) {
                line[len++] = buf[i];
                continue;
            }
            make_plain(line, len);
            line[len++] = '\n';
            line_out(line, len);
            len = 0;
        }
}

static uint64_t cleared; /* this instance's, as is what it shows */

void dmesg_clear(void)
{
    static char skip[512];

    while (log_read(0, skip, sizeof(skip), &cleared))
        ;
}

void dmesg(const struct dom *d)
{
    static char buf[512], plain[3 * sizeof(buf)];
    uint64_t pos = d ? 0 : cleared;
    size_t n;
    bool begins = true;

    while ((n = log_read(d ? d->id : 0, buf, sizeof(buf), &pos))) {
        size_t len = 0;
        for (size_t i = 0; i < n; i++) {
            for (unsigned k = 0; d && begins && k < 2; k++)
                plain[len++] = ' '; /* no line of a domain's looks like one of ours */
            plain[len++] = buf[i];
            begins = buf[i] == '\n';
        }
        make_plain(plain, len);
        con_write(plain, len);
    }
    if (!begins)
        con_write("\n", 1);
}

void con_wait(uint64_t until_ns)
{
    event_wait(until_ns);
    con_core_log();
}

void console_open(void)
{
    static char skip[1024];
    struct bh_console c = { .mode = BH_CONSOLE_CLAIM };

    bh_ctl_console(&c);
    while (log_read(0, skip, sizeof(skip), &log_pos)) /* these lines were on the wire already */
        ;
    if (event_bind_virq(VIRQ_CONSOLE, on_input, NULL) < 0 ||
        event_bind_virq(VIRQ_CON_RING, on_log, NULL) < 0)
        say("console: no input");
    fill_input();
}
