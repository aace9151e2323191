/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of the store: a privileged client that behaves and three guests that do not, over ring pages. Guests send
 * requests made of a small vocabulary (so that they meet), the same with bytes flipped, plain noise, halves of requests;
 * they read their replies now and then, set indices to anything, and scribble over the page. Memory runs short and
 * allocations fail at random. Meanwhile the privileged client works, rebuilds and removes guests. Now and then the store dies at some store to its
 * keep pages or to a ring, also while it comes back, and another instance goes on.
 *
 * What must hold: no sanitizer report, the accounts agree with the tree, the privileged client has one well-formed answer to each request, each of
 * which was executed once (a watch is there or not), and its own nodes are what it wrote, nothing leaks at the end, nothing in the journal is
 * left out, and what it has at the end is what the store had.
 *
 * Every decision is a number drawn at random from a seed (tests/unit/test_xs_fuzz.c), or read from libFuzzer's input (tests/long/test_fuzz.py), which
 * so learns which of them lead to code that it has not seen.
 */
#include "fuzz_xs.h"
#include "draw.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../xenstore-lite/journal.h"
static void *chunk_new(size_t n); /* so that what a dead instance had can be found */
#define malloc chunk_new
#include "../../xenstore-lite/mem.c"
#undef malloc
#undef FIRST
#include "../../xenstore-lite/xs.h"

#define GUESTS 3
#define FIRST  16

static struct xs store;
static struct xenstore_domain_interface *page[FIRST + GUESTS];

/* --- deaths ------------------------------------------------------------------------------------------------------ */
static void *chunks[512];
static unsigned nr_chunks;
static void *chunk_new(size_t n)
{
    CHECK(nr_chunks < sizeof chunks / sizeof *chunks);
    return chunks[nr_chunks++] = malloc(n);
}

static jmp_buf death;
static bool armed;
static long countdown; /* so many stores until it dies; < 0: it lives on */

void xs_stored(void)
{
    if (!armed || countdown < 0 || countdown--)
        return;
    armed = false;
    longjmp(death, 1);
}

static void rise(void);

static void serve(unsigned domid, uint32_t budget)
{
    if (setjmp(death))
        rise();
    struct conn *c = conn_find(&store, (uint16_t)domid);
    armed = true;
    if (c)
        stream_serve(&store, c, budget);
    armed = false;
}

static void turns(void)
{
    if (setjmp(death))
        rise();
    armed = true;
    xs_turns(&store);
    armed = false;
}

/* --- the domain around ------------------------------------------------------------------------------------------ */
static int attach(struct conn *c, uint64_t gfn, uint32_t port)
{
    (void)gfn;
    if (port == 666)
        return -1;
    free(page[c->domid]); /* of an instance that died before it had written down whom it had introduced */
    page[c->domid] = c->ring = calloc(1, sizeof *c->ring);
    return 0;
}

static int reattach(struct conn *c, uint64_t gfn, uint32_t port)
{
    if (port == 666)
        return -1;
    return c->ring ? 0 : attach(c, gfn, port);
}

static void detach(struct conn *c)
{
    if (c->ring)
        page[c->domid] = NULL;
    free(c->ring); /* NULL of one that a journal has, and nobody else */
    c->ring = NULL;
}

static const struct xs_ops ops = { .attach = attach, .reattach = reattach, .detach = detach };

/* --- requests --------------------------------------------------------------------------------------------------- */
static const char *const words[] = { "/",
                                     "/a",
                                     "/a/b",
                                     "/a/b/c",
                                     "/shared",
                                     "/shared/x",
                                     "/shared/x/y",
                                     "device",
                                     "device/vif/0/state",
                                     "data",
                                     "data/1",
                                     "data/1/2/3/4/5",
                                     "/local/domain/16",
                                     "/local/domain/17/device",
                                     "/local/domain/18/data/x",
                                     "@introduceDomain",
                                     "@releaseDomain",
                                     "@",
                                     "",
                                     "//",
                                     "a/",
                                     "T",
                                     "F",
                                     "0",
                                     "1",
                                     "16",
                                     "17",
                                     "18",
                                     "40",
                                     "65536",
                                     "666",
                                     "n0",
                                     "b16",
                                     "w17",
                                     "r18",
                                     "n16",
                                     "token",
                                     "check",
                                     "stats",
                                     "-1",
                                     "4294967295",
                                     "value",
                                     "control/shutdown" };
#define NR_WORDS (sizeof words / sizeof *words)

static const char *const good[] = {
    "device",  "device/vif/0/state", "device/vif/0", "device/vif", "data", "data/1", "data/1/2",
    "/shared", "/shared/x",          "/shared/x/y",  "/shared/z"
};
#define NR_GOOD (sizeof good / sizeof *good)

