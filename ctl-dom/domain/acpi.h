/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables of a PVH guest: small, static, hardware-reduced, so that Linux looks for no PIC,
 * PIT, HPET or IO-APIC.
 *
 * Pure: no hypercalls.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <bulkhead.h>

/* Sleep control register of \_S5, in I/O space (ACPI 6.3, 4.8.3.7): the core takes a write with
 * SLP_EN set for a power-off. */
#define ACPI_SLEEP_PORT BH_PORT_SLEEP

/* Builds RSDP (at offset 0), XSDT, FADT, MADT and DSDT as they will lie at gpa; pci: with a root bus, for who has devices. Returns the
 * bytes used, 0 if size is too small. */
size_t acpi_build(void *buf, size_t size, uint64_t gpa, unsigned nr_vcpus, bool pci);
