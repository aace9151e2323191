// SPDX-License-Identifier: MIT
// LINK: hv/time/timer.c hv/time/time.c hv/time/wallclock.c hv/time/calendar.c
// Timers in order on their CPUs, and the pvclock scale against exact arithmetic.
#include "unit.h"
#include "shim.h"
#include "platform/acpi_info.h"
#include "platform/cmdline.h"
#include "arch/irq.h"
#include "base/cpu.h"
#include "mem/paging.h"
#include "time/time.h"

struct acpi_info acpi_info;
struct cmdline cmdline;
static uint64_t tsc, programmed;

void *mmio_map(maddr_t m, uint64_t len) { return NULL; }
uint64_t rdtsc(void) { return tsc; }
void apic_timer_set_ns(uint64_t delta_ns) { programmed = delta_ns; }

#define N 50
static struct timer t[N];
static unsigned fired[N], nr_fired;
static uint64_t last_expiry;

static void fn(struct timer *x)
{
    assert_true(x->expires >= last_expiry);
    last_expiry = x->expires;
    fired[x - t]++;
    nr_fired++;
}
int setup(void **state)
{
    tsc_khz = 1000000; /* 1 tick = 1 ns */
    pvclock_scale(tsc_khz, &pvclock_mul, &pvclock_shift);
    tsc = tsc_boot = 0;
    nr_fired = 0;
    last_expiry = 0;
    memset(fired, 0, sizeof fired);
    for (shim_cpu = 4; shim_cpu-- > 0;) {
        list_init(&this_cpu()->timers);
        this_cpu()->timer_armed_ns = 0;
    }
    shim_cpu = 0;
    for (unsigned i = 0; i < N; i++)
        timer_setup(&t[i], fn);
    return 0;
}

TEST(fire_in_order)
{
    for (unsigned i = 0; i < N; i++)
        timer_set(&t[i], 1000 + (i * 37) % N * 10);
    assert_int_equal(programmed, 1000);
    tsc = 1245;
    timer_run();
    assert_int_equal(nr_fired, 25);
    this_cpu()->timer_armed_ns = 0; /* as the interrupt does */
    timer_program();
    assert_int_equal(programmed, 5);
    tsc = 100000;
    timer_run();
    assert_int_equal(nr_fired, N);
    timer_run();
    assert_int_equal(nr_fired, N);
}

TEST(move_cancel_rearm)
{
    timer_set(&t[0], 500);
    timer_set(&t[1], 600);
    timer_set(&t[0], 900); /* later now */
    timer_cancel(&t[1]);
    timer_cancel(&t[1]);
    tsc = 700;
    timer_run();
    assert_int_equal(nr_fired, 0);
    shim_cpu = 1;
    timer_set(&t[0], 950); /* on another CPU now */
    shim_cpu = 0;
    tsc = 2000;
    timer_run();
    assert_int_equal(nr_fired, 0);
    shim_cpu = 1;
    timer_run();
    assert_int_equal(fired[0], 1);
    timer_set(&t[0], 2100);
    shim_cpu = 2;
    timer_cancel(&t[0]); /* from a third */
    shim_cpu = 1;
    tsc = 3000;
    timer_run();
    assert_int_equal(fired[0], 1);
}

static void again(struct timer *x)
{
    nr_fired++;
    timer_set(x, x->expires + 100);
}
TEST(periodic_from_its_own_function)
{
    timer_setup(&t[0], again);
    timer_set(&t[0], 100);
    for (tsc = 50; tsc < 1000; tsc += 100)
        timer_run();
    assert_int_equal(nr_fired, 9);
    timer_cancel(&t[0]);
    tsc = 5000;
    timer_run();
    assert_int_equal(nr_fired, 9);
}

/* The hardware's deadline is a TSC value: it must not wrap, whatever a guest asks for. */
TEST(far_away_is_not_in_the_past)
{
    tsc = 5000;
    timer_set(&t[0], UINT64_MAX);
    assert_in_range(programmed, NS_PER_S, 86400 * NS_PER_S);
    this_cpu()->timer_armed_ns = 0; /* it fired early: nothing is due, and it is set again */
    timer_run();
    timer_program();
    assert_int_equal(nr_fired, 0);
    assert_in_range(programmed, NS_PER_S, 86400 * NS_PER_S);
    timer_set(&t[1], 6000); /* an earlier one comes to its right */
    assert_int_equal(programmed, 1000);
}

/* A guest may ask for a time of 0: it is due, not a sign that there is none. */
TEST(a_time_of_0_does_not_hide_others)
{
    tsc = 5000;
    timer_set(&t[0], 0);
    assert_int_equal(programmed, 1);
    this_cpu()->timer_armed_ns = 0;
    programmed = 0;
    timer_set(&t[1], 6000);
    timer_program();
    assert_int_equal(programmed, 1);
    timer_run();
    assert_int_equal(fired[0], 1);
}

TEST(pvclock_is_precise)
{
    static const uint32_t khz[] = { 1000,    33333,   999999,  1000000, 1000001,
                                    2000000, 2000001, 2596116, 3999999, 4294967 };
    for (unsigned i = 0; i < ARRAY_SIZE(khz); i++) {
        tsc_khz = khz[i];
        tsc_boot = 12345;
        pvclock_scale(tsc_khz, &pvclock_mul, &pvclock_shift);
        assert_true(pvclock_mul >= 1u << 31);
        for (uint64_t s = 1; s < 1000000; s = s * 7 + 3) { /* up to eleven days */
            uint64_t exact = s * NS_PER_S, got = tsc_to_ns(tsc_boot + s * khz[i] * 1000);
            uint64_t error = got > exact ? got - exact : exact - got;
            assert_true(error <= 4 + exact / 2000000000u);
        }
    }
}
