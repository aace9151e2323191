/* SPDX-License-Identifier: MIT */
/*
 * What the store gives one small guest. Words of its command line:
 *   store=read|write|transaction n=N   does that so many times and says how long one takes
 *   store=gaps seconds=S               reads on and says the longest reads of all
 *   store=says                         writes the time into a node again and again, for the domain whose domid is one higher
 *   store=hears                        which watches that node, and says how long after the write its event came
 */
#include <bh.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "microbench.h"

#define LONGEST 20

static uint64_t word(const char *key)
{
    char buf[24];
    return cmdline_get(key, buf, sizeof(buf)) ? strtoul(buf, NULL, 0) : 0;
}

static void one_read(void) { free(xs_read(0, "domid")); }
static void one_write(void) { xs_write(0, "data/a", "value"); }
static void one_transaction(void)
{
    uint32_t tx;
    if (xs_tx_start(&tx) || xs_write(tx, "data/a", "value") || xs_tx_end(tx, true))
        printf("microbench: error: a transaction\n");
}

static void rate(const char *what, void (*fn)(void))
{
    uint64_t n = word("n"), start = now_ns();

    for (uint64_t i = 0; i < n; i++)
        fn();
    printf("microbench: %s %lu ns\n", what, (unsigned long)((now_ns() - start) / n));
}

static void gaps(void)
{
    uint32_t longest[LONGEST] = { 0 };
    uint64_t at = now_ns(), end = at + word("seconds") * NS_PER_S;

    printf("microbench: reads\n");
    while (at < end) {
        one_read();
        uint64_t now = now_ns();
        uint32_t us = (uint32_t)((now - at) / 1000);
        for (unsigned i = 0; i < LONGEST; i++) /* in order, the longest first */
            if (us > longest[i]) {
                uint32_t shorter = longest[i];
                longest[i] = us;
                us = shorter;
            }
        at = now;
    }
    printf("microbench: longest us");
    for (unsigned i = 0; i < LONGEST; i++)
        printf(" %u", longest[i]);
    printf("\n");
}

static void __attribute__((noreturn)) says(void)
{
    char perms[24];

    xs_write(0, "data/t", "0");
    snprintf(perms, sizeof(perms), "n%u r%u", self.domid, self.domid + 1u);
    xs_set_perms(0, "data/t", perms);
    for (;;) {
        event_wait(now_ns() + 2 * NS_PER_MS);
        xs_printf(0, "data/t", "%lu", (unsigned long)now_ns());
    }
}

static unsigned heard;
static void hear(const char *path, void *arg)
{
    uint64_t now = now_ns(), then;

    (void)arg;
    if (heard < ROUNDS && !xs_read_uint(0, path, &then) && then && then < now)
        sample[heard++] = (uint32_t)(now - then);
}

static void hears(void)
{
    char path[48];

    snprintf(path, sizeof(path), "/local/domain/%u/data/t", self.domid - 1u);
    xs_watch(path, hear, NULL);
    while (heard < ROUNDS)
        event_wait(0);
    report("a write in the store to the event of another's watch,");
}

bool store_words(void)
{
    char what[16];

    if (!cmdline_get("store", what, sizeof(what)))
        return false;
    if (!strcmp(what, "read"))
        rate(what, one_read);
    else if (!strcmp(what, "write"))
        rate(what, one_write);
    else if (!strcmp(what, "transaction"))
        rate(what, one_transaction);
    else if (!strcmp(what, "gaps"))
        gaps();
    else if (!strcmp(what, "says"))
        says();
    else if (!strcmp(what, "hears"))
        hears();
    return true;
}
