/* SPDX-License-Identifier: MIT */
/* Into the journal: what changed, and, when a half of it is full, everything. */
#include "xs.h"
#include <string.h>
#include "journal.h"

/* What memory holds is never smaller than its entries, so a snapshot fits if the heaps do (journal_covers). A node's are its block with the place
 * in its parent, and its name's. */
#define BLOCK 8u
_Static_assert(sizeof(struct jentry) + 8 + PRIV_PERMS * sizeof(struct perm) <=
                       sizeof(struct node) + 8 + sizeof(struct text) + 1 + 2 * BLOCK &&
                   sizeof(struct jentry) <= sizeof(struct watch) &&
                   sizeof(struct jentry) <= sizeof(struct outmsg) &&
                   sizeof(struct jentry) <= sizeof(struct tx) &&
                   sizeof(struct jentry) + sizeof(struct jnote) + PRIV_PERMS * sizeof(struct perm) <=
                       sizeof(struct change) + BLOCK &&
                   5 * sizeof(struct jentry) + sizeof(struct jconn) +
                           2 * sizeof(struct xsd_sockmsg) + 16 <=
                       sizeof(struct conn),
               "a snapshot may be larger than the heaps");

/* Where the first message that waits began: it may be in the ring in part. */
static uint32_t out_began(const struct conn *c) { return c->rsp_prod - (c->out ? c->out->off : 0); }

void journal_conn(const struct conn *c)
{
    const struct jconn jc = { c->gfn, c->req_cons, out_began(c), c->next_tx, c->next_watch };
    unsigned kind = c->privileged ? J_CTL : c->limits == &limits_driver ? J_DRIVER : J_GUEST;
    journal_put(J_CONN, c->domid, c->port, kind, &jc, sizeof jc);
}

static void put_out(const struct conn *c, const struct outmsg *m, uint32_t rsp_prod)
{
    journal_put(J_OUT, c->domid, m->w ? m->w->id : 0, rsp_prod, m->b, m->len);
}

void journal_out(const struct conn *c, const struct outmsg *m) { put_out(c, m, c->rsp_prod); }

void journal_note(const struct conn *c, const struct tx *tx, const struct change *ch)
{
    const struct jnote note = { ch->existed, ch->perms ? ch->perms->n : 0 };
    size_t perms = note.perms * sizeof(struct perm);
    journal_entry(J_NOTE, c->domid, tx->id, ch->op | (ch->path_len + 1) << 8,
                  sizeof note + perms + ch->path_len + 1 + ch->len);
    journal_bytes(&note, sizeof note);
    journal_bytes(ch->perms ? ch->perms->p : NULL, perms);
    journal_bytes(ch->path, ch->path_len + 1);
    journal_bytes(ch->data, ch->len);
}

void journal_special(const struct xs *xs, unsigned i)
{
    const struct permset *p = xs->special[i];
    journal_put(J_SPECIAL, 0, i, 0, p->p, p->n * sizeof p->p[0]);
}

static void put_gen(uint64_t gen)
{
    journal_put(J_GEN, 0, (uint32_t)gen, (uint32_t)(gen >> 32), NULL, 0);
}

/* The list of a change outside a transaction went into the edit: there it is. */
static const struct permset *perms_of_change(const struct req *r, const struct change *c)
{
    const struct node *n = c->perms ? NULL : tree_find(r->edit.root, c->path);
    return n ? n->perms : c->perms;
}

void journal_tree(const struct req *r)
{
    int owner = change_owner(r->conn);
    put_gen(r->edit.from);
    for (const struct change *c = r->log; c; c = c->next) {
        const struct permset *p = c->op == CH_PERMS ? perms_of_change(r, c) : NULL;
        size_t path = strlen(c->path) + 1, len = p ? p->n * sizeof p->p[0] : c->len;
        journal_entry(J_CHANGE, owner == OWNER_KEEP ? J_KEEP : (uint16_t)owner, c->op,
                      (uint32_t)path, path + len);
        journal_bytes(c->path, path);
        journal_bytes(p ? (const void *)p->p : c->data, len);
    }
}

/* --- everything --------------------------------------------------------------------------------------------------- */
static void put_node(const struct node *n)
{
    uint32_t len = n->data ? n->data->len : 0, perms = n->perms->n * (uint32_t)sizeof(struct perm);
    journal_entry(J_NODE, 0, n->name->len | (uint32_t)n->perms->n << 16, n->nr,
                  sizeof n->cgen + perms + n->name->len + len);
    journal_bytes(&n->cgen, sizeof n->cgen);
    journal_bytes(n->perms->p, perms);
    journal_bytes(n->name->s, n->name->len);
    journal_bytes(len ? n->data->s : NULL, len);
}

/* Parents first, so that whoever reads it knows where each belongs. */
static void put_tree(const struct node *root)
{
    static struct {
        const struct node *n;
        unsigned i;
    } st[XS_MAX_DEPTH];
    unsigned d = 0;
    st[0].n = root;
    st[0].i = 0;
    put_node(root);
    for (;;) {
        if (st[d].i < st[d].n->nr) {
            const struct node *c = st[d].n->child[st[d].i++];
            put_node(c);
            d++;
            st[d].n = c;
            st[d].i = 0;
        } else if (!d--) {
            return;
        }
    }
}

static void put_client(const struct conn *c)
{
    for (const struct tx *t = c->txs; t; t = t->next) {
        journal_put(J_TX, c->domid, t->id, 0, NULL, 0);
        for (const struct change *ch = t->log; ch; ch = ch->next)
            journal_note(c, t, ch);
    }
    if (c->target >= 0)
        journal_put(J_TARGET, c->domid, (uint32_t)c->target + 1, 0, NULL, 0);
    for (const struct watch *w = c->watches; w; w = w->next) {
        size_t len = w->path_len + strlen(w->token) + 2;
        journal_put(J_WATCH, c->domid, w->id, w->rel | (uint32_t)w->depth << 16, w->path, len);
        if (w->missed)
            journal_put(J_MISSED, c->domid, w->id, 1, NULL, 0);
    }
    for (const struct outmsg *m = c->out; m; m = m->next)
        put_out(c, m, out_began(c));
    if (c->hdr_got && !c->bad) {
        uint32_t body = c->body ? c->body_got : 0;
        journal_entry(J_PART, c->domid, c->req_cons, c->hdr_got | c->body_got << 8,
                      c->hdr_got + body);
        journal_bytes(&c->hdr, c->hdr_got);
        journal_bytes(c->body, body);
    }
}

void xs_snapshot(const struct xs *xs)
{
    journal_turn();
    put_gen(xs->gen);
    journal_put(J_ALLGONE, 0, 0, 0, xs->gone, sizeof xs->gone);
    journal_special(xs, 0);
    journal_special(xs, 1);
    settings_snapshot(xs);
    /* Heaps before what lies in them. */
    for (const struct conn *c = xs->conns; c; c = c->next)
        journal_conn(c);
    put_tree(xs->root);
    for (const struct conn *c = xs->conns; c; c = c->next)
        put_client(c);
    if (!journal_flip() && xs->ops->say)
        xs->ops->say(xs->ctl, "has a store whose journal is too small: it does not survive any more");
}

void xs_commit(const struct xs *xs)
{
    if (!journal_seal())
        xs_snapshot(xs);
}
