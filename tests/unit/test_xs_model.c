/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/xs_crash.c
// FLAGS: -O2 -lz -Wl,--wrap=malloc
/*
 * The store against a model, while it dies at random. Three clients write, read, list and remove some forty nodes, alone and in
 * transactions, and watch them to all depths; a domain comes and goes; clients begin anew; limits are set. Every answer, and every event of every client after each operation, must be the model's: once, not
 * twice. XS_MODEL_OPS (operations) and XS_MODEL_SEED make it long: tests/long/test_store.py.
 */
#include "unit.h"
#include "xs_crash.h"

#define WIDE    3u
#define NODES   (1 + WIDE + WIDE * WIDE + WIDE * WIDE * WIDE)
#define CLIENTS 3u

/* Node 0 is /m; the children of i are WIDE * i + 1 and on. */
struct node_model {
    bool there;
    unsigned value; /* 0: empty */
};
static struct node_model tree[NODES];
static unsigned watched[CLIENTS][NODES]; /* how deep, and one more */
static struct client *const who[CLIENTS] = { &ctl, &g16, &g17 };
static char path[NODES][24];
static uint64_t rng;

static uint32_t rnd(uint32_t n)
{
    rng = rng * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(rng >> 33) % n;
}

static unsigned parent(unsigned i) { return (i - 1) / WIDE; }

static bool below(unsigned i, unsigned top)
{
    while (i > top)
        i = parent(i);
    return i == top;
}

/* --- what the model does ------------------------------------------------------------------------------------------ */
static void make(struct node_model *t, unsigned i)
{
    for (; !t[i].there; i = parent(i))
        t[i] = (struct node_model){ .there = true };
}

static void removes(struct node_model *t, unsigned top)
{
    for (unsigned i = 0; i < NODES; i++)
        if (below(i, top))
            t[i].there = false;
}

struct step {
    uint32_t op; /* XS_WRITE, XS_MKDIR, XS_RM */
    unsigned i, value;
    bool changes;
};

/* Returns the answer; s->changes: it is announced. */
static const char *does(struct node_model *t, struct step *s)
{
    bool there = t[s->i].there;
    s->changes = s->op == XS_WRITE || there == (s->op == XS_RM);
    if (s->op == XS_RM) {
        if (!there)
            return t[parent(s->i)].there ? "=OK" : "ENOENT";
        removes(t, s->i);
        return "=OK";
    }
    make(t, s->i);
    if (s->op == XS_WRITE)
        t[s->i].value = s->value;
    return "=OK";
}

static bool due[CLIENTS][NODES][NODES]; /* client, watch, path of the event */

static unsigned levels(unsigned i, unsigned top)
{
    unsigned n = 0;
    for (; i > top; i = parent(i))
        n++;
    return n;
}

static void fires(const struct step *s, const struct node_model *before,
                  const struct node_model *after)
{
    for (unsigned i = 0; i < NODES && s->changes; i++) {
        if (s->op == XS_RM ? !before[s->i].there || !before[i].there || !below(i, s->i)
                           : i != s->i || !after[i].there)
            continue;
        for (unsigned c = 0; c < CLIENTS; c++)
            for (unsigned w = 0; w < NODES; w++)
                if ((i == s->i ? below(i, w) : i == w) && levels(i, w) < watched[c][w])
                    due[c][w][i] = true;
    }
}

/* --- what the store does ------------------------------------------------------------------------------------------ */
static const char *asks(struct client *k, uint32_t tx, const struct step *s)
{
    char b[64];
    int n = snprintf(b, sizeof b, "%s", path[s->i]) + 1;
    if (s->op == XS_WRITE && s->value)
        n += snprintf(b + n, sizeof b - (size_t)n, "%u", s->value);
    return said(k, s->op, tx, b, (uint32_t)n);
}

static unsigned index_of(const char *p)
{
    for (unsigned i = 0; i < NODES; i++)
        if (!strcmp(path[i], p))
            return i;
    fail_msg("an event for %s", p);
    return 0;
}

/* --- a domain that comes and goes ---------------------------------------------------------------------------------- */
static const struct special {
    const char *path, *depth, *comes, *goes; /* the paths of its events */
} specials[] = {
    { "@introduceDomain", "", "@introduceDomain", NULL },
    { "@introduceDomain", "1", "@introduceDomain/18", NULL },
    { "@releaseDomain", "", NULL, "@releaseDomain" },
    { "@releaseDomain", "1", NULL, "@releaseDomain/18" },
    { "@releaseDomain/18", "", NULL, "@releaseDomain/18" },
    { "@releaseDomain/19", "", NULL, NULL },
};
#define SPECIALS (sizeof specials / sizeof *specials)
static bool special_watched[CLIENTS][SPECIALS], is_there;
static const char *special_due[CLIENTS][SPECIALS];

