/* SPDX-License-Identifier: MIT */
/* Requests about nodes. The rules of access and the error of every case are those of Xen's xenstored. */
#include "xs.h"
#include <stdio.h>
#include <string.h>
#include "mem.h"

/* What an error may tell. A client may be let into a node but not into those above it; when it is refused, the error must
 * not say whether the node exists, unless it has the same right on the nearest node above. */
static int err_from_parents(struct req *r, int err, unsigned need)
{
    struct seen s;
    if (r->conn->privileged)
        return err;
    if (!r->path[1])
        return XE_EACCES;
    see_nearest(r, r->path, path_parent_len(r->path), &s);
    return perms_for(s.rights, r->conn) & need ? err : XE_EACCES;
}

/* Finds the node of r->path if the client has all of `need`; notes in the transaction that it looked. */
static int get_node(struct req *r, unsigned need, unsigned kind, struct seen *s)
{
    size_t len = strlen(r->path);
    int err = tx_access(r, r->path, len, kind);
    s->perms = NULL;
    if (err)
        return err;
    bool there = see(r, r->path, len, s);
    if (there && (perms_for(s->rights, r->conn) & need) == need)
        return XE_OK;
    s->perms = NULL;
    return err_from_parents(r, there ? XE_EACCES : XE_ENOENT, need);
}

/* One string that is a path, and its node. */
static int get_arg(struct req *r, unsigned need, unsigned kind, struct seen *out)
{
    const char *s = req_string(r);
    int err = s ? req_path(r, s, PATH_NODE) : XE_EINVAL;
    return err ? err : get_node(r, need, kind, out);
}

int op_read(struct req *r)
{
    struct seen s;
    int err = get_arg(r, PERM_READ, ACC_SELF, &s);
    if (!err && s.len)
        req_reply(r, s.data, s.len);
    return err;
}

/* Names on their way into a reply: all that fit behind the first `skip` bytes. */
struct listing {
    struct req *r;
    uint32_t at, skip;
    bool full;
};

static void list_name(const char *name, uint32_t len, void *arg)
{
    struct listing *l = arg;
    uint32_t at = l->at;
    l->at += len + 1;
    if (at < l->skip || l->full)
        return;
    l->full = l->r->out_len + len + 2 > XENSTORE_PAYLOAD_MAX;
    if (l->full)
        return;
    req_reply(l->r, name, len);
    req_reply(l->r, "", 1);
}

static void count_name(const char *name, uint32_t len, void *arg)
{
    (void)name;
    *(uint32_t *)arg += len + 1;
}

int op_directory(struct req *r)
{
    struct seen s;
    struct listing l = { .r = r };
    uint32_t len = 0;
    int err = get_arg(r, PERM_READ, ACC_SELF | ACC_CHILDREN, &s);
    if (err)
        return err;
    see_names(r, &s, count_name, &len);
    if (len >= XENSTORE_PAYLOAD_MAX)
        return XE_E2BIG; /* the client goes on with XS_DIRECTORY_PART */
    see_names(r, &s, list_name, &l);
    return XE_OK;
}

/* Reply: generation of the list, then names from the given byte offset on, an empty one after the last. A client that sees
 * the generation move starts again. */
int op_directory_part(struct req *r)
{
    const char *v[2];
    uint32_t rest;
    struct listing l = { .r = r };
    struct seen s;
    char gen[24];
    if (req_strings(r, v, 2, &rest) != 2 || !parse_u32(v[1], UINT32_MAX, &l.skip))
        return XE_EINVAL;
    int err = req_path(r, v[0], PATH_NODE);
    if (!err)
        err = get_node(r, PERM_READ, ACC_SELF | ACC_CHILDREN, &s);
    if (err)
        return err;
    unsigned long long list = (s.node ? s.node->cgen : 0) + (r->tx ? r->tx->nr_log : 0);
    req_reply(r, gen, (uint32_t)snprintf(gen, sizeof gen, "%llu", list) + 1);
    see_names(r, &s, list_name, &l);
    if (!l.full)
        req_reply(r, "", 1);
    return XE_OK;
}

/* --- changes -------------------------------------------------------------------------------------------------- */
/* Whether the node that changes, and the list of names that grows, keep to the size of a node. s: the node, if there is one. */
static int check_node_size(struct req *r, const struct seen *s)
{
    const struct change *c = &r->one;
    uint32_t most = r->conn->limits->node_size;
    struct seen near;
    if (r->conn->privileged || c->op == CH_RM)
        return XE_OK;
    if (s->perms) {
        uint32_t size = seen_size(r, s);
        size = c->op == CH_WRITE
                   ? size - s->len + c->len
                   : size + (c->perms->n - s->perms->n) * (uint32_t)sizeof(struct perm);
        return size > most ? XE_ENOSPC : XE_OK;
    }
    size_t used = see_nearest(r, c->path, strlen(c->path), &near);
    const char *first = c->path + used + (used > 1);
    uint32_t list = seen_size(r, &near) + (uint32_t)strcspn(first, "/") + 1;
    uint32_t leaf = 24 + near.perms->n * (uint32_t)sizeof(struct perm) + c->len;
    return list > most || leaf > most ? XE_ENOSPC : XE_OK;
}

