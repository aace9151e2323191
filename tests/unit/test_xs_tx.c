/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/xs_harness.c
// FLAGS: -lz
/* The store's watches and transactions, its limits, and how it lives with little memory. */
#include "unit.h"
#include <time.h>
#include "xs_harness.h"

/* --- watches ------------------------------------------------------------------------------------------------------ */
TEST(test_watch)
{
    OK(&ctl, XS_WATCH, 0, S("/w\0tok"));
    EVENT(&ctl, "/w", "tok"); /* once up front, whether the node exists or not */
    NO_EVENT(&ctl);
    WANT(&ctl, XS_WATCH, 0, S("/w\0tok"), "EEXIST");
    OK(&ctl, XS_WATCH, 0, S("/w\0tok2"));
    EVENT(&ctl, "/w", "tok2");
    OK(&ctl, XS_WRITE, 0,
       D("/w/a/b\0v")); /* one event: of the node named, not of those made on the way */
    EVENT(&ctl, "/w/a/b", "tok");
    EVENT(&ctl, "/w/a/b", "tok2");
    NO_EVENT(&ctl);
    OK(&ctl, XS_UNWATCH, 0, S("/w\0tok"));
    WANT(&ctl, XS_UNWATCH, 0, S("/w\0tok"), "ENOENT");
    OK(&ctl, XS_MKDIR, 0, S("/w/c"));
    EVENT(&ctl, "/w/c", "tok2");
    OK(&ctl, XS_MKDIR, 0, S("/w/c"));   /* nothing changed */
    OK(&ctl, XS_WRITE, 0, D("/ww\0v")); /* not below */
    NO_EVENT(&ctl);
    OK(&ctl, XS_SET_PERMS, 0, S("/w/c\0n0\0r5"));
    EVENT(&ctl, "/w/c", "tok2");
    OK(&ctl, XS_WRITE, 0, D("/w\0same")); /* also when the data stays the same */
    EVENT(&ctl, "/w", "tok2");
    OK(&ctl, XS_WRITE, 0, D("/w\0same"));
    EVENT(&ctl, "/w", "tok2");
    OK(&ctl, XS_RM, 0, S("/w/none"));
    NO_EVENT(&ctl);
}

/* Several of two clients on one path, dropped in any order. */
TEST(test_watch_same_path)
{
    OK(&ctl, XS_SET_PERMS, 0, S("/local/domain/16/data\0n16\0r17"));
    OK(&g16, XS_WATCH, 0, S("/local/domain/16/data\0a"));
    OK(&g17, XS_WATCH, 0, S("/local/domain/16/data\0a"));
    OK(&g16, XS_WATCH, 0, S("/local/domain/16/data\0b"));
    OK(&g16, XS_WATCH, 0, S("/local/domain/16/data\0c"));
    client_drop_events(&g16);
    client_drop_events(&g17);
    OK(&g16, XS_UNWATCH, 0, S("/local/domain/16/data\0a")); /* the first */
    OK(&ctl, XS_WRITE, 0, D("/local/domain/16/data\0v"));
    EVENT(&g16, "/local/domain/16/data", "b");
    EVENT(&g16, "/local/domain/16/data", "c");
    NO_EVENT(&g16);
    EVENT(&g17, "/local/domain/16/data", "a");
    OK(&g16, XS_WATCH, 0, S("/local/domain/16/data\0d"));
    OK(&g16, XS_UNWATCH, 0, S("/local/domain/16/data\0c")); /* one in between */
    client_drop_events(&g16);
    OK(&ctl, XS_WRITE, 0, D("/local/domain/16/data/x\0v"));
    EVENT(&g16, "/local/domain/16/data/x", "b");
    EVENT(&g16, "/local/domain/16/data/x", "d");
    NO_EVENT(&g16);
    EVENT(&g17, "/local/domain/16/data/x", "a");
    OK(&g17, XS_RESET_WATCHES, 0, S(""));
    OK(&g16, XS_RESET_WATCHES, 0, S(""));
    OK(&ctl, XS_WRITE, 0, D("/local/domain/16/data\0v"));
    NO_EVENT(&g16);
    NO_EVENT(&g17);
    OK(&g17, XS_WATCH, 0, S("/local/domain/16/data\0a"));
    EVENT(&g17, "/local/domain/16/data", "a");
    OK(&ctl, XS_WRITE, 0, D("/local/domain/16/data\0v"));
    EVENT(&g17, "/local/domain/16/data", "a");
}

TEST(test_watch_relative)
{
    OK(&g16, XS_WATCH, 0, S("device\0rel"));
    EVENT(&g16, "device", "rel");
    OK(&g16, XS_WATCH, 0, S("/local/domain/16/device\0abs"));
    EVENT(&g16, "/local/domain/16/device", "abs");
    OK(&ctl, XS_WRITE, 0,
       D("/local/domain/16/device/vif/0/state\0"
         "1"));
    EVENT(&g16, "device/vif/0/state", "rel");
    EVENT(&g16, "/local/domain/16/device/vif/0/state", "abs");
    OK(&g16, XS_UNWATCH, 0, S("/local/domain/16/device\0rel")); /* the same node by another name */
    WANT(&g16, XS_WATCH, 0, S("device\0abs"), "EEXIST");
    WANT(&g16, XS_WATCH, 0, S("\0x"), "EINVAL");
}

