/* SPDX-License-Identifier: MIT */
/* The persistent tree: see tree.h. Nothing here recurses: a path may be 1,536 components deep and the stack is small. */
#include "tree.h"
#include "mem.h"
#include <string.h>

/* The way from the root down to where a change happens: node and the index of the child that was taken. */
static struct step {
    struct node *n;
    unsigned at;
} chain[XS_MAX_DEPTH];

uint64_t tree_work;

static struct text *text_new(struct heap *h, const void *s, size_t n)
{
    struct text *t = xs_alloc(h, sizeof *t + n + 1);
    if (!t)
        return NULL;
    t->refs = 1;
    t->len = (uint32_t)n;
    if (n)
        memcpy(t->s, s, n);
    return t;
}

static void text_put(struct text *t)
{
    if (t && --t->refs == 0)
        xs_free(t);
}

struct permset *permset_new(struct heap *h, unsigned n)
{
    struct permset *p = xs_alloc(h, sizeof *p + n * sizeof p->p[0]);
    if (!p)
        return NULL;
    p->refs = 1;
    p->n = p->room = (uint16_t)n;
    return p;
}

static struct permset *permset_copy(struct heap *h, const struct permset *from)
{
    struct permset *p = permset_new(h, from->room); /* the copy costs what the first one did */
    if (!p)
        return NULL;
    p->n = from->n;
    memcpy(p->p, from->p, from->n * sizeof p->p[0]);
    return p;
}

struct permset *permset_inherit(struct heap *h, struct permset *from, int owner)
{
    if (owner == OWNER_KEEP || from->p[0].domid == owner)
        return permset_get(from);
    struct permset *p = permset_copy(h, from);
    if (p)
        p->p[0].domid = (uint16_t)owner;
    return p;
}

void permset_put(struct permset *p)
{
    if (p && --p->refs == 0)
        xs_free(p);
}

void permset_strike(struct permset *p, uint16_t domid)
{
    uint16_t n = 1;
    for (unsigned i = 1; i < p->n; i++)
        if (p->p[i].domid != domid)
            p->p[n++] = p->p[i];
    p->n = n;
    if (p->p[0].domid == domid)
        p->p[0].domid = 0;
}

bool permset_names(const struct permset *p, uint16_t domid)
{
    for (unsigned i = 1; i < p->n; i++)
        if (p->p[i].domid == domid)
            return true;
    return false;
}

/* Dead nodes wait in a list instead of on the stack. */
void node_put(struct node *n)
{
    struct node *dead = NULL;
    if (n && --n->refs == 0) {
        n->next_dead = NULL;
        dead = n;
    }
    while (dead) {
        n = dead;
        dead = n->next_dead;
        for (unsigned i = 0; i < n->nr; i++) {
            struct node *c = n->child[i];
            if (c && --c->refs == 0) {
                c->next_dead = dead;
                dead = c;
            }
        }
        text_put(n->name);
        text_put(n->data);
        permset_put(n->perms);
        xs_free(n);
    }
}

/* --- nodes in their owners' heaps ------------------------------------------------------------------------------------ */
/* What the control domain does in somebody's directory must not fail because he has used up what is his: then it costs the control
 * domain. Nobody else pays for another. */
static bool ctl_pays(const struct edit *e, const struct heap *h)
{
    return e->by == ctl_heap && h != ctl_heap;
}

static struct node *node_alloc(const struct edit *e, uint16_t owner, unsigned nr)
{
    struct heap *h = heap_of(owner);
    size_t size = sizeof(struct node) + nr * sizeof(struct node *);
    struct node *n = xs_alloc(h, size);
    if (!n && ctl_pays(e, h))
        n = xs_alloc(ctl_heap, size);
    if (n) {
        n->refs = 1;
        n->nr = nr;
    }
    tree_work += 1 + nr / 8;
    return n;
}

static struct text *text_for(const struct edit *e, uint16_t owner, const void *s, size_t len)
{
    struct heap *h = heap_of(owner);
    struct text *t = text_new(h, s, len);
    return t || !ctl_pays(e, h) ? t : text_new(ctl_heap, s, len);
}

/* A reference to what is in the right heap already, else to a copy there. */
static struct text *text_share(const struct edit *e, uint16_t owner, struct text *t)
{
    if (mem_heap(t) != heap_of(owner))
        return text_for(e, owner, t->s, t->len);
    t->refs++;
    return t;
}

