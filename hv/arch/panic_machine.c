/* SPDX-License-Identifier: MIT */
/* What panic does with the machine: stops the other CPUs, says what ran and who called, resets or halts. */
#include "arch/machine.h"
#include "arch/irq.h"
#include "base/cpu.h"
#include "base/print_internal.h"
#include "mem/paging.h"
#include "platform/cmdline.h"
#include "domain/struct.h"
#include "time/time.h"

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

static void tell(uint64_t rbp)
{
    struct vcpu *v = this_cpu()->current;
    if (v && v->domain->role == BH_ROLE_GUEST)
        log_err("  vCPU d%uv%u", v->domain->id, v->id); /* where a guest is, is its own affair */
    else if (v)
        log_err("  vCPU d%uv%u, rip %lx", v->domain->id, v->id, v->regs.rip);
    else
        log_err("  no vCPU");
    print_backtrace(rbp);
}

static void end(void) __noreturn;
static void end(void)
{
    if (cmdline.noreboot) {
        log_err("halted (noreboot)");
        cpu_stop();
    }
    log_err("reboot in 5 seconds");
    for (unsigned i = 0; i < 5000; i++)
        udelay(1000);
    machine_reboot();
}

void panic_machine_init(void)
{
    static const struct panic_machine machine = { apic_stop_others, tell, end };
    panic_listen(&machine);
}