static void comes_or_goes(void)
{
    assert_string_equal(is_there ? said(&ctl, XS_RELEASE, 0, S("18"))
                                 : said(&ctl, XS_INTRODUCE, 0,
                                        S("18\0"
                                          "1\0"
                                          "7")),
                        "=OK");
    is_there = !is_there;
    for (unsigned c = 0; c < 2; c++) /* the third may not */
        for (unsigned i = 0; i < SPECIALS; i++)
            if (special_watched[c][i])
                special_due[c][i] = is_there ? specials[i].comes : specials[i].goes;
}

static void special_watch(unsigned c)
{
    unsigned i = rnd(SPECIALS);
    char b[64];
    int n = snprintf(b, sizeof b, "%s%c@%u%c%s", specials[i].path, 0, i, 0, specials[i].depth) + 1;
    assert_string_equal(said(who[c], special_watched[c][i] ? XS_UNWATCH : XS_WATCH, 0, b, (uint32_t)n),
                        "=OK");
    special_watched[c][i] = !special_watched[c][i];
    special_due[c][i] = special_watched[c][i] ? specials[i].path : NULL;
}

static void special_event(unsigned c, const char *p, unsigned i)
{
    if (i >= SPECIALS || !special_due[c][i] || strcmp(p, special_due[c][i]))
        fail_msg("client %u: an event too many: %s for special %u", who[c]->domid, p, i);
    special_due[c][i] = NULL;
}

static void check_events(void)
{
    const char *token, *p;
    for (unsigned c = 0; c < CLIENTS; c++) {
        while ((p = event(who[c], &token))[0] != '-') {
            if (token[0] == '@') {
                special_event(c, p, (unsigned)atoi(token + 1));
                continue;
            }
            bool *d = &due[c][index_of(token)][index_of(p)];
            if (!*d)
                fail_msg("client %u: an event too many: %s for %s", who[c]->domid, p, token);
            *d = false;
        }
        for (unsigned i = 0; i < SPECIALS; i++)
            if (special_due[c][i])
                fail_msg("client %u: no event: %s", who[c]->domid, special_due[c][i]);
        for (unsigned w = 0; w < NODES; w++)
            for (unsigned i = 0; i < NODES; i++)
                if (due[c][w][i])
                    fail_msg("client %u: no event: %s for %s", who[c]->domid, path[i], path[w]);
    }
}

static struct step any_step(void)
{
    static const uint32_t ops[] = { XS_WRITE, XS_WRITE, XS_WRITE, XS_MKDIR, XS_RM };
    return (struct step){ .op = ops[rnd(5)], .i = 1 + rnd(NODES - 1), .value = rnd(100000) };
}

static void alone(struct client *k)
{
    struct node_model before[NODES];
    struct step s = any_step();
    memcpy(before, tree, sizeof tree);
    const char *want = does(tree, &s);
    fires(&s, before, tree);
    assert_string_equal(asks(k, 0, &s), want);
}

static void reads(struct client *k, uint32_t tx, const struct node_model *t, unsigned i)
{
    char want[64];
    const char *a = said(k, XS_READ, tx, path[i], (uint32_t)strlen(path[i]) + 1);
    if (!t[i].there)
        strcpy(want, "ENOENT");
    else
        snprintf(want, sizeof want, t[i].value ? "=%u" : "=", t[i].value);
    assert_string_equal(a, want);
}

static void look(struct client *k)
{
    unsigned i = rnd(NODES);
    reads(k, 0, tree, i);
    if (!tree[i].there || WIDE * i + 1 >= NODES)
        return;
    const char *a = said(k, XS_DIRECTORY, 0, path[i], (uint32_t)strlen(path[i]) + 1) + 1;
    for (unsigned j = WIDE * i + 1; j <= WIDE * i + WIDE; j++) {
        if (!tree[j].there)
            continue;
        assert_string_equal(a, strrchr(path[j], '/') + 1);
        a += strlen(a) + 1;
    }
}

/* Somebody else may change something in between: then it may fail, and nothing of it may be seen. */
static void transaction(struct client *k)
{
    struct node_model before[NODES], mine[NODES];
    struct step s[4];
    unsigned n = 1 + rnd(4), at_start = deaths;
    bool other = !rnd(3), abort = !rnd(5);
    uint32_t tx = tx_start(k);
    memcpy(mine, tree, sizeof tree);
    for (unsigned i = 0; i < n; i++) {
        s[i] = any_step();
        const char *want = does(mine, &s[i]); /* also when another instance answers */
        assert_string_equal(asks(k, tx, &s[i]), want);
        reads(k, tx, mine, s[rnd(i + 1)].i);
    }
    if (other) {
        alone(who[rnd(CLIENTS)]);
        check_events();
    }
    const char *end = said(k, XS_TRANSACTION_END, tx, abort ? "F" : "T", 2);
    if (!other && at_start == deaths)
        assert_string_equal(end, "=OK");
    if (abort || !strcmp(end, "EAGAIN"))
        return;
    assert_string_equal(end, "=OK");
    memcpy(before, tree, sizeof tree);
    for (unsigned i = 0; i < n; i++)
        if (s[i].changes)
            does(tree, &(struct step){ s[i].op, s[i].i, s[i].value, false });
    for (unsigned i = 0; i < n; i++)
        fires(&s[i], before, tree);
}

