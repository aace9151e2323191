/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/xs_crash.c
// FLAGS: -O2 -lz -Wl,--wrap=malloc
/*
 * The store dies at every single store to its keep pages and to rings, and another instance goes on. A script of three clients is the model of
 * itself: what each is answered and told, and what is in the store at the end, must be what they are without a death. Only a
 * transaction that was open may have to be repeated.
 */
#include "unit.h"
#include "xs_crash.h"

static FILE *heard;

/* What everybody was told since. */
static void listen(void)
{
    struct client *all[] = { &ctl, &g16, &g17 };
    const char *token, *path;
    for (unsigned i = 0; i < 3; i++)
        while ((path = event(all[i], &token))[0] != '-')
            fprintf(heard, "%u: %s %s\n", all[i]->domid, path, token);
}

static const char *asks(struct client *k, uint32_t type, uint32_t tx, const void *p, uint32_t n)
{
    const char *a = said(k, type, tx, p, n);
    if (!tx)
        fprintf(heard, "%u %u %s\n", k->domid, type, a);
    return a;
}

/* Two paths in one transaction, until it succeeds. */
static void both(struct client *k, const char *p1, uint32_t n1, const char *p2, uint32_t n2)
{
    const char *end;
    unsigned tries = 0;
    do {
        uint32_t tx = tx_start(k);
        asks(k, XS_WRITE, tx, p1, n1);
        asks(k, XS_READ, tx, S("data"));
        asks(k, XS_WRITE, tx, p2, n2);
        end = said(k, XS_TRANSACTION_END, tx, S("T"));
        assert_true(++tries < 4);
    } while (!strcmp(end, "EAGAIN"));
    fprintf(heard, "%u both %s\n", k->domid, end);
}

/* Another processor: it asks for something as soon as its page says that it may. */
static void begins_at_once(void)
{
    static const char what[] = "data\0soon";
    const struct xsd_sockmsg ask = { .type = XS_WATCH, .req_id = 1, .len = sizeof what };
    struct xenstore_domain_interface *r = g17.ring;
    if (r->connection != XENSTORE_CONNECTED)
        return;
    at_store = NULL;
    assert_int_equal(r->req_prod, 0);
    memcpy(r->req, &ask, sizeof ask);
    memcpy(r->req + sizeof ask, what, sizeof what);
    r->req_prod = sizeof ask + sizeof what;
}

/* As the supervisor brings a domain back: its page is zeroed and marked, then it is introduced. */
static void rebuilt(struct client *k)
{
    memset(k->ring, 0, sizeof *k->ring);
    k->ring->connection = XENSTORE_RECONNECT;
    k->in_len = 0;
    at_store = begins_at_once;
    asks(&ctl, XS_INTRODUCE, 0,
         S("17\0"
           "1234\0"
           "9"));
    assert_null(at_store);
    k->got_reply = false;
    for (unsigned i = 0; i < 4; i++)
        take_in(k);
    assert_true(k->got_reply);
    assert_int_equal(k->reply.hdr.type, XS_WATCH);
}

/* More events than its queue takes: of those that were left out the last is told, by the watch's own path. */
static void flood(void)
{
    char token[600], p[64];
    memset(token, 't', sizeof token);
    memcpy(token, "data", 5);
    token[sizeof token - 1] = 0;
    asks(&g17, XS_WATCH, 0, token, sizeof token);
    for (unsigned i = 0; i < 56; i++) {
        int n = snprintf(p, sizeof p, "/local/domain/17/data/n%u", i) + 1;
        asks(&ctl, XS_MKDIR, 0, p, (uint32_t)n);
    }
    assert_true(conn_find(&store, 17)->nr_missed);
    listen();
    asks(&g17, XS_UNWATCH, 0, token, sizeof token);
}

