/* SPDX-License-Identifier: MIT */
/*
 * Out of the journal: the state as the dead instance left it. Nothing is executed again: entries say what came out of requests, not
 * what was asked. Who took that instance over may have written any entry; one that makes no sense, or finds no memory, is left out and
 * counted; with a node what is below it. The rings are not looked at here: stream_adopt.
 */
#include "xs.h"
#include <string.h>
#include "journal.h"
#include "mem.h"

#define DOMIDS 0x8000u

/* The tree of a snapshot on its way: the nodes from its top down to the one whose children come next. */
static struct {
    struct node *n;
    unsigned next, path_len;
} st[XS_MAX_DEPTH];

struct restore {
    struct xs *xs;
    int lost;
    struct node *top; /* of the tree on its way, a reference; NULL: none is */
    unsigned depth;
    uint64_t below; /* so many nodes to come lie below one that was left out */
};

/* --- permissions, accounts ---------------------------------------------------------------------------------------- */
/* In the heap h, or `like` if it says the same. */
static struct permset *perms_of(struct heap *h, const unsigned char *bytes, size_t len,
                                struct permset *like)
{
    size_t n = len / sizeof(struct perm);
    struct perm p[PRIV_PERMS];
    if (!n || n > PRIV_PERMS || len % sizeof p[0])
        return NULL;
    memcpy(p, bytes, len);
    for (size_t i = 0; i < n; i++)
        if (p[i].domid >= DOMIDS || p[i].bits > (PERM_READ | PERM_WRITE))
            return NULL;
    if (like && like->n == n && !memcmp(like->p, p, len))
        return permset_get(like);
    struct permset *set = permset_new(h, (unsigned)n);
    if (set)
        memcpy(set->p, p, len);
    return set;
}

/* A node of which there is no account, for lack of memory, is domain 0's, whose account comes first. */
static int count_node(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    struct restore *r = arg;
    struct usage one = { .domid = n->perms->p[0].domid };
    const struct edit e = { .delta = &one, .nr = 1 };
    (void)parent;
    (void)path;
    if (!xs_usage(r->xs, one.domid, false) && xs_usage_reserve(r->xs, &e)) {
        permset_strike(n->perms, one.domid);
        r->lost++;
    }
    struct usage *u = xs_usage(r->xs, n->perms->p[0].domid, false);
    u->nodes++;
    u->bytes += (int)node_cost(n);
    return 0;
}

/* The counter never falls: what a transaction looked at and what is there now would look the same. */
static bool raise_gen(struct xs *xs, uint64_t gen)
{
    if (gen >> 63)
        return false;
    xs->gen = gen > xs->gen ? gen : xs->gen;
    return true;
}

/* --- the tree ----------------------------------------------------------------------------------------------------- */
static bool name_ok(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!name[i] || name[i] == '/' || !path_char(name[i]))
            return false;
    return len;
}

/* Whether name belongs where the next child goes. */
static bool place_ok(const struct restore *r, const char *name, size_t len)
{
    if (!r->top)
        return !len;
    const struct node *parent = st[r->depth].n;
    const struct text *last = st[r->depth].next ? parent->child[st[r->depth].next - 1]->name : NULL;
    if (!name_ok(name, len) || r->depth + 2 >= XS_MAX_DEPTH ||
        st[r->depth].path_len + 1 + len > XS_PATH_MAX)
        return false;
    return !last || name_order(last->s, last->len, name, len) < 0;
}

/* Up from nodes whose children are all there; with the top's the tree is whole and becomes the store's. */
static void tree_ascend(struct restore *r)
{
    while (st[r->depth].next == st[r->depth].n->nr) {
        if (!r->depth) {
            node_put(r->xs->root);
            r->xs->root = r->top;
            r->top = NULL;
            return;
        }
        r->depth--;
    }
}

