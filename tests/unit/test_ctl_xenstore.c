// SPDX-License-Identifier: MIT
// LINK: tests/unit/xs_harness.c ctl-dom/shell/xenstore.c ctl-dom/domain/error.c
// FLAGS: -Ictl-dom -Idomains/include -lz
// The shell's xenstore commands, on a store.
#include "unit.h"
#include <bh.h>
#include <errno.h>
#include "run_command.h"
#include "screen.h"
#include "xs_harness.h"

static size_t waits; /* for the wire */
static char keyboard[64];
static bool (*stays)(void);
static unsigned meddles; /* before the ends of so many transactions somebody else changes what lies in /a */
static unsigned ends;
int xs_error;

size_t con_busy(void) { return waits; }
bool con_skip_to(unsigned char c)
{
    char *at = strchr(keyboard, c);

    if (at)
        memmove(keyboard, at, strlen(at) + 1);
    return at;
}
void con_getc(void) { memmove(keyboard, keyboard + 1, strlen(keyboard)); }
void command_stays(bool (*on)(void)) { stays = on; }

/* --- the client of domains/xs_client.c --- */
int xs_raw(uint32_t type, uint32_t tx, const void *data, uint32_t len, char **reply, uint32_t *n)
{
    if (type == XS_TRANSACTION_END && ++ends <= meddles)
        OK(&ctl, XS_WRITE, 0, ends % 2 ? "/a/x\0odd" : "/a/y\0even", ends % 2 ? 8 : 9);
    struct msg *m = ask(&ctl, type, tx, data, len);
    xs_error = 0;
    for (size_t i = 0; m->hdr.type == XS_ERROR && i < ARRAY_SIZE(xsd_errors); i++)
        if (!strcmp(xsd_errors[i].errstring, m->data))
            xs_error = xsd_errors[i].errnum;
    if (!xs_error && reply) {
        *reply = malloc(m->hdr.len + 1);
        memcpy(*reply, m->data, m->hdr.len + 1);
        if (n)
            *n = m->hdr.len;
    }
    return -xs_error;
}
static int of_two(uint32_t type, uint32_t tx, const char *one, const char *two, size_t n)
{
    char both[4096];
    size_t at = strlen(one) + 1;

    memcpy(both, one, at);
    memcpy(both + at, two, n);
    return xs_raw(type, tx, both, (uint32_t)(at + n), NULL, NULL);
}
char *xs_read(uint32_t tx, const char *path)
{
    char *value;
    return xs_raw(XS_READ, tx, path, (uint32_t)strlen(path) + 1, &value, NULL) ? NULL : value;
}
int xs_write(uint32_t tx, const char *path, const char *value)
{
    return of_two(XS_WRITE, tx, path, value, strlen(value));
}
int xs_rm(uint32_t tx, const char *path)
{
    return xs_raw(XS_RM, tx, path, (uint32_t)strlen(path) + 1, NULL, NULL);
}
char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    char *all;
    uint32_t len;

    *n = 0;
    if (xs_raw(XS_DIRECTORY, tx, path, (uint32_t)strlen(path) + 1, &all, &len))
        return NULL;
    char **v = malloc(64 * sizeof(*v) + len);
    memcpy(v + 64, all, len);
    free(all);
    for (char *p = (char *)(v + 64); p < (char *)(v + 64) + len; p += strlen(p) + 1)
        v[(*n)++] = p;
    return v;
}
int xs_set_perms(uint32_t tx, const char *path, const char *perms)
{
    char words[256];
    size_t n = strlen(perms) + 1;

    memcpy(words, perms, n);
    for (size_t i = 0; i < n; i++)
        words[i] = words[i] == ' ' ? '\0' : words[i];
    return of_two(XS_SET_PERMS, tx, path, words, n);
}
int xs_tx_start(uint32_t *tx)
{
    char *id;
    int rc = xs_raw(XS_TRANSACTION_START, 0, "", 1, &id, NULL);

    if (rc)
        return rc;
    *tx = (uint32_t)atoi(id);
    free(id);
    return 0;
}
int xs_tx_end(uint32_t tx, bool commit)
{
    return xs_raw(XS_TRANSACTION_END, tx, commit ? "T" : "F", 2, NULL, NULL);
}
static struct {
    const char *path;
    watch_fn fn;
    void *arg;
} watches[4];
int xs_watch(const char *path, watch_fn fn, void *arg)
{
    char token[2] = "0";

    while (watches[token[0] - '0'].path)
        token[0]++;
    int rc = of_two(XS_WATCH, 0, path, token, 2);
    if (rc)
        return rc;
    watches[token[0] - '0'].path = path;
    watches[token[0] - '0'].fn = fn;
    watches[token[0] - '0'].arg = arg;
    return 0;
}
int xs_unwatch(const char *path, watch_fn fn, void *arg)
{
    char token[2] = "0";

    while (watches[token[0] - '0'].arg != arg)
        token[0]++;
    watches[token[0] - '0'].path = NULL;
    return of_two(XS_UNWATCH, 0, path, token, 2);
}
/* A turn of the main loop, and then one of the job. */
static void turn(void)
{
    const char *path, *token = "";

    while (strcmp(path = event(&ctl, &token), "-") != 0)
        if (watches[*token - '0'].path)
            watches[*token - '0'].fn(path, watches[*token - '0'].arg);
    if (stays && !stays())
        stays = NULL;
}

