/* SPDX-License-Identifier: MIT */
/*
 * The wall clock: the CMOS clock (MC146818) counts whole seconds, so a reading is up to a second late. Boot takes such a reading, right
 * in the middle, and goes on; a timer watches for the next second to begin and corrects it then. Guests are started after that.
 */
#include "base/cpu.h"
#include "base/print.h"
#include "platform/acpi_info.h"
#include "platform/cmdline.h"
#include "time/calendar.h"
#include "time/time.h"

#define LOOK_NS (20 * NS_PER_MS)
#define MAX_LOOKS \
    200u /* a clock that stands still, or a machine too busy to tell when a second begins */

uint64_t wallclock_ns;
bool wallclock_exact;
static struct timer look_timer;
static struct clock_edge edge;
static unsigned looks;

static uint8_t cmos(uint8_t reg)
{
    outb(0x70, (uint8_t)(0x80 | reg));
    return inb(0x71);
}

static void cmos_read(uint8_t v[7])
{
    static const uint8_t regs[6] = { 0, 2, 4, 7, 8, 9 };
    for (unsigned i = 0; i < 1000000 && cmos(0x0a) & 0x80; i++) /* update in progress: at most 2 ms */
        cpu_relax();
    for (unsigned i = 0; i < 6; i++)
        v[i] = cmos(regs[i]);
    v[6] = acpi_info.century ? cmos(acpi_info.century) : 0;
}

/* The next index written without bit 7 lets NMIs through again. */
static void cmos_done(void)
{
    cmos(0x0d);
    outb(0x70, 0x0d);
}

static uint64_t cmos_seconds(void)
{
    uint8_t a[7], b[7];
    bool same;
    unsigned tries = 0;
    cmos_read(a);
    do {
        cmos_read(b);
        same = true;
        for (unsigned i = 0; i < 7; i++) {
            same &= a[i] == b[i];
            a[i] = b[i];
        }
    } while (!same && ++tries < 10);
    return calendar_from_cmos(a, cmos(0x0b));
}

/* at: system time when the second that the clock shows began. */
static void wallclock_set(uint64_t at)
{
    int64_t sec = (int64_t)cmos_seconds() - cmdline.rtc_offset;
    uint64_t ns = sec > 0 ? (uint64_t)sec * NS_PER_S : 0;

    WRITE_ONCE(wallclock_ns, ns > at ? ns - at : 0);
}

static void look(struct timer *t)
{
    bool updating = cmos(0x0a) & 0x80;
    uint64_t at;
    bool begins = clock_edge(&edge, now_ns(), updating, updating ? 0 : cmos(0), &at);

    if (begins)
        wallclock_set(at);
    cmos_done();
    if (!begins && ++looks < MAX_LOOKS)
        return timer_set(t, now_ns() + LOOK_NS);
    __atomic_store_n(&wallclock_exact, true, __ATOMIC_RELEASE);
    if (begins)
        log_debug("time: wall clock %lu.%03lu at its start, by the second's edge",
                  (unsigned long)(wallclock_ns / NS_PER_S),
                  (unsigned long)(wallclock_ns / NS_PER_MS % 1000));
    else
        log_warn(
            "time: the CMOS clock shows no second that begins, the wall clock may be a second off");
}

void wallclock_init(void)
{
    wallclock_set(0);
    cmos_done();
    wallclock_ns += NS_PER_S / 2;
    log_info("time: wall clock %lu", (unsigned long)(wallclock_ns / NS_PER_S));
}

void wallclock_watch(void)
{
    timer_setup(&look_timer, look);
    timer_set(&look_timer, now_ns());
}
