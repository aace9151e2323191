/* SPDX-License-Identifier: MIT */
/*
 * System time: the TSC scaled exactly as guests scale it by pvclock (<xen/xen.h>, struct vcpu_time_info), so that core and
 * guests agree to the nanosecond. The TSC is calibrated against HPET, ACPI PM timer or PIT.
 */
#include "time/time.h"
#include "base/cpu.h"
#include "base/muldiv.h"
#include "base/print.h"
#include "mem/paging.h"
#include "platform/acpi_info.h"

uint32_t tsc_khz;
uint32_t pvclock_mul;
int8_t pvclock_shift;
uint64_t tsc_boot;

#define CALIBRATE_NS (50 * NS_PER_MS)

uint64_t tsc_to_ns(uint64_t tsc)
{
    uint64_t delta = tsc - tsc_boot;
    delta = pvclock_shift >= 0 ? delta << pvclock_shift : delta >> -pvclock_shift;
    return (uint64_t)((unsigned __int128)delta * pvclock_mul >> 32);
}

uint64_t now_ns(void) { return tsc_khz ? tsc_to_ns(rdtsc()) : 0; }

/* ns = (tsc << shift) * mul / 2^32 with mul in [2^31, 2^32): the most precise pair. */
void pvclock_scale(uint64_t khz, uint32_t *mul, int8_t *shift)
{
    uint64_t hz = khz * 1000;
    int8_t s = 0;
    while (hz > 2 * NS_PER_S) {
        hz >>= 1;
        s--;
    }
    while (hz <= NS_PER_S) {
        hz <<= 1;
        s++;
    }
    /* mul = 10^9 * 2^32 / (f * 2^s), from the unrounded frequency: the loop above dropped bits of it. */
    uint64_t f = khz * 1000;
    *mul = (uint32_t)(s >= 0 ? mul_div(NS_PER_S, 1ull << 32, f << s)
                             : mul_div(NS_PER_S, 1ull << (32 - s), f));
    *shift = s;
}

/* --- reference counters --------------------------------------------------------------------------------- */
struct reference {
    const char *name;
    uint64_t (*read)(void);
    uint64_t mask;      /* counts modulo mask + 1 */
    uint64_t period_fs; /* femtoseconds a tick */
};
#define FS_PER_NS 1000000ull

static volatile uint64_t *hpet;
static uint64_t hpet_read(void) { return hpet[0xf0 / 8] & 0xffffffff; }
static uint64_t pm_read(void) { return inl((uint16_t)acpi_info.pm_timer_port) & 0xffffff; }

/* Counter 2 of the PIT, mode 0, started by its gate: counts down from 0xffff. */
static uint64_t pit_read(void)
{
    outb(0x43, 0x80); /* latch */
    uint16_t v = inb(0x42);
    v |= (uint16_t)(inb(0x42) << 8);
    return (uint16_t)~v;
}

static bool hpet_setup(struct reference *r)
{
    if (!acpi_info.hpet_base)
        return false;
    hpet = mmio_map(MADDR(acpi_info.hpet_base), 1024);
    if (!hpet)
        return false;
    uint64_t period = hpet[0] >> 32;
    if (!period || period > 100 * FS_PER_NS) /* IA-PC HPET 2.3.4 */
        return false;
    hpet[0x10 / 8] |= 1; /* main counter on */
    *r = (struct reference){ "HPET", hpet_read, 0xffffffff, period };
    return hpet_read() != hpet_read() || hpet_read() != hpet_read();
}

static bool pm_setup(struct reference *r)
{
    if (!acpi_info.pm_timer_port)
        return false;
    *r = (struct reference){ "PM timer", pm_read, 0xffffff, 279365114 }; /* 3.579545 MHz */
    uint64_t first = pm_read();
    for (unsigned i = 0; i < 1000; i++)
        if (pm_read() != first)
            return true;
    return false;
}

static bool pit_setup(struct reference *r)
{
    outb(0x61, (uint8_t)((inb(0x61) & ~2) | 1)); /* gate on, speaker off */
    outb(0x43, 0xb0);
    outb(0x42, 0xff);
    outb(0x42, 0xff);
    *r = (struct reference){ "PIT", pit_read, 0xffff, 838095110 }; /* 1.193182 MHz */
    return true;
}

/* One reading of both counters, the tightest of several: an interruption by the host widens a pair. */
static void read_pair(const struct reference *r, uint64_t *count, uint64_t *tsc)
{
    uint64_t best = ~0ull;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t before = rdtsc(), c = r->read(), after = rdtsc();
        if (after - before < best) {
            best = after - before;
            *count = c;
            *tsc = before + (after - before) / 2;
        }
    }
}

static uint64_t calibrate(const struct reference *r)
{
    uint64_t c0, c1, t0, t1, ns;
    uint64_t window = MIN(CALIBRATE_NS, mul_div(r->mask, r->period_fs, FS_PER_NS) / 2);
    read_pair(r, &c0, &t0);
    do {
        read_pair(r, &c1, &t1);
        ns = mul_div((c1 - c0) & r->mask, r->period_fs, FS_PER_NS);
    } while (ns < window);
    return mul_div(t1 - t0, NS_PER_MS, ns); /* kHz */
}

void time_init(void)
{
    struct reference r;
    if (!hpet_setup(&r) && !pm_setup(&r))
        pit_setup(&r);
    tsc_khz = (uint32_t)calibrate(&r);
    if (tsc_khz < 1000)
        panic("the TSC does not count");
    pvclock_scale(tsc_khz, &pvclock_mul, &pvclock_shift);
    tsc_boot = rdtsc();
    log_info("time: TSC %u.%03u MHz by %s", tsc_khz / 1000, tsc_khz % 1000, r.name);
}

void udelay(uint32_t us)
{
    uint64_t start = rdtsc(), ticks = (uint64_t)us * (tsc_khz ? tsc_khz : 3000000) / 1000;
    while (rdtsc() - start < ticks)
        cpu_relax();
}

uint64_t random_u64(void)
{
    static int has_rdrand = -1;
    static uint64_t state;
    if (has_rdrand < 0)
        has_rdrand = cpuid(1, 0).ecx >> 30 & 1;
    uint64_t v = 0;
    uint8_t ok = 0;
    for (unsigned i = 0; has_rdrand && !ok && i < 10; i++)
        __asm__ volatile("rdrand %0; setc %1" : "=r"(v), "=qm"(ok)::"cc");
    /* splitmix64 over the TSC: no secret, only spread. */
    uint64_t z = __atomic_add_fetch(&state, 0x9e3779b97f4a7c15ull, __ATOMIC_RELAXED) ^ rdtsc() ^ v;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}
