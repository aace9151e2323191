/* SPDX-License-Identifier: MIT */
/* Table layouts are those of the ACPI specification 6.3, section 5.2. */
#include "domain/acpi.h"
#include <layout.h>
#include <string.h>

struct rsdp { /* 5.2.5.3 */
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t xchecksum;
    uint8_t reserved[3];
} __attribute__((packed));

struct header { /* 5.2.6 */
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

struct gas { /* 5.2.3.2 */
    uint8_t space, width, offset, access;
    uint64_t address;
} __attribute__((packed));

struct fadt { /* 5.2.9 */
    struct header h;
    uint32_t facs, dsdt;
    uint8_t reserved0, profile;
    uint16_t sci_int;
    uint32_t smi_cmd;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate;
    uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_timer, gpe0, gpe1;
    uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_timer_len, gpe0_len, gpe1_len, gpe1_base, cst;
    uint16_t c2_latency, c3_latency, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_arch;
    uint8_t reserved1;
    uint32_t flags;
    struct gas reset_reg;
    uint8_t reset_value;
    uint16_t arm_boot_arch;
    uint8_t minor;
    uint64_t x_facs, x_dsdt;
    struct gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_timer, x_gpe0, x_gpe1;
    struct gas sleep_control, sleep_status;
    uint64_t hypervisor;
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == 36 && sizeof(struct header) == 36 && sizeof(struct fadt) == 276,
               "ACPI 6.3 layouts");

#define FADT_WBINVD      (1u << 0)
#define FADT_PWR_BUTTON  (1u << 4) /* no fixed power button */
#define FADT_SLP_BUTTON  (1u << 5)
#define FADT_HW_REDUCED  (1u << 20)
#define BOOT_NO_VGA      (1u << 2) /* 5.2.9.3 */
#define BOOT_NO_CMOS_RTC (1u << 5)

struct madt { /* 5.2.12 */
    struct header h;
    uint32_t lapic;
    uint32_t flags; /* PCAT_COMPAT clear: no 8259 pair */
} __attribute__((packed));

struct madt_lapic { /* 5.2.12.2 */
    uint8_t type, length, uid, apic_id;
    uint32_t flags;
} __attribute__((packed));

/* Name (\_S5, Package (4) { 5, 5, 0, 0 }) in AML (20.2): SLP_TYP 5 goes into the sleep control
 * register. */
static const uint8_t dsdt_aml[] = {
    0x08, '\\', '_', 'S', '5', '_', 0x12, 0x08, 0x04, 0x0a, 0x05, 0x0a, 0x05, 0x00, 0x00,
};

/* Scope (\_SB) { Device (PCI0) { _HID PNP0A03, _UID 0, _CRS: bus 0 alone; ports CF8 to CFF; where the core puts BARs (<layout.h>) } }.
 * Lengths of packages are of two bytes (20.2.4); descriptors are those of 6.4. */
#define B2(x)       (uint8_t)(x), (uint8_t)((x) >> 8)
#define B4(x)       B2(x), B2((x) >> 16)
#define B8(x)       B4(x), B4((uint64_t)(x) >> 32)
#define PKG(len)    (uint8_t)(0x40 | ((len)&15)), (uint8_t)((len) >> 4)
#define FIXED       0x0c /* producer, both ends fixed */
#define READ_WRITE  0x01 /* not cacheable */
#define SIZE_CRS    (16 + 8 + 26 + 46 + 2)
#define SIZE_BUFFER (2 + 2 + SIZE_CRS)
#define SIZE_DEVICE (2 + 4 + 10 + 6 + 5 + 1 + SIZE_BUFFER)
#define SIZE_SCOPE  (2 + 5 + 2 + SIZE_DEVICE)
static const uint8_t pci_aml[] = {
    0x10,
    PKG(SIZE_SCOPE),
    '\\',
    '_',
    'S',
    'B',
    '_',
    0x5b,
    0x82,
    PKG(SIZE_DEVICE),
    'P',
    'C',
    'I',
    '0',
    0x08,
    '_',
    'H',
    'I',
    'D',
    0x0c,
    0x41,
    0xd0,
    0x0a,
    0x03,
    0x08,
    '_',
    'U',
    'I',
    'D',
    0x00,
    0x08,
    '_',
    'C',
    'R',
    'S',
    0x11,
    PKG(SIZE_BUFFER),
    0x0a,
    SIZE_CRS,
    0x88,
    B2(0x0d),
    2,
    FIXED,
    0,
    B2(0),
    B2(0),
    B2(0),
    B2(0),
    B2(1),
    0x47,
    0x01,
    B2(0xcf8),
    B2(0xcf8),
    1,
    8,
    0x87,
    B2(0x17),
    0,
    FIXED,
    READ_WRITE,
    B4(0),
    B4(BH_BARS),
    B4(BH_BARS_END - 1),
    B4(0),
    B4(BH_BARS_END - BH_BARS),
    0x8a,
    B2(0x2b),
    0,
    FIXED,
    READ_WRITE,
    B8(0),
    B8(BH_BARS_HIGH),
    B8(BH_BARS_HIGH_END - 1),
    B8(0),
    B8(BH_BARS_HIGH_END - BH_BARS_HIGH),
    0x79,
    0x00,
};
_Static_assert(sizeof(pci_aml) == 1 + SIZE_SCOPE, "its lengths");

_Static_assert(sizeof(struct header) + sizeof(dsdt_aml) + sizeof(pci_aml) <= 256, "room for a DSDT");

static uint8_t checksum(const void *p, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)p)[i]);
    return (uint8_t)-sum;
}

