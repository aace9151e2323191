/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/xs_harness.c
// FLAGS: -lz
/* A domid that is used again: what was left for the old guest gives the new one nothing. */
#include "unit.h"
#include "xs_harness.h"

static int names(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    uint16_t id = *(uint16_t *)arg;
    return n->perms->p[0].domid == id || permset_names(n->perms, id);
}

/* Nothing in the store names it. */
static void assert_unnamed(uint16_t id)
{
    assert_int_equal(tree_visit(store.root, NULL, "/", names, &id), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_false(store.special[i]->p[0].domid == id || permset_names(store.special[i], id));
    assert_null(conn_find(&store, id));
    assert_null(xs_usage(&store, id, false));
    for (struct conn *c = store.conns; c; c = c->next) {
        assert_int_not_equal(c->target, id);
        for (struct tx *t = c->txs; t; t = t->next)
            for (struct change *ch = t->log; ch; ch = ch->next)
                assert_false(ch->perms &&
                             (ch->perms->p[0].domid == id || permset_names(ch->perms, id)));
    }
    store_sound();
}

static void perms_are(struct client *k, const char *path, const char *want, uint32_t len)
{
    assert_int_equal(ask(k, XS_GET_PERMS, 0, path, (uint32_t)strlen(path) + 1)->hdr.len, len);
    assert_memory_equal(k->reply.data, want, len);
}

#define SECRET "/local/domain/17/data/secret"

TEST(test_leftover_gives_nothing)
{
    OK(&ctl, XS_WRITE, 0, D("/open\0x"));
    OK(&ctl, XS_SET_PERMS, 0, S("/open\0n0\0b16\0r17\0w16"));
    OK(&ctl, XS_SET_PERMS, 0, S("@releaseDomain\0n0\0r16\0r17"));
    OK(&g17, XS_SET_PERMS, 0, S("data\0n17\0r16"));
    OK(&g17, XS_WRITE, 0, D("data/secret/of/them\0x")); /* one list for all of these */
    OK(&ctl, XS_WRITE, 0, D(SECRET "/of/all\0x"));
    WANT(&g16, XS_READ, 0, S(SECRET "/of/them"), "=x");
    uint64_t gen = tree_find(store.root, "/open")->gen;
    OK(&ctl, XS_RELEASE, 0, S("16"));
    assert_unnamed(16);
    assert_true(tree_find(store.root, "/open")->gen == gen); /* nobody who is there saw a change */
    perms_are(&ctl, "/open", "n0\0r17", 7);
    perms_are(&g17, SECRET "/of/them", "n17", 4);

    introduce(&g16, 16);
    WANT(&g16, XS_READ, 0, S("/open"), "EACCES");
    WANT(&g16, XS_WRITE, 0, D("/open\0y"), "EACCES");
    WANT(&g16, XS_READ, 0, S(SECRET "/of/them"), "EACCES");
    WANT(&g16, XS_READ, 0, S(SECRET "/of/all"), "EACCES");
    WANT(&g16, XS_GET_PERMS, 0, S("@releaseDomain"), "EACCES");
    WANT(&g17, XS_READ, 0, S("/open"), "=x");
    WANT(&g17, XS_GET_PERMS, 0, S("@releaseDomain"), "=n0");
    OK(&g17, XS_WRITE, 0, D("data/secret\0z")); /* what is copied later is as what it was copied from */
    OK(&g17, XS_RM, 0, S("data/secret"));
    store_sound();
}

TEST(test_open_transactions)
{
    OK(&g17, XS_WRITE, 0, D("data/a\0x"));
    uint32_t tx = tx_start(&g17), own = tx_start(&ctl);
    OK(&g17, XS_SET_PERMS, tx, S("data/a\0n17\0b16"));
    OK(&g17, XS_SET_PERMS, tx, S("data\0n17\0r16"));
    OK(&g17, XS_WRITE, tx, D("data/new\0x"));
    OK(&ctl, XS_WRITE, own, D("/made\0x"));
    OK(&ctl, XS_SET_PERMS, own, S("/made\0n16\0r16"));
    OK(&ctl, XS_RELEASE, 0, S("16"));
    assert_unnamed(16);
    OK(&g17, XS_TRANSACTION_END, tx, S("T"));
    OK(&ctl, XS_TRANSACTION_END, own, S("T"));
    assert_unnamed(16);
    introduce(&g16, 16);
    WANT(&g16, XS_READ, 0, S("/local/domain/17/data/a"), "EACCES");
    WANT(&g16, XS_READ, 0, S("/local/domain/17/data/new"), "EACCES");
    WANT(&g16, XS_READ, 0, S("/made"), "EACCES");
}

/* Who has not noticed that it is gone still names the old one. */
TEST(test_named_afterwards)
{
    OK(&ctl, XS_RELEASE, 0, S("16"));
    uint32_t tx = tx_start(&g17);
    OK(&g17, XS_SET_PERMS, 0, S("data\0n17\0r16\0r3\0w16"));
    perms_are(&g17, "data", "n17\0r3", 7);
    OK(&g17, XS_SET_PERMS, tx, S("data\0n17\0r16"));
    OK(&g17, XS_WRITE, tx, D("data/new\0x"));
    OK(&g17, XS_TRANSACTION_END, tx, S("T"));
    assert_unnamed(16);
    home(16); /* a new one: from here on they mean that */
    OK(&g17, XS_SET_PERMS, 0, S("data\0n17\0r16"));
    introduce(&g16, 16);
    WANT(&g16, XS_READ, 0, S("/local/domain/17/data"), "=");
}

TEST(test_never_introduced)
{
    home(18);
    OK(&g17, XS_SET_PERMS, 0, S("data\0n17\0r18"));
    OK(&ctl, XS_WATCH, 0, S("@releaseDomain\0t"));
    EVENT(&ctl, "@releaseDomain", "t");
    OK(&ctl, XS_RELEASE, 0, S("18"));
    NO_EVENT(&ctl);
    assert_unnamed(18);
    WANT(&ctl, XS_READ, 0, S("/local/domain/18/data"), "ENOENT");
}

TEST(test_root_stays)
{
    OK(&ctl, XS_SET_PERMS, 0, S("/\0r16\0b17"));
    OK(&ctl, XS_RELEASE, 0, S("16"));
    assert_unnamed(16);
    perms_are(&ctl, "/", "r0\0b17", 7);
    OK(&g17, XS_WRITE, 0, D("/mine\0x"));
    WANT(&ctl, XS_READ, 0, S("/local/domain/17/data"), "=");
}

/* The next instance of a service domain has what this one had. */
TEST(test_service_domains_keep_names)
{
    struct client blk;
    introduce(&blk, 3);
    OK(&g17, XS_SET_PERMS, 0, S("data\0n17\0r3"));
    OK(&ctl, XS_RELEASE, 0, S("3"));
    perms_are(&g17, "data", "n17\0r3", 7);
    WANT(&ctl, XS_RELEASE, 0, S("3"), "ENOENT");
}

/* A guest that lets another into all its nodes makes that one's end no longer than two visits of all nodes, and needs no memory for it. */
TEST(test_bounded)
{
    char p[64];
    uint16_t nobody = 0x7fff;
    OK(&g17, XS_SET_PERMS, 0, S("data\0n17\0r16"));
    for (unsigned i = 0; i < 500; i++) {
        int n = snprintf(p, sizeof p, "data/%u/%u", i % 25, i) + 1;
        assert_string_equal(said(&g17, XS_MKDIR, 0, p, (uint32_t)n), "=OK");
    }
    OK(&ctl, XS_RM, 0, S("/local/domain/16"));
    uint64_t one = tree_work;
    tree_visit(store.root, NULL, "/", names, &nobody);
    one = tree_work - one;
    size_t used = xs_mem.used;
    uint64_t release = tree_work;
    OK(&ctl, XS_RELEASE, 0, S("16"));
    release = tree_work - release;
    assert_true(release <= 2 * one + 20);
    assert_true(xs_mem.used <= used);
    assert_unnamed(16);
}
