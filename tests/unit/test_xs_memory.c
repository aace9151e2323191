/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/xs_harness.c
// FLAGS: -lz -Wl,--wrap=malloc
/* The store's memory: heaps alone; and that whatever some clients hold, each has its first chunks and the control domain its own. */
#include "unit.h"
#include "xs_harness.h"

static int no_store(void **state) { return 0; }

/* --- heaps -------------------------------------------------------------------------------------------------------- */
TEST(test_heap_blocks, .setup_func = no_store, .teardown_func = no_store)
{
    static struct {
        unsigned char *p, v;
        unsigned n;
    } b[300];
    struct heap *h = heap_new(40, 0, 64);
    size_t sum = 0;

    srand(7);
    for (unsigned i = 0; i < 60000; i++) {
        unsigned k = (unsigned)rand() % 300;
        if (b[k].p) {
            for (unsigned at = 0; at < b[k].n; at++)
                assert_int_equal(b[k].p[at], b[k].v);
            sum -= b[k].n;
            xs_free(b[k].p);
            b[k].p = NULL;
        } else {
            b[k].n = (unsigned)rand() % ((unsigned)rand() % 8 ? 300 : 9000);
            b[k].v = (unsigned char)rand();
            b[k].p = xs_alloc(h, b[k].n);
            if (!b[k].p)
                continue;
            assert_int_equal((uintptr_t)b[k].p % 8, 0);
            assert_ptr_equal(mem_heap(b[k].p), h);
            for (unsigned at = 0; at < b[k].n; at++)
                assert_int_equal(b[k].p[at], 0);
            memset(b[k].p, b[k].v, b[k].n);
            sum += b[k].n;
        }
        assert_true(h->used >= sum && h->chunks * XS_CHUNK >= h->used && h->chunks <= 64);
    }
    for (unsigned k = 0; k < 300; k++)
        xs_free(b[k].p);
    assert_int_equal(h->used, 0);
    assert_int_equal(h->chunks, 0); /* all that was apart is one again */
    heap_end(h);
    assert_int_equal(xs_mem.promised, 0);
}

/* Whole chunks count: one block left in each keeps them all. */
TEST(test_heap_limits, .setup_func = no_store, .teardown_func = no_store)
{
    void *first[8], *p[8];
    xs_mem.limit = 12 * XS_CHUNK;
    struct heap *a = heap_new(40, 2, 6), *b = heap_new(41, 4, 100);
    assert_non_null(b);
    assert_null(heap_new(42, 7, 9)); /* twelve less six */
    for (unsigned i = 0; i < 6; i++) {
        p[i] = xs_alloc(a, 32000);
        xs_free(p[i]);
        first[i] = xs_alloc(a, 500);
        p[i] = xs_alloc(a, 32000);
        assert_non_null(i < 5 ? p[i] : first[i]);
        if (i == 5)
            break;
    }
    for (unsigned i = 0; i < 5; i++)
        xs_free(p[i]);
    assert_int_equal(a->chunks, 6); /* of 192 KiB it uses few */
    assert_true(a->used < 6 * XS_CHUNK);
    for (unsigned i = 0; i < 6; i++) /* what is left of twelve */
        assert_non_null(p[i] = xs_alloc(b, 32000));
    assert_null(xs_alloc(b, 32000));
    for (unsigned i = 0; i < 6; i++)
        xs_free(p[i]);
    assert_int_equal(b->chunks, 0);
    assert_int_equal(xs_mem.promised, a->chunks + 4);
    heap_end(b);
    heap_end(a);
    assert_int_equal(xs_mem.promised, a->chunks); /* until its blocks are gone */
    for (unsigned i = 0; i < 6; i++)
        xs_free(first[i]);
    assert_int_equal(xs_mem.promised, 0);
}

/* The domain takes all at its start; its memory may lie in pieces, and there may be less than was thought. */
static size_t most, taken;
static void *piece[32];
static unsigned nr_pieces;
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
    if (!most)
        return __real_malloc(n);
    if (n > most || n > 70 * XS_CHUNK - taken || nr_pieces == 32)
        return NULL;
    taken += n;
    return piece[nr_pieces++] = __real_malloc(n);
}

