/* SPDX-License-Identifier: MIT */
/* ELF-64 (System V ABI, AMD64 supplement) and the PVH entry in Xen's notes (<xen/elfnote.h>). An image is foreign: headers are copied out of it,
 * so their alignment does not matter, and each extent is held against the image's length. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct elf_header) == 64, "ELF-64 object file format, figure 2");
struct elf_phdr {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct elf_phdr) == 56, "ELF-64 object file format, figure 6");
enum { PT_LOAD = 1, PT_NOTE = 4, PF_W = 2, ET_EXEC = 2, ET_DYN = 3, EM_386 = 3, EM_X86_64 = 62 };

/* [off, off + n) inside len, without overflow. */
static inline bool elf_inside(uint64_t off, uint64_t n, uint64_t len)
{
    return off <= len && n <= len - off;
}

/* The descriptor of Xen's first note of that type, of *len bytes that are all there; NULL: there is none. Damaged notes end the search. */
const uint8_t *elf_note(const void *notes, uint64_t size, uint32_t type, uint32_t *len);
/* The entry that a PVH image names in one segment of notes, in four bytes or eight; false: it names none. */
bool elf_pvh_entry(const void *notes, uint64_t size, uint64_t *entry);
