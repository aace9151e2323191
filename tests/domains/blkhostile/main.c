/* SPDX-License-Identifier: MIT */
/*
 * A hostile disk front-end, for tests of blkback and of who shares it: xvda may be written, xvdb only read. Command line:
 *   (nothing)  all phases once: `blkhostile: phase NAME ok` or `... FAILED: why`, then `blkhostile: done, N ok, N failed`
 *   loop       phases in any order without caring for their outcome (the back-end may be restarted at any moment), until a key
 *              comes on the console; then it connects properly and says `blkhostile: loop ended, ...`
 *   phase=N times=N   this one of them (from 0), so often
 *   end=crash, end=poweroff   ends like that at last, with its rings full of requests
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "blkhostile.h"
#include <xen/sched.h>

uint8_t *mem[NR_MEM];
uint32_t ref[NR_MEM];
unsigned patience = 30000;
static struct fe a, b;

int main(void);

uint64_t rnd(void)
{
    static uint64_t x = 0x1234567812345677;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    return x * 0x2545f4914f6cdd1dull;
}

void say(const char *fmt, ...)
{
    char line[256];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    for (unsigned i = 0; i < 500 && console_room() < (size_t)n; i++)
        event_wait(now_ns() + 10 * NS_PER_MS);
    console_write(line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

const char *why(const char *fmt, ...)
{
    static char text[2][192];
    static unsigned turn;
    char *to = text[turn++ % 2]; /* the last one may be an argument */
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(to, sizeof(text[0]), fmt, ap);
    va_end(ap);
    return to;
}

void nap(unsigned ms)
{
    for (uint64_t until = now_ns() + ms * NS_PER_MS; now_ns() < until;)
        event_wait(until);
}

/* --- phases ------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *(*fn)(struct fe *f);
    unsigned queues, order;
    bool narrow;
} phases[] = {
    { "malformed, one queue of one page", malformed, 1, 0, false },
    { "malformed, many queues and pages", malformed, QUEUES, 2, false },
    { "malformed, 32-bit protocol", malformed, 2, 1, true },
    { "same id twice", same_id, 1, 0, false },
    { "indices", indices, QUEUES, 0, false },
    { "grants ended in flight", grants_ended, 2, 2, false },
    { "slots changed in flight", slots_changed, 2, 2, false },
    { "segments changed in flight", segments_changed, 2, 0, false },
    { "events flooded", events_flooded, QUEUES, 0, false },
    { "rings of garbage", rings_garbage, QUEUES, 2, false },
    { "rings as data", ring_as_data, 1, 0, false },
    { "nodes rewritten while connected", nodes_connected, 2, 1, false },
    { "nodes rewritten while connecting", nodes_connecting, 1, 0, false },
    { "states of nonsense", states_nonsense, 1, 0, false },
    { "states back and forth", states_jump, QUEUES, 2, false },
    { "states that are stale", states_stale, 1, 0, false },
    { "nodes hidden", nodes_hidden, 1, 0, false },
    { "reconnect storm", storm, QUEUES, 2, false },
    { "rude reconnect storm", storm_rude, 2, 1, false },
};
#define NR_PHASES (sizeof(phases) / sizeof(phases[0]))

static unsigned ok, failed;

static void result(const char *name, const char *bad)
{
    say(bad ? "blkhostile: phase %s FAILED: %s\n" : "blkhostile: phase %s ok\n", name, bad);
    ok += !bad;
    failed += bad != NULL;
}

static void one_phase(unsigned i, unsigned times)
{
    while (times-- && i < NR_PHASES) {
        const char *bad = fe_reconnect(&a, phases[i].queues, phases[i].order, phases[i].narrow);
        result(phases[i].name, bad ? bad : phases[i].fn(&a));
    }
    say("blkhostile: done, %u ok, %u failed\n", ok, failed);
}

static void once(void)
{
    const char *bad;

    for (unsigned i = 0; i < NR_PHASES; i++) {
        bad = fe_reconnect(&a, phases[i].queues, phases[i].order, phases[i].narrow);
        if (!bad && !i)
            say("blkhostile: %lu sectors, up to %u queues of %u pages, %u segments, %s\n", a.sectors,
                a.max_queues, 1u << a.max_order, a.max_segs, a.discard ? "discard" : "no discard");
        result(phases[i].name, bad ? bad : phases[i].fn(&a));
    }
    bad = fe_reconnect(&b, 2, 0, false);
    result("malformed, read-only", bad ? bad : malformed(&b));
    result("writes, read-only", malformed_read_only(&b));
    bad = all_good(&a);
    result("the first disk is as good as ever", bad);
    say("blkhostile: done, %u ok, %u failed\n", ok, failed);
}

/* --- for ever ------------------------------------------------------------------------------------------------- */

static bool stalled(struct fe *f)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/bh-stalled", f->backend);
    char *text = xs_read(0, path);
    free(text);
    return text != NULL;
}

static void loop(void)
{
    unsigned turns = 0, bad = 0, stalls = 0, unclosed = 0;
    char key;

    patience = 1000;
    say("blkhostile: loop\n");
    while (!console_read(&key, 1)) {
        unsigned i = (unsigned)(rnd() % NR_PHASES);
        const char *what = fe_connect(&a, phases[i].queues, phases[i].order, phases[i].narrow);
        if (!what)
            what = turns % 2 ? garbage_held(&a) : phases[i].fn(&a);
        bad += what != NULL;
        stalls += stalled(&a);
        turns++;
        unclosed += fe_close(&a) != NULL;
    }
    patience = 30000;
    const char *last = fe_reconnect(&a, QUEUES, 2, false);
    say("blkhostile: loop ended, %u turns, %u not as usual, %u stalled, %u not closed, then %s\n",
        turns, bad, stalls, unclosed, last ? last : "all good");
}

static void finish(void)
{
    char word[16];

    if (!cmdline_get("end", word, sizeof(word)))
        return;
    say("blkhostile: ends\n");
    nap(200);
    fill_rings(&a);
    if (b.q[0].sring)
        fill_rings(&b);
    domain_exit(strcmp(word, "crash") ? SHUTDOWN_poweroff : SHUTDOWN_crash);
}

int main(void)
{
    char word[16], times[16];
    const char *bad = fe_open(&a, 51712);

    if (!bad)
        bad = fe_open(&b, 51728);
    if (bad)
        bh_panic("%s", bad);
    for (unsigned i = 0; i < NR_MEM; i++) {
        mem[i] = page_alloc(1);
        int g = mem[i] ? grant_give(a.be, mem[i], i == NR_MEM - 1 ? GRANT_RO : 0) : -1;
        if (g < 0)
            bh_panic("no memory, or no grant: %d", g);
        ref[i] = (uint32_t)g;
    }
    if (cmdline_get("loop", word, sizeof(word)))
        loop();
    else if (cmdline_get("phase", word, sizeof(word)))
        one_phase((unsigned)strtoul(word, NULL, 10), cmdline_get("times", times, sizeof(times))
                                                         ? (unsigned)strtoul(times, NULL, 10)
                                                         : 1);
    else
        once();
    finish();
    for (;;)
        event_wait(0);
}
