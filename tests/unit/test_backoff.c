/* SPDX-License-Identifier: MIT */
// LINK: tests/attacks/service/ctl_world.c
// FLAGS: -Ictl-dom -Idomains/include -Itests/attacks/service
/* How long a driver domain that dies is waited for, and how often that is said: deaths by command, with and without an answer to anybody. */
#include "unit.h"
#include "ctl_world.h"

static struct dom *net0;
static unsigned state, restarts, told_deaths, told_restarts, lines;
static char last_line[256];
static bool adopted, served, no_frames;
static uint64_t adopted_at, died_at;

void report_death(struct dom *d, const char *then)
{
    told_deaths++;
    snprintf(last_line, sizeof(last_line), "%s", then);
}
void report_restart(struct dom *d, const struct bh_dominfo *di)
{
    told_restarts += !d->backoff.said;
}
void say(const char *fmt, ...)
{
    va_list ap;

    lines++;
    va_start(ap, fmt);
    vsnprintf(last_line, sizeof(last_line), fmt, ap);
    va_end(ap);
}

long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t e)
{
    struct bh_dominfo *di = (void *)arg;

    if (nr != BH_HYPERCALL_CONTROL)
        return 0;
    if (op == BH_CTL_RESTART) {
        state = BH_DOM_BUILDING;
        adopted = served = false;
        adopted_at = died_at = 0;
        return no_frames ? -ENOMEM : 0;
    }
    if (op == BH_CTL_UNPAUSE) {
        state = BH_DOM_RUNNING;
        restarts++;
    }
    if (op != BH_CTL_INFO)
        return 0;
    if (di->domid > 4)
        return -ESRCH;
    *di = (struct bh_dominfo){ .domid = 4,
                               .role = BH_ROLE_DRIVER,
                               .state = (uint8_t)state,
                               .adopted_ns = adopted_at,
                               .crash_ns = died_at,
                               .flags = (adopted ? BH_DI_ADOPTED : 0) | (served ? BH_DI_SERVED : 0) };
    return 0;
}

/* Lets timers fire until it runs; returns the milliseconds that took. */
static uint64_t until_it_runs(void)
{
    uint64_t start = clock_ns;

    for (unsigned i = 0; state != BH_DOM_RUNNING; i++) {
        assert_true(i < 100000);
        clock_ns += MS;
        if (timer && timer->armed && timer->when <= clock_ns) {
            timer->armed = false;
            timer->fn(timer);
        }
    }
    return (clock_ns - start) / MS;
}

enum how { NEVER_READY, READY, ANSWERS };
/* One instance: it lives so many milliseconds, then dies. Returns how long the next one was waited for. */
static uint64_t life(enum how how, uint64_t ms)
{
    if (how != NEVER_READY) {
        adopted = true;
        adopted_at = clock_ns;
        change(5, NULL);
    }
    served = how == ANSWERS;
    clock_ns += ms * MS;
    change(5, NULL);
    state = BH_DOM_CRASHED;
    died_at = clock_ns;
    change(5, NULL);
    return until_it_runs();
}
static uint64_t ordered(enum how how)
{
    assert_int_equal(supervisor_crash(net0, BH_CRASH_INJECT, 0), 0);
    return life(how, 2);
}

int setup(void **s)
{
    static struct svc_image img;

    supervisor_init();
    doms = NULL;
    if (timer)
        timer->armed = false;
    net0 = add(4, "net0", BH_ROLE_DRIVER);
    net0->slot = true;
    net0->img = &img;
    net0->state = DOM_UP;
    state = BH_DOM_RUNNING;
    restarts = told_deaths = told_restarts = lines = 0;
    adopted = served = no_frames = false;
    adopted_at = died_at = 0;
    return 0;
}
int teardown(void **s)
{
    drop(net0);
    return 0;
}

TEST(deaths_by_command_count_for_nothing)
{
    assert_false(net0->was_ordered);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(ordered(i % 2 ? READY : ANSWERS), 0);
        assert_true(net0->was_ordered); /* which the next instance hears */
    }
    assert_int_equal(told_restarts, 19); /* the last one is not ready yet */
    assert_int_equal(restarts, 20);
    assert_int_equal(told_deaths + lines, 0);
    life(READY, 0); /* the first that nobody ordered */
    assert_false(net0->was_ordered);
    for (unsigned i = 0; i < 12; i++)
        life(READY, 0);
    assert_true(life(READY, 0) >= 1000);
    assert_int_equal(ordered(READY), 0); /* nor does it wait for a row before it */
    assert_int_equal(life(READY, 0), 0);
}

/* However soon it dies: it is waited for. */
TEST(one_that_answers_is_back_within_a_second)
{
    uint64_t pause = 0, sum = 0;

    for (unsigned i = 0; i < 30; i++) {
        uint64_t now = life(ANSWERS, 5);
        assert_true(now <= 1000 && now >= pause);
        sum += i < 8 ? now : 0;
        pause = now;
    }
    assert_int_equal(pause, 1000);    /* nor does it come in a rush */
    assert_in_range(sum, 1270, 1280); /* 0, 10, 20 ... 640 ms */
    assert_int_equal(told_deaths, 0);
    assert_int_equal(life(ANSWERS, 1500), 0); /* that row was over */
    assert_int_equal(life(ANSWERS, 5), 10);
}

TEST(one_that_answers_nobody_goes_further_and_is_told_once)
{
    uint64_t pause = 0;

    for (unsigned i = 0; i < 30; i++)
        pause = life(i % 2 ? READY : NEVER_READY, 300);
    assert_int_equal(pause, 60000);
    assert_int_equal(told_deaths, 1);
    assert_non_null(strstr(last_line, "9 times in a row"));
    assert_int_equal(lines, 0);
    assert_in_range(told_restarts, 3, 5);
    life(ANSWERS, 600); /* the line that it serves again */
    assert_int_equal(lines, 1);
    assert_non_null(strstr(last_line, "serves again"));
    assert_true(life(ANSWERS, 5) <= 10);
}

/* Nobody asks an idle one for anything; that it lives is enough. */
TEST(a_long_life_ends_a_row)
{
    for (unsigned i = 0; i < 30; i++)
        life(READY, 0);
    assert_int_equal(life(READY, 60000), 0);
    assert_int_equal(life(READY, 0), 10);
}

TEST(one_that_cannot_be_made_is_told_twice)
{
    no_frames = true;
    state = BH_DOM_CRASHED;
    change(5, NULL);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(last_line, "next try in 10 ms"));
    for (unsigned i = 0; i < 20000; i++) {
        clock_ns += 10 * MS;
        if (timer->armed && timer->when <= clock_ns) {
            timer->armed = false;
            timer->fn(timer);
        }
    }
    assert_int_equal(lines, 2);
    assert_non_null(strstr(last_line, "1 to 60 s"));
    no_frames = false;
    assert_true(until_it_runs() <= 60000);
}
