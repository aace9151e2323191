/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/xs_crash.c
// FLAGS: -O2 -lz -Wl,--wrap=malloc
/*
 * The store's journal when everything is full, and when it is not what an instance wrote: every quota used up and a death during the
 * snapshot; flipped bits; entries that make no sense under checksums that do, as somebody who took an instance over could write them.
 */
#include <zlib.h>
#include "unit.h"
#include "xs_crash.h"

static uint64_t rng = 1;

static uint32_t rnd(uint32_t n)
{
    rng = rng * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(rng >> 33) % n;
}

static size_t half_size(void) { return (keep_size - J_HEAD) / 2 & ~(size_t)7; }

static unsigned char *half_in_use(void)
{
    return keep + J_HEAD + (*(uint64_t *)keep & 1 ? half_size() : 0);
}

static size_t used(void)
{
    unsigned char *half = half_in_use();
    size_t at = 0;
    for (struct jrec r;; at = (at + sizeof r + (uint32_t)r.word + 7) & ~(size_t)7) {
        memcpy(&r, half + at, sizeof r);
        if (!r.word)
            return at;
    }
}

/* --- full --------------------------------------------------------------------------------------------------------- */
/* One request of a client that reads nothing any more. */
static void whispers(struct client *k, uint32_t type, const void *p, uint32_t n)
{
    struct xsd_sockmsg h = { .type = type, .len = n };
    const char *b[] = { (const char *)&h, p };
    const uint32_t len[] = { sizeof h, n };
    for (unsigned part = 0; part < 2; part++)
        for (uint32_t i = 0; i < len[part]; i++) {
            if (k->ring->req_prod - k->ring->req_cons == XENSTORE_RING_SIZE)
                return;
            k->ring->req[MASK_XENSTORE_IDX(k->ring->req_prod)] = b[part][i];
            k->ring->req_prod++;
        }
    stream_serve(&store, k->c, 1 << 20);
}

/* Nodes, each with other rights than the one before it, watches, transactions, events that wait, some that were left out, half of a request. */
static void fill(struct client *k, struct client *other)
{
    char p[1600];
    for (unsigned i = 0; i < QUOTA_WATCHES; i++) {
        int at = snprintf(p, 64, "%s%c%03u", i < 20 ? "data" : "other", 0, i);
        memset(p + at, 't', 500);
        p[at + 500] = 0;
        said(k, XS_WATCH, 0, p, (uint32_t)at + 501);
        client_drop_events(k);
    }
    for (unsigned i = 0; i < QUOTA_TX; i++)
        said(k, XS_TRANSACTION_START, 0, S(""));
    for (unsigned len = 1024, i = 0; len; len /= 2)
        for (unsigned fails = 0; fails < 3 && i < 900; i++) {
            int at = snprintf(p, sizeof p, "data/node%u", i) + 1;
            memset(p + at, 'x', len);
            fails += said(k, XS_WRITE, 0, p, (uint32_t)at + len)[0] != '=';
            at += snprintf(p + at, 32, "n%u%cr%u", k->domid, 0, 100 + i % 2) + 1;
            said(k, XS_SET_PERMS, 0, p, (uint32_t)at);
            client_drop_events(k);
        }
    for (unsigned i = 0; i < 20; i++) {
        int at = snprintf(p, sizeof p, "data/node%u", i) + 1;
        said(k, XS_RM, 0, p, (uint32_t)at);
    }
    client_drop_events(k);
    for (unsigned i = 0; i < 60; i++) {
        int at = snprintf(p, sizeof p, "/local/domain/%u/data/from%u", k->domid, i) + 1;
        said(other, XS_MKDIR, 0, p, (uint32_t)at);
        stream_serve(&store, k->c, 0);
    }
    whispers(k, XS_WRITE, p, 900);
    k->ring->req_prod -= 300; /* never written */
}

