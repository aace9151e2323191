/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/lib/counters.c
// FLAGS: -Idomains/include -Idrivers-dom/lib
/* What a back-end has counted, in the store: only news is written, and nothing is lost by a new connection, a new life, or a silent store. */
#include <errno.h>
#include "unit.h"
#include <counters.h>

#define N 3u
static char stored[COUNTERS_TEXT];
static bool there, down;
static unsigned writes;
static uint64_t *served; /* counts on while the store is asked */
int xs_error;

char *xs_read(uint32_t tx, const char *path)
{
    assert_string_equal(path, "somewhere");
    xs_error = down ? EIO : ENOENT;
    if (served)
        ++*served;
    return there && !down ? strdup(stored) : NULL;
}
int xs_write(uint32_t tx, const char *path, const char *val)
{
    assert_string_equal(path, "somewhere");
    if (down)
        return -EIO;
    if (served)
        ++*served;
    there = true;
    writes++;
    snprintf(stored, sizeof(stored), "%s", val);
    return 0;
}

static bool say(struct counters *c, uint64_t a, uint64_t b, uint64_t d)
{
    return counters_say(c, "somewhere", (uint64_t[N]){ a, b, d }, N);
}

TEST(test_goes_on)
{
    struct counters c = { 0 }, next = { 0 }, odd = { 0 };

    assert_true(say(&c, 0, 0, 0));
    assert_int_equal(writes, 0);
    assert_true(say(&c, 1, 0, 2));
    assert_string_equal(stored, "1 0 2");
    assert_true(say(&c, 1, 0, 2));
    assert_int_equal(writes, 1);
    counters_over(&c, (uint64_t[N]){ 1, 1, 2 }, N); /* of which the last was not said */
    assert_false(counters_unsaid(&c, (uint64_t[N]){ 0 }, N));
    assert_true(say(&c, 5, 0, 0));
    assert_string_equal(stored, "6 1 2");
    down = true; /* a new life, whose store is silent at first */
    assert_false(say(&next, 1, 1, 1));
    assert_true(counters_unsaid(&next, (uint64_t[N]){ 1, 1, 1 }, N));
    down = false;
    assert_true(say(&next, 1, 1, 1));
    assert_string_equal(stored, "7 2 3");
    down = true;
    assert_false(say(&next, 2, 1, 1));
    down = false;
    assert_true(say(&next, 2, 1, 1));
    assert_string_equal(stored, "8 2 3");
    strcpy(stored, "7 x 9"); /* what is no number ends it */
    assert_true(say(&odd, 1, 0, 0));
    assert_string_equal(stored, "8 0 0");
}

/* A back-end serves while it waits for the store, and may hand over the very numbers that grow by that. */
TEST(test_grows)
{
    struct counters c = { 0 };
    uint64_t now[N] = { 1, 0, 0 };

    there = false;
    served = now;
    assert_true(counters_say(&c, "somewhere", now, N));
    assert_string_equal(stored, "2 0 0");
    assert_int_equal(now[0], 3);
    served = NULL;
    assert_true(counters_unsaid(&c, now, N));
    assert_true(counters_say(&c, "somewhere", now, N));
    assert_string_equal(stored, "3 0 0");
    assert_false(counters_unsaid(&c, now, N));
}

TEST(test_fits)
{
    struct counters c = { 0 };
    uint64_t max[COUNTERS_MAX];

    memset(max, 0xff, sizeof(max));
    there = false;
    assert_true(counters_say(&c, "somewhere", max, COUNTERS_MAX));
    assert_int_equal(strlen(stored), COUNTERS_TEXT - 1);
}
