/* SPDX-License-Identifier: MIT */
/*
 * Watches and their events. An event names the changed node in the form in which the watch was set: a watch on a relative
 * path gets relative paths. It goes only to clients that may read the node, could read it before its permissions changed, or
 * may read its parent. An event that is still queued, unsent, is not queued again: a client learns that something
 * changed, not how often. Nor does a client whose queue is full learn all names: somebody else's nodes may have filled it. But
 * each watch whose event was left out gets one with the watch's own path, so no flood hides that something changed.
 * A watch with a depth hears of as many levels below its path; one on a special name hears, with depth 1, which domain it was.
 */
#include "xs.h"
#include <stdio.h>
#include <string.h>
#include "journal.h"
#include "mem.h"

/* --- by path ------------------------------------------------------------------------------------------------------- */
/* A change looks up its own path and each one above it; it does not pass by the watches of everybody. Of all watches of a client on one
 * path only the first stands in a bucket, the others hang on it: who sets many on a path that he may not read costs as one. */
#define BUCKETS 2048u
static struct bucket {
    struct watch *first, *last;
} buckets[BUCKETS];
uint32_t watch_seed; /* so that nobody can choose paths that meet in one bucket */

void watch_init(void) { memset(buckets, 0, sizeof buckets); }

static uint32_t hash_more(uint32_t h, const char *s, size_t n)
{
    while (n--)
        h = (h ^ (unsigned char)*s++) * 16777619u;
    return h;
}

static uint32_t hash_path(const char *path, size_t n)
{
    return hash_more(2166136261u ^ watch_seed, path, n);
}

static struct bucket *bucket_of(uint32_t hash) { return &buckets[(hash ^ hash >> 16) % BUCKETS]; }

/* Puts `in` where `out` stands (NULL: at the end), or nothing. */
static void bucket_put(struct bucket *b, struct watch *out, struct watch *in)
{
    struct watch *before = out ? out->before : b->last, *behind = out ? out->behind : NULL;
    *(before ? &before->behind : &b->first) = in ? in : behind;
    *(behind ? &behind->before : &b->last) = in ? in : before;
    if (in) {
        in->before = before;
        in->behind = behind;
    }
}

/* The first of c's watches on that path. */
static struct watch *first_on(struct conn *c, const char *path)
{
    struct watch *w = c->watches;
    while (w && strcmp(w->path, path))
        w = w->next;
    return w;
}

static void by_path_add(struct conn *c, struct watch *w)
{
    struct watch *first = first_on(c, w->path);
    if (!first) {
        bucket_put(bucket_of(w->hash), NULL, w);
        return;
    }
    while (first->same)
        first = first->same;
    first->same = w;
}

static void by_path_del(struct conn *c, struct watch *w)
{
    struct watch *first = first_on(c, w->path);
    if (first == w) {
        bucket_put(bucket_of(w->hash), w, w->same);
        return;
    }
    while (first->same != w)
        first = first->same;
    first->same = w->same;
}

/* The first watch on exactly these n characters, from w on. */
static struct watch *watch_on(struct watch *w, uint32_t hash, const char *path, size_t n)
{
    while (w && (w->hash != hash || w->path_len != n || memcmp(w->path, path, n)))
        w = w->behind;
    return w;
}

static uint32_t watch_bytes(const struct watch *w)
{
    return (uint32_t)(sizeof *w + w->path_len + strlen(w->token) + 32);
}

static struct watch **watch_find(struct conn *c, const char *path, const char *token)
{
    for (struct watch **at = &c->watches; *at; at = &(*at)->next)
        if (!strcmp((*at)->path, path) && !strcmp((*at)->token, token))
            return at;
    return NULL;
}

/* path and token of a watch or unwatch request; r->path is set. */
static int watch_args(struct req *r, const char **token)
{
    const char *v[2];
    uint32_t rest;
    if (req_strings(r, v, 2, &rest) != 2)
        return XE_EINVAL;
    *token = v[1];
    return req_path(r, v[0], PATH_WATCH);
}

