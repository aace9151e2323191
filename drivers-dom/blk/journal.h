/* SPDX-License-Identifier: MIT */
/*
 * The journal of one ring (docs/restart-protocol.md 5). blkfront limits outstanding ids, not the distance of indices, so entries are taken from a
 * free map. The order of stores, each of which may be the last of this instance:
 *
 *   take      copy and req_idx; state TAKEN; req_cons
 *   commit    state COMMITTED with status and rsp_idx (one store); the response body in the ring (the caller's)
 *   publish   rsp_next; the ring's rsp_prod; rsp_pub; state FREE of what was published
 *
 * Always: consumed and not published = entries TAKEN below req_cons + entries COMMITTED from rsp_prod on. A journal for which that
 * does not hold is not believed.
 */
#pragma once
#include "keep.h"

#define JOURNAL_MAX (KEEP_ENTRIES * KEEP_RING_PAGES)

struct journal {
    struct keep_page *page[KEEP_RING_PAGES];
    unsigned size;     /* entries = slots of the ring */
    uint32_t req_cons; /* = the record's */
    uint32_t rsp_next; /* committed up to here */
    uint32_t rsp_pub;  /* = the ring's rsp_prod */
    uint8_t free[JOURNAL_MAX], committed[JOURNAL_MAX];
    unsigned nr_free, nr_committed;
};

static inline struct keep_entry *journal_entry(const struct journal *j, unsigned e)
{
    return &j->page[e / KEEP_ENTRIES]->entry[e % KEEP_ENTRIES];
}

/* Pages are set; entries and indices are stored for a ring whose responses start at `start`. */
void journal_open(struct journal *j, uint32_t start);
/* The private half of it: the pages hold such a journal already. */
void journal_begin(struct journal *j, uint32_t start);
/* Consumes the request at req_cons, of which *copy holds a snapshot (state, check and req_idx are filled in). Returns its entry. */
unsigned journal_take(struct journal *j, struct keep_entry *copy);
/* Returns the index of the response, whose body the caller stores next. */
uint32_t journal_commit(struct journal *j, unsigned e, int8_t status);
/* Publishes what was committed. */
void journal_publish(struct journal *j, volatile uint32_t *rsp_prod);

/* Entries of a dead instance, by what is to be done. */
struct journal_replay {
    uint8_t answer[JOURNAL_MAX]; /* committed and not visible: in the order of their response indices */
    unsigned nr_answer;
    uint8_t run[JOURNAL_MAX]; /* taken: in the order of their requests */
    unsigned nr_run;
    uint32_t rsp_prod; /* as it was checked: the front-end may change it meanwhile */
};
/* Holds pages and rsp_prod against each other; stores nothing. NULL: sound, *r is filled in and *j ready but for the commit half. */
const char *journal_check(struct journal *j, uint32_t rsp_prod, struct journal_replay *r);
/* Then: the bodies of r->answer were stored again by the caller; publishes them, frees what is over. */
void journal_settle(struct journal *j, const struct journal_replay *r, volatile uint32_t *rsp_prod);
