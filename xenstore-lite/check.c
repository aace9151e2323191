/* SPDX-License-Identifier: MIT */
/* Whether the store is sound: what its tree, accounts, clients, watches and heaps promise each other. */
#include "xs.h"
#include <string.h>
#include "mem.h"

const char *xs_unsound;

static int no(const char *what)
{
    xs_unsound = what;
    return -1;
}

/* --- the tree ----------------------------------------------------------------------------------------------------- */
/* What found no account when the journal was read is domain 0's, wherever it lies (restore.c). */
static bool lies_right(const void *p, uint16_t owner)
{
    const struct heap *h = mem_heap(p);
    return h == ctl_heap || h->domid == owner || !owner || !h->live;
}

static bool names_sorted(const struct node *n)
{
    for (unsigned i = 1; i < n->nr; i++) {
        const struct text *a = n->child[i - 1]->name, *b = n->child[i]->name;
        if (name_order(a->s, a->len, b->s, b->len) >= 0)
            return false;
    }
    return true;
}

static int check_node(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    struct xs *xs = arg;
    uint16_t owner = n->perms->p[0].domid;
    if (!n->refs || !n->name->refs || !n->perms->refs || (n->data && !n->data->refs))
        return no("a node that nobody refers to");
    if (!path_valid(path) || (parent && (!n->name->len || memchr(n->name->s, '/', n->name->len))))
        return no("a node's name");
    if (!names_sorted(n))
        return no("the order of a node's children");
    if (!n->perms->n || n->perms->n > n->perms->room)
        return no("a list of permissions");
    if (n->gen > n->tgen || n->cgen > n->tgen || n->tgen > xs->gen)
        return no("a generation");
    if (!lies_right(n, owner) || !lies_right(n->name, owner) || !lies_right(n->perms, owner) ||
        (n->data && !lies_right(n->data, owner)))
        return no("a node in somebody else's memory");
    return xs_usage(xs, owner, false) ? 0 : no("an owner without an account");
}

static int account(const struct node *n, struct xs *xs, int sign)
{
    struct usage *u = xs_usage(xs, n->perms->p[0].domid, false);
    u->nodes += sign;
    u->bytes += sign * (int)node_cost(n);
    return 0;
}

static int take_off(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    (void)parent;
    (void)path;
    return account(n, arg, -1);
}

static int put_back(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    (void)parent;
    (void)path;
    return account(n, arg, 1);
}

/* Every node off its owner's account, which leaves nothing there, and back. */
static int check_tree(struct xs *xs)
{
    if (tree_visit(xs->root, NULL, "/", check_node, xs))
        return -1;
    int bad = 0;
    tree_visit(xs->root, NULL, "/", take_off, xs);
    for (unsigned i = 0; i < xs->nr_usage && !bad; i++)
        if (xs->usage[i].nodes || xs->usage[i].bytes)
            bad = no("an account");
    tree_visit(xs->root, NULL, "/", put_back, xs);
    return bad;
}

/* --- clients ------------------------------------------------------------------------------------------------------ */
static int check_txs(const struct conn *c, uint32_t *bytes)
{
    unsigned n = 0;
    for (const struct tx *t = c->txs; t; t = t->next, n++) {
        unsigned logs = 0, accs = 0;
        for (const struct change *ch = t->log; ch; ch = ch->next)
            logs++;
        for (const struct access *a = t->acc; a; a = a->next)
            accs++;
        if (!t->id || logs != t->nr_log || accs != t->nr_acc)
            return no("a transaction");
        *bytes += t->bytes;
    }
    return n == c->nr_txs ? 0 : no("how many transactions");
}

static int check_out(const struct conn *c)
{
    uint32_t bytes = 0;
    struct outmsg *const *end = &c->out;
    for (const struct outmsg *m = c->out; m; m = m->next) {
        if (m->off >= m->len || (m->off && m != c->out))
            return no("a message that waits");
        bytes += m->len + OUT_OVERHEAD;
        end = &m->next;
    }
    return bytes == c->out_bytes && end == c->out_tail ? 0 : no("the bytes that wait");
}

static int check_client(const struct conn *c)
{
    uint32_t bytes = 0;
    if (!watches_sound(c, &bytes))
        return no("a watch");
    if (check_txs(c, &bytes) || check_out(c))
        return -1;
    if (bytes != c->work_bytes)
        return no("the bytes of watches and transactions");
    if (c->hdr_got > sizeof c->hdr || (!c->bad && c->body_got > c->hdr.len) ||
        c->heap != (c->privileged ? ctl_heap : heap_of(c->domid)))
        return no("a client");
    return 0;
}

int xs_check(struct xs *xs)
{
    unsigned n = 0;
    xs_unsound = NULL;
    if (!xs->root->refs || check_tree(xs))
        return -1;
    for (const struct conn *c = xs->conns; c; c = c->next, n++)
        if (check_client(c) || (c->privileged && c != xs->ctl))
            return xs_unsound ? -1 : no("who is the control domain");
    if (n != xs->nr_conns)
        return no("how many clients");
    return mem_sound() ? 0 : no("the heaps");
}
