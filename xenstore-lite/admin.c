/* SPDX-License-Identifier: MIT */
/* Requests about domains; all but two are the control domain's. */
#include "xs.h"
#include <stdio.h>
#include <string.h>
#include "journal.h"
#include "mem.h"

#define DOMID_LAST 0x7fefu
#define SELF_ID    0x7ff0u

/* The first nr strings of the payload as numbers. */
static int numbers(const struct req *r, uint32_t *v, unsigned nr)
{
    const char *s[3];
    uint32_t rest;
    if (req_strings(r, s, nr, &rest) != nr)
        return XE_EINVAL;
    for (unsigned i = 0; i < nr; i++)
        if (!parse_u32(s[i], UINT32_MAX, &v[i]))
            return XE_EINVAL;
    return XE_OK;
}

static void introduced(struct xs *xs, struct conn *c, const uint32_t *v, bool again)
{
    c->named = c->bad_said = false;
    c->gfn = v[1];
    c->port = v[2];
    if (c->ring)
        conn_begins(c, again);
    xs->fresh = c;
    xs->fresh_zero = again;
    journal_conn(c);
}

/* domid, gfn, port, and "driver" if it is a driver domain, which gets the limits of one. A domain that is known already was
 * rebuilt in place: its connection starts afresh, its nodes stay, and nobody is told (docs/restart-protocol.md 1). */
int op_introduce(struct req *r)
{
    const char *s[4];
    uint32_t v[3], rest;
    int err = numbers(r, v, 3);
    bool is_driver = req_strings(r, s, 4, &rest) == 4 && !strcmp(s[3], "driver");
    if (err || v[0] > DOMID_LAST || !v[2])
        return XE_EINVAL;
    struct conn *c = conn_find(r->xs, (uint16_t)v[0]);
    if (c == r->conn)
        return XE_EINVAL;
    if (c) {
        err = r->xs->ops->reattach(c, v[1], v[2]);
        if (err > 0) /* it was served before we were told of it again */
            return XE_OK;
        conn_reset(c);
        introduced(r->xs, c, v, true);
        return err ? XE_EIO : XE_OK;
    }
    c = conn_new(r->xs, (uint16_t)v[0], is_driver ? &limits_driver : &limits_guest);
    if (!c)
        return XE_ENOMEM;
    if (r->xs->ops->attach(c, v[1], v[2])) {
        conn_free(r->xs, c);
        return XE_EIO;
    }
    aside_look(c);
    introduced(r->xs, c, v, false);
    r->special = special_name(0);
    r->special_domid = c->domid;
    return XE_OK;
}

struct owned {
    uint16_t domid;
    const struct node *root;
    bool named;           /* by a permission of somebody's node */
    struct change **tail; /* where the next removal goes */
};

/* The top node of a stretch that belongs to the domain. The root cannot go: it becomes domain 0's. */
static int find_owned(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    struct owned *o = arg;
    struct change c = { .op = parent ? CH_RM : CH_PERMS, .path = path };
    if (n->perms->p[0].domid != o->domid) {
        o->named |= permset_names(n->perms, o->domid);
        return 0;
    }
    if (parent && parent != o->root && parent->perms->p[0].domid == o->domid)
        return 0;
    if (!parent && !(c.perms = permset_inherit(ctl_heap, n->perms, 0)))
        return 1;
    *o->tail = change_copy(ctl_heap, &c);
    permset_put(c.perms);
    if (!*o->tail)
        return 1;
    o->tail = &(*o->tail)->next;
    return 0;
}

/* Nodes of a domain that is gone would stay for ever: nobody else may have the right, or the wish, to remove them. One round finds
 * them all, since two domains can give each other many places; deeper ones come first in it, so each still exists when it is
 * its turn. */
static int remove_owned(struct req *r, uint16_t domid)
{
    struct owned o = { .domid = domid, .root = r->xs->root, .tail = &r->log };
    int err = XE_OK;
    edit_begin(&r->edit, r->xs->root, &r->xs->gen, r->conn->heap);
    r->edited = r->own_log = true;
    if (tree_visit(r->edit.root, NULL, "/", find_owned, &o))
        return XE_ENOMEM;
    for (const struct change *c = r->log; c && !err; c = c->next)
        err = change_apply(&r->edit, c, OWNER_KEEP);
    r->named = o.named;
    return err ? err : xs_usage_reserve(r->xs, &r->edit);
}

/* When the answer is out, nothing in here names a guest of this domid, and nobody can name one before the control domain does: another
 * guest may have it then. Also one that was never introduced. A service domain has its domid for good, and what others permitted
 * it is for its next instance. */
int op_release(struct req *r)
{
    uint32_t v[1];
    int err = numbers(r, v, 1);
    if (err || v[0] > DOMID_LAST)
        return XE_EINVAL;
    struct conn *c = conn_find(r->xs, (uint16_t)v[0]);
    if (!c && v[0] < XS_FIRST_GUEST)
        return XE_ENOENT;
    if (c && c->privileged)
        return XE_EINVAL;
    err = remove_owned(r, (uint16_t)v[0]);
    if (err)
        return err;
    r->release = c;
    r->gone = v[0] < XS_FIRST_GUEST ? 0 : (uint16_t)v[0];
    r->special = c ? special_name(1) : NULL;
    r->special_domid = (uint16_t)v[0];
    aside_forget((uint16_t)v[0]);
    return XE_OK;
}

int op_is_introduced(struct req *r)
{
    uint32_t v[1];
    if (numbers(r, v, 1))
        return XE_EINVAL;
    bool yes = v[0] == SELF_ID || (v[0] <= DOMID_LAST && conn_find(r->xs, (uint16_t)v[0]));
    req_reply(r, yes ? "T" : "F", 2);
    return XE_OK;
}

int op_get_domain_path(struct req *r)
{
    uint32_t v[1];
    char buf[32];
    if (numbers(r, v, 1) || (v[0] > DOMID_LAST && v[0] != SELF_ID))
        return XE_EINVAL;
    uint32_t id = v[0] == SELF_ID ? r->conn->domid : v[0];
    req_reply(r, buf, (uint32_t)snprintf(buf, sizeof buf, "/local/domain/%u", id) + 1);
    return XE_OK;
}

/* Nothing is kept about a domain that has shut down, so there is nothing to take back. */
int op_resume(struct req *r)
{
    uint32_t v[1];
    if (numbers(r, v, 1) || v[0] > DOMID_LAST)
        return XE_EINVAL;
    return conn_find(r->xs, (uint16_t)v[0]) ? XE_OK : XE_ENOENT;
}

int op_set_target(struct req *r)
{
    uint32_t v[2];
    if (numbers(r, v, 2) || v[0] > DOMID_LAST || v[1] > DOMID_LAST)
        return XE_EINVAL;
    struct conn *c = conn_find(r->xs, (uint16_t)v[0]);
    if (!c || !conn_find(r->xs, (uint16_t)v[1]))
        return XE_ENOENT;
    c->target = (int32_t)v[1];
    journal_put(J_TARGET, c->domid, v[1] + 1, 0, NULL, 0);
    return XE_OK;
}
