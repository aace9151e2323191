/* SPDX-License-Identifier: MIT */
/*
 * Transactions. One keeps two lists: the changes it made, and the paths it looked at, each with what about it mattered and the
 * generations that the node had at the first look. Its owner sees the tree of now with these changes on it. At its
 * end each of those paths is looked up again; if a generation moved, somebody else was faster: EAGAIN. Otherwise the changes are
 * made on the tree of now, which has the same outcome as running the whole transaction at this moment. So nothing of
 * anybody's is held while a transaction is open but its owner's two lists. (One that can no longer succeed may see some
 * nodes as they were and some as they are.)
 *
 * Making a child is not a change of its parent in this sense, unless the parent's list was read: two
 * transactions that add different nodes to one directory do not conflict.
 *
 * Of one that is open the journal has what it changed, not what it looked at. In the next instance it goes on, sees what it changed, and ends
 * with EAGAIN, which every client repeats: an error in its midst some take for the end of their device.
 */
#include "xs.h"
#include <stdio.h>
#include <string.h>
#include "journal.h"
#include "mem.h"

struct tx *tx_find(const struct conn *c, uint32_t id)
{
    for (struct tx *t = c->txs; t; t = t->next)
        if (t->id == id)
            return t;
    return NULL;
}

void tx_append(struct conn *c, struct tx *tx, struct change *ch)
{
    *tx->log_tail = ch;
    tx->log_tail = &ch->next;
    tx->nr_log++;
    tx->bytes += change_cost(ch);
    c->work_bytes += change_cost(ch);
    journal_note(c, tx, ch);
}

/* Notes that r's transaction looked at the first len characters of path. */
int tx_access(struct req *r, const char *path, size_t len, unsigned kind)
{
    struct tx *tx = r->tx;
    if (!tx)
        return XE_OK;
    for (struct access *a = tx->acc; a; a = a->next, tree_work++)
        if (!strncmp(a->path, path, len) && !a->path[len]) {
            a->kind |= kind;
            return XE_OK;
        }
    uint32_t bytes = (uint32_t)(sizeof(struct access) + len + 32);
    const struct limits *l = r->conn->limits;
    if (tx->nr_acc >= l->tx_ops || r->conn->work_bytes + bytes > l->work_mem)
        return XE_ENOSPC;
    struct access *a = xs_alloc(r->conn->heap, sizeof *a + len + 1);
    if (!a)
        return XE_ENOMEM;
    const struct node *n = tree_find_n(r->xs->root, path, len);
    memcpy(a->path, path, len);
    a->kind = kind;
    a->there = n;
    a->gen = n ? n->gen : 0;
    a->cgen = n ? n->cgen : 0;
    a->tgen = n ? n->tgen : 0;
    a->next = tx->acc;
    tx->acc = a;
    tx->nr_acc++;
    tx->bytes += bytes;
    r->conn->work_bytes += bytes;
    return XE_OK;
}

/* --- what a transaction sees --------------------------------------------------------------------------------------- */
/* Whether the first len characters of path are top, or below it. */
static bool within(const char *path, size_t len, const char *top, size_t top_len)
{
    if (top_len == 1)
        return true;
    return len >= top_len && !memcmp(path, top, top_len) && (len == top_len || path[top_len] == '/');
}

/* What a change does to what was seen before it. */
static void see_change(struct seen *s, const struct change *c)
{
    bool same = s->path_len == c->path_len && within(s->path, s->path_len, c->path, c->path_len);
    if (c->op == CH_RM) {
        if (within(s->path, s->path_len, c->path, c->path_len))
            *s = (struct seen){ .path = s->path, .path_len = s->path_len };
    } else if (c->op == CH_PERMS) {
        if (same && s->perms)
            s->perms = c->perms;
    } else if (s->path_len > c->existed && within(c->path, c->path_len, s->path, s->path_len)) {
        *s = (struct seen){
            .path = s->path, .path_len = s->path_len, .perms = c->perms, .rights = c->perms, .made = c
        };
        s->data = same ? c->data : NULL;
        s->len = same ? c->len : 0;
    } else if (same && s->perms && c->op == CH_WRITE) {
        s->data = c->data;
        s->len = c->len;
    }
}

bool see(const struct req *r, const char *path, size_t len, struct seen *s)
{
    const struct node *n = tree_find_n(r->xs->root, path, len);
    *s = (struct seen){ .path = path, .path_len = len, .node = n };
    if (n) {
        s->perms = s->rights = n->perms;
        s->data = n->data ? n->data->s : NULL;
        s->len = n->data ? n->data->len : 0;
    }
    for (const struct change *c = r->tx ? r->tx->log : NULL; c; c = c->next, tree_work++)
        see_change(s, c);
    return s->perms;
}

