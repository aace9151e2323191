/* SPDX-License-Identifier: MIT */
/* The state of the store: connections, and the account of every owner. */
#include "xs.h"
#include <stdio.h>
#include <string.h>
#include "mem.h"

/* --- limits ------------------------------------------------------------------------------------------------------- */
/* A guest with a vif, a disk and the watches that Linux sets holds about 30 KiB. */
const struct limits limits_guest = {
    .nodes = QUOTA_NODES, .node_mem = QUOTA_NODE_MEM, .watches = QUOTA_WATCHES, .txs = QUOTA_TX, .tx_ops = QUOTA_TX_OPS,
    .perms = QUOTA_PERMS, .work_mem = QUOTA_WORK_MEM, .out = QUOTA_OUT, .floor = 2, .max = 10,
};
/* blk0 offers 16 disks with 32 nodes each and lists 129 volumes, with 130 bytes of text for each and, for its users, 128 more; net0
 * offers 15 vifs with 30 nodes. Twice that, since what changes is there twice meanwhile. It changes no rights: what it opened to a guest
 * would still be open when another instance of it, which knows nothing of that, has its place. */
const struct limits limits_driver = {
    .nodes = 2 * QUOTA_NODES, .node_mem = 2 * QUOTA_NODE_MEM, .watches = QUOTA_WATCHES, .txs = QUOTA_TX, .tx_ops = QUOTA_TX_OPS,
    .perms = 0, .work_mem = QUOTA_WORK_MEM, .out = QUOTA_OUT, .floor = 12, .max = 20,
};
const struct limits limits_ctl = {
    .nodes = UINT32_MAX, .node_mem = UINT32_MAX, .watches = UINT32_MAX, .txs = UINT32_MAX, .tx_ops = UINT32_MAX,
    .perms = UINT32_MAX, .work_mem = UINT32_MAX, .out = PRIV_OUT,
};

/* --- accounts --------------------------------------------------------------------------------------------------- */
/* Makes places for n more accounts. A guest's goes when it is released: xs_forget. */
static bool usage_room(struct xs *xs, unsigned n)
{
    if (xs->nr_usage + n <= xs->cap_usage)
        return true;
    unsigned cap = 2 * (xs->nr_usage + n);
    struct usage *u = xs_alloc(ctl_heap, cap * sizeof *u);
    if (!u)
        return false;
    if (xs->nr_usage)
        memcpy(u, xs->usage, xs->nr_usage * sizeof *u);
    xs_free(xs->usage);
    xs->usage = u;
    xs->cap_usage = cap;
    return true;
}

struct usage *xs_usage(struct xs *xs, uint16_t domid, bool create)
{
    for (unsigned i = 0; i < xs->nr_usage; i++)
        if (xs->usage[i].domid == domid)
            return &xs->usage[i];
    if (!create)
        return NULL;
    xs->usage[xs->nr_usage] = (struct usage){ .domid = domid };
    return &xs->usage[xs->nr_usage++];
}

