/* SPDX-License-Identifier: MIT */
// LINK: xenstore-lite/mem.c xenstore-lite/tree.c xenstore-lite/xs.c xenstore-lite/proto.c xenstore-lite/path.c
// LINK: xenstore-lite/perms.c xenstore-lite/ops.c xenstore-lite/tx.c xenstore-lite/watch.c xenstore-lite/admin.c
// LINK: xenstore-lite/stream.c xenstore-lite/payload.c xenstore-lite/change.c xenstore-lite/out.c
// LINK: xenstore-lite/accounts.c xenstore-lite/settings.c xenstore-lite/check.c xenstore-lite/control.c xenstore-lite/client.c xenstore-lite/journal.c xenstore-lite/snapshot.c xenstore-lite/restore.c
// LINK: xenstore-lite/aside.c
/* The clients of xs_harness.h, and above the store that they speak with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "xs_harness.h"

struct xs store;
unsigned char *keep;
size_t keep_size;
static bool keep_pages;
__attribute__((weak)) void xs_stored(void) {}
struct xenstore_domain_interface *pages[512];
int attach_fails, attached, detached, reattached;
bool served_already;

static int h_attach(struct conn *c, uint64_t gfn, uint32_t port)
{
    if (attach_fails)
        return -1;
    c->ring = pages[c->domid] ? pages[c->domid] : calloc(1, sizeof *c->ring);
    pages[c->domid] = c->ring;
    attached++;
    return 0;
}

static int h_reattach(struct conn *c, uint64_t gfn, uint32_t port)
{
    reattached++;
    return served_already;
}

static void h_detach(struct conn *c)
{
    if (c->ring && !keep_pages) {
        free(c->ring);
        pages[c->domid] = NULL;
        detached++;
    }
    c->ring = NULL;
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

__attribute__((weak)) void serve(struct client *k) { stream_serve(&store, k->c, 1 << 20); }

void client_init(struct client *k, uint16_t domid)
{
    memset(k, 0, sizeof *k);
    k->domid = domid;
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

void take_in(struct client *k)
{
    serve(k);
    client_read(k);
}

void client_bytes(struct client *k, const void *p, uint32_t n)
{
    const char *b = p;
    for (uint32_t done = 0, put = 0; done < n; done++) {
        while (k->ring->req_prod - k->ring->req_cons == XENSTORE_RING_SIZE) {
            take_in(k);
            assert_int_equal(k->c->bad, CONN_OK);
        }
        k->ring->req[MASK_XENSTORE_IDX(k->ring->req_prod)] = b[done];
        k->ring->req_prod++;
        if (++put == k->piece) {
            put = 0;
            serve(k);
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
        take_in(k);
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
    take_in(k);
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

void reconnect(struct client *k)
{
    k->ring->connection = XENSTORE_RECONNECT;
    serve(k);
    assert_int_equal(k->ring->connection, XENSTORE_CONNECTED);
    assert_int_equal(k->ring->req_prod | k->ring->req_cons | k->ring->rsp_prod | k->ring->rsp_cons,
                     0);
    k->in_len = 0;
    client_drop_events(k);
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

/* --- instances ------------------------------------------------------------------------------------------------------ */
bool state_exact = true;

static int node_text(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    char perms[16 * PRIV_PERMS];
    uint32_t len = perms_format(n->perms, perms, sizeof perms);
    for (uint32_t i = 0; i < len; i++)
        perms[i] = perms[i] ? perms[i] : ' ';
    fprintf(arg, "%s %.*s", path, (int)len, perms);
    if (state_exact)
        fprintf(arg, "%lu ", (unsigned long)n->cgen);
    fprintf(arg, "%.*s\n", n->data ? (int)n->data->len : 0, n->data ? n->data->s : "");
    return 0;
}

static void bytes_text(FILE *f, const char *what, const void *p, uint32_t n)
{
    fprintf(f, "  %s", what);
    for (uint32_t i = 0; i < n; i++)
        fprintf(f, " %02x", ((const unsigned char *)p)[i]);
    fprintf(f, "\n");
}

static void conn_text(FILE *f, const struct conn *c)
{
    fprintf(f, "client %u target %d port %u gfn %lu%s\n", c->domid, c->target, c->port,
            (unsigned long)c->gfn, c->aside ? " aside" : "");
    if (state_exact)
        fprintf(f, "  indices %u %u next %u %u\n", c->req_cons, c->rsp_prod, c->next_tx,
                c->next_watch);
    for (const struct watch *w = c->watches; w; w = w->next)
        fprintf(f, "  watch %u %s %s %u %u%s\n", state_exact ? w->id : 0, w->path, w->token, w->rel,
                w->depth, w->missed ? " missed" : "");
    for (uint32_t last = 0, id = UINT32_MAX; c->txs; last = id, id = UINT32_MAX) {
        for (const struct tx *t = c->txs; t; t = t->next)
            id = t->id > last && t->id < id ? t->id : id;
        if (id == UINT32_MAX)
            break;
        fprintf(f, "  transaction %u\n", id);
    }
    for (const struct outmsg *m = c->out; m; m = m->next)
        bytes_text(f, m->w ? "event" : "message", m->b + m->off, m->len - m->off);
    if (c->hdr_got && !c->bad) {
        bytes_text(f, "header", &c->hdr, c->hdr_got);
        bytes_text(f, "body", c->body, c->body ? c->body_got : 0);
    }
}

