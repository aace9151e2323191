/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/lib/blame.c drivers-dom/lib/keep_record.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -lz
/* The xenbus side of a back-end, against a small store that can refuse, hide nodes, or not answer. */
#include "unit.h"

static int quiet(const char *fmt, ...) { return 0; }
#define printf(...) quiet(__VA_ARGS__)
#include "../../drivers-dom/lib/xenbus_backend.c"
#undef printf

struct bh_self self;
void shared_stored(void) {}

/* --- the slot table --- */
static struct slot_entry table[SLOT_ENTRIES];
static uint32_t gen;

static struct slot_entry *entry(unsigned dom, unsigned devid, enum slot_state state)
{
    struct slot_entry *e = table;
    while (slot_live(e) && (e->domid != dom || e->devid != devid))
        e++;
    if (!slot_live(e))
        gen++;
    e->domid = (uint16_t)dom, e->devid = devid;
    e->head = slot_head(state, SLOT_VIF, slot_live(e) ? slot_gen(e) : gen);
    return e;
}

/* --- the store --- */
#define NODES 64
static struct node {
    char path[96], val[64];
    bool hidden;
} nodes[NODES];
static struct {
    char path[96];
    watch_fn fn;
    void *arg;
} watches[16];
static bool down; /* no call is answered */
static bool held; /* watches are called later: at `released` */
static bool event_waits[16];
static unsigned calls;
static uint64_t now;
static const struct dtimer *armed;
int xs_error;

uint64_t now_ns(void) { return now; }
void dtimer_set(struct dtimer *t, uint64_t when) { t->when = when, armed = t; }

static struct node *node(const char *path)
{
    for (unsigned i = 0; i < NODES; i++)
        if (!strcmp(nodes[i].path, path))
            return &nodes[i];
    return NULL;
}
static void changed(const char *path)
{
    for (unsigned i = 0; i < ARRAY_SIZE(watches); i++) {
        if (!watches[i].fn || strncmp(path, watches[i].path, strlen(watches[i].path)))
            continue;
        event_waits[i] = held;
        if (!held)
            watches[i].fn(path, watches[i].arg);
    }
}
static void released(void)
{
    held = false;
    for (unsigned i = 0; i < ARRAY_SIZE(watches); i++) {
        if (event_waits[i])
            watches[i].fn(watches[i].path, watches[i].arg);
        event_waits[i] = false;
    }
}
static void put(const char *path, const char *val)
{
    struct node *n = node(path);
    if (!n)
        n = node("");
    assert_non_null(n);
    snprintf(n->path, sizeof(n->path), "%s", path);
    snprintf(n->val, sizeof(n->val), "%s", val);
    changed(path);
}
static void gone(const char *dir)
{
    for (unsigned i = 0; i < NODES; i++)
        if (!strncmp(nodes[i].path, dir, strlen(dir)))
            memset(&nodes[i], 0, sizeof(nodes[i]));
    changed(dir);
}
static bool answers(void)
{
    calls++;
    xs_error = EIO;
    return !down;
}
char *xs_read(uint32_t tx, const char *path)
{
    struct node *n = node(path);
    if (!answers())
        return NULL;
    xs_error = !n ? ENOENT : EACCES;
    return n && !n->hidden ? strdup(n->val) : NULL;
}
int xs_read_uint(uint32_t tx, const char *path, uint64_t *v)
{
    char *end, *s = xs_read(tx, path);
    if (!s)
        return -xs_error;
    *v = strtoull(s, &end, 10);
    int rc = end == s || *end ? -EINVAL : 0;
    free(s);
    return rc;
}
int xs_write(uint32_t tx, const char *path, const char *val)
{
    if (!answers())
        return -EIO;
    put(path, val);
    return 0;
}
int xs_rm(uint32_t tx, const char *path)
{
    gone(path);
    return 0;
}
char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    size_t len = strlen(path);
    char **names = malloc(NODES * sizeof(*names) + NODES * 16), *text = (char *)(names + NODES);
    *n = 0;
    for (unsigned i = 0; answers() && i < NODES; i++) {
        if (strncmp(nodes[i].path, path, len) || nodes[i].path[len] != '/')
            continue;
        char *name = text + *n * 16;
        snprintf(name, 16, "%.*s", (int)strcspn(nodes[i].path + len + 1, "/"),
                 nodes[i].path + len + 1);
        bool known = false;
        for (unsigned k = 0; k < *n; k++)
            known |= !strcmp(names[k], name);
        if (!known)
            names[(*n)++] = name;
    }
    if (*n)
        return names;
    xs_error = down ? EIO : ENOENT;
    free(names);
    return NULL;
}
int xs_watch(const char *path, watch_fn fn, void *arg)
{
    unsigned i = 0;
    if (!answers())
        return -EIO;
    while (watches[i].fn)
        i++;
    snprintf(watches[i].path, sizeof(watches[i].path), "%s", path);
    watches[i].fn = fn, watches[i].arg = arg;
    fn(path, arg);
    return 0;
}
int xs_unwatch(const char *path, watch_fn fn, void *arg)
{
    for (unsigned i = 0; i < ARRAY_SIZE(watches); i++)
        if (watches[i].fn == fn && watches[i].arg == arg && !strcmp(watches[i].path, path))
            watches[i].fn = NULL;
    return 0;
}
bool xs_watch_waits(const char *path, watch_fn fn, void *arg)
{
    for (unsigned i = 0; i < ARRAY_SIZE(watches); i++)
        if (watches[i].fn == fn && watches[i].arg == arg && !strcmp(watches[i].path, path))
            return event_waits[i];
    return false;
}