TEST(test_heap_taken, .setup_func = no_store, .teardown_func = no_store)
{
    static unsigned char *p[70];

    for (most = 200 * XS_CHUNK; most >= 3 * XS_CHUNK; most = most / 4) {
        taken = nr_pieces = 0;
        xs_mem_init(100 * XS_CHUNK + 5);
        xs_mem_take();
        assert_int_equal(xs_mem.limit, 70 * XS_CHUNK + 5);
        size_t given = taken;
        for (unsigned i = 0; i < 70; i++) {
            assert_non_null(p[i] = xs_alloc(ctl_heap, 32000));
            memset(p[i], (int)i, 32000);
        }
        assert_null(xs_alloc(ctl_heap, 32000));
        assert_int_equal(taken, given); /* nothing more was asked for */
        for (unsigned i = 0; i < 70; i++) {
            for (unsigned at = 0; at < 32000; at++)
                assert_int_equal(p[i][at], (unsigned char)i);
            xs_free(p[i]);
        }
        while (nr_pieces)
            free(piece[--nr_pieces]);
    }
    most = 0;
    xs_mem_init((size_t)1 << 30);
}

/* --- clients ------------------------------------------------------------------------------------------------------ */
static const char *put(struct client *k, unsigned node, unsigned len, char how)
{
    static char p[64 + 4096];
    int at = snprintf(p, 64, "data/%u/%u", node / 64, node) + 1;
    memset(p + at, how, len);
    return said(k, XS_WRITE, 0, p, (uint32_t)at + len);
}

/* All that it gets, in values and in watches; then one block is left in many places. */
static void grab(struct client *k)
{
    char p[1100];
    unsigned n = 0;
    for (unsigned len = 1500; len; len /= 2)
        for (unsigned fails = 0; fails < 3 && n < 900; fails += put(k, n++, len, 'x')[0] != '=')
            ;
    for (unsigned i = 0; i < QUOTA_WATCHES; i++) {
        int at = snprintf(p, 64, "none%c%03u", 0, i);
        memset(p + at, 't', 700);
        p[at + 700] = 0;
        said(k, XS_WATCH, 0, p, (uint32_t)at + 701);
    }
    client_drop_events(k);
}

/* One guest, all its quotas, and ten transactions, each begun before everything was written again. */
TEST(test_transaction_holds_nothing)
{
    for (unsigned i = 0; i < 40; i++)
        assert_string_equal(put(&g16, i, 1900, 'a'), "=OK");
    size_t before = xs_mem.used;
    for (unsigned t = 0; t < QUOTA_TX; t++) {
        uint32_t tx = tx_start(&g16);
        OK(&g16, XS_WRITE, tx, D("data/mine\0x"));
        for (unsigned i = 0; i < 40; i++)
            assert_string_equal(put(&g16, i, 1900, (char)('b' + t)), "=OK");
    }
    assert_true(xs_mem.used - before < QUOTA_TX * 1024);
    OK(&ctl, XS_RELEASE, 0, S("16"));
    assert_int_equal(heap_of(16) == ctl_heap, true);
}

/* Its own chunks end, nobody else's, and the administrator reads who it is: once. */
TEST(test_named_once)
{
    grab(&g16);
    assert_true(g16.c->heap->chunks <= limits_guest.max + 1);
    assert_int_equal(nr_told, 1);
    assert_non_null(strstr(told, "domain 16 is at its limit in the store"));
    OK(&g17, XS_WRITE, 0, D("device/x\0v"));
    assert_int_equal(nr_told, 1);
}

/* A client that has used up what it has can give back. */
TEST(test_full_client_gives_back)
{
    char p[32];
    grab(&g16);
    g16.c->heap->max = g16.c->heap->chunks; /* and not one more */
    void *crumbs[4096];
    unsigned n = 0;
    while (n < 4096 && (crumbs[n] = xs_alloc(g16.c->heap, 1)))
        n++;
    WANT(&g16, XS_READ, 0, S("domid"), "ENOMEM");
    OK(&g16, XS_RM, 0, S("data/0"));
    for (unsigned i = 0; i < 4; i++) {
        int at = snprintf(p, sizeof p, "data/%u", i) + 1;
        said(&g16, XS_RM, 0, p, (uint32_t)at);
    }
    OK(&g16, XS_RESET_WATCHES, 0, S(""));
    WANT(&g16, XS_READ, 0, S("domid"), "=16");
    while (n)
        xs_free(crumbs[--n]);
}

/* The control domain works in the directory of a guest that has used up its own, and nothing of that is left after it. */
TEST(test_control_domain_in_a_full_directory)
{
    size_t promised = xs_mem.promised, used = xs_mem.used;
    introduce(&g16, 18);
    home(18);
    grab(&g16);
    void *crumbs[4096];
    unsigned n = 0;
    g16.c->heap->max = 0;
    while (n < 4096 && (crumbs[n] = xs_alloc(g16.c->heap, 1)))
        n++;
    OK(&ctl, XS_WRITE, 0, D("/local/domain/18/control/shutdown\0poweroff"));
    OK(&ctl, XS_WRITE, 0, D("/local/domain/18/data/0/by-control\0v"));
    OK(&ctl, XS_RM, 0, S("/local/domain/18/data/0"));
    WANT(&ctl, XS_READ, 0, S("/local/domain/18/control/shutdown"), "=poweroff");
    while (n)
        xs_free(crumbs[--n]);
    OK(&ctl, XS_RELEASE, 0, S("18"));
    OK(&ctl, XS_RM, 0, S("/local/domain/18"));
    assert_int_equal(xs_mem.promised, promised);
    assert_true(xs_mem.used < used + 4096);
    client_init(&g16, 16);
}

