/* SPDX-License-Identifier: MIT */
/*
 * Whose requests the store dies at (docs/restart-protocol.md 11; of devices: drivers-dom/lib/blame.h). The head of the keep pages says all the time whose
 * ring is being worked on. The second death at the same client's within WINDOW_NS puts that client aside: nothing of it is touched any more and nothing is
 * told it, until it gets another chance or is released; the others are served. The control domain never is. Each client has its place here, so
 * however many work together, none gets another's.
 *
 * The dead instance may have been anybody's, so all of it is a hint: it can put aside clients whom it could have left unserved as well.
 */
#include "xs.h"
#include <stdio.h>
#include <string.h>
#include "journal.h"

#define WINDOW_NS 60000000000ull
#define FOR_GOOD  UINT64_MAX /* instead of the time of a death: put aside */

_Static_assert(XS_GUESTS + XS_DRIVERS < J_DEATHS, "not a place for each client");

static uint64_t name_of(uint16_t domid) { return word_of(domid + 1u); }

static struct jdeath *death_of(uint16_t domid)
{
    struct jhead *h = journal_head();
    for (unsigned i = 0; h && i < J_DEATHS; i++)
        if (h->death[i].whose == name_of(domid))
            return &h->death[i];
    return NULL;
}

/* One that names nobody who is there; they are fewer than there are places. */
static struct jdeath *place(struct xs *xs, struct jhead *h)
{
    for (unsigned i = 0; i < J_DEATHS; i++) {
        uint64_t w = h->death[i].whose;
        if (!word_ok(w) || !conn_find(xs, (uint16_t)(w - 1)))
            return &h->death[i];
    }
    return h->death;
}

void aside_look(struct conn *c)
{
    const struct jdeath *d = c->privileged ? NULL : death_of(c->domid);
    c->aside = d && d->when == FOR_GOOD ? ASIDE : SERVED;
}

void aside_begin(struct xs *xs, uint64_t now, bool ordered)
{
    struct jhead *h = journal_head();
    uint64_t whose = h ? h->whose : 0;
    for (struct conn *i = xs->conns; i; i = i->next)
        aside_look(i);
    struct conn *c = whose && word_ok(whose) ? conn_find(xs, (uint16_t)(whose - 1)) : NULL;
    aside_working(NULL); /* first: who dies now is not counted a second time */
    if (!c || c->privileged || c->aside || ordered)
        return;
    struct jdeath *d = death_of(c->domid);
    if (!d) {
        d = place(xs, h);
        journal_store(&d->whose, 0);
        journal_store(&d->when, now);
        journal_store(&d->whose, whose);
        return;
    }
    c->aside = now - d->when < WINDOW_NS ? ASIDE : SERVED;
    journal_store(&d->when, c->aside ? FOR_GOOD : now);
    if (c->aside && xs->ops->say)
        xs->ops->say(c, "is put aside: twice within a minute the store died at work on it");
}

void aside_working(const struct conn *c)
{
    struct jhead *h = journal_head();
    if (h)
        journal_store(&h->whose, c ? name_of(c->domid) : 0);
}

void aside_forget(uint16_t domid)
{
    struct jdeath *d = death_of(domid);
    if (d)
        journal_store(&d->whose, 0);
}

bool aside_again(struct xs *xs, uint16_t domid)
{
    struct conn *c = conn_find(xs, domid);
    if (!c || c->aside != ASIDE)
        return false;
    aside_forget(domid);
    c->aside = COMES_BACK;
    c->kicked = true;
    watches_missed(c);
    return true;
}

uint32_t aside_list(const struct xs *xs, char *buf, uint32_t size)
{
    uint32_t n = 0;
    for (const struct conn *c = xs->conns; c && size - n > 8; c = c->next)
        if (c->aside == ASIDE)
            n += (uint32_t)snprintf(buf + n, size - n, "%u", c->domid) + 1;
    return n;
}
