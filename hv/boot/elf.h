/* SPDX-License-Identifier: MIT */
/* Checks a PVH-bootable ELF64 completely before anything is loaded from it. Pure. */
#pragma once
#include "base/types.h"

#define ELF_MAX_SEGMENTS 16
struct elf_segment {
    uint64_t paddr, mem_size, offset, file_size;
};
struct elf_plan {
    struct elf_segment seg[ELF_MAX_SEGMENTS]; /* loadable, disjoint, inside [low, high) */
    unsigned nr;
    uint64_t entry; /* XEN_ELFNOTE_PHYS32_ENTRY, inside a segment */
};
/* NULL, or what is wrong with it. */
const char *elf_check(const void *image, uint64_t len, uint64_t low, uint64_t high,
                      struct elf_plan *plan) __must_check;
