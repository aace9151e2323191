/* SPDX-License-Identifier: MIT */
/*
 * A store and clients of it in one process. A client speaks through a ring page, as a guest does: bytes into the request ring
 * in pieces, bytes out of the response ring, replies told from events. Include after cmocka.h.
 */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../xenstore-lite/mem.h"
#include "../../xenstore-lite/xs.h"

struct msg {
    struct msg *next;
    struct xsd_sockmsg hdr;
    char data[XENSTORE_PAYLOAD_MAX + 1];
};

struct client {
    struct conn *c;
    struct xenstore_domain_interface *ring;
    unsigned char in[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    uint32_t in_len, next_id, piece; /* piece: most bytes to write at once */
    struct msg *events, **events_tail;
    struct msg reply;
    bool got_reply;
};

static struct xs store;
static struct xenstore_domain_interface *pages[512];
static int attach_fails, attached, detached, reattached;

static __attribute__((unused)) int h_attach(struct conn *c, uint64_t gfn, uint32_t port)
{
    if (attach_fails)
        return -1;
    c->ring = pages[c->domid] ? pages[c->domid] : calloc(1, sizeof *c->ring);
    pages[c->domid] = c->ring;
    stream_init_page(c->ring, false);
    attached++;
    return 0;
}

static __attribute__((unused)) int h_reattach(struct conn *c, uint64_t gfn, uint32_t port)
{
    stream_init_page(c->ring, true);
    reattached++;
    return 0;
}

static __attribute__((unused)) void h_detach(struct conn *c)
{
    if (c->ring)
        free(c->ring);
    pages[c->domid] = NULL;
    c->ring = NULL;
    detached++;
}

static char told[256]; /* the last line that the administrator was told, and how many */
static int nr_told;

static __attribute__((unused)) void h_say(const struct conn *c, const char *what)
{
    snprintf(told, sizeof told, "domain %u %s", c->domid, what);
    nr_told++;
}

static void (*on_notify)(struct conn *c);
static __attribute__((unused)) void h_notify(struct conn *c)
{
    if (on_notify)
        on_notify(c);
}

static const struct xs_ops h_ops = { .attach = h_attach, .reattach = h_reattach, .detach = h_detach,
                                     .notify = h_notify, .say = h_say };

static __attribute__((unused)) void client_init(struct client *k, uint16_t domid)
{
    memset(k, 0, sizeof *k);
    k->c = conn_find(&store, domid);
    k->ring = k->c->ring;
    k->events_tail = &k->events;
    k->piece = XENSTORE_RING_SIZE;
    k->next_id = 100;
}

static __attribute__((unused)) void client_drop_events(struct client *k)
{
    while (k->events) {
        struct msg *m = k->events;
        k->events = m->next;
        free(m);
    }
    k->events_tail = &k->events;
}

/* Files complete messages of k->in away. */
static __attribute__((unused)) void client_parse(struct client *k)
{
    struct xsd_sockmsg h;
    while (k->in_len >= sizeof h) {
        memcpy(&h, k->in, sizeof h);
        assert_true(h.len <= XENSTORE_PAYLOAD_MAX);
        uint32_t n = (uint32_t)sizeof h + h.len;
        if (k->in_len < n)
            return;
        struct msg *m = &k->reply;
        if (h.type == XS_WATCH_EVENT) {
            m = calloc(1, sizeof *m);
            *k->events_tail = m;
            k->events_tail = &m->next;
        } else {
            assert_false(k->got_reply);
            k->got_reply = true;
        }
        m->hdr = h;
        memcpy(m->data, k->in + sizeof h, h.len);
        m->data[h.len] = 0;
        memmove(k->in, k->in + n, k->in_len - n);
        k->in_len -= n;
    }
}

static __attribute__((unused)) void client_read(struct client *k)
{
    while (k->ring->rsp_cons != k->ring->rsp_prod) {
        assert_true(k->ring->rsp_prod - k->ring->rsp_cons <= XENSTORE_RING_SIZE);
        assert_true(k->in_len < sizeof k->in);
        k->in[k->in_len++] = (unsigned char)k->ring->rsp[MASK_XENSTORE_IDX(k->ring->rsp_cons++)];
        client_parse(k);
    }
}

static __attribute__((unused)) void client_bytes(struct client *k, const void *p, uint32_t n)
{
    const char *b = p;
    for (uint32_t done = 0, put = 0; done < n; done++) {
        while (k->ring->req_prod - k->ring->req_cons == XENSTORE_RING_SIZE) {
            stream_serve(&store, k->c, 1 << 20);
            client_read(k);
            assert_int_equal(k->c->bad, CONN_OK);
        }
        k->ring->req[MASK_XENSTORE_IDX(k->ring->req_prod)] = b[done];
        k->ring->req_prod++;
        if (++put == k->piece) {
            put = 0;
            stream_serve(&store, k->c, 1 << 20);
        }
    }
}

/* One request and its reply, which stays in k->reply. */
static __attribute__((unused)) struct msg *ask(struct client *k, uint32_t type, uint32_t tx, const void *data, uint32_t len)
{
    struct xsd_sockmsg h = { .type = type, .req_id = k->next_id++, .tx_id = tx, .len = len };
    k->got_reply = false;
    client_bytes(k, &h, sizeof h);
    client_bytes(k, data, len);
    for (int i = 0; i < 64 && !k->got_reply; i++) {
        stream_serve(&store, k->c, 1 << 20);
        client_read(k);
    }
    assert_true(k->got_reply);
    assert_int_equal(k->reply.hdr.req_id, h.req_id);
    assert_int_equal(k->reply.hdr.tx_id, tx);
    return &k->reply;
}

/* The reply as text: an error's name, or "=" and the data. */
static __attribute__((unused)) const char *said(struct client *k, uint32_t type, uint32_t tx, const void *data, uint32_t len)
{
    static char buf[XENSTORE_PAYLOAD_MAX + 2];
    struct msg *m = ask(k, type, tx, data, len);
    if (m->hdr.type == XS_ERROR) {
        assert_int_equal(m->data[m->hdr.len - 1], 0);
        return m->data;
    }
    assert_int_equal(m->hdr.type, type);
    buf[0] = '=';
    memcpy(buf + 1, m->data, m->hdr.len + 1);
    return buf;
}

/* S("a\0b"): text and length, its last NUL counted; D("a\0data"): not counted. */
#define S(s) (s), (uint32_t)sizeof(s)
#define D(s) (s), (uint32_t)sizeof(s) - 1
#define WANT(k, type, tx, ...) WANT_(k, type, tx, __VA_ARGS__)
#define WANT_(k, type, tx, p, n, want) assert_string_equal(said(k, type, tx, p, n), want)
#define OK(k, type, tx, ...) WANT_(k, type, tx, __VA_ARGS__, "=OK")

static __attribute__((unused)) uint32_t tx_start(struct client *k)
{
    const char *s = said(k, XS_TRANSACTION_START, 0, S(""));
    assert_int_equal(s[0], '=');
    return (uint32_t)atoi(s + 1);
}

/* "path" of the next event ("-" if there is none), its token in *token. */
static __attribute__((unused)) const char *event(struct client *k, const char **token)
{
    static struct msg m;
    stream_serve(&store, k->c, 1 << 20);
    client_read(k);
    if (!k->events)
        return "-";
    struct msg *e = k->events;
    m = *e;
    k->events = e->next;
    if (!k->events)
        k->events_tail = &k->events;
    free(e);
    if (token)
        *token = m.data + strlen(m.data) + 1;
    assert_int_equal(m.hdr.len, strlen(m.data) + 1 + strlen(m.data + strlen(m.data) + 1) + 1);
    assert_int_equal(m.hdr.req_id, 0);
    assert_int_equal(m.hdr.tx_id, 0);
    return m.data;
}

#define EVENT(k, path, tok)                  \
    do {                                     \
        const char *t_ = NULL;               \
        assert_string_equal(event(k, &t_), path); \
        assert_string_equal(t_, tok);        \
    } while (0)
#define NO_EVENT(k) assert_string_equal(event(k, NULL), "-")

static struct client ctl, g16, g17;

static __attribute__((unused)) void introduce(struct client *k, uint16_t domid)
{
    char buf[64];
    int n = snprintf(buf, sizeof buf, "%u", domid) + 1;
    n += snprintf(buf + n, sizeof buf - (size_t)n, "1234") + 1;
    n += snprintf(buf + n, sizeof buf - (size_t)n, "7") + 1;
    assert_string_equal(said(&ctl, XS_INTRODUCE, 0, buf, (uint32_t)n), "=OK");
    client_init(k, domid);
}

/* What the control domain makes for a guest: its home, readable; and in it what is its own. */
static __attribute__((unused)) void home(unsigned domid)
{
    static const char *const own[] = { "device", "data", "control/shutdown" };
    char buf[128];
    int n = snprintf(buf, sizeof buf, "/local/domain/%u/domid", domid) + 1;
    n += snprintf(buf + n, 8, "%u", domid);
    assert_string_equal(said(&ctl, XS_WRITE, 0, buf, (uint32_t)n), "=OK");
    n = snprintf(buf, sizeof buf, "/local/domain/%u", domid) + 1;
    n += snprintf(buf + n, 16, "n0") + 1;
    n += snprintf(buf + n, 16, "r%u", domid) + 1;
    assert_string_equal(said(&ctl, XS_SET_PERMS, 0, buf, (uint32_t)n), "=OK");
    n = snprintf(buf, sizeof buf, "/local/domain/%u/domid", domid) + 1;
    n += snprintf(buf + n, 16, "n0") + 1;
    n += snprintf(buf + n, 16, "r%u", domid) + 1;
    assert_string_equal(said(&ctl, XS_SET_PERMS, 0, buf, (uint32_t)n), "=OK");
    for (unsigned i = 0; i < 3; i++) {
        n = snprintf(buf, sizeof buf, "/local/domain/%u/%s", domid, own[i]) + 1;
        assert_string_equal(said(&ctl, XS_MKDIR, 0, buf, (uint32_t)n), "=OK");
        n += snprintf(buf + n, 16, "n%u", domid) + 1;
        assert_string_equal(said(&ctl, XS_SET_PERMS, 0, buf, (uint32_t)n), "=OK");
    }
}

static __attribute__((unused)) void world_up_with(size_t memory)
{
    xs_mem.limit = memory;
    xs_mem.fail_in = -1;
    on_notify = NULL;
    attach_fails = attached = detached = reattached = nr_told = 0;
    assert_int_equal(store_init(&store, &h_ops), 0);
    struct conn *c = conn_new(&store, 0, &limits_ctl);
    assert_int_equal(h_attach(c, 0, 0), 0);
    client_init(&ctl, 0);
    introduce(&g16, 16);
    introduce(&g17, 17);
    home(16);
    home(17);
}

static __attribute__((unused)) int world_up(void **state)
{
    world_up_with(3u << 20);
    return 0;
}

static __attribute__((unused)) int world_down(void **state)
{
    assert_int_equal(xs_check(&store), 0);
    store_fini(&store);
    client_drop_events(&ctl);
    client_drop_events(&g16);
    client_drop_events(&g17);
    assert_int_equal(xs_mem.used, 0);
    return 0;
}
