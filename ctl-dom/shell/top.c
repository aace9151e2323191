/* SPDX-License-Identifier: MIT */
/* Command: what the domains do just now, once a second; xentop's columns, as many as 80 characters have room for: frames and requests a second, KiB a second. */
#include <stdio.h>
#include <stdlib.h>
#include <store_keys.h>
#include <string.h>
#include "console/console.h"
#include "domain/dom.h"
#include "shell/command.h"
#include "shell/lists.h"
#include "store/connection.h"
#include "store/devices.h"

#define MAX_ROWS   200u
#define LINES      24u /* of a screen */
#define MAX_DELAY  3600u
#define MAX_ROUNDS 1000000u

/* What a domain had counted. */
enum { CPU, NET_TX, NET_RX, VBD_RD, VBD_WR, VBD_BYTES, NR_COUNTS };
struct seen {
    domid_t id;
    uint64_t n[NR_COUNTS];
};
static struct {
    struct seen now[MAX_ROWS], was[MAX_ROWS];
    unsigned nr_now, nr_was;
    uint64_t at, was_at, next, delay_ns;
    unsigned rounds; /* that are left; 0: no end */
    bool batch;
} top;

static void on_tick(struct dtimer *t) { (void)t; } /* the job has a turn */
static struct dtimer tick = { .fn = on_tick };

static void count_devices(struct seen *s, const struct dom *d)
{
    uint64_t n[(unsigned)BH_NET_STATS + BH_BLK_STATS]; /* of either */
    char be[DEV_PATH], fe[DEV_PATH];

    for (unsigned i = 0; i < d->nr_devs; i++) {
        const struct dom_dev *v = &d->dev[i];
        bool vif = v->kind == DEV_VIF;
        dev_paths(d, v, be, fe);
        if (!store_up ||
            !list_numbers(be, BH_KEY_STATS, n, vif ? (unsigned)BH_NET_STATS : BH_BLK_STATS))
            continue;
        if (vif) {
            s->n[NET_TX] += n[BH_NET_IN]; /* the driver domain's words, and the guest's */
            s->n[NET_RX] += n[BH_NET_OUT];
        } else {
            s->n[VBD_RD] += n[BH_BLK_READS];
            s->n[VBD_WR] += n[BH_BLK_WRITES];
            s->n[VBD_BYTES] += n[BH_BLK_READ_BYTES] + n[BH_BLK_WRITE_BYTES];
        }
    }
}

/* A driver domain's next instance goes on counting; a device that went takes its count along. */
static uint64_t grown(const struct seen *s, unsigned what)
{
    for (const struct seen *w = top.was; w < top.was + top.nr_was; w++)
        if (w->id == s->id && s->n[what] > w->n[what])
            return s->n[what] - w->n[what];
    return 0;
}

/* Tenths of a percent, or so many a second. */
static uint64_t a_second(const struct seen *s, unsigned what)
{
    uint64_t ns = top.was_at && top.at > top.was_at ? top.at - top.was_at : 0;

    return ns ? grown(s, what) * 1000 / (ns / 1000000 ? ns / 1000000 : 1) : 0;
}

static void row(const struct bh_dominfo *di, const struct seen *s, const char *end)
{
    uint64_t cpu = a_second(s, CPU) / 1000000; /* thousandths of one CPU */
    char state[7];

    list_state(di, state);
    out("%-12.12s %s %8lu %3lu.%lu %6lu %3u %6lu %6lu %5lu %5lu %7lu", command_name(di), state,
        di->cpu_ns / NS_PER_S, cpu / 10, cpu % 10, di->tot_pages >> 8, di->nr_vcpus,
        a_second(s, NET_TX), a_second(s, NET_RX), a_second(s, VBD_RD), a_second(s, VBD_WR),
        a_second(s, VBD_BYTES) >> 10);
    con_write(end, strlen(end));
}

static void screen(void)
{
    const char *end = top.batch ? "\n" : "\x1b[K\n";
    struct bh_dominfo di = { 0 };
    unsigned left = 0;

    memcpy(top.was, top.now, sizeof(top.was));
    top.nr_was = top.nr_now;
    top.was_at = top.at;
    top.at = now_ns();
    top.nr_now = 0;
    if (!top.batch)
        con_write("\x1b[H", 3);
    out("%-12s %-6s %8s %5s %6s %3s %6s %6s %5s %5s %7s", "NAME", "STATE", "CPU(sec)", "CPU%",
        "MEM(M)", "CPU", "NETTX", "NETRX", "VBDRD", "VBDWR", "VBD(k)");
    con_write(end, strlen(end));
    for (; bh_ctl_info(&di) == 0; di.domid++) {
        struct dom *d = dom_by_id(di.domid);
        if (top.nr_now == MAX_ROWS || (!top.batch && top.nr_now >= LINES - 3)) {
            left++;
            continue;
        }
        struct seen *s = &top.now[top.nr_now++];
        *s = (struct seen){ .id = di.domid, .n[CPU] = di.cpu_ns };
        if (d)
            count_devices(s, d);
        row(&di, s, end);
    }
    if (left) {
        out("%u more (top -b, list)", left);
        con_write(end, strlen(end));
    }
    if (!top.batch) {
        out("any key ends this");
        con_write("\x1b[K\x1b[J\r", 7);
    }
}

/* Until a key, Ctrl-C among them, or the last round. */
static bool goes_on(void)
{
    bool ended = con_peek() >= 0;

    if (ended)
        con_getc();
    else if (now_ns() >= top.next) {
        screen();
        top.next = top.at + top.delay_ns;
        ended = top.rounds == 1;
        top.rounds -= top.rounds > 1;
    }
    if (ended) {
        if (!top.batch)
            out("\n");
        con_set_mode(CON_PLAIN);
        return false;
    }
    dtimer_set(&tick, top.next);
    return true;
}

static bool number(const char *word, unsigned max, unsigned *n)
{
    char *end;
    unsigned long v = strtoul(word, &end, 10);

    *n = (unsigned)v;
    return word[0] >= '0' && word[0] <= '9' && !*end && v && v <= max;
}

static bool cmd_top(int argc, char **argv)
{
    unsigned seconds = 1;

    memset(&top, 0, sizeof(top));
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-b") || !strcmp(argv[i], "--batch"))
            top.batch = true;
        else if (i + 1 < argc && !strcmp(argv[i], "-d") && number(argv[i + 1], MAX_DELAY, &seconds))
            i++;
        else if (i + 1 < argc && !strcmp(argv[i], "-i") &&
                 number(argv[i + 1], MAX_ROUNDS, &top.rounds))
            i++;
        else
            return false;
    }
    top.delay_ns = seconds * NS_PER_S;
    if (!top.batch) {
        con_write("\x1b[2J", 4);
        con_set_mode(CON_HELD); /* what is said meanwhile comes after it */
    }
    command_stays(goes_on);
    return true;
}

static const struct command rows[] = {
    { "top", "[-b] [-d SECONDS] [-i ROUNDS]",
      "what the domains do just now, until a key; -b: as lines, for a program", 0, 5, cmd_top },
};
const struct commands top_commands = COMMANDS(rows);