size_t see_nearest(const struct req *r, const char *path, size_t len, struct seen *s)
{
    while (!see(r, path, len, s) && len > 1) {
        while (len > 1 && path[len - 1] != '/')
            len--;
        len -= len > 1;
    }
    return len;
}

/* The child of this name, as it is seen. */
static void see_child(const struct req *r, const struct seen *s, const char *name, size_t len,
                      struct seen *child)
{
    static char path[2 * XS_PATH_MAX + 2];
    size_t at = s->path_len > 1 ? s->path_len : 0;
    memcpy(path, s->path, at);
    path[at] = '/';
    memcpy(path + at + 1, name, len);
    see(r, path, at + 1 + len, child);
}

void see_names(const struct req *r, const struct seen *s,
               void (*fn)(const char *name, uint32_t len, void *arg), void *arg)
{
    struct seen child;
    for (unsigned i = 0; s->node && i < s->node->nr; i++) {
        const struct text *name = s->node->child[i]->name;
        if (r->tx && r->tx->log) {
            see_child(r, s, name->s, name->len, &child);
            if (!child.perms || child.made)
                continue; /* gone, or a new one of that name: below */
        }
        fn(name->s, name->len, arg);
        tree_work++;
    }
    for (const struct change *c = r->tx ? r->tx->log : NULL; c; c = c->next) {
        size_t at = s->path_len > 1 ? s->path_len + 1 : 1;
        if (c->op == CH_RM || c->op == CH_PERMS || c->existed > s->path_len || c->path_len < at ||
            !within(c->path, c->path_len, s->path, s->path_len))
            continue;
        size_t len = strcspn(c->path + at, "/");
        see_child(r, s, c->path + at, len, &child);
        if (child.made == c)
            fn(c->path + at, (uint32_t)len, arg);
    }
}

static void add_name(const char *name, uint32_t len, void *arg)
{
    (void)name;
    *(uint32_t *)arg += len + 1;
}

uint32_t seen_size(const struct req *r, const struct seen *s)
{
    uint32_t size = 24 + s->perms->n * (uint32_t)sizeof(struct perm) + s->len;
    see_names(r, s, add_name, &size);
    return size;
}

/* --- begin and end ------------------------------------------------------------------------------------------------- */
void tx_open(struct conn *c, struct tx *tx)
{
    tx->log_tail = &tx->log;
    tx->next = c->txs;
    c->txs = tx;
    c->nr_txs++;
    c->next_tx = tx->id + 1;
    journal_put(J_TX, c->domid, tx->id, 0, NULL, 0);
}

void tx_free(struct conn *c, struct tx *tx)
{
    struct tx **at = &c->txs;
    while (*at && *at != tx)
        at = &(*at)->next;
    if (*at) {
        *at = tx->next;
        c->nr_txs--;
        journal_put(J_TXEND, c->domid, tx->id, 0, NULL, 0);
    }
    changes_free(tx->log);
    while (tx->acc) {
        struct access *a = tx->acc;
        tx->acc = a->next;
        xs_free(a);
    }
    c->work_bytes -= tx->bytes;
    xs_free(tx);
}

void txs_drop(struct conn *c)
{
    while (c->txs)
        tx_free(c, c->txs);
}

int op_transaction_start(struct req *r)
{
    struct conn *c = r->conn;
    char buf[12];
    if (r->tx)
        return XE_EBUSY;
    if (c->nr_txs >= c->limits->txs)
        return XE_ENOSPC;
    struct tx *tx = xs_alloc(c->heap, sizeof *tx);
    if (!tx)
        return XE_ENOMEM;
    uint32_t id = c->next_tx;
    while (id == 0 || tx_find(c, id))
        id++;
    tx->id = id;
    r->new_tx = tx;
    req_reply(r, buf, (uint32_t)snprintf(buf, sizeof buf, "%u", id) + 1);
    return XE_OK;
}

static bool conflict(struct req *r, const struct tx *tx)
{
    if (tx->doomed)
        return true;
    for (const struct access *a = tx->acc; a; a = a->next, tree_work++) {
        const struct node *n = tree_find(r->xs->root, a->path);
        if (a->there != !!n)
            return true;
        if (n && (a->gen != n->gen || (a->kind & ACC_CHILDREN && a->cgen != n->cgen) ||
                  (a->kind & ACC_TREE && a->tgen != n->tgen)))
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
    if (conflict(r, tx))
        return XE_EAGAIN;
    if (!tx->log)
        return XE_OK;
    int err = XE_OK;
    edit_begin(&r->edit, r->xs->root, &r->xs->gen, r->conn->heap);
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