TEST(test_watch_removal)
{
    OK(&ctl, XS_WRITE, 0, D("/r/a/b/c\0v"));
    OK(&ctl, XS_WATCH, 0, S("/r\0top"));
    OK(&ctl, XS_WATCH, 0, S("/r/a/b\0mid"));
    OK(&ctl, XS_WATCH, 0, S("/r/a/b/c\0leaf"));
    OK(&ctl, XS_WATCH, 0, S("/r/a/b/x\0other"));
    EVENT(&ctl, "/r", "top");
    EVENT(&ctl, "/r/a/b", "mid");
    EVENT(&ctl, "/r/a/b/c", "leaf");
    EVENT(&ctl, "/r/a/b/x", "other");
    OK(&ctl, XS_RM, 0, S("/r/a"));
    EVENT(&ctl, "/r/a/b/c", "leaf"); /* what went along: to watches on exactly that */
    EVENT(&ctl, "/r/a/b", "mid");
    EVENT(&ctl, "/r/a", "top"); /* what was named: to watches on or above it */
    NO_EVENT(&ctl);
}

TEST(test_watch_rights)
{
    OK(&ctl, XS_WRITE, 0, D("/q/secret/x\0v"));
    OK(&g16, XS_WATCH, 0, S("/q\0t"));
    EVENT(&g16, "/q", "t"); /* the first one tells nothing */
    OK(&ctl, XS_WRITE, 0, D("/q/secret/x\0w"));
    NO_EVENT(&g16);
    OK(&ctl, XS_SET_PERMS, 0, S("/q/secret/x\0n0\0r16"));
    EVENT(&g16, "/q/secret/x", "t");
    OK(&ctl, XS_SET_PERMS, 0, S("/q/secret/x\0n0")); /* it could read until now, so it hears of it */
    EVENT(&g16, "/q/secret/x", "t");
    OK(&ctl, XS_WRITE, 0, D("/q/secret/x\0w"));
    NO_EVENT(&g16);
    OK(&ctl, XS_SET_PERMS, 0, S("/q/secret\0n0\0r16"));
    EVENT(&g16, "/q/secret", "t");
    OK(&ctl, XS_RM, 0, S("/q/secret/x")); /* a readable parent is enough: its list shows it anyway */
    EVENT(&g16, "/q/secret/x", "t");
    OK(&ctl, XS_RM, 0, S("/q/secret"));
    EVENT(&g16, "/q/secret", "t");
    NO_EVENT(&g16);
}

TEST(test_watch_special)
{
    struct client g20;
    OK(&ctl, XS_WATCH, 0, S("@introduceDomain\0i"));
    OK(&ctl, XS_WATCH, 0, S("@releaseDomain\0r"));
    WANT(&ctl, XS_WATCH, 0, S("@other\0r"), "EINVAL");
    EVENT(&ctl, "@introduceDomain", "i");
    EVENT(&ctl, "@releaseDomain", "r");
    OK(&g16, XS_WATCH, 0, S("@releaseDomain\0r"));
    OK(&g17, XS_WATCH, 0, S("@releaseDomain\0r"));
    EVENT(&g16, "@releaseDomain", "r");
    EVENT(&g17, "@releaseDomain", "r");
    OK(&ctl, XS_SET_PERMS, 0, S("@releaseDomain\0n0\0r17"));
    ask(&ctl, XS_GET_PERMS, 0, S("@releaseDomain"));
    assert_memory_equal(ctl.reply.data, "n0\0r17", 7);
    introduce(&g20, 20);
    EVENT(&ctl, "@introduceDomain", "i");
    introduce(&g20, 20); /* again: rebuilt in place, nobody is told */
    NO_EVENT(&ctl);
    OK(&ctl, XS_RELEASE, 0, S("20"));
    EVENT(&ctl, "@releaseDomain", "r");
    EVENT(&g17, "@releaseDomain", "r");
    NO_EVENT(&g16);
}