static uint32_t make_request(unsigned char *buf, bool mutate)
{
    struct xsd_sockmsg h = { rnd(XS_TYPE_COUNT + 1), rnd(1000), rnd(3) ? 0 : rnd(12), 0 };
    unsigned char *p = buf + sizeof h;
    unsigned n = h.type == XS_WRITE || h.type == XS_SET_PERMS || h.type == XS_WATCH || !rnd(10)
                     ? 1 + rnd(3)
                     : 1;
    if (h.type == XS_WATCH_EVENT || h.type == XS_ERROR || h.type == XS_CONTROL)
        h.type = XS_WRITE;
    if (!rnd(20))
        h.type = XS_TRANSACTION_START;
    for (unsigned i = 0; i < n; i++) {
        const char *w = i == 0 && rnd(8) ? good[rnd(NR_GOOD)] : words[rnd(NR_WORDS)];
        memcpy(p, w, strlen(w) + 1);
        p += strlen(w) + (rnd(10) != 0 || i == 0);
    }
    if (h.type == XS_WRITE && !rnd(4)) {
        uint32_t more = rnd(rnd(4) ? 200 : 3900);
        memset(p, 'd', more);
        p += more;
    }
    if (!rnd(64)) { /* a long path */
        uint32_t more = rnd(3900 - (uint32_t)(p - buf) % 3000);
        more = more > 500 ? 500 : more;
        for (uint32_t i = 0; i < more; i++)
            *p++ = "/q"[i & 1];
        *p++ = 0;
    }
    h.len = (uint32_t)(p - buf - sizeof h);
    if (h.len > XENSTORE_PAYLOAD_MAX)
        h.len = XENSTORE_PAYLOAD_MAX;
    memcpy(buf, &h, sizeof h);
    for (uint32_t i = mutate ? 1 + rnd(4) : 0; i; i--)
        buf[rnd((uint32_t)sizeof h + h.len)] ^= (unsigned char)(1u << rnd(8));
    return (uint32_t)sizeof h + h.len;
}

/* Puts as much of p in the ring as goes, serving in between. */
static void put(unsigned domid, const unsigned char *p, uint32_t n)
{
    struct xenstore_domain_interface *r = page[domid];
    for (uint32_t i = 0; i < n; i++) {
        if (r->req_prod - r->req_cons >= XENSTORE_RING_SIZE) {
            serve(domid, 1 + rnd(4000));
            if (conn_find(&store, (uint16_t)domid)->bad ||
                r->req_prod - r->req_cons >= XENSTORE_RING_SIZE)
                return;
        }
        r->req[MASK_XENSTORE_IDX(r->req_prod)] = (char)p[i];
        r->req_prod++;
    }
}

/* Gives a request something to do with the transactions that are open. */
static void use_transaction(const struct conn *c, unsigned char *buf, uint32_t *n)
{
    struct xsd_sockmsg h;
    const struct tx *t = c->txs;
    if (!t || rnd(3) == 0)
        return;
    for (uint32_t i = rnd(c->nr_txs); i; i--)
        t = t->next;
    memcpy(&h, buf, sizeof h);
    h.tx_id = t->id;
    if (!rnd(6)) {
        h.type = XS_TRANSACTION_END;
        h.len = 2;
        memcpy(buf + sizeof h, rnd(4) ? "T" : "F", 2);
        *n = (uint32_t)sizeof h + 2;
    }
    memcpy(buf, &h, sizeof h);
}

static void guest_step(unsigned domid)
{
    static unsigned char buf[8192];
    struct conn *c = conn_find(&store, (uint16_t)domid);
    struct xenstore_domain_interface *r = page[domid];
    uint32_t n, what = rnd(2000);
    if (what < 1000) {
        n = make_request(buf, what >= 980);
        if (what < 980)
            use_transaction(c, buf, &n);
        put(domid, buf, n);
    } else if (what < 1006) {
        n = make_request(buf, false); /* half of one: what follows is taken for its rest */
        put(domid, buf, rnd(n));
    } else if (what < 1010) {
        n = rnd(300);
        for (uint32_t i = 0; i < n; i++)
            buf[i] = (unsigned char)rnd(256);
        put(domid, buf, n);
    } else if (what < 1012) {
        uint32_t *idx[] = { &r->req_cons, &r->req_prod, &r->rsp_cons, &r->rsp_prod };
        *idx[rnd(4)] += rnd(2) ? rnd(1 << 30) * 4 : rnd(2000);
    } else if (what < 1014) {
        for (unsigned i = 0; i < 64; i++)
            ((unsigned char *)r)[rnd(sizeof *r)] = (unsigned char)rnd(256);
    } else {
        uint32_t have = r->rsp_prod - r->rsp_cons;
        r->rsp_cons += have <= XENSTORE_RING_SIZE && have ? rnd(have + 1) : 0;
    }
    conn_find(&store, (uint16_t)domid)->kicked = true;
    if (rnd(4))
        serve(domid, rnd(4000));
    else
        turns();
}