static void seal(struct header *h, const char *signature, uint8_t revision, size_t length)
{
    memcpy(h->signature, signature, 4);
    h->length = (uint32_t)length;
    h->revision = revision;
    memcpy(h->oem, "BULKHD", 6);
    memcpy(h->oem_table, "BULKHEAD", 8);
    h->oem_revision = 1;
    h->creator = 0x4b4c5542; /* "BULK" */
    h->creator_revision = 1;
    h->checksum = 0;
    h->checksum = checksum(h, length);
}

static void build_fadt(struct fadt *f, uint64_t dsdt)
{
    f->dsdt = (uint32_t)dsdt;
    f->x_dsdt = dsdt;
    f->flags = FADT_HW_REDUCED | FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON;
    f->boot_arch = BOOT_NO_VGA | BOOT_NO_CMOS_RTC;
    f->minor = 3;
    f->sleep_control = (struct gas){ .space = 1, .width = 8, .access = 1, .address = ACPI_SLEEP_PORT };
    f->sleep_status = (struct gas){
        .space = 1, .width = 8, .access = 1, .address = ACPI_SLEEP_PORT + 1
    };
    memcpy(&f->hypervisor, "Bulkhead", 8);
    seal(&f->h, "FACP", 6, sizeof(*f));
}

static size_t build_madt(struct madt *m, unsigned nr_vcpus)
{
    struct madt_lapic *e = (struct madt_lapic *)(m + 1);

    m->lapic = 0xfee00000;
    for (unsigned i = 0; i < nr_vcpus; i++, e++)
        /* Linux takes the Xen vCPU id from the processor UID. */
        *e = (struct madt_lapic){ .type = 0,
                                  .length = sizeof(*e),
                                  .uid = (uint8_t)i,
                                  .apic_id = (uint8_t)BH_APIC_ID(i),
                                  .flags = 1 };
    size_t len = sizeof(*m) + nr_vcpus * sizeof(*e);
    seal(&m->h, "APIC", 4, len);
    return len;
}

size_t acpi_build(void *buf, size_t size, uint64_t gpa, unsigned nr_vcpus, bool pci)
{
    uint8_t *p = buf;
    const size_t xsdt = 64, dsdt = xsdt + 64, fadt = dsdt + 256, madt = fadt + 320;
    size_t aml = sizeof(struct header) + sizeof(dsdt_aml);
    size_t need = madt + sizeof(struct madt) + nr_vcpus * sizeof(struct madt_lapic);
    uint64_t tables[2] = { gpa + fadt, gpa + madt };

    if (need > size)
        return 0;
    memset(buf, 0, size);
    memcpy(p + dsdt + sizeof(struct header), dsdt_aml, sizeof(dsdt_aml));
    if (pci) {
        memcpy(p + dsdt + aml, pci_aml, sizeof(pci_aml));
        aml += sizeof(pci_aml);
    }
    seal((struct header *)(p + dsdt), "DSDT", 2, aml);
    build_fadt((struct fadt *)(p + fadt), gpa + dsdt);
    build_madt((struct madt *)(p + madt), nr_vcpus);
    memcpy(p + xsdt + sizeof(struct header), tables, sizeof(tables));
    seal((struct header *)(p + xsdt), "XSDT", 1, sizeof(struct header) + sizeof(tables));

    struct rsdp *r = buf;
    memcpy(r->signature, "RSD PTR ", 8);
    memcpy(r->oem, "BULKHD", 6);
    r->revision = 2;
    r->length = sizeof(*r);
    r->xsdt = gpa + xsdt;
    r->checksum = checksum(r, 20);
    r->xchecksum = checksum(r, sizeof(*r));
    return need;
}