/* An event for which there is no memory at the moment, and then there is. */
static void late(void)
{
    static long allocations; /* of that request, its event's the last */
    asks(&g17, XS_WATCH, 0, S("data/one\0w"));
    asks(&ctl, XS_WRITE, 0, D("/local/domain/17/data/one\0a"));
    listen();
    xs_mem.fail_in = 1000;
    asks(&ctl, XS_WRITE, 0, D("/local/domain/17/data/one\0b"));
    if (!deaths && countdown < 0)
        allocations = 1000 - xs_mem.fail_in;
    listen();
    asks(&g17, XS_READ, 0, S("data")); /* the journal knows that it has the event before */
    xs_mem.fail_in = allocations;
    asks(&ctl, XS_WRITE, 0, D("/local/domain/17/data/one\0c"));
    assert_true(deaths || conn_find(&store, 17)->nr_missed);
    xs_mem.fail_in = -1;
    listen();
    asks(&g17, XS_UNWATCH, 0, S("data/one\0w"));
}

static void script(void)
{
    char big[3000], many[64];
    struct client g18;
    asks(&ctl, XS_WATCH, 0, S("@introduceDomain\0in"));
    asks(&ctl, XS_WATCH, 0, S("/local/domain\0all"));
    asks(&g16, XS_WATCH, 0, S("data\0mine"));
    asks(&g16, XS_WATCH, 0, S("data\0mine"));
    asks(&g17, XS_WATCH, 0, S("/local/domain/16/data\0his"));
    listen();
    asks(&ctl, XS_SET_PERMS, 0, S("/local/domain/16/data\0n16\0b17"));
    listen();
    asks(&g16, XS_WRITE, 0, D("data/a\0first"));
    asks(&g17, XS_WRITE, 0, D("/local/domain/16/data/b/c\0second"));
    asks(&g17, XS_WRITE, 0, D("/nowhere\0third"));
    listen();
    both(&g16, D("data/x/y\0one"), D("data/x/z\0two"));
    listen();
    memset(big, 'v', sizeof big);
    memcpy(big, "data/big", 9);
    g16.piece = 700; /* a request that comes in pieces, a reply that does not fit the ring */
    asks(&g16, XS_WRITE, 0, big, sizeof big);
    g16.piece = XENSTORE_RING_SIZE;
    asks(&g16, XS_READ, 0, S("data/big"));
    asks(&g16, XS_DIRECTORY, 0, S("data"));
    listen();
    asks(&g17, XS_MKDIR, 0, S("data/list"));
    for (unsigned i = 0; i < 6; i++) {
        int n = snprintf(many, sizeof many, "data/list/node%u%cvalue", i, 0);
        asks(&g17, XS_WRITE, 0, many, (uint32_t)n);
    }
    asks(&g17, XS_WATCH, 0, S("data/list\0l"));
    asks(&g17, XS_RM, 0, S("data/list/node3"));
    asks(&g17, XS_UNWATCH, 0, S("data/list\0l"));
    asks(&g17, XS_RM, 0, S("data/list"));
    listen();
    introduce(&g18, 18);
    asks(&ctl, XS_SET_TARGET, 0,
         S("17\0"
           "18"));
    asks(&ctl, XS_MKDIR, 0, S("/shared"));
    asks(&ctl, XS_SET_PERMS, 0, S("/shared\0b0\0r18"));
    asks(&ctl, XS_SET_PERMS, 0, S("@releaseDomain\0n0\0r16"));
    asks(&g16, XS_WATCH, 0, S("@releaseDomain\0gone"));
    asks(&g18, XS_WRITE, 0, D("/shared/of18\0x"));
    listen();
    asks(&ctl, XS_RELEASE, 0, S("18"));
    listen();
    asks(&ctl, XS_WATCH, 0, S("@releaseDomain\0which\0001"));
    asks(&g16, XS_WATCH, 0, S("data\0near\0001"));
    introduce(&g18, 18);
    asks(&ctl, XS_RELEASE, 0, S("18"));
    asks(&g16, XS_WRITE, 0, D("data/near\0x"));
    asks(&g16, XS_WRITE, 0, D("data/near/not\0x"));
    listen();
    flood();
    late();
    reconnect(&g17);
    asks(&g17, XS_READ, 0, S("domid"));
    rebuilt(&g17);
    asks(&g17, XS_WATCH, 0, S("data\0again"));
    both(&g17, D("data/p\0one"), D("data/q\0two"));
    asks(&g16, XS_RESET_WATCHES, 0, S(""));
    asks(&g17, XS_WRITE, 0, D("/local/domain/16/data/b/c\0fourth"));
    listen();
    client_drop_events(&g18);
}

