/* SPDX-License-Identifier: MIT */
/* ACPI tables: the pure half, which parses one validated table at a time (native tests call it). */
#pragma once
#include "boot/boot.h"

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision, creator_id, creator_revision;
};
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.4, 5.2.6");

bool acpi_checksum_ok(const void *p, size_t n); /* the sum of n bytes is 0 (ACPI 6.4, 5.2.6) */
/* Each takes what the core needs of a table whose length and checksum are right; entries that do not fit into it are left out. *dsdt: its machine
 * address, 0 for none. ACPI 6.4: MADT 5.2.12, FADT 5.2.9, \_S5 7.4.2; HPET 1.0a 3.2.4; MCFG: PCI firmware 3.2, 4.1.2. */
void acpi_parse_madt(struct acpi_info *a, const struct acpi_header *h);
void acpi_parse_fadt(struct acpi_info *a, const struct acpi_header *h, uint64_t *dsdt);
void acpi_parse_hpet(struct acpi_info *a, const struct acpi_header *h);
void acpi_parse_mcfg(struct acpi_info *a, const struct acpi_header *h);
void acpi_parse_s5(struct acpi_info *a, const struct acpi_header *dsdt);