/* The node of an entry, a reference, or NULL. */
static struct node *node_of(const struct restore *r, const struct jentry *e, const unsigned char *p)
{
    size_t name = e->a & 0xffff, perms = (e->a >> 16) * sizeof(struct perm);
    uint64_t gen;
    if (name + perms + sizeof gen > e->len || name > XS_PATH_MAX)
        return NULL;
    size_t data = e->len - name - perms - sizeof gen;
    const unsigned char *list = p + sizeof gen;
    const char *s = (const char *)list + perms;
    memcpy(&gen, p, sizeof gen);
    if (data > XENSTORE_PAYLOAD_MAX || !raise_gen(r->xs, gen) || !place_ok(r, s, name))
        return NULL;
    struct permset *like = r->top ? st[r->depth].n->perms : NULL;
    if (like && st[r->depth].next)
        like = st[r->depth].n->child[st[r->depth].next - 1]->perms;
    struct permset *set = perms_of(ctl_heap, list, perms, like);
    struct node *n = set ? tree_part(s, name, set, s + name, data, e->b, gen) : NULL;
    permset_put(set);
    return n;
}

static bool apply_node(struct restore *r, const struct jentry *e, const unsigned char *p)
{
    if (r->below) {
        r->below += (uint64_t)e->b - 1;
        return false;
    }
    struct node *n = node_of(r, e, p);
    if (!n) {
        r->below = e->b;
        if (r->top) {
            st[r->depth].n->nr--;
            tree_ascend(r);
        }
        return false;
    }
    unsigned above = 0;
    if (r->top) {
        st[r->depth].n->child[st[r->depth].next++] = n;
        above = st[r->depth++].path_len + 1;
    } else {
        r->top = n;
        r->depth = 0;
    }
    st[r->depth].n = n;
    st[r->depth].next = 0;
    st[r->depth].path_len = (unsigned)(above + n->name->len);
    tree_ascend(r);
    return true;
}

static bool apply_change(struct restore *r, const struct jentry *e, const unsigned char *p)
{
    struct change c = { .op = e->a, .path = (const char *)p, .len = e->len - e->b };
    struct edit edit;
    int owner = e->domid == J_KEEP ? OWNER_KEEP : e->domid;
    if (e->a > CH_PERMS || !e->b || e->b > e->len || p[e->b - 1] || strlen(c.path) + 1 != e->b ||
        !path_valid(c.path) || c.len > XENSTORE_PAYLOAD_MAX ||
        (owner != OWNER_KEEP && owner >= (int)DOMIDS))
        return false;
    c.data = p + e->b;
    if (c.op == CH_PERMS && !(c.perms = perms_of(ctl_heap, p + e->b, c.len, NULL)))
        return false;
    edit_begin(&edit, r->xs->root, &r->xs->gen, ctl_heap);
    int err = change_apply(&edit, &c, owner);
    if (!err) {
        node_put(r->xs->root);
        r->xs->root = node_get(edit.root);
    }
    edit_drop(&edit);
    permset_put(c.perms);
    return !err;
}

/* --- clients ------------------------------------------------------------------------------------------------------ */
static bool apply_conn(struct restore *r, struct conn *c, const struct jentry *e,
                       const unsigned char *p)
{
    static const struct limits *const limits[] = { &limits_guest, &limits_driver, &limits_ctl };
    struct jconn jc;
    if (e->len != sizeof jc || e->b > J_CTL || e->domid >= DOMIDS)
        return false;
    if (c)
        conn_reset(c);
    else if (e->b != J_CTL || !r->xs->ctl)
        c = conn_new(r->xs, e->domid, limits[e->b]);
    if (!c)
        return false;
    memcpy(&jc, p, sizeof jc);
    c->gfn = jc.gfn;
    c->port = e->a;
    c->req_cons = jc.req_cons;
    c->rsp_prod = jc.rsp_prod;
    c->next_tx = jc.next_tx;
    c->next_watch = jc.next_watch;
    return true;
}

static bool apply_watch(struct conn *c, const struct jentry *e, const unsigned char *p)
{
    const char *path = (const char *)p, *token = memchr(p, 0, e->len);
    uint32_t next = c->next_watch, rel = e->b & 0xffff;
    if (!token++ || !memchr(token, 0, e->len - (size_t)(token - path)) ||
        !(path_valid(path) || path_special_watch(path)) || rel >= strlen(path) ||
        watch_of_id(c, e->a))
        return false;
    struct watch *w = watch_new(c, path, rel, token, e->b >> 16);
    if (!w)
        return false;
    w->id = e->a;
    watch_link(c, w);
    if ((int32_t)(next - c->next_watch) > 0)
        c->next_watch = next;
    return true;
}