static void snapshot_dies(long at)
{
    deaths = 0;
    ((struct jhead *)keep)->adopting = 0; /* it is another's story how often */
    countdown = at;
    if (setjmp(death)) {
        deaths++;
        forget_memory();
        assert_int_equal(next_instance(), 0);
    } else {
        armed = true;
        xs_snapshot(&store);
        armed = false;
    }
    countdown = -1;
}

TEST(test_full, .setup_func = no_world, .teardown_func = no_world)
{
    world_up_with(3u << 20);
    OK(&ctl, XS_SET_PERMS, 0, S("/local/domain/16/data\0b16"));
    OK(&ctl, XS_SET_PERMS, 0, S("/local/domain/17/data\0b17"));
    fill(&g16, &ctl);
    fill(&g17, &ctl);
    assert_true(g16.c->out && g16.c->nr_missed && g16.c->nr_txs == QUOTA_TX);
    assert_true(g17.c->out && g17.c->nr_missed && g17.c->nr_txs == QUOTA_TX);
    xs_commit(&store);
    points = 0;
    snapshot_dies(-1);
    long n = points;
    assert_true(n > 2000);
    char *before = state_text();
    for (long at = 0; at < n; at += at < n - 120 ? 97 : 1) {
        snapshot_dies(at);
        assert_int_equal(deaths, 1);
        char *after = state_text();
        same_text("after the snapshot", before, after);
        free(after);
    }
    free(before);
    snapshot_dies(-1);
    teardown(NULL);
    forget_memory();
}

/* As it is delivered, with everybody for whom it has memory, each of whom takes all that it gets: the next instance finds room for all of it,
 * wherever the snapshot ends. */
#define KEPT (13952u * 4096) /* ctl-dom/bundle/store.cfg */

static void all_full(void)
{
    static struct client many[XS_FIRST_GUEST + XS_GUESTS];
    char p[64];
    OK(&ctl, XS_RELEASE, 0, S("16"));
    OK(&ctl, XS_RELEASE, 0, S("17"));
    for (unsigned d = XS_FIRST_GUEST - XS_DRIVERS; d < XS_FIRST_GUEST + XS_GUESTS; d++) {
        int n = snprintf(p, sizeof p, "%u%c1%c7%c%s", d, 0, 0, 0,
                         d < XS_FIRST_GUEST ? "driver" : "guest") +
                1;
        assert_string_equal(said(&ctl, XS_INTRODUCE, 0, p, (uint32_t)n), "=OK");
        client_init(&many[d], (uint16_t)d);
        home(d);
    }
    for (unsigned d = XS_FIRST_GUEST - XS_DRIVERS; d < XS_FIRST_GUEST + XS_GUESTS; d++) {
        fill(&many[d], &ctl);
        client_drop_events(&many[d]);
    }
    assert_in_range(xs_mem.promised, xs_mem.limit / XS_CHUNK - limits_guest.max,
                    xs_mem.limit / XS_CHUNK); /* there is no more */
}

TEST(test_all_full, .setup_func = no_world, .teardown_func = no_world)
{
    static unsigned char head[J_HEAD];
    keep_size = KEPT;
    journal_open(head, KEPT); /* nothing is stored yet */
    world_up_with(journal_covers());
    all_full();
    xs_commit(&store);
    points = 0;
    snapshot_dies(-1);
    long n = points;
    char *before = state_text();
    for (unsigned i = 0; i < 6; i++) {
        snapshot_dies(n - n * i / 6 - 1 - i % 2);
        assert_int_equal(deaths, 1);
        char *after = state_text();
        same_text("after the snapshot", before, after);
        free(after);
        assert_true(ctl_heap->chunks < 16); /* everything found its place in its own heap */
    }
    free(before);
    snapshot_dies(-1);
    teardown(NULL);
    forget_memory();
}

/* --- no memory ---------------------------------------------------------------------------------------------------- */
static int nodes_of(int domid)
{
    int n = 0;
    for (unsigned i = 0; i < store.nr_usage; i++)
        n += domid < 0 || store.usage[i].domid == domid ? store.usage[i].nodes : 0;
    return n;
}

static char *paths;
static size_t paths_len;