/* --- a back-end with two places --- */
static struct be_dev devs[2];
static bool busy[2]; /* it cannot be disconnected yet */
static unsigned followed[2], forgotten;
static uint64_t last_fe;
static bool last_online, all_known, last_stale;
static void (*meanwhile)(void); /* what a front-end does while it is followed */

static bool disconnect_it(struct be_dev *d) { return !busy[d - devs]; }
static void forget_it(struct be_dev *d)
{
    forgotten++;
    memset(d, 0, sizeof(*d));
}
static void follow_it(struct be_dev *d, uint64_t fe, bool online)
{
    followed[d - devs]++;
    for (unsigned i = 0; i < 2; i++)
        all_known &= !devs[i].used || devs[i].state;
    last_fe = fe;
    last_online = online;
    if (meanwhile)
        meanwhile();
    last_stale = be_stale(d);
    be_set_state(d, XenbusStateInitWait);
}
static const char *const keys[] = { "online", "frontend", NULL };
static const struct be_class class = { .type = "vxx",
                                       .what = "things",
                                       .kind = SLOT_VIF,
                                       .keys = keys,
                                       .max_devid = 0xffff,
                                       .first = devs,
                                       .size = sizeof(devs[0]),
                                       .nr = 2,
                                       .disconnect = disconnect_it,
                                       .forget = forget_it,
                                       .follow = follow_it };

static void add(unsigned dom, unsigned devid)
{
    char path[96], fe[64];
    entry(dom, devid, SLOT_ATTACHING);
    snprintf(fe, sizeof(fe), "/local/domain/%u/device/vxx/%u", dom, devid);
    snprintf(path, sizeof(path), "backend/vxx/%u/%u/frontend", dom, devid);
    put(path, fe);
    snprintf(path, sizeof(path), "backend/vxx/%u/%u/state", dom, devid);
    put(path, "1");
    entry(dom, devid, SLOT_ATTACHED);
}
/* As the toolstack does it. */
static void removed(unsigned dom, unsigned devid)
{
    char path[96];
    entry(dom, devid, SLOT_DETACHING);
    snprintf(path, sizeof(path), "backend/vxx/%u/%u", dom, devid);
    gone(path);
}
static void settle(void)
{
    for (unsigned i = 0; be_work(&class); i++)
        assert_true(i < 10); /* our own writes must not keep it busy */
}
int setup(void **state)
{
    memset(nodes, 0, sizeof(nodes));
    memset(watches, 0, sizeof(watches));
    memset(devs, 0, sizeof(devs));
    memset(busy, 0, sizeof(busy));
    memset(followed, 0, sizeof(followed));
    memset(table, 0, sizeof(table));
    memset(event_waits, 0, sizeof(event_waits));
    held = false;
    meanwhile = NULL;
    self = (struct bh_self){ .name = "back-end", .table = table, .nr_table = SLOT_PAGES };
    rescan = scan_failed = watching = down = false;
    retry_at = forgotten = calls = 0;
    now = 1000000000;
    return 0;
}

