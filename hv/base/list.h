/* SPDX-License-Identifier: MIT */
/* Circular doubly linked list with a head node; an empty one points at itself. No lock: who has the list has its own. */
#pragma once
#include "base/types.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
static inline void list_insert(struct list *at, struct list *n) /* before at: at a head, the tail */
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}
static inline void list_del(struct list *n) /* idempotent: a deleted node is an empty list */
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}
#define list_entry(p, t, m) container_of(p, t, m)