/* --- the privileged client -------------------------------------------------------------------------------------- */
static char reply[XENSTORE_PAYLOAD_MAX + 1];

/* Reads one byte of its ring; serves until there is one. */
static unsigned char ctl_byte(void)
{
    struct xenstore_domain_interface *r = page[0];
    for (int i = 0; r->rsp_cons == r->rsp_prod; i++) {
        CHECK(i < 100 && !store.ctl->bad);
        serve(0, 4000);
    }
    return (unsigned char)r->rsp[MASK_XENSTORE_IDX(r->rsp_cons++)];
}

/* One request and its reply; the type of the reply. */
static uint32_t ctl_ask(uint32_t type, const void *p, uint32_t len)
{
    static uint32_t id;
    struct xsd_sockmsg h = { type, ++id, 0, len }, a;
    put(0, (unsigned char *)&h, sizeof h);
    put(0, p, len);
    do {
        for (unsigned i = 0; i < sizeof a; i++)
            ((unsigned char *)&a)[i] = ctl_byte();
        CHECK(a.len <= XENSTORE_PAYLOAD_MAX);
        for (unsigned i = 0; i < a.len; i++)
            reply[i] = (char)ctl_byte();
        reply[a.len] = 0;
    } while (a.type == XS_WATCH_EVENT);
    CHECK(a.req_id == id && (a.type == type || a.type == XS_ERROR));
    return a.type;
}

static void ctl_introduce(unsigned domid)
{
    char b[32];
    int n = sprintf(b, "%u%c1%c%u", domid, 0, 0, rnd(20) ? 5 : 666) + 1;
    ctl_ask(XS_INTRODUCE, b, (uint32_t)n);
}

static char expect[16]; /* its node */
static bool watched[2];

/* What is executed twice, or not at all, answers otherwise. */
static void ctl_watch(unsigned which, bool on)
{
    static const char *const what[] = { "/\0t", "/local\0t" };
    bool done = ctl_ask(on ? XS_WATCH : XS_UNWATCH, what[which], which ? 9 : 4) != XS_ERROR;
    CHECK(!done || watched[which] != on);
    CHECK(strcmp(reply, on ? "EEXIST" : "ENOENT") != 0 || watched[which] == on);
    watched[which] ^= done;
}

static void ctl_step(void)
{
    char b[64];
    unsigned d;
    int n;
    switch (rnd(8)) {
    case 0:
        for (d = FIRST; d < FIRST + GUESTS; d++) {
            struct conn *c = conn_find(&store, (uint16_t)d);
            if (!c || c->bad)
                ctl_introduce(d);
        }
        return;
    case 1:
        if (!rnd(10)) {
            n = sprintf(b, "%u", FIRST + rnd(GUESTS)) + 1;
            ctl_ask(XS_RELEASE, b, (uint32_t)n);
        }
        return;
    case 2: /* gives a guest its own */
        d = FIRST + rnd(GUESTS);
        n = sprintf(b, "/local/domain/%u/%s%cn%u", d, rnd(2) ? "device" : "data", 0,
                    rnd(5) ? d : FIRST) +
            1;
        ctl_ask(XS_MKDIR, b, (uint32_t)strlen(b) + 1);
        ctl_ask(XS_SET_PERMS, b, (uint32_t)n);
        return;
    case 3:
        if (ctl_ask(XS_MKDIR, "/shared", 8) == XS_MKDIR)
            ctl_ask(XS_SET_PERMS, "/shared\0b0", 11);
        return;
    case 4: /* its own node holds what it wrote last */
        n = sprintf(b, "/ctl/node%c%u", 0, rnd(1000000));
        if (ctl_ask(XS_WRITE, b, (uint32_t)n) == XS_WRITE)
            strcpy(expect, b + 10);
        if (expect[0] && ctl_ask(XS_READ, "/ctl/node", 10) == XS_READ)
            CHECK(!strcmp(reply, expect));
        return;
    case 5:
        d = rnd(2);
        ctl_watch(d, rnd(2));
        return;
    case 6:
        if (!rnd(20))
            ctl_ask(XS_RM, "/shared", 8);
        return;
    case 7: ctl_ask(XS_CONTROL, "stats", 6);
    }
}