static struct permset *perms_share(const struct edit *e, struct permset *p)
{
    struct heap *h = heap_of(p->p[0].domid);
    if (mem_heap(p) == h)
        return permset_get(p);
    struct permset *c = permset_copy(h, p);
    return c || !ctl_pays(e, h) ? c : permset_copy(ctl_heap, p);
}

/* A fresh node; takes one reference of perms for itself. */
static struct node *node_new(const struct edit *e, const char *name, size_t name_len,
                             struct permset *perms, const void *data, size_t len, unsigned nr)
{
    uint16_t owner = perms->p[0].domid;
    struct node *n = node_alloc(e, owner, nr);
    if (!n)
        return NULL;
    n->gen = n->cgen = n->tgen = ++*e->gen;
    n->perms = perms_share(e, perms);
    n->name = text_for(e, owner, name, name_len);
    if (len)
        n->data = text_for(e, owner, data, len);
    if (!n->perms || !n->name || (len && !n->data)) {
        node_put(n);
        return NULL;
    }
    return n;
}

enum copy_how { COPY_SAME, COPY_INSERT, COPY_REMOVE };

/* A copy of n with these permissions and this data that shares the children. INSERT leaves child[at] empty, REMOVE leaves the one at
 * `at` out. */
static struct node *node_copy(const struct edit *e, struct node *n, enum copy_how how, unsigned at,
                              struct permset *perms, struct text *data)
{
    unsigned nr = how == COPY_INSERT ? n->nr + 1 : how == COPY_REMOVE ? n->nr - 1 : n->nr;
    uint16_t owner = perms->p[0].domid;
    struct node *c = node_alloc(e, owner, nr);
    if (!c)
        return NULL;
    c->gen = n->gen;
    c->cgen = n->cgen;
    c->tgen = n->tgen;
    c->name = text_share(e, owner, n->name);
    c->data = data ? text_share(e, owner, data) : NULL;
    c->perms = perms_share(e, perms);
    if (!c->name || !c->perms || (data && !c->data)) {
        node_put(c);
        return NULL;
    }
    for (unsigned i = 0, j = 0; i < n->nr; i++) {
        if (how == COPY_REMOVE && i == at)
            continue;
        if (how == COPY_INSERT && i == at)
            j++;
        c->child[j++] = node_get(n->child[i]);
    }
    return c;
}

struct node *tree_new(uint64_t *gen, uint16_t owner)
{
    const struct edit e = { .gen = gen, .by = ctl_heap };
    struct permset *p = permset_new(heap_of(owner), 1);
    if (!p)
        return NULL;
    p->p[0].domid = owner;
    struct node *n = node_new(&e, "", 0, p, NULL, 0, 0);
    permset_put(p);
    return n;
}

struct node *tree_part(const char *name, size_t name_len, struct permset *perms, const void *data,
                       size_t len, unsigned nr, uint64_t gen)
{
    uint64_t before = gen - 1;
    const struct edit e = { .gen = &before, .by = ctl_heap };
    return node_new(&e, name, name_len, perms, data, len, nr);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

int name_order(const char *s, size_t len, const char *t, size_t t_len)
{
    int by_len = len < t_len ? -1 : len > t_len;

    if (by_len && len && t_len && is_digit(*s) && is_digit(*t))
        return by_len;
    int c = memcmp(s, t, len < t_len ? len : t_len);
    return c ? c : by_len;
}

static bool child_find(const struct node *n, const char *s, size_t len, unsigned *at)
{
    unsigned lo = 0, hi = n->nr;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        const struct text *t = n->child[mid]->name;
        int c = name_order(s, len, t->s, t->len);
        if (!c) {
            *at = mid;
            return true;
        }
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    *at = lo;
    return false;
}

/* Fills chain[0..d] as far as the path exists and returns d. *rest is what is left of the path ("" when all of it
 * exists), without a leading slash; chain[d].at then is the place where its first component belongs. */
static unsigned chain_follow_n(struct node *root, const char *path, size_t n, const char **rest)
{
    unsigned d = 0;
    const char *p = path + 1, *end = path + n;
    chain[0].n = root;
    while (p < end) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        size_t len = (size_t)((slash ? slash : end) - p);
        struct step *s = &chain[d];
        if (!child_find(s->n, p, len, &s->at))
            break;
        chain[++d].n = s->n->child[s->at];
        p = slash ? slash + 1 : end;
        tree_work++;
    }
    *rest = p;
    return d;
}