TEST(finds_and_follows)
{
    add(17, 0);
    put("/local/domain/17/device/vxx/0/state", "1");
    settle();
    assert_true(followed[0] >= 1);
    assert_int_equal(last_fe, 1);
    assert_true(last_online);
    assert_string_equal(node("backend/vxx/17/0/state")->val, "2");
    put("/local/domain/17/device/vxx/0/state", "4");
    settle();
    assert_int_equal(last_fe, 4);
    put("backend/vxx/17/0/online", "0"); /* a node decides nothing */
    settle();
    assert_true(last_online);
    entry(17, 0, SLOT_DETACHING);
    put("backend/vxx/17/0/online", "0");
    settle();
    assert_false(last_online);
    unsigned before = followed[0];
    put("backend/vxx/17/0/feature-of-ours", "1");
    settle();
    assert_int_equal(followed[0], before);
    add(17, 1); /* after the first look */
    settle();
    assert_int_equal(devs[1].devid, 1);
}

TEST(what_has_no_entry_is_no_device)
{
    put("backend/vxx/17/0/frontend", "/local/domain/17/device/vxx/0");
    put("backend/vxx/x/0/frontend", "/a");
    settle();
    assert_false(devs[0].used);
    entry(17, 0, SLOT_ATTACHED)->head = slot_head(SLOT_ATTACHED, SLOT_VBD, 1); /* of another kind */
    entry(18, 65536, SLOT_ATTACHED); /* more than max_devid */
    put("backend/vxx/17/0/frontend", "/local/domain/17/device/vxx/0");
    settle();
    assert_false(devs[0].used);
    self.nr_table = 0;
    entry(19, 0, SLOT_ATTACHED);
    put("backend/vxx/19/0/frontend", "/local/domain/19/device/vxx/0");
    settle();
    assert_false(devs[0].used);
}

TEST(who_the_front_end_is_says_the_entry)
{
    add(17, 0);
    put("/local/domain/17/device/vxx/0/state", "3");
    put("backend/vxx/17/0/frontend", "/local/domain/18/device/vxx/0");
    settle();
    assert_string_equal(devs[0].fe_path, "/local/domain/17/device/vxx/0");
    assert_int_equal(last_fe, 3);
    gone("backend/vxx/17/0/frontend"); /* nor does its absence */
    put("/local/domain/17/device/vxx/0/state", "4");
    settle();
    assert_int_equal(last_fe, 4);
    assert_true(devs[0].used);
    assert_int_equal(forgotten, 0);
}

TEST(not_before_its_nodes_are_there)
{
    entry(17, 0, SLOT_ATTACHING);
    rescan = true;
    settle();
    assert_int_equal(followed[0], 0);
    assert_null(node("backend/vxx/17/0/state"));
    add(17, 0);
    settle();
    assert_true(followed[0]);
}

/* The number is the same, the device is another one. */
TEST(another_generation)
{
    add(17, 0);
    settle();
    entry(17, 0, SLOT_ATTACHED)->head = slot_head(SLOT_ATTACHED, SLOT_VIF, ++gen);
    busy[0] = true;
    put("backend/vxx/17/0/frontend", "/local/domain/17/device/vxx/0");
    settle();
    assert_int_equal(forgotten, 0); /* the old one's requests are in flight */
    unsigned before = followed[0];
    busy[0] = false;
    be_again(&devs[0]);
    settle();
    assert_int_equal(forgotten, 1);
    assert_int_equal(followed[0], before);
    now = retry_at;
    settle();
    assert_int_equal(devs[0].gen, gen);
    assert_true(followed[0] > before);
}