static bool apply_tx(struct conn *c, uint32_t id)
{
    uint32_t next = c->next_tx;
    struct tx *tx = tx_find(c, id) || !id ? NULL : xs_alloc(c->heap, sizeof *tx);
    if (!tx)
        return false;
    tx->id = id;
    tx->doomed = true;
    tx_open(c, tx);
    if ((int32_t)(next - c->next_tx) > 0)
        c->next_tx = next;
    return true;
}

/* A change that an open transaction made: its owner goes on seeing it. */
static bool apply_note(struct conn *c, const struct jentry *e, const unsigned char *p)
{
    struct tx *tx = tx_find(c, e->a);
    struct jnote note;
    uint32_t op = e->b & 0xff, path = e->b >> 8;
    if (!tx || op > CH_PERMS || e->len < sizeof note)
        return false;
    memcpy(&note, p, sizeof note);
    size_t perms = note.perms * sizeof(struct perm), head = sizeof note + perms;
    const char *name = (const char *)p + head;
    if (note.perms > PRIV_PERMS || !path || path > e->len || head > e->len - path ||
        e->len - head - path > XENSTORE_PAYLOAD_MAX || name[path - 1] || strlen(name) + 1 != path ||
        !path_valid(name) || note.existed >= path)
        return false;
    struct change ch = { .op = op,
                         .path = name,
                         .data = name + path,
                         .path_len = path - 1,
                         .existed = note.existed,
                         .len = e->len - (uint32_t)head - path };
    if (op == CH_PERMS || note.existed < ch.path_len || perms)
        ch.perms = perms_of(c->heap, p + sizeof note, perms, NULL);
    struct change *copy = ch.perms || (op != CH_PERMS && note.existed == ch.path_len && !perms)
                              ? change_copy(c->heap, &ch)
                              : NULL;
    permset_put(ch.perms);
    if (copy)
        tx_append(c, tx, copy);
    return copy;
}

static bool apply_out(struct conn *c, const struct jentry *e, const unsigned char *p)
{
    struct xsd_sockmsg hdr;
    if (e->len < sizeof hdr || e->len > sizeof hdr + XENSTORE_PAYLOAD_MAX)
        return false;
    memcpy(&hdr, p, sizeof hdr);
    /* False where the ring began anew, as a domain's that is about to be introduced again. */
    (void)out_sent(c, e->b - c->rsp_prod, false);
    c->rsp_prod = e->b;
    struct outmsg *m = out_new(c, &hdr, e->len - (uint32_t)sizeof hdr);
    if (!m && !e->a && !c->spare_used && e->len <= sizeof c->spare.b) {
        m = &c->spare.m;
        m->len = e->len;
        m->off = 0;
        c->spare_used = true;
    }
    if (!m)
        return false;
    memcpy(m->b, p, e->len);
    struct watch **w = e->a ? watch_of_id(c, e->a) : NULL;
    m->w = NULL;
    if (w)
        watch_queue(*w, m);
    out_push(c, m);
    return true;
}

/* A piece of the request that is on its way. */
static bool apply_part(struct conn *c, const struct jentry *e, const unsigned char *p)
{
    uint32_t hdr = e->b & 0xff, body = e->b >> 8;
    c->req_cons = e->a;
    if (hdr > sizeof c->hdr - c->hdr_got || (e->len != hdr && e->len != (uint64_t)hdr + body))
        return false;
    memcpy((char *)&c->hdr + c->hdr_got, p, hdr);
    c->hdr_got += hdr;
    if (c->hdr_got == sizeof c->hdr && c->hdr.len > XENSTORE_PAYLOAD_MAX) {
        c->hdr_got = 0;
        return false;
    }
    if (!body)
        return true;
    if (c->hdr_got < sizeof c->hdr || body >= c->hdr.len - c->body_got)
        return false;
    if (!c->body_got && e->len > hdr)
        c->body = xs_alloc(c->heap, c->hdr.len);
    if (c->body && e->len > hdr)
        memcpy(c->body + c->body_got, p + hdr, body);
    c->body_got += body;
    return true;
}