TEST(test_watch_depth)
{
    static const struct {
        const char *path;
        int below; /* levels */
    } made[] = { { "/w", 0 }, { "/w/a", 1 }, { "/w/a/b", 2 }, { "/w/a/b/c", 3 } };
    static const char depth[] = "0123";
    for (unsigned i = 0; i < 4; i++) {
        const char watch[] = { '/', 'w', 0, 't', depth[i], 0, depth[i], 0 };
        assert_string_equal(said(&ctl, XS_WATCH, 0, watch, sizeof watch), "=OK");
    }
    WANT(&ctl, XS_WATCH, 0, S("/w\0t1\0007"), "EEXIST"); /* path and token are its name */
    OK(&ctl, XS_WATCH, 0, S("/w\0all\0")); /* empty, as clients send it that know nothing of it */
    OK(&ctl, XS_WATCH, 0, S("/w\0far\00099999999"));
    WANT(&ctl, XS_WATCH, 0, S("/w\0bad\0x"), "EINVAL");
    WANT(&ctl, XS_WATCH, 0, S("/w\0bad\0-1"), "EINVAL");
    client_drop_events(&ctl);
    take_in(&ctl);
    client_drop_events(&ctl);
    for (unsigned round = 0; round < 2; round++) /* made, and removed one by one */
        for (unsigned k = 0; k < 4; k++) {
            unsigned i = round ? 3 - k : k;
            OK(&ctl, round ? XS_RM : XS_WRITE, 0, made[i].path, (uint32_t)strlen(made[i].path) + 1);
            for (int d = made[i].below; d < 4; d++) {
                const char token[] = { 't', depth[d], 0 };
                EVENT(&ctl, made[i].path, token);
            }
            EVENT(&ctl, made[i].path, "all");
            EVENT(&ctl, made[i].path, "far");
        }
    NO_EVENT(&ctl);
    OK(&ctl, XS_WATCH, 0, S("/\0root\0001"));
    EVENT(&ctl, "/", "root");
    OK(&ctl, XS_MKDIR, 0, S("/x"));
    EVENT(&ctl, "/x", "root");
    OK(&ctl, XS_MKDIR, 0, S("/x/y"));
    NO_EVENT(&ctl);
    OK(&g16, XS_WATCH, 0, S("device\0rel\0001")); /* relative, and gone together with what is above it */
    EVENT(&g16, "device", "rel");
    OK(&ctl, XS_WRITE, 0, D("/local/domain/16/device/vif/0\0v"));
    OK(&ctl, XS_RM, 0, S("/local/domain/16/device/vif"));
    EVENT(&g16, "device/vif", "rel");
    OK(&ctl, XS_RM, 0, S("/local/domain/16/device"));
    EVENT(&g16, "device", "rel");
    NO_EVENT(&g16);
}

/* Special names: which domain it was, or only a certain one. */
TEST(test_watch_special_depth)
{
    struct client g20;
    WANT(&ctl, XS_WATCH, 0, S("@introduceDomain\0i\0002"), "EINVAL");
    WANT(&ctl, XS_WATCH, 0, S("@introduceDomain\0i\0000"), "EINVAL");
    WANT(&ctl, XS_WATCH, 0, S("@introduceDomain/20\0i"), "EINVAL");
    WANT(&ctl, XS_WATCH, 0, S("@releaseDomain/\0r"), "EINVAL");
    WANT(&ctl, XS_WATCH, 0, S("@releaseDomain/x\0r"), "EINVAL");
    WANT(&ctl, XS_WATCH, 0, S("@releaseDomain/020\0r"), "EINVAL");
    WANT(&ctl, XS_WATCH, 0, S("@releaseDomain/65536\0r"), "EINVAL");
    WANT(&ctl, XS_SET_PERMS, 0, S("@releaseDomain/20\0n0"), "EINVAL");
    OK(&ctl, XS_WATCH, 0, S("@introduceDomain\0i"));
    OK(&ctl, XS_WATCH, 0, S("@introduceDomain\0id\0001"));
    OK(&ctl, XS_WATCH, 0, S("@releaseDomain\0rd\0001"));
    OK(&ctl, XS_WATCH, 0,
       S("@releaseDomain/20\0"
         "20"));
    OK(&ctl, XS_WATCH, 0,
       S("@releaseDomain/21\0"
         "21"));
    OK(&g16, XS_WATCH, 0,
       S("@releaseDomain/20\0"
         "20")); /* may not */
    OK(&ctl, XS_SET_PERMS, 0, S("@releaseDomain\0n0\0r17"));
    OK(&g17, XS_WATCH, 0,
       S("@releaseDomain/20\0"
         "20"));
    EVENT(&ctl, "@introduceDomain", "i");
    EVENT(&ctl, "@introduceDomain", "id");
    EVENT(&ctl, "@releaseDomain", "rd");
    EVENT(&ctl, "@releaseDomain/20", "20");
    EVENT(&ctl, "@releaseDomain/21", "21");
    EVENT(&g16, "@releaseDomain/20", "20");
    EVENT(&g17, "@releaseDomain/20", "20");
    introduce(&g20, 20);
    EVENT(&ctl, "@introduceDomain", "i");
    EVENT(&ctl, "@introduceDomain/20", "id");
    OK(&ctl, XS_RELEASE, 0, S("20"));
    EVENT(&ctl, "@releaseDomain/20", "rd");
    EVENT(&ctl, "@releaseDomain/20", "20");
    EVENT(&g17, "@releaseDomain/20", "20");
    NO_EVENT(&ctl);
    NO_EVENT(&g16);
    OK(&ctl, XS_UNWATCH, 0,
       S("@releaseDomain/20\0"
         "20"));
}

TEST(test_watch_fold)
{
    OK(&g16, XS_WATCH, 0, S("device\0t"));
    EVENT(&g16, "device", "t");
    for (int i = 0; i < 1000; i++) {
        OK(&ctl, XS_WRITE, 0, D("/local/domain/16/device/a\0v"));
        OK(&ctl, XS_WRITE, 0, D("/local/domain/16/device/b\0v"));
    }
    EVENT(&g16, "device/a", "t"); /* it was not looking: each change is told once */
    EVENT(&g16, "device/b", "t");
    NO_EVENT(&g16);
}

TEST(test_reset_watches)
{
    OK(&g16, XS_WATCH, 0, S("device\0t"));
    EVENT(&g16, "device", "t");
    uint32_t tx = tx_start(&g16);
    OK(&g16, XS_RESET_WATCHES, 0, S(""));
    OK(&g16, XS_WRITE, 0, D("device/x\0v"));
    NO_EVENT(&g16);
    WANT(&g16, XS_READ, tx, S("domid"), "ENOENT");
    assert_int_equal(g16.c->work_bytes, 0);
}

