/* SPDX-License-Identifier: MIT */
/*
 * The domain table: who finds a domain by its domid, and how long it lives. It stands below all that uses domains and knows nothing of
 * what they are made of: the last reference calls what domain_list was given.
 */
#include "domain/table.h"

#define MAX_GUESTS 200u
#define HASH       64u

/* Leaf lock: nothing else is taken under it. */
static struct spinlock list_lock;
static struct domain *domains, *hash[HASH];
static uint32_t nr_guests;

/* Only while somebody holds one: zero is final. */
static bool try_ref(struct domain *d)
{
    uint32_t r = d->refs;
    while (r)
        if (__atomic_compare_exchange_n(&d->refs, &r, r + 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

struct domain *domain_get(domid_t id)
{
    spin_lock(&list_lock);
    struct domain *d = hash[id % HASH];
    while (d && d->id != id)
        d = d->hash_next;
    if (d && !try_ref(d))
        d = NULL;
    spin_unlock(&list_lock);
    return d;
}

/* list_lock, which it lets go. */
static struct domain *next_from(domid_t from)
{
    struct domain *d = domains;
    while (d && (d->id < from || !try_ref(d)))
        d = d->next;
    spin_unlock(&list_lock);
    return d;
}

struct domain *domain_get_next(domid_t from)
{
    spin_lock(&list_lock);
    return next_from(from);
}

bool domain_try_next(domid_t from, struct domain **d)
{
    if (!spin_trylock(&list_lock))
        return false;
    *d = next_from(from);
    return true;
}

struct domain *domain_get_gone(void)
{
    spin_lock(&list_lock);
    struct domain *d = domains;
    while (d && !(d->ended && !d->tot_pages && try_ref(d)))
        d = d->next;
    spin_unlock(&list_lock);
    return d;
}

void domain_put(struct domain *d)
{
    if (__atomic_sub_fetch(&d->refs, 1, __ATOMIC_ACQ_REL) == 0)
        d->free(d);
}

static void uncount(struct domain *d)
{
    nr_guests -= d->counted;
    d->counted = false;
}

void domain_ended(struct domain *d)
{
    spin_lock(&list_lock);
    uncount(d);
    d->ended = true;
    spin_unlock(&list_lock);
}

void domain_unlink(struct domain *d)
{
    spin_lock(&list_lock);
    for (struct domain **p = &domains; *p; p = &(*p)->next)
        if (*p == d) {
            *p = d->next;
            break;
        }
    for (struct domain **p = &hash[d->id % HASH]; *p; p = &(*p)->hash_next)
        if (*p == d) {
            *p = d->hash_next;
            break;
        }
    uncount(d);
    spin_unlock(&list_lock);
}

void domain_unlist(struct domain *d)
{
    domain_unlink(d);
    domain_put(d);
}

int domain_list(struct domain *d, void (*free)(struct domain *d))
{
    bool guest = d->id >= BH_FIRST_GUEST;
    spin_lock(&list_lock);
    int rc = guest && nr_guests >= MAX_GUESTS ? -ENOSPC : 0;
    for (struct domain *o = hash[d->id % HASH]; o; o = o->hash_next)
        if (o->id == d->id)
            rc = -EEXIST;
    if (!rc) {
        nr_guests += guest;
        d->counted = guest;
        d->free = free;
        struct domain **p = &domains;
        while (*p && (*p)->id < d->id)
            p = &(*p)->next;
        d->next = *p;
        *p = d;
        d->hash_next = hash[d->id % HASH];
        hash[d->id % HASH] = d;
    }
    spin_unlock(&list_lock);
    return rc;
}