static long script_points;

static char *play(long at, long then, char **said_to_all)
{
    size_t len;
    keep_size = J_HEAD + 2 * 49152; /* what waits in the flood, and little more */
    world_up_with(1u << 20);
    heard = open_memstream(said_to_all, &len);
    points = 0;
    deaths = 0;
    countdown = at;
    then_countdown = then;
    script();
    script_points = points;
    countdown = -1;
    listen();
    fclose(heard);
    state_exact = false;
    char *state = state_text();
    state_exact = true;
    return state;
}

static void over(char *state, char *said_to_all)
{
    free(state);
    free(said_to_all);
    teardown(NULL);
    forget_memory();
}

static char *want_state, *want_said;
static long all_points;

static void die(long at, long then)
{
    char *told_all, *state = play(at, then, &told_all);
    if (!deaths)
        fail_msg("no death at %ld", at);
    char where[64];
    snprintf(where, sizeof where, "death at %ld, %ld", at, then);
    same_text(where, want_said, told_all);
    same_text(where, want_state, state);
    over(state, told_all);
}

int setup_all(void **state)
{
    want_state = play(-1, -1, &want_said);
    all_points = script_points;
    teardown(NULL);
    forget_memory();
    return 0;
}

int teardown_all(void **state)
{
    free(want_state);
    free(want_said);
    return 0;
}

TEST(test_every_store, .setup_func = no_world, .teardown_func = no_world)
{
    assert_true(all_points > 600);
    for (long at = 0; at < all_points; at++)
        die(at, -1);
}

/* Another one, while the second instance reads the journal, adopts rings and writes its first snapshot, or soon after. */
TEST(test_pairs, .setup_func = no_world, .teardown_func = no_world)
{
    for (long at = 3; at < all_points; at += 61)
        for (long then = 0; then < 240; then += 3)
            die(at, then);
}

/* A request of which every instance dies. */
static uint32_t poison_at;

static void poison(void)
{
    static uint64_t before;
    uint64_t serving = ((const uint64_t *)keep)[1];
    if (serving == before)
        return;
    before = serving;
    if ((uint16_t)serving == 16 && serving >> 32 == poison_at && (serving >> 16 & 0xffff) <= 3)
        longjmp(death, 1);
}

TEST(test_poison, .setup_func = no_world, .teardown_func = no_world)
{
    world_up_with(1u << 20);
    deaths = 0;
    OK(&g16, XS_WRITE, 0, D("data/x\0v"));
    poison_at = g16.c->req_cons;
    at_store = poison;
    WANT(&g16, XS_READ, 0, S("data/x"), "EIO");
    assert_int_equal(deaths, 3);
    assert_non_null(strstr(told, "domain 16 asks what three instances"));
    WANT(&g16, XS_READ, 0, S("data/x"), "=v");
    WANT(&g17, XS_READ, 0, S("data/x"), "ENOENT");
    assert_int_equal(deaths, 3);
    at_store = NULL;
    teardown(NULL);
    forget_memory();
}

/* The control domain died with a watch, an open transaction, an event that it had not read and half of a request; its next instance marks the ring.
 * Nothing of that is left, wherever the store dies meanwhile. */
static void control_reborn(long at)
{
    world_up_with(1u << 20);
    OK(&ctl, XS_WATCH, 0, S("/local/domain/16/data\0old"));
    uint32_t tx = tx_start(&ctl);
    OK(&ctl, XS_WRITE, tx, D("/local/domain/16/data/never\0v"));
    client_drop_events(&ctl);
    OK(&g16, XS_WRITE, 0, D("data/x\0v"));
    client_bytes(&ctl, "\2\0\0\0\0", 5);
    turns();
    memset(ctl.ring, 0, sizeof *ctl.ring);
    ctl.ring->connection = XENSTORE_RECONNECT;
    ctl.in_len = 0;
    deaths = 0;
    points = 0;
    countdown = at;
    turns();
    assert_int_equal(deaths, at >= 0 && points > at);
    assert_int_equal(ctl.ring->connection, XENSTORE_CONNECTED);
    countdown = -1;
    client_init(&ctl, 0);
    assert_true(!ctl.c->watches && !ctl.c->txs && !ctl.c->out && !ctl.c->hdr_got);
    OK(&g16, XS_WRITE, 0, D("data/x\0w"));
    NO_EVENT(&ctl);
    WANT(&ctl, XS_TRANSACTION_END, tx, S("T"), "ENOENT");
    WANT(&ctl, XS_READ, 0, S("/local/domain/16/data/x"), "=w");
    OK(&ctl, XS_WATCH, 0, S("/local/domain/16/data\0new"));
    EVENT(&ctl, "/local/domain/16/data", "new");
    NO_EVENT(&ctl);
    teardown(NULL);
    forget_memory();
}

