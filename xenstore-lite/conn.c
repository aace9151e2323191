/* SPDX-License-Identifier: MIT */
/*
 * Ring pages, event channels and turns. A client's page is its grant reference 1, which the builder seeds, so introducing a
 * domain needs its domid and port only; the frame number in the request is the builder's matter.
 */
#include "conn.h"
#include <bh.h>
#include "mem.h"

#define XENSTORE_GRANT 1u
_Static_assert(XS_FIRST_GUEST == BH_FIRST_GUEST, "guests' domids");

struct glue {
    struct grant_map map;
    uint32_t remote_port;
    int port;
    struct conn *conn;
};

static void on_event(uint32_t port, void *arg)
{
    struct glue *g = arg;
    (void)port;
    g->conn->kicked = true;
}

static int bind(struct conn *c, struct glue *g, uint32_t port)
{
    int rc = event_bind_interdomain(c->domid, port, on_event, g);
    if (rc < 0) {
        printf("domain %u: port %u cannot be bound: %d\n", c->domid, port, rc);
        return rc;
    }
    g->port = rc;
    g->remote_port = port;
    c->kicked = true; /* what came before the port was bound was not announced to us */
    return 0;
}

static int attach_ref(struct conn *c, uint32_t ref, uint32_t port)
{
    struct glue *g = xs_alloc(c->heap, sizeof *g);
    if (!g) /* after a death of ours the last block of its heap, not the first */
        g = xs_alloc(ctl_heap, sizeof *g);
    if (!g) {
        printf("domain %u: no memory for its connection\n", c->domid);
        return -1;
    }
    g->conn = c;
    int rc = grant_map(&g->map, c->domid, &ref, 1, 0);
    if (rc) {
        printf("domain %u: store page (grant %u) cannot be mapped: %d\n", c->domid, ref, rc);
        xs_free(g);
        return rc;
    }
    rc = bind(c, g, port);
    if (rc) {
        grant_unmap(&g->map);
        xs_free(g);
        return rc;
    }
    c->glue = g;
    c->ring = g->map.va;
    return 0;
}

static int attach(struct conn *c, uint64_t gfn, uint32_t port)
{
    (void)gfn;
    return attach_ref(c, XENSTORE_GRANT, port);
}

/* The page and the channel outlive a rebuild of the domain. But the instance that died may have given the page away, and the core
 * a new one in its place, so it is mapped anew; only a port that moved is bound again. */
static int reattach(struct conn *c, uint64_t gfn, uint32_t port)
{
    struct glue *g = c->glue;
    struct grant_map fresh;
    const uint32_t ref = XENSTORE_GRANT;
    if (!g)
        return attach(c, gfn, port); /* it was not there when this instance looked for it */
    if (!grant_map(&fresh, c->domid, &ref, 1, 0)) {
        grant_unmap(&g->map);
        g->map = fresh;
        c->ring = fresh.va;
    }
    /* A service domain that was rebuilt waits behind its mark: without one, this one is served already. A guest's next kernel makes none. */
    if (c->domid < XS_FIRST_GUEST && port == g->remote_port &&
        READ_ONCE(c->ring->connection) == XENSTORE_CONNECTED)
        return 1;
    if (port != g->remote_port) {
        event_close((uint32_t)g->port);
        int rc = bind(c, g, port);
        if (rc) {
            g->port = -1;
            g->remote_port = 0;
            c->bad = CONN_BAD_INDEX;
            return rc;
        }
    }
    c->kicked = true;
    return 0;
}

static void detach(struct conn *c)
{
    struct glue *g = c->glue;
    if (!g)
        return;
    if (g->port >= 0)
        event_close((uint32_t)g->port);
    grant_unmap(&g->map);
    xs_free(g);
    c->glue = NULL;
    c->ring = NULL;
}

static void notify(struct conn *c)
{
    struct glue *g = c->glue;
    if (g && g->port >= 0)
        event_send((uint32_t)g->port);
}

static void say(const struct conn *c, const char *what)
{
    printf("domain %u %s\n", c->domid, what);
}

const struct xs_ops conn_ops = { attach, reattach, detach, notify, say };

struct conn *conn_privileged(struct xs *xs, uint16_t domid, uint32_t ref, uint32_t port)
{
    struct conn *c = xs->ctl, *other = conn_find(xs, domid);
    if (other != c) { /* somebody wrote that into the journal */
        if (c)
            conn_free(xs, c);
        if (other)
            conn_free(xs, other);
        c = NULL;
    }
    bool known = c && c->gfn == ref && c->port == port;
    if (c && !known)
        conn_reset(c);
    if (!c)
        c = conn_new(xs, domid, &limits_ctl);
    if (c && attach_ref(c, ref, port)) {
        conn_free(xs, c);
        return NULL;
    }
    if (!c)
        return NULL;
    c->gfn = ref;
    c->port = port;
    if (known) {
        (void)stream_adopt(c); /* its calls have an end, whatever is lost */
    } else if (!stream_unknown(c)) {
        conn_begins(c, false);
        stream_init_page(c->ring, false);
    }
    notify(c);
    return c;
}

/* Who is gone meanwhile stays without a ring until the control domain releases it. */
unsigned conn_adopt(struct xs *xs, unsigned *cut)
{
    unsigned n = 0;
    *cut = 0;
    for (struct conn *c = xs->conns; c; c = c->next) {
        if (c->privileged || attach(c, c->gfn, c->port) || c->aside)
            continue;
        aside_working(c);
        *cut += !stream_adopt(c);
        aside_working(NULL);
        notify(c); /* the dead instance may have stored an index and not told */
        n++;
    }
    return n;
}