/* How deep, behind the token of a watch request; nothing, or an empty string: all. */
static int watch_depth(const struct req *r, uint32_t *depth)
{
    const char *v[3];
    uint32_t rest;
    *depth = WATCH_ALL;
    if (req_strings(r, v, 3, &rest) != 3 || !*v[2])
        return XE_OK;
    if (!parse_u32(v[2], UINT32_MAX, depth) || (r->path[0] == '@' && *depth != 1))
        return XE_EINVAL;
    *depth = *depth < WATCH_ALL ? *depth : WATCH_ALL;
    return XE_OK;
}

struct watch *watch_new(struct conn *c, const char *path, uint32_t rel, const char *token,
                        uint32_t depth)
{
    size_t n = strlen(path) + 1, tok = strlen(token) + 1;
    struct watch *w = xs_alloc(c->heap, sizeof *w + n + tok);
    if (!w)
        return NULL;
    memcpy(w->path, path, n);
    w->token = memcpy(w->path + n, token, tok);
    w->path_len = (uint32_t)n - 1;
    w->rel = (uint16_t)rel;
    w->depth = (uint16_t)depth;
    w->conn = c;
    w->hash = hash_path(w->path, w->path_len);
    w->queued_tail = &w->queued;
    w->id = c->next_watch;
    return w;
}

int op_watch(struct req *r)
{
    struct conn *c = r->conn;
    const char *token;
    uint32_t depth;
    int err = watch_args(r, &token);
    if (!err)
        err = watch_depth(r, &depth);
    if (err)
        return err;
    if (watch_find(c, r->path, token))
        return XE_EEXIST;
    size_t path = strlen(r->path) + 1, tok = strlen(token) + 1;
    if (c->nr_watches >= c->limits->watches ||
        c->work_bytes + sizeof(struct watch) + path + tok + 32 > c->limits->work_mem)
        return XE_E2BIG;
    r->add_watch = watch_new(c, r->path, r->path_rel, token, depth);
    return r->add_watch ? XE_OK : XE_ENOMEM;
}

int op_unwatch(struct req *r)
{
    const char *token;
    int err = watch_args(r, &token);
    if (err)
        return err;
    r->drop_watch = watch_find(r->conn, r->path, token);
    return r->drop_watch ? XE_OK : XE_ENOENT;
}

int op_reset_watches(struct req *r)
{
    r->reset = true;
    return XE_OK;
}

struct watch **watch_of_id(struct conn *c, uint32_t id)
{
    struct watch **at = &c->watches;
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return *at ? at : NULL;
}

void watch_drop(struct conn *c, struct watch **at)
{
    struct watch *w = *at;
    journal_put(J_UNWATCH, c->domid, w->id, 0, NULL, 0);
    by_path_del(c, w);
    *at = w->next;
    if (!*at)
        c->watch_tail = at;
    c->nr_watches--;
    c->nr_missed -= w->missed;
    c->work_bytes -= watch_bytes(w);
    for (struct outmsg *m = w->queued; m; m = m->next_of_w)
        m->w = NULL; /* what is queued is still sent */
    xs_free(w);
}

bool watches_sound(const struct conn *c, uint32_t *bytes)
{
    unsigned n = 0, missed = 0;
    struct watch *const *end = &c->watches;
    for (const struct watch *w = c->watches; w; end = &w->next, w = w->next, n++) {
        const struct watch *at = watch_on(bucket_of(w->hash)->first, w->hash, w->path, w->path_len);
        while (at && at->conn != c)
            at = watch_on(at->behind, w->hash, w->path, w->path_len);
        while (at && at != w)
            at = at->same;
        if (!at || w->conn != c || w->hash != hash_path(w->path, w->path_len) ||
            strlen(w->path) != w->path_len || w->rel >= w->path_len)
            return false;
        for (const struct outmsg *m = w->queued; m; m = m->next_of_w)
            if (m->w != w)
                return false;
        missed += w->missed;
        *bytes += watch_bytes(w);
    }
    return n == c->nr_watches && missed == c->nr_missed && end == c->watch_tail;
}