/* --- transactions -------------------------------------------------------------------------------------------------- */
TEST(test_tx_own_writes)
{
    uint32_t tx = tx_start(&ctl);
    OK(&ctl, XS_WATCH, 0, S("/t\0t"));
    EVENT(&ctl, "/t", "t");
    OK(&ctl, XS_WRITE, tx, D("/t/a\0one"));
    WANT(&ctl, XS_READ, tx, S("/t/a"), "=one");
    WANT(&ctl, XS_READ, 0, S("/t/a"), "ENOENT"); /* nobody else sees it */
    OK(&ctl, XS_WRITE, tx, D("/t/a\0two"));
    OK(&ctl, XS_WRITE, tx, D("/t/b\0x"));
    OK(&ctl, XS_RM, tx, S("/t/b"));
    WANT(&ctl, XS_READ, tx, S("/t/b"), "ENOENT");
    assert_int_equal(ask(&ctl, XS_DIRECTORY, tx, S("/t"))->hdr.len, 2);
    OK(&ctl, XS_SET_PERMS, tx, S("/t/a\0n0\0r9"));
    WANT(&ctl, XS_TRANSACTION_START, tx, S(""), "EBUSY");
    NO_EVENT(&ctl);
    OK(&ctl, XS_TRANSACTION_END, tx, S("T"));
    EVENT(&ctl, "/t/a", "t");
    NO_EVENT(&ctl);
    WANT(&ctl, XS_READ, 0, S("/t/a"), "=two");
    ask(&ctl, XS_GET_PERMS, 0, S("/t/a"));
    assert_memory_equal(ctl.reply.data, "n0\0r9", 6);
    WANT(&ctl, XS_TRANSACTION_END, tx, S("T"), "ENOENT"); /* it is over */
    WANT(&ctl, XS_TRANSACTION_END, 0, S("T"), "ENOENT");
}

TEST(test_tx_abort)
{
    uint32_t tx = tx_start(&ctl);
    OK(&ctl, XS_WRITE, tx, D("/t\0x"));
    WANT(&ctl, XS_TRANSACTION_END, tx, S("X"), "EINVAL"); /* still open */
    WANT(&ctl, XS_TRANSACTION_END, tx, S("TT"), "EINVAL");
    OK(&ctl, XS_TRANSACTION_END, tx, S("F"));
    WANT(&ctl, XS_READ, 0, S("/t"), "ENOENT");
    WANT(&ctl, XS_READ, tx, S("/t"), "ENOENT");
    assert_int_equal(ctl.c->work_bytes, 0);
}

/* One row: what the transaction does, what happens meanwhile, and whether it may then succeed. */
struct race {
    uint32_t in_type, out_type;
    const char *in;
    uint32_t in_len;
    const char *out;
    uint32_t out_len;
    bool ok;
};

TEST(test_tx_conflicts)
{
    static const struct race races[] = {
        { XS_READ, XS_WRITE, S("/c/a"), D("/c/a\0z"), false },
        { XS_READ, XS_WRITE, S("/c/a"), D("/c/a\0v"), false }, /* the same data, but somebody wrote */
        { XS_READ, XS_WRITE, S("/c/a"), D("/c/b\0z"), true },
        { XS_READ, XS_WRITE, S("/c/a"), D("/c/a/x\0z"), true }, /* a child is not the node's data */
        { XS_READ, XS_RM, S("/c/a"), S("/c/a"), false },
        { XS_RM, XS_WRITE, S("/c"), D("/c/a\0z"), false }, /* it looked at all of it */
        { XS_RM, XS_WRITE, S("/c/a"), D("/c/b\0z"), true },
        { XS_READ, XS_RM, S("/c/a"), S("/c"), false },
        { XS_READ, XS_SET_PERMS, S("/c/a"), S("/c/a\0n3"), false },
        { XS_READ, XS_WRITE, S("/c/none"), D("/c/none\0z"), false }, /* it was not there */
        { XS_READ, XS_WRITE, S("/c/none"), D("/c/none2\0z"), true },
        { XS_WRITE, XS_WRITE, D("/c/a\0q"), D("/c/a\0z"), false },
        { XS_WRITE, XS_WRITE, D("/c/new\0q"), D("/c/new2\0z"), true }, /* two children in one directory */
        { XS_WRITE, XS_WRITE, D("/c/new\0q"), D("/c/new\0z"), false },
        { XS_WRITE, XS_WRITE, D("/c/p/q/r\0q"), D("/c/p/q/s\0z"), false }, /* the way there appeared */
        { XS_WRITE, XS_WRITE, D("/c/p/q/r\0q"), D("/c/p\0z"), false },
        { XS_WRITE, XS_SET_PERMS, D("/c/new\0q"), S("/c\0n5"),
          false }, /* rights would be inherited anew */
        { XS_WRITE, XS_RM, D("/c/new\0q"), S("/c"), false },
        { XS_DIRECTORY, XS_WRITE, S("/c"), D("/c/new\0z"), false },
        { XS_DIRECTORY, XS_WRITE, S("/c"), D("/c/a/new\0z"), true },
        { XS_DIRECTORY, XS_RM, S("/c"), S("/c/b"), false },
        { XS_RM, XS_WRITE, S("/c/a"), D("/c/a/deep/x\0z"), false }, /* something grew below */
        { XS_RM, XS_WRITE, S("/c/a"), D("/c/b/x\0z"), true },
        { XS_RM, XS_RM, S("/c/a"), S("/c/a"), false },
        { XS_RM, XS_WRITE, S("/c/none"), D("/c/none\0z"), false },
        { XS_MKDIR, XS_WRITE, S("/c/a"), D("/c/b\0z"), true },
        { XS_GET_PERMS, XS_SET_PERMS, S("/c/a"), S("/c/a\0n3"), false },
        { XS_READ, XS_WRITE, S("/c/a"), D("/elsewhere\0z"), true },
    };
    for (unsigned i = 0; i < sizeof races / sizeof *races; i++) {
        const struct race *t = &races[i];
        ask(&ctl, XS_RM, 0, S("/c"));
        OK(&ctl, XS_WRITE, 0, D("/c/a\0v"));
        OK(&ctl, XS_WRITE, 0, D("/c/b\0v"));
        uint32_t tx = tx_start(&ctl);
        OK(&ctl, XS_WRITE, tx, D("/mark\0x"));
        said(&ctl, t->in_type, tx, t->in, t->in_len);
        assert_string_equal(said(&ctl, t->out_type, 0, t->out, t->out_len), "=OK");
        const char *end = said(&ctl, XS_TRANSACTION_END, tx, S("T"));
        if (strcmp(end, t->ok ? "=OK" : "EAGAIN"))
            fail_msg("race %u: %s", i, end);
        WANT(&ctl, XS_READ, 0, S("/mark"), t->ok ? "=x" : "ENOENT");
        OK(&ctl, XS_RM, 0, S("/mark"));
        store_sound();
    }
}

