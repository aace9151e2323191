/* SPDX-License-Identifier: MIT */
#include "console/patience.h"
#include <bh.h>
#include <stdarg.h>
#include <stdio.h>
#include "console/console.h"

#define EVERY_NS (10 * NS_PER_S)
#define CTRL_C   3

static void on_tick(struct dtimer *t) { (void)t; } /* the job has a turn */
static struct dtimer tick = { .fn = on_tick };
static bool command;

void patience_begin(struct patience *p, uint64_t tell_ns, uint64_t most_ns)
{
    uint64_t now = now_ns();

    *p = (struct patience){ .tell = now + tell_ns, .until = now + most_ns };
}

enum patience_now patience(struct patience *p)
{
    uint64_t now = now_ns();

    if (con_skip_to(CTRL_C)) {
        con_getc();
        return PATIENCE_ENDED;
    }
    if (now >= p->until)
        return PATIENCE_OVER;
    if (now < p->tell)
        return PATIENCE_WAITS;
    p->tell = now + EVERY_NS;
    return PATIENCE_TELLS;
}

uint64_t patience_left(const struct patience *p)
{
    uint64_t now = now_ns();

    return now < p->until ? (p->until - now + NS_PER_S - 1) / NS_PER_S : 1;
}

void patience_tick(const struct patience *p, uint64_t when)
{
    uint64_t next = p->tell < p->until ? p->tell : p->until;

    dtimer_set(&tick, when < next ? when : next);
}

void patience_command(bool runs) { command = runs; }

bool patience_ends(struct patience *p, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    enum patience_now is = command ? patience(p) : PATIENCE_WAITS;
    if (is != PATIENCE_TELLS)
        return is == PATIENCE_ENDED;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    out("%s, %lu s at most; Ctrl-C: waits no more\n", text, patience_left(p));
    return false;
}
