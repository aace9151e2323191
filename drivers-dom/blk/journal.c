/* SPDX-License-Identifier: MIT */
/* The journal of one ring: see journal.h for the order of stores. */
#include "journal.h"
#include <string.h>

#define FREE_WORD keep_state(KEEP_FREE, 0, 0, 0)

static struct keep_ring *indices(const struct journal *j) { return &j->page[0]->ring; }

void journal_open(struct journal *j, uint32_t start)
{
    for (unsigned e = 0; e < j->size; e++)
        SHARED_STORE(&journal_entry(j, e)->state, FREE_WORD);
    keep_ring_open(indices(j), start);
    journal_begin(j, start);
}

void journal_begin(struct journal *j, uint32_t start)
{
    j->req_cons = j->rsp_next = j->rsp_pub = start;
    j->nr_free = j->nr_committed = 0;
    for (unsigned e = j->size; e-- > 0;)
        j->free[j->nr_free++] = (uint8_t)e;
}

unsigned journal_take(struct journal *j, struct keep_entry *copy)
{
    unsigned e = j->free[--j->nr_free];
    struct keep_entry *k = journal_entry(j, e);
    const uint64_t *from = &copy->id;
    uint64_t *to = &k->id;

    copy->req_idx = j->req_cons;
    copy->check = keep_entry_check(copy);
    copy->state = keep_state(KEEP_TAKEN, 0, 0, copy->check);
    for (unsigned i = 0; i < KEEP_ENTRY_WORDS - 2; i++)
        SHARED_STORE(&to[i], from[i]);
    SHARED_STORE(&k->check, copy->check);
    SHARED_STORE(&k->state, copy->state);
    j->req_cons++;
    SHARED_STORE(&indices(j)->req_cons, keep_idx(j->req_cons));
    return e;
}

uint32_t journal_commit(struct journal *j, unsigned e, int8_t status)
{
    struct keep_entry *k = journal_entry(j, e);
    uint32_t rsp = j->rsp_next++;

    SHARED_STORE(&k->state, keep_state(KEEP_COMMITTED, status, rsp, k->check));
    j->committed[j->nr_committed++] = (uint8_t)e;
    return rsp;
}

static void entry_free(struct journal *j, unsigned e)
{
    SHARED_STORE(&journal_entry(j, e)->state, FREE_WORD);
    j->free[j->nr_free++] = (uint8_t)e;
}

void journal_publish(struct journal *j, volatile uint32_t *rsp_prod)
{
    if (j->rsp_next == j->rsp_pub)
        return;
    keep_ring_publish(indices(j), rsp_prod, j->rsp_next);
    j->rsp_pub = j->rsp_next;
    for (unsigned i = 0; i < j->nr_committed; i++)
        entry_free(j, j->committed[i]);
    j->nr_committed = 0;
}

/* --- adoption --------------------------------------------------------------------------------------------- */

/* Of entry e, taken: below req_cons it runs again, at it the ring still has it, anywhere else it is nonsense. */
static const char *taken_check(const struct journal *j, struct journal_replay *r, unsigned e)
{
    uint32_t idx = journal_entry(j, e)->req_idx;
    unsigned at;

    if (idx == j->req_cons)
        return NULL;
    if ((int32_t)(j->req_cons - idx) < 0)
        return "a journal entry lies ahead of the ring";
    for (at = r->nr_run++; at > 0; at--) {
        int32_t d = (int32_t)(idx - journal_entry(j, r->run[at - 1])->req_idx);
        if (!d)
            return "two journal entries for one request";
        if (d > 0)
            break;
        r->run[at] = r->run[at - 1];
    }
    r->run[at] = (uint8_t)e;
    return NULL;
}

static const char *entries_check(const struct journal *j, uint32_t rsp_prod, struct journal_replay *r)
{
    bool seen[JOURNAL_MAX] = { false };
    const char *why = NULL;

    r->nr_run = r->nr_answer = 0;
    for (unsigned e = 0; e < j->size && !why; e++) {
        const struct keep_entry *k = journal_entry(j, e);
        uint32_t at = keep_rsp_of(k->state) - rsp_prod;
        if (!keep_state_ok(k->state, k->check))
            return "the state of a journal entry is damaged";
        if (keep_state_of(k->state) == KEEP_FREE)
            continue;
        if (k->check != keep_entry_check(k))
            return "a journal entry is damaged";
        if (keep_state_of(k->state) == KEEP_TAKEN) {
            why = taken_check(j, r, e);
        } else if (keep_state_of(k->state) != KEEP_COMMITTED) {
            return "a journal entry has no state";
        } else if (at < j->size && !seen[at]) {
            seen[at] = true;
            r->answer[at] = (uint8_t)e;
            r->nr_answer++;
        } else if (at < j->size || rsp_prod - keep_rsp_of(k->state) >
                                       j->size) { /* else visible: published, not freed yet */
            return "journal entries contradict the ring's responses";
        }
    }
    if (why)
        return why;
    for (unsigned i = 0; i < r->nr_answer; i++) {
        if (!seen[i])
            return "a response is missing in the journal";
    }
    if (r->nr_answer < j->rsp_next - rsp_prod)
        return "a response is missing in the journal";
    return r->nr_run + r->nr_answer == j->req_cons - rsp_prod
               ? NULL
               : "the journal and the ring do not add up";
}

const char *journal_check(struct journal *j, uint32_t rsp_prod, struct journal_replay *r)
{
    const struct keep_ring *k = indices(j);
    const char *why = keep_ring_check(k, rsp_prod, j->size);

    r->rsp_prod = rsp_prod;
    if (why)
        return why;
    j->req_cons = (uint32_t)k->req_cons;
    j->rsp_pub = (uint32_t)k->rsp_pub;
    j->rsp_next = (uint32_t)k->rsp_next;
    return entries_check(j, rsp_prod, r);
}

/*
 * The bodies at rsp_prod + i are those of r->answer[i]. A death in here is one that journal_check finds sound again: rsp_prod equals
 * rsp_pub or rsp_next before and after each of the stores, and entries are freed only when rsp_pub has passed them.
 */
void journal_settle(struct journal *j, const struct journal_replay *r, volatile uint32_t *rsp_prod)
{
    uint32_t was = r->rsp_prod, to = was + r->nr_answer;
    bool run[JOURNAL_MAX] = { false };

    if (j->rsp_pub != was)
        SHARED_STORE(&indices(j)->rsp_pub, keep_idx(was));
    if (to != was)
        keep_ring_publish(indices(j), rsp_prod, to);
    j->rsp_next = j->rsp_pub = to;
    j->nr_free = j->nr_committed = 0;
    for (unsigned i = 0; i < r->nr_run; i++)
        run[r->run[i]] = true;
    for (unsigned e = j->size; e-- > 0;) {
        if (run[e])
            continue;
        if (journal_entry(j, e)->state == FREE_WORD)
            j->free[j->nr_free++] = (uint8_t)e;
        else
            entry_free(j, e);
    }
}
