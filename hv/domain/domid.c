/* SPDX-License-Identifier: MIT */
/* Domids of guests: which is free, and who still names one. */
#include "domain/domain.h"

/*
 * Each is used once; then they are used again, the one longest free first, and only when nothing names it any more. What the core
 * knows is looked through when a domid is to be used again: ports that wait for a peer or had one, entries of grants, a slot's
 * console and store. Frames, mappings, devices and the IOMMU's tag keep a domain from being freed, or go with it. What services
 * know the control domain must have removed: the domid of a guest that had a store ring is free only when it said so
 * (BH_CTL_FORGET); without a ring no service ever heard of it.
 */
#define NR_GUEST_IDS (BH_DOMID_ANY - BH_FIRST_GUEST)
#define LOOKS        4096u /* ports and entries that one call looks at */

enum { NEVER, USED, NAMED, FREE };

static struct spinlock look_lock; /* who looks for one: `look`, passed_over, the queue's head; outside of all but op_lock */
static struct spinlock domid_lock; /* the rest; a leaf, since a domain may be freed while one is looked for */
static uint8_t id_state[NR_GUEST_IDS];
static uint32_t next_new;               /* NEVER from here on */
static uint16_t id_queue[NR_GUEST_IDS]; /* FREE ones, the one longest free first; a ring */
static uint32_t id_first, nr_free;
static uint32_t passed_over; /* since one was taken: named all the same, now at the queue's end */
static struct {
    uint32_t domid;
    uint64_t at;
} look; /* how far the first one was looked for: domain; port, or EVTCHN_PORTS + entry */

static void id_push(uint16_t i)
{
    id_state[i] = FREE;
    id_queue[(id_first + nr_free++) % NR_GUEST_IDS] = i;
}
static uint16_t id_pop(void)
{
    uint16_t i = id_queue[id_first];
    id_first = (id_first + 1) % NR_GUEST_IDS;
    nr_free--;
    look.domid = 0;
    look.at = 0;
    return i;
}

/* d's ports, then its grants, on from look.at. */
static int names(struct domain *d, domid_t id, unsigned *budget)
{
    int rc = look.at < EVTCHN_PORTS ? evtchn_names(d, id, &look.at, budget) : 0;
    return rc ? rc : grant_names(d, id, &look.at, budget);
}

/* Does a domain name id? 1 or 0, HC_AGAIN when the budget is spent: it goes on from `look`. */
static int named(domid_t id, unsigned *budget)
{
    struct domain *d;

    while ((d = domain_get_next((domid_t)look.domid)) != NULL) {
        int rc = d->rings && (d->console_domid == id || d->store_domid == id);
        if (d->id != look.domid)
            look.at = 0;
        look.domid = d->id;
        if (!rc)
            rc = names(d, id, budget);
        domain_put(d);
        if (rc)
            return rc;
        look.domid++;
        look.at = 0;
    }
    return 0;
}

static int alloc_again(domid_t *id)
{
    unsigned budget = LOOKS;

    while (passed_over < READ_ONCE(nr_free)) {
        int rc = named((domid_t)(id_queue[id_first] + BH_FIRST_GUEST), &budget);
        if (rc == HC_AGAIN)
            return rc;
        spin_lock(&domid_lock);
        uint16_t i = id_pop();
        if (rc)
            id_push(i);
        else
            id_state[i] = USED;
        spin_unlock(&domid_lock);
        passed_over = rc ? passed_over + 1 : 0;
        *id = (domid_t)(i + BH_FIRST_GUEST);
        if (!rc)
            return 0;
    }
    passed_over = 0;
    return -ENOSPC;
}

int domid_alloc(domid_t *id)
{
    spin_lock(&look_lock);
    bool new = next_new < NR_GUEST_IDS;
    if (new) {
        spin_lock(&domid_lock);
        id_state[next_new] = USED;
        *id = (domid_t)(next_new++ + BH_FIRST_GUEST);
        spin_unlock(&domid_lock);
    }
    int rc = new ? 0 : alloc_again(id);
    spin_unlock(&look_lock);
    return rc;
}

void domid_free(domid_t id, bool services_know)
{
    if (id < BH_FIRST_GUEST)
        return;
    uint16_t i = (uint16_t)(id - BH_FIRST_GUEST);
    spin_lock(&domid_lock);
    if (services_know)
        id_state[i] = NAMED;
    else
        id_push(i);
    spin_unlock(&domid_lock);
}

int domid_forget(domid_t id)
{
    if (id < BH_FIRST_GUEST || id >= BH_DOMID_ANY)
        return -EINVAL;
    uint16_t i = (uint16_t)(id - BH_FIRST_GUEST);
    spin_lock(&domid_lock);
    int rc = id_state[i] == USED ? -EBUSY : -ESRCH;
    if (id_state[i] == NAMED) {
        id_push(i);
        rc = 0;
    }
    spin_unlock(&domid_lock);
    return rc;
}
