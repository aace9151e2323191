/* SPDX-License-Identifier: MIT */
/* A small image of a PVH domain, for tests of who reads one; they spoil it, or add to it, with put and phdr. */
#pragma once
#include <stdint.h>
#include <string.h>

static uint8_t image[4096];
static inline void put16(unsigned off, uint16_t v) { memcpy(image + off, &v, 2); }
static inline void put32(unsigned off, uint32_t v) { memcpy(image + off, &v, 4); }
static inline void put64(unsigned off, uint64_t v) { memcpy(image + off, &v, 8); }
static inline void phdr(unsigned i, uint32_t type, uint64_t off, uint64_t paddr, uint64_t filesz,
                        uint64_t memsz)
{
    unsigned at = 64 + i * 56;
    put32(at, type);
    put64(at + 8, off);
    put64(at + 16, paddr);
    put64(at + 24, paddr);
    put64(at + 32, filesz);
    put64(at + 40, memsz);
}
/* Sound: 1 KiB at 1 MiB and 256 bytes a page further, each with more memory than that; notes, and the entry in the first. */
static inline void make_elf(void)
{
    memset(image, 0, sizeof image);
    memcpy(image,
           "\x7f"
           "ELF\2\1\1",
           7);
    put16(16, 2);
    put16(18, 62);
    put64(32, 64);
    put16(54, 56);
    put16(56, 3);
    phdr(0, 1, 0x400, 0x100000, 0x400, 0x800);
    phdr(1, 1, 0x800, 0x101000, 0x100, 0x3000);
    phdr(2, 4, 0x300, 0, 0x28, 0);
    put32(0x300, 4); /* a foreign note first */
    put32(0x304, 4);
    put32(0x308, 18);
    memcpy(image + 0x30c, "GNU", 4);
    put32(0x314, 4);
    put32(0x318, 4);
    put32(0x31c, 18);
    memcpy(image + 0x320, "Xen", 4);
    put32(0x324, 0x100010);
}
