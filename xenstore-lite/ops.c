/* SPDX-License-Identifier: MIT */
/* Requests about nodes. The rules of access and the error of every case are those of Xen's xenstored. */
#include "xs.h"
#include <stdio.h>
#include <string.h>
#include "mem.h"

int change_owner(const struct conn *c)
{
    return c->privileged ? OWNER_KEEP : c->domid;
}

int change_apply(struct edit *e, const struct change *c, int owner)
{
    struct node *n = tree_find(e->root, c->path);
    switch (c->op) {
    case CH_WRITE:
        return n ? edit_set_data(e, c->path, c->data, c->len) : edit_create(e, c->path, c->data, c->len, owner);
    case CH_MKDIR:
        return n ? XE_OK : edit_create(e, c->path, NULL, 0, owner);
    case CH_RM:
        return n ? edit_rm(e, c->path) : XE_OK;
    case CH_PERMS:
        return edit_set_perms(e, c->path, c->perms);
    }
    return XE_EINVAL;
}

static struct edit *view(struct req *r)
{
    return r->tx ? &r->tx->edit : &r->xs->main;
}

/* What an error may tell. A client may be let into a node but not into those above it; when it is refused, the error must
 * not say whether the node exists, unless it has the same right on the nearest node above. */
static int err_from_parents(struct req *r, int err, unsigned need)
{
    size_t used;
    if (r->conn->privileged)
        return err;
    if (!r->path[1])
        return XE_EACCES;
    const struct node *n = tree_nearest(view(r)->root, r->path, path_parent_len(r->path), &used);
    return perms_for(n->perms, r->conn) & need ? err : XE_EACCES;
}

/* Finds the node of r->path if the client has all of `need`; notes in the transaction that it looked. */
static int get_node(struct req *r, unsigned need, unsigned kind, struct node **out)
{
    int err = tx_access(r, r->path, strlen(r->path), kind);
    *out = NULL;
    if (err)
        return err;
    struct node *n = tree_find(view(r)->root, r->path);
    if (n && (perms_for(n->perms, r->conn) & need) == need) {
        *out = n;
        return XE_OK;
    }
    return err_from_parents(r, n ? XE_EACCES : XE_ENOENT, need);
}

/* One string that is a path, and its node. */
static int get_arg(struct req *r, unsigned need, unsigned kind, struct node **out)
{
    const char *s = req_string(r);
    int err = s ? req_path(r, s, false) : XE_EINVAL;
    return err ? err : get_node(r, need, kind, out);
}

int op_read(struct req *r)
{
    struct node *n;
    int err = get_arg(r, PERM_READ, ACC_SELF, &n);
    if (!err && n->data)
        req_reply(r, n->data->s, n->data->len);
    return err;
}

int op_directory(struct req *r)
{
    struct node *n;
    int err = get_arg(r, PERM_READ, ACC_SELF | ACC_CHILDREN, &n);
    if (err)
        return err;
    if (node_names_len(n) > XENSTORE_PAYLOAD_MAX)
        return XE_E2BIG; /* the client goes on with XS_DIRECTORY_PART */
    for (unsigned i = 0; i < n->nr; i++)
        req_reply(r, n->child[i]->name->s, n->child[i]->name->len + 1);
    return XE_OK;
}

/* Reply: generation of the list, then names from the given byte offset on, an empty one after the last. A client that sees
 * the generation move starts again. */
