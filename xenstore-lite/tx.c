/* SPDX-License-Identifier: MIT */
/*
 * Transactions. One begins with a snapshot of the tree and works on an edit of its own. It keeps two lists: the changes it
 * made, and the paths it looked at, each with what about it mattered. At its end each of those paths is looked up in the
 * snapshot and in the tree of now; if any differs, somebody else was faster: EAGAIN. Otherwise the changes are made
 * again on the tree of now, which has the same outcome as running the whole transaction at this moment.
 *
 * Making a child is not a change of its parent in this sense, unless the parent's list was read: two
 * transactions that add different nodes to one directory do not conflict.
 */
#include "xs.h"
#include <stdio.h>
#include <string.h>
#include "mem.h"

struct tx *tx_find(const struct conn *c, uint32_t id)
{
    for (struct tx *t = c->txs; t; t = t->next)
        if (t->id == id)
            return t;
    return NULL;
}

void changes_free(struct change *c)
{
    while (c) {
        struct change *next = c->next;
        permset_put(c->perms);
        xs_free(c);
        c = next;
    }
}

/* What a change costs its transaction: the record, and the nodes it makes in the private view. */
uint32_t change_cost(const struct change *c)
{
    return (uint32_t)(sizeof *c + strlen(c->path) + 2 * c->len + 512);
}

struct change *change_copy(const struct change *c)
{
    size_t path = strlen(c->path) + 1;
    struct change *n = xs_alloc(sizeof *n + path + c->len);
    if (!n)
        return NULL;
    char *p = (char *)(n + 1);
    *n = *c;
    n->next = NULL;
    n->path = memcpy(p, c->path, path);
    n->data = p + path;
    if (c->len)
        memcpy(p + path, c->data, c->len);
    if (c->perms)
        n->perms = permset_get(c->perms);
    return n;
}

void tx_append(struct conn *c, struct tx *tx, struct change *ch)
{
    *tx->log_tail = ch;
    tx->log_tail = &ch->next;
    tx->nr_log++;
    tx->bytes += change_cost(ch);
    c->work_bytes += change_cost(ch);
}

/* Notes that r's transaction looked at the first len characters of path. */
int tx_access(struct req *r, const char *path, size_t len, unsigned kind)
{
    struct tx *tx = r->tx;
    if (!tx)
        return XE_OK;
    for (struct access *a = tx->acc; a; a = a->next)
        if (!strncmp(a->path, path, len) && !a->path[len]) {
            a->kind |= kind;
            return XE_OK;
        }
    uint32_t bytes = (uint32_t)(sizeof(struct access) + len + 32);
    if (!r->conn->privileged && (tx->nr_acc >= QUOTA_TX_OPS || r->conn->work_bytes + bytes > QUOTA_WORK_MEM))
        return XE_ENOSPC;
    struct access *a = xs_alloc(sizeof *a + len + 1);
    if (!a)
        return XE_ENOMEM;
    memcpy(a->path, path, len);
    a->kind = kind;
    a->next = tx->acc;
    tx->acc = a;
    tx->nr_acc++;
    tx->bytes += bytes;
    r->conn->work_bytes += bytes;
    return XE_OK;
}

static void tx_forget(struct conn *c, struct tx *tx)
{
    changes_free(tx->log);
    tx->log = NULL;
    tx->log_tail = &tx->log;
    while (tx->acc) {
        struct access *a = tx->acc;
        tx->acc = a->next;
        xs_free(a);
    }
    if (tx->base) {
        edit_drop(&tx->edit);
        node_put(tx->base);
        tx->base = NULL;
    }
    c->work_bytes -= tx->bytes;
    tx->bytes = 0;
    tx->nr_log = tx->nr_acc = 0;
}

void tx_free(struct conn *c, struct tx *tx)
{
    struct tx **at = &c->txs;
    while (*at && *at != tx)
        at = &(*at)->next;
    if (*at) {
        *at = tx->next;
        c->nr_txs--;
    }
    tx_forget(c, tx);
    xs_free(tx);
}

void txs_drop(struct conn *c)
{
    while (c->txs)
        tx_free(c, c->txs);
}

/* Old versions of nodes live as long as a snapshot that holds them. When the control domain runs out of memory, guests' open
 * transactions are told to try again. */
bool tx_reclaim(struct xs *xs)
{
    bool any = false;
    for (struct conn *c = xs->conns; c; c = c->next)
        for (struct tx *t = c->privileged ? NULL : c->txs; t; t = t->next)
            if (!t->dead) {
                tx_forget(c, t);
                t->dead = any = true;
            }
    return any;
}

int op_transaction_start(struct req *r)
{
    struct conn *c = r->conn;
    char buf[12];
    if (r->tx)
        return XE_EBUSY;
    if (!c->privileged && c->nr_txs >= QUOTA_TX)
        return XE_ENOSPC;
    struct tx *tx = xs_alloc(sizeof *tx);
    if (!tx)
        return XE_ENOMEM;
    uint32_t id = c->next_tx;
    while (id == 0 || tx_find(c, id))
        id++;
    tx->id = id;
    tx->log_tail = &tx->log;
    tx->base = node_get(r->xs->main.root);
    edit_begin(&tx->edit, tx->base, &r->xs->gen);
    r->new_tx = tx;
    req_reply(r, buf, (uint32_t)snprintf(buf, sizeof buf, "%u", id) + 1);
    return XE_OK;
}

static bool conflict(struct req *r, const struct tx *tx)
{
    for (const struct access *a = tx->acc; a; a = a->next) {
        const struct node *was = tree_find(tx->base, a->path), *is = tree_find(r->xs->main.root, a->path);
        if (was == is)
            continue;
        if (!was || !is || was->gen != is->gen)
            return true;
        if ((a->kind & ACC_CHILDREN && was->cgen != is->cgen) || a->kind & ACC_TREE)
            return true;
    }
    return false;
}

int op_transaction_end(struct req *r)
{
    const char *s = req_string(r);
    struct tx *tx = r->tx;
    if (!s || s[0] == 0 || s[1] != 0 || (s[0] != 'T' && s[0] != 'F'))
        return XE_EINVAL;
    if (!tx)
        return XE_ENOENT;
    r->tx = NULL;
    r->end_tx = tx; /* whatever the answer: it is over */
    if (s[0] == 'F')
        return XE_OK;
    if (tx->dead || conflict(r, tx))
        return XE_EAGAIN;
    if (!tx->log)
        return XE_OK;
    int err = edit_fork(&r->edit, &r->xs->main);
    if (err)
        return err;
    r->edited = true;
    for (struct change *c = tx->log; c && !err; c = c->next)
        err = change_apply(&r->edit, c, change_owner(r->conn));
    if (!err)
        err = check_domain_quota(r, &r->edit);
    if (!err)
        err = xs_usage_reserve(r->xs, &r->edit);
    r->log = tx->log;
    return err;
}