static bool apply_to_conn(struct conn *c, const struct jentry *e, const unsigned char *p)
{
    struct watch **w = e->type == J_UNWATCH || e->type == J_MISSED ? watch_of_id(c, e->a) : NULL;
    struct tx *tx = e->type == J_TXEND ? tx_find(c, e->a) : NULL;
    switch (e->type) {
    case J_TARGET: c->target = (int32_t)(e->a & (DOMIDS - 1)) - 1; return true;
    case J_WATCH: return apply_watch(c, e, p);
    case J_UNWATCH:
        if (w)
            watch_drop(c, w);
        return w;
    case J_MISSED:
        if (w)
            watch_missed(c, *w, e->b);
        return w;
    case J_TX: return apply_tx(c, e->a);
    case J_TXEND:
        if (tx)
            tx_free(c, tx);
        return tx;
    case J_NOTE: return apply_note(c, e, p);
    case J_OUT: return apply_out(c, e, p);
    case J_PART: return apply_part(c, e, p);
    case J_DONE:
        c->req_cons = e->a;
        xs_free(c->body);
        c->body = NULL;
        c->hdr_got = c->body_got = 0;
        return true;
    default: return false;
    }
}

/* What lay in a client's heap lies there in another way now, and a full one may have no place left for the last piece. */
static bool apply_elsewhere(struct conn *c, const struct jentry *e, const unsigned char *p)
{
    struct heap *own = c->heap;
    c->heap = ctl_heap;
    bool sound = apply_to_conn(c, e, p);
    c->heap = own;
    return sound;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */
static bool apply_special(struct xs *xs, const struct jentry *e, const unsigned char *p)
{
    struct permset *set = e->a < 2 ? perms_of(ctl_heap, p, e->len, NULL) : NULL;
    if (!set)
        return false;
    permset_put(xs->special[e->a]);
    xs->special[e->a] = set;
    return true;
}

static bool apply_entry(struct restore *r, const struct jentry *e, const unsigned char *p)
{
    struct xs *xs = r->xs;
    struct conn *c = conn_find(xs, e->domid);
    switch (e->type) {
    case J_CONN: return apply_conn(r, c, e, p);
    case J_RELEASE:
        if (c)
            conn_free(xs, c);
        return true; /* one that did not come up was released as well */
    case J_SET: return setting_set(xs, e->a, e->b);
    case J_GEN: return raise_gen(xs, e->a | (uint64_t)e->b << 32);
    case J_CHANGE: return apply_change(r, e, p);
    case J_NODE: return apply_node(r, e, p);
    case J_SPECIAL: return apply_special(xs, e, p);
    case J_ALLGONE:
        if (e->len == sizeof xs->gone)
            memcpy(xs->gone, p, sizeof xs->gone);
        return e->len == sizeof xs->gone;
    }
    if (e->domid >= DOMIDS)
        return false;
    if (e->type == J_GONE)
        xs->gone[e->domid / 8] &= (uint8_t) ~(1u << e->domid % 8);
    else if (e->type == J_FORGET && !c)
        xs_forget(xs, e->domid, true);
    else if (!c)
        return false;
    else
        return apply_to_conn(c, e, p) || apply_elsewhere(c, e, p);
    return true;
}

static void apply(const struct jentry *e, const unsigned char *p, void *arg)
{
    struct restore *r = arg;
    r->lost += !apply_entry(r, e, p);
}

/* One death may be chance. At the second in a row something here kills whoever reads it, or takes him longer than he is given: it is left out, what is most
 * likely first. */
#define TRIES 2u

static enum journal_part readable(unsigned died)
{
    return died < TRIES ? JOURNAL_ALL : died < 2 * TRIES ? JOURNAL_SNAPSHOT : JOURNAL_NOTHING;
}

int xs_restore(struct xs *xs, bool ordered)
{
    struct restore r = { .xs = xs };
    enum journal_part part = readable(journal_adopting(ordered));
    enum journal_end end = journal_read(part, apply, &r);
    node_put(r.top); /* it never became whole */
    r.lost += end == JOURNAL_DAMAGED;
    xs->nr_usage = 0;
    (void)xs_usage(xs, 0, true); /* in the room of first_nodes */
    (void)tree_visit(xs->root, NULL, "/", count_node, &r);
    xs->read = end == JOURNAL_NONE ? JOURNAL_ALL : part;
    if (end == JOURNAL_DAMAGED || xs->read != JOURNAL_ALL)
        for (struct conn *c = xs->conns; c; c = c->next)
            watches_missed(c); /* what they were told of may not have been */
    return end == JOURNAL_NONE ? -1 : r.lost;
}
