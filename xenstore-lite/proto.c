/* SPDX-License-Identifier: MIT */
/* Requests: the table of operations, and the two halves of serving one. */
#include "xs.h"
#include <stdio.h>
#include <string.h>
#include "mem.h"

#define OP_PRIV 1u /* only for a privileged connection */
#define OP_NOTX 2u /* has nothing to do with transactions: the id in the header is ignored */
#define OP_DATA 4u /* success without text is an empty reply, not "OK" */
#define OP_FREE 8u /* gives memory back: must work for a client that has used up its own */

static const struct op {
    xs_handler fn;
    unsigned flags;
    const char *name;
} ops[XS_TYPE_COUNT] = {
    [XS_CONTROL] = { op_control, OP_PRIV | OP_NOTX | OP_DATA, "CONTROL" },
    [XS_DIRECTORY] = { op_directory, OP_DATA, "DIRECTORY" },
    [XS_READ] = { op_read, OP_DATA, "READ" },
    [XS_GET_PERMS] = { op_get_perms, OP_DATA, "GET_PERMS" },
    [XS_WATCH] = { op_watch, OP_NOTX, "WATCH" },
    [XS_UNWATCH] = { op_unwatch, OP_NOTX | OP_FREE, "UNWATCH" },
    [XS_TRANSACTION_START] = { op_transaction_start, OP_DATA, "TRANSACTION_START" },
    [XS_TRANSACTION_END] = { op_transaction_end, OP_FREE, "TRANSACTION_END" },
    [XS_INTRODUCE] = { op_introduce, OP_PRIV | OP_NOTX, "INTRODUCE" },
    [XS_RELEASE] = { op_release, OP_PRIV | OP_NOTX, "RELEASE" },
    [XS_GET_DOMAIN_PATH] = { op_get_domain_path, OP_NOTX | OP_DATA, "GET_DOMAIN_PATH" },
    [XS_WRITE] = { op_write, 0, "WRITE" },
    [XS_MKDIR] = { op_mkdir, 0, "MKDIR" },
    [XS_RM] = { op_rm, OP_FREE, "RM" },
    [XS_SET_PERMS] = { op_set_perms, 0, "SET_PERMS" },
    [XS_IS_DOMAIN_INTRODUCED] = { op_is_introduced, OP_NOTX | OP_DATA, "IS_DOMAIN_INTRODUCED" },
    [XS_RESUME] = { op_resume, OP_PRIV | OP_NOTX, "RESUME" },
    [XS_SET_TARGET] = { op_set_target, OP_PRIV | OP_NOTX, "SET_TARGET" },
    [XS_RESET_WATCHES] = { op_reset_watches, OP_NOTX | OP_FREE, "RESET_WATCHES" },
    [XS_DIRECTORY_PART] = { op_directory_part, OP_DATA, "DIRECTORY_PART" },
};

/* --- first half ------------------------------------------------------------------------------------------------- */
static void req_start(struct req *r, struct xs *xs, struct conn *c, const struct xsd_sockmsg *hdr,
                      const void *payload)
{
    memset(r, 0, sizeof *r);
    r->xs = xs;
    r->conn = c;
    r->hdr = *hdr;
    r->in = payload;
}

static const struct op *op_of(uint32_t type) { return type < XS_TYPE_COUNT ? &ops[type] : NULL; }

static int dispatch(struct req *r)
{
    const struct op *op = op_of(r->hdr.type);
    if (!op || !op->fn)
        return XE_ENOSYS;
    if (op->flags & OP_PRIV && !r->conn->privileged)
        return XE_EACCES;
    if (r->hdr.tx_id && !(op->flags & OP_NOTX)) {
        r->tx = tx_find(r->conn, r->hdr.tx_id);
        if (!r->tx)
            return XE_ENOENT;
    }
    int err = op->fn(r);
    if (!err && !(op->flags & OP_DATA))
        req_reply(r, "OK", 3);
    return err;
}

/* Drops what a failed request had prepared; that a transaction ends stays. */
static void req_abandon(struct req *r)
{
    if (r->edited)
        edit_drop(&r->edit);
    if (r->own_log)
        changes_free(r->log);
    xs_free(r->add_watch);
    if (r->new_tx)
        tx_free(r->conn, r->new_tx);
    r->edited = r->own_log = r->reset = false;
    r->log = NULL;
    r->add_watch = NULL;
    r->drop_watch = NULL;
    r->new_tx = NULL;
    r->release = NULL;
    r->gone = 0;
    r->special = NULL;
}

/* --- second half ------------------------------------------------------------------------------------------------ */
static void commit_tree(struct req *r)
{
    struct xs *xs = r->xs;
    struct node *before = xs->root;
    journal_tree(r);
    xs->root = r->edit.root;
    for (unsigned i = 0; i < r->edit.nr; i++) {
        struct usage *u = xs_usage(xs, r->edit.delta[i].domid, false); /* made by xs_usage_reserve */
        u->nodes += r->edit.delta[i].nodes;
        u->bytes += r->edit.delta[i].bytes;
    }
    xs_free(r->edit.delta);
    for (const struct change *c = r->log; c; c = c->next)
        watch_fire(c, before, xs->root);
    if (r->own_log)
        changes_free(r->log);
    node_put(before);
}

