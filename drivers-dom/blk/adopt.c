/* SPDX-License-Identifier: MIT */
/*
 * Keep records: heads, and which pages belong together. A connection's record comes to life with the store of its master page's
 * magic, after everything else of it, and dies with the clearing of it, before anything else. Pages without their master are free.
 */
#include <errno.h>
#include <string.h>
#include "journal.h"

/* --- connections ------------------------------------------------------------------------------------------- */

void keep_init(struct keep *k, void *pages, unsigned n)
{
    memset(k, 0, sizeof(*k));
    k->page = pages;
    k->n = n < KEEP_MAX_PAGES ? n : KEEP_MAX_PAGES;
}

unsigned keep_free_pages(const struct keep *k)
{
    unsigned n = 0;

    for (unsigned i = 0; i < k->n; i++)
        n += !k->used[i];
    return n;
}

unsigned keep_share(unsigned left, unsigned others)
{
    unsigned n = KEEP_QUEUES * KEEP_RING_PAGES;

    while (n > 1 && (n > left / 3 || left < n + others))
        n /= 2;
    return n;
}

static struct keep_page *page_claim(struct keep *k)
{
    for (unsigned i = 0; i < k->n; i++) {
        if (k->used[i])
            continue;
        k->used[i] = true;
        SHARED_STORE(&k->page[i].head.magic, 0u);
        return &k->page[i];
    }
    return NULL;
}

static void page_save(const struct keep_conn *c, unsigned q, unsigned p)
{
    struct keep_head h = c->head;

    h.queue = (uint8_t)q;
    h.page = (uint8_t)p;
    h.port = c->q[q].port;
    memcpy(h.ref, c->q[q].ref, sizeof(h.ref));
    keep_record_save(&c->q[q].page[p]->head, &h, q || p ? KEEP_PAGE_MAGIC : KEEP_MASTER_MAGIC,
                     KEEP_VERSION, sizeof(h));
}

int keep_open(struct keep *k, struct keep_conn *c)
{
    unsigned nq = c->head.nr_queues, np = c->head.nr_pages;

    if (nq * np > keep_free_pages(k))
        return -ENOSPC;
    for (unsigned q = 0; q < nq; q++) {
        struct journal j = { .size = np * KEEP_ENTRIES };
        for (unsigned p = 0; p < np; p++)
            j.page[p] = c->q[q].page[p] = page_claim(k);
        journal_open(&j, c->q[q].start);
    }
    c->master = c->q[0].page[0];
    for (unsigned i = nq * np; i-- > 0;)
        page_save(c, i / np, i % np);
    return 0;
}

void keep_close(struct keep *k, struct keep_conn *c)
{
    SHARED_STORE(&c->master->head.magic, 0u);
    for (unsigned q = 0; q < c->head.nr_queues; q++) {
        for (unsigned p = 0; p < c->head.nr_pages; p++) {
            if (c->q[q].page[p])
                k->used[c->q[q].page[p] - k->page] = false;
        }
    }
}

/* Sound in itself, and one that keep_open could have written. */
static bool head_ok(const struct keep_head *h, uint32_t magic)
{
    return keep_record_valid(h, magic, KEEP_VERSION, sizeof(*h)) && h->nr_queues &&
           h->nr_queues <= KEEP_QUEUES && h->queue < h->nr_queues && h->nr_pages &&
           h->nr_pages <= KEEP_RING_PAGES && !(h->nr_pages & (h->nr_pages - 1)) &&
           h->page < h->nr_pages && h->proto <= PROTO_X86_32;
}

/* The pages of the master's generation. false: one is missing or there twice. */
static bool conn_collect(struct keep *k, struct keep_conn *c, unsigned master)
{
    unsigned n = 0;

    memset(c->q, 0, sizeof(c->q));
    for (unsigned i = 0; i < k->n; i++) {
        const struct keep_head *h = &k->page[i].head;
        if (i != master && (!head_ok(h, KEEP_PAGE_MAGIC) || h->gen != c->head.gen ||
                            h->domid != c->head.domid || h->devid != c->head.devid ||
                            h->nr_queues != c->head.nr_queues || h->nr_pages != c->head.nr_pages))
            continue;
        struct keep_queue *q = &c->q[h->queue];
        if (q->page[h->page])
            return false;
        k->used[i] = true;
        q->page[h->page] = &k->page[i];
        q->port = h->port;
        memcpy(q->ref, h->ref, sizeof(q->ref));
        n++;
    }
    return n == (unsigned)c->head.nr_queues * c->head.nr_pages;
}

enum keep_found keep_next(struct keep *k, unsigned *at, struct keep_conn *c)
{
    while (*at < k->n) {
        unsigned i = (*at)++;
        const struct keep_head *h = &k->page[i].head;
        if (!h->magic || (h->magic == KEEP_PAGE_MAGIC && head_ok(h, KEEP_PAGE_MAGIC)))
            continue; /* free, or one that its master speaks for */
        if (head_ok(h, KEEP_MASTER_MAGIC) && !h->queue && !h->page) {
            c->head = *h;
            c->master = &k->page[i];
            return conn_collect(k, c, i) ? KEEP_VALID : KEEP_INCOMPLETE;
        }
        return KEEP_DAMAGED;
    }
    return KEEP_END;
}