static int path_added(const struct node *n, const struct node *parent, const char *p, void *arg)
{
    fprintf(arg, "%s\n", p);
    return 0;
}

static int path_was_there(const struct node *n, const struct node *parent, const char *p, void *arg)
{
    char line[XS_PATH_MAX + 2];
    snprintf(line, sizeof line, "%s\n", p);
    for (const char *at = paths; (at = strstr(at, line)); at++)
        if (at == paths || at[-1] == '\n')
            return 0;
    fail_msg("%s was not there before", p);
    return 0;
}

/* What is there now. */
static int noted(void)
{
    FILE *f = open_memstream(&paths, &paths_len);
    tree_visit(store.root, NULL, "/", path_added, f);
    fclose(f);
    return nodes_of(-1);
}

/* Whatever is left out of the tree is counted, the rest is where it was, the accounts agree, and everybody is still there. */
static int with_less_memory(int nodes)
{
    forget_memory();
    ((struct jhead *)keep)->adopting = 0; /* the one before read all of it */
    int lost = next_instance();
    store_sound();
    assert_true(conn_find(&store, 0) && conn_find(&store, 16) && conn_find(&store, 17));
    assert_in_range(nodes_of(-1), nodes - lost, nodes);
    tree_visit(store.root, NULL, "/", path_was_there, NULL);
    return lost;
}

/* Each allocation fails once. */
TEST(test_allocation_fails, .setup_func = no_world, .teardown_func = no_world)
{
    world_up_with(1u << 20);
    for (unsigned i = 0; i < 40; i++) {
        char p[64];
        int n = snprintf(p, sizeof p, "data/%u/%u", i % 4, i) + 1;
        OK(&g16, XS_MKDIR, 0, p, (uint32_t)n);
    }
    OK(&g17, XS_WATCH, 0, S("data\0his"));
    xs_snapshot(&store);
    int nodes = noted(), left_out = 0;
    unsigned failed = 0;
    for (long at = 6; restore_fails <= 0;
         at++, failed++) { /* before it the connections, whose memory is promised */
        restore_fails = at;
        int lost = with_less_memory(nodes);
        left_out += lost != 0;
    }
    assert_true(failed > 100 && left_out > 10);
    restore_fails = -1;
    assert_int_equal(with_less_memory(nodes), 0);
    free(paths);
    xs_snapshot(&store);
    teardown(NULL);
    forget_memory();
}

/* There is hardly more than what was promised. */
TEST(test_less_memory, .setup_func = no_world, .teardown_func = no_world)
{
    world_up_with(3u << 20);
    fill(&g16, &ctl);
    fill(&g17, &ctl);
    for (unsigned i = 0; i < 60; i++) {
        char p[3000] = "";
        int n = snprintf(p, sizeof p, "/a/%u", i) + 1;
        OK(&ctl, XS_WRITE, 0, p, (uint32_t)n + 2900);
    }
    xs_snapshot(&store);
    int nodes = noted();
    xs_mem.limit = 16 * XS_CHUNK;
    int lost = with_less_memory(nodes);
    assert_true(lost > 20 && nodes_of(16) > 100);
    xs_mem.limit = 3u << 20;
    assert_int_equal(with_less_memory(nodes), 0);
    free(paths);
    xs_snapshot(&store);
    teardown(NULL);
    forget_memory();
}

/* --- what kills its readers --------------------------------------------------------------------------------------- */
/* An instance that reads the journal and ends, after so many that did not come to their first snapshot. */
static void reads(unsigned before)
{
    ((struct jhead *)keep)->adopting = 0;
    for (unsigned i = 0; i < before; i++) {
        forget_memory();
        assert_int_equal(next_instance(), 0);
        assert_true(store.read == (i < 2   ? JOURNAL_ALL
                                   : i < 4 ? JOURNAL_SNAPSHOT
                                           : JOURNAL_NOTHING));
    }
    forget_memory();
    assert_int_equal(next_instance(), 0);
    xs_snapshot(&store);
    assert_int_equal(xs_check(&store), 0);
}

