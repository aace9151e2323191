/* SPDX-License-Identifier: MIT */
/* The end of a broken core: takes the console, says why, and leaves the rest to the machine (arch/panic_machine.c). */
#include "base/cpu.h"
#include "common/regs.h"
#include "base/print_internal.h"
#include "base/serial.h"

static volatile uint32_t panic_cpu; /* id + 1 of the CPU that panics */
static const struct panic_machine *machine;

void panic_listen(const struct panic_machine *m) { machine = m; }

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
        cpu_stop(); /* another CPU was first, or the panic itself went wrong */
    machine->stop_others();
    serial_polled(true);
    print_take_back();

    char why[256];
    __builtin_va_list ap;
    __builtin_va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    __builtin_va_end(ap);
    log_err("PANIC on CPU %u: %s", me - 1, why);
    machine->tell((uint64_t)__builtin_frame_address(0));
    machine->end();
}
