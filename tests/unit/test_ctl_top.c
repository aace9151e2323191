// SPDX-License-Identifier: MIT
// LINK: ctl-dom/shell/top.c ctl-dom/shell/signals.c ctl-dom/shell/examples.c ctl-dom/shell/named.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// top, and what a guest or the hypervisor is poked with.
#include <errno.h>
#include <stdarg.h>
#include "unit.h"
#include "console/console.h"
#include "run_command.h"
#include "shell/lists.h"
#include "store/devices.h"
#include "store/store.h"

struct bh_self self;
struct dom *doms;
bool store_up = true;
const char *errno_text(int rc) { return "no"; }
static char screen_text[65536];
static uint64_t now;
static struct dom net0, debian;

void con_write(const char *s, size_t len) { strncat(screen_text, s, len); }
void out(const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    con_write(line, strlen(line));
}
static enum con_mode mode;
void con_set_mode(enum con_mode m) { mode = m; }
static int key = -1;
int con_peek(void) { return key; }
void con_getc(void) { key = -1; }
uint64_t now_ns(void) { return now; }
static uint64_t due;
void dtimer_set(struct dtimer *t, uint64_t when) { due = when; }
static bool (*stays)(void);
void command_stays(bool (*on)(void)) { stays = on; }

static char pressed[16];
static struct bh_dominfo core[3];
static unsigned nr_core = 3;
long hypercall(unsigned nr, uint64_t a, uint64_t di, uint64_t s, uint64_t d)
{
    domid_t from = ((struct bh_dominfo *)di)->domid;
    const struct bh_debug_keys *k = (void *)di;

    if (nr == BH_HYPERCALL_CONTROL && a == BH_CTL_DEBUG_KEYS)
        return snprintf(pressed, sizeof(pressed), "%.*s", (int)k->nr, k->key) && k->key[0] == 'x'
                   ? -EINVAL
                   : 0;
    assert_true(nr == BH_HYPERCALL_CONTROL && a == BH_CTL_INFO);
    for (unsigned i = 0; i < nr_core; i++) {
        struct bh_dominfo *c = &core[i < 3 ? i : 2];
        domid_t id = i < 3 ? c->domid : (domid_t)(c->domid + i);
        if (id >= from) {
            *(struct bh_dominfo *)di = *c;
            ((struct bh_dominfo *)di)->domid = id;
            return 0;
        }
    }
    return -ESRCH;
}
struct dom *dom_by_id(domid_t id) { return id == 4 ? &net0 : id == 16 ? &debian : NULL; }
struct dom *dom_find(const char *name, struct errbuf *e)
{
    struct dom *d = doms;

    while (d && strcmp(d->cfg.name, name))
        d = d->next;
    if (!d)
        snprintf(e->s, sizeof(e->s), "%s: no such domain", name);
    return d;
}
struct dom *command_guest(const char *name)
{
    struct dom *d = command_dom(name);

    return d && d->cfg.role == BH_ROLE_GUEST ? d : NULL;
}
void list_state(const struct bh_dominfo *di, char s[7]) { strcpy(s, "-b----"); }
void dev_paths(const struct dom *d, const struct dom_dev *v, char be[DEV_PATH], char fe[DEV_PATH])
{
    strcpy(be, v->kind == DEV_VIF ? "vif" : "vbd");
}
static uint64_t counted[2][BH_NET_STATS];
bool list_numbers(const char *dir, const char *what, uint64_t *n, unsigned nr)
{
    memcpy(n, counted[!strcmp(dir, "vbd")], nr * sizeof(*n));
    return true;
}
static char written[128];
static int store_says;
int xs_write(uint32_t tx, const char *path, const char *val)
{
    snprintf(written, sizeof(written), "%s=%s", path, val);
    return store_says;
}
int store_control(const struct dom *d, const char *what)
{
    snprintf(written, sizeof(written), "%s %s", d->cfg.name, what);
    return store_says;
}

int setup(void **state)
{
    net0 = (struct dom){ .id = 4, .cfg = { .name = "net0", .role = BH_ROLE_DRIVER }, .state = DOM_UP };
    debian = (struct dom){ .id = 16,
                           .next = &net0,
                           .cfg = { .name = "debian", .role = BH_ROLE_GUEST },
                           .state = DOM_UP,
                           .nr_devs = 2,
                           .dev = { { .kind = DEV_VIF }, { .kind = DEV_VBD } } };
    doms = &debian;
    memset(core, 0, sizeof(core));
    core[1].domid = 4;
    core[2].domid = 16;
    core[2].nr_vcpus = 2;
    core[2].tot_pages = 65536;
    memset(counted, 0, sizeof(counted));
    now = 100 * NS_PER_S;
    nr_core = 3;
    key = -1;
    store_says = 0;
    store_up = true;
    screen_text[0] = written[0] = '\0';
    stays = NULL;
    mode = CON_PLAIN;
    return 0;
}
/* What one round shows. */
static const char *round_shows(bool on)
{
    static char s[sizeof(screen_text)];

    screen_text[0] = '\0';
    assert_int_equal(stays(), on);
    strcpy(s, screen_text);
    return s;
}

