/* SPDX-License-Identifier: MIT */
/* The store as a whole: its first nodes, and what is left of a domid when it goes. */
#include "xs.h"
#include <string.h>
#include "journal.h"
#include "mem.h"

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
        tree_visit(xs->root, NULL, "/", strike, &domid);
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
    journal_put(J_FORGET, domid, 0, 0, NULL, 0);
}

void xs_names(struct xs *xs, const struct conn *c, struct permset *p)
{
    for (unsigned i = p->n; i-- > 0;) {
        uint16_t id = p->p[i].domid;
        uint8_t *byte = &xs->gone[id / 8], bit = (uint8_t)(1u << id % 8);
        if (c->privileged && *byte & bit) {
            *byte &= (uint8_t)~bit;
            journal_put(J_GONE, id, 0, 0, NULL, 0);
        } else if (i && *byte & bit) {
            permset_strike(p, id);
        }
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
    size_t all = XS_GUESTS * limits_guest.floor + XS_DRIVERS * limits_driver.floor,
           most = xs_mem.limit / XS_CHUNK * 3 / 4;
    xs_mem.aside = (unsigned)(all < most ? all : most);
    return heap_promise(ctl_heap, (unsigned)(own / XS_CHUNK));
}

int store_init(struct xs *xs, const struct xs_ops *ops)
{
    memset(xs, 0, sizeof *xs);
    xs->ops = ops;
    limits_init();
    xs->conn_tail = &xs->conns;
    watch_init();
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
