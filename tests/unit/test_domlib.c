/* SPDX-License-Identifier: MIT */
// FLAGS: -Idomains/include
/*
 * The domains' library, as far as it is plain logic: numbers, malloc, command line, and the xenstore client
 * against stores that answer rightly, late, too long, with another's number, or with indices out of range.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include "unit.h"

#include "../../domains/internal.h"
static int quiet(const char *fmt, ...) { return 0; }
#define printf(...) quiet(__VA_ARGS__)
#include "../../domains/xs_client.c"
#undef printf
#include "../../domains/cmdline.c"

#define strtoull bh_strtoull
#define strtoll  bh_strtoll
#define strtoul  bh_strtoul
#define strtol   bh_strtol
#define atoi     bh_atoi
#define abs      bh_abs
#define qsort    bh_qsort
#define getenv   bh_getenv
#define parse    parse_number
#include "../../domains/libc/stdlib.c"
#undef parse
#undef strtoull
#undef strtoll
#undef strtoul
#undef strtol
#undef atoi
#undef abs
#undef qsort
#undef getenv

#define usable  malloc_usable
#define queue   malloc_queue
#define malloc  bh_malloc
#define calloc  bh_calloc
#define realloc bh_realloc
#define free    bh_free
#include "../../domains/malloc.c"
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef usable

/* --- what the library stands on, as doubles ------------------------------------------------------------------- */
struct bh_self self;
static unsigned pages_out, page_limit = 100000;

void *page_take(unsigned n) /* with what somebody left there */
{
    if (pages_out + n > page_limit)
        return NULL;
    void *p = aligned_alloc(PAGE_SIZE, n * PAGE_SIZE);
    pages_out += n;
    return memset(p, 0xa5, n * PAGE_SIZE);
}

void page_free(void *p, unsigned n)
{
    pages_out -= n;
    free(p);
}

static jmp_buf panicked;
void bh_panic(const char *fmt, ...) { longjmp(panicked, 1); }

static struct xenstore_domain_interface page;
static uint64_t clock_ns;
static void (*store)(void); /* what the store does when it is given time */
static unsigned sends;

uint64_t now_ns(void) { return clock_ns; }
int event_adopt(uint32_t port, event_fn fn, void *arg) { return 0; }
unsigned event_poll_but(uint32_t port) { return 0; }
int event_send(uint32_t port) { return sends++, 0; }
long get_param(unsigned which, uint64_t *value) { return -1; }
bool event_wait_port(uint32_t port, uint64_t until_ns, bool others)
{
    if (store)
        store();
    clock_ns += 1000000000; /* so that a silent store costs five turns */
    return true;
}

/* --- a store -------------------------------------------------------------------------------------------------- */
static struct {
    struct xsd_sockmsg h;
    char body[4096];
} rq;
static size_t rq_got;
static char out[65536];
static size_t out_len, out_at;

static void push(void)
{
    while (out_at < out_len && page.rsp_prod - page.rsp_cons < XENSTORE_RING_SIZE)
        page.rsp[MASK_XENSTORE_IDX(page.rsp_prod++)] = out[out_at++];
    if (out_at == out_len)
        out_at = out_len = 0;
}

static void say_msg(uint32_t type, uint32_t id, const void *body, uint32_t len)
{
    struct xsd_sockmsg h = { type, id, 0, len };
    memcpy(out + out_len, &h, sizeof(h));
    memcpy(out + out_len + sizeof(h), body, len);
    out_len += sizeof(h) + len;
    push();
}

/* Takes what is in the request ring; true when a whole request is in rq. */
static bool take_request(void)
{
    while (page.req_cons != page.req_prod) {
        ((char *)&rq)[rq_got++] = page.req[MASK_XENSTORE_IDX(page.req_cons++)];
        if (rq_got >= sizeof(rq.h) && rq_got == sizeof(rq.h) + rq.h.len) {
            rq_got = 0;
            return true;
        }
    }
    return false;
}

