/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/domain/records.c tests/unit/stores.c
// FLAGS: -Ictl-dom -Idomains/include
/*
 * The control domain's records, each instance of which is a process: what one wrote the next one finds, also after a death at any store; when
 * there is no room; pages of another size, or with anything in them; and a record that kills.
 */
#include <bh.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "domain/records.h"
#include "stores.h"
#include "unit.h"

#define BOOK_PAGES (2 + (RECORD_BOOK_SIZE + TABLES_SIZE) / 4096)
#define PAGES      (BOOK_PAGES + 4 * 4) /* four records */
#define DIED       9

struct bh_self self;
static struct world {
    _Alignas(4096) uint8_t keep[PAGES + 5][4096];
    long left;
    unsigned stores;
    void *first, *second; /* for the next instance */
} * w;

int setup(void **unused)
{
    if (!w)
        w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(w, 0, sizeof(*w));
    w->left = -1;
    self.keep = w->keep[0];
    self.nr_keep = PAGES;
    return 0;
}

/* One instance does that. How it ended. */
static int instance(void (*what)(void))
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (!pid) {
        what();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
#define RUNS(what) assert_int_equal(instance(what), 0)
/* In a child an assertion must not return into the parent's test. */
#define NEED(x)                                                     \
    do {                                                            \
        if (!(x)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
            _exit(1);                                               \
        }                                                           \
    } while (0)

static unsigned kept(enum record_kind kind)
{
    unsigned n = 0;

    for (void *r = record_next(NULL, kind); r; r = record_next(r, kind))
        n++;
    return n;
}
static char *keep_text(const char *text, enum record_kind kind)
{
    char *r = record_new();

    NEED(r && !*r && !r[RECORD_SIZE - 1]);
    strcpy(r, text);
    record_keep(r, kind);
    return r;
}

/* --- from one to the next -------------------------------------------------------------------------------------------- */
static void writes(void)
{
    NEED(!record_found() && record_left() == 4 && !*record_boot_over);
    keep_text("one", RECORD_DOM);
    keep_text("two", RECORD_WAITING);
    record_new(); /* that is in nobody's way, and nobody's next time */
    NEED(record_left() == 1);
    strcpy(record_book(), "book");
    strcpy(record_slot_name[5], "net0");
    *record_boot_over = 1;
    NEED(record_next_ended(0) == DOMID_FIRST_RESERVED);
    record_ended(16, true);
    record_ended(17, true);
    record_ended(DOMID_FIRST_RESERVED - 1, true);
    record_ended(DOMID_FIRST_RESERVED, true); /* that is none */
    record_ended(16, false);
}
static void reads(void)
{
    NEED(record_next_ended(0) == 17 && record_next_ended(17) == 17);
    NEED(record_next_ended(18) == DOMID_FIRST_RESERVED - 1);
    NEED(record_next_ended(DOMID_FIRST_RESERVED) == DOMID_FIRST_RESERVED);
    record_ended(17, false);
    NEED(record_found() && record_left() == 2 && *record_boot_over && !record_dropped());
    NEED(!strcmp(record_slot_name[5], "net0") && !strcmp(record_book(), "book"));
    char *one = record_next(NULL, RECORD_DOM), *two = record_next(NULL, RECORD_WAITING);
    NEED(one && !strcmp(one, "one") && !record_next(one, RECORD_DOM));
    NEED(two && !strcmp(two, "two") && !record_next(two, RECORD_WAITING));
    record_free(one);
    record_free(NULL);
    NEED(record_left() == 3 && !record_next(NULL, RECORD_DOM));
}
static void reads_the_rest(void)
{
    NEED(record_left() == 3 && !kept(RECORD_DOM) && kept(RECORD_WAITING) == 1);
    NEED(record_next_ended(0) == DOMID_FIRST_RESERVED - 1);
}

TEST(round_trip)
{
    RUNS(writes);
    RUNS(reads);
    RUNS(reads_the_rest);
}

/* --- room ------------------------------------------------------------------------------------------------------------ */
static void fills(void)
{
    for (unsigned i = 0; i < 4; i++)
        NEED(record_left() == 4 - i && keep_text("full", RECORD_DOM));
    NEED(!record_left() && !record_new() && !record_new());
    record_free(record_next(NULL, RECORD_DOM));
    NEED(record_left() == 1 && keep_text("again", RECORD_DOM) && !record_new());
}
static void is_full(void)
{
    NEED(kept(RECORD_DOM) == 4 && !record_left() && !record_new());
    NEED(!strcmp(record_next(NULL, RECORD_DOM), "again"));
}

TEST(full)
{
    RUNS(fills);
    RUNS(is_full);
}

static void no_room_at_all(void)
{
    self.nr_keep = BOOK_PAGES;
    NEED(!record_found() && !record_left() && !record_new());
    strcpy(record_book(), "book");
}
static void no_pages(void)
{
    self.nr_keep = BOOK_PAGES - 1; /* memory of its own then */
    for (unsigned i = 0; i < 10; i++) {
        char *r = record_new();
        NEED(record_left() > 100 && r && !*r);
        record_keep(r, RECORD_DOM);
        record_working(r);
        record_free(r);
    }
    record_free(NULL);
    record_ended(20, true);
    NEED(record_next_ended(0) == 20);
    record_ended(20, false);
    NEED(record_next_ended(0) == DOMID_FIRST_RESERVED);
    NEED(!record_found() && !record_dropped() && !record_next(NULL, RECORD_DOM));
    NEED(!*(char *)record_book());
    NEED(record_table(BH_FIRST_DRIVER) &&
         record_table(BH_FIRST_DRIVER) == record_table(BH_FIRST_DRIVER));
}

TEST(no_room)
{
    RUNS(no_room_at_all);
    RUNS(no_pages);
}

/* --- other pages ----------------------------------------------------------------------------------------------------- */
static void fewer(void)
{
    self.nr_keep = PAGES - 1; /* three whole ones */
    NEED(record_found() && kept(RECORD_DOM) == 3 && !record_left());
}
static void more(void)
{
    self.nr_keep = PAGES + 5;
    NEED(record_found() && kept(RECORD_DOM) == 4 && record_left() == 1);
}
static void begins(void)
{
    NEED(!record_found() && record_left() == 4 && !*record_boot_over && !kept(RECORD_DOM));
    NEED(!record_slot_name[5][0] && !*(char *)record_book());
    NEED(record_next_ended(0) == DOMID_FIRST_RESERVED);
}

TEST(another_size)
{
    RUNS(fills);
    RUNS(fewer);
    RUNS(more);
}

TEST(another_layout)
{
    RUNS(writes);
    w->keep[0][7] ^= 1;
    RUNS(begins);
}

/* Whatever lies there, what it gives lies within. */
static void copes(void)
{
    unsigned left = record_left();
    unsigned found = kept(RECORD_DOM) + kept(RECORD_WAITING) + kept(RECORD_UPDATE);

    NEED(left + found == 4);
    for (void *r = record_next(NULL, RECORD_DOM); r; r = record_next(r, RECORD_DOM))
        NEED((uint8_t *)r >= w->keep[BOOK_PAGES] && (uint8_t *)r + RECORD_SIZE <= w->keep[PAGES]);
    for (; left; left--)
        NEED(keep_text("new", RECORD_DOM));
    NEED(!record_new());
}

TEST(damaged)
{
    RUNS(writes);
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned k = 8; k < 4096; k++)
            w->keep[0][k] = (uint8_t)(i & 1 ? rand() : rand() % 5);
        RUNS(copes);
    }
}

