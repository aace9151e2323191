/* SPDX-License-Identifier: MIT */
/*
 * The hostile guest. Command line: [seed=N] [calls=N, 100000] [stay]. Ends by touching a gfn without memory, for which the
 * core must crash it with a report (not with `stay`: then it idles). Lines for tests: `ok NAME`, `not ok NAME: ...`,
 * `hostile: seed N`, `hostile: N passed, N failed`, `hostile: touching a hole`.
 */
#include "hostile.h"
#include <stdarg.h>
#include <stdlib.h>

uint8_t scratch[SCRATCH_USED + 4096] __attribute__((aligned(4096)));
uint64_t seed;
static unsigned passed, failed;

int main(void);

uint64_t rnd(void)
{
    static uint64_t x;

    if (!x)
        x = seed;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    return x * 0x2545f4914f6cdd1dull;
}

domid_t foreign(unsigned i)
{
    static const domid_t id[NR_FOREIGN] = {
        0,
        1,
        2,
        3,
        4,
        15,
        16,
        17,
        18,
        19,
        31,
        0x7fef,
        DOMID_IO,
        DOMID_XEN,
        DOMID_COW,
        DOMID_IDLE,
        DOMID_INVALID,
        0xffff,
    };

    return id[i] == self.domid ? 20 : id[i];
}

void say(const char *fmt, ...)
{
    char line[256];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    /* Nothing may be lost: up to five seconds for the reader. */
    for (unsigned i = 0; i < 500 && console_room() < (size_t)n; i++)
        event_wait(now_ns() + 10 * NS_PER_MS);
    console_write(line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

void check(const char *name, bool good, const char *fmt, ...)
{
    char why[128];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    if (good) {
        passed++;
        say("ok %s\n", name);
    } else {
        failed++;
        say("not ok %s: %s\n", name, why);
    }
}

void tally(struct tally *t, bool good, const char *fmt, ...)
{
    va_list ap;

    t->tried++;
    if (good || t->bad++)
        return;
    va_start(ap, fmt);
    vsnprintf(t->first, sizeof(t->first), fmt, ap);
    va_end(ap);
}

void tally_done(struct tally *t)
{
    check(t->name, t->tried && !t->bad, "%u of %u, first: %s", t->bad, t->tried, t->first);
}

int main(void)
{
    char word[32];
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    seed = cmdline_get("seed", word, sizeof(word)) ? strtoull(word, NULL, 0)
                                                   : ((uint64_t)hi << 32 | lo);
    seed = seed ? seed : 1;
    unsigned calls = cmdline_get("calls", word, sizeof(word)) ? (unsigned)strtoul(word, NULL, 0)
                                                              : 100000;
    say("hostile: seed %lu\n", seed);
    traps_init();
    check("is_guest", self.guest && self.domid >= BH_FIRST_GUEST, "domid %u", self.domid);
    check_control();
    check_grants();
    check_events();
    check_memory();
    check_pointers();
    check_rest();
    check_cpu();
    check_ipis();
    fuzz(calls);
    say("hostile: %u passed, %u failed\n", passed, failed);
    while (cmdline_get("stay", word, sizeof(word)))
        event_wait(0);
    say("hostile: touching a hole\n");
    for (uint64_t until = now_ns() + NS_PER_S; now_ns() < until;) /* time to be read */
        event_wait(until);
    WRITE_ONCE(*(uint32_t *)(HOLE + 0xf000000), 1); /* beyond what the random calls may have filled */
    say("not ok hole: still alive\n");
    return 0;
}