void watches_drop(struct conn *c)
{
    while (c->watches)
        watch_drop(c, &c->watches);
}

/* --- events ----------------------------------------------------------------------------------------------------- */
/* A change costs a look at each of a client's queued events at most once, because each watch knows its own. */
static bool queued_already(const struct watch *w, const struct outmsg *m)
{
    for (const struct outmsg *o = w->queued; o; o = o->next_of_w)
        if (o->off == 0 && o->len == m->len && !memcmp(o->b, m->b, m->len))
            return true;
    return false;
}

void watch_missed(struct conn *c, struct watch *w, bool missed)
{
    if (w->missed == missed)
        return;
    w->missed = missed;
    c->nr_missed += missed ? 1u : -1u;
    journal_put(J_MISSED, c->domid, w->id, missed, NULL, 0);
}

void watches_missed(struct conn *c)
{
    for (struct watch *w = c->watches; w; w = w->next)
        watch_missed(c, w, true);
}

static void event_missed(struct conn *c, struct watch *w)
{
    c->lost_events++;
    watch_missed(c, w, true);
}

void watch_queue(struct watch *w, struct outmsg *m)
{
    m->w = w;
    *w->queued_tail = m;
    w->queued_tail = &m->next_of_w;
}

/* False: it found no place. */
static bool event_add(struct conn *c, struct watch *w, const char *path)
{
    size_t n = strlen(path) + 1 - w->rel, t = strlen(w->token) + 1;
    struct xsd_sockmsg hdr = { .type = XS_WATCH_EVENT };
    if (c->bad || c->aside) /* which is told to look again at all of them, when it is served again */
        return true;
    if (n + t > XENSTORE_PAYLOAD_MAX ||
        c->out_bytes + OUT_OVERHEAD + sizeof hdr + n + t > c->limits->out) {
        if (w->queued)
            return false;
        /* One event for each watch goes beyond the quota, under the name that its owner paid for. */
        path = w->path;
        n = w->path_len + 1 - w->rel;
    }
    hdr.len = (uint32_t)(n + t);
    struct outmsg *m = out_new(c, &hdr, hdr.len); /* the receiver's memory, not the requester's */
    if (!m)
        return false;
    memcpy(m->b + sizeof hdr, path + w->rel, n);
    memcpy(m->b + sizeof hdr + n, w->token, t);
    if (queued_already(w, m)) {
        xs_free(m);
        return true;
    }
    watch_queue(w, m);
    out_push(c, m);
    return true;
}

static void tell(struct watch *w, const char *path)
{
    if (!event_add(w->conn, w, path))
        event_missed(w->conn, w);
}

/* For all watches of a client on one path, so many levels above the change. Who makes it pays for the work. */
static void events_add(struct watch *w, const char *path, unsigned below)
{
    for (; w; w = w->same, tree_work++)
        if (below <= w->depth)
            tell(w, path);
}

static void missed_add(struct conn *c, struct watch *w)
{
    if (event_add(c, w, w->path))
        watch_missed(c, w, false);
    tree_work++;
}

/* m leaves its client's queue. Both lists are in order of time, so it is the first of its watch. */
void watch_event_sent(struct conn *c, struct outmsg *m, bool follow)
{
    struct watch *w = m->w;
    if (!w)
        return;
    w->queued = m->next_of_w;
    if (w->queued)
        return;
    w->queued_tail = &w->queued;
    if (w->missed && follow)
        missed_add(c, w);
}

void watch_retry(struct conn *c)
{
    for (struct watch *w = c->nr_missed ? c->watches : NULL; w; w = w->next)
        if (w->missed && !w->queued)
            missed_add(c, w);
}

