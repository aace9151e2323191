/* SPDX-License-Identifier: MIT */
/* What the ACPI tables say. Written while the core starts (boot/acpi.c), then only read. */
#pragma once
#include "base/types.h"

struct acpi_info {
    struct {
        uint32_t apic_id;
    } cpu[MAX_CPUS];
    unsigned nr_cpus;
    uint64_t lapic_base;
    struct {
        uint64_t base;
        uint32_t gsi_base;
        uint8_t id;
    } ioapic[4];
    unsigned nr_ioapics;
    struct {
        uint32_t gsi;
        uint8_t flags;
    } isa_override[16]; /* gsi identity by default */
    uint64_t mcfg_base;
    uint16_t mcfg_seg;
    uint8_t mcfg_bus_first, mcfg_bus_last;
    uint64_t hpet_base;
    uint32_t pm_timer_port;
    uint32_t pm1a_cnt, pm1b_cnt;
    uint8_t slp_typ_s5;
    bool has_s5;
    uint32_t smi_cmd;
    uint8_t acpi_enable; /* to leave the firmware's legacy mode before sleeping */
    uint8_t century;     /* CMOS index of the century, 0 = none */
    struct {
        uint64_t addr;
        uint8_t space;
        uint8_t value;
        bool ok;
    } reset_reg;
    const void *ivrs;
    const void *dmar; /* mapped tables, or NULL */
};
extern struct acpi_info acpi_info;
