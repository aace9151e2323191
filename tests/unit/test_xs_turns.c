/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/xs_harness.c
// FLAGS: -lz
/* Turns: whatever one client asks for, the others wait for a bounded amount of work. Nothing here takes a time: work is counted. */
#include "unit.h"
#include "xs_harness.h"

/* Puts a request into the ring if it has room for it; nobody is served. */
static bool send(struct client *k, uint32_t type, uint32_t tx, const void *p, uint32_t len)
{
    struct xsd_sockmsg h = { .type = type, .req_id = 1, .tx_id = tx, .len = len };
    if (XENSTORE_RING_SIZE - (k->ring->req_prod - k->ring->req_cons) < sizeof h + len)
        return false;
    for (unsigned i = 0; i < sizeof h + len; i++)
        k->ring->req[MASK_XENSTORE_IDX(k->ring->req_prod++)] = i < sizeof h
                                                                   ? ((char *)&h)[i]
                                                                   : ((const char *)p)[i - sizeof h];
    k->c->kicked = true;
    return true;
}

static void unread(struct client *k) { k->ring->rsp_cons = k->ring->rsp_prod; }

/* One round with requests of the flooder in its ring, and one of g17: how many of the flooder's were served. */
static unsigned flood_round(uint32_t type, const void *p, uint32_t len)
{
    while (send(&g16, type, 0, p, len))
        ;
    assert_true(send(&g17, XS_READ, 0, S("domid")));
    uint32_t asked = g17.ring->req_prod;
    uint64_t before = store.nr_requests;
    xs_turns(&store);
    assert_int_equal(g17.ring->req_cons, asked); /* it waits for no round */
    assert_true(g17.ring->rsp_prod != g17.ring->rsp_cons);
    unread(&g16);
    unread(&g17);
    return (unsigned)(store.nr_requests - before - 1);
}

TEST(test_small_requests)
{
    for (unsigned i = 0; i < 50; i++)
        assert_in_range(flood_round(XS_READ, S("domid")), 10, TURN_BUDGET / REQUEST_CHARGE + 1);
}

/* A list of 600 names is one request of 26 bytes. */
TEST(test_listings)
{
    char p[64];
    unsigned served = 0;
    for (unsigned i = 0; i < 600; i++) {
        int n = snprintf(p, sizeof p, "data/%c%c", 'a' + i % 26, 'a' + i / 26) + 1;
        assert_string_equal(said(&g16, XS_MKDIR, 0, p, (uint32_t)n), "=OK");
    }
    g16.c->credit = 0;
    uint64_t work = tree_work;
    for (unsigned i = 0; i < 50; i++)
        served += flood_round(XS_DIRECTORY, S("data"));
    work = tree_work - work;
    assert_in_range(served, 25, 100);
    assert_true(work * WORK_CHARGE <= 52 * TURN_BUDGET);
}

/* The end of a transaction of hundreds of changes is not cut in pieces; it is paid for in the turns after it. */
TEST(test_commits)
{
    char p[64];
    for (unsigned i = 0; i < 600; i++) {
        int n = snprintf(p, sizeof p, "data/%c%c", 'a' + i % 26, 'a' + i / 26) + 1;
        assert_string_equal(said(&g16, XS_MKDIR, 0, p, (uint32_t)n), "=OK");
    }
    uint32_t tx = tx_start(&g16);
    for (unsigned i = 0; i < 400; i++) {
        int n = snprintf(p, sizeof p, "data/%c%c", 'a' + i % 26, 'a' + i / 26) + 1;
        assert_string_equal(said(&g16, XS_WRITE, tx, p, (uint32_t)n), "=OK");
    }
    g16.c->credit = 0;
    uint64_t work = tree_work;
    assert_true(send(&g16, XS_TRANSACTION_END, tx, S("T")));
    xs_turns(&store);
    unread(&g16);
    uint64_t owed = (uint64_t)-g16.c->credit + TURN_BUDGET, rounds = owed / TURN_BUDGET;
    assert_true(owed > (tree_work - work) * WORK_CHARGE && rounds > 4);
    for (uint64_t i = 1; i < rounds; i++)
        assert_int_equal(flood_round(XS_READ, S("domid")), 0);
    unsigned after = flood_round(XS_READ, S("domid")) + flood_round(XS_READ, S("domid"));
    assert_true(after > 0); /* and then it is as everybody */
}

