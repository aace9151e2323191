/* SPDX-License-Identifier: MIT */
/* The end of a broken core: takes the console, says why and where, stops the other CPUs, resets or halts. */
#include "arch/machine.h"
#include "irq/irq.h"
#include "lib/cpu.h"
#include "lib/print_internal.h"
#include "lib/serial.h"
#include "mem/paging.h"
#include "platform/cmdline.h"
#include "sched/domain.h"

#define MSR_MCG_CAP     0x179u
#define MSR_MC0_STATUS  0x401u /* one each four */
#define MC_STATUS_VALID (1ull << 63)

static volatile uint32_t panic_cpu; /* id + 1 of the CPU that panics */

static void halt_forever(void) __noreturn;
static void halt_forever(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* Return addresses by the frame-pointer chain; every read stays in this CPU's stacks' window or the image. */
void print_backtrace(uint64_t rbp)
{
    for (unsigned i = 0; i < 16; i++) {
        if ((rbp & 7) || !stack_contains(rbp) || !stack_contains(rbp + 8))
            return;
        const uint64_t *f = (const uint64_t *)rbp;
        if (!f[1])
            return;
        log_err("  called from %lx", f[1]);
        if (f[0] <= rbp)
            return;
        rbp = f[0];
    }
}

/* The first bank that holds something (APM2 9.3.2): the machine does not compute any more, so nothing is tried. */
void machine_check(void)
{
    uint64_t cap = 0, status = 0;
    unsigned bank = 0;
    (void)rdmsr_safe(MSR_MCG_CAP, &cap);
    for (; bank < (cap & 0xff); bank++)
        if (!rdmsr_safe(MSR_MC0_STATUS + 4 * bank, &status) && status & MC_STATUS_VALID)
            panic("machine check: bank %u says %lx", bank, status);
    panic("machine check: no bank says why");
}

void panic(const char *fmt, ...)
{
    irq_off();
    uint32_t none = 0, me = this_cpu()->id + 1;
    if (!__atomic_compare_exchange_n(&panic_cpu, &none, me, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        halt_forever(); /* another CPU was first, or the panic itself went wrong */
    apic_stop_others();
    serial_polled(true);
    print_take_back();

    struct vcpu *v = this_cpu()->current;
    char why[256];
    __builtin_va_list ap;
    __builtin_va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    __builtin_va_end(ap);
    log_err("PANIC on CPU %u: %s", me - 1, why);
    if (v && v->domain->role == BH_ROLE_GUEST)
        log_err("  vCPU d%uv%u", v->domain->id, v->id); /* where a guest is, is its own affair */
    else if (v)
        log_err("  vCPU d%uv%u, rip %lx", v->domain->id, v->id, v->regs.rip);
    else
        log_err("  no vCPU");
    print_backtrace((uint64_t)__builtin_frame_address(0));
    if (cmdline.noreboot) {
        log_err("halted (noreboot)");
        halt_forever();
    }
    log_err("reboot in 5 seconds");
    for (unsigned i = 0; i < 5000; i++)
        udelay(1000);
    machine_reboot();
}