/* --- */
#define TYPED(...)                                     \
    do {                                               \
        screen[0] = '\0';                              \
        assert_true(RUN(store_commands, __VA_ARGS__)); \
    } while (0)
#define NO_USE(...) assert_false(RUN(store_commands, __VA_ARGS__))
#define SAYS(what)                         \
    do {                                   \
        assert_string_equal(screen, what); \
        screen[0] = '\0';                  \
    } while (0)

TEST(what_is_written_is_read)
{
    TYPED("xenstore-write", "/a", "1", "/b/c", "two words", "mine", "x\ty");
    SAYS("");
    TYPED("xenstore-read", "/a", "/b/c", "/none", "/local/domain/0/mine");
    SAYS("1\ntwo words\n/none: not found\nx?y\n");
    TYPED("xenstore-read", "-p", "/a", "mine");
    SAYS("/a: 1\nmine: x?y\n");
    TYPED("xenstore-list", "/b", "/none");
    SAYS("c\n/none: not found\n");
    TYPED("xenstore-list", "-p", "/b", "/local/domain");
    assert_non_null(strstr(screen, "/b/c\n/local/domain/0\n"));
    TYPED("xenstore-list", "-p", "/");
    assert_non_null(strstr(screen, "/a\n/b\n"));
    TYPED("xenstore-exists", "/b", "/b/d", "/b//c");
    SAYS("/b: exists\n/b/d: not found\n/b//c: invalid\n");
}

TEST(the_tree)
{
    TYPED("xenstore-write", "/b/c/d", "1", "/b/e", "2", "x/y", "3");
    TYPED("xenstore-ls", "/b", "x", "/none");
    SAYS("c = \n d = 1\ne = 2\ny = 3\n/none: not found\n"); /* a path of one character is not the root */
    TYPED("xenstore-ls", "-f", "/b", "x");
    SAYS("/b/c = \n/b/c/d = 1\n/b/e = 2\nx/y = 3\n");
    TYPED("xenstore-chmod", "/b/c/d", "n16", "r17");
    TYPED("xenstore-ls", "-fp", "/b");
    SAYS("/b/c =   (n0)\n/b/c/d = 1  (n16,r17)\n/b/e = 2  (n0)\n");
    TYPED("xenstore-ls");
    assert_non_null(strstr(screen, "b = \n c = \n  d = 1\n e = 2\n"));
}

TEST(all_or_nothing)
{
    TYPED("xenstore-write", "/a", "1", "/b//", "2");
    SAYS("/b//: invalid\n");
    TYPED("xenstore-exists", "/a");
    SAYS("/a: not found\n");
    TYPED("xenstore-write", "/a", "1", "/b", "2");
    TYPED("xenstore-rm", "/a", "/none/of/it");
    SAYS("/none/of/it: not found\n");
    TYPED("xenstore-exists", "/a");
    SAYS("/a: exists\n");
    TYPED("xenstore-rm", "/a", "/b");
    TYPED("xenstore-exists", "/a", "/b");
    SAYS("/a: not found\n/b: not found\n");
    TYPED("xenstore-rm", "/");
    SAYS("/: invalid\n");
}