/* --- records that kill ----------------------------------------------------------------------------------------------- */
static void works_on_first(void)
{
    w->first = record_next(NULL, RECORD_DOM);
    w->second = record_next(w->first, RECORD_DOM);
    NEED(w->first && w->second && !record_dropped());
    record_working(w->first);
}
static void works_on_second(void)
{
    works_on_first();
    record_working(w->second);
}
static void works_on_none(void)
{
    works_on_second();
    record_working(NULL);
}
static void first_is_gone(void)
{
    NEED(record_dropped() && record_next(NULL, RECORD_DOM) == w->second);
    record_working(w->second);
}
static void second_is_gone(void)
{
    NEED(record_dropped() && record_next(NULL, RECORD_DOM) == w->first);
    NEED(record_next(w->first, RECORD_DOM) != w->second);
}
static void only_the_second(void)
{
    NEED(!record_dropped() && record_next(NULL, RECORD_DOM) == w->second);
    record_working(w->second);
}

static void both_are_gone(void) { NEED(record_dropped() && kept(RECORD_DOM) == 2); }

TEST(third_death_drops)
{
    RUNS(fills);
    for (unsigned i = 0; i < 3; i++)
        RUNS(works_on_first);
    RUNS(first_is_gone);
    RUNS(only_the_second); /* which has a count of its own: that was the first, this is the second */
    RUNS(only_the_second); /* the third */
    RUNS(both_are_gone);
}