static uint32_t dripped;

/* Another processor of the guest's: a byte whenever the store has taken the one before. */
void xs_stored(void)
{
    if (dripped < 16 || g16.ring->req_cons != g16.ring->req_prod)
        return;
    g16.ring->req[MASK_XENSTORE_IDX(g16.ring->req_prod++)] = 0;
    dripped++;
}

/* Each is a record. */
TEST(test_single_bytes)
{
    const struct xsd_sockmsg h = { .type = XS_WRITE, .req_id = 1, .len = XENSTORE_PAYLOAD_MAX };
    uint32_t before = g16.ring->req_prod;
    for (unsigned i = 0; i < sizeof h; i++)
        g16.ring->req[MASK_XENSTORE_IDX(g16.ring->req_prod++)] = ((const char *)&h)[i];
    dripped = sizeof h;
    uint64_t cost = journal_cost();
    g16.c->kicked = true;
    xs_turns(&store);
    assert_in_range(g16.ring->req_cons - before, 50, TURN_BUDGET / sizeof(struct jentry));
    assert_in_range(journal_cost() - cost, TURN_BUDGET / 2, 2 * TURN_BUDGET);
    dripped = 0;
}

/* Events for which there is no memory, of a client that has many turns: looking whether there is some now is no news. */
TEST(test_missed_events)
{
    char p[32];
    void *crumbs[4096];
    unsigned n = 0;
    for (unsigned i = 0; i < QUOTA_WATCHES; i++) {
        int len = snprintf(p, sizeof p, "data%ct%u", 0, i) + 1;
        assert_string_equal(said(&g16, XS_WATCH, 0, p, (uint32_t)len), "=OK");
    }
    take_in(&g16);
    client_drop_events(&g16);
    g16.c->heap->max = 0;
    while (n < 4096 && (crumbs[n] = xs_alloc(g16.c->heap, 1)))
        n++;
    OK(&ctl, XS_WRITE, 0, D("/local/domain/16/data/x\0v"));
    for (unsigned i = 0; i < 50; i++) { /* until the ring is full, too: it reads nothing */
        g16.c->kicked = true;
        xs_turns(&store);
    }
    unsigned missed = g16.c->nr_missed;
    assert_true(missed > 80);
    uint64_t cost = journal_cost(), work = tree_work;
    for (unsigned i = 0; i < 50; i++) {
        g16.c->kicked = true;
        xs_turns(&store);
    }
    assert_int_equal(g16.c->nr_missed, missed);
    assert_int_equal(journal_cost(), cost);
    assert_true(tree_work - work >= 50 * missed); /* and it is its own work */
    while (n)
        xs_free(crumbs[--n]);
    for (unsigned i = 0; i < 16; i++)
        take_in(&g16);
    assert_int_equal(g16.c->nr_missed, 0);
}

/* Watches of others are no work for who writes somewhere else, nor if they lie on his way and see nothing. */
TEST(test_watches_of_others)
{
    char p[64];
    uint64_t work = tree_work;
    OK(&g17, XS_WRITE, 0, D("device/x\0v"));
    work = tree_work;
    OK(&g17, XS_WRITE, 0, D("device/x\0v"));
    uint64_t alone = tree_work - work;
    for (unsigned i = 0; i < QUOTA_WATCHES; i++) {
        int n = snprintf(p, sizeof p, "%s%ct%u", i % 2 ? "data/1" : "/local/domain", 0, i) + 1;
        assert_string_equal(said(&g16, XS_WATCH, 0, p, (uint32_t)n), "=OK");
        client_drop_events(&g16);
    }
    work = tree_work;
    OK(&g17, XS_WRITE, 0, D("device/x\0v"));
    assert_int_equal(tree_work - work, alone);
}

static unsigned ctl_done;
static void ctl_goes_on(struct conn *c)
{
    if (c != ctl.c)
        return;
    ctl_done++;
    unread(&ctl);
    send(&ctl, XS_READ, 0, S("/local/domain/16/domid"));
}

