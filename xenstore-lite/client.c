/* SPDX-License-Identifier: MIT */
/* Connections: who is there, what leaves a client's queue, and all that goes when one is reset or freed. */
#include "xs.h"
#include <stdio.h>
#include "journal.h"
#include "mem.h"

struct conn *conn_find(struct xs *xs, uint16_t domid)
{
    for (struct conn *c = xs->conns; c; c = c->next)
        if (c->domid == domid)
            return c;
    return NULL;
}

struct conn *conn_new(struct xs *xs, uint16_t domid, const struct limits *limits)
{
    bool privileged = limits == &limits_ctl;
    struct heap *h = privileged ? ctl_heap : heap_new(domid, limits->floor, limits->max);
    struct conn *c = h ? xs_alloc(h, sizeof *c) : NULL;
    if (!c) {
        if (h && !privileged)
            heap_end(h);
        return NULL;
    }
    c->domid = domid;
    c->home_len = (uint32_t)snprintf(c->home, sizeof c->home, "/local/domain/%u/", domid);
    c->target = -1;
    c->privileged = privileged;
    c->limits = limits;
    c->heap = h;
    c->watch_tail = &c->watches;
    c->out_tail = &c->out;
    c->next_tx = c->next_watch = 1;
    *xs->conn_tail = c;
    xs->conn_tail = &c->next;
    xs->nr_conns++;
    if (privileged)
        xs->ctl = c;
    return c;
}

void conn_begins(struct conn *c, bool zero)
{
    const volatile struct xenstore_domain_interface *r = c->ring;
    c->req_cons = zero ? 0 : r->req_cons;
    c->rsp_prod = zero ? 0 : r->rsp_prod;
}

void conn_limit(const struct xs *xs, struct conn *c, const char *what)
{
    char line[64];
    if (!c->named && !c->privileged && xs->ops->say) {
        snprintf(line, sizeof line, "is at its limit in the store (%s)", what);
        xs->ops->say(c, line);
    }
    c->named = true;
}

static void out_pop(struct conn *c, bool follow)
{
    struct outmsg *m = c->out;
    c->out = m->next;
    if (!c->out)
        c->out_tail = &c->out;
    c->out_bytes -= m->len + OUT_OVERHEAD;
    watch_event_sent(c, m, follow);
    if (m == &c->spare.m)
        c->spare_used = false;
    else
        xs_free(m);
}

bool out_sent(struct conn *c, uint32_t n, bool follow)
{
    c->rsp_prod += n;
    while (n && c->out) {
        struct outmsg *m = c->out;
        uint32_t left = m->len - m->off, part = n < left ? n : left;
        m->off += part;
        n -= part;
        if (m->off == m->len)
            out_pop(c, follow);
    }
    return !n;
}

void out_drop(struct conn *c)
{
    while (c->out)
        out_pop(c, false);
    c->lost_events = 0;
}

void conn_reset(struct conn *c)
{
    watches_drop(c);
    txs_drop(c);
    out_drop(c);
    xs_free(c->body);
    c->body = NULL;
    c->hdr_got = c->body_got = 0;
    c->bad = CONN_OK;
}

static void conn_unlink(struct xs *xs, struct conn *c)
{
    struct conn **at = &xs->conns;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (!*at)
        xs->conn_tail = at;
    c->next = NULL;
}

void conn_free(struct xs *xs, struct conn *c)
{
    conn_reset(c);
    journal_put(J_RELEASE, c->domid, 0, 0, NULL, 0);
    xs->ops->detach(c);
    conn_unlink(xs, c);
    xs->nr_conns--;
    for (struct conn *i = xs->conns; i; i = i->next)
        if (i->target == c->domid)
            i->target = -1;
    if (xs->ctl == c)
        xs->ctl = NULL;
    if (xs->fresh == c)
        xs->fresh = NULL;
    struct heap *h = c->heap;
    xs_free(c);
    if (h != ctl_heap)
        heap_end(h);
}

struct conn *conn_rotate(struct xs *xs)
{
    struct conn *c = xs->conns;
    if (c && c->next) {
        conn_unlink(xs, c);
        *xs->conn_tail = c;
        xs->conn_tail = &c->next;
    }
    return c;
}
