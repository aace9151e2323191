/* SPDX-License-Identifier: MIT */
/* IO-APICs (82093AA): every pin masked but those that the core itself uses. Lock: `lock` (index and window are a pair). */
#include "boot/boot.h"
#include "irq/irq.h"
#include "lib/cpu.h"
#include "lib/lock.h"
#include "lib/print.h"
#include "lib/string.h"
#include "mem/paging.h"

#define REG_VERSION 1u
#define REG_TABLE   0x10u
#define RTE_MASKED  (1u << 16)
#define RTE_LEVEL   (1u << 15)
#define RTE_LOW     (1u << 13)

static struct spinlock lock;
static struct { volatile uint32_t *mmio; unsigned pins; } chip[4];

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
    uint32_t low = vector | ((flags & 3) == 3 ? RTE_LOW : 0) | ((flags >> 2 & 3) == 3 ? RTE_LEVEL : 0);
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

/* AMD I/O virtualization 3.10, 5.2.2.1: device entry 0x48 "special", variety 1 = IO-APIC, inside an IVHD (types
 * 10h, 11h, 40h). Entries are 4, 8, 12 or more bytes by the upper two bits of their type. */
static uint32_t ivhd_ioapic(const uint8_t *block, uint32_t len)
{
    uint32_t off = block[0] == 0x10 ? 24 : 40;
    while (off + 4 <= len) {
        const uint8_t *e = block + off;
        uint32_t size = 4u << (e[0] >> 6);
        if (e[0] >= 240)
            size = off + 22 <= len ? 22u + e[21] : len;
        if (e[0] == 0x48 && off + 8 <= len && e[7] == 1)
            return e[5] | (uint32_t)e[6] << 8;
        off += size;
    }
    return UINT32_MAX;
}

uint32_t ioapic_requester_id(void)
{
    const uint8_t *t = acpi_info.ivrs;
    uint32_t len = 0;
    if (t)
        memcpy(&len, t + 4, 4);
    for (uint32_t off = 48; t && off + 24 <= len;) {
        uint16_t size;
        memcpy(&size, t + off + 2, 2);
        if (size < 24 || size > len - off)
            break;
        if (t[off] == 0x10 || t[off] == 0x11 || t[off] == 0x40) {
            uint32_t id = ivhd_ioapic(t + off, size);
            if (id != UINT32_MAX)
                return id;
        }
        off += size;
    }
    return 0x00a0; /* 00:14.0, where chipsets have it */
}