static unsigned chain_follow(struct node *root, const char *path, const char **rest)
{
    return chain_follow_n(root, path, strlen(path), rest);
}

struct node *tree_find_n(struct node *root, const char *path, size_t len)
{
    const char *rest;
    unsigned d = chain_follow_n(root, path, len, &rest);
    return rest < path + len ? NULL : chain[d].n;
}

struct node *tree_find(struct node *root, const char *path)
{
    return tree_find_n(root, path, strlen(path));
}

size_t path_parent_len(const char *path)
{
    size_t n = (size_t)(strrchr(path, '/') - path);
    return n ? n : 1;
}

struct node *tree_nearest(struct node *root, const char *path, size_t len, size_t *used)
{
    const char *rest;
    unsigned d = chain_follow_n(root, path, len, &rest);
    size_t n = (size_t)(rest - path);
    *used = n < len && n > 1 ? n - 1 : n; /* not the slash before what is missing */
    return chain[d].n;
}

uint32_t node_cost(const struct node *n)
{
    /* The blocks of a node: itself with its slot in the parent, its name, its data, its permissions, each with what the heap and the
     * structure take at most. */
    return (uint32_t)sizeof *n + 8 + 4 * 24 + n->name->len + (n->data ? n->data->len : 0) +
           n->perms->room * 4u;
}

int tree_visit(const struct node *top, const struct node *parent, const char *path, visit_fn fn,
               void *arg)
{
    static struct {
        const struct node *n;
        unsigned i, len;
    } st[XS_MAX_DEPTH];
    static char at[XS_PATH_MAX + 2];
    unsigned d = 0, len = path[1] ? (unsigned)strlen(path) : 0;
    memcpy(at, path, len);
    st[0].n = top;
    st[0].i = 0;
    st[0].len = len;
    for (;;) {
        if (st[d].i < st[d].n->nr) {
            const struct node *c = st[d].n->child[st[d].i++];
            len = st[d].len;
            at[len] = '/';
            memcpy(at + len + 1, c->name->s, c->name->len);
            d++;
            st[d].n = c;
            st[d].i = 0;
            st[d].len = len + 1 + c->name->len;
            continue;
        }
        if (st[d].len == 0)
            at[0] = '/';
        at[st[d].len ? st[d].len : 1] = 0;
        tree_work++;
        int rc = fn(st[d].n, d ? st[d - 1].n : parent, at, arg);
        if (rc || d == 0)
            return rc;
        d--;
    }
}

/* --- edits ------------------------------------------------------------------------------------------------ */
void edit_begin(struct edit *e, struct node *root, uint64_t *gen, struct heap *by)
{
    *e = (struct edit){ .root = node_get(root), .gen = gen, .from = *gen, .by = by };
}

void edit_drop(struct edit *e)
{
    node_put(e->root);
    xs_free(e->delta);
    memset(e, 0, sizeof *e);
}

const struct usage *edit_delta(const struct edit *e, uint16_t domid)
{
    for (unsigned i = 0; i < e->nr; i++)
        if (e->delta[i].domid == domid)
            return &e->delta[i];
    return NULL;
}

static int edit_charge(struct edit *e, const struct node *n, int sign)
{
    uint16_t domid = n->perms->p[0].domid;
    struct usage *u = (struct usage *)edit_delta(e, domid);
    if (!u && e->nr == e->cap) {
        unsigned cap = e->cap ? 2 * e->cap : 4;
        struct usage *d = xs_alloc(e->by, cap * sizeof *d);
        if (!d)
            return XE_ENOMEM;
        if (e->nr)
            memcpy(d, e->delta, e->nr * sizeof *d);
        xs_free(e->delta);
        e->delta = d;
        e->cap = cap;
    }
    if (!u) {
        u = &e->delta[e->nr++];
        u->domid = domid;
        u->nodes = u->bytes = 0;
    }
    u->nodes += sign;
    u->bytes += sign * (int)node_cost(n);
    return XE_OK;
}

