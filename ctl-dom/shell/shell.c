/* SPDX-License-Identifier: MIT */
/* The main loop: keys, then the job's next step, then events. A command, the end of a guest, a device are the job's, one at a time; whatever
 * that waits for, keys for a console and the supervisor go on. */
#include "shell/shell.h"
#include <bh.h>
#include <stdio.h>
#include <string.h>
#include "console/console.h"
#include "console/domcon.h"
#include "console/edit.h"
#include "console/patience.h"
#include "job/job.h"
#include "shell/command.h"
#include "shell/complete.h"
#include "shell/metrics.h"
#include "shell/split.h"
#include "store/devices.h"
#include "store/linux_life.h"
#include "store/linux_life.h"
#include "supervise/anew.h"
#include "supervise/adopt.h"
#include "supervise/aside.h"
#include "supervise/autostart.h"
#include "supervise/dying.h"
#include "supervise/guests.h"
#include "supervise/rejuvenate.h"

#define QUIET_NS    200000000ull
#define DEADLINE_MS 10000u /* of a turn of the main loop */
#define MARK_MAX    32u    /* more of it is not repeated */

static struct edit edit;
static uint64_t quiet_until; /* 0: no */
static bool commanded;       /* a line waits for the job, or is run by it */

static bool is_marked(void) { return edit.line[0] == '@'; }

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
    if (n && (!strcmp(words[0], "xl") || !strcmp(words[0], "xm") || !strcmp(words[0], "bh")))
        do { /* and xl's own options, which change how it talks and nothing else */
            words++;
            n--;
        } while (n && words[0][0] == '-' && words[0][1] &&
                 !words[0][1 + strspn(words[0] + 1, "vfNtT")]);
    if (!n)
        return;
    patience_command(!is_marked()); /* a program waits for the end alone */
    command_run(n, words);
    patience_command(false);
}

static void begin(void)
{
    con_edits(&edit); /* a command may have had one of its own */
    edit_start(&edit);
    con_set_mode(CON_EDITING);
}

/* Colours, margins, a hidden cursor, line-drawing letters are the guest's: the soft reset of a VT220 (DECSTR) ends them, but not
 * the terminal's reports of mouse, focus and pasted text (xterm's private modes), nor 8-bit controls (S7C1T). CAN ends a
 * sequence that was left unfinished. What the guest asked the terminal is answered by the keyboard's way: the prompt comes when
 * those answers are through. */
static void console_left(void)
{
    static const char reset[] =
        "\x18\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l"
        "\x1b[?1016l\x1b[?2004l\x1b F\x1b[!p\n";

    domcon_leave();
    con_write(reset, sizeof(reset) - 1);
    quiet_until = now_ns() + QUIET_NS;
}

/* True: it still is. */
static bool quiet(void)
{
    if (!quiet_until)
        return false;
    con_drop_input();
    if (con_busy()) /* the terminal has not even got the questions yet */
        quiet_until = now_ns() + QUIET_NS;
    if (now_ns() < quiet_until)
        return true;
    quiet_until = 0;
    begin();
    return false;
}

/* --- the job's part ----------------------------------------------------------------------------- */
static bool begun; /* the line that waits is run */
static char mark[MARK_MAX + 1];

/* A command from a program, "@MARK command": what it prints stands alone between "@MARK begin" and "@MARK end", whatever happens
 * meanwhile; that is told afterwards. */
static void command_begin(void)
{
    size_t n = is_marked() ? strcspn(edit.line, " ") : 0;

    snprintf(mark, sizeof(mark), "%.*s", (int)n, edit.line);
    if (n)
        out("%s begin\n", mark);
    run_line(edit.line + n);
}

/* The keyboard's turn again, unless a domain has it now. */
static void command_over(void)
{
    commanded = false;
    if (domcon_attached())
        return;
    if (mark[0])
        out("%s end\n", mark);
    mark[0] = '\0';
    begin();
}

static bool command_work(void)
{
    if (!commanded)
        return false;
    if (edit.tab) {
        edit_complete(&edit, complete);
        commanded = false;
        return true;
    }
    if (!begun)
        command_begin();
    begun = command_is_on();
    if (begun)
        return false;
    command_over();
    return true;
}

/* One thing that may have to wait. True: there may be more. */
static bool work(void)
{
    bool more = anew_work() || command_work() || adopt_work() || dying_work() || aside_work() ||
                guests_work() || autostart_work() || rejuvenate_work() || metrics_work();

    more |= linux_work();
    return devs_work() || more; /* what came while that waited is looked at before we sleep */
}

static void (*first)(void);

static void job(void)
{
    first();
    command_over();
    for (;;)
        job_wait(work() ? TIME_PAST : 0);
}

/* --- the main loop's part ----------------------------------------------------------------------- */
/* Feeds the keyboard to whoever has it; stops when the attached domain takes no more, and until a command is over. */
static void feed(void)
{
    int c;

    while ((c = con_peek()) >= 0 && (!commanded || domcon_attached())) {
        if (!domcon_attached()) {
            con_getc();
            commanded = edit_key(&edit, (unsigned char)c);
            if (commanded && !edit.tab)
                con_set_mode(is_marked() ? CON_HELD : CON_PLAIN);
            continue;
        }
        enum domcon_typed took = domcon_typed((unsigned char)c);
        if (took == DOMCON_LEFT) {
            console_left();
            return;
        }
        if (took == DOMCON_FULL)
            break;
    }
    if (!domcon_attached() && !commanded)
        edit_flush(&edit);
}

/* Until when nobody has anything to do, unless something comes. */
static uint64_t idle_until(uint64_t job_until)
{
    if (!quiet_until && !commanded && !domcon_attached() && con_peek() >= 0)
        return TIME_PAST; /* typed while the command ran */
    return quiet_until && (!job_until || quiet_until < job_until) ? quiet_until : job_until;
}

/* Feeds the hang deadline once in a while: every turn would cost an exit. */
static void alive(void)
{
    static uint64_t next;

    if (now_ns() < next)
        return;
    deadline_feed(DEADLINE_MS);
    next = now_ns() + DEADLINE_MS / 8 * 1000000ul;
}

void shell_run(void (*boot)(void))
{
    edit_init(&edit, con_write, "bh> ");
    first = boot;
    commanded = true; /* the keyboard waits for the end of the boot */
    job_start(job);
    for (;;) {
        if (!quiet())
            feed();
        bool was_attached = domcon_attached() != NULL;
        uint64_t job_until = job_turn();
        if (was_attached && !domcon_attached())
            console_left();
        con_wait(idle_until(job_until));
        alive();
    }
}