/* The last words on an earlier device of that number, which came when the nodes were those of the next one. */
TEST(late_words)
{
    entry(17, 0, SLOT_ATTACHING);
    put("backend/vxx/17/0/bh-error", "no");
    put("backend/vxx/17/0/bh-stalled", "no");
    put("backend/vxx/17/0/bh-replug", "no");
    put("backend/vxx/17/0/bh-gen", "77");
    add(17, 0);
    put("backend/vxx/17/0/state", "6");
    settle();
    assert_null(node("backend/vxx/17/0/bh-error"));
    assert_null(node("backend/vxx/17/0/bh-stalled"));
    assert_null(node("backend/vxx/17/0/bh-replug"));
    assert_int_equal(atoi(node("backend/vxx/17/0/bh-gen")->val), gen);
    assert_string_equal(node("backend/vxx/17/0/state")->val, "2");
    put("backend/vxx/17/0/state", "6"); /* those of a former instance on the same device count */
    put("backend/vxx/17/0/bh-stalled", "no");
    devs[0].state = 0;
    be_again(&devs[0]);
    down = true;
    be_work(&class);
    assert_int_equal(devs[0].state, 0); /* only if they can be read */
    down = false;
    now = retry_at;
    assert_true(be_work(&class));
    assert_non_null(node("backend/vxx/17/0/bh-stalled"));
}

TEST(one_too_many_is_told)
{
    add(17, 0);
    add(18, 0);
    settle();
    add(19, 0);
    settle();
    assert_string_equal(node("backend/vxx/19/0/bh-error")->val,
                        "it has 2 things already, that is all it can");
    assert_int_equal(atoi(node("backend/vxx/19/0/bh-gen")->val), gen);
    removed(17, 0);
    devs[0].state = 0;            /* as after an adoption */
    assert_true(be_work(&class)); /* who uses what has changed */
    assert_int_equal(forgotten, 1);
    entry(17, 0, SLOT_ABSENT);
    add(19, 0);
    settle();
    assert_int_equal(devs[0].dom, 19);
}

TEST(a_hidden_state_is_none_and_holds_nobody_up)
{
    put("/local/domain/17/device/vxx/0/state", "4");
    node("/local/domain/17/device/vxx/0/state")->hidden = true;
    add(17, 0);
    add(18, 0);
    settle();
    assert_true(followed[0] && followed[1]);
    assert_int_equal(last_fe, 0);
    assert_int_equal(retry_at, 0);
}

TEST(a_silent_store_is_asked_again)
{
    down = true;
    assert_false(be_work(&class));
    assert_true(retry_at > now);
    calls = 0;
    assert_false(be_work(&class));
    assert_int_equal(calls, 0); /* not before its time */
    assert_ptr_equal(armed, &retry_timer);
    assert_int_equal(armed->when, retry_at);
    down = false;
    now = retry_at;
    add(17, 0);
    settle();
    unsigned before = followed[0];
    assert_true(before);
    down = true;
    put("/local/domain/17/device/vxx/0/state", "3");
    be_work(&class);
    assert_int_equal(followed[0], before); /* nothing changes by silence */
    assert_int_equal(forgotten, 0);
    down = false;
    now = retry_at;
    settle();
    assert_int_equal(last_fe, 3);
}

