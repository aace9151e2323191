/* SPDX-License-Identifier: MIT */
/* The local APIC (SDM3 chapter 10): x2APIC by MSR where the CPU has it, else xAPIC by MMIO. */
#include "arch/irq.h"
#include "common/regs.h"
#include "base/cpu.h"
#include "base/muldiv.h"
#include "base/print.h"
#include "mem/paging.h"
#include "platform/acpi_info.h"
#include "time/time.h"

/* Register offsets as in the MMIO page; the MSR is 0x800 + offset / 16. */
enum {
    APIC_ID = 0x20,
    APIC_TPR = 0x80,
    APIC_EOI = 0xb0,
    APIC_SVR = 0xf0,
    APIC_ESR = 0x280,
    APIC_ICR = 0x300,
    APIC_ICR_HI = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_THERMAL = 0x330,
    APIC_LVT_PERF = 0x340,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INIT = 0x380,
    APIC_TIMER_NOW = 0x390,
    APIC_TIMER_DIV = 0x3e0,
};
#define SVR_ENABLE   0x100u
#define LVT_MASKED   0x10000u
#define LVT_DEADLINE 0x40000u
#define LVT_NMI      0x400u
#define TIMER_DIV_1  0xbu
#define ICR_PENDING  0x1000u
#define ICR_NMI      0x4400u /* delivery mode NMI, assert */
#define ICR_INIT     0x4500u
#define ICR_SIPI     0x4600u
#define ICR_FIXED    0x4000u
#define ICR_OTHERS   0xc0000u

static volatile uint32_t *mmio;
static bool x2apic, deadline, up;
static uint64_t timer_khz;
static volatile uint32_t stopper; /* id + 1 of the CPU that stops the others */

static uint32_t read_reg(unsigned reg)
{
    return x2apic ? (uint32_t)rdmsr(MSR_X2APIC + reg / 16) : mmio[reg / 4];
}

static void write_reg(unsigned reg, uint32_t v)
{
    if (x2apic)
        wrmsr(MSR_X2APIC + reg / 16, v);
    else
        mmio[reg / 4] = v;
}

uint32_t apic_id(void)
{
    uint32_t id = read_reg(APIC_ID);
    return x2apic ? id : id >> 24;
}

void apic_eoi(void) { write_reg(APIC_EOI, 0); }

static void wait_sent(void)
{
    for (unsigned i = 0; !x2apic && i < 100000 && mmio[APIC_ICR / 4] & ICR_PENDING; i++)
        cpu_relax();
}

static void send(uint32_t dest, uint32_t low)
{
    if (x2apic) {
        mb(); /* an MSR write to the ICR is not ordered after earlier stores (SDM3 10.12.3) */
        wrmsr(MSR_X2APIC + APIC_ICR / 16, (uint64_t)dest << 32 | low);
        return;
    }
    wait_sent();
    mmio[APIC_ICR_HI / 4] = dest << 24;
    mmio[APIC_ICR / 4] = low;
}

void apic_send_ipi(uint32_t cpu, uint8_t vector)
{
    if (!up)
        return;
    if (cpu == this_cpu()->id)
        this_cpu()->counts->self_ipis++;
    else
        this_cpu()->counts->ipis++;
    send(cpus[cpu]->apic_id, ICR_FIXED | vector);
}

void apic_send_init(uint32_t id)
{
    send(id, ICR_INIT);
    wait_sent();
}

void apic_send_sipi(uint32_t id, uint8_t page)
{
    send(id, ICR_SIPI | page);
    wait_sent();
}

bool apic_stop_wanted(void)
{
    uint32_t s = READ_ONCE(stopper);
    return s && s != this_cpu()->id + 1;
}

/* By NMI: the others run with interrupts off for most of their time. */
void apic_stop_others(void)
{
    if (!up || nr_cpus < 2)
        return;
    __atomic_store_n(&stopper, this_cpu()->id + 1, __ATOMIC_SEQ_CST);
    send(0, ICR_OTHERS | ICR_FIXED | VEC_STOP);
    send(0, ICR_OTHERS | ICR_NMI);
    wait_sent();
    udelay(1000);
}

void apic_timer_set_ns(uint64_t delta_ns)
{
    if (!up)
        return;
    if (deadline) {
        uint64_t ticks = mul_div(delta_ns, tsc_khz, NS_PER_MS);
        wrmsr(MSR_TSC_DEADLINE, delta_ns ? rdtsc() + MAX(ticks, 1) : 0);
        return;
    }
    uint64_t ticks = mul_div(delta_ns, timer_khz, NS_PER_MS);
    if (delta_ns && !ticks)
        ticks = 1;
    write_reg(APIC_TIMER_INIT, ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks);
}

static void enable(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE);
    wrmsr(MSR_APIC_BASE, base | APIC_BASE_EN | (x2apic ? APIC_BASE_EXTD : 0));
    write_reg(APIC_TPR, 0);
    write_reg(APIC_SVR, SVR_ENABLE | VEC_SPURIOUS);
    write_reg(APIC_LVT_LINT0, LVT_MASKED);
    write_reg(APIC_LVT_LINT1, LVT_NMI);
    write_reg(APIC_LVT_ERROR, LVT_MASKED);
    write_reg(APIC_LVT_PERF, LVT_MASKED);
    write_reg(APIC_TIMER_DIV, TIMER_DIV_1);
    write_reg(APIC_LVT_TIMER, VEC_TIMER | (deadline ? LVT_DEADLINE : 0));
    mb(); /* the LVT write before a deadline (SDM3 10.5.4.1) */
    write_reg(APIC_TIMER_INIT, 0);
    for (unsigned i = 0; i < 8; i++)
        apic_eoi(); /* whatever the firmware left in service */
    this_cpu()->apic_id = apic_id();
}

static void calibrate_timer(void)
{
    uint64_t start = rdtsc(), ticks = (uint64_t)tsc_khz * 10;
    write_reg(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
    write_reg(APIC_TIMER_INIT, UINT32_MAX);
    start = rdtsc();
    while (rdtsc() - start < ticks)
        cpu_relax();
    uint32_t left = read_reg(APIC_TIMER_NOW);
    uint64_t spent = rdtsc() - start;
    write_reg(APIC_TIMER_INIT, 0);
    write_reg(APIC_LVT_TIMER, VEC_TIMER);
    timer_khz = mul_div(UINT32_MAX - left, tsc_khz, spent);
    if (!timer_khz)
        panic("the local APIC timer does not count");
}

void apic_init_bsp(void)
{
    struct cpuid_regs c = cpuid(1, 0);
    if (!(c.edx & 1u << 9))
        panic("this CPU has no local APIC");
    x2apic = c.ecx & 1u << 21;
    deadline = c.ecx & 1u << 24;
    if (!x2apic) {
        uint64_t base = acpi_info.lapic_base;
        if (!base)
            base = rdmsr(MSR_APIC_BASE) & 0xffffffffff000ull;
        mmio = mmio_map(MADDR(base), PAGE_SIZE);
        if (!mmio)
            panic("no room for the local APIC");
    }
    enable();
    up = true;
    if (!deadline)
        calibrate_timer();
    log_debug("apic: %s, timer %s", x2apic ? "x2APIC" : "xAPIC",
              deadline ? "by TSC deadline" : "calibrated");
}

void apic_init_ap(void) { enable(); }