/* What one says to a request about a node of either twin; lists in order of names. */
static const char *twin(struct client *k, uint32_t type, uint32_t tx, const char *top,
                        const char *rest, const char *more, unsigned more_len)
{
    static char text[2][XENSTORE_PAYLOAD_MAX + 2];
    static unsigned n;
    char p[64], *out = text[n++ % 2];
    unsigned at = (unsigned)snprintf(p, sizeof p, "/%s%s", top, rest) + 1;
    memcpy(p + at, more, more_len);
    const char *s = said(k, type, tx, p, at + more_len);
    memcpy(out, s, XENSTORE_PAYLOAD_MAX + 2);
    if (type != XS_DIRECTORY || s[0] != '=')
        return out;
    unsigned seen[4] = { 0 };
    for (unsigned i = 0; i < k->reply.hdr.len; i += 2) {
        assert_int_equal(k->reply.data[i + 1], 0);
        seen[k->reply.data[i] - 'a']++;
    }
    sprintf(out, "%u%u%u%u", seen[0], seen[1], seen[2], seen[3]);
    return out;
}

/* A transaction shows its owner just what the same requests would have made of the tree. */
TEST(test_tx_view)
{
    static const uint32_t types[] = { XS_WRITE,     XS_WRITE, XS_MKDIR,     XS_RM,
                                      XS_SET_PERMS, XS_READ,  XS_DIRECTORY, XS_GET_PERMS };
    srand(11);
    for (unsigned round = 0; round < 60; round++) {
        struct client *k = round % 2 ? &g16 : &ctl;
        const char *tops[] = { round % 2 ? "local/domain/16/data/in" : "in",
                               round % 2 ? "local/domain/16/data/out" : "out" };
        uint32_t tx = 0;
        for (unsigned i = 0; i < 120; i++) {
            char rest[8] = "", val = (char)('A' + rand() % 26);
            for (int d = 1 + rand() % 3; d; d--)
                strcat(rest, (char[]){ '/', (char)('a' + rand() % 4), 0 });
            if (i == 40)
                tx = tx_start(k);
            uint32_t type = types[rand() % 8];
            const char *more = type == XS_WRITE       ? &val
                               : type == XS_SET_PERMS ? (rand() % 2 ? "n16\0r5" : "b16\0")
                                                      : "";
            unsigned len = type == XS_WRITE ? 1
                           : type == XS_SET_PERMS
                               ? (unsigned)strlen(more) + 1 + (more[0] == 'n' ? 3 : 0)
                               : 0;
            const char *a = twin(k, type, tx, tops[0], rest, more, len),
                       *b = twin(k, type, 0, tops[1], rest, more, len);
            assert_string_equal(a, b);
            for (unsigned t = 5; t < 8; t++) {
                a = twin(k, types[t], tx, tops[0], rest, "", 0);
                b = twin(k, types[t], 0, tops[1], rest, "", 0);
                assert_string_equal(a, b);
            }
        }
        OK(k, XS_TRANSACTION_END, tx, S("T"));
        for (char c = 'a'; c < 'e'; c++)
            for (unsigned t = 5; t < 8; t++) {
                char rest[3] = { '/', c, 0 };
                assert_string_equal(twin(k, types[t], 0, tops[0], rest, "", 0),
                                    twin(k, types[t], 0, tops[1], rest, "", 0));
            }
        store_sound();
    }
}

