/* SPDX-License-Identifier: MIT */
/* The state of the store: connections, and the account of every owner. */
#include "xs.h"
#include <string.h>
#include "mem.h"

/* --- accounts --------------------------------------------------------------------------------------------------- */
struct usage *xs_usage(struct xs *xs, uint16_t domid, bool create)
{
    for (unsigned i = 0; i < xs->nr_usage; i++)
        if (xs->usage[i].domid == domid)
            return &xs->usage[i];
    if (!create)
        return NULL;
    if (xs->nr_usage == xs->cap_usage) {
        unsigned cap = xs->cap_usage ? 2 * xs->cap_usage : 16;
        struct usage *u = xs_alloc(cap * sizeof *u);
        if (!u)
            return NULL;
        if (xs->nr_usage)
            memcpy(u, xs->usage, xs->nr_usage * sizeof *u);
        xs_free(xs->usage);
        xs->usage = u;
        xs->cap_usage = cap;
    }
    struct usage *u = &xs->usage[xs->nr_usage++];
    *u = (struct usage){ .domid = domid };
    return u;
}

/* Makes sure that committing e needs no memory. */
int xs_usage_reserve(struct xs *xs, const struct edit *e)
{
    for (unsigned i = 0; i < e->nr; i++)
        if (!xs_usage(xs, e->delta[i].domid, true))
            return XE_ENOMEM;
    return XE_OK;
}

struct recount {
    struct xs *xs;
    uint16_t domid;
    int nodes, bytes;
};

static int recount(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    struct recount *c = arg;
    (void)parent;
    (void)path;
    if (!xs_usage(c->xs, n->perms->p[0].domid, false))
        return 1;
    if (n->perms->p[0].domid == c->domid) {
        c->nodes++;
        c->bytes += (int)node_cost(n);
    }
    return 0;
}

int xs_check(struct xs *xs)
{
    for (unsigned i = 0; i < xs->nr_usage; i++) {
        struct recount c = { .xs = xs, .domid = xs->usage[i].domid };
        if (tree_walk(xs->main.root, NULL, "/", recount, &c))
            return -1;
        if (c.nodes != xs->usage[i].nodes || c.bytes != xs->usage[i].bytes)
            return -1;
    }
    return 0;
}

/* --- connections ------------------------------------------------------------------------------------------------ */
struct conn *conn_find(struct xs *xs, uint16_t domid)
{
    for (struct conn *c = xs->conns; c; c = c->next)
        if (c->domid == domid)
            return c;
    return NULL;
}

struct conn *conn_new(struct xs *xs, uint16_t domid, bool privileged)
{
    struct conn *c = xs_alloc(sizeof *c);
    if (!c)
        return NULL;
    c->domid = domid;
    c->target = -1;
    c->privileged = privileged;
    c->watch_tail = &c->watches;
    c->out_tail = &c->out;
    c->next_tx = 1;
    *xs->conn_tail = c;
    xs->conn_tail = &c->next;
    xs->nr_conns++;
    return c;
}

void conn_reset(struct conn *c)
{
    watches_drop(c);
    txs_drop(c);
    while (c->out) {
        struct outmsg *m = c->out;
        c->out = m->next;
        if (m != &c->spare.m)
            xs_free(m);
    }
    c->out_tail = &c->out;
    c->out_bytes = 0;
    c->spare_used = false;
    c->lost_events = 0;
    xs_free(c->body);
    c->body = NULL;
    c->hdr_got = c->body_got = 0;
    c->bad = CONN_OK;
}

static void conn_unlink(struct xs *xs, struct conn *c)
{
    struct conn **at = &xs->conns;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (!*at)
        xs->conn_tail = at;
    c->next = NULL;
}

void conn_free(struct xs *xs, struct conn *c)
{
    conn_reset(c);
    xs->ops->detach(c);
    conn_unlink(xs, c);
    xs->nr_conns--;
    for (struct conn *i = xs->conns; i; i = i->next)
        if (i->target == c->domid)
            i->target = -1;
    xs_free(c);
}

struct conn *conn_rotate(struct xs *xs)
{
    struct conn *c = xs->conns;
    if (c && c->next) {
        conn_unlink(xs, c);
        *xs->conn_tail = c;
        xs->conn_tail = &c->next;
    }
    return c;
}

/* --- the store -------------------------------------------------------------------------------------------------- */
static int first_nodes(struct xs *xs)
{
    struct usage *u = xs_usage(xs, 0, true);
    if (!u)
        return XE_ENOMEM;
    *u = (struct usage){ .domid = 0, .nodes = 1, .bytes = (int)node_cost(xs->main.root) };
    struct edit e;
    edit_begin(&e, xs->main.root, &xs->gen);
    int err = edit_create(&e, "/tool/xenstored", NULL, 0, OWNER_KEEP);
    if (err) {
        edit_drop(&e);
        return err;
    }
    u->nodes += e.delta[0].nodes; /* one owner, one delta */
    u->bytes += e.delta[0].bytes;
    node_put(xs->main.root);
    xs->main.root = e.root;
    xs_free(e.delta);
    return XE_OK;
}

int store_init(struct xs *xs, const struct xs_ops *ops)
{
    memset(xs, 0, sizeof *xs);
    xs->ops = ops;
    xs->conn_tail = &xs->conns;
    struct node *root = tree_new(&xs->gen, 0);
    xs->special[0] = permset_new(1); /* owner 0, nobody else */
    xs->special[1] = permset_new(1);
    if (!root || !xs->special[0] || !xs->special[1])
        return XE_ENOMEM;
    xs->main.root = root;
    xs->main.gen = &xs->gen;
    return first_nodes(xs);
}

void store_fini(struct xs *xs)
{
    while (xs->conns)
        conn_free(xs, xs->conns);
    node_put(xs->main.root);
    permset_put(xs->special[0]);
    permset_put(xs->special[1]);
    xs_free(xs->usage);
    memset(xs, 0, sizeof *xs);
}