/* The control domain's ring, of which the journal knows nothing: half a request may have been taken out of it, so it is told to begin anew. */
static void begins_anew(void)
{
    struct xenstore_domain_interface *r = pages[0];
    struct conn *c = conn_new(&store, 0, &limits_ctl);
    assert_int_equal(store.ops->attach(c, 0, 0), 0);
    r->req_prod += 5;
    assert_true(stream_unknown(c));
    while (xs_turns(&store))
        ;
    assert_int_equal(r->error, XENSTORE_ERROR_RINGIDX);
    r->connection = XENSTORE_RECONNECT;
    while (xs_turns(&store))
        ;
    assert_int_equal(r->error, XENSTORE_ERROR_NONE);
    client_init(&ctl, 0);
    WANT(&ctl, XS_READ, 0, S("/local/domain/16/data/old"), "ENOENT");
    OK(&ctl, XS_MKDIR, 0, S("/local/domain"));
    memset(r, 0, sizeof *r); /* nobody has served this one: it is left as it is */
    assert_false(stream_unknown(c));
    assert_int_equal(r->error, XENSTORE_ERROR_NONE);
    conn_free(&store, c);
}

/* First all of it, twice; then the snapshot alone: what it says is whole, who asked something since does not get its answer, and everybody looks again; at last
 * nothing. The count ends with a snapshot. */
TEST(test_readers_die, .setup_func = no_world, .teardown_func = no_world)
{
    keep_size = J_HEAD + 2 * 65536;
    world_up_with(1u << 20);
    OK(&g16, XS_WATCH, 0, S("data\0mine"));
    OK(&g16, XS_WRITE, 0, D("data/old\0v"));
    EVENT(&g16, "data", "mine");
    EVENT(&g16, "data/old", "mine");
    OK(&g17, XS_WATCH, 0, S("data\0his"));
    EVENT(&g17, "data", "his");
    xs_snapshot(&store);
    OK(&g16, XS_WRITE, 0, D("data/new\0v"));
    EVENT(&g16, "data/new", "mine");
    reads(0);
    reads(1);
    client_init(&g16, 16);
    WANT(&g16, XS_READ, 0, S("data/new"), "=v");
    xs_snapshot(&store);
    OK(&g16, XS_WRITE, 0, D("data/newer\0v"));
    EVENT(&g16, "data/newer", "mine");
    reads(2);
    assert_int_equal(store.read, JOURNAL_SNAPSHOT);
    assert_int_equal(cut, 1);
    client_init(&g16, 16);
    client_init(&g17, 17);
    EVENT(&g16, "data", "mine");
    EVENT(&g17, "data", "his");
    WANT(&g16, XS_READ, 0, S("data/newer"), "ENOENT");
    WANT(&g16, XS_READ, 0, S("data/new"), "=v");
    WANT(&g17, XS_READ, 0, S("data/x"), "ENOENT");
    reads(0);
    assert_int_equal(store.read, JOURNAL_ALL);
    client_init(&g16, 16);
    WANT(&g16, XS_READ, 0, S("data/new"), "=v");
    reads(4);
    assert_int_equal(store.read, JOURNAL_NOTHING);
    assert_int_equal(store.nr_conns, 0);
    begins_anew();
    forget_memory();
    assert_int_equal(next_instance(), 0); /* that it is empty is in the journal now */
    assert_int_equal(store.read, JOURNAL_ALL);
    for (unsigned d = 0; d < 18; d++) {
        free(pages[d]);
        pages[d] = NULL;
    }
    journal_open(NULL, 0);
    store_fini(&store);
    free(keep);
    keep_size = 0;
    forget_memory();
}

/* A death by order counts for nothing. */
TEST(test_readers_ordered, .setup_func = no_world, .teardown_func = no_world)
{
    static unsigned char area[1u << 16];
    journal_open(area, sizeof area);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(journal_adopting(i), 0);
    assert_int_equal(journal_adopting(false), 1);
    assert_int_equal(journal_adopting(false), 2);
    ((struct jhead *)area)->adopting ^= 4; /* no word of ours */
    assert_int_equal(journal_adopting(false), 0);
    journal_open(NULL, 0);
}