TEST(a_round_a_second)
{
    assert_true(RUN(top_commands, "top"));
    assert_int_equal(mode, CON_HELD);
    const char *s = round_shows(true);
    assert_true(!strncmp(s, "\x1b[HNAME", 7) && strstr(s, "any key ends this"));
    assert_int_equal(due, now + NS_PER_S);
    assert_string_equal(round_shows(true), ""); /* something else came: not yet */
    core[2].cpu_ns = NS_PER_S / 2;
    counted[0][BH_NET_IN] = 3000;
    counted[0][BH_NET_OUT] = 1000;
    counted[1][BH_BLK_READS] = 7;
    counted[1][BH_BLK_WRITE_BYTES] = 2 << 20;
    now += 2 * NS_PER_S; /* it was late */
    s = strstr(round_shows(true), "debian");
    assert_non_null(s);
    static const char want[] =
        "debian       -b----        0  25.0    256   2   1500    500     3     0    1024\x1b[K\n";
    assert_true(!strncmp(s, want, sizeof(want) - 1));
    counted[0][BH_NET_IN] = 1; /* a count that begins anew is no rate */
    now += NS_PER_S;
    assert_non_null(
        strstr(round_shows(true), "  0.0    256   2      0      0     0     0       0\x1b"));
    key = 3;
    round_shows(false);
    assert_int_equal(key, -1);
    assert_int_equal(mode, CON_PLAIN);
}

TEST(rounds_for_a_program)
{
    assert_true(RUN(top_commands, "top", "-b", "-d", "5", "-i", "2"));
    assert_int_equal(mode, CON_PLAIN);
    const char *s = round_shows(true);
    assert_null(strchr(s, '\x1b'));
    assert_non_null(strstr(s, "\ndebian "));
    assert_int_equal(due, now + 5 * NS_PER_S);
    now = due;
    assert_non_null(strstr(round_shows(false), "\nnet0 "));
    static const char *const bad[][2] = { { "-d", "0" },  { "-d", "x" },    { "-i", "-1" },
                                          { "-i", "1x" }, { "-d", "3601" }, { "-x", "1" } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(RUN(top_commands, "top", bad[i][0], bad[i][1]));
    assert_false(RUN(top_commands, "top", "-d"));
}

/* More than fit: the screen does not scroll, a program hears of all that there is room for. */
TEST(many_domains)
{
    nr_core = 250;
    assert_true(RUN(top_commands, "top"));
    const char *s = round_shows(true);
    unsigned lines = 0;
    for (const char *p = s; *p; p++)
        lines += *p == '\n';
    assert_in_range(lines, 20, 23);
    assert_non_null(strstr(s, "229 more"));
    assert_true(RUN(top_commands, "top", "-b"));
    assert_non_null(strstr(round_shows(true), "50 more"));
    store_up = false;
    now += NS_PER_S;
    round_shows(true);
}

TEST(letters)
{
    assert_true(RUN(signal_commands, "sysrq", "debian", "h"));
    assert_string_equal(written, "/local/domain/16/control/sysrq=h");
    assert_string_equal(screen_text, "");
    core[2].flags = BH_DI_PAUSED;
    assert_true(RUN(signal_commands, "sysrq", "debian", "t"));
    assert_string_equal(screen_text, "debian: is paused: it will hear that when it goes on\n");
    setup(NULL);
    static const char *const bad[] = { "", "hh", " ", "\x7f" };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        setup(NULL);
        assert_true(RUN(signal_commands, "sysrq", "debian", bad[i]));
        assert_non_null(strstr(screen_text, "is not one letter"));
        assert_string_equal(written, "");
    }
    assert_true(RUN(signal_commands, "sysrq", "net0", "h"));
    assert_string_equal(written, "");
    debian.state = DOM_OVER;
    assert_true(RUN(signal_commands, "sysrq", "debian", "h"));
    assert_non_null(strstr(screen_text, "debian: does not run\n"));
    debian.state = DOM_UP;
    store_says = -EIO;
    assert_true(RUN(signal_commands, "sysrq", "debian", "h"));
    assert_non_null(strstr(screen_text, "debian: the store does not take the request\n"));
    assert_false(RUN(signal_commands, "sysrq", "debian"));
}

TEST(triggers_and_keys)
{
    assert_true(RUN(signal_commands, "trigger", "debian", "power"));
    assert_string_equal(written, "debian poweroff");
    assert_true(RUN(signal_commands, "trigger", "debian", "reset", "0"));
    assert_string_equal(written, "debian reboot");
    assert_non_null(strstr(screen_text, "it is asked to start anew by the store, as a whole\n"));
    static const char *const others[][2] = { { "nmi", "`sysrq NAME c`" },
                                             { "init", "destroy and create" },
                                             { "sleep", "pause" },
                                             { "s3resume", "unpause" } };
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        setup(NULL);
        assert_true(RUN(signal_commands, "trigger", "debian", others[i][0]));
        assert_non_null(strstr(screen_text, others[i][1]));
        assert_string_equal(written, "");
    }
    assert_false(RUN(signal_commands, "trigger", "debian", "fire"));
    assert_true(RUN(signal_commands, "trigger", "nobody", "nmi"));
    assert_non_null(strstr(screen_text, "nobody: no such domain\n"));
    assert_true(RUN(signal_commands, "debug-keys", "qr"));
    assert_string_equal(pressed, "qr");
    screen_text[0] = '\0';
    assert_true(RUN(signal_commands, "debug-keys", "x"));
    assert_non_null(strstr(screen_text, "debug-keys: x: "));
    assert_true(RUN(signal_commands, "debug-keys", "0123456789abc"));
    assert_non_null(strstr(screen_text, "debug-keys: 1 to 12 keys"));
    assert_false(RUN(signal_commands, "debug-keys"));
}

TEST(examples_of_commands)
{
    assert_string_equal(command_example("top"), "top -b -d 5 -i 12");
    assert_null(command_example("dance"));
}