static void req_commit(struct req *r)
{
    struct conn *c = r->conn;
    if (r->edited)
        commit_tree(r);
    else if (r->log)
        tx_append(c, r->tx, r->log);
    if (r->end_tx)
        tx_free(c, r->end_tx);
    if (r->new_tx)
        tx_open(c, r->new_tx);
    if (r->add_watch)
        watch_add(c, r->add_watch);
    if (r->drop_watch)
        watch_drop(c, r->drop_watch);
    if (r->reset) {
        watches_drop(c);
        txs_drop(c);
    }
    if (r->release)
        conn_free(r->xs, r->release);
    if (r->gone)
        xs_forget(r->xs, r->gone, r->named);
    if (r->special)
        watch_fire_special(r->xs, r->special, r->special_domid);
}

/* --- both ------------------------------------------------------------------------------------------------------- */
void xs_refuse(struct conn *c, const struct xsd_sockmsg *hdr, int err)
{
    struct xsd_sockmsg h = *hdr;
    struct outmsg *m = &c->spare.m;
    size_t n = strlen(xs_err_name[err]) + 1;
    h.type = XS_ERROR;
    h.len = (uint32_t)n;
    m->off = 0;
    m->len = (uint32_t)(sizeof h + n);
    memcpy(m->b, &h, sizeof h);
    memcpy(m->b + sizeof h, xs_err_name[err], n);
    c->spare_used = true;
    out_push(c, m);
}

/* A place for the reply of a request that changes something. One that gives memory back is answered without any. */
static struct outmsg *reply_new(struct conn *c, const struct xsd_sockmsg *hdr, bool frees)
{
    struct outmsg *m = out_new(c, hdr, ACK_PAYLOAD);
    if (m || !frees)
        return m;
    c->spare_used = true;
    c->spare.m.off = 0;
    return &c->spare.m;
}

/* The reply goes out before the events of the request. m has room for any reply of a request that changes something;
 * only a long answer to a question may have to be given up here. */
static void send_reply(struct req *r, struct outmsg *m, int err)
{
    struct xsd_sockmsg hdr = r->hdr;
    if (!err && r->out_len > ACK_PAYLOAD) {
        struct outmsg *big = out_new(r->conn, &hdr, r->out_len);
        if (big) {
            xs_free(m);
            m = big;
        } else {
            err = XE_ENOMEM;
        }
    }
    if (err == XE_ENOMEM || err == XE_ENOSPC || (err == XE_E2BIG && hdr.type == XS_WATCH))
        conn_limit(r->xs, r->conn, xs_err_name[err]);
    if (err) {
        r->out_len = 0;
        req_reply(r, xs_err_name[err], (uint32_t)strlen(xs_err_name[err]) + 1);
        hdr.type = XS_ERROR;
    }
    hdr.len = r->out_len;
    memcpy(m->b, &hdr, sizeof hdr);
    memcpy(m->b + sizeof hdr, xs_reply_buf, r->out_len);
    m->len = (uint32_t)sizeof hdr + r->out_len;
    out_push(r->conn, m);
}

/* What a client writes may be anything: only what can stand in a path is said. */
static void say_request(const struct req *r, int err)
{
    char line[192];
    const struct op *op = op_of(r->hdr.type);
    int n = snprintf(line, sizeof line, "%s %u ", op && op->fn ? op->name : "?", r->hdr.tx_id);
    for (uint32_t i = 0; i < r->hdr.len && r->in[i] && i < 128; i++)
        line[n++] = path_char(r->in[i]) ? r->in[i] : '?';
    snprintf(line + n, sizeof line - (size_t)n, ": %s", xs_err_name[err]);
    if (r->xs->ops->say)
        r->xs->ops->say(r->conn, line);
}

void xs_handle(struct xs *xs, struct conn *c, const struct xsd_sockmsg *hdr, const void *payload)
{
    const struct op *op = op_of(hdr->type);
    bool frees = op && op->flags & OP_FREE;
    struct req r;
    xs->nr_requests++;
    struct outmsg *m = reply_new(c, hdr, frees);
    if (!m) {
        conn_limit(xs, c, xs_err_name[XE_ENOMEM]);
        xs_refuse(c, hdr, XE_ENOMEM);
        return;
    }
    req_start(&r, xs, c, hdr, payload);
    c->heap->over = frees;
    int err = dispatch(&r);
    c->heap->over = false;
    if (xs->log)
        say_request(&r, err);
    if (err)
        req_abandon(&r);
    send_reply(&r, m, err);
    req_commit(&r);
}