void watch_link(struct conn *c, struct watch *w)
{
    by_path_add(c, w);
    *c->watch_tail = w;
    c->watch_tail = &w->next;
    c->nr_watches++;
    c->work_bytes += watch_bytes(w);
    c->next_watch = w->id + 1;
    journal_entry(J_WATCH, c->domid, w->id, w->rel | (uint32_t)w->depth << 16,
                  w->path_len + strlen(w->token) + 2);
    journal_bytes(w->path, w->path_len + strlen(w->token) + 2); /* the token lies behind it */
}

void watch_add(struct conn *c, struct watch *w)
{
    watch_link(c, w);
    if (!event_add(c, w, w->path))
        event_missed(c, w);
}

struct firing {
    const char *top;
    const struct permset *old;
};

/* To the watches on the first len characters of path, `below` levels above its end. */
static void fire_at(const struct firing *f, const char *path, size_t len, uint32_t hash,
                    unsigned below, const struct node *n, const struct node *parent)
{
    struct watch *w = bucket_of(hash)->first;
    for (; (w = watch_on(w, hash, path, len)); w = w->behind) {
        struct conn *c = w->conn;
        if (perms_for(n->perms, c) & PERM_READ || (f->old && perms_for(f->old, c) & PERM_READ) ||
            (parent && perms_for(parent->perms, c) & PERM_READ))
            events_add(w, path, below);
    }
}

/* exact: only watches on this very node, for what went away together with the node that the request named. */
static void fire(const struct firing *f, const char *path, const struct node *n,
                 const struct node *parent, bool exact)
{
    size_t len = strlen(path), at = 1;
    if (exact) {
        fire_at(f, path, len, hash_path(path, len), 0, n, parent);
        return;
    }
    unsigned below = 0;
    for (const char *p = path; len > 1 && *p; p++)
        below += *p == '/';
    uint32_t hash = hash_path(path, 1);
    fire_at(f, path, 1, hash, below, n, parent);
    while (at < len) {
        size_t part = strcspn(path + at + (at > 1), "/") + (at > 1);
        hash = hash_more(hash, path + at, part);
        at += part;
        fire_at(f, path, at, hash, --below, n, parent);
    }
}

static int fire_removed(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    const struct firing *f = arg;
    fire(f, path, n, parent, strcmp(path, f->top) != 0);
    return 0;
}

static struct node *find_parent(struct node *root, const char *path)
{
    return path[1] ? tree_find_n(root, path, path_parent_len(path)) : NULL;
}

void watch_fire(const struct change *c, struct node *before, struct node *after)
{
    struct firing f = { .top = c->path };
    struct node *was = tree_find(before, c->path), *is = tree_find(after, c->path);
    if (c->op == CH_RM) {
        if (was)
            tree_visit(was, find_parent(before, c->path), c->path, fire_removed, &f);
        return;
    }
    if (!is)
        return; /* removed again in the same transaction */
    if (c->op == CH_PERMS && was)
        f.old = was->perms;
    fire(&f, c->path, is, find_parent(after, c->path), false);
}

/* The watches on the name, and those on the name with the domain behind it; p: whoever may read it. */
void watch_fire_special(struct xs *xs, const char *name, uint16_t domid)
{
    const struct permset *p = xs->special[special_index(name)];
    char whose[32];
    snprintf(whose, sizeof whose, "%s/%u", name, domid);
    for (const char *on = name; on; on = on == name ? whose : NULL) {
        uint32_t hash = hash_path(on, strlen(on));
        struct watch *w = bucket_of(hash)->first;
        for (; (w = watch_on(w, hash, on, strlen(on))); w = w->behind)
            for (struct watch *i = perms_for(p, w->conn) & PERM_READ ? w : NULL; i; i = i->same) {
                tell(i, i->depth == 1 ? whose : on);
                tree_work++;
            }
    }
}
