/* SPDX-License-Identifier: MIT */
/* IO-APICs (82093AA): every pin masked but those that the core itself uses. Lock: `lock` (index and window are a pair). */
#include "arch/irq.h"
#include "base/cpu.h"
#include "base/lock.h"
#include "mem/paging.h"
#include "platform/acpi_info.h"

#define REG_VERSION 1u
#define REG_TABLE   0x10u
#define RTE_MASKED  (1u << 16)
#define RTE_LEVEL   (1u << 15)
#define RTE_LOW     (1u << 13)

static struct spinlock lock;
static struct {
    volatile uint32_t *mmio;
    unsigned pins;
} chip[4];

static uint32_t read_reg(unsigned i, uint32_t reg)
{
    chip[i].mmio[0] = reg;
    return chip[i].mmio[4];
}

static void write_reg(unsigned i, uint32_t reg, uint32_t v)
{
    chip[i].mmio[0] = reg;
    chip[i].mmio[4] = v;
}

void ioapic_init(void)
{
    for (unsigned i = 0; i < acpi_info.nr_ioapics; i++) {
        chip[i].mmio = mmio_map(MADDR(acpi_info.ioapic[i].base), 32);
        if (!chip[i].mmio)
            continue;
        chip[i].pins = (read_reg(i, REG_VERSION) >> 16 & 0xff) + 1;
        for (unsigned p = 0; p < chip[i].pins; p++)
            write_reg(i, REG_TABLE + 2 * p, RTE_MASKED);
    }
}

int ioapic_route_isa(unsigned isa_irq, uint8_t vector)
{
    if (isa_irq >= ARRAY_SIZE(acpi_info.isa_override))
        return -EINVAL;
    uint32_t gsi = acpi_info.isa_override[isa_irq].gsi;
    uint8_t flags = acpi_info.isa_override[isa_irq].flags; /* MPS INTI flags: ACPI 6.4, table 5.26 */
    uint32_t low = vector | ((flags & 3) == 3 ? RTE_LOW : 0) |
                   ((flags >> 2 & 3) == 3 ? RTE_LEVEL : 0);
    for (unsigned i = 0; i < acpi_info.nr_ioapics; i++) {
        uint32_t first = acpi_info.ioapic[i].gsi_base;
        if (gsi < first || gsi - first >= chip[i].pins)
            continue;
        uint32_t reg = REG_TABLE + 2 * (gsi - first);
        spin_lock(&lock);
        write_reg(i, reg, RTE_MASKED);
        write_reg(i, reg + 1, cpus[0]->apic_id << 24);
        write_reg(i, reg, low);
        spin_unlock(&lock);
        return 0;
    }
    return -ENODEV;
}
