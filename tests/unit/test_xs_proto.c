/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/xs_harness.c
// FLAGS: -lz
/* The store's protocol: what each request answers, who may what, connections and broken clients. */
#include "unit.h"
#include "xs_harness.h"

/* --- nodes ------------------------------------------------------------------------------------------------------- */
TEST(test_read_write)
{
    OK(&ctl, XS_WRITE, 0, D("/a/b/c\0hello"));
    WANT(&ctl, XS_READ, 0, S("/a/b/c"), "=hello");
    WANT(&ctl, XS_READ, 0, S("/a/b"), "="); /* made on the way, empty */
    OK(&ctl, XS_WRITE, 0, D("/a/b/c\0"));
    WANT(&ctl, XS_READ, 0, S("/a/b/c"), "=");
    OK(&ctl, XS_WRITE, 0, D("/a/b/c\0a\0b")); /* data is bytes */
    assert_int_equal(ask(&ctl, XS_READ, 0, S("/a/b/c"))->hdr.len, 3);
    assert_memory_equal(ctl.reply.data, "a\0b", 3);
    WANT(&ctl, XS_READ, 0, S("/a/x"), "ENOENT");
    WANT(&ctl, XS_READ, 0, S("/tool/xenstored"), "=");
    OK(&ctl, XS_WRITE, 0, D("/\0rootdata"));
    WANT(&ctl, XS_READ, 0, S("/"), "=rootdata");
}

TEST(test_golden_bytes)
{
    /* What xenstored of Xen sends for these requests, byte for byte. */
    struct xsd_sockmsg h = { XS_WRITE, 0x11223344, 0, 5 };
    client_bytes(&ctl, &h, sizeof h);
    client_bytes(&ctl, "/v\0xy", 5);
    stream_serve(&store, ctl.c, 4096);
    static const unsigned char ok[] = { 11, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0, 0,
                                        0,  0, 3, 0, 0,    0,    'O',  'K',  0 };
    uint32_t at = ctl.ring->rsp_cons;
    assert_int_equal(ctl.ring->rsp_prod - at, sizeof ok);
    for (unsigned i = 0; i < sizeof ok; i++)
        assert_int_equal((unsigned char)ctl.ring->rsp[MASK_XENSTORE_IDX(at + i)], ok[i]);
    ctl.ring->rsp_cons = ctl.ring->rsp_prod;
    h = (struct xsd_sockmsg){ XS_READ, 7, 9, 3 };
    client_bytes(&ctl, &h, sizeof h);
    client_bytes(&ctl, "/v", 3);
    stream_serve(&store, ctl.c, 4096);
    static const unsigned char no[] = { 16, 0, 0, 0, 7,   0,   0,   0,   9,   0,   0, 0,
                                        7,  0, 0, 0, 'E', 'N', 'O', 'E', 'N', 'T', 0 };
    at = ctl.ring->rsp_cons;
    assert_int_equal(ctl.ring->rsp_prod - at, sizeof no);
    for (unsigned i = 0; i < sizeof no; i++)
        assert_int_equal((unsigned char)ctl.ring->rsp[MASK_XENSTORE_IDX(at + i)], no[i]);
    ctl.ring->rsp_cons = ctl.ring->rsp_prod;
}

TEST(test_relative)
{
    WANT(&g16, XS_READ, 0, S("domid"), "=16");
    OK(&g16, XS_WRITE, 0,
       D("device/vif/0/state\0"
         "3"));
    WANT(&ctl, XS_READ, 0, S("/local/domain/16/device/vif/0/state"), "=3");
    OK(&ctl, XS_WRITE, 0, D("mine\0x")); /* the control domain's home is domain 0's */
    WANT(&ctl, XS_READ, 0, S("/local/domain/0/mine"), "=x");
}