static void store_good(void)
{
    push();
    if (!take_request())
        return;
    switch (rq.h.type) {
    case XS_READ:
        if (!strcmp(rq.body, "gone"))
            say_msg(XS_ERROR, rq.h.req_id, "ENOENT", 7);
        else
            say_msg(XS_READ, rq.h.req_id, "42", 2);
        break;
    case XS_DIRECTORY: say_msg(XS_DIRECTORY, rq.h.req_id, "a\0bc\0def", 9); break;
    case XS_TRANSACTION_START: say_msg(XS_TRANSACTION_START, rq.h.req_id, "7", 2); break;
    case XS_TRANSACTION_END: say_msg(XS_ERROR, rq.h.req_id, "EAGAIN", 7); break;
    case XS_WATCH: {
        char ev[64]; /* the event says path and token, as the request did */
        uint32_t n = rq.h.len < sizeof(ev) ? rq.h.len : sizeof(ev);
        memcpy(ev, rq.body, n);
        say_msg(XS_WATCH_EVENT, 0, ev, n);
        say_msg(XS_WATCH_EVENT, 0, ev, n);
        say_msg(XS_WATCH, rq.h.req_id, "OK", 3);
        break;
    }
    default: say_msg(rq.h.type, rq.h.req_id, "OK", 3);
    }
}

int setup(void **state)
{
    memset(&page, 0, sizeof(page));
    out_len = out_at = rq_got = 0;
    store = store_good;
    xs_attach(&page, 1);
    self.domid = 7;
    return 0;
}

TEST(xs_plain)
{
    char *v = xs_read(0, "x");
    assert_string_equal(v, "42");
    free(v);
    uint64_t n;
    assert_int_equal(xs_read_uint(0, "x", &n), 0);
    assert_int_equal(n, 42);
    assert_null(xs_read(0, "gone"));
    assert_int_equal(xs_error, ENOENT);
    unsigned count;
    char **l = xs_ls(0, "d", &count);
    assert_int_equal(count, 3);
    assert_string_equal(l[0], "a");
    assert_string_equal(l[2], "def");
    assert_null(l[3]);
    free(l);
    uint32_t tx;
    assert_int_equal(xs_tx_start(&tx), 0);
    assert_int_equal(tx, 7);
    assert_int_equal(xs_tx_end(tx, true), -EAGAIN);
    assert_int_equal(xs_set_perms(0, "x", "n0 r3"), 0);
    assert_memory_equal(rq.body, "x\0n0\0r3", 8);
    assert_int_equal(rq.h.len, 8);
}

static char big[5000];
TEST(xs_long)
{
    memset(big, 'v', 4000);
    big[4000] = 0;
    assert_int_equal(xs_write(0, "path", big), 0); /* goes through the 1 KiB ring in parts */
    assert_int_equal(rq.h.len, 4005);
    memset(big, 'v', sizeof(big) - 1);
    assert_int_equal(xs_write(0, "path", big), -E2BIG);
    assert_int_equal(xs_write(0, "path", "v"), 0);
}

static void store_long_reply(void)
{
    push();
    if (take_request())
        say_msg(rq.h.type, rq.h.req_id, big, 4096);
}

TEST(xs_long_reply)
{
    memset(big, 'r', 4096);
    store = store_long_reply;
    char *v = xs_read(0, "x");
    assert_non_null(v);
    assert_int_equal(strlen(v), 4096);
    free(v);
}

static unsigned fired;
static char fired_path[32];
static void on_watch(const char *path, void *arg)
{
    fired++;
    snprintf(fired_path, sizeof(fired_path), "%s", path);
}

static void on_watch_unwatches(const char *path, void *arg)
{
    fired++;
    xs_unwatch("w2", on_watch_unwatches, NULL);
}

TEST(xs_watches)
{
    fired = 0;
    assert_int_equal(xs_watch("w", on_watch, NULL), 0);
    assert_int_equal(fired, 0); /* never inside the call */
    assert_true(xs_watch_waits("w", on_watch, NULL));
    assert_true(xs_run_watches());
    assert_false(xs_watch_waits("w", on_watch, NULL) || xs_watch_waits("w2", on_watch, NULL));
    assert_int_equal(fired, 1); /* two equal events are one */
    assert_string_equal(fired_path, "w");
    assert_int_equal(xs_watch("w", on_watch, NULL), -EEXIST);
    assert_int_equal(xs_watch("w2", on_watch_unwatches, NULL), 0);
    xs_run_watches();
    assert_int_equal(fired, 2);
    /* An event for a watch that is gone, one without token, one of length 0, one with an unknown token. */
    say_msg(XS_WATCH_EVENT, 0,
            "w2\0"
            "2",
            5);
    say_msg(XS_WATCH_EVENT, 0, "w2", 2);
    say_msg(XS_WATCH_EVENT, 0, "", 0);
    say_msg(XS_WATCH_EVENT, 0, "w2\0zz", 6);
    assert_false(xs_run_watches());
    assert_int_equal(fired, 2);
    assert_int_equal(xs_unwatch("w", on_watch, NULL), 0);
    assert_int_equal(xs_unwatch("w", on_watch, NULL), -ENOENT);
}