TEST(others_change_it_meanwhile)
{
    TYPED("xenstore-write", "/a/b", "1");
    ends = 0, meddles = 3;
    TYPED("xenstore-chmod", "-r", "/a", "n16");
    SAYS("");
    assert_int_equal(ends, 4);
    TYPED("xenstore-ls", "-p", "/a");
    SAYS("b = 1  (n16)\nx = odd  (n16)\ny = even  (n16)\n");
    ends = 0, meddles = 1000;
    TYPED("xenstore-chmod", "-r", "/a", "n17");
    meddles = 0;
    SAYS("/a: others change it all the time, nothing was done\n");
    assert_in_range(ends, 10, 100);
    TYPED("xenstore-ls", "-p", "/a");
    SAYS("b = 1  (n16)\nx = odd  (n16)\ny = even  (n16)\n");
}

TEST(empty_parents)
{
    TYPED("xenstore-write", "/a/b/c/d", "1", "/a/b/e", "2");
    TYPED("xenstore-rm", "-t", "/a/b/c/d");
    TYPED("xenstore-exists", "/a/b/c", "/a/b/e");
    SAYS("/a/b/c: not found\n/a/b/e: exists\n");
    TYPED("xenstore-write", "/a", "it has a value");
    TYPED("xenstore-rm", "-t", "/a/b/e");
    TYPED("xenstore-exists", "/a/b", "/a");
    SAYS("/a/b: not found\n/a: exists\n");
}

TEST(rights)
{
    TYPED("xenstore-write", "/a/b/c", "1");
    TYPED("xenstore-chmod", "-r", "/a", "b16", "w17", "n18");
    SAYS("");
    TYPED("xenstore-ls", "-fp", "/a");
    SAYS("/a/b =   (b16,w17,n18)\n/a/b/c = 1  (b16,w17,n18)\n");
    TYPED("xenstore-chmod", "/none", "n0");
    SAYS("/none: not found\n");
    NO_USE("xenstore-chmod", "/a", "x16");
    NO_USE("xenstore-chmod", "/a", "n");
    NO_USE("xenstore-chmod", "/a", "");
    NO_USE("xenstore-chmod", "/a", "n16x");
    NO_USE("xenstore-chmod", "-r", "/a");
}

TEST(wrong_uses)
{
    NO_USE("xenstore-ls", "-x");
    NO_USE("xenstore-read", "-p");
    NO_USE("xenstore-read", "-f", "/");
    NO_USE("xenstore-list", "-p");
    NO_USE("xenstore-rm", "-t");
    NO_USE("xenstore-write", "/a", "1", "/b");
    NO_USE("xenstore-watch", "-n", "/a");
    NO_USE("xenstore-watch", "-n", "3");
    NO_USE("xenstore-watch", "-n", "0", "/a");
    NO_USE("xenstore-watch", "-n", "-1", "/a");
    NO_USE("xenstore-watch", "-x", "/a");
    assert_null(stays);
}

TEST(watched_so_often)
{
    TYPED("xenstore-watch", "-n", "4", "/a", "b");
    turn();
    SAYS("/a\nb\n"); /* each watch says at once that it is there */
    assert_non_null(stays);
    OK(&ctl, XS_WRITE, 0, D("/a/x\0001"));
    OK(&ctl, XS_WRITE, 0, D("/c\0001"));
    turn();
    SAYS("/a/x\n");
    OK(&ctl, XS_WRITE, 0, D("b/y\0001"));
    OK(&ctl, XS_WRITE, 0, D("b/z\0001"));
    turn();
    SAYS("b/y\n");
    assert_null(stays);
    OK(&ctl, XS_WRITE, 0, D("/a/x\0002"));
    NO_EVENT(&ctl);
}

TEST(watched_until_ctrl_c)
{
    TYPED("xenstore-watch", "/a");
    for (unsigned i = 0; i < 100; i++) {
        OK(&ctl, XS_WRITE, 0, D("/a/x\0001"));
        turn();
    }
    assert_non_null(stays);
    waits = 1 << 20; /* the line takes no more */
    screen[0] = '\0';
    OK(&ctl, XS_WRITE, 0, D("/a/x\0002"));
    turn();
    SAYS("");
    strcpy(keyboard, "keys\003list");
    turn();
    SAYS("(and 1 more)\n");
    assert_null(stays);
    assert_string_equal(keyboard, "list");
    waits = 0;
    OK(&ctl, XS_WRITE, 0, D("/a/x\0003"));
    NO_EVENT(&ctl);
}

TEST(a_watch_that_cannot_be)
{
    TYPED("xenstore-watch", "/a", "/b//", "/c");
    SAYS("/b//: invalid\n");
    turn();
    SAYS("");
    assert_null(stays);
    OK(&ctl, XS_WRITE, 0, D("/a\0001"));
    NO_EVENT(&ctl);
}