TEST(test_tx_many)
{
    /* Linux's netfront writes its ring references in one; two guests do so at once. */
    uint32_t a = tx_start(&g16), b = tx_start(&g17);
    for (int i = 0; i < 40; i++) {
        char p[64];
        int n = snprintf(p, sizeof p, "device/vif/0/queue-%d/tx-ring-ref", i) + 1;
        n += snprintf(p + n, 8, "%d", i + 768);
        assert_string_equal(said(&g16, XS_WRITE, a, p, (uint32_t)n), "=OK");
        assert_string_equal(said(&g17, XS_WRITE, b, p, (uint32_t)n), "=OK");
    }
    OK(&g16, XS_TRANSACTION_END, a, S("T"));
    OK(&g17, XS_TRANSACTION_END, b, S("T"));
    WANT(&ctl, XS_READ, 0, S("/local/domain/17/device/vif/0/queue-39/tx-ring-ref"), "=807");
    assert_int_equal(g16.c->work_bytes, 0);
    store_sound();
}

TEST(test_tx_is_the_clients)
{
    uint32_t tx = tx_start(&g16);
    WANT(&g17, XS_READ, tx, S("domid"), "ENOENT");
    WANT(&g16, XS_READ, tx + 1, S("domid"), "ENOENT");
    OK(&g16, XS_WATCH, tx + 77, S("device\0t")); /* has nothing to do with transactions */
}

TEST(test_tx_rights)
{
    uint32_t tx = tx_start(&g16);
    WANT(&g16, XS_WRITE, tx, D("domid\0x"), "EACCES");
    WANT(&g16, XS_WRITE, tx, D("/local/domain/17/device/x\0x"), "EACCES");
    OK(&g16, XS_WRITE, tx, D("device/x\0x"));
    OK(&ctl, XS_SET_PERMS, 0, S("/local/domain/16/device\0n0")); /* the right is taken away meanwhile */
    WANT(&g16, XS_TRANSACTION_END, tx, S("T"), "EAGAIN");
}

/* What a transaction noted about a node's permissions is for its end: it does not open what is somebody else's by now. */
TEST(test_tx_opens_nothing)
{
    OK(&ctl, XS_MKDIR, 0, S("/shared"));
    OK(&ctl, XS_SET_PERMS, 0, S("/shared\0b0"));
    OK(&g16, XS_WRITE, 0, D("/shared/x\0mine"));
    uint32_t tx = tx_start(&g16);
    OK(&g16, XS_SET_PERMS, tx, S("/shared/x\0b16"));
    ask(&g16, XS_GET_PERMS, tx, S("/shared/x"));
    assert_memory_equal(g16.reply.data, "b16", 4);
    OK(&ctl, XS_RM, 0, S("/shared/x"));
    OK(&g17, XS_WRITE, 0, D("/shared/x/y\0secret"));
    OK(&g17, XS_WRITE, 0, D("/shared/x\0secret"));
    OK(&g17, XS_SET_PERMS, 0, S("/shared/x\0n17"));
    OK(&g17, XS_SET_PERMS, 0, S("/shared/x/y\0n17"));
    WANT(&g16, XS_READ, tx, S("/shared/x"), "EACCES");
    WANT(&g16, XS_DIRECTORY, tx, S("/shared/x"), "EACCES");
    WANT(&g16, XS_GET_PERMS, tx, S("/shared/x"), "EACCES");
    WANT(&g16, XS_READ, tx, S("/shared/x/y"), "EACCES");
    WANT(&g16, XS_WRITE, tx, D("/shared/x\0z"), "EACCES");
    WANT(&g16, XS_TRANSACTION_END, tx, S("T"), "EAGAIN");
    WANT(&g17, XS_READ, 0, S("/shared/x"), "=secret");
}

/* --- limits -------------------------------------------------------------------------------------------------------- */
TEST(test_quota_nodes)
{
    char p[64];
    int made = 0;
    /* Spread out, so that no list of names reaches the size of a node. */
    for (int i = 0; i < QUOTA_NODES + 10; i++) {
        int n = snprintf(p, sizeof p, "device/%d/%d", i / 100, i) + 1;
        const char *s = said(&g16, XS_MKDIR, 0, p, (uint32_t)n);
        if (strcmp(s, "=OK")) {
            assert_string_equal(s, "ENOSPC");
            break;
        }
        made++;
    }
    const struct usage *u = xs_usage(&store, 16, false);
    assert_true(u->nodes <= QUOTA_NODES && u->bytes <= QUOTA_NODE_MEM);
    assert_true(made > 500);
    OK(&g17, XS_MKDIR, 0, S("device/x")); /* its neighbour does not notice */
    OK(&ctl, XS_MKDIR, 0, S("/local/domain/16/device/by-control"));
    OK(&g16, XS_RM, 0, S("device/1"));
    OK(&g16, XS_MKDIR, 0, S("device/again"));
    uint32_t tx = tx_start(&g16); /* the same through a transaction */
    for (int i = 0; i < QUOTA_NODES; i++) {
        int n = snprintf(p, sizeof p, "data/%d/%d", i / 100, i) + 1;
        const char *s = said(&g16, XS_MKDIR, tx, p, (uint32_t)n);
        if (strcmp(s, "=OK")) {
            assert_string_equal(s, "ENOSPC");
            break;
        }
        assert_true(i < QUOTA_NODES - 1);
    }
    store_sound();
}