int xs_usage_reserve(struct xs *xs, const struct edit *e)
{
    if (!usage_room(xs, e->nr))
        return XE_ENOMEM;
    for (unsigned i = 0; i < e->nr; i++)
        xs_usage(xs, e->delta[i].domid, true);
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
        if (tree_walk(xs->root, NULL, "/", recount, &c))
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

struct conn *conn_new(struct xs *xs, uint16_t domid, const struct limits *limits)
{
    bool privileged = limits == &limits_ctl;
    struct heap *h = privileged ? ctl_heap : heap_new(domid, limits->floor, limits->max);
    struct conn *c = h ? xs_alloc(h, sizeof *c) : NULL;
    if (!c) {
        if (h && !privileged)
            heap_end(h);
        return NULL;
    }
    c->domid = domid;
    c->target = -1;
    c->privileged = privileged;
    c->limits = limits;
    c->heap = h;
    c->watch_tail = &c->watches;
    c->out_tail = &c->out;
    c->next_tx = 1;
    *xs->conn_tail = c;
    xs->conn_tail = &c->next;
    xs->nr_conns++;
    if (privileged)
        xs->ctl = c;
    return c;
}

void conn_limit(const struct xs *xs, struct conn *c, const char *what)
{
    char line[64];
    if (!c->named && !c->privileged && xs->ops->say) {
        snprintf(line, sizeof line, "is at its limit in the store (%s)", what);
        xs->ops->say(c, line);
    }
    c->named = true;
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
    c->named = false;
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
    if (xs->ctl == c)
        xs->ctl = NULL;
    struct heap *h = c->heap;
    xs_free(c);
    if (h != ctl_heap)
        heap_end(h);
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

/* --- domids that are used again --------------------------------------------------------------------------------- */
static int strike(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    (void)parent;
    (void)path;
    permset_strike(n->perms, *(const uint16_t *)arg);
    return 0;
}

void xs_forget(struct xs *xs, uint16_t domid, bool tree)
{
    if (tree)
        tree_walk(xs->root, NULL, "/", strike, &domid);
    for (unsigned i = 0; i < 2; i++)
        permset_strike(xs->special[i], domid);
    for (struct conn *c = xs->conns; c; c = c->next)
        for (struct tx *t = c->txs; t; t = t->next)
            for (struct change *ch = t->log; ch; ch = ch->next, tree_work++)
                if (ch->perms)
                    permset_strike(ch->perms, domid);
    for (unsigned i = 0; i < xs->nr_usage; i++)
        if (xs->usage[i].domid == domid && !xs->usage[i].nodes)
            xs->usage[i--] = xs->usage[--xs->nr_usage];
    xs->gone[domid / 8] |= (uint8_t)(1u << domid % 8);
}

void xs_names(struct xs *xs, const struct conn *c, struct permset *p)
{
    for (unsigned i = p->n; i-- > 0;) {
        uint16_t id = p->p[i].domid;
        uint8_t *byte = &xs->gone[id / 8], bit = (uint8_t)(1u << id % 8);
        if (c->privileged)
            *byte &= (uint8_t)~bit;
        else if (i && *byte & bit)
            permset_strike(p, id);
    }
}

/* --- the store -------------------------------------------------------------------------------------------------- */
static int first_nodes(struct xs *xs)
{
    struct edit e;
    edit_begin(&e, xs->root, &xs->gen, ctl_heap);
    int err = edit_create(&e, "/tool/xenstored", NULL, 0, OWNER_KEEP);
    if (!err)
        err = xs_usage_reserve(xs, &e);
    if (!err) {
        struct usage *u = xs_usage(xs, 0, false); /* one owner, one delta */
        u->nodes = e.delta[0].nodes + 1;
        u->bytes = e.delta[0].bytes + (int)node_cost(xs->root);
        node_put(xs->root);
        xs->root = node_get(e.root);
    }
    edit_drop(&e);
    return err;
}

/* The control domain's own, and the first chunks of all that may come; in a store that is too small for that, three quarters of it. */
static bool set_aside(void)
{
    size_t own = xs_mem.limit / 8 > PRIV_RESERVE ? xs_mem.limit / 8 : PRIV_RESERVE;
    size_t all = XS_GUESTS * limits_guest.floor + XS_DRIVERS * limits_driver.floor, most = xs_mem.limit / XS_CHUNK * 3 / 4;
    xs_mem.aside = (unsigned)(all < most ? all : most);
    return heap_promise(ctl_heap, (unsigned)(own / XS_CHUNK));
}

int store_init(struct xs *xs, const struct xs_ops *ops)
{
    memset(xs, 0, sizeof *xs);
    xs->ops = ops;
    xs->conn_tail = &xs->conns;
    bool promised = set_aside();
    struct node *root = tree_new(&xs->gen, 0);
    xs->special[0] = permset_new(ctl_heap, 1); /* owner 0, nobody else */
    xs->special[1] = permset_new(ctl_heap, 1);
    if (!promised || !root || !xs->special[0] || !xs->special[1])
        return XE_ENOMEM;
    xs->root = root;
    return first_nodes(xs);
}

void store_fini(struct xs *xs)
{
    while (xs->conns)
        conn_free(xs, xs->conns);
    node_put(xs->root);
    permset_put(xs->special[0]);
    permset_put(xs->special[1]);
    xs_free(xs->usage);
    memset(xs, 0, sizeof *xs);
}
