/* SPDX-License-Identifier: MIT */
/* The core's start, in order, on the boot CPU with interrupts off: what each step needs was set up by those before it. head.S calls core_main, smp.c
 * brings the other CPUs, and the last step of each is the scheduler's loop. */
#include "abi/enter.h"
#include "abi/hypercall.h"
#include "arch/machine.h"
#include "boot/acpi.h"
#include "boot/boot.h"
#include "arch/smp.h"
#include "arch/trap.h"
#include "arch/irq.h"
#include "arch/serial_irq.h"
#include "base/cpu.h"
#include "base/print_internal.h"
#include "base/serial.h"
#include "mem/frame.h"
#include "mem/paging.h"
#include "pci/iommu/iommu.h"
#include "ipc/evtchn.h"
#include "pci/pci.h"
#include "pci/pirq.h"
#include "sched/sched.h"
#include "time/time.h"
#include "virt/virt.h"

void core_main(uint32_t magic, uint32_t info);
static void core_main_guarded(void) __noreturn;

void core_main(uint32_t magic, uint32_t info)
{
    percpu_init_boot();
    panic_machine_init();
    trap_init_early();
    boot_info_init(magic, info);
    cmdline_init();
    boot_memory_limits();
    log_info("Bulkhead " BH_VERSION ", command line: %s", boot_info.cmdline);
    paging_init();
    frame_setup();
    stack_switch(boot_cpu_stack(), core_main_guarded);
}

static int cpu_up(struct cpu *c)
{
    int rc = virt->cpu_init(c);
    if (rc >= 0)
        sched_init_cpu(c);
    return rc;
}

/* From here on this CPU's stack has a guard page. */
static void core_main_guarded(void)
{
    console_io_init();
    trap_init_cpu(this_cpu());
    trap_load(this_cpu());
    acpi_init();
    time_init();
    wallclock_init();
    irq_init();
    irq_vector_set(VEC_TIMER, timer_interrupt);
    apic_init_bsp();
    ioapic_init();
    serial_irq_init();
    iommu_init_early();
    virt_init();
    pci_init();
    evtchn_listen(pirq_unbind);
    sched_listen(vcpu_enter, iommu_idle);
    sched_init_cpu(this_cpu());
    smp_boot(cpu_up, sched_loop);
    if (nr_cpus > 1 && virt_emulated) {
        first_domain_cpu = 1; /* see virt_emulated */
        log_info("CPU 0 runs no domains: software emulation changes its state from other CPUs");
    }
    virt_say_mitigations();
    wallclock_watch();
    if (control_domain_build() < 0)
        machine_stop();
    serial_polled(cmdline.sync_console);
    serial_irq_watch();
    sched_loop();
}