TEST(test_control_domain_reborn, .setup_func = no_world, .teardown_func = no_world)
{
    control_reborn(-1);
    long all = points;
    assert_true(all > 10);
    for (long at = 0; at < all; at++)
        control_reborn(at);
}

/* What a transaction looked at is not known any more after a death: it goes on, but its end is refused, and what it wrote is nowhere. */
TEST(test_open_transaction, .setup_func = no_world, .teardown_func = no_world)
{
    world_up_with(1u << 20);
    deaths = 0;
    uint32_t tx = tx_start(&g16);
    OK(&g16, XS_WRITE, tx, D("data/open\0v"));
    countdown = 1;
    OK(&g17, XS_WRITE, 0, D("data/y\0v"));
    assert_int_equal(deaths, 1);
    OK(&g16, XS_WRITE, tx, D("data/too\0v"));
    WANT(&g16, XS_TRANSACTION_END, tx, S("T"), "EAGAIN");
    WANT(&g16, XS_READ, 0, S("data/open"), "ENOENT");
    tx = tx_start(&g16);
    OK(&g16, XS_WRITE, tx, D("data/open\0v"));
    OK(&g16, XS_TRANSACTION_END, tx, S("T"));
    WANT(&g16, XS_READ, 0, S("data/open"), "=v");
    teardown(NULL);
    forget_memory();
}

/* --- who kills ---------------------------------------------------------------------------------------------------- */
static uint16_t killer;
static unsigned nr_kills, most_kills;

/* Each instance dies at work on that client, whatever it asks. */
static void kill_at_work(void)
{
    struct jhead *h = (struct jhead *)keep;
    if (armed && conn_find(&store, killer) && h->whose == word_of(killer + 1u) &&
        nr_kills < most_kills) {
        nr_kills++;
        longjmp(death, 1);
    }
}

/* Its bytes are in the ring, and everybody has turns. */
static void puts_request(struct client *k, uint32_t type, const void *p, uint32_t n)
{
    const struct xsd_sockmsg h = { .type = type, .req_id = k->next_id++, .len = n };
    const char *b[] = { (const char *)&h, p };
    for (unsigned i = 0; i < sizeof h + n; i++)
        k->ring->req[MASK_XENSTORE_IDX(k->ring->req_prod++)] = i < sizeof h ? b[0][i]
                                                                            : b[1][i - sizeof h];
    conn_find(&store, k->domid)->kicked = true;
}

static void killer_world(unsigned kills)
{
    world_up_with(1u << 20);
    OK(&g16, XS_WATCH, 0, S("data\0mine"));
    EVENT(&g16, "data", "mine");
    deaths = nr_kills = nr_told = 0;
    most_kills = kills;
    killer = 16;
    life_ns = 1000000000;
    at_store = kill_at_work;
}

static void killer_gone(void)
{
    at_store = NULL;
    life_ns = 61000000000;
    teardown(NULL);
    forget_memory();
}

/* Two deaths, then nothing of its ring is touched, not by the next instances either; the others are served on. With another chance it goes on where it was, is
 * answered, and looks again at what it watches. */
