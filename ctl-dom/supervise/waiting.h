/* SPDX-License-Identifier: MIT */
/* Guests that would have started by themselves and wait for a driver domain; `list` says for which. */
#pragma once
#include <bulkhead.h>
#include <stdbool.h>

struct waiting {
    struct waiting *next;
    const char *config; /* the bundle's own */
    char name[BH_NAME_LEN];
    char what[200]; /* "NAME: disk xvda: no block driver domain blk1" */
};
extern struct waiting *waiting; /* in the order in which they would have started */

/* NULL: out of memory. */
struct waiting *waiting_add(const char *name, const char *config, const char *what);
void waiting_remove(struct waiting *w);
bool waiting_forget(const char *name); /* it waits no more; false: it did not */
void waiting_list(void);               /* prints a line for each */
void waiting_look(void);               /* a driver domain was made */
bool waiting_looks(void);              /* one was, and not all were looked at since */
void waiting_looked(void);