TEST(test_quota_node_size)
{
    char p[3000];
    int n = snprintf(p, sizeof p, "data/x") + 1;
    memset(p + n, 'v', sizeof p - (size_t)n);
    assert_string_equal(said(&g16, XS_WRITE, 0, p, (uint32_t)n + QUOTA_NODE_SIZE), "ENOSPC");
    assert_string_equal(said(&g16, XS_WRITE, 0, p, (uint32_t)n + QUOTA_NODE_SIZE - 64), "=OK");
    assert_int_equal(ask(&g16, XS_READ, 0, S("data/x"))->hdr.len, QUOTA_NODE_SIZE - 64);
    for (int i = 0;; i++) { /* the list of names counts, too */
        n = snprintf(p, sizeof p, "device/a-rather-long-name-for-a-node-%d", i) + 1;
        if (strcmp(said(&g16, XS_MKDIR, 0, p, (uint32_t)n), "=OK")) {
            assert_string_equal(g16.reply.data, "ENOSPC");
            assert_in_range(i, 40, 70);
            break;
        }
    }
}

TEST(test_quota_watches)
{
    char p[32];
    for (int i = 0; i <= QUOTA_WATCHES; i++) {
        int n = snprintf(p, sizeof p, "device%c%d", 0, i) + 1;
        assert_string_equal(said(&g16, XS_WATCH, 0, p, (uint32_t)n),
                            i < QUOTA_WATCHES ? "=OK" : "E2BIG");
        n = snprintf(p, sizeof p, "/x%c%d", 0, i) + 1;
        assert_string_equal(said(&ctl, XS_WATCH, 0, p, (uint32_t)n), "=OK");
    }
}

TEST(test_quota_transactions)
{
    uint32_t ids[QUOTA_TX];
    for (int i = 0; i < QUOTA_TX; i++)
        ids[i] = tx_start(&g16);
    WANT(&g16, XS_TRANSACTION_START, 0, S(""), "ENOSPC");
    OK(&g16, XS_TRANSACTION_END, ids[3], S("T"));
    tx_start(&g16);
    tx_start(&ctl);
}

/* A client that does not read its replies is not served further, and costs a bounded amount of memory. */
TEST(test_slow_reader)
{
    struct xenstore_domain_interface *r = g16.ring;
    OK(&g16, XS_WATCH, 0, S("device\0t"));
    EVENT(&g16, "device", "t");
    size_t before = xs_mem.used;
    for (int round = 0; round < 2000; round++) {
        struct xsd_sockmsg h = { XS_READ, 1, 0, 6 };
        if (XENSTORE_RING_SIZE - (r->req_prod - r->req_cons) >= sizeof h + 6) {
            char m[sizeof h + 6];
            memcpy(m, &h, sizeof h);
            memcpy(m + sizeof h, "domid", 6);
            for (unsigned i = 0; i < sizeof m; i++)
                r->req[MASK_XENSTORE_IDX(r->req_prod + i)] = m[i];
            r->req_prod += (uint32_t)sizeof m;
        }
        stream_serve(&store, g16.c, 4096);
        assert_in_range(r->req_prod - r->req_cons, 0, XENSTORE_RING_SIZE);
    }
    assert_in_range(g16.c->out_bytes, OUT_HIGH, OUT_HIGH + 2048);
    char p[64];
    for (int i = 0; i < 2000; i++) {
        int n = snprintf(p, sizeof p, "/local/domain/16/device/n%d", i) + 1;
        assert_string_equal(said(&ctl, XS_MKDIR, 0, p, (uint32_t)n), "=OK");
    }
    assert_in_range(g16.c->out_bytes, 1, QUOTA_OUT);
    assert_true(g16.c->lost_events > 0);
    OK(&ctl, XS_RM, 0, S("/local/domain/16/device"));
    assert_true(xs_mem.used < before + 2 * QUOTA_OUT);
    OK(&g17, XS_WRITE, 0, D("device/x\0v"));
}

/* A neighbour makes events without end, each of another name, for a client that does not read: a driver domain that was just
 * restarted. The client learns all the same that something else changed, and that there was more. */
TEST(test_flood_hides_nothing)
{
    const char *token, *path;
    unsigned floods = 0, own = 0, again = 0;
    char p[64];

    OK(&ctl, XS_SET_PERMS, 0, S("/local/domain/16/data\0n16\0r17"));
    OK(&g17, XS_WATCH, 0, S("/local/domain/16/data\0flood"));
    EVENT(&g17, "/local/domain/16/data", "flood");
    OK(&g17, XS_WATCH, 0, S("device\0own"));
    EVENT(&g17, "device", "own");
    for (int i = 0; i < 3000; i++) {
        int n = snprintf(p, sizeof p, "data/n%d", i) + 1;
        assert_string_equal(said(&g16, XS_MKDIR, 0, p, (uint32_t)n), "=OK");
        assert_string_equal(said(&g16, XS_RM, 0, p, (uint32_t)n), "=OK");
    }
    assert_in_range(g17.c->out_bytes, 1, QUOTA_OUT);
    OK(&ctl, XS_WRITE, 0, D("/local/domain/17/device/state\0006"));
    OK(&ctl, XS_WRITE, 0, D("/local/domain/17/device/online\0000"));
    assert_in_range(g17.c->out_bytes, 1, QUOTA_OUT + 256);
    while (strcmp(path = event(&g17, &token), "-")) {
        own += !strcmp(token, "own");
        floods += !strcmp(token, "flood");
        again += !strcmp(path, "/local/domain/16/data");
    }
    assert_int_equal(own, 2); /* one for what the queue had no room for, one for what came after that */
    assert_true(floods > 100);
    assert_int_equal(again, 1);
    assert_int_equal(g17.c->nr_missed, 0);
}

