/* SPDX-License-Identifier: MIT */
/* Power-off and reset of the machine, by the firmware's description first, then by what PCs have always had. */
#include "arch/machine.h"
#include "arch/irq.h"
#include "base/cpu.h"
#include "base/print_internal.h"
#include "base/serial.h"
#include "mem/paging.h"
#include "platform/acpi_info.h"
#include "platform/cmdline.h"
#include "time/time.h"

#define SLP_EN (1u << 13)
#define SCI_EN 1u

/* ACPI 6.4, 4.8.3.2 and 16.1.7. */
void machine_poweroff(void)
{
    irq_off();
    apic_stop_others();
    serial_polled(true); /* the last words */
    const struct acpi_info *a = &acpi_info;
    if (a->has_s5 && a->pm1a_cnt) {
        uint16_t pm1a = (uint16_t)a->pm1a_cnt, pm1b = (uint16_t)a->pm1b_cnt;
        if (!(inw(pm1a) & SCI_EN) && a->smi_cmd && a->acpi_enable) {
            outb((uint16_t)a->smi_cmd, a->acpi_enable);
            for (unsigned i = 0; i < 300 && !(inw(pm1a) & SCI_EN); i++)
                udelay(1000);
        }
        uint16_t v = (uint16_t)((inw(pm1a) & ~0x1c00u) | (uint32_t)a->slp_typ_s5 << 10);
        outw(pm1a, v);
        outw(pm1a, (uint16_t)(v | SLP_EN));
        if (pm1b)
            outw(pm1b, (uint16_t)(v | SLP_EN));
        udelay(100000);
    }
    print_take_back(); /* a CPU that was stopped may have been printing */
    log_err("the machine may be switched off");
    cpu_stop();
}

void machine_reboot(void)
{
    irq_off();
    apic_stop_others();
    serial_polled(true); /* the last words */
    if (acpi_info.reset_reg.ok && acpi_info.reset_reg.space == 1 &&
        acpi_info.reset_reg.addr <= 0xffff) {
        outb((uint16_t)acpi_info.reset_reg.addr, acpi_info.reset_reg.value);
        udelay(50000);
    } else if (acpi_info.reset_reg.ok && acpi_info.reset_reg.space == 0) {
        volatile uint8_t *p = mmio_map(MADDR(acpi_info.reset_reg.addr), 1);
        if (p)
            *p = acpi_info.reset_reg.value;
        udelay(50000);
    }
    outb(0xcf9, 0x02); /* reset control register: hard reset, then the edge */
    outb(0xcf9, 0x06);
    udelay(50000);
    for (unsigned i = 0; i < 1000 && inb(0x64) & 2; i++)
        udelay(10);
    outb(0x64, 0xfe); /* keyboard controller: pulse the reset line */
    udelay(50000);
    struct {
        uint16_t limit;
        uint64_t base;
    } __packed none = { 0, 0 };
    __asm__ volatile("lidt %0; int3" ::"m"(none)); /* triple fault */
    cpu_stop();
}

void machine_stop(void)
{
    if (cmdline.noreboot) {
        log_err("halted (noreboot)");
        cpu_stop();
    }
    log_err("power off in 5 seconds");
    for (unsigned i = 0; i < 5000; i++)
        udelay(1000);
    machine_poweroff();
}
