/* SPDX-License-Identifier: MIT */
/* Writing the store: nodes in a transaction that remembers its first error. */
#pragma once
#include "domain/dom.h"

struct txn {
    uint32_t tx;
    int rc;
};

/* val NULL: a directory; perms NULL: what the parent gives. */
void node(struct txn *t, const char *val, const char *perms, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A number, in decimal. */
void node_num(struct txn *t, uint64_t v, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Removes it and all below; nothing there is as good. */
void no_node(struct txn *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Runs fill in a transaction until no other writer was in its way. */
int commit(struct dom *d, void (*fill)(struct txn *t, struct dom *d, void *arg), void *arg,
           struct errbuf *e);