static void on_other(const char *path, void *arg) { ++*(unsigned *)arg; }

static void store_silent(void) { take_request(); }
/* Events of ever new names below one watch: no other watch's event is lost, and the flooded one is told that there was more. */
TEST(xs_watch_flood)
{
    unsigned other = 0, len;
    char ev[600], token[12];

    fired = 0;
    assert_int_equal(xs_watch("fe", on_watch, NULL), 0);
    assert_int_equal(xs_watch("other", on_other, &other), 0);
    xs_run_watches();
    assert_int_equal(other, 1);
    fired = 0;
    for (unsigned i = 0; i < 3000; i++) {
        len = (unsigned)snprintf(ev, sizeof(ev), "fe/%0*u", i % 100 ? 6 : 500, i) + 1;
        len += (unsigned)snprintf(ev + len, sizeof(ev) - len, "%x", next_watch - 1) + 1;
        say_msg(XS_WATCH_EVENT, 0, ev, len);
        push();
        drain();
    }
    len = (unsigned)snprintf(token, sizeof(token), "%x", next_watch) + 1;
    memcpy(ev, "other/x", 8);
    memcpy(ev + 8, token, len);
    say_msg(XS_WATCH_EVENT, 0, ev, 8 + len);
    push();
    assert_true(xs_watch_waits("fe", on_watch, NULL));
    assert_true(xs_run_watches());
    assert_false(xs_watch_waits("fe", on_watch, NULL));
    assert_int_equal(other, 2);
    assert_int_equal(fired, MAX_QUEUED + 1);
    assert_string_equal(fired_path, "fe");
    assert_false(xs_run_watches());
    assert_int_equal(xs_unwatch("fe", on_watch, NULL), 0);
    assert_int_equal(xs_unwatch("other", on_other, &other), 0);
}

static void store_other_id(void)
{
    if (take_request()) {
        say_msg(XS_READ, rq.h.req_id + 1, "99", 2);
        say_msg(XS_READ, rq.h.req_id - 1, "98", 2);
    }
}
static void store_too_long(void)
{
    struct xsd_sockmsg h = { XS_READ, rq.h.req_id, 0, 4097 };
    if (take_request()) {
        memcpy(page.rsp, &h, sizeof(h));
        page.rsp_prod = sizeof(h);
    }
}
static void store_bad_index(void) { page.rsp_prod = page.rsp_cons + 1025; }
static void store_bad_cons(void) { page.req_cons = page.req_prod + 1; }
static void store_other_type(void)
{
    if (take_request())
        say_msg(XS_WRITE, rq.h.req_id, "x", 1);
}
static void store_odd_error(void)
{
    if (take_request())
        say_msg(XS_ERROR, rq.h.req_id, "EWHAT", 5);
}

static void expect(void (*behaviour)(void), int err)
{
    setup(NULL);
    store = behaviour;
    uint64_t start = clock_ns;
    assert_null(xs_read(0, "x"));
    assert_int_equal(xs_error, err);
    assert_true(clock_ns - start <= 7000000000ull);
}

TEST(xs_hostile)
{
    expect(store_silent, ETIME);
    expect(store_other_id, ETIME);
    expect(store_odd_error, EINVAL);
    expect(store_too_long, EIO);
    expect(store_other_type, EIO);
    expect(store_bad_index, EIO);
    /* Broken until the store has reset the ring; then it works, and watches are set again. */
    store = store_good;
    assert_null(xs_read(0, "x"));
    assert_int_equal(xs_error, EIO);
    setup(NULL);
    assert_int_equal(xs_watch("w", on_watch, NULL), 0);
    xs_run_watches();
    fired = 0;
    page.rsp_prod = page.rsp_cons + 5000;
    assert_null(xs_read(0, "x"));
    memset(&page, 0, sizeof(page));
    out_len = out_at = rq_got = 0;
    char *v = xs_read(0, "x");
    assert_string_equal(v, "42");
    free(v);
    xs_run_watches();
    assert_int_equal(fired, 1);
    assert_int_equal(xs_unwatch("w", on_watch, NULL), 0);
    /* A consumer index that runs ahead shows at the next request. */
    setup(NULL);
    store_bad_cons();
    assert_null(xs_read(0, "x"));
    assert_int_equal(xs_error, EIO);
}

