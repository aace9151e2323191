/* SPDX-License-Identifier: MIT */
/*
 * The tree of nodes: persistent (in the sense of functional programming). A node never changes once it is reachable; a
 * change copies the nodes on the way up to the root and shares everything else. So a request that fails half-way leaves
 * nothing behind, and a change becomes visible by the assignment of one root. The old version goes with the request:
 * nobody holds one for longer.
 *
 * Every node carries three generations: `gen` moves when the node is made or its data or permissions change, `cgen` when
 * its list of children does, `tgen` when anything at or below it does.
 *
 * A node, its name, its data and its permissions lie in its owner's heap (mem.h).
 *
 * A change is prepared in an edit: a root, and what the change adds to or takes from each owner's account. An edit that
 * returned an error must be dropped.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "mem.h"

#define XS_PATH_MAX  3072 /* XENSTORE_ABS_PATH_MAX */
#define XS_MAX_DEPTH (XS_PATH_MAX / 2 + 2)

/* Errors of requests. The wire carries their names. */
enum xs_err {
    XE_OK = 0,
    XE_EINVAL,
    XE_EACCES,
    XE_EEXIST,
    XE_EISDIR,
    XE_ENOENT,
    XE_ENOMEM,
    XE_ENOSPC,
    XE_EIO,
    XE_ENOTEMPTY,
    XE_ENOSYS,
    XE_EROFS,
    XE_EBUSY,
    XE_EAGAIN,
    XE_EISCONN,
    XE_E2BIG,
    XE_EPERM,
    XE_NR
};

#define PERM_READ  1u
#define PERM_WRITE 2u
#define PERM_OWNER 4u /* never stored: what perms_for() answers to the owner */

struct perm {
    uint16_t domid;
    uint8_t bits; /* PERM_READ, PERM_WRITE */
    uint8_t pad;
};

/* Counted: shared among the versions of a node. The first entry names the owner, its bits are for everybody that no other
 * entry names. It never changes but in one way: entries of a domain that is gone are struck out (permset_strike). */
struct permset {
    uint32_t refs;
    uint16_t n;    /* a request's payload has room for 1,365 */
    uint16_t room; /* for how many entries it was made: what the owner pays for */
    struct perm p[];
};

struct text {
    uint32_t refs, len;
    char s[]; /* NUL-terminated beyond len */
};

struct node {
    uint32_t refs, nr;
    union {
        uint64_t gen;
        struct node *next_dead; /* while being freed */
    };
    uint64_t cgen, tgen;
    struct text *name;
    struct text *data; /* NULL: empty */
    struct permset *perms;
    struct node *child[]; /* nr, sorted by name */
};

struct usage {
    uint16_t domid;
    int nodes, bytes;
};

extern uint64_t tree_work; /* counts nodes copied, compared and visited, for whoever divides the time */

struct edit {
    struct node *root; /* a reference */
    uint64_t *gen;     /* the store's one counter */
    uint64_t from;     /* what it was at the beginning */
    struct heap *by;   /* of who asked: the accounts below are in it */
    struct usage *delta;
    unsigned nr, cap;
};

struct permset *permset_new(struct heap *h, unsigned n); /* room for n, one reference; NULL: h is full */
/* What a node made below one with `from` gets: the same, with another owner (OWNER_KEEP: his). A reference, in h or from itself. */
struct permset *permset_inherit(struct heap *h, struct permset *from, int owner);
static inline struct permset *permset_get(struct permset *p)
{
    p->refs++;
    return p;
}
void permset_put(struct permset *p);
/* Nobody of that domid has a right by p any more; if he owned it, domain 0 does. Needs no memory and moves no generation, since for
 * everybody else nothing changes. */
void permset_strike(struct permset *p, uint16_t domid);
bool permset_names(const struct permset *p, uint16_t domid); /* beside the owner */

static inline struct node *node_get(struct node *n)
{
    n->refs++;
    return n;
}
void node_put(struct node *n);
struct node *tree_new(uint64_t *gen, uint16_t owner); /* a root, nothing for others */
/* One node of a tree that is put together from its top, with room for nr children, which the caller puts there. */
struct node *tree_part(const char *name, size_t name_len, struct permset *perms, const void *data,
                       size_t len, unsigned nr, uint64_t gen);
/* Paths here are valid ones (path.c): "/" or "/a/b". */
struct node *tree_find(struct node *root, const char *path);
struct node *tree_find_n(struct node *root, const char *path,
                         size_t len);     /* of its first len characters */
size_t path_parent_len(const char *path); /* how many of them name the parent; the root's is itself */
/* The deepest node that exists on the way to there (itself included); *used = how much of the path that is. */
struct node *tree_nearest(struct node *root, const char *path, size_t len, size_t *used);
/* The order of a node's children, < 0, 0 or > 0: by bytes, but for names that begin with a digit, of which the shorter one comes first. So 2 comes before
 * 10: Linux numbers its interfaces in the order in which it finds devices. */
int name_order(const char *s, size_t len, const char *t, size_t t_len);
uint32_t node_cost(const struct node *n); /* for the owner's memory quota */

/* Calls fn for everything below and at top, children before parents, until it returns non-zero. Not re-entrant. */
typedef int (*visit_fn)(const struct node *n, const struct node *parent, const char *path, void *arg);
int tree_visit(const struct node *top, const struct node *parent, const char *path, visit_fn fn,
               void *arg);

/* A change of the tree: a new version of each node on the way to what is changed, on top of root, which stays as it is until the caller takes
 * e->root in its place. 0 or an XE_*, ENOMEM where the heap `by` is full; then e->root is as it was. */
void edit_begin(struct edit *e, struct node *root, uint64_t *gen, struct heap *by);
void edit_drop(struct edit *e); /* its reference goes, and what it counted */
#define OWNER_KEEP (-1)
int edit_set_data(struct edit *e, const char *path, const void *data, size_t len);
int edit_set_perms(struct edit *e, const char *path, struct permset *perms);
/* Makes path and what is missing above it. Permissions come from the nearest node there is; the owner in them becomes
 * `owner` unless that is OWNER_KEEP. */
int edit_create(struct edit *e, const char *path, const void *data, size_t len, int owner);
int edit_rm(struct edit *e, const char *path); /* with all below; not the root */
const struct usage *edit_delta(const struct edit *e, uint16_t domid); /* or NULL */
