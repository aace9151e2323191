/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/xs_crash.c tests/unit/pciback_life.c
// FLAGS: -O2 -Idomains/include -lz -Wl,--wrap=malloc
/*
 * pciback against the store: it dies at every hypercall and at every store to its ring, dies once more soon after, the control domain writes at every
 * one of its messages, the store dies or is away there. Each time the devices of all owners are described in the end as they would have been, and
 * nothing else is there.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "pciback_life.h"
#include "unit.h"
#include "xs_crash.h"

#define PCIBACK 2
#define NEVER   -1l

/* What was given back is not kept for long: each life would copy its pages' table. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "quarantine_size_mb=1"; }

/* --- what control does -------------------------------------------------------------------------------------------------- */
static void with(uint32_t type, uint32_t tx, const char *text, const char *path_fmt, unsigned owner,
                 unsigned n)
{
    char req[256];
    int len = snprintf(req, sizeof req, "/local/domain/2/backend/pci/%u", owner);
    len += snprintf(req + len, sizeof req - (size_t)len, path_fmt, n) + 1;
    for (const char *word = text; word; word = strchr(word, ' ') ? strchr(word, ' ') + 1 : NULL) {
        int k = type == XS_SET_PERMS ? (int)strcspn(word, " ") : (int)strlen(word);
        memcpy(req + len, word, (size_t)k);
        len += k;
        if (type != XS_SET_PERMS)
            break;
        req[len++] = 0;
    }
    assert_string_equal(said(&ctl, type, tx, req, (uint32_t)len), "=OK");
}

/* pci_nodes() of ctl-dom/store/devices.c ctl-dom/store/pci_guest.c: so many devices, which begin at this slot. */
static void devices(unsigned owner, unsigned slot, unsigned nr)
{
    char text[32];
    uint32_t tx = tx_start(&ctl);
    snprintf(text, sizeof text, "n0 r2 r%u", owner);
    with(XS_MKDIR, tx, NULL, "", owner, 0);
    with(XS_SET_PERMS, tx, text, "", owner, 0);
    with(XS_MKDIR, tx, NULL, "/0", owner, 0);
    with(XS_SET_PERMS, tx, text, "/0", owner, 0);
    for (unsigned i = 0; i < nr; i++) {
        snprintf(text, sizeof text, "0000:00:%02x.0", slot + i);
        with(XS_WRITE, tx, text, "/0/dev-%u", owner, i);
    }
    snprintf(text, sizeof text, "%u", nr);
    with(XS_WRITE, tx, text, "/0/num_devs", owner, 0);
    snprintf(text, sizeof text, "n2 r%u", owner);
    with(XS_SET_PERMS, tx, text, "/0", owner, 0);
    with(XS_WRITE, tx, "1", "/0/state", owner, 0);
    assert_string_equal(said(&ctl, XS_TRANSACTION_END, tx, S("T")), "=OK");
}

static bool one_more; /* its device is there already */
static void attach_one_more(void)
{
    if (!one_more)
        devices(16, 3, 2);
    one_more = true;
}

/* The front-end of 16. */
static void front(const char *key, const char *value)
{
    char req[128];
    int len = snprintf(req, sizeof req, "/local/domain/16/device/pci/0/%s", key) + 1;
    len += snprintf(req + len, sizeof req - (size_t)len, "%s", value);
    assert_string_equal(said(&ctl, XS_WRITE, 0, req, (uint32_t)len), "=OK");
}

static void front_connects(void)
{
    front("pci-op-ref", "9");
    front("event-channel", "5");
    front("magic", "7");
    front("state", "3");
}

/* The second device is to go. */
static void reconfigure(void)
{
    with(XS_WRITE, 0, "5", "/0/state-%u", 16, 1);
    with(XS_WRITE, 0, "7", "/0/state", 16, 0);
}

static unsigned cycles; /* so often the front-end closes, and comes again */

/* What is done each time that pciback sleeps; false: nothing is left. */
static bool acts(unsigned n)
{
    switch (n) {
    case 0: devices(16, 3, 1); return true;
    case 1: devices(17, 5, 1); return true;
    case 2: attach_one_more(); return true;
    case 3: devices(18, 9, 1); return true; /* is the platform's */
    case 4: with(XS_RM, 0, NULL, "", 17, 0); return true;
    case 5: front_connects(); return true;
    case 6: reconfigure(); return true;
    case 7: front("state", "7"); return true;
    case 8: front("state", "4"); return true;
    default: return n - 9 < 2 * cycles && (front("state", n % 2 ? "5" : "4"), true);
    }
}

/* --- one run ------------------------------------------------------------------------------------------------------------ */
struct plan {
    long at, then;   /* points to its death, and from it to the next */
    long message;    /* of those that it sends: at this one ... */
    bool attach;     /* ... control attaches the second device (or when the first one is there) */
    bool store_dies; /* ... the store dies */
    unsigned away;   /* ... the store ceases to answer for so many waits */
};