char *state_text(void)
{
    char *text;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    for (unsigned d = 0; d < 512; d++) /* in whatever order they have their turns */
        if (conn_find(&store, (uint16_t)d))
            conn_text(f, conn_find(&store, (uint16_t)d));
    tree_visit(store.root, NULL, "/", node_text, f);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < store.special[i]->n; k++)
            fprintf(f, "%s %u %u\n", special_name(i), store.special[i]->p[k].domid,
                    store.special[i]->p[k].bits);
    for (unsigned i = 0; i < SETTINGS; i++)
        fprintf(f, "%s %u\n", settings[i].name, setting_get(&store, i));
    for (unsigned d = 0; d < 8 * sizeof store.gone; d++)
        if (store.gone[d / 8] & 1u << d % 8)
            fprintf(f, "gone %u\n", d);
    fclose(f);
    return text;
}

long restore_fails = -1;

unsigned cut;
uint64_t system_time, life_ns = 61000000000; /* deaths at one client's work are not to be counted */
bool by_order;

void store_sound(void)
{
    if (xs_check(&store))
        fail_msg("the store is not sound: %s", xs_unsound);
}

int next_instance(void)
{
    journal_open(keep, keep_size);
    assert_int_equal(store_init(&store, &h_ops), 0);
    xs_mem.fail_in = restore_fails;
    int lost = xs_restore(&store, by_order);
    restore_fails = xs_mem.fail_in;
    xs_mem.fail_in = -1;
    aside_begin(&store, system_time += life_ns, by_order);
    cut = 0;
    for (struct conn *c = store.conns; c; c = c->next) {
        c->ring = c->domid < 512 ? pages[c->domid] : NULL;
        if (!c->ring || c->aside) /* without one its domain is gone: it stays until it is released */
            continue;
        aside_working(c);
        cut += !stream_adopt(c);
        aside_working(NULL);
        assert_int_equal(c->ring->server_features, XS_FEATURES);
        assert_int_equal(c->ring->error, XENSTORE_ERROR_NONE);
    }
    return lost;
}

void same_text(const char *what, const char *want, const char *got)
{
    const char *line = want;
    if (!strcmp(want, got))
        return;
    for (; *want && *want == *got; want++, got++)
        line = *want == '\n' ? want + 1 : line;
    fail_msg("%s: in %.60s: wanted ...%.120s, got ...%.120s", what, line, want, got);
}

/* The instance ends with nothing on its way, and another one goes on from its journal. */
void another_instance(void)
{
    while (xs_turns(&store))
        ;
    xs_commit(&store);
    char *before = state_text();
    journal_open(NULL, 0);
    keep_pages = true;
    size_t limit = xs_mem.limit;
    store_fini(&store);
    assert_int_equal(xs_mem.used, 0);
    xs_mem.limit = limit;
    xs_mem.fail_in = -1;
    assert_int_equal(next_instance(), 0);
    char *after = state_text();
    same_text("the next instance", before, after);
    free(before);
    free(after);
    keep_pages = false;
    xs_snapshot(&store);
    struct client *all[] = { &ctl, &g16, &g17 };
    for (unsigned i = 0; i < 3; i++)
        all[i]->c = conn_find(&store, all[i]->domid);
}

/* --- the world ------------------------------------------------------------------------------------------------------ */
void world_up_with(size_t memory)
{
    xs_mem.limit = memory;
    xs_mem.fail_in = -1;
    if (!keep_size)
        keep_size = (J_HEAD + 2 * (memory + memory / 6 + 65536)) & ~(size_t)4095;
    keep = aligned_alloc(4096, keep_size);
    memset(keep, 0, keep_size);
    journal_open(keep, keep_size);
    on_notify = NULL;
    attach_fails = attached = detached = reattached = nr_told = 0;
    assert_int_equal(store_init(&store, &h_ops), 0);
    struct conn *c = conn_new(&store, 0, &limits_ctl);
    assert_int_equal(h_attach(c, 0, 0), 0);
    stream_init_page(c->ring, false);
    xs_snapshot(&store);
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
    store_sound();
    if (journal_covers())
        another_instance();
    store_sound();
    journal_open(NULL, 0);
    store_fini(&store);
    free(keep);
    keep = NULL;
    keep_size = 0;
    client_drop_events(&ctl);
    client_drop_events(&g16);
    client_drop_events(&g17);
    assert_int_equal(xs_mem.used, 0);
    return 0;
}