/* The control domain asks one thing after another: it does not wait a round for each. */
TEST(test_control_domain_first)
{
    static struct client many[20];
    for (unsigned i = 0; i < 20; i++) {
        introduce(&many[i], (uint16_t)(30 + i));
        while (send(&many[i], XS_READ, 0, S("nothing")))
            ;
    }
    on_notify = ctl_goes_on;
    ctl_done = 0;
    send(&ctl, XS_READ, 0, S("/local/domain/16/domid"));
    xs_turns(&store);
    assert_in_range(ctl_done, 20, 100);
    on_notify = NULL;
    xs_turns(&store);
    unread(&ctl);
}

/* A client that breaks the protocol has no turns any more, and the administrator reads of it once. */
TEST(test_broken_client)
{
    g16.ring->req_prod = g16.ring->req_cons + XENSTORE_RING_SIZE + 1;
    for (unsigned i = 0; i < 5; i++) {
        g16.c->kicked = true;
        assert_false(xs_turns(&store));
    }
    assert_int_equal(nr_told, 1);
    assert_string_equal(
        told,
        "domain 16 is ignored until its connection begins anew: its ring indices make no sense");
}

/* Bytes come without a notification: the client had looked at our index before it moved. A client that asks nothing more is left alone. */
TEST(test_no_notification)
{
    struct xsd_sockmsg h = { .type = XS_READ, .req_id = 1, .len = 6 };
    for (unsigned i = 0; i < sizeof h; i++)
        g16.ring->req[MASK_XENSTORE_IDX(g16.ring->req_prod++)] = ((char *)&h)[i];
    g16.c->kicked = true;
    assert_false(xs_turns(&store));
    assert_int_equal(g16.ring->req_cons, g16.ring->req_prod);
    assert_true(store.doubt);
    for (unsigned i = 0; i < h.len; i++)
        g16.ring->req[MASK_XENSTORE_IDX(g16.ring->req_prod++)] = "domid"[i];
    assert_false(xs_turns(&store));
    xs_look_again(&store); /* that was for others: its bytes may still be under way */
    assert_false(xs_turns(&store));
    assert_true(g16.ring->req_cons != g16.ring->req_prod); /* nobody has told us */
    xs_look_later(&store);
    assert_false(store.doubt);
    xs_look_again(&store);
    assert_false(xs_turns(&store));
    assert_int_equal(g16.ring->req_cons, g16.ring->req_prod);
    assert_true(g16.ring->rsp_prod != g16.ring->rsp_cons);
    assert_true(store.doubt);
    xs_look_later(&store);
    xs_look_again(&store);
    assert_false(xs_turns(&store));
    assert_false(store.doubt); /* nothing came: no third look */
}

/* Breaking its ring and beginning anew, for ever, is work like any other; the administrator hears of it once. */
TEST(test_begins_anew)
{
    char p[32];
    unsigned begun = 0;
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < QUOTA_WATCHES; i++) {
            int n = snprintf(p, sizeof p, "data%c%u", 0, i) + 1;
            assert_string_equal(said(&g16, XS_WATCH, 0, p, (uint32_t)n), "=OK");
        }
        g16.c->credit = 0;
        g16.ring->req_prod += 2 * XENSTORE_RING_SIZE;
        for (unsigned i = 0; i < 40; i++) {
            g16.c->kicked = true;
            xs_turns(&store);
            if (i == 20)
                assert_int_equal(g16.c->bad, CONN_BAD_INDEX);
            if (i >= 20) {
                begun += g16.ring->connection == XENSTORE_CONNECTED && i > 20;
                g16.ring->connection = XENSTORE_RECONNECT;
            }
        }
        g16.in_len = 0;
        client_drop_events(&g16);
        reconnect(&g16);
    }
    assert_int_equal(begun, 40 * 19); /* each is little */
    assert_int_equal(nr_told, 1);
    int32_t before = g16.c->credit = 0;
    for (unsigned i = 0; i < QUOTA_WATCHES; i++) {
        int n = snprintf(p, sizeof p, "data%c%u", 0, i) + 1;
        assert_string_equal(said(&g16, XS_WATCH, 0, p, (uint32_t)n), "=OK");
    }
    g16.ring->connection = XENSTORE_RECONNECT;
    g16.c->kicked = true;
    xs_turns(&store);
    assert_true(before + TURN_BUDGET - g16.c->credit >= REQUEST_CHARGE + WORK_CHARGE * QUOTA_WATCHES);
    client_drop_events(&g16);
    g16.in_len = 0;
}
