/* SPDX-License-Identifier: MIT */
/* What the loader left: memory map, modules, command line, ACPI. Written while the core starts (boot/multiboot.c), then only read. */
#pragma once
#include "base/types.h"

struct boot_range {
    uint64_t start, end;
}; /* bytes */
#define BOOT_MAX_RANGES 128
#define CMDLINE_MAX     1023u /* characters that are read of the command line */
struct boot_info {
    struct boot_range ram[BOOT_MAX_RANGES]; /* usable, sorted, page-aligned inwards, core image and modules still inside */
    unsigned nr_ram;
    struct boot_range module[2]; /* control ELF, bundle (0,0 if absent); relocated above the image if needed */
    unsigned nr_modules;
    char module_args[2][256]; /* the words after each module's name */
    uint64_t rsdp;            /* 0: search 0xE0000..0xFFFFF */
    uint8_t rsdp_copy[36];    /* what the loader handed over; rsdp_len 0: nothing */
    unsigned rsdp_len;
    char cmdline[CMDLINE_MAX + 2]; /* one more than is read: shows that it was longer */
    struct boot_range image;       /* the core's own frames */
    struct boot_range reserved[BOOT_MAX_RANGES]; /* what the memory map names and is not usable, page-aligned outwards */
    unsigned nr_reserved;
};
extern struct boot_info boot_info;
