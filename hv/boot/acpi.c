/* SPDX-License-Identifier: MIT */
/*
 * Finds the ACPI tables and has each parsed (boot/acpi_parse.c). A table may lie anywhere: it is mapped by its header first,
 * then by its length, and believed only with a right checksum.
 */
#include "boot/acpi.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/paging.h"

#define MAX_TABLE (4u << 20)

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t checksum2, reserved[3];
} __packed;
_Static_assert(sizeof(struct rsdp) == 36, "ACPI 6.4, 5.2.5.3");

static const struct acpi_header *map_table(uint64_t at, const char *signature)
{
    const struct acpi_header *h = at ? mmio_map(MADDR(at), sizeof *h) : NULL;
    if (!h)
        return NULL;
    if (signature && memcmp(h->signature, signature, 4))
        return NULL;
    if (h->length < sizeof *h || h->length > MAX_TABLE) {
        log_warn("acpi: table %.4s at %lx has a wrong length", h->signature, at);
        return NULL;
    }
    h = mmio_map(MADDR(at), h->length);
    if (!h || !acpi_checksum_ok(h, h->length)) {
        log_warn("acpi: table at %lx is damaged", at);
        return NULL;
    }
    return h;
}

static bool rsdp_ok(const struct rsdp *r)
{
    return !memcmp(r->signature, "RSD PTR ", 8) && acpi_checksum_ok(r, 20);
}

static bool find_rsdp(struct rsdp *out)
{
    if (boot_info.rsdp_len >= 20) {
        memcpy(out, boot_info.rsdp_copy, boot_info.rsdp_len);
        if (rsdp_ok(out))
            return true;
    }
    /* 5.2.5.1: at a 16-byte boundary of the BIOS area. */
    const uint8_t *bios = mmio_map(MADDR(0xe0000), 0x20000);
    for (unsigned off = 0; bios && off + sizeof *out <= 0x20000; off += 16)
        if (rsdp_ok((const void *)(bios + off))) {
            memcpy(out, bios + off, sizeof *out);
            return true;
        }
    return false;
}

static void parse_table(uint64_t at, uint64_t *dsdt)
{
    const struct acpi_header *h = map_table(at, NULL);
    if (!h)
        return;
    if (!memcmp(h->signature, "APIC", 4))
        acpi_parse_madt(&acpi_info, h);
    else if (!memcmp(h->signature, "FACP", 4))
        acpi_parse_fadt(&acpi_info, h, dsdt);
    else if (!memcmp(h->signature, "HPET", 4))
        acpi_parse_hpet(&acpi_info, h);
    else if (!memcmp(h->signature, "MCFG", 4))
        acpi_parse_mcfg(&acpi_info, h);
    else if (!memcmp(h->signature, "IVRS", 4))
        acpi_info.ivrs = h;
    else if (!memcmp(h->signature, "DMAR", 4))
        acpi_info.dmar = h;
}

void acpi_init(void)
{
    struct rsdp r = { 0 };
    uint64_t dsdt = 0;
    if (!find_rsdp(&r)) {
        log_warn("acpi: no tables: one CPU, no IOMMU");
        return;
    }
    bool wide = r.revision >= 2 && r.xsdt;
    const struct acpi_header *root = map_table(wide ? r.xsdt : r.rsdt, wide ? "XSDT" : "RSDT");
    if (!root) {
        log_warn("acpi: the root table is damaged: one CPU, no IOMMU");
        return;
    }
    const uint8_t *entries = (const uint8_t *)(root + 1);
    size_t size = wide ? 8 : 4, n = MIN((root->length - sizeof *root) / size, 128ul);
    for (size_t i = 0; i < n; i++) {
        uint64_t at = 0;
        memcpy(&at, entries + i * size, size);
        parse_table(at, &dsdt);
    }
    const struct acpi_header *d = map_table(dsdt, "DSDT");
    if (d)
        acpi_parse_s5(&acpi_info, d);
}
