/* SPDX-License-Identifier: MIT */
/* Whose requests a driver domain dies at: see blame.h. */
#include <blame.h>

static struct blame nowhere; /* before blame_begin */
struct blame *blame_kept = &nowhere;
static unsigned nr;

static struct blame_death *death_of(uint32_t gen)
{
    for (unsigned i = 0; gen && i < nr; i++) {
        if (blame_kept->death[i].whose == keep_idx(gen))
            return &blame_kept->death[i];
    }
    return NULL;
}

/* One that names no device of ours, else the one of the oldest death. */
static struct blame_death *place(blame_there *there)
{
    struct blame_death *oldest = blame_kept->death;
    uint64_t chances;

    for (unsigned i = 0; i < nr; i++) {
        struct blame_death *d = &blame_kept->death[i];
        if (!keep_idx_ok(d->whose) || !there((uint32_t)d->whose, &chances))
            return d;
        if (d->when < oldest->when)
            oldest = d;
    }
    return oldest;
}

void blame_begin(struct blame *b, unsigned deaths, uint64_t now, bool ordered, blame_there *there)
{
    uint64_t whose = b->whose, chances;
    uint32_t gen = (uint32_t)whose;

    blame_kept = b;
    nr = deaths;
    blame(0); /* first: who dies now is not counted a second time */
    if (!keep_idx_ok(whose) || !gen || ordered || !there(gen, &chances))
        return;
    struct blame_death *d = death_of(gen);
    if (d) {
        if (d->when != BLAME_ASIDE + chances)
            SHARED_STORE(&d->when, now - d->when < BLAME_WINDOW_NS ? BLAME_ASIDE + chances : now);
        return;
    }
    d = place(there);
    SHARED_STORE(&d->whose, keep_idx(0));
    SHARED_STORE(&d->when, now);
    SHARED_STORE(&d->whose, keep_idx(gen));
}

bool blame_aside(uint32_t gen, uint64_t chances)
{
    const struct blame_death *d = death_of(gen);

    return d && d->when == BLAME_ASIDE + chances;
}
