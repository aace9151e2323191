/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/supervise/autostart.c ctl-dom/supervise/waiting.c ctl-dom/supervise/backoff.c ctl-dom/domain/records.c
// FLAGS: -Ictl-dom -Idomains/include
/* What starts by itself, and what waits for a driver domain that is not there. */
#include <errno.h>
#include "unit.h"
#include "console/console.h"
#include "domain/load.h"
#include "store/connection.h"
#include "store/devices.h"
#include "supervise/autostart.h"
#include "supervise/life.h"
#include "supervise/waiting.h"

static const char *const names[] = { "first.cfg", "late.cfg",  "hand.cfg",  "broken.cfg",
                                     "quiet.cfg", "wrong.cfg", "volume.cfg" };
const char *config_next(unsigned *i) { return *i < ARRAY_SIZE(names) ? names[(*i)++] : NULL; }
bool config_on_volume(const char *name) { return !strcmp(name, "volume.cfg"); }
bool store_up = true;
static char said[1024], created[256];
static bool blk1, net1, no_memory, busy, numbered;
static struct dom made;

static void add(char *to, size_t size, const char *fmt, va_list ap)
{
    size_t n = strlen(to);
    vsnprintf(to + n, size - n, fmt, ap);
    n = strlen(to);
    snprintf(to + n, size - n, "\n");
}
void say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(said, sizeof(said), fmt, ap);
    va_end(ap);
}
void out(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(said, sizeof(said), fmt, ap);
    va_end(ap);
}
#define S 1000000000ul
static uint64_t clock_ns;
static struct dtimer *timer;
uint64_t now_ns(void) { return clock_ns; }
struct bh_self self;
struct dom *dom_by_name(const char *name) { return NULL; }
void dtimer_set(struct dtimer *t, uint64_t when)
{
    timer = t;
    t->when = when;
    t->armed = true;
}
void job_wait(uint64_t until) {}
static int failed(struct errbuf *e, int rc, const char *why)
{
    snprintf(e->s, sizeof(e->s), "%s", why);
    return rc;
}
int config_load(struct domcfg *c, const char *name, struct errbuf *e)
{
    if (config_on_volume(name))
        return failed(e, -EINVAL, "volume.cfg: line 1: no good");
    memset(c, 0, sizeof(*c));
    c->role = BH_ROLE_GUEST;
    c->autostart = !strcmp(name, "quiet.cfg") ? 0
                   : numbered                 ? (!strcmp(name, "hand.cfg")    ? 1
                                                 : !strcmp(name, "first.cfg") ? AUTOSTART_LAST
                                                                              : 7)
                                              : 1;
    snprintf(c->name, sizeof(c->name), "%.*s", (int)strlen(name) - 4, name);
    return 0;
}
int config_check(const struct domcfg *c, const char *file, char *err, size_t n)
{
    snprintf(err, n, "%s: memory is missing", file);
    return strcmp(c->name, "wrong") ? 0 : -EINVAL;
}
static bool needs_blk1(const struct domcfg *c)
{
    return !strcmp(c->name, "late") || !strcmp(c->name, "hand") || !strcmp(c->name, "wrong");
}
int devs_served(const struct domcfg *c, struct errbuf *e)
{
    char why[80];
    bool disk = needs_blk1(c) && !blk1, vif = !strcmp(c->name, "hand") && !net1;
    snprintf(why, sizeof(why), "%s: %s", c->name,
             vif ? "vif 0: no net driver domain net1" : "disk xvda: no block driver domain blk1");
    return disk || vif ? failed(e, -ENOENT, why) : 0;
}
int dom_create(const struct domcfg *c, bool lenient, struct dom **d, struct errbuf *e)
{
    *d = &made;
    if (!strcmp(c->name, "broken"))
        return failed(e, -ENOENT, "broken: kernel 'x' is not in the bundle");
    made.cfg = *c;
    if (busy)
        return failed(e, -ETIME, "ran: disk xvda: blk0: does not answer");
    if (no_memory)
        return failed(e, -ENOMEM, "late: memory");
    int rc = devs_served(c, e);
    if (!rc)
        snprintf(created + strlen(created), sizeof(created) - strlen(created), "%s ", c->name);
    if (!rc)
        waiting_forget(made.cfg.name); /* c is gone */
    return rc;
}

#define SAYS(what)     assert_non_null(strstr(said, what))
#define SAYS_NOT(what) assert_null(strstr(said, what))

int setup(void **state)
{
    blk1 = net1 = no_memory = busy = false;
    said[0] = created[0] = 0;
    autostart(BH_ROLE_GUEST);
    return 0;
}
int teardown(void **state)
{
    waiting_forget("late");
    waiting_forget("hand");
    waiting_forget("ran");
    return 0;
}

