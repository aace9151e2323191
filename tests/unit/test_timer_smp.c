// SPDX-License-Identifier: MIT
// LINK: hv/time/timer.c
// FLAGS: -pthread
// Timers that two CPUs arm, cancel and run at once; threads are the CPUs.
#include "unit.h"
#include <threads.h>
#include <time.h>
#include "shim.h"
#include "base/cpu.h"
#include "time/time.h"

static struct cpu two[2];
static _Thread_local unsigned me;
struct cpu *cpus[MAX_CPUS] = { &two[0], &two[1] };
struct cpu *this_cpu(void) { return &two[me]; }
void apic_timer_set_ns(uint64_t ns) {}

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
static unsigned length(const struct list *head)
{
    unsigned n = 0;
    for (const struct list *l = head->next; l != head && n < 100; l = l->next)
        n++;
    return n;
}
int setup(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        list_init(&two[i].timers);
        two[i].id = i;
        two[i].timer_armed_ns = 0;
    }
    me = 0;
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
    assert_int_equal(length(&two[0].timers) + length(&two[1].timers), 0);
}

/* CPU 1 is in the middle of arming it: a cancel on CPU 0 comes before or after that, not in between. */
TEST(cancel_waits_for_who_arms)
{
    thrd_t a, b;
    unsigned zero = 0, one = 1;
    timer_set(&t, shim_now_ns + 500);
    spin_lock(&two[1].timer_lock);
    assert_int_equal(thrd_create(&a, sets, &one), thrd_success);
    while (length(&two[0].timers)) /* it has taken it from here, and wants our lock */
        nap();
    assert_int_equal(thrd_create(&b, cancels, &zero), thrd_success);
    for (unsigned i = 0; i < 50; i++)
        nap();
    assert_false(cancel_done);
    assert_false(set_done);
    spin_unlock(&two[1].timer_lock);
    thrd_join(a, NULL);
    thrd_join(b, NULL);
    assert_int_equal(length(&two[0].timers) + length(&two[1].timers), 0);
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
    assert_int_equal(length(&two[0].timers), 0);
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
    assert_int_equal(length(&two[0].timers) + length(&two[1].timers), 0);
    assert_int_equal(t.running, 0);
}
