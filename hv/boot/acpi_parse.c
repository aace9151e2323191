/* SPDX-License-Identifier: MIT */
/* Parsing of ACPI tables (ACPI 6.4, chapter 5), each already validated by length and checksum. Pure: reads nothing outside. */
#include "boot/acpi.h"
#include "base/print.h"
#include "base/string.h"

static uint16_t get16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}
static uint32_t get32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}
static uint64_t get64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

bool acpi_checksum_ok(const void *p, size_t n)
{
    const uint8_t *b = p;
    uint8_t sum = 0;
    while (n--)
        sum = (uint8_t)(sum + *b++);
    return sum == 0;
}

/* --- MADT (5.2.12) ---------------------------------------------------------------------------------------- */
static void add_cpu(struct acpi_info *a, uint32_t id, uint32_t flags)
{
    if (!(flags & 1) || id == UINT32_MAX)
        return;
    for (unsigned i = 0; i < a->nr_cpus; i++)
        if (a->cpu[i].apic_id == id)
            return;
    if (a->nr_cpus == MAX_CPUS) {
        log_warn("acpi: more than %u CPUs, APIC id %u stays unused", MAX_CPUS, id);
        return;
    }
    a->cpu[a->nr_cpus++].apic_id = id;
}

static void madt_entry(struct acpi_info *a, const uint8_t *e, uint8_t len)
{
    switch (e[0]) {
    case 0: /* local APIC */
        if (len >= 8 && e[3] != 0xff)
            add_cpu(a, e[3], get32(e + 4));
        break;
    case 1: /* I/O APIC */
        if (len >= 12 && a->nr_ioapics < ARRAY_SIZE(a->ioapic)) {
            a->ioapic[a->nr_ioapics].id = e[2];
            a->ioapic[a->nr_ioapics].base = get32(e + 4);
            a->ioapic[a->nr_ioapics++].gsi_base = get32(e + 8);
        }
        break;
    case 2: /* interrupt source override */
        if (len >= 10 && e[2] == 0 && e[3] < ARRAY_SIZE(a->isa_override)) {
            a->isa_override[e[3]].gsi = get32(e + 4);
            a->isa_override[e[3]].flags = (uint8_t)get16(e + 8);
        }
        break;
    case 5: /* local APIC address override */
        if (len >= 12)
            a->lapic_base = get64(e + 4);
        break;
    case 9: /* local x2APIC */
        if (len >= 16)
            add_cpu(a, get32(e + 4), get32(e + 8));
        break;
    }
}

void acpi_parse_madt(struct acpi_info *a, const struct acpi_header *h)
{
    const uint8_t *t = (const uint8_t *)h;
    if (h->length < 44)
        return;
    a->lapic_base = get32(t + 36);
    for (unsigned i = 0; i < ARRAY_SIZE(a->isa_override); i++)
        a->isa_override[i].gsi = i;
    for (uint32_t off = 44; off + 2 <= h->length;) {
        uint8_t len = t[off + 1];
        if (len < 2 || len > h->length - off) {
            log_warn("acpi: MADT entry at %u has a wrong length", off);
            break;
        }
        madt_entry(a, t + off, len);
        off += len;
    }
}

/* --- FADT (5.2.9) ------------------------------------------------------------------------------------------ */
enum {
    FADT_DSDT = 40,
    FADT_SMI_CMD = 48,
    FADT_ACPI_ENABLE = 52,
    FADT_PM1A_CNT = 64,
    FADT_PM1B_CNT = 68,
    FADT_PM_TMR = 76,
    FADT_CENTURY = 108,
    FADT_FLAGS = 112,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_CNT = 172,
    FADT_X_PM1B_CNT = 184,
    FADT_X_PM_TMR = 208,
};
#define FADT_RESET_SUPPORTED (1u << 10)
#define GAS_SYSTEM_IO        1