TEST(it_waits)
{
    assert_string_equal(created, "first ");
    SAYS("late: disk xvda: no block driver domain blk1; it starts when that is there\n");
    SAYS("broken: kernel 'x' is not in the bundle; it is not started: create broken when that is mended\n");
    SAYS("wrong.cfg: memory is missing; it is not started: create wrong when that is mended\n"); /* nobody who comes mends that */
    SAYS("volume.cfg: line 1: no good\n"); /* nobody had read it before */
    said[0] = 0;
    waiting_list();
    SAYS("late: disk xvda: no block driver domain blk1; it starts when that is there\n");
    SAYS("hand: vif 0: no net driver domain net1; it starts when that is there\n");
    SAYS_NOT("broken");
    SAYS_NOT("wrong");
    assert_false(autostart_work()); /* nobody came */
    waiting_look();
    assert_false(autostart_work()); /* another one did */
    assert_string_equal(created, "first ");
    net1 = true;
    waiting_look();
    assert_false(autostart_work()); /* one of two that it needs */
    said[0] = 0;
    waiting_list();
    SAYS("hand: disk xvda: no block driver domain blk1; it starts when that is there\n");
}

TEST(in_order)
{
    waiting_forget("late");
    waiting_forget("hand");
    created[0] = 0;
    blk1 = net1 = numbered = true;
    autostart(BH_ROLE_GUEST);
    numbered = false;
    assert_string_equal(created, "hand late first ");
    autostart(BH_ROLE_DRIVER);
    assert_string_equal(created, "hand late first ");
}

TEST(it_starts)
{
    blk1 = net1 = true;
    assert_true(waiting_forget("hand")); /* somebody made it by hand (life.c) */
    assert_false(autostart_work());      /* not looked at all the time */
    waiting_look();
    assert_true(autostart_work());
    assert_string_equal(created, "first late ");
    assert_false(autostart_work());
    assert_string_equal(created, "first late ");
    said[0] = 0;
    waiting_list();
    assert_string_equal(said, "");
    waiting_look();
    assert_false(autostart_work());
    assert_string_equal(created, "first late "); /* once */
}

/* Then it is not for want of a driver domain any more. */
TEST(it_fails_otherwise)
{
    assert_true(waiting_forget("hand"));
    assert_false(waiting_forget("hand"));
    blk1 = no_memory = true;
    waiting_look();
    assert_true(autostart_work());
    SAYS("late: memory; it is not started: create late when that is mended\n");
    assert_false(autostart_work());
    assert_false(waiting_forget("late"));
}

static bool time_passes(uint64_t ns)
{
    clock_ns += ns;
    if (timer && timer->armed && timer->when <= clock_ns) {
        timer->armed = false;
        timer->fn(timer);
    }
    return autostart_work();
}

static void again(const struct domcfg *cfg, unsigned short_lives)
{
    struct waiting *w = waiting_add(cfg, NULL, "");

    w->short_lives = short_lives;
    autostart_again(w);
}

/* It ran, and its disk is still the last owner's: it is not lost. */
TEST(it_is_tried_again)
{
    static const struct domcfg cfg = { .name = "ran", .role = BH_ROLE_GUEST };

    busy = true;
    again(&cfg, 3);
    SAYS("ran: disk xvda: blk0: does not answer; it is tried again until it starts\n");
    said[0] = 0;
    waiting_list();
    SAYS("ran: disk xvda: blk0: does not answer; it is tried again\n");
    said[0] = 0;
    assert_false(time_passes(S - 1));
    assert_true(time_passes(1));
    assert_false(autostart_work());
    assert_false(time_passes(2 * S - 1));
    assert_true(time_passes(1));   /* 1, 2, 4 ... s */
    assert_string_equal(said, ""); /* nothing new */
    busy = false;
    assert_false(time_passes(3 * S));
    assert_true(time_passes(S));
    SAYS("ran: started again as domain");
    assert_int_equal(made.short_lives, 3);
    assert_false(waiting_forget("ran"));
    assert_false(time_passes(100 * S));
    /* Two of them, due at different times: the later one's time is not forgotten for the earlier one's. */
    busy = true;
    again(&cfg, 0);
    time_passes(S);
    static const struct domcfg other = { .name = "other", .role = BH_ROLE_GUEST };
    again(&other, 0);
    busy = false;
    created[0] = 0;
    assert_true(time_passes(S));
    assert_string_equal(created, "other ");
    assert_false(autostart_work());
    assert_true(time_passes(S));
    assert_string_equal(created, "other ran ");
}