TEST(test_names)
{
    static const char *const bad[] = {
        "",   "//",     "/a//b", "/a/", "/a b", "/a:b", "/a.b", "a/", "@introduceDomain",
        "@x", "/a\x80", "/a\n",  "//a", "/a\\b"
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_string_equal(said(&ctl, XS_READ, 0, bad[i], (uint32_t)strlen(bad[i]) + 1), "EINVAL");
    OK(&ctl, XS_MKDIR, 0, S("/Az-09_@x"));
    char p[XS_PATH_MAX + 8];
    memset(p, 'a', sizeof p);
    p[0] = '/';
    p[3072] = 0;
    assert_string_equal(said(&ctl, XS_READ, 0, p, 3073), "ENOENT");
    p[3072] = 'a';
    p[3073] = 0;
    assert_string_equal(said(&ctl, XS_READ, 0, p, 3074), "EINVAL");
    p[0] = 'a';
    p[2048] = 0;
    assert_string_equal(said(&ctl, XS_READ, 0, p, 2049), "ENOENT");
    p[2048] = 'a';
    p[2049] = 0;
    assert_string_equal(said(&ctl, XS_READ, 0, p, 2050), "EINVAL");
}

TEST(test_malformed)
{
    static const uint32_t one[] = { XS_READ,
                                    XS_DIRECTORY,
                                    XS_MKDIR,
                                    XS_RM,
                                    XS_GET_PERMS,
                                    XS_TRANSACTION_END,
                                    XS_GET_DOMAIN_PATH,
                                    XS_RELEASE,
                                    XS_RESUME,
                                    XS_IS_DOMAIN_INTRODUCED,
                                    XS_WRITE,
                                    XS_WATCH,
                                    XS_UNWATCH,
                                    XS_INTRODUCE,
                                    XS_SET_TARGET,
                                    XS_SET_PERMS,
                                    XS_DIRECTORY_PART,
                                    XS_CONTROL };
    for (unsigned i = 0; i < sizeof one / sizeof *one; i++) {
        assert_string_equal(said(&ctl, one[i], 0, "", 0), "EINVAL");
        assert_string_equal(said(&ctl, one[i], 0, "/tool", 5), "EINVAL"); /* no NUL */
    }
    WANT(&ctl, XS_READ, 0, S("/tool\0x"), "EINVAL");
    WANT(&ctl, XS_WATCH, 0, S("/tool"), "EINVAL");
    WANT(&ctl, XS_SET_PERMS, 0, D("/tool\0n0"), "EINVAL");
    WANT(&ctl, XS_SET_PERMS, 0, S("/tool"), "EINVAL");
    WANT(&ctl, XS_SET_PERMS, 0, S("/tool\0q0"), "EINVAL");
    WANT(&ctl, XS_SET_PERMS, 0, S("/tool\0n"), "EINVAL");
    WANT(&ctl, XS_SET_PERMS, 0, S("/tool\0n99999"), "EINVAL");
    WANT(&ctl, XS_SET_PERMS, 0, S("/tool\0n-1"), "EINVAL");
    WANT(&ctl, 20, 0, S("x"), "ENOSYS");
    for (uint32_t type = XS_TYPE_COUNT; type < XS_TYPE_COUNT + 4;
         type++) /* features and quotas of later versions */
        WANT(&ctl, type, 0, S("16\0nodes"), "ENOSYS");
    WANT(&ctl, XS_INVALID, 0, S("x"), "ENOSYS");
    WANT(&ctl, XS_ERROR, 0, S("x"), "ENOSYS");
    WANT(&ctl, XS_WATCH_EVENT, 0, S("x"), "ENOSYS");
    WANT(&ctl, 0xffffffff, 0, S("x"), "ENOSYS");
}

TEST(test_mkdir_rm)
{
    OK(&ctl, XS_MKDIR, 0, S("/d/e/f"));
    OK(&ctl, XS_WRITE, 0, D("/d/e\0keep"));
    OK(&ctl, XS_MKDIR, 0, S("/d/e")); /* there already: nothing changes */
    WANT(&ctl, XS_READ, 0, S("/d/e"), "=keep");
    OK(&ctl, XS_RM, 0, S("/d/none")); /* parent exists */
    WANT(&ctl, XS_RM, 0, S("/none/none"), "ENOENT");
    OK(&ctl, XS_RM, 0, S("/none"));
    WANT(&ctl, XS_RM, 0, S("/"), "EINVAL");
    OK(&ctl, XS_RM, 0, S("/d"));
    WANT(&ctl, XS_READ, 0, S("/d/e/f"), "ENOENT");
    WANT(&ctl, XS_DIRECTORY, 0, S("/d"), "ENOENT");
}

TEST(test_directory)
{
    OK(&ctl, XS_MKDIR, 0, S("/d"));
    assert_int_equal(ask(&ctl, XS_DIRECTORY, 0, S("/d"))->hdr.len, 0);
    OK(&ctl, XS_MKDIR, 0, S("/d/zz"));
    OK(&ctl, XS_MKDIR, 0, S("/d/a"));
    OK(&ctl, XS_MKDIR, 0, S("/d/ab"));
    assert_int_equal(ask(&ctl, XS_DIRECTORY, 0, S("/d"))->hdr.len, 8);
    assert_memory_equal(ctl.reply.data, "a\0ab\0zz", 8);
}

/* Lists longer than a message come in parts, under a generation that moves when the list does. */
TEST(test_directory_part)
{
    char p[64], gen[32] = "";
    for (int i = 0; i < 600; i++) {
        snprintf(p, sizeof p, "/big/entry-%04d", i);
        assert_string_equal(said(&ctl, XS_MKDIR, 0, p, (uint32_t)strlen(p) + 1), "=OK");
    }
    WANT(&ctl, XS_DIRECTORY, 0, S("/big"), "E2BIG");
    unsigned off = 0, seen = 0, parts = 0;
    for (bool last = false; !last; parts++) {
        int n = snprintf(p, sizeof p, "/big%c%u", 0, off) + 1;
        struct msg *m = ask(&ctl, XS_DIRECTORY_PART, 0, p, (uint32_t)n);
        assert_int_equal(m->hdr.type, XS_DIRECTORY_PART);
        if (!parts)
            strcpy(gen, m->data);
        assert_string_equal(gen, m->data);
        char *s = m->data + strlen(gen) + 1, *end = m->data + m->hdr.len;
        for (; s < end && *s; s += strlen(s) + 1) {
            char want[32];
            snprintf(want, sizeof want, "entry-%04d", seen++);
            assert_string_equal(s, want);
            off += (unsigned)strlen(s) + 1;
        }
        last = s < end;
    }
    assert_int_equal(seen, 600);
    assert_int_equal(parts, 2);
    struct msg *m = ask(&ctl, XS_DIRECTORY_PART, 0,
                        S("/big\0"
                          "999999"));
    assert_int_equal(m->hdr.len, strlen(gen) + 2);  /* behind the list */
    OK(&ctl, XS_WRITE, 0, D("/big/entry-0000\0x")); /* not the list */
    assert_string_equal(ask(&ctl, XS_DIRECTORY_PART, 0,
                            S("/big\0"
                              "0"))
                            ->data,
                        gen);
    OK(&ctl, XS_RM, 0, S("/big/entry-0000"));
    assert_string_not_equal(ask(&ctl, XS_DIRECTORY_PART, 0,
                                S("/big\0"
                                  "0"))
                                ->data,
                            gen);
    WANT(&ctl, XS_DIRECTORY_PART, 0, S("/big\0-1"), "EINVAL");
}

/* --- rights ------------------------------------------------------------------------------------------------------- */
TEST(test_perms_matrix)
{
    /* Everybody's letter and domain 17's letter; 17 may read, write? */
    static const char letters[] = "nrwb";
    OK(&ctl, XS_WRITE, 0, D("/m\0v"));
    for (unsigned i = 0; i < 5; i++)
        for (unsigned j = 0; j < 4; j++) {
            char p[32];
            int n = snprintf(p, sizeof p, "/m%cn0", 0) + 1;
            p[3] = letters[j];
            unsigned bits = j;
            if (i < 4) {
                n += snprintf(p + n, 8, "%c17", letters[i]) + 1;
                bits = i;
            }
            assert_string_equal(said(&ctl, XS_SET_PERMS, 0, p, (uint32_t)n), "=OK");
            assert_string_equal(said(&g17, XS_READ, 0, S("/m")), bits & PERM_READ ? "=v" : "EACCES");
            assert_string_equal(said(&g17, XS_WRITE, 0, D("/m\0v")),
                                bits & PERM_WRITE ? "=OK" : "EACCES");
            OK(&ctl, XS_WRITE, 0, D("/m\0v"));
            assert_string_equal(said(&g17, XS_SET_PERMS, 0, S("/m\0b17")),
                                "EACCES"); /* never: it is not the owner */
        }
}

TEST(test_perms_owner)
{
    OK(&ctl, XS_WRITE, 0, D("/o\0v"));
    OK(&ctl, XS_SET_PERMS, 0, S("/o\0n16\0r17"));
    WANT(&g16, XS_READ, 0, S("/o"), "=v");
    OK(&g16, XS_WRITE, 0, D("/o\0w"));
    WANT(&g17, XS_READ, 0, S("/o"), "=w");
    WANT(&g17, XS_WRITE, 0, D("/o\0x"), "EACCES");
    assert_int_equal(ask(&g17, XS_GET_PERMS, 0, S("/o"))->hdr.len, 8);
    assert_memory_equal(g17.reply.data, "n16\0r17", 8);
    OK(&g16, XS_SET_PERMS, 0, S("/o\0b16\0w17"));
    WANT(&g17, XS_READ, 0, S("/o"), "EACCES");
    WANT(&g17, XS_GET_PERMS, 0, S("/o"), "EACCES");
    OK(&g17, XS_WRITE, 0, D("/o\0x"));
    WANT(&g16, XS_SET_PERMS, 0, S("/o\0n17"), "EPERM"); /* no gifts */
    WANT(&g16, XS_SET_PERMS, 0, S("/o\0n16\0n1\0n2\0n3\0n4\0n5"), "ENOSPC");
    WANT(&g16, XS_SET_PERMS, 0, S("/gone\0n16"), "EACCES");
}

TEST(test_perms_inherit)
{
    OK(&ctl, XS_MKDIR, 0, S("/p"));
    OK(&ctl, XS_SET_PERMS, 0, S("/p\0n0\0b16\0r17"));
    OK(&g16, XS_WRITE, 0, D("/p/x/y\0v"));
    ask(&ctl, XS_GET_PERMS, 0, S("/p/x"));
    assert_int_equal(ctl.reply.hdr.len, 12);
    assert_memory_equal(ctl.reply.data, "n16\0b16\0r17", 12); /* the owner replaced, the rest as above */
    ask(&ctl, XS_GET_PERMS, 0, S("/p/x/y"));
    assert_memory_equal(ctl.reply.data, "n16\0b16\0r17", 12);
    OK(&ctl, XS_WRITE, 0, D("/p/x/z\0v"));
    ask(&ctl, XS_GET_PERMS, 0, S("/p/x/z"));
    assert_memory_equal(ctl.reply.data, "n16\0b16\0r17", 12); /* a privileged client keeps the owner */
    WANT(&g17, XS_WRITE, 0, D("/p/x/q\0v"), "EACCES");
    OK(&g16, XS_RM, 0, S("/p/x"));
    OK(&g16, XS_RM, 0, S("/p")); /* w on the node itself is enough */
}

/* An error tells nothing about what the client may not see. */
TEST(test_perms_hide)
{
    OK(&ctl, XS_WRITE, 0, D("/s/there\0v"));
    WANT(&g16, XS_READ, 0, S("/s/there"), "EACCES");
    WANT(&g16, XS_READ, 0, S("/s/not/there"), "EACCES");
    WANT(&g16, XS_DIRECTORY, 0, S("/local/domain/17/device"), "EACCES");
    WANT(&g16, XS_READ, 0, S("/local/domain/17/none"), "EACCES");
    WANT(&g16, XS_READ, 0, S("none"), "ENOENT");     /* its home is readable */
    WANT(&g16, XS_WRITE, 0, D("none\0v"), "EACCES"); /* but not writable */
    WANT(&g16, XS_WRITE, 0,
         D("domid\0"
           "17"),
         "EACCES");
    WANT(&g16, XS_RM, 0, S("none"), "EACCES");
    WANT(&g16, XS_RM, 0, S("/"), "EACCES");
    OK(&ctl, XS_WRITE, 0, D("/s/there/deep\0v")); /* let into a node below closed ones */
    OK(&ctl, XS_SET_PERMS, 0, S("/s/there/deep\0n0\0r16"));
    WANT(&g16, XS_READ, 0, S("/s/there/deep"), "=v");
}

TEST(test_privileged_only)
{
    WANT(&g16, XS_INTRODUCE, 0,
         S("18\0"
           "1\0"
           "1"),
         "EACCES");
    WANT(&g16, XS_RELEASE, 0, S("17"), "EACCES");
    WANT(&g16, XS_RESUME, 0, S("17"), "EACCES");
    WANT(&g16, XS_SET_TARGET, 0,
         S("16\0"
           "17"),
         "EACCES");
    WANT(&g16, XS_CONTROL, 0, S("check"), "EACCES");
    WANT(&g16, XS_SET_PERMS, 0, S("@releaseDomain\0n0\0r16"), "EACCES");
    WANT(&g16, XS_GET_PERMS, 0, S("@releaseDomain"), "EACCES");
    WANT(&g16, XS_GET_DOMAIN_PATH, 0, S("17"), "=/local/domain/17");
    WANT(&g16, XS_IS_DOMAIN_INTRODUCED, 0, S("17"), "=T");
    WANT(&g16, XS_IS_DOMAIN_INTRODUCED, 0, S("18"), "=F");
}

TEST(test_target)
{
    WANT(&g16, XS_READ, 0, S("/local/domain/17/device"), "EACCES");
    WANT(&ctl, XS_SET_TARGET, 0,
         S("16\0"
           "30"),
         "ENOENT");
    OK(&ctl, XS_SET_TARGET, 0,
       S("16\0"
         "17"));
    WANT(&g16, XS_READ, 0, S("/local/domain/17/device"), "=");
    WANT(&g17, XS_READ, 0, S("/local/domain/16/device"), "EACCES"); /* one way */
    OK(&ctl, XS_RELEASE, 0, S("17"));
    assert_int_equal(g16.c->target, -1);
}

/* --- connections --------------------------------------------------------------------------------------------------- */
TEST(test_introduce)
{
    struct client g20;
    WANT(&ctl, XS_INTRODUCE, 0,
         S("20\0"
           "1"),
         "EINVAL");
    WANT(&ctl, XS_INTRODUCE, 0,
         S("20\0"
           "1\0"
           "0"),
         "EINVAL");
    WANT(&ctl, XS_INTRODUCE, 0,
         S("40000\0"
           "1\0"
           "1"),
         "EINVAL");
    WANT(&ctl, XS_INTRODUCE, 0,
         S("x\0"
           "1\0"
           "1"),
         "EINVAL");
    WANT(&ctl, XS_INTRODUCE, 0,
         S("0\0"
           "1\0"
           "1"),
         "EINVAL"); /* itself */
    attach_fails = 1;
    WANT(&ctl, XS_INTRODUCE, 0,
         S("20\0"
           "1\0"
           "1"),
         "EIO");
    attach_fails = 0;
    WANT(&ctl, XS_IS_DOMAIN_INTRODUCED, 0, S("20"), "=F");
    introduce(&g20, 20);
    assert_int_equal(attached, 4);
    WANT(&ctl, XS_IS_DOMAIN_INTRODUCED, 0, S("20"), "=T");
    WANT(&ctl, XS_GET_DOMAIN_PATH, 0, S("20"), "=/local/domain/20");
    OK(&ctl, XS_RESUME, 0, S("20"));
    WANT(&ctl, XS_RESUME, 0, S("21"), "ENOENT");
    WANT(&ctl, XS_RELEASE, 0, S("9"), "ENOENT");
    OK(&ctl, XS_RELEASE, 0, S("21")); /* a guest's: what names it goes, also if it was never here */
    WANT(&ctl, XS_RELEASE, 0, S("0"), "EINVAL");
    OK(&ctl, XS_RELEASE, 0, S("20"));
    WANT(&ctl, XS_IS_DOMAIN_INTRODUCED, 0, S("20"), "=F");
}

TEST(test_release_removes_owned)
{
    OK(&g16, XS_WRITE, 0,
       D("device/vif/0/state\0"
         "4"));
    OK(&ctl, XS_WRITE, 0,
       D("/local/domain/16/device/vif/0/backend\0x")); /* in a stretch of the guest's */
    OK(&ctl, XS_WATCH, 0, S("/local/domain/16/device/vif/0/state\0s"));
    EVENT(&ctl, "/local/domain/16/device/vif/0/state", "s");
    OK(&ctl, XS_RELEASE, 0, S("16"));
    EVENT(&ctl, "/local/domain/16/device/vif/0/state", "s");
    WANT(&ctl, XS_READ, 0, S("/local/domain/16/device"), "ENOENT");
    WANT(&ctl, XS_READ, 0, S("/local/domain/16/control"), "=");
    WANT(&ctl, XS_READ, 0, S("/local/domain/16/control/shutdown"), "ENOENT");
    WANT(&ctl, XS_READ, 0, S("/local/domain/16/domid"), "=16");
    WANT(&ctl, XS_READ, 0, S("/local/domain/17/device"), "=");
    assert_null(xs_usage(&store, 16, false));
    store_sound();
}

/* The domain was rebuilt in place (docs/restart-protocol.md 1): its connection is as new, its nodes are as they were. */
TEST(test_reintroduce)
{
    OK(&g16, XS_WRITE, 0, D("device/kept\0v"));
    OK(&g16, XS_WATCH, 0, S("device\0t"));
    EVENT(&g16, "device", "t");
    uint32_t tx = tx_start(&g16);
    OK(&g16, XS_WRITE, tx, D("device/lost\0v"));
    OK(&ctl, XS_WRITE, 0, D("/local/domain/16/device/e\0v")); /* an event waits */
    struct xsd_sockmsg h = { XS_WRITE, 1, 0, 2000 };
    client_bytes(&g16, &h, sizeof h);
    client_bytes(&g16, "abc", 3); /* dies in the middle of a request */
    stream_serve(&store, g16.c, 4096);
    assert_int_equal(g16.c->body_got, 3);
    client_drop_events(&g16);
    introduce(&g16, 16);
    assert_int_equal(reattached, 1);
    assert_int_equal(g16.ring->req_prod | g16.ring->req_cons | g16.ring->rsp_prod | g16.ring->rsp_cons,
                     0);
    NO_EVENT(&g16);
    WANT(&g16, XS_READ, 0, S("device/kept"), "=v");
    WANT(&g16, XS_READ, tx, S("device/kept"), "ENOENT");
    WANT(&g16, XS_UNWATCH, 0, S("device\0t"), "ENOENT");
    assert_int_equal(detached, 0);
}

/* Told twice of it: the second word comes when this instance has watches already. */
TEST(test_reintroduce_late)
{
    OK(&g16, XS_WATCH, 0, S("device\0t"));
    EVENT(&g16, "device", "t");
    served_already = true;
    introduce(&g16, 16);
    served_already = false;
    OK(&ctl, XS_WRITE, 0, D("/local/domain/16/device/e\0v"));
    EVENT(&g16, "device/e", "t");
}

/* A client may begin anew by itself. */
TEST(test_reconnect)
{
    struct client *who[] = { &g16, &ctl };
    for (unsigned i = 0; i < 2; i++) {
        struct client *k = who[i];
        assert_int_equal(k->ring->server_features, 7); /* reconnection, error, depth of watches */
        OK(k, XS_WRITE, 0, D("data/kept\0v"));
        OK(k, XS_WATCH, 0, S("data\0t"));
        uint32_t tx = tx_start(k);
        OK(k, XS_WRITE, tx, D("data/lost\0v"));
        struct xsd_sockmsg h = { XS_WRITE, 1, 0, 2000 };
        client_bytes(k, &h, sizeof h);
        client_bytes(k, "abc", 3);
        stream_serve(&store, k->c, 4096);
        OK(i ? &g16 : &ctl, XS_WRITE, 0, D("/local/domain/16/data/x\0v")); /* an event waits */
        k->ring->server_features = k->ring->error = 99;
        reconnect(k);
        assert_int_equal(k->ring->server_features, 7);
        assert_int_equal(k->ring->error, 0);
        OK(&g17, XS_WRITE, 0, D("data/x\0v"));
        NO_EVENT(k);
        WANT(k, XS_READ, 0, S("data/kept"), "=v");
        WANT(k, XS_READ, tx, S("data/kept"), "ENOENT");
        WANT(k, XS_UNWATCH, 0, S("data\0t"), "ENOENT");
    }
    assert_int_equal(reattached + detached, 0);
}

TEST(test_control)
{
    static const char *const bad[] = { "nonsense",
                                       "log",
                                       "log\0maybe",
                                       "print",
                                       "quota\0x",
                                       "quota\0set",
                                       "quota\0nodes",
                                       "check\0x",
                                       "help\0x",
                                       "stats\0x",
                                       "log\0on\0on",
                                       "quota\0"
                                       "99999" };
    static const uint32_t len[] = { 9, 4, 10, 6, 8, 10, 12, 8, 7, 8, 10, 12 };
    WANT(&ctl, XS_CONTROL, 0, S("check"), "=OK");
    assert_non_null(strstr(said(&ctl, XS_CONTROL, 0, S("stats")), "connections 3\n"));
    assert_non_null(strstr(said(&ctl, XS_CONTROL, 0, S("help")), "quota [DOMID|set NAME VALUE]\n"));
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_string_equal(said(&ctl, XS_CONTROL, 0, bad[i], len[i]), i < 11 ? "EINVAL" : "ENOENT");
    WANT(&ctl, XS_CONTROL, 0, D("check\0x"), "EINVAL");
    WANT(&ctl, XS_CONTROL, 0, S("print\0a line\n\x1b[2J"), "=OK");
    assert_string_equal(told, "domain 0 prints: a line??[2J");
}

/* Each thing that can go wrong inside is found, and named. */
TEST(test_control_check)
{
    OK(&g16, XS_WATCH, 0, S("data\0t"));
    client_drop_events(&g16);
    tx_start(&g16);
    OK(&g16, XS_WRITE, 0, D("data/x\0v"));
    struct node *n = tree_find(store.root, "/local/domain/16");
#define FINDS(what, doing, undoing)                                                 \
    do {                                                                            \
        doing;                                                                      \
        WANT(&ctl, XS_CONTROL, 0, S("check"), "EIO");                               \
        assert_string_equal(told, "domain 0 has a store that is not sound: " what); \
        undoing;                                                                    \
        WANT(&ctl, XS_CONTROL, 0, S("check"), "=OK");                               \
    } while (0)
    struct node *first = n->child[0];
    FINDS("the order of a node's children", (n->child[0] = n->child[1], n->child[1] = first),
          (n->child[1] = n->child[0], n->child[0] = first));
    FINDS("an account", store.usage[1].nodes++, store.usage[1].nodes--);
    FINDS("a generation", n->gen += 1u << 20, n->gen -= 1u << 20);
    FINDS("a node's name", n->name->s[0] = ' ', n->name->s[0] = '1');
    FINDS("a watch", g16.c->watches->hash++, g16.c->watches->hash--);
    FINDS("a transaction", g16.c->txs->nr_acc++, g16.c->txs->nr_acc--);
    FINDS("how many transactions", g16.c->nr_txs++, g16.c->nr_txs--);
    FINDS("the bytes of watches and transactions", g16.c->work_bytes++, g16.c->work_bytes--);
    FINDS("how many clients", store.nr_conns++, store.nr_conns--);
    FINDS("the heaps", g16.c->heap->used += 8, g16.c->heap->used -= 8);
}

/* What is set holds at once, and for the next instance. */
TEST(test_control_quota)
{
    static const struct {
        const char *name;
        uint32_t bad, good;
    } set[] = { { "nodes", 0, 8 },
                { "node-size", 4097, 100 },
                { "node-memory", 1, 100000 },
                { "permissions", 9, 2 },
                { "watches", 0, 2 },
                { "transactions", 0, 1 },
                { "transaction-nodes", 0, 3 },
                { "memory", 1u << 30, 50000 },
                { "outstanding", 65537, 8192 } };
    char p[64];
    assert_non_null(strstr(said(&ctl, XS_CONTROL, 0, S("quota")), "nodes 1000: "));
    for (unsigned i = 0; i < sizeof set / sizeof *set; i++)
        for (unsigned k = 0; k < 2; k++) {
            int n = snprintf(p, sizeof p, "quota%cset%c%s%c%u", 0, 0, set[i].name, 0,
                             k ? set[i].good : set[i].bad);
            assert_string_equal(said(&ctl, XS_CONTROL, 0, p, (uint32_t)n + 1), k ? "=OK" : "EINVAL");
        }
    WANT(&ctl, XS_CONTROL, 0, S("quota\0set\0nodes\0many"), "EINVAL");
    WANT(&ctl, XS_CONTROL, 0,
         S("quota\0set\0none\0"
           "1"),
         "EINVAL");
    WANT(&ctl, XS_CONTROL, 0,
         S("quota\0set\0log\0"
           "1"),
         "EINVAL");
    WANT(&g16, XS_CONTROL, 0,
         S("quota\0set\0nodes\0"
           "9"),
         "EACCES");
    assert_non_null(strstr(said(&ctl, XS_CONTROL, 0,
                                S("quota\0"
                                  "16")),
                           "nodes 3 of 8\n"));
    for (unsigned life = 0; life < 2; life++) {
        const char *s = said(&ctl, XS_CONTROL, 0, S("quota"));
        for (unsigned i = 0; i < sizeof set / sizeof *set; i++) {
            snprintf(p, sizeof p, "%s %u: ", set[i].name, set[i].good);
            assert_non_null(strstr(s, p));
        }
        WANT(&g16, XS_WRITE, 0,
             D("data/long\0aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhhhh"),
             "ENOSPC");
        WANT(&g16, XS_SET_PERMS, 0, S("data\0n16\0r17\0r0"), "ENOSPC");
        OK(&g16, XS_WATCH, 0,
           S("data\0"
             "1"));
        OK(&g16, XS_WATCH, 0,
           S("data\0"
             "2"));
        WANT(&g16, XS_WATCH, 0,
             S("data\0"
               "3"),
             "E2BIG");
        uint32_t tx = tx_start(&g16);
        WANT(&g16, XS_TRANSACTION_START, 0, S(""), "ENOSPC");
        WANT(&g16, XS_READ, tx, S("data"), "=");
        WANT(&g16, XS_READ, tx, S("device"), "=");
        WANT(&g16, XS_READ, tx, S("control"), "=");
        WANT(&g16, XS_READ, tx, S("domid"), "ENOSPC");
        OK(&g16, XS_TRANSACTION_END, tx, S("F"));
        for (unsigned i = 0; i < 6; i++) {
            int n = snprintf(p, sizeof p, "data/%u", i) + 1;
            assert_string_equal(said(&g16, XS_MKDIR, 0, p, (uint32_t)n), i < 5 ? "=OK" : "ENOSPC");
        }
        OK(&g16, XS_RM, 0, S("data/0"));
        OK(&g16, XS_RESET_WATCHES, 0, S(""));
        OK(&ctl, XS_MKDIR, 0, S("/local/domain/16/data/0/by-control"));
        OK(&ctl, XS_RM, 0, S("/local/domain/16/data/0"));
        client_drop_events(&g16);
        another_instance();
    }
}

/* Each request, its transaction and its outcome, and nothing else that a client wrote. */
TEST(test_control_log)
{
    OK(&ctl, XS_CONTROL, 0, S("log\0on"));
    another_instance();
    OK(&g16, XS_WRITE, 0, D("data/x\0v\n"));
    assert_string_equal(told, "domain 16 WRITE 0 data/x: OK");
    WANT(&g16, XS_READ, 9, S("a\n\x1b[2J"), "ENOENT");
    assert_string_equal(told, "domain 16 READ 9 a???2J: ENOENT");
    WANT(&g16, 77, 0, S("x"), "ENOSYS");
    assert_string_equal(told, "domain 16 ? 0 x: ENOSYS");
    OK(&ctl, XS_CONTROL, 0, S("log\0off"));
    int n = nr_told;
    OK(&g16, XS_WRITE, 0, D("data/x\0v"));
    assert_int_equal(nr_told, n);
}

/* --- rings --------------------------------------------------------------------------------------------------------- */
TEST(test_pieces)
{
    /* Requests arrive in pieces of every size, also around the end of the ring, also larger than it. */
    static char big[4000];
    int n = snprintf(big, sizeof big, "/big") + 1;
    for (unsigned i = (unsigned)n; i < sizeof big; i++)
        big[i] = (char)('a' + i % 26);
    for (uint32_t piece = 1; piece < 1200; piece = piece * 3 / 2 + 1) {
        ctl.piece = piece;
        assert_string_equal(said(&ctl, XS_WRITE, 0, big, sizeof big), "=OK");
        struct msg *m = ask(&ctl, XS_READ, 0, S("/big"));
        assert_int_equal(m->hdr.len, sizeof big - (unsigned)n);
        assert_memory_equal(m->data, big + n, sizeof big - (unsigned)n);
    }
}

TEST(test_bad_index)
{
    for (int i = 0; i < 2; i++) {
        uint32_t *idx = i ? &g16.ring->rsp_cons : &g16.ring->req_prod;
        *idx += i ? (uint32_t)-5000 : 5000;
        if (i)
            OK(&ctl, XS_WRITE, 0, D("/local/domain/16/device/x\0v"));
        struct served s = stream_serve(&store, g16.c, 4096);
        assert_int_equal(g16.c->bad, CONN_BAD_INDEX);
        assert_int_equal(g16.ring->error, XENSTORE_ERROR_RINGIDX);
        assert_false(s.more);
        g16.ring->req_prod = g16.ring->req_cons; /* sense again: too late */
        g16.ring->rsp_cons = g16.ring->rsp_prod;
        struct xsd_sockmsg h = { XS_READ, 1, 0, 0 };
        memcpy(g16.ring->req + MASK_XENSTORE_IDX(g16.ring->req_prod), &h, 4);
        g16.ring->req_prod += 16;
        s = stream_serve(&store, g16.c, 4096);
        assert_false(s.notify);
        if (i)
            reconnect(&g16);
        else
            introduce(&g16, 16);
        assert_int_equal(g16.ring->error, XENSTORE_ERROR_NONE);
        WANT(&g16, XS_READ, 0, S("domid"), "=16");
        OK(&g16, XS_WATCH, 0, S("device\0t"));
        if (!i)
            EVENT(&g16, "device", "t");
    }
    client_drop_events(&g16);
}

TEST(test_too_long)
{
    struct xsd_sockmsg h = { XS_WRITE, 1, 0, XENSTORE_PAYLOAD_MAX + 1 };
    client_bytes(&g16, &h, sizeof h);
    stream_serve(&store, g16.c, 4096);
    assert_int_equal(g16.c->bad, CONN_BAD_LENGTH);
    assert_int_equal(g16.ring->error, XENSTORE_ERROR_PROTO);
    introduce(&g16, 16);
    WANT(&g16, XS_READ, 0, S("domid"), "=16");
}

/* One turn is bounded, however much a client sends. */
TEST(test_budget)
{
    struct xsd_sockmsg h = { XS_READ, 1, 0, 0 };
    for (int i = 0; i < 64; i++)
        memcpy(g16.ring->req + 16 * i, &h, sizeof h);
    g16.ring->req_cons = 0;
    g16.ring->req_prod = 1024;
    uint64_t before = store.nr_requests;
    struct served s = stream_serve(&store, g16.c, 1024);
    assert_true(s.more && s.notify);
    assert_in_range(store.nr_requests - before, 4, 12);
    while (stream_serve(&store, g16.c, 1 << 20).notify)
        g16.ring->rsp_cons = g16.ring->rsp_prod;
}