/* --- what a guest can make of it ---------------------------------------------------------------------------------- */
/* Records that are short to write and long to read: changes in a wide directory. */
TEST(test_work_is_bounded, .setup_func = no_world, .teardown_func = no_world)
{
    char p[64];
    keep_size = KEPT;
    world_up_with(2u << 20);
    for (unsigned i = 0; i < 600; i++) {
        int n = snprintf(p, sizeof p, "data/%c%c", 'a' + i % 26, 'a' + i / 26) + 1;
        OK(&g16, XS_MKDIR, 0, p, (uint32_t)n);
    }
    for (unsigned i = 0; i < 14000; i++)
        OK(&g16, XS_WRITE, 0, D("data/aa\0v"));
    uint64_t before = tree_work;
    forget_memory();
    assert_int_equal(next_instance(), 0);
    assert_true(tree_work - before > JOURNAL_WORK / 8 && tree_work - before < JOURNAL_WORK);
    xs_snapshot(&store);
    teardown(NULL);
    forget_memory();
}

/* Who asks pays: until the next snapshot comes, together for what was put and for that snapshot. */
TEST(test_snapshot_is_paid, .setup_func = no_world, .teardown_func = no_world)
{
    static char big[8 + 1500] = "/a/0";
    keep_size = J_HEAD + 2 * 32768;
    world_up_with(1u << 20);
    for (unsigned i = 0; i < 8; i++) {
        big[3] = (char)('0' + i);
        OK(&ctl, XS_WRITE, 0, big, sizeof big);
    }
    xs_snapshot(&store);
    uint64_t half = *(uint64_t *)keep, before = journal_cost();
    assert_in_range(used(), half_size() / 3, half_size() * 2 / 3);
    while (half == *(uint64_t *)keep)
        WANT(&g16, XS_READ, 0, S("domid"), "=16");
    assert_in_range(journal_cost() - before, half_size() / 10 * 9, half_size() / 10 * 11);
    teardown(NULL);
    forget_memory();
}

/* What fits in the heaps fits in a half, and the store takes no more memory than that. */
TEST(test_covers, .setup_func = no_world, .teardown_func = no_world)
{
    static unsigned char area[1u << 20];
    for (size_t size = 0; size <= sizeof area; size += 4096) {
        journal_open(area, size);
        assert_true(journal_covers() <= size / 2);
        assert_true(size < 1u << 19 || journal_covers() > size / 3);
    }
    journal_open(NULL, 0);
    assert_int_equal(journal_covers(), 0);
    assert_true(journal_seal() && journal_flip());
}

/* --- damaged ------------------------------------------------------------------------------------------------------ */
static unsigned char *good;
static struct xenstore_domain_interface good_page[32];

static void some_life(void)
{
    struct client g18;
    char p[64];
    OK(&g16, XS_WATCH, 0, S("data\0mine"));
    OK(&g17, XS_WATCH, 0, S("data\0his"));
    OK(&ctl, XS_WATCH, 0, S("@releaseDomain\0gone"));
    for (unsigned i = 0; i < 30; i++) {
        int n = snprintf(p, sizeof p, "data/n%u/m%u%cvalue", i % 5, i, 0);
        assert_string_equal(said(&g16, XS_WRITE, 0, p, (uint32_t)n), "=OK");
        if (i == 20)
            xs_snapshot(&store);
    }
    tx_start(&g17);
    OK(&ctl, XS_SET_PERMS, 0, S("/local/domain/16/data/n1\0n16\0b17"));
    OK(&g16, XS_RM, 0, S("data/n2"));
    introduce(&g18, 18);
    OK(&ctl, XS_RELEASE, 0, S("18"));
    whispers(&g17, XS_WRITE, p, 64);
    whispers(&g17, XS_WRITE, "data/half", 9);
    g17.ring->req_prod -= 5;
    xs_commit(&store);
}

