/* SPDX-License-Identifier: MIT */
/* Guests that do not run yet: they would have started by themselves and wait for a driver domain, or could not be started again and are tried
 * until they can. `list` says why. */
#pragma once
#include "config/config.h"
#include "domain/error.h"

/* Lies in a record (domain/records.h). */
struct waiting {
    struct waiting *next;
    struct domcfg cfg;
    char what[sizeof(((struct errbuf *)0)->s)]; /* "NAME: disk xvda: no block driver domain blk1" */
    char config[64];      /* the bundle's own; "": it ran before, and is tried at retry_ns, too */
    unsigned tries;       /* of those */
    unsigned short_lives; /* struct dom's */
    uint64_t retry_ns;
};
extern struct waiting *waiting; /* in the order in which they would have started */

/* config NULL: none. NULL: out of memory. */
struct waiting *waiting_add(const struct domcfg *cfg, const char *config, const char *what);
void waiting_find_all(void); /* those that a former instance of ours left */
void waiting_remove(struct waiting *w);
struct waiting *waiting_find(const char *name); /* NULL: it does not wait */
bool waiting_forget(const char *name);          /* it waits no more; false: it did not */
void waiting_list(void);                        /* prints a line for each */
void waiting_look(void);                        /* a driver domain was made: all are due */
void waiting_due(void);                         /* the time of one has come */
bool waiting_looks(void);                       /* so it is, and not all were looked at since */
void waiting_looked(void);
