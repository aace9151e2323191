/* SPDX-License-Identifier: MIT */
/* A page of heads, a page with a bit for each domid, the book, the tables, then the records. */
#include "domain/records.h"
#include <bh.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x3b736d6f64686200ul /* changes with the layout of any record */

static struct heads {
    unsigned long magic, boot_over, work; /* WORK_... */
    unsigned long machine_ends;
    char slot_name[BH_FIRST_GUEST][BH_NAME_LEN];
    uint8_t kind[PAGE_SIZE - 4 * sizeof(unsigned long) - BH_FIRST_GUEST * BH_NAME_LEN];
} * heads;
static unsigned nr;
static bool found, dropped;
#define MOST_DEATHS 3u
/* Which record is worked on (1 + its index; 0: none), at which one an instance died last, and how many in a row did: one word, so that it changes as a whole. */
#define WORK_ON(w)             ((unsigned)((w)&0xffff))
#define WORK_DIED(w)           ((unsigned)((w) >> 16 & 0xffff))
#define WORK_DEATHS(w)         ((unsigned)((w) >> 32))
#define WORK(on, died, deaths) ((on) | (unsigned long)(died) << 16 | (unsigned long)(deaths) << 32)
static bool taken[sizeof(heads->kind)]; /* now, whether kept or not */
static unsigned long no_boot_over, no_machine_ends;
unsigned long *record_boot_over = &no_boot_over, *record_machine_ends = &no_machine_ends;
static char no_slot_name[BH_FIRST_GUEST][BH_NAME_LEN];
char (*record_slot_name)[BH_NAME_LEN] = no_slot_name;

/* Of each domid whether its end is on its way. */
static uint8_t no_ended[PAGE_SIZE], *ended = no_ended;
_Static_assert(DOMID_FIRST_RESERVED <= 8 * PAGE_SIZE, "a page has a bit for each domid");

#define BOOK   (2 * PAGE_SIZE)
#define TABLES (BOOK + RECORD_BOOK_SIZE)
#define FIRST  (TABLES + TABLES_SIZE)

static char *body_of(unsigned i) { return (char *)self.keep + FIRST + (size_t)i * RECORD_SIZE; }
static unsigned index_of(const void *body)
{
    return (unsigned)(((const char *)body - (const char *)self.keep - FIRST) / RECORD_SIZE);
}

/* The instance before this one died at a record, or not: what counts are deaths in a row at one and the same. */
static void count_deaths(void)
{
    unsigned long w = heads->work;
    unsigned on = WORK_ON(w), deaths = on && on == WORK_DIED(w) ? WORK_DEATHS(w) + 1 : on != 0;

    if (deaths >= MOST_DEATHS && on <= nr) {
        WRITE_ONCE(heads->kind[on - 1], RECORD_FREE);
        dropped = true;
        on = deaths = 0;
    }
    WRITE_ONCE(heads->work, WORK(0, on, deaths));
}

/* True: there are records in keep pages. */
static bool opened(void)
{
    if (heads || self.nr_keep * PAGE_SIZE < FIRST)
        return heads;
    heads = (struct heads *)self.keep;
    nr = (unsigned)((self.nr_keep * PAGE_SIZE - FIRST) / RECORD_SIZE);
    if (nr > sizeof(heads->kind))
        nr = sizeof(heads->kind);
    found = heads->magic == MAGIC;
    if (!found) {
        WRITE_ONCE(heads->magic, 0); /* until all else is there */
        wmb();
        memset(heads, 0, TABLES);
        wmb();
        WRITE_ONCE(heads->magic, MAGIC);
    }
    count_deaths();
    for (unsigned i = 0; i < nr; i++)
        taken[i] = heads->kind[i] != RECORD_FREE && heads->kind[i] <= RECORD_UPDATE;
    record_boot_over = &heads->boot_over;
    record_machine_ends = &heads->machine_ends;
    record_slot_name = heads->slot_name;
    ended = (uint8_t *)self.keep + PAGE_SIZE;
    return true;
}

void *record_book(void)
{
    static char own[RECORD_BOOK_SIZE];

    return opened() ? (char *)self.keep + BOOK : own;
}

void *record_table(domid_t slot)
{
    static void *own[BH_FIRST_GUEST - BH_FIRST_DRIVER];
    unsigned i = slot - BH_FIRST_DRIVER;

    if (i >= ARRAY_SIZE(own))
        return NULL;
    if (opened())
        return (char *)self.keep + TABLES + i * TABLE_SIZE;
    if (!own[i])
        own[i] = calloc(1, TABLE_SIZE);
    return own[i];
}

bool record_found(void) { return opened() && found; }

void *record_new(void)
{
    if (!opened())
        return calloc(1, RECORD_SIZE);
    for (unsigned i = 0; i < nr; i++)
        if (!taken[i]) {
            taken[i] = true;
            return memset(body_of(i), 0, RECORD_SIZE);
        }
    return NULL;
}

unsigned record_left(void)
{
    unsigned left = 0;

    if (!opened())
        return UINT_MAX;
    for (unsigned i = 0; i < nr; i++)
        left += !taken[i];
    return left;
}

void record_working(const void *body)
{
    if (opened())
        WRITE_ONCE(heads->work, (heads->work & ~0xfffful) | (body ? index_of(body) + 1 : 0));
}

bool record_dropped(void) { return opened() && dropped; }

void record_keep(void *body, enum record_kind kind)
{
    if (!opened())
        return;
    wmb(); /* of the compiler: the body first */
    WRITE_ONCE(heads->kind[index_of(body)], (uint8_t)kind);
}

void record_free(void *body)
{
    if (!opened()) {
        free(body);
        return;
    }
    if (!body)
        return;
    WRITE_ONCE(heads->kind[index_of(body)], RECORD_FREE);
    taken[index_of(body)] = false;
}

void *record_next(const void *body, enum record_kind kind)
{
    if (!opened())
        return NULL;
    for (unsigned i = body ? index_of(body) + 1 : 0; i < nr; i++)
        if (heads->kind[i] == kind)
            return body_of(i);
    return NULL;
}

void record_ended(domid_t id, bool is)
{
    if (id >= DOMID_FIRST_RESERVED)
        return;
    (void)opened();
    uint8_t bit = (uint8_t)(1u << id % 8), was = ended[id / 8];
    WRITE_ONCE(ended[id / 8], (uint8_t)(is ? was | bit : was & ~bit));
}

unsigned record_next_ended(unsigned from)
{
    (void)opened();
    while (from < DOMID_FIRST_RESERVED && !(ended[from / 8] >> from % 8 & 1))
        from++;
    return from;
}