/* The late answer to a request that was given up is not the next one's. */
TEST(xs_late)
{
    store = store_silent;
    assert_null(xs_read(0, "x"));
    assert_int_equal(xs_error, ETIME);
    say_msg(XS_READ, rq.h.req_id, "old", 3);
    store = store_good;
    char *v = xs_read(0, "x");
    assert_string_equal(v, "42");
    free(v);
}

static int nested;
static void idle_calls(void) { nested = xs_mkdir(0, "y"); }
TEST(xs_idle_is_guarded)
{
    xs_idle = idle_calls;
    char *v = xs_read(0, "x");
    xs_idle = NULL;
    assert_non_null(v);
    free(v);
    assert_int_equal(nested, -EBUSY);
}

static int posted_meanwhile;
/* --- requests that nobody waits for --------------------------------------------------------------------------- */
static int told[4];
static void tell(int rc, void *arg) { told[(long)arg] = rc; }
static int post(long i, const char *path)
{
    return xs_post(XS_READ, path, (uint32_t)strlen(path) + 1, tell, (void *)i);
}
static const int nobody_told[4] = { 1, 1, 1, 1 };

TEST(xs_posted)
{
    memcpy(told, nobody_told, sizeof(told));
    store = NULL;
    assert_int_equal(post(0, "x"), 0);
    assert_int_equal(post(1, "gone"), 0);
    assert_false(xs_run_watches());
    store = store_good;
    uint64_t start = now_ns();
    char *v = xs_read(0, "x"); /* is not given the others' answers, nor does it wait for them */
    assert_string_equal(v, "42");
    free(v);
    assert_true(now_ns() - start < REPLY_TIMEOUT);
    assert_memory_equal(told, nobody_told, sizeof(told)); /* never inside a call */
    assert_true(xs_run_watches());
    assert_int_equal(told[0], 0);
    assert_int_equal(told[1], -ENOENT);
    assert_false(xs_run_watches());

    memset(big, 'p', 900);
    big[900] = '\0';
    assert_int_equal(xs_post(XS_READ, big, XENSTORE_PAYLOAD_MAX + 1, tell, NULL), -E2BIG);
    assert_int_equal(post(2, big), 0);
    assert_int_equal(post(3, big), -EAGAIN); /* no room: it would have to wait */
    store_bad_index();
    assert_int_equal(told[2], 1);
    assert_true(xs_run_watches());
    assert_int_equal(told[2], -EIO);
    assert_int_equal(post(3, "x"), -EIO);
    assert_int_equal(told[3], 1);
}

static void takes_turns(uint64_t until)
{
    if (posted_meanwhile++ == 0) {
        take_request();
        assert_int_equal(post(2, big), 0);
    }
    clock_ns = until;
}

/* A call finds no room; what comes free another takes; its time is over. Nothing of it is in the ring, so nothing is broken. */
TEST(xs_no_room)
{
    store = NULL;
    memset(big, 'p', 1007); /* all of the ring */
    big[1007] = '\0';
    assert_int_equal(post(1, big), 0);
    posted_meanwhile = 0;
    xs_pause = takes_turns;
    assert_int_equal(xs_write(0, "path", "value"), -ETIME);
    xs_pause = NULL;
    assert_int_equal(post(3, "x"), -EAGAIN);
    assert_false(broken);
    store_bad_index();
    xs_run_watches();
}

/* A new connection: what was asked on the old one is not answered. */
TEST(xs_post_and_reset)
{
    memcpy(told, nobody_told, sizeof(told));
    store = NULL;
    assert_int_equal(post(0, "x"), 0);
    store_bad_index();
    drain();
    memset(&page, 0, sizeof(page));
    store = store_good;
    char *v = xs_read(0, "x");
    assert_string_equal(v, "42");
    free(v);
    assert_true(xs_run_watches());
    assert_int_equal(told[0], -EIO);
}

/* The control domain's ring is begun anew because it asks for that: nobody introduces it. */
static void store_sees_mark(void)
{
    if (page.connection == XENSTORE_RECONNECT)
        memset(&page, 0, sizeof(page));
    else
        store_good();
}

TEST(xs_begins_anew)
{
    self.domid = 0;
    store_bad_index();
    drain();
    assert_true(broken);
    store = store_sees_mark;
    char *v = xs_read(0, "x");
    assert_string_equal(v, "42");
    free(v);
}

