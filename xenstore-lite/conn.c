/* SPDX-License-Identifier: MIT */
/*
 * Ring pages, event channels and turns. A client's page is its grant reference 1, which the builder seeds, so introducing a
 * domain needs its domid and port only; the frame number in the request is the builder's matter.
 */
#include "conn.h"
#include <bh.h>
#include "mem.h"

#define XENSTORE_GRANT 1u
#define TURN_BUDGET    4096u /* bytes and request charges of one connection before the next has its turn */

struct glue {
    struct grant_map map;
    uint32_t remote_port;
    int port;
    bool kicked; /* something may have happened since its last turn */
};

static void on_event(uint32_t port, void *arg)
{
    struct glue *g = arg;
    (void)port;
    g->kicked = true;
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
    g->kicked = true; /* what came before the port was bound was not announced to us */
    return 0;
}

static int attach_ref(struct conn *c, uint32_t ref, uint32_t port)
{
    struct glue *g = xs_alloc(sizeof *g);
    if (!g)
        return -1;
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
    stream_init_page(c->ring, false);
    event_send((uint32_t)g->port);
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
    (void)gfn;
    if (!grant_map(&fresh, c->domid, &ref, 1, 0)) {
        grant_unmap(&g->map);
        g->map = fresh;
        c->ring = fresh.va;
    }
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
    stream_init_page(c->ring, true);
    g->kicked = true;
    event_send((uint32_t)g->port); /* it may be waiting for that */
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

const struct xs_ops conn_ops = { attach, reattach, detach };

struct conn *conn_privileged(struct xs *xs, uint16_t domid, uint32_t ref, uint32_t port)
{
    struct conn *c = conn_new(xs, domid, true);
    if (c && attach_ref(c, ref, port)) {
        conn_free(xs, c);
        return NULL;
    }
    return c;
}

static bool turn(struct xs *xs, struct conn *c)
{
    static const char *const why[] = { "", "its ring indices make no sense", "a request is longer than the protocol allows" };
    struct glue *g = c->glue;
    enum conn_bad was = c->bad;
    if (!g || (!g->kicked && !c->out && !c->nr_missed))
        return false;
    g->kicked = false;
    struct served s = stream_serve(xs, c, TURN_BUDGET);
    g->kicked = s.more;
    if (s.notify && g->port >= 0)
        event_send((uint32_t)g->port);
    if (c->bad && !was)
        printf("domain %u is ignored until it is introduced again: %s\n", c->domid, why[c->bad]);
    return s.more;
}

/* Round robin: a client that floods gets its budget and then waits for all others. A request may add or free connections,
 * so the next one is always the first of the list, and whoever had a turn goes to its end. */
bool conn_turns(struct xs *xs)
{
    bool more = false;
    for (unsigned i = 0; i < xs->nr_conns; i++)
        more |= turn(xs, conn_rotate(xs));
    /* Events that the later turns made for those that had theirs already. */
    for (struct conn *c = xs->conns; c; c = c->next)
        if (c->out && c->glue && !c->bad) {
            struct served s = stream_serve(xs, c, 0);
            if (s.notify && ((struct glue *)c->glue)->port >= 0)
                event_send((uint32_t)((struct glue *)c->glue)->port);
        }
    return more;
}