static int count_nodes(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    ++*(unsigned *)arg;
    return 0;
}

/* Two domains give one of them a place in 500 nodes of the other, and more below those. Its release takes them all, with far less
 * work than as many visits of the whole tree. */
TEST(test_release_many_places)
{
    char p[96];
    unsigned nodes = 0, at_start = 0;

    tree_visit(store.root, NULL, "/", count_nodes, &at_start);
    for (int i = 0; i < 500; i++) {
        int n = snprintf(p, sizeof p, "data/%c/%d", 'a' + i % 4, i) + 1;
        assert_string_equal(said(&g16, XS_MKDIR, 0, p, (uint32_t)n), "=OK");
        n += snprintf(p + n, 8, "n16") + 1;
        n += snprintf(p + n, 8, "b17") + 1;
        assert_string_equal(said(&g16, XS_SET_PERMS, 0, p, (uint32_t)n), "=OK");
        n = snprintf(p, sizeof p, "/local/domain/16/data/%c/%d/x", 'a' + i % 4, i) + 1;
        assert_string_equal(said(&g17, XS_MKDIR, 0, p, (uint32_t)n), "=OK");
        if (i)
            continue;
        n += snprintf(p + n, 8, "n17") + 1;
        n += snprintf(p + n, 8, "b16") + 1;
        assert_string_equal(said(&g17, XS_SET_PERMS, 0, p, (uint32_t)n), "=OK");
        OK(&g16, XS_MKDIR, 0, S("/local/domain/16/data/a/0/x/mine"));
        OK(&g16, XS_SET_PERMS, 0, S("/local/domain/16/data/a/0/x/mine\0n16\0b17"));
        OK(&g17, XS_MKDIR, 0, S("/local/domain/16/data/a/0/x/mine/yours"));
    }
    uint64_t one = tree_work;
    tree_visit(store.root, NULL, "/", count_nodes, &nodes);
    one = tree_work - one;
    assert_true(one >= nodes);
    uint64_t release = tree_work;
    OK(&ctl, XS_RELEASE, 0, S("17"));
    release = tree_work - release;
    assert_true(release < 100 * one);
    OK(&ctl, XS_RM, 0, S("/local/domain/16/data"));
    nodes = 0;
    tree_visit(store.root, NULL, "/", count_nodes, &nodes);
    assert_true(nodes < at_start); /* less data, and what 17 had of its home */
    store_sound();
    client_drop_events(&g17);
}

/* --- lack of memory ------------------------------------------------------------------------------------------------ */
/* Each allocation of each kind of request fails once: the answer is ENOMEM (or the request did not need it), nothing has
 * changed, nothing leaks, and the next attempt works. */
TEST(test_every_allocation_fails)
{
    static const struct {
        uint32_t type;
        const char *p;
        uint32_t len;
    } reqs[] = {
        { XS_WRITE, D("/f/a/b/c\0value") },
        { XS_WRITE, D("/f/a/b/c\0other") },
        { XS_MKDIR, S("/f/a/b/d/e") },
        { XS_SET_PERMS, S("/f/a\0n0\0b16\0r17") },
        { XS_SET_PERMS, S("/f/a/b\0n16\0b17") },
        { XS_DIRECTORY, S("/f/a/b") },
        { XS_GET_PERMS, S("/f/a") },
        { XS_WATCH, S("/f\0tok") },
        { XS_RM, S("/f/a/b/d") },
        { XS_UNWATCH, S("/f\0tok") },
        { XS_RM, S("/f") },
    };
    for (uint32_t with_tx = 0; with_tx < 2; with_tx++)
        for (unsigned i = 0; i < sizeof reqs / sizeof *reqs; i++) {
            long k = 1;
            for (;; k++) {
                uint32_t tx = with_tx ? tx_start(&ctl) : 0;
                xs_mem.fail_in = k;
                const char *s = said(&ctl, reqs[i].type, tx, reqs[i].p, reqs[i].len);
                bool failed = !strcmp(s, "ENOMEM");
                if (!failed &&
                    s[0] != '=') /* only the event of a watch was lost; or the watch went without memory for the answer */
                    assert_string_equal(s, reqs[i].type == XS_UNWATCH ? "ENOENT" : "EEXIST");
                bool hit = xs_mem.fail_in == 0;
                xs_mem.fail_in = -1;
                store_sound();
                if (tx) {
                    xs_mem.fail_in = failed ? -1 : k;
                    s = said(&ctl, XS_TRANSACTION_END, tx, failed ? "F" : "T", 2);
                    hit |= xs_mem.fail_in == 0;
                    failed |= !strcmp(s, "ENOMEM");
                    xs_mem.fail_in = -1;
                    store_sound();
                }
                if (!hit && !failed)
                    break;
                assert_true(k < 200);
            }
            client_drop_events(&ctl);
        }
    assert_int_equal(ctl.c->work_bytes, 0);
}