/* The store says in the ring that it serves it no more: a call ends at once, and what the connection had is to be had again. */
TEST(xs_given_up)
{
    unsigned before = xs_breaks();

    self.domid = 0;
    store = store_good;
    assert_int_equal(xs_watch("w", on_watch, NULL), 0);
    xs_run_watches();
    fired = 0;
    page.error = XENSTORE_ERROR_RINGIDX;
    uint64_t start = clock_ns;
    assert_null(xs_read(0, "x"));
    assert_int_equal(xs_error, EIO);
    assert_true(clock_ns - start < NS_PER_S);
    store = store_sees_mark;
    out_len = out_at = rq_got = 0;
    char *v = xs_read(0, "x");
    assert_string_equal(v, "42");
    free(v);
    xs_run_watches();
    assert_int_equal(fired, 1);
    assert_int_equal(xs_breaks(), before + 1);
    assert_int_equal(xs_unwatch("w", on_watch, NULL), 0);
}

static int called_meanwhile;
static void elsewhere(uint64_t until)
{
    event_wait_port(1, until, false);
    if (posted_meanwhile == 1)
        posted_meanwhile = post(0, "x");
    called_meanwhile = xs_write(0, "x", "v");
    xs_run_watches();
}

/* Somebody else has the CPU while a call waits: between two parts of its message nothing else may go into the ring; once that is whole, it may. */
TEST(xs_pauses)
{
    memcpy(told, nobody_told, sizeof(told));
    xs_pause = elsewhere;
    posted_meanwhile = 1;
    memset(big, 'v', 4000);
    big[4000] = '\0';
    assert_int_equal(xs_write(0, "path", big), 0);
    assert_int_equal(rq.h.len, 4005);
    assert_int_equal(posted_meanwhile, -EAGAIN);
    assert_int_equal(called_meanwhile, -EBUSY);
    posted_meanwhile = 1;
    assert_int_equal(xs_write(0, "path", "v"), 0);
    assert_int_equal(posted_meanwhile, 0);
    xs_pause = NULL;
    while (told[0] == 1) {
        store();
        xs_run_watches();
    }
    assert_int_equal(told[0], 0);
}

/* After a restart nothing is written before the store has taken the mark away. */
static unsigned turns_to_reset;
static void store_late_reset(void)
{
    if (page.connection == XENSTORE_RECONNECT) {
        assert_int_equal(page.req_prod, 0);
        if (turns_to_reset && !--turns_to_reset)
            page.connection = XENSTORE_CONNECTED;
        return;
    }
    store_good();
}
TEST(xs_waits_for_reset)
{
    store = store_late_reset;
    page.connection = XENSTORE_RECONNECT;
    turns_to_reset = 3;
    char *v = xs_read(0, "x");
    assert_non_null(v);
    free(v);
    page.connection = XENSTORE_RECONNECT; /* for ever: an error after 5 s, the ring untouched */
    page.req_cons = page.req_prod = page.rsp_cons = page.rsp_prod = 0;
    assert_null(xs_read(0, "x"));
    assert_int_equal(xs_error, ETIME);
    assert_int_equal(page.req_prod, 0);
    page.connection = XENSTORE_CONNECTED;
    v = xs_read(0, "x");
    assert_non_null(v);
    free(v);
}

/* What a former instance left in the ring is nobody's: a part of it, read before the reset, would be the first answer's beginning. */
TEST(xs_leaves_what_was_there)
{
    page.connection = XENSTORE_RECONNECT;
    page.rsp_prod = 4001;
    page.rsp_cons = 3994;
    on_event(1, NULL);
    assert_false(xs_run_watches()); /* whoever waits for its device before its first call comes by here */
    assert_int_equal(page.rsp_cons, 3994);
    assert_int_equal(got, 0);
    page.req_cons = page.req_prod = page.rsp_cons = page.rsp_prod = 0;
    page.connection = XENSTORE_CONNECTED;
    char *v = xs_read(0, "x");
    assert_string_equal(v, "42");
    free(v);
}

/* Random bytes and indices from the store: no crash, no overrun (the sanitizers watch), an end in bounded time. */
static unsigned seed = 1;
static unsigned rnd(void) { return seed = seed * 1103515245 + 12345, seed >> 8; }
static void store_noise(void)
{
    take_request();
    rq_got = 0;
    for (unsigned i = rnd() % 200; i; i--)
        page.rsp[rnd() % XENSTORE_RING_SIZE] = (char)(rnd() % 3 ? 0 : rnd());
    page.rsp_prod += rnd() % 300;
    if (rnd() % 50 == 0)
        page.req_cons = rnd();
}