static struct xenstore_domain_interface *ring;
static struct life_seen *seen;
static unsigned lives, died, panicked, away;
static long messages;
static bool introduced;
static int life_fd;
static pid_t life_pid;

static void next_life(long dies_after)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    lives++;
    life_pid = fork();
    assert_true(life_pid >= 0);
    if (!life_pid) {
        close(fd[0]);
        alarm(20);
        pciback_life(ring, seen, fd[1], dies_after);
    }
    close(fd[1]);
    life_fd = fd[0];
}

static int life_over(void)
{
    int status;
    close(life_fd);
    assert_int_equal(waitpid(life_pid, &status, 0), life_pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* As the supervisor does it: the ring is emptied and marked, the next instance runs, then the store hears of it. */
static void bring_back(long dies_after)
{
    memset(ring, 0, sizeof *ring);
    ring->connection = XENSTORE_RECONNECT;
    introduced = false;
    next_life(dies_after);
}

static void introduce_again(void)
{
    introduced = true;
    OK(&ctl, XS_INTRODUCE, 0,
       S("2\0"
         "1234\0"
         "7"));
}

static void store_next_life(void)
{
    forget_memory();
    assert_int_equal(next_instance(), 0);
    xs_snapshot(&store);
}

static void store_turn(void) { stream_serve(&store, conn_find(&store, PCIBACK), 1 << 20); }

/* True: it may go on; false: everything is over. */
static bool hears(char what, const struct plan *p, unsigned *step)
{
    if (!introduced)
        introduce_again();
    if (what == LIFE_SENDS && messages++ == p->message) {
        away = p->away;
        if (p->store_dies)
            store_next_life();
    }
    if (p->attach && what == LIFE_SENDS && messages > p->message && *step)
        attach_one_more();
    if (what == LIFE_SLEEPS) /* others do one thing after the other: what was done it has seen */
        away = 0;
    if (!away)
        store_turn();
    return what != LIFE_SLEEPS || ring->rsp_prod != ring->rsp_cons || acts((*step)++);
}

static void world(void)
{
    struct client c;
    keep_size = J_HEAD + 2 * 65536; /* little: each life copies it */
    world_up_with(1u << 20);
    deaths = lives = died = panicked = away = 0;
    messages = 0;
    one_more = false;
    ring = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    seen->now = 1000000000;
    pages[PCIBACK] = ring;
    introduce(&c, PCIBACK);
    introduced = true;
    OK(&ctl, XS_MKDIR, 0, S("/local/domain/2/backend"));
    OK(&ctl, XS_SET_PERMS, 0, S("/local/domain/2\0n0\0r2"));
    OK(&ctl, XS_SET_PERMS, 0, S("/local/domain/2/backend\0n0\0r2"));
    OK(&ctl, XS_MKDIR, 0, S("/local/domain/16/device/pci/0"));
    OK(&ctl, XS_SET_PERMS, 0, S("/local/domain/16/device/pci/0\0n16\0r2"));
}

static void world_ends(void)
{
    struct xenstore_domain_interface *own = malloc(sizeof *own); /* the harness gives it back */
    *own = *ring;
    pages[PCIBACK] = conn_find(&store, PCIBACK)->ring = own;
    munmap(ring, 4096);
    munmap(seen, sizeof *seen);
    teardown(NULL);
    forget_memory();
}

/* What is in the store when all is over; to be freed. */
static char *play(const struct plan *p)
{
    long then = p->then;
    unsigned step = 0;
    world();
    next_life(p->at);
    for (bool goes_on = true; goes_on;) {
        char what;
        ssize_t n = read(life_fd, &what, 1);
        if (n == 1) {
            goes_on = hears(what, p, &step);
            what = away && what == LIFE_WAITS && away-- ? LIFE_LATER : LIFE_GO_ON;
            if (goes_on)
                assert_int_equal(write(life_fd, &what, 1), 1);
            continue;
        }
        int how = life_over();
        assert_true(how == LIFE_DIED || how == LIFE_PANIC);
        died += how == LIFE_DIED;
        panicked += how == LIFE_PANIC;
        assert_true(lives < 8);
        bring_back(then);
        then = NEVER;
    }
    (void)life_over();
    state_exact = false;
    char *state = state_text();
    state_exact = true;
    return state;
}

static char *want;
static long all_points, all_messages;
#define UNTOUCHED                                    \
    {                                                \
        .at = NEVER, .then = NEVER, .message = NEVER \
    }

static unsigned watches_in(const char *state)
{
    unsigned n = 0;

    while ((state = strstr(state, "\n  watch "))) {
        state++;
        n++;
    }
    return n;
}

static void same_end(const char *what, const struct plan *p)
{
    char where[96], *state = play(p);
    snprintf(where, sizeof where, "%s %ld, %ld, message %ld", what, p->at, p->then, p->message);
    /* Watches have other tokens in another life; and what was not answered in time may have been done: a watch more. */
    same_text(where, strstr(want, "\n/"), strstr(state, "\n/"));
    if (!p->away)
        assert_int_equal(watches_in(state), watches_in(want));
    assert_true(seen->adopted >= 1 && seen->served >= 1);
    free(state);
    world_ends();
}

int setup_all(void **state)
{
    want = play(&(struct plan)UNTOUCHED);
    all_points = seen->points;
    all_messages = messages;
    print_message("%ld points, %ld messages\n", all_points, all_messages);
    world_ends();
    return 0;
}

int teardown_all(void **state)
{
    free(want);
    return 0;
}

/* --- tests -------------------------------------------------------------------------------------------------------------- */
static void node_is(const char *path, const char *value)
{
    char req[96], reply[600];
    snprintf(req, sizeof req, "/local/domain/2/backend/pci/%s", path);
    snprintf(reply, sizeof reply, "%s%s", strcmp(value, "ENOENT") ? "=" : "", value);
    assert_string_equal(said(&ctl, XS_READ, 0, req, (uint32_t)strlen(req) + 1), reply);
}

TEST(test_what_it_says, .setup_func = no_world, .teardown_func = no_world)
{
    char cfg[513];
    free(play(&(struct plan)UNTOUCHED));
    node_is("16/0/state", "4");
    assert_int_equal(life_config(3 << 3, cfg), 0);
    node_is("16/0/cfg-0", cfg);
    assert_int_equal(life_config(4 << 3, cfg), 0);
    node_is("16/0/cfg-1", cfg);
    node_is("16/0/cfg-2", "ENOENT");
    node_is("16/0/vdev-0", "0000:00:01.00");
    node_is("16/0/vdev-1", "0000:00:02.00");
    node_is("16/0/state-0", "3");
    node_is("16/0/state-1", "6");
    assert_int_equal(seen->shown, 1);
    node_is("16/0/root_num", "1");
    node_is("16/0/root-0", "0000:00");
    WANT(&g16, XS_READ, 0, S("/local/domain/2/backend/pci/16/0/vdev-1"), "=0000:00:02.00");
    WANT(&ctl, XS_GET_PERMS, 0, S("/local/domain/2/backend/pci/16/0/cfg-1"), "=n2");
    WANT(&g16, XS_READ, 0, S("/local/domain/2/backend/pci/16/0/state"), "=4");
    WANT(&g17, XS_READ, 0, S("/local/domain/2/backend/pci/16/0/cfg-0"), "EACCES");
    node_is("18/0/state", "6");
    node_is("18/0/error", "the device is not hidden");
    node_is("18/0/cfg-0", "ENOENT");
    node_is("17/0/state", "ENOENT");
    assert_int_equal(lives, 1);
    world_ends();
}

/* A front-end that comes and goes has no more lines than a few. */
TEST(test_lines, .setup_func = no_world, .teardown_func = no_world)
{
    cycles = 100;
    free(play(&(struct plan)UNTOUCHED));
    cycles = 0;
    node_is("16/0/state", "4");
    print_message("%u lines\n", seen->lines);
    assert_in_range(seen->lines, 5, 30);
    world_ends();
}

TEST(test_every_death, .setup_func = no_world, .teardown_func = no_world)
{
    assert_true(all_points > 400);
    for (long at = 0; at < all_points; at++) {
        same_end("death at", &(struct plan){ .at = at, .then = NEVER, .message = NEVER });
        assert_int_equal(died, 1);
    }
}

TEST(test_two_in_a_row, .setup_func = no_world, .teardown_func = no_world)
{
    for (long at = 5; at < all_points; at += all_points / 8)
        for (long then = 0; then < 120; then += 5)
            same_end("death at", &(struct plan){ .at = at, .then = then, .message = NEVER });
}

/* A device more, while the others are being described. */
TEST(test_control_writes_meanwhile, .setup_func = no_world, .teardown_func = no_world)
{
    for (long i = 0; i < all_messages; i++)
        same_end("attached at",
                 &(struct plan){ .at = NEVER, .then = NEVER, .message = i, .attach = true });
}

TEST(test_store_dies, .setup_func = no_world, .teardown_func = no_world)
{
    for (long i = 0; i < all_messages; i++)
        same_end("store dies at",
                 &(struct plan){ .at = NEVER, .then = NEVER, .message = i, .store_dies = true });
    for (long i = 0; i < all_messages; i += 3)
        same_end("both die", &(struct plan){ .at = i * all_points / all_messages,
                                             .then = NEVER,
                                             .message = i,
                                             .store_dies = true });
}

/* For longer than a call waits for it: nothing is given up. */
TEST(test_store_is_away, .setup_func = no_world, .teardown_func = no_world)
{
    for (long i = 0; i < all_messages; i++)
        for (unsigned seconds = 3; seconds <= 21; seconds += 9)
            same_end("store away",
                     &(struct plan){ .at = NEVER, .then = NEVER, .message = i, .away = seconds });
}