int op_directory_part(struct req *r)
{
    const char *v[2];
    uint32_t off, rest, at = 0;
    struct node *n;
    char gen[24];
    if (req_strings(r, v, 2, &rest) != 2 || !parse_u32(v[1], UINT32_MAX, &off))
        return XE_EINVAL;
    int err = req_path(r, v[0], false);
    if (!err)
        err = get_node(r, PERM_READ, ACC_SELF | ACC_CHILDREN, &n);
    if (err)
        return err;
    req_reply(r, gen, (uint32_t)snprintf(gen, sizeof gen, "%llu", (unsigned long long)n->cgen) + 1);
    unsigned i = 0;
    for (; i < n->nr && at < off; i++)
        at += n->child[i]->name->len + 1;
    for (; i < n->nr; i++) {
        uint32_t len = n->child[i]->name->len + 1;
        if (r->out_len + len + 1 > XENSTORE_PAYLOAD_MAX)
            return XE_OK;
        req_reply(r, n->child[i]->name->s, len);
    }
    req_reply(r, "", 1);
    return XE_OK;
}

/* --- changes -------------------------------------------------------------------------------------------------- */
/* Whether the client's accounts are within bounds after e. Only what grows is refused: a domain over its limit may shrink. */
int check_domain_quota(struct req *r, const struct edit *e)
{
    uint16_t domid = r->conn->domid;
    const struct usage *now = edit_delta(e, domid), *was = edit_delta(view(r), domid);
    const struct usage *all = xs_usage(r->xs, domid, false);
    if (r->conn->privileged || !now)
        return XE_OK;
    if (now->nodes > (was ? was->nodes : 0) && now->nodes + (all ? all->nodes : 0) > QUOTA_NODES)
        return XE_ENOSPC;
    if (now->bytes > (was ? was->bytes : 0) && now->bytes + (all ? all->bytes : 0) > QUOTA_NODE_MEM)
        return XE_ENOSPC;
    return XE_OK;
}

static int check_quota(struct req *r, struct edit *e, struct node *before)
{
    struct conn *c = r->conn;
    if (c->privileged)
        return XE_OK;
    struct node *n = tree_find(e->root, r->path);
    if (n && node_size(n) > QUOTA_NODE_SIZE)
        return XE_ENOSPC;
    if (n && !before) { /* somewhere above a list of names has grown */
        size_t used;
        tree_nearest(view(r)->root, r->path, strlen(r->path), &used);
        n = tree_find_n(e->root, r->path, used);
        if (node_size(n) > QUOTA_NODE_SIZE)
            return XE_ENOSPC;
    }
    return check_domain_quota(r, e);
}

/* Prepares the change r->one: an edit of what the client sees, and the record of it. */
static int change_prepare(struct req *r, struct node *before)
{
    int err = edit_fork(&r->edit, view(r));
    if (err)
        return err;
    r->edited = true; /* from here on whoever drops the request drops the edit */
    err = change_apply(&r->edit, &r->one, change_owner(r->conn));
    if (!err)
        err = check_quota(r, &r->edit, before);
    if (err)
        return err;
    if (!r->tx) {
        r->log = &r->one;
        return xs_usage_reserve(r->xs, &r->edit);
    }
    r->log = change_copy(&r->one);
    if (!r->log)
        return XE_ENOMEM;
    r->own_log = true;
    if (!r->conn->privileged &&
        (r->tx->nr_log >= QUOTA_TX_OPS || r->conn->work_bytes + change_cost(r->log) > QUOTA_WORK_MEM))
        return XE_ENOSPC;
    return XE_OK;
}

/* A node is about to be made: what its place depends on is every step from the nearest existing node down. */
static int access_missing(struct req *r)
{
    size_t used;
    if (!r->tx)
        return XE_OK;
    tree_nearest(r->tx->edit.root, r->path, strlen(r->path), &used);
    int err = tx_access(r, r->path, used, ACC_SELF);
    const char *p = r->path + used;
    while (!err && p && *p) {
        p = strchr(p + 1, '/');
        if (p)
            err = tx_access(r, r->path, (size_t)(p - r->path), ACC_SELF);
    }
    return err;
}