static void watch(unsigned c)
{
    unsigned i = rnd(NODES);
    char b[64];
    int n = snprintf(b, sizeof b, "%s%c%s", path[i], 0, path[i]) + 1;
    unsigned depth = rnd(5);
    if (depth < 4)
        n += snprintf(b + n, sizeof b - (size_t)n, "%u", depth) + 1;
    assert_string_equal(said(who[c], watched[c][i] ? XS_UNWATCH : XS_WATCH, 0, b, (uint32_t)n),
                        "=OK");
    watched[c][i] = watched[c][i] ? 0 : depth + 1;
    due[c][i][i] = watched[c][i];
}

/* As the supervisor brings a domain back. */
static void rebuilt(void)
{
    memset(g17.ring, 0, sizeof *g17.ring);
    g17.ring->connection = XENSTORE_RECONNECT;
    assert_string_equal(said(&ctl, XS_INTRODUCE, 0,
                             S("17\0"
                               "1\0"
                               "7")),
                        "=OK");
    memset(watched[2], 0, sizeof watched[2]);
    memset(special_watched[2], 0, sizeof special_watched[2]);
}

static void begins_anew(unsigned c)
{
    reconnect(who[c]);
    memset(watched[c], 0, sizeof watched[c]);
    memset(special_watched[c], 0, sizeof special_watched[c]);
}

/* What was set stays set; and the store finds itself sound. */
static void control(void)
{
    static unsigned watches = QUOTA_WATCHES;
    char b[64];
    if (rnd(2)) {
        watches = 100 + rnd(1000);
        int n = snprintf(b, sizeof b, "quota%cset%cwatches%c%u", 0, 0, 0, watches) + 1;
        assert_string_equal(said(&ctl, XS_CONTROL, 0, b, (uint32_t)n), "=OK");
    }
    snprintf(b, sizeof b, "\nwatches %u: ", watches);
    assert_non_null(strstr(said(&ctl, XS_CONTROL, 0, S("quota")), b));
    if (strcmp(said(&ctl, XS_CONTROL, 0, S("check")), "=OK"))
        fail_msg("%s", told);
}

static void one(void)
{
    unsigned c = rnd(CLIENTS), what = rnd(100);
    who[c]->piece = rnd(4) ? XENSTORE_RING_SIZE : 1 + rnd(40);
    if (countdown < 0 && !rnd(6)) {
        countdown = rnd(rnd(3) ? 60 : 600);
        then_countdown = rnd(4) ? -1 : (long)rnd(300);
    }
    if (what < 40)
        alone(who[c]);
    else if (what < 60)
        look(who[c]);
    else if (what < 80)
        transaction(who[c]);
    else if (what < 93)
        watch(c);
    else if (what < 95)
        special_watch(c);
    else if (what < 96)
        control();
    else if (what < 98)
        comes_or_goes();
    else if (what < 99)
        begins_anew(c);
    else
        rebuilt();
    check_events();
}

static unsigned long from_env(const char *name, unsigned long otherwise)
{
    const char *s = getenv(name);
    return s ? strtoul(s, NULL, 0) : otherwise;
}

TEST(test_model, .setup_func = no_world, .teardown_func = no_world)
{
    unsigned long seed = from_env("XS_MODEL_SEED", 1), ops = from_env("XS_MODEL_OPS", 20000);
    rng = seed * 0x9e3779b97f4a7c15ull + 1;
    strcpy(path[0], "/m");
    for (unsigned i = 1; i < NODES; i++)
        snprintf(path[i], sizeof path[i], "%.20s/%c", path[parent(i)], "abc"[(i - 1) % WIDE]);
    keep_size = J_HEAD + 2 * 16384;
    world_up_with(2u << 20);
    OK(&ctl, XS_MKDIR, 0, S("/m"));
    OK(&ctl, XS_SET_PERMS, 0, S("/m\0b0"));
    OK(&ctl, XS_SET_PERMS, 0, S("@introduceDomain\0n0\0r16"));
    OK(&ctl, XS_SET_PERMS, 0, S("@releaseDomain\0n0\0r16"));
    tree[0].there = true;
    for (unsigned long i = 0; i < ops; i++)
        one();
    countdown = -1;
    assert_true(deaths > ops / 100);
    print_message("seed %lu: %lu operations, %u deaths\n", seed, ops, deaths);
    teardown(NULL);
    forget_memory();
}
