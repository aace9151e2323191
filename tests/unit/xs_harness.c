/* SPDX-License-Identifier: MIT */
// LINK: xenstore-lite/mem.c xenstore-lite/tree.c xenstore-lite/xs.c xenstore-lite/proto.c xenstore-lite/path.c
// LINK: xenstore-lite/perms.c xenstore-lite/ops.c xenstore-lite/tx.c xenstore-lite/watch.c xenstore-lite/admin.c
// LINK: xenstore-lite/stream.c xenstore-lite/payload.c xenstore-lite/change.c xenstore-lite/out.c
// LINK: xenstore-lite/accounts.c xenstore-lite/client.c
/* The clients of xs_harness.h, and above the store that they speak with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "xs_harness.h"

struct xs store;
struct xenstore_domain_interface *pages[512];
int attach_fails, attached, detached, reattached;
bool served_already;

static int h_attach(struct conn *c, uint64_t gfn, uint32_t port)
{
    if (attach_fails)
        return -1;
    c->ring = pages[c->domid] ? pages[c->domid] : calloc(1, sizeof *c->ring);
    pages[c->domid] = c->ring;
    stream_init_page(c->ring, false);
    attached++;
    return 0;
}

static int h_reattach(struct conn *c, uint64_t gfn, uint32_t port)
{
    reattached++;
    if (served_already)
        return 1;
    stream_init_page(c->ring, true);
    return 0;
}

static void h_detach(struct conn *c)
{
    if (c->ring)
        free(c->ring);
    pages[c->domid] = NULL;
    c->ring = NULL;
    detached++;
}

char told[256];
int nr_told;

static void h_say(const struct conn *c, const char *what)
{
    snprintf(told, sizeof told, "domain %u %s", c->domid, what);
    nr_told++;
}

void (*on_notify)(struct conn *c);
static void h_notify(struct conn *c)
{
    if (on_notify)
        on_notify(c);
}

static const struct xs_ops h_ops = {
    .attach = h_attach, .reattach = h_reattach, .detach = h_detach, .notify = h_notify, .say = h_say
};

void client_init(struct client *k, uint16_t domid)
{
    memset(k, 0, sizeof *k);
    k->c = conn_find(&store, domid);
    k->ring = k->c->ring;
    k->events_tail = &k->events;
    k->piece = XENSTORE_RING_SIZE;
    k->next_id = 100;
}

void client_drop_events(struct client *k)
{
    while (k->events) {
        struct msg *m = k->events;
        k->events = m->next;
        free(m);
    }
    k->events_tail = &k->events;
}

/* Files complete messages of k->in away. */
static void client_parse(struct client *k)
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

static void client_read(struct client *k)
{
    while (k->ring->rsp_cons != k->ring->rsp_prod) {
        assert_true(k->ring->rsp_prod - k->ring->rsp_cons <= XENSTORE_RING_SIZE);
        assert_true(k->in_len < sizeof k->in);
        k->in[k->in_len++] = (unsigned char)k->ring->rsp[MASK_XENSTORE_IDX(k->ring->rsp_cons++)];
        client_parse(k);
    }
}

void client_bytes(struct client *k, const void *p, uint32_t n)
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
struct msg *ask(struct client *k, uint32_t type, uint32_t tx, const void *data, uint32_t len)
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
const char *said(struct client *k, uint32_t type, uint32_t tx, const void *data, uint32_t len)
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

uint32_t tx_start(struct client *k)
{
    const char *s = said(k, XS_TRANSACTION_START, 0, S(""));
    assert_int_equal(s[0], '=');
    return (uint32_t)atoi(s + 1);
}
const char *event(struct client *k, const char **token)
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

struct client ctl, g16, g17;

void introduce(struct client *k, uint16_t domid)
{
    char buf[64];
    int n = snprintf(buf, sizeof buf, "%u", domid) + 1;
    n += snprintf(buf + n, sizeof buf - (size_t)n, "1234") + 1;
    n += snprintf(buf + n, sizeof buf - (size_t)n, "7") + 1;
    assert_string_equal(said(&ctl, XS_INTRODUCE, 0, buf, (uint32_t)n), "=OK");
    client_init(k, domid);
}
void home(unsigned domid)
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

void world_up_with(size_t memory)
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

int setup(void **state)
{
    world_up_with(3u << 20);
    return 0;
}

int teardown(void **state)
{
    assert_int_equal(xs_check(&store), 0);
    store_fini(&store);
    client_drop_events(&ctl);
    client_drop_events(&g16);
    client_drop_events(&g17);
    assert_int_equal(xs_mem.used, 0);
    return 0;
}