/* Whoever can write here can compute checksums. */
static void seal_again(void)
{
    uint32_t epoch = (uint32_t)(*(uint64_t *)keep) >> 1;
    unsigned char *half = half_in_use();
    for (size_t at = 0; at + 64 < half_size();) {
        struct jrec r;
        memcpy(&r, half + at, sizeof r);
        size_t len = (uint32_t)r.word;
        if (!r.word || len > half_size() - at - sizeof r)
            return;
        r.crc = (uint32_t)crc32(crc32(epoch, (Bytef *)&r.word, 8), half + at + sizeof r, (uInt)len);
        memcpy(half + at, &r, sizeof r);
        at = (at + sizeof r + len + 7) & ~(size_t)7;
    }
}

static size_t in_use; /* bytes of records, before any damage */

/* What can be there is what requests can make. */
static int check_node(const struct node *n, const struct node *parent, const char *p, void *arg)
{
    assert_true(path_valid(p));
    assert_ptr_equal(tree_find(store.root, p), n);
    assert_in_range(n->perms->n, 1, PRIV_PERMS);
    return 0;
}

/* Rings and journal as they were, then what `damage` does to them; whatever comes of it must serve. */
static int goes_on(void (*damage)(void))
{
    memcpy(keep, good, keep_size);
    for (unsigned d = 0; d < 18; d += d ? 1 : 16) {
        if (!pages[d])
            pages[d] = calloc(1, sizeof *pages[d]);
        *pages[d] = good_page[d];
    }
    damage();
    forget_memory();
    int lost = next_instance();
    store_sound();
    struct conn *c = store.ctl; /* from here on as conn.c does it */
    if (c && c->domid) {
        conn_free(&store, c);
        c = NULL;
    }
    if (!c && (c = conn_find(&store, 0)))
        conn_free(&store, c);
    c = store.ctl ? store.ctl : conn_new(&store, 0, &limits_ctl);
    conn_reset(c);
    if (!pages[0])
        pages[0] = calloc(1, sizeof *pages[0]);
    c->ring = memset(pages[0], 0, sizeof *pages[0]);
    xs_snapshot(&store);
    for (unsigned i = 0; i < 3; i++)
        xs_turns(&store);
    client_drop_events(&ctl);
    client_init(&ctl, 0);
    said(&ctl, XS_WRITE, 0, D("/after\0it"));
    assert_true(!strcmp(said(&ctl, XS_READ, 0, S("/after")), "=it") || lost);
    tree_visit(store.root, NULL, "/", check_node, NULL);
    char *text = state_text();
    free(text);
    store_sound();
    client_drop_events(&ctl);
    return lost;
}

static void flip_bit(void)
{
    half_in_use()[rnd((uint32_t)in_use)] ^= (unsigned char)(1u << rnd(8));
}

static void flip_head(void) { keep[rnd(8)] ^= (unsigned char)(1u << rnd(8)); }

static void flips_sealed(void)
{
    for (unsigned n = 1 + rnd(3); n; n--)
        flip_bit();
    seal_again();
}

static void fields_sealed(void)
{
    static const uint32_t values[] = { 0,   1,      2,      16,      17,         255,
                                       256, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0xffffffff };
    unsigned char *half = half_in_use();
    size_t at = rnd((uint32_t)in_use) & ~(size_t)3;
    uint32_t v = values[rnd(sizeof values / sizeof *values)];
    memcpy(half + at, &v, rnd(2) ? 2 : 4);
    seal_again();
}

static void noise(void)
{
    unsigned char *half = half_in_use();
    size_t at = rnd((uint32_t)in_use);
    for (uint32_t n = rnd(400); n && at < half_size(); n--)
        half[at++] = (unsigned char)rnd(256);
    if (rnd(2))
        seal_again();
}