TEST(each_has_its_own_count)
{
    RUNS(fills);
    for (unsigned i = 0; i < 5; i++) {
        RUNS(works_on_first);
        RUNS(works_on_first);
        RUNS(works_on_second);
        RUNS(works_on_second);
    }
    RUNS(works_on_second);
    RUNS(second_is_gone);
}

TEST(one_that_lived_begins_anew)
{
    RUNS(fills);
    for (unsigned i = 0; i < 5; i++) {
        RUNS(works_on_first);
        RUNS(works_on_first);
        RUNS(works_on_none);
    }
}

/* --- a death at each store ------------------------------------------------------------------------------------------- */
static void at_store(void)
{
    w->stores++;
    if (w->left >= 0 && w->left-- == 0)
        _exit(DIED);
}
/* A record is there as a whole or not at all, and one is never lost while another is made. */
static void changes(void)
{
    char *one, *two;

    stores_watch(w->keep, sizeof(w->keep), at_store);
    one = keep_text("one", RECORD_DOM);
    two = keep_text("two", RECORD_WAITING);
    record_working(one);
    record_free(one);
    record_working(NULL);
    one = keep_text("three", RECORD_DOM);
    record_free(two);
    stores_watch(w->keep, sizeof(w->keep), NULL);
}
static void is_whole(void)
{
    unsigned n = 0;

    for (char *r = record_next(NULL, RECORD_DOM); r; r = record_next(r, RECORD_DOM), n++)
        NEED(!strcmp(r, "one") || !strcmp(r, "three"));
    NEED(n <= 1);
    for (char *r = record_next(NULL, RECORD_WAITING); r; r = record_next(r, RECORD_WAITING), n++)
        NEED(!strcmp(r, "two"));
    NEED(record_left() == 4 - n && !record_dropped());
    for (; n < 4; n++)
        NEED(record_new());
}

TEST(death_at_each_store)
{
    unsigned n = 0;
    int died;

    do {
        setup(NULL);
        w->left = n++;
        died = instance(changes);
        w->left = -1;
        RUNS(is_whole);
        RUNS(is_whole);
    } while (died == DIED);
    assert_int_equal(died, 0);
    assert_true(n > 20);
}
/* Also of the first pages that there ever were, and of those of another layout. */
TEST(death_at_the_first_store)
{
    for (unsigned n = 0;; n++) {
        setup(NULL);
        memset(w->keep[0], RECORD_DOM, 4096 * BOOK_PAGES);
        w->left = n;
        if (instance(changes) != DIED)
            break;
        w->left = -1;
        RUNS(is_whole);
    }
}
