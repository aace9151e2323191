/* SPDX-License-Identifier: MIT */
/* The table of domains, by domid, and the references that keep each alive: see table.c. */
#pragma once
#include "domain/struct.h"

/* Looks up and takes a reference; NULL if there is none. */
struct domain *domain_get(domid_t id) __must_check;
struct domain *domain_get_next(domid_t from) __must_check; /* lowest domid >= from */
bool domain_try_next(domid_t from, struct domain **d)
    __must_check; /* the same; waits for nobody: false, the list is held */
void domain_put(struct domain *d);
/* Puts d into the table; others find it as soon as there is a reference. When the last one goes, free is called. -EEXIST, -ENOSPC */
int domain_list(struct domain *d, void (*free)(struct domain *d)) __must_check;
void domain_unlink(struct domain *d); /* out of it: nobody finds it any more */
/* One whose destroy is complete and whose last frame came back, with a reference, or NULL. */
struct domain *domain_get_gone(void) __must_check;
/* Its destroy is complete: from now on it is not one of the guests that there may be, whoever still maps a page of it. */
void domain_ended(struct domain *d);
/* Off the list, and drops the list's own reference: the last domain_put frees vCPUs, p2m tables, grant table, event
 * channels and shared_info. Once a domain, by domain_reap alone. */
void domain_unlist(struct domain *d);