/* --- as many as the core allows ----------------------------------------------------------------------------------- */
/* What store.cfg's 32 MiB leave behind the store's image, less what main.c leaves to the library. */
#define STORE_MEMORY (((32u << 20) - (1300u << 10)) / 32 * 31)
#define GUESTS       XS_GUESTS
#define DRIVERS      XS_DRIVERS
#define FIRST        16u

static struct client many[FIRST + GUESTS];

/* About what ctl-dom/store/store.c and devices.c write for a guest with a vif and a disk, in one transaction before it is introduced. */
static void create(unsigned domid)
{
    char p[160];
    uint32_t tx = tx_start(&ctl);
    for (unsigned i = 0; i < 70; i++) {
        int n =
            i < 45
                ? snprintf(p, sizeof p, "/local/domain/%u/device/vbd/51712/some-key-%u", domid, i) + 1
                : snprintf(p, sizeof p, "/local/domain/3/backend/vbd/%u/51712/key-%u", domid, i) + 1;
        n += snprintf(p + n, 40, "/local/domain/%u/value", domid);
        assert_string_equal(said(&ctl, XS_WRITE, tx, p, (uint32_t)n), "=OK");
    }
    for (unsigned i = 0; i < 45; i++) {
        int n = snprintf(p, sizeof p, "/local/domain/%u/device/vbd/51712/some-key-%u", domid, i) + 1;
        n += snprintf(p + n, 8, "n%u", domid) + 1;
        assert_string_equal(said(&ctl, XS_SET_PERMS, tx, p, (uint32_t)n), "=OK");
    }
    assert_string_equal(said(&ctl, XS_TRANSACTION_END, tx, S("T")), "=OK");
}

static int big_world(void **state)
{
    world_up_with(STORE_MEMORY);
    OK(&ctl, XS_RELEASE, 0, S("16"));
    OK(&ctl, XS_RELEASE, 0, S("17"));
    for (unsigned i = FIRST - DRIVERS; i < FIRST; i++) {
        char b[32];
        int n = snprintf(b, sizeof b, "%u%c1%c7%cdriver", i, 0, 0, 0) + 1;
        assert_string_equal(said(&ctl, XS_INTRODUCE, 0, b, (uint32_t)n), "=OK");
        client_init(&many[i], (uint16_t)i);
        assert_int_equal(many[i].c->heap->floor, limits_driver.floor);
        home(i);
    }
    return 0;
}

static int big_world_down(void **state)
{
    for (unsigned i = 0; i < FIRST + GUESTS; i++)
        client_drop_events(&many[i]);
    return teardown(state);
}

/* What Linux writes and watches with one disk and one vif fits into what each is promised, while a quarter of them take all they get. */
TEST(test_two_hundred, .setup_func = big_world, .teardown_func = big_world_down)
{
    char p[96];
    for (unsigned g = FIRST; g < FIRST + GUESTS; g++) {
        create(g);
        introduce(&many[g], (uint16_t)g);
        home(g);
        if (g % 4 == 0)
            grab(&many[g]);
    }
    assert_int_equal(nr_told, GUESTS / 4);
    assert_true(xs_mem.promised >=
                xs_mem.limit / XS_CHUNK - limits_guest.max); /* they have all there is */
    for (unsigned g = FIRST; g < FIRST + GUESTS; g++) {
        if (g % 4 == 0)
            continue;
        uint32_t tx = tx_start(&many[g]);
        for (unsigned i = 0; i < 45; i++) {
            int n = snprintf(p, sizeof p, "device/vbd/51712/some-key-%u", i) + 1;
            n += snprintf(p + n, 16, "%u", i + 1000);
            assert_string_equal(said(&many[g], XS_WRITE, tx, p, (uint32_t)n), "=OK");
        }
        assert_string_equal(said(&many[g], XS_TRANSACTION_END, tx, S("T")), "=OK");
        for (unsigned i = 0; i < 12; i++) {
            int n = snprintf(p, sizeof p, "/local/domain/3/backend/vbd/%u/51712/state%c%016x", g, 0,
                             i) +
                    1;
            assert_string_equal(said(&many[g], XS_WATCH, 0, p, (uint32_t)n), "=OK");
        }
    }
    for (unsigned d = FIRST - DRIVERS; d < FIRST; d++)
        for (unsigned i = 0; i < 64 * 30; i++)
            assert_string_equal(put(&many[d], i, 40, 'd'), "=OK");
    assert_int_equal(nr_told, GUESTS / 4);
    for (unsigned g = FIRST; g < FIRST + 8; g++) { /* and they come and go */
        int n = snprintf(p, sizeof p, "%u", g) + 1;
        assert_string_equal(said(&ctl, XS_RELEASE, 0, p, (uint32_t)n), "=OK");
        n = snprintf(p, sizeof p, "/local/domain/%u", g) + 1;
        assert_string_equal(said(&ctl, XS_RM, 0, p, (uint32_t)n), "=OK");
        create(g);
        client_drop_events(&many[g]);
        introduce(&many[g], (uint16_t)g);
    }
    store_sound();
}