/* In a transaction a change is a record that later requests see (tx.c). */
static int change_note(struct req *r, const struct seen *s)
{
    struct seen near;
    if (!s->perms) {
        r->one.existed = (uint32_t)see_nearest(r, r->path, r->one.path_len, &near);
        r->one.perms = permset_inherit(r->conn->heap, near.perms, change_owner(r->conn));
        if (!r->one.perms)
            return XE_ENOMEM;
    }
    r->log = change_copy(r->conn->heap, &r->one);
    if (!s->perms) {
        permset_put(r->one.perms);
        r->one.perms = NULL;
    }
    if (!r->log)
        return XE_ENOMEM;
    r->own_log = true;
    return r->tx->nr_log >= r->conn->limits->tx_ops ||
                   r->conn->work_bytes + change_cost(r->log) > r->conn->limits->work_mem
               ? XE_ENOSPC
               : XE_OK;
}

/* Prepares the change r->one of what the client sees at its path: an edit of the tree, or the transaction's record of it. */
static int change_prepare(struct req *r, const struct seen *s)
{
    int err = check_node_size(r, s);
    if (err)
        return err;
    r->one.path_len = r->one.existed = (uint32_t)strlen(r->path);
    if (r->tx)
        return change_note(r, s);
    edit_begin(&r->edit, r->xs->root, &r->xs->gen, r->conn->heap);
    r->edited = true; /* from here on whoever drops the request drops the edit */
    err = change_apply(&r->edit, &r->one, change_owner(r->conn));
    if (!err)
        err = check_domain_quota(r, &r->edit);
    r->log = &r->one;
    return err ? err : xs_usage_reserve(r->xs, &r->edit);
}

/* A node is about to be made: what its place depends on is every step from the nearest existing node down. */
static int access_missing(struct req *r)
{
    struct seen s;
    if (!r->tx)
        return XE_OK;
    size_t used = see_nearest(r, r->path, strlen(r->path), &s);
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
    struct seen s;
    int err = get_node(r, PERM_WRITE, ACC_SELF, &s);
    if (err && err != XE_ENOENT)
        return err;
    if (s.perms && op == CH_MKDIR)
        return XE_OK; /* it is there: fine */
    err = s.perms ? XE_OK : access_missing(r);
    if (err)
        return err;
    r->one = (struct change){ .op = op, .path = r->path, .data = data, .len = len };
    return change_prepare(r, &s);
}

int op_write(struct req *r)
{
    const char *v[1];
    uint32_t at;
    if (req_strings(r, v, 1, &at) != 1)
        return XE_EINVAL;
    int err = req_path(r, v[0], PATH_NODE);
    return err ? err : make_or_write(r, CH_WRITE, r->in + at, r->hdr.len - at);
}

int op_mkdir(struct req *r)
{
    const char *s = req_string(r);
    int err = s ? req_path(r, s, PATH_NODE) : XE_EINVAL;
    return err ? err : make_or_write(r, CH_MKDIR, NULL, 0);
}

/* What does not exist counts as removed, provided that its parent does. */
static int rm_missing(struct req *r)
{
    struct seen s;
    size_t len = path_parent_len(r->path);
    int err = tx_access(r, r->path, len, ACC_SELF);
    if (err)
        return err;
    return see(r, r->path, len, &s) ? XE_OK : XE_ENOENT;
}

int op_rm(struct req *r)
{
    struct seen s;
    int err = get_arg(r, PERM_WRITE, ACC_SELF | ACC_TREE, &s);
    if (err == XE_ENOENT)
        return rm_missing(r);
    if (err)
        return err;
    if (!r->path[1])
        return XE_EINVAL;
    r->one = (struct change){ .op = CH_RM, .path = r->path };
    return change_prepare(r, &s);
}

int op_get_perms(struct req *r)
{
    const char *s = req_string(r);
    struct permset *p;
    struct seen n;
    int err = s ? req_path(r, s, PATH_SPECIAL) : XE_EINVAL;
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
        p = n.perms;
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
    journal_special(r->xs, i);
    return XE_OK;
}

static int set_perms(struct req *r, struct permset *p)
{
    struct seen s;
    int i = special_index(r->path);
    if (i >= 0)
        return set_special_perms(r, (unsigned)i, p);
    int err = get_node(r, PERM_WRITE | PERM_OWNER, ACC_SELF, &s);
    if (err)
        return err;
    if (!r->conn->privileged && p->p[0].domid != s.perms->p[0].domid)
        return XE_EPERM; /* a gift of nodes would be charged to the receiver */
    r->one = (struct change){ .op = CH_PERMS, .path = r->path, .perms = p };
    return change_prepare(r, &s);
}

int op_set_perms(struct req *r)
{
    const char *v[1];
    uint32_t at;
    struct permset *p;
    if (req_strings(r, v, 1, &at) != 1)
        return XE_EINVAL;
    int err = req_path(r, v[0], PATH_SPECIAL);
    if (!err)
        err = perms_parse(r->conn->heap, r->in + at, r->hdr.len - at, &p);
    if (err)
        return err;
    xs_names(r->xs, r->conn, p);
    if (p->room > r->conn->limits->perms)
        err = r->conn->limits->perms ? XE_ENOSPC : XE_EACCES;
    else
        err = set_perms(r, p);
    /* A change outside a transaction is announced before its request ends, but by path: the list is the edit's now. */
    r->one.perms = NULL;
    permset_put(p);
    return err;
}