/* --- the journal ------------------------------------------------------------------------------------------------ */
static unsigned char keep[J_HEAD + (8u << 20)] __attribute__((aligned(4096)));

static uint32_t mix(uint32_t h, const void *p, size_t n)
{
    for (const unsigned char *b = p; n--; b++)
        h = (h ^ *b) * 16777619u;
    return h;
}

static int mix_node(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    uint32_t *h = arg;
    (void)parent;
    *h = mix(*h, path, strlen(path) + 1);
    *h = mix(*h, n->perms->p, n->perms->n * sizeof n->perms->p[0]);
    *h = mix(*h, n->data ? n->data->s : "", n->data ? n->data->len : 0);
    *h = mix(*h, &n->cgen, sizeof n->cgen);
    return 0;
}

static uint32_t mix_store(void)
{
    uint32_t h = mix(2166136261u, store.gone, sizeof store.gone);
    for (unsigned d = 0; d < FIRST + GUESTS; d++) {
        const struct conn *c = conn_find(&store, (uint16_t)d);
        for (const struct watch *w = c ? c->watches : NULL; w; w = w->next)
            h = mix(h, w->path, w->path_len + strlen(w->token) + 2);
        h = mix(h, c ? &c->nr_txs : NULL, c ? sizeof c->nr_txs : 0);
    }
    tree_visit(store.root, NULL, "/", mix_node, &h);
    return h;
}

/* By order, so that nobody is put aside for it. It may die in here, too. */
static void rise(void)
{
    countdown = rnd(8) == 1 ? (long)rnd(3000) : -1; /* not at the end of an input, where all are 0 */
    while (nr_chunks)
        free(chunks[--nr_chunks]);
    xs_mem_init(3u << 20);
    xs_mem.fail_in = -1;
    journal_open(keep, sizeof keep);
    armed = true;
    CHECK(store_init(&store, &ops) == 0);
    CHECK(xs_restore(&store, true) == 0);
    aside_begin(&store, 0, true);
    for (struct conn *c = store.conns; c; c = c->next)
        if ((c->ring = page[c->domid]))
            (void)stream_adopt(c);
    xs_snapshot(&store);
    armed = false;
    CHECK(store.ctl && xs_check(&store) == 0);
}

static void next_instance(void)
{
    xs_commit(&store);
    uint32_t before = mix_store();
    journal_open(NULL, 0);
    store_fini(&store);
    CHECK(xs_mem.used == 0);
    journal_open(keep, sizeof keep);
    CHECK(store_init(&store, &ops) == 0);
    CHECK(xs_restore(&store, false) == 0);
    CHECK(mix_store() == before);
    journal_open(NULL, 0);
}

void fuzz_xs(unsigned long long with_seed, unsigned long steps)
{
    draw_from(with_seed);
    xs_mem.fail_in = -1;
    xs_mem.limit = 3u << 20;
    memset(keep, 0, sizeof keep);
    memset(watched, 0, sizeof watched);
    expect[0] = 0;
    countdown = -1;
    journal_open(keep, sizeof keep);
    CHECK(store_init(&store, &ops) == 0);
    struct conn *ctl = conn_new(&store, 0, &limits_ctl);
    CHECK(ctl && attach(ctl, 0, 0) == 0);
    xs_snapshot(&store);
    for (unsigned d = FIRST; d < FIRST + GUESTS; d++)
        ctl_introduce(d);
    for (unsigned long i = 0; i < steps && (!input || input_left); i++) {
        unsigned domid = FIRST + rnd(GUESTS);
        const struct conn *c = conn_find(&store, (uint16_t)domid);
        if (rnd(100) == 1)
            countdown = (long)rnd(3000);
        if (!rnd(500))
            xs_mem.limit = rnd(2) ? 3u << 20 : PRIV_RESERVE + xs_mem.used + rnd(100000);
        if (!rnd(50))
            xs_mem.fail_in = 1 + (long)rnd(40);
        if (c && c->ring)
            guest_step(domid);
        xs_mem.fail_in = -1;
        if (!rnd(6))
            ctl_step();
        if (i % 256 == 0)
            CHECK(xs_check(&store) == 0);
    }
    countdown = -1;
    xs_mem.limit = (size_t)1 << 30;
    CHECK(xs_check(&store) == 0);
    next_instance();
    CHECK(xs_check(&store) == 0);
    store_fini(&store);
    CHECK(xs_mem.used == 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    input = data;
    input_left = n;
    fuzz_xs(0, n);
    input = NULL;
    return 0;
}