TEST(xs_noise)
{
    for (unsigned i = 0; i < 3000; i++) {
        if (i % 3 == 0)
            setup(NULL);
        store = store_noise;
        unsigned n;
        free(xs_read(0, "x"));
        free(xs_ls(0, "x", &n));
        xs_run_watches();
    }
}

/* --- the rest --------------------------------------------------------------------------------------------------- */
TEST(numbers)
{
    static const char *const texts[] = {
        "0",
        "1",
        "-1",
        "+7",
        "  12x",
        "0x1f",
        "0x",
        "0xg",
        "077",
        "08",
        "",
        "x",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
    };
    static const int bases[] = { 0, 10, 16, 8, 2, 36 };

    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++)
        for (unsigned k = 0; k < ARRAY_SIZE(bases); k++) {
            char *e1, *e2;
            assert_true(strtoull(texts[i], &e1, bases[k]) == bh_strtoull(texts[i], &e2, bases[k]));
            assert_ptr_equal(e1, e2);
            assert_true(strtoll(texts[i], &e1, bases[k]) == bh_strtoll(texts[i], &e2, bases[k]));
        }
}

static int by_value(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
TEST(sorting)
{
    int v[200], w[200];

    for (unsigned n = 0; n < 200; n++) {
        for (unsigned i = 0; i < n; i++)
            v[i] = w[i] = (int)(rnd() % 50);
        bh_qsort(v, n, sizeof(int), by_value);
        qsort(w, n, sizeof(int), by_value);
        assert_memory_equal(v, w, n * sizeof(int));
    }
}

TEST(command_line)
{
    char w[8];

    assert_true(cmdline_find("domid=3 keep=0x3f0:4  name=net0", "keep", w, sizeof(w)));
    assert_string_equal(w, "0x3f0:4");
    assert_false(cmdline_find("domid=3 keepx=1", "keep", w, sizeof(w)));
    assert_false(cmdline_find("nokeep=1", "keep", w, sizeof(w)));
    assert_true(cmdline_find("a verbose b", "verbose", w, sizeof(w)));
    assert_string_equal(w, "");
    assert_true(cmdline_find("a=1 a=2", "a", w, sizeof(w)));
    assert_string_equal(w, "2");
    assert_true(cmdline_find("a=123456789", "a", w, sizeof(w)));
    assert_string_equal(w, "1234567");
    assert_true(cmdline_find("a=", "a", w, sizeof(w)));
    assert_string_equal(w, "");
    assert_false(cmdline_find("", "a", w, sizeof(w)));
}

/* Random malloc, realloc and free with a pattern in every block: nothing overlaps, all pages come back. */
TEST(heap)
{
    struct {
        unsigned char *p;
        size_t n;
        unsigned char c;
    } b[64] = { 0 };
    unsigned before = pages_out;

    for (unsigned i = 0; i < 20000; i++) {
        unsigned k = rnd() % 64;
        size_t n = rnd() % 8 ? rnd() % 600 : rnd() % 9000;
        for (size_t j = 0; j < b[k].n; j++)
            assert_int_equal(b[k].p[j], b[k].c);
        if (b[k].p && rnd() % 3 == 0) {
            unsigned char *p = bh_realloc(b[k].p, n);
            for (size_t j = 0; j < n && j < b[k].n; j++)
                assert_int_equal(p[j], b[k].c);
            b[k].p = p;
        } else {
            bh_free(b[k].p);
            b[k].p = bh_malloc(n);
        }
        assert_non_null(b[k].p);
        assert_int_equal((uintptr_t)b[k].p % 16, 0);
        b[k].n = n;
        b[k].c = (unsigned char)rnd();
        memset(b[k].p, b[k].c, n);
    }
    for (unsigned k = 0; k < 64; k++)
        bh_free(b[k].p);
    assert_true(pages_out - before <= ARRAY_SIZE(class_size)); /* a class may keep its last slab */
    assert_null(bh_malloc(SIZE_MAX));
    assert_null(bh_malloc(SIZE_MAX / 2 + 5));
    assert_null(bh_calloc(SIZE_MAX / 2, 4));
    page_limit = pages_out;
    assert_null(bh_malloc(100000));
    page_limit = 100000;
}

TEST(heap_catches)
{
    static char not_heap[8192] __attribute__((aligned(4096)));

    if (!setjmp(panicked)) {
        bh_free(not_heap + 64);
        fail_msg("what is no heap was freed");
    }
    void *p = bh_malloc(5000);
    if (!setjmp(panicked)) {
        bh_free((char *)p + 8);
        fail_msg("what is no block was freed");
    }
    bh_free(p);
}