/* Puts n (whose reference it takes) in the place of chain[d].n and copies everything above. Ends the use of chain. */
static int rebuild(struct edit *e, unsigned d, struct node *n)
{
    while (d-- > 0) {
        struct node *p = node_copy(e, chain[d].n, COPY_SAME, 0, chain[d].n->perms, chain[d].n->data);
        if (!p) {
            node_put(n);
            return XE_ENOMEM;
        }
        p->tgen = ++*e->gen;
        node_put(p->child[chain[d].at]);
        p->child[chain[d].at] = n;
        n = p;
    }
    node_put(e->root);
    e->root = n;
    return XE_OK;
}

/* Replaces a node by n, a changed copy of it. */
static int replace(struct edit *e, unsigned d, struct node *n)
{
    int err = edit_charge(e, chain[d].n, -1);
    if (!err)
        err = edit_charge(e, n, 1);
    if (err) {
        node_put(n);
        return err;
    }
    n->gen = n->tgen = ++*e->gen;
    return rebuild(e, d, n);
}

int edit_set_data(struct edit *e, const char *path, const void *data, size_t len)
{
    const char *rest;
    unsigned d = chain_follow(e->root, path, &rest);
    if (*rest)
        return XE_ENOENT;
    struct permset *perms = chain[d].n->perms;
    struct text *t = len ? text_for(e, perms->p[0].domid, data, len) : NULL;
    if (len && !t)
        return XE_ENOMEM;
    struct node *n = node_copy(e, chain[d].n, COPY_SAME, 0, perms, t);
    text_put(t);
    return n ? replace(e, d, n) : XE_ENOMEM;
}

int edit_set_perms(struct edit *e, const char *path, struct permset *perms)
{
    const char *rest;
    unsigned d = chain_follow(e->root, path, &rest);
    if (*rest)
        return XE_ENOENT;
    struct node *n = node_copy(e, chain[d].n, COPY_SAME, 0, perms, chain[d].n->data);
    return n ? replace(e, d, n) : XE_ENOMEM;
}

/* Makes the nodes of `rest` ("b/c/d") from the last to the first; returns the first. */
static struct node *build_branch(struct edit *e, const char *rest, struct permset *perms,
                                 const void *data, size_t len)
{
    struct node *below = NULL;
    const char *end = rest + strlen(rest);
    while (end > rest) {
        const char *s = end;
        while (s > rest && s[-1] != '/')
            s--;
        struct node *n = node_new(e, s, (size_t)(end - s), perms, below ? NULL : data,
                                  below ? 0 : len, below ? 1 : 0);
        if (n && below)
            n->child[0] = below; /* from here on it goes with n */
        else if (!n)
            node_put(below);
        if (n && edit_charge(e, n, 1)) {
            node_put(n);
            n = NULL;
        }
        if (!n)
            return NULL;
        below = n;
        end = s > rest ? s - 1 : s;
    }
    return below;
}

int edit_create(struct edit *e, const char *path, const void *data, size_t len, int owner)
{
    const char *rest;
    unsigned d = chain_follow(e->root, path, &rest);
    if (!*rest)
        return XE_EEXIST;
    struct permset *perms = permset_inherit(e->by, chain[d].n->perms, owner);
    if (!perms)
        return XE_ENOMEM;
    struct node *branch = build_branch(e, rest, perms, data, len);
    permset_put(perms);
    if (!branch)
        return XE_ENOMEM;
    struct node *n = node_copy(e, chain[d].n, COPY_INSERT, chain[d].at, chain[d].n->perms,
                               chain[d].n->data);
    if (!n) {
        node_put(branch);
        return XE_ENOMEM;
    }
    n->child[chain[d].at] = branch;
    n->cgen = n->tgen = ++*e->gen;
    return rebuild(e, d, n);
}

static int uncharge(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    (void)parent;
    (void)path;
    return edit_charge(arg, n, -1);
}

int edit_rm(struct edit *e, const char *path)
{
    const char *rest;
    unsigned d = chain_follow(e->root, path, &rest);
    if (*rest)
        return XE_ENOENT;
    if (d == 0)
        return XE_EINVAL;
    int err = tree_visit(chain[d].n, chain[d - 1].n, path, uncharge, e);
    if (err)
        return err;
    d--;
    struct node *n = node_copy(e, chain[d].n, COPY_REMOVE, chain[d].at, chain[d].n->perms,
                               chain[d].n->data);
    if (!n)
        return XE_ENOMEM;
    n->cgen = n->tgen = ++*e->gen;
    return rebuild(e, d, n);
}