/* The address of an extended field if it is an I/O port, else what the old field says. */
static uint32_t io_port(const uint8_t *t, uint32_t len, unsigned field, unsigned x_field)
{
    uint32_t port = get32(t + field);
    if (len >= x_field + 12u && t[x_field] == GAS_SYSTEM_IO) {
        uint64_t x = get64(t + x_field + 4);
        if (x && x <= 0xffff)
            port = (uint32_t)x;
    }
    return port <= 0xffff ? port : 0;
}

void acpi_parse_fadt(struct acpi_info *a, const struct acpi_header *h, uint64_t *dsdt)
{
    const uint8_t *t = (const uint8_t *)h;
    if (h->length < 116)
        return;
    a->smi_cmd = get32(t + FADT_SMI_CMD);
    a->acpi_enable = t[FADT_ACPI_ENABLE];
    a->century = t[FADT_CENTURY];
    a->pm1a_cnt = io_port(t, h->length, FADT_PM1A_CNT, FADT_X_PM1A_CNT);
    a->pm1b_cnt = io_port(t, h->length, FADT_PM1B_CNT, FADT_X_PM1B_CNT);
    a->pm_timer_port = io_port(t, h->length, FADT_PM_TMR, FADT_X_PM_TMR);
    *dsdt = get32(t + FADT_DSDT);
    if (h->length >= FADT_X_DSDT + 8 && get64(t + FADT_X_DSDT))
        *dsdt = get64(t + FADT_X_DSDT);
    if (h->length > FADT_RESET_VALUE && get32(t + FADT_FLAGS) & FADT_RESET_SUPPORTED) {
        a->reset_reg.space = t[FADT_RESET_REG];
        a->reset_reg.addr = get64(t + FADT_RESET_REG + 4);
        a->reset_reg.value = t[FADT_RESET_VALUE];
        a->reset_reg.ok = a->reset_reg.addr != 0;
    }
}

void acpi_parse_hpet(struct acpi_info *a, const struct acpi_header *h)
{
    const uint8_t *t = (const uint8_t *)h;
    if (h->length >= 56 && t[40] == 0) /* system memory */
        a->hpet_base = get64(t + 44);
}

void acpi_parse_mcfg(struct acpi_info *a, const struct acpi_header *h)
{
    const uint8_t *t = (const uint8_t *)h;
    /* The first entry is the one of the segment that every machine has; others are reported. */
    if (h->length < 60)
        return;
    a->mcfg_base = get64(t + 44);
    a->mcfg_seg = get16(t + 52);
    a->mcfg_bus_first = t[54];
    a->mcfg_bus_last = t[55];
    if (a->mcfg_bus_last < a->mcfg_bus_first)
        a->mcfg_base = 0;
    if (h->length >= 76)
        log_warn("acpi: MCFG names more than one range, only the first is used");
}

/* --- \_S5 (19.6 for the encoding) ---------------------------------------------------------------------------- */
/* A package's first element as an integer; false if it is none. */
static bool first_integer(const uint8_t *p, const uint8_t *end, uint8_t *v)
{
    if (p + 2 > end || *p++ != 0x12) /* PackageOp */
        return false;
    p += 1 + (*p >> 6);           /* PkgLength: 1 to 4 bytes */
    if (p + 3 > end || *p++ == 0) /* NumElements */
        return false;
    if (*p == 0x0a) { /* BytePrefix */
        *v = p[1];
        return true;
    }
    *v = *p;
    return *p <= 1; /* ZeroOp, OneOp */
}

/* No interpreter: the name \_S5_ with a literal package is what firmware has; anything else is as if absent. */
void acpi_parse_s5(struct acpi_info *a, const struct acpi_header *dsdt)
{
    const uint8_t *t = (const uint8_t *)dsdt, *end = t + dsdt->length;
    for (const uint8_t *p = t + sizeof *dsdt + 2; p + 8 <= end; p++) {
        if (memcmp(p, "_S5_", 4) != 0)
            continue;
        if (p[-1] != 0x08 && !(p[-1] == '\\' && p[-2] == 0x08)) /* NameOp */
            continue;
        if (first_integer(p + 4, end, &a->slp_typ_s5)) {
            a->slp_typ_s5 &= 7;
            a->has_s5 = true;
            return;
        }
    }
}