/* Entries of any type with small fields and random contents. */
static void nonsense(void)
{
    unsigned char *half = half_in_use();
    size_t at = rnd(2) ? sizeof(struct jrec) : in_use + sizeof(struct jrec), begin = at;
    for (unsigned i = 1 + rnd(30); i; i--) {
        struct jentry e = { (uint16_t)rnd(22), (uint16_t)(rnd(8) ? 15 + rnd(5) : rnd(65536)),
                            rnd(rnd(4) ? 8 : 1u << 30), rnd(rnd(4) ? 8 : 1u << 30), rnd(60) };
        memcpy(half + at, &e, sizeof e);
        at += sizeof e;
        for (unsigned k = 0; k < e.len; k++)
            half[at++] = (unsigned char)("/ab\0\1\0n"[rnd(7)]);
    }
    if (begin != sizeof(struct jrec)) {
        uint32_t nr = 0;
        for (size_t r = 0; r < begin - sizeof(struct jrec); nr++)
            r = (r + sizeof(struct jrec) + *(uint32_t *)(half + r) + 7) & ~(size_t)7;
        uint64_t word = (at - begin) | (uint64_t)nr << 32;
        memcpy(half + begin - sizeof(struct jrec), &word, 8);
    }
    seal_again();
}

static void rings(void)
{
    for (unsigned d = 16; d < 18; d++) {
        uint32_t *idx[] = { &pages[d]->req_cons, &pages[d]->req_prod, &pages[d]->rsp_cons,
                            &pages[d]->rsp_prod, &pages[d]->connection };
        *idx[rnd(5)] += rnd(2) ? rnd(2000) : rnd(1u << 30) * 4;
    }
}

static void nothing(void) {}

TEST(test_damage, .setup_func = no_world, .teardown_func = no_world)
{
    static void (*const ways[])(void) = { flip_bit, flips_sealed, fields_sealed, noise,
                                          nonsense, rings,        flip_head };
    const char *s = getenv("XS_DAMAGE_ROUNDS");
    unsigned long rounds = s ? strtoul(s, NULL, 0) : 700;
    unsigned said_so = 0, flips = 0;
    keep_size = J_HEAD + 2 * 32768;
    world_up_with(1u << 20);
    some_life();
    good = malloc(keep_size);
    memcpy(good, keep, keep_size);
    in_use = used();
    for (unsigned d = 0; d < 32; d++)
        if (pages[d])
            good_page[d] = *pages[d];
    assert_int_equal(goes_on(nothing), 0);
    for (unsigned w = 0; w < sizeof ways / sizeof *ways; w++)
        for (unsigned long i = 0; i < rounds; i++) {
            int lost = goes_on(ways[w]);
            said_so += lost != 0;
            flips += ways[w] == flip_bit && lost;
        }
    assert_true(flips > rounds * 3 / 4); /* those in padding do nothing */
    assert_true(said_so > 2 * rounds);
    free(good);
    for (unsigned d = 0; d < 32; d++)
        if (pages[d] && !conn_find(&store, (uint16_t)d)) {
            free(pages[d]);
            pages[d] = NULL;
        }
    teardown(NULL);
    forget_memory();
}

/* A record of the half's last use, where the next one of this use would be. */
TEST(test_old_epoch, .setup_func = no_world, .teardown_func = no_world)
{
    struct jrec r;
    unsigned char old[512];
    keep_size = J_HEAD + 2 * 32768;
    world_up_with(1u << 20);
    xs_snapshot(&store);
    size_t at = used();
    OK(&g16, XS_WRITE, 0, D("data/x\0old"));
    unsigned char *half = half_in_use();
    memcpy(&r, half + at, sizeof r);
    assert_in_range((uint32_t)r.word, 1, sizeof old - sizeof r);
    memcpy(old, half + at, sizeof old);
    OK(&g16, XS_RM, 0, S("data/x"));
    xs_snapshot(&store);
    xs_snapshot(&store);
    assert_ptr_equal(half_in_use(), half);
    memcpy(half + used(), old, sizeof old);
    forget_memory();
    assert_int_equal(next_instance(), 1);
    assert_null(tree_find(store.root, "/local/domain/16/data/x"));
    xs_snapshot(&store);
    teardown(NULL);
    forget_memory();
}
