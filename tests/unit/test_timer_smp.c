// SPDX-License-Identifier: MIT
// LINK: tests/unit/two_cpus.c
// FLAGS: -pthread
// Timers that two CPUs arm, cancel and run at once; threads are the CPUs.
#include "unit.h"
#include "two_cpus.h"
#include <time.h>

static struct timer t;
static volatile bool in_fn, go_on, fn_ended, set_done, cancel_done;

static void nap(void)
{
    struct timespec ms = { 0, 1000000 };
    nanosleep(&ms, NULL);
}
static void held_up(struct timer *x)
{
    in_fn = true;
    while (!go_on)
        nap();
    for (unsigned i = 0; i < 20; i++)
        nap(); /* who does not wait is gone by then */
    fn_ended = true;
}
static int runs_timers(void *cpu)
{
    me = *(unsigned *)cpu;
    timer_run();
    return 0;
}
static int sets(void *cpu)
{
    me = *(unsigned *)cpu;
    timer_set(&t, shim_now_ns + 1000);
    set_done = true;
    return 0;
}
static int cancels(void *cpu)
{
    me = *(unsigned *)cpu;
    timer_cancel(&t);
    cancel_done = true;
    return 0;
}
int setup(void **state)
{
    two_cpus();
    in_fn = go_on = fn_ended = set_done = cancel_done = false;
    timer_setup(&t, held_up);
    return 0;
}

/* It fired on CPU 1 and was armed again on CPU 0 meanwhile: a cancel on CPU 0 still waits for CPU 1. */
TEST(cancel_waits_where_it_runs)
{
    thrd_t a;
    unsigned one = 1;
    me = 1;
    timer_set(&t, shim_now_ns);
    me = 0;
    assert_int_equal(thrd_create(&a, runs_timers, &one), thrd_success);
    while (!in_fn)
        nap();
    timer_set(&t, shim_now_ns + 1000000);
    go_on = true;
    timer_cancel(&t);
    assert_true(fn_ended);
    thrd_join(a, NULL);
    assert_int_equal(timers_of(0) + timers_of(1), 0);
}

/* CPU 1 is in the middle of arming it: a cancel on CPU 0 comes before or after that, not in between. */
TEST(cancel_waits_for_who_arms)
{
    thrd_t a, b;
    unsigned zero = 0, one = 1;
    timer_set(&t, shim_now_ns + 500);
    spin_lock(&two[1].timer_lock);
    assert_int_equal(thrd_create(&a, sets, &one), thrd_success);
    while (timers_of(0)) /* it has taken it from here, and wants our lock */
        nap();
    assert_int_equal(thrd_create(&b, cancels, &zero), thrd_success);
    for (unsigned i = 0; i < 50; i++)
        nap();
    assert_false(cancel_done);
    assert_false(set_done);
    spin_unlock(&two[1].timer_lock);
    thrd_join(a, NULL);
    thrd_join(b, NULL);
    assert_int_equal(timers_of(0) + timers_of(1), 0);
}

static unsigned fired;
static void once_and_off(struct timer *x)
{
    fired++;
    timer_set(x, shim_now_ns);
    timer_cancel(x); /* by itself: it does not wait for itself */
}
TEST(function_cancels_itself)
{
    fired = 0;
    timer_setup(&t, once_and_off);
    timer_set(&t, shim_now_ns);
    timer_run();
    assert_int_equal(fired, 1);
    assert_int_equal(t.running, 0);
    assert_int_equal(timers_of(0), 0);
}

/* Two CPUs arm and cancel as fast as they can while both run what is due. */
static int arms_and_cancels(void *cpu)
{
    me = *(unsigned *)cpu;
    for (unsigned i = 0; i < 20000; i++) {
        timer_set(&t, shim_now_ns);
        if (i % 3)
            timer_run();
        if (i % 5 == 0)
            timer_cancel(&t);
    }
    return 0;
}
static void nothing(struct timer *x) {}
TEST(two_at_once)
{
    thrd_t a;
    unsigned zero = 0, one = 1;
    timer_setup(&t, nothing);
    assert_int_equal(thrd_create(&a, arms_and_cancels, &one), thrd_success);
    arms_and_cancels(&zero);
    thrd_join(a, NULL);
    me = 0;
    timer_cancel(&t);
    assert_int_equal(timers_of(0) + timers_of(1), 0);
    assert_int_equal(t.running, 0);
}
