/* SPDX-License-Identifier: MIT */
/*
 * What a domain finds at its first instruction: hvm_start_info version 1 (<xen/arch-x86/hvm/start_info.h>), module list, memory map;
 * a page further the command line. A service domain's are at BH_SVC_BOOT (<layout.h>). A guest has them behind its image, as Xen's builder puts
 * them: unikernels map nothing below their own text. Linux reads them through its first page tables, which reach 1 GiB.
 *
 * Pure: no hypercalls.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <layout.h>

struct dom;

#define BOOT_BLOCK 0x2000ul
/* Guests: ACPI tables, then console and xenstore page. The last page is where a PC's firmware has its
 * reset vector: boot loaders look there for what firmware it is, and find zeroes. */
#define SPECIAL_GPA   0xffff0000ul
#define SPECIAL_PAGES 16
#define ACPI_PAGES    8
#define CONSOLE_GPA   (SPECIAL_GPA + ACPI_PAGES * PAGE_SIZE)
#define XENSTORE_GPA  (CONSOLE_GPA + PAGE_SIZE)
#define LOW_RAM_END   0xc0000000ul /* RAM of a guest below 4 GiB ends here at most */

struct boot_map {
    uint64_t gpa; /* where the block will be */
    uint64_t ram_bytes;
    bool guest;
    uint64_t rsdp, module_gpa, module_len;
};
/* Where a guest's goes, whose image ends at `high`. */
uint64_t boot_block_at(uint64_t high);
/* Fills the block of BOOT_BLOCK bytes that will lie at map->gpa. */
void boot_block_fill(uint8_t *block, const struct boot_map *map, const char *cmdline);
/* A guest's. One that has devices bounces what they read and write (swiotlb=): else a back-end in it would give them its guests' grants, which
 * are not in their IOMMU table. */
void guest_cmdline(const struct dom *d, char *text, size_t n);
/* The command line of d's instance, of n bytes at most with the NUL. */
void service_cmdline(const struct dom *d, const char *bridges, char *text, size_t n);