static int make_or_write(struct req *r, enum change_op op, const void *data, uint32_t len)
{
    struct node *n;
    int err = get_node(r, PERM_WRITE, ACC_SELF, &n);
    if (err && err != XE_ENOENT)
        return err;
    if (n && op == CH_MKDIR)
        return XE_OK; /* it is there: fine */
    err = n ? XE_OK : access_missing(r);
    if (err)
        return err;
    r->one = (struct change){ .op = op, .path = r->path, .data = data, .len = len };
    return change_prepare(r, n);
}

int op_write(struct req *r)
{
    const char *v[1];
    uint32_t at;
    if (req_strings(r, v, 1, &at) != 1)
        return XE_EINVAL;
    int err = req_path(r, v[0], false);
    return err ? err : make_or_write(r, CH_WRITE, r->in + at, r->hdr.len - at);
}

int op_mkdir(struct req *r)
{
    const char *s = req_string(r);
    int err = s ? req_path(r, s, false) : XE_EINVAL;
    return err ? err : make_or_write(r, CH_MKDIR, NULL, 0);
}

/* What does not exist counts as removed, provided that its parent does. */
static int rm_missing(struct req *r)
{
    size_t len = path_parent_len(r->path);
    int err = tx_access(r, r->path, len, ACC_SELF);
    if (err)
        return err;
    return tree_find_n(view(r)->root, r->path, len) ? XE_OK : XE_ENOENT;
}

int op_rm(struct req *r)
{
    struct node *n;
    int err = get_arg(r, PERM_WRITE, ACC_SELF | ACC_TREE, &n);
    if (err == XE_ENOENT)
        return rm_missing(r);
    if (err)
        return err;
    if (!r->path[1])
        return XE_EINVAL;
    r->one = (struct change){ .op = CH_RM, .path = r->path };
    return change_prepare(r, n);
}

int op_get_perms(struct req *r)
{
    const char *s = req_string(r);
    struct permset *p;
    struct node *n;
    int err = s ? req_path(r, s, true) : XE_EINVAL;
    if (err)
        return err;
    int i = special_index(r->path);
    if (i >= 0) {
        p = r->xs->special[i];
        if (!(perms_for(p, r->conn) & PERM_READ))
            return XE_EACCES;
    } else {
        err = get_node(r, PERM_READ, ACC_SELF, &n);
        if (err)
            return err;
        p = n->perms;
    }
    r->out_len = perms_format(p, xs_reply_buf, sizeof xs_reply_buf);
    return r->out_len ? XE_OK : XE_E2BIG;
}

static int set_special_perms(struct req *r, unsigned i, struct permset *p)
{
    if (!r->conn->privileged)
        return XE_EACCES;
    permset_put(r->xs->special[i]);
    r->xs->special[i] = permset_get(p);
    return XE_OK;
}

static int set_perms(struct req *r, struct permset *p)
{
    struct node *n;
    int i = special_index(r->path);
    if (i >= 0)
        return set_special_perms(r, (unsigned)i, p);
    int err = get_node(r, PERM_WRITE | PERM_OWNER, ACC_SELF, &n);
    if (err)
        return err;
    if (!r->conn->privileged && p->p[0].domid != n->perms->p[0].domid)
        return XE_EPERM; /* a gift of nodes would be charged to the receiver */
    r->one = (struct change){ .op = CH_PERMS, .path = r->path, .perms = p };
    return change_prepare(r, n);
}

int op_set_perms(struct req *r)
{
    const char *v[1];
    uint32_t at;
    struct permset *p;
    if (req_strings(r, v, 1, &at) != 1)
        return XE_EINVAL;
    int err = req_path(r, v[0], true);
    if (!err)
        err = perms_parse(r->in + at, r->hdr.len - at, &p);
    if (err)
        return err;
    if (!r->conn->privileged && p->n > QUOTA_PERMS)
        err = XE_ENOSPC;
    else
        err = set_perms(r, p);
    /* A change outside a transaction is announced before its request ends, but by path: the list is the edit's now. */
    r->one.perms = NULL;
    permset_put(p);
    return err;
}