/* One that is tried again all the time does not hold up the others, nor is it forgotten. */
TEST(retries_are_for_their_own_device)
{
    add(17, 0);
    add(18, 0);
    settle();
    for (unsigned i = 0; i < 10; i++) {
        be_retry(&devs[0]);
        unsigned before = followed[1];
        put("/local/domain/18/device/vxx/0/state", "3");
        settle();
        assert_true(followed[1] > before);
        now += 50000000;
    }
    assert_true(followed[0] > 2); /* others' retries did not put it off */
    be_retry(&devs[0]);
    add(19, 0); /* a scan, too */
    settle();
    assert_non_null(node("backend/vxx/19/0/bh-error"));
    unsigned before = followed[0];
    now += RETRY_NS;
    settle();
    assert_true(followed[0] > before);
}

/* Whoever is followed first finds the states of all others read. */
TEST(states_are_known_first)
{
    add(17, 0);
    add(18, 0);
    put("backend/vxx/18/0/state", "2");
    all_known = true;
    settle();
    assert_true(followed[0] && followed[1]);
    assert_true(all_known);
}

TEST(a_device_that_drains_stays)
{
    add(17, 0);
    settle();
    busy[0] = true;
    removed(17, 0);
    settle();
    assert_true(devs[0].used && devs[0].watched);
    assert_int_equal(forgotten, 0);
    busy[0] = false;
    be_again(&devs[0]);
    settle();
    assert_int_equal(forgotten, 1);
    assert_false(devs[0].used);
    for (unsigned i = 0; i < ARRAY_SIZE(watches); i++)
        assert_true(!watches[i].fn ||
                    watches[i].fn == be_changed); /* no watch points at the empty place */
}

static void writes_its_state_again(void) { put("/local/domain/17/device/vxx/0/state", "3"); }
static void another_writes_its_state(void) { put("/local/domain/18/device/vxx/0/state", "3"); }

TEST(a_state_that_is_written_again_is_stale)
{
    add(17, 0);
    add(18, 0);
    settle();
    put("/local/domain/17/device/vxx/0/state", "4");
    held = true;
    meanwhile = another_writes_its_state;
    settle();
    assert_int_equal(last_fe, 4);
    assert_false(last_stale);
    released();
    meanwhile = NULL;
    settle();
    put("/local/domain/17/device/vxx/0/state", "4");
    held = true;
    meanwhile = writes_its_state_again;
    settle();
    assert_int_equal(last_fe, 4);
    assert_true(last_stale);
    meanwhile = NULL;
    released();
    settle();
    assert_int_equal(last_fe, 3); /* it was looked at again */
    assert_false(last_stale);
}

/* Why it cannot be had stands in its directory once the store takes it, and goes when it can be had. */
TEST(what_is_refused_is_told_once)
{
    add(17, 0);
    settle();
    down = true;
    assert_false(be_refuse(&devs[0], "no"));
    down = false;
    assert_null(node("backend/vxx/17/0/bh-error"));
    now += RETRY_NS;
    assert_true(be_refuse(&devs[0], "no"));
    assert_string_equal(node("backend/vxx/17/0/bh-error")->val, "no");
    unsigned before = calls;
    assert_false(be_refuse(&devs[0], "no"));
    assert_int_equal(calls, before);
    assert_true(be_refuse(&devs[0], "not that either"));
    assert_string_equal(node("backend/vxx/17/0/bh-error")->val, "not that either");
    be_admit(&devs[0]);
    assert_null(node("backend/vxx/17/0/bh-error"));
    before = calls;
    be_admit(&devs[0]);
    assert_int_equal(calls, before);
}

/* In every life it is said, that nothing is wrong as well: a former instance may have seen otherwise. */
TEST(the_device_s_problem)
{
    char text[300];

    put("error", "of a former life");
    settle();
    down = true;
    be_problem("");
    assert_string_equal(node("error")->val, "of a former life");
    down = false;
    be_problem(""); /* a silent store is not asked all the time */
    assert_string_equal(node("error")->val, "of a former life");
    now = retry_at;
    settle();
    be_problem("");
    assert_string_equal(node("error")->val, "");
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    be_problem(text);
    unsigned before = calls;
    be_problem(text);
    assert_int_equal(calls, before);
    be_problem("its cable is cut");
    assert_string_equal(node("error")->val, "its cable is cut");
}
