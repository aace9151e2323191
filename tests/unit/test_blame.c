// SPDX-License-Identifier: MIT
// LINK: drivers-dom/lib/blame.c
// FLAGS: -Idomains/include -Idrivers-dom/lib
/* Whose fault a driver domain's deaths are: what one life leaves in the keep pages, and what the next one follows from it. */
#include <blame.h>
#include "unit.h"

enum { A = 3, B = 4, DETACHED = 9 };

#define DEATHS 16u
static union {
    struct blame b;
    uint64_t words[BLAME_WORDS(DEATHS)];
} mem;
static bool attached[32];
static uint64_t chances[32];
static uint64_t now;
static jmp_buf dies;
static long left; /* stores; -1: it lives on */

void shared_stored(void)
{
    if (left >= 0 && !left--)
        longjmp(dies, 1);
}

static bool there(uint32_t gen, uint64_t *n)
{
    if (gen >= ARRAY_SIZE(attached) || !attached[gen])
        return false;
    *n = chances[gen];
    return true;
}
static bool aside(uint32_t gen)
{
    return blame_aside(gen, gen < ARRAY_SIZE(chances) ? chances[gen] : 0);
}

static void life(bool ordered) { blame_begin(&mem.b, DEATHS, now, ordered, there); }

/* Dies at work for that one; `after` later the next instance begins. */
static void death(uint32_t gen, uint64_t after)
{
    blame(gen);
    now += after;
    life(false);
}

int setup(void **state)
{
    memset(&mem, 0, sizeof(mem));
    memset(attached, 0, sizeof(attached));
    memset(chances, 0, sizeof(chances));
    attached[A] = attached[B] = true;
    now = 1000 * NS_PER_S;
    left = -1;
    life(false);
    return 0;
}

TEST(the_second_death_puts_aside)
{
    death(A, NS_PER_S);
    assert_false(aside(A));
    death(A, NS_PER_S);
    assert_true(aside(A) && !aside(B) && !aside(0));
    death(B, NS_PER_S); /* the others' deaths and nobody's leave it there */
    death(0, NS_PER_S);
    life(true);
    assert_true(aside(A) && !aside(B));
    now += 1000 * BLAME_WINDOW_NS;
    life(false);
    assert_true(aside(A));
    death(A, NS_PER_S);
    assert_true(aside(A));
}

TEST(only_within_the_window)
{
    death(A, 0);
    death(A, BLAME_WINDOW_NS); /* each one is held against the last alone */
    assert_false(aside(A));
    death(A, BLAME_WINDOW_NS);
    assert_false(aside(A));
    death(A, BLAME_WINDOW_NS - 1);
    assert_true(aside(A));
}

/* It takes two deaths again. */
TEST(another_chance)
{
    for (unsigned i = 0; i < 3; i++) {
        death(A, 1);
        assert_false(aside(A));
        death(A, 1);
        assert_true(aside(A));
        life(false);
        assert_true(aside(A));
        chances[A]++;
        assert_false(aside(A));
        life(false);
        assert_false(aside(A));
    }
}

TEST(two_devices_are_counted_apart)
{
    death(A, 1);
    death(B, 1);
    assert_true(!aside(A) && !aside(B));
    death(A, 1);
    assert_true(aside(A) && !aside(B));
    death(B, 1);
    assert_true(aside(A) && aside(B));
}

TEST(nobodys_death)
{
    for (unsigned i = 0; i < 4; i++) {
        blame(A);
        blame(0);
        life(false);
    }
    assert_false(aside(A));
}

TEST(ordered_deaths_do_not_count)
{
    for (unsigned i = 0; i < 40; i++) {
        blame(A);
        life(true);
    }
    assert_false(aside(A));
    death(A, 1); /* the first that nobody ordered */
    blame(A);
    life(true);
    assert_false(aside(A));
    death(A, 1);
    assert_true(aside(A));
}

/* Attached anew it is another one, and the old one's number means nothing. */
TEST(another_generation)
{
    death(A, 1);
    attached[A] = false;
    attached[A + 10] = true;
    death(A + 10, 1);
    assert_true(!aside(A + 10) && !aside(A));
    death(A + 10, 1);
    assert_true(aside(A + 10));
    attached[A + 10] = false;
    attached[A + 11] = true;
    life(false);
    assert_false(aside(A + 11));
}

TEST(a_word_that_nobody_wrote)
{
    const uint64_t words[] = {
        0, A, (uint64_t)A << 32, keep_idx(A) ^ 1, keep_idx(A) ^ 1ull << 63, ~0ull
    };

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        for (unsigned twice = 0; twice < 2; twice++) {
            mem.b.whose = words[i];
            life(false);
        }
        for (uint32_t gen = 0; gen < ARRAY_SIZE(attached); gen++)
            assert_false(aside(gen));
    }
    death(DETACHED, 1); /* sound, and nobody's */
    death(DETACHED, 1);
    assert_false(aside(DETACHED));
}

/* Whatever an instance that somebody took over leaves: one more device at most is put aside by a death, and only one that is there. */
TEST(random_rubbish)
{
    uint32_t *w = (uint32_t *)&mem;

    for (unsigned round = 0; round < 20000; round++) {
        unsigned n = 0;
        for (unsigned i = 0; i < sizeof(mem) / 4; i++)
            w[i] = (uint32_t)rand() << 16 ^ (uint32_t)rand();
        for (unsigned i = 0; i < DEATHS; i += 1 + (unsigned)rand() % 4) {
            mem.b.death[i].whose = keep_idx((uint32_t)rand() % 12);
            mem.b.death[i].when = rand() & 1 ? now : now + BLAME_WINDOW_NS;
        }
        mem.b.whose = keep_idx((uint32_t)rand() % 12);
        uint32_t gen = (uint32_t)mem.b.whose;
        life(false);
        for (uint32_t g = 0; g < ARRAY_SIZE(attached); g++) {
            n += aside(g);
            assert_true(!aside(g) || (g == gen && attached[g]));
        }
        assert_true(n <= 1);
    }
}

/* More devices come and go than there are places: those that are gone make room, and who is put aside is never forgotten for others' first deaths. */
TEST(places)
{
    death(A, 1);
    death(A, 1);
    for (uint32_t gen = 10; gen < 10 + DEATHS; gen++) {
        attached[gen] = true;
        death(gen, 1);
    }
    assert_true(aside(A));
    death(10 + DEATHS - 1, 1);
    assert_true(aside(10 + DEATHS - 1));
    attached[12] = false;
    attached[30] = true;
    death(30, 1);
    death(11, 1); /* nobody who is there had to give way */
    assert_true(aside(11));
}

/* false: it died after so many stores. */
static bool lives(long stores)
{
    left = stores;
    if (!setjmp(dies))
        life(false);
    else
        left = -2;
    bool lived = left != -2;
    left = -1;
    return lived;
}

/* It may die again while it notes that: that death is nobody's, or it was noted already. */
TEST(death_while_noting)
{
    for (unsigned earlier = 0; earlier < 2; earlier++) {
        bool lived = false;
        for (long n = 0; !lived; n++) {
            setup(NULL);
            for (unsigned i = 0; i < earlier; i++)
                death(A, 1);
            blame(A);
            lived = lives(n);
            assert_true(lived || n < 10);
            for (unsigned i = 0; i < 3; i++)
                life(false);
            if (!earlier) {
                assert_false(aside(A));
                death(A, 1);
            }
            death(A, 1);
            assert_true(aside(A) && !aside(B));
        }
    }
}