/* One that cannot have its first chunks is refused; the others keep theirs. */
TEST(test_no_promise_without_memory)
{
    xs_mem.aside = 0; /* for nobody else */
    xs_mem.limit = xs_mem.promised * XS_CHUNK + 2 * limits_guest.floor * XS_CHUNK;
    introduce(&many[20], 20);
    grab(&g16);
    WANT(&ctl, XS_INTRODUCE, 0,
         S("21\0"
           "1\0"
           "7"),
         "ENOMEM");
    OK(&many[20], XS_WATCH, 0, S("a\0b"));
    OK(&ctl, XS_RELEASE, 0, S("16"));
    introduce(&many[21], 21);
    client_drop_events(&many[20]);
}

/* --- accounts ----------------------------------------------------------------------------------------------------- */
TEST(test_accounts_of_the_gone)
{
    char p[64];
    for (unsigned g = 100; g < 400; g++) {
        introduce(&many[30], (uint16_t)g);
        home(g);
        int n = snprintf(p, sizeof p, "%u", g) + 1;
        assert_string_equal(said(&ctl, XS_RELEASE, 0, p, (uint32_t)n), "=OK");
    }
    assert_in_range(store.nr_usage, 3, 16);
    store_sound();
}

/* A block driver domain with all that it offers: 16 disks, all partitions of a disk with long labels and users; a net driver domain with 64 vifs. */
TEST(test_driver_quota, .setup_func = big_world, .teardown_func = big_world_down)
{
    char p[512];
    struct client *k = &many[3];
    for (unsigned i = 0; i < 16 * 33; i++) {
        int n = snprintf(p, sizeof p, "/local/domain/3/data/vbd/%u/51712/feature-max-indirect-%u",
                         100 + i / 33, i) +
                1;
        n += snprintf(p + n, 64, "/local/domain/%u/device/vbd/51712", 100 + i / 33);
        assert_string_equal(said(k, XS_WRITE, 0, p, (uint32_t)n), "=OK");
    }
    for (unsigned i = 0; i < 129; i++) {
        int n = snprintf(p, sizeof p, "data/volumes/%u", i) + 1;
        memset(p + n, 'l', 260);
        assert_string_equal(said(k, XS_WRITE, 0, p, (uint32_t)n + 260), "=OK");
    }
    k = &many[4];
    for (unsigned i = 0; i < 64 * 30; i++) {
        int n = snprintf(p, sizeof p, "/local/domain/4/data/vif/%u/%u/multi-queue-max-queues-%u",
                         100 + i / 480, i / 30 % 16, i) +
                1;
        n += snprintf(p + n, 64, "/local/domain/%u/device/vif/%u", 100 + i / 480, i / 30 % 16);
        assert_string_equal(said(k, XS_WRITE, 0, p, (uint32_t)n), "=OK");
    }
    assert_int_equal(nr_told, 0);
}

/* Its directories stay when it is restarted, and their rights with them: so it may give none, nor take any. */
TEST(test_driver_rights, .setup_func = big_world, .teardown_func = big_world_down)
{
    static const char *const lists[] = { "n3", "b3", "n3\0b16", "r3\0n16" };
    static const unsigned n[] = { 3, 3, 7, 7 }; /* bytes, with the end of the last */
    struct client *k = &many[3];
    char p[64] = "/local/domain/3/data/vif";

    OK(k, XS_WRITE, 0, D("/local/domain/3/data/vif\0v"));
    for (unsigned i = 0; i < 4; i++) {
        memcpy(p + 25, lists[i], n[i]);
        WANT(k, XS_SET_PERMS, 0, p, 25 + n[i], "EACCES");
    }
    OK(k, XS_WRITE, 0, D("/local/domain/3/data/vif\0w"));
}