TEST(test_put_aside, .setup_func = no_world, .teardown_func = no_world)
{
    killer_world(100);
    puts_request(&g16, XS_READ, S("domid"));
    turns();
    assert_int_equal(deaths, 2);
    assert_int_equal(nr_told, 1);
    assert_string_equal(told,
                        "domain 16 is put aside: twice within a minute the store died at work on it");
    struct xenstore_domain_interface before = *g16.ring;
    OK(&ctl, XS_WRITE, 0, D("/local/domain/16/data/x\0v"));
    OK(&g17, XS_WRITE, 0, D("data/x\0v"));
    WANT(&ctl, XS_CONTROL, 0, S("aside"), "=16");
    countdown = 3; /* somebody else's */
    WANT(&g17, XS_READ, 0, S("data/x"), "=v");
    assert_int_equal(deaths, 3);
    turns();
    assert_memory_equal(&before, g16.ring, sizeof before);
    most_kills = 0;
    WANT(&ctl, XS_CONTROL, 0, S("retry"), "EINVAL");
    WANT(&ctl, XS_CONTROL, 0,
         S("retry\0"
           "17"),
         "ENOENT");
    OK(&ctl, XS_CONTROL, 0,
       S("retry\0"
         "16"));
    WANT(&ctl, XS_CONTROL, 0, S("aside"), "=");
    g16.got_reply = false;
    turns();
    EVENT(&g16, "data", "mine");
    assert_true(g16.got_reply);
    assert_string_equal(g16.reply.data, "16");
    WANT(&g16, XS_READ, 0, S("data/x"), "=v");
    killer_gone();
}

/* A chance that it does not deserve costs as much; it takes it nowhere to begin anew, and only its end ends it. */
TEST(test_put_aside_again, .setup_func = no_world, .teardown_func = no_world)
{
    static const char again[] = "16\0001234\0007";
    killer_world(4);
    puts_request(&g16, XS_READ, S("domid"));
    turns();
    OK(&ctl, XS_CONTROL, 0,
       S("retry\0"
         "16"));
    turns();
    assert_int_equal(deaths, 4);
    WANT(&ctl, XS_CONTROL, 0, S("aside"), "=16");
    OK(&ctl, XS_INTRODUCE, 0, again, sizeof again);
    WANT(&ctl, XS_CONTROL, 0, S("aside"), "=16");
    OK(&ctl, XS_RELEASE, 0, S("16"));
    WANT(&ctl, XS_CONTROL, 0, S("aside"), "=");
    introduce(&g16, 16);
    home(16);
    WANT(&g16, XS_READ, 0, S("domid"), "=16");
    killer_gone();
}

/* Not who has more than a minute between two deaths, nor whose deaths were ordered, nor the control domain. */
TEST(test_not_put_aside, .setup_func = no_world, .teardown_func = no_world)
{
    for (unsigned how = 0; how < 3; how++) {
        killer_world(2);
        life_ns = how == 0 ? 61000000000 : 1000000000;
        by_order = how == 1;
        killer = how == 2 ? 0 : 16;
        WANT(how == 2 ? &ctl : &g16, XS_READ, 0, S("/local/domain/16/domid"), "=16");
        assert_int_equal(deaths, 2);
        assert_int_equal(nr_told, 0);
        WANT(&ctl, XS_CONTROL, 0, S("aside"), "=");
        by_order = false;
        killer_gone();
    }
}

/* Also whose ring kills who adopts it; and where the journal was given up meanwhile. */
TEST(test_adopting_kills, .setup_func = no_world, .teardown_func = no_world)
{
    killer_world(2);
    struct jhead *h = (struct jhead *)keep;
    for (unsigned i = 0; i < 2; i++) {
        h->whose = word_of(17); /* the last thing that it did */
        forget_memory();
        assert_int_equal(next_instance(), 0);
    }
    assert_int_equal(conn_find(&store, 16)->aside, ASIDE);
    assert_int_equal(conn_find(&store, 17)->aside, SERVED);
    h->half = 0;
    forget_memory();
    assert_int_equal(next_instance(), -1);
    struct conn *c = conn_new(&store, 0, &limits_ctl);
    c->ring = memset(pages[0], 0, sizeof *pages[0]);
    xs_snapshot(&store);
    client_init(&ctl, 0);
    introduce(&g16, 16);
    introduce(&g17, 17);
    WANT(&ctl, XS_CONTROL, 0, S("aside"), "=16");
    killer_gone();
}
