/* SPDX-License-Identifier: MIT */
/* ELF64 (System V ABI, AMD64 supplement) with the PVH note of <xen/elfnote.h>. Headers are copied out, so alignment of the
 * image and of what its fields point at does not matter. */
#include "boot/elf.h"
#include <xen/elfnote.h>
#include "base/string.h"

struct ehdr {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct ehdr) == 64, "ELF-64 object file format, figure 2");
struct phdr { uint32_t type, flags; uint64_t offset, vaddr, paddr, filesz, memsz, align; };
_Static_assert(sizeof(struct phdr) == 56, "ELF-64 object file format, figure 6");
struct nhdr { uint32_t namesz, descsz, type; };
enum { PT_LOAD = 1, PT_NOTE = 4, ET_EXEC = 2, ET_DYN = 3, EM_X86_64 = 62 };

/* [off, off + n) inside len, without overflow. */
static bool inside(uint64_t off, uint64_t n, uint64_t len) { return off <= len && n <= len - off; }

static const char *add_load(struct elf_plan *plan, const struct phdr *p, uint64_t len, uint64_t low, uint64_t high)
{
    if (!inside(p->offset, p->filesz, len) || p->filesz > p->memsz)
        return "a segment reaches beyond the file (truncated?)";
    if (!p->memsz)
        return NULL;
    if (p->paddr < low || p->paddr >= high || p->memsz > high - p->paddr)
        return "a segment does not fit the domain's memory";
    for (unsigned i = 0; i < plan->nr; i++) {
        const struct elf_segment *s = &plan->seg[i];
        if (p->paddr < s->paddr + s->mem_size && s->paddr < p->paddr + p->memsz)
            return "segments overlap";
    }
    if (plan->nr == ELF_MAX_SEGMENTS)
        return "too many segments";
    plan->seg[plan->nr++] = (struct elf_segment){ p->paddr, p->memsz, p->offset, p->filesz };
    return NULL;
}

/* Looks for the PVH entry in one note segment; damaged notes end the search. */
static void find_entry(struct elf_plan *plan, const uint8_t *notes, uint64_t size)
{
    struct nhdr n;
    for (uint64_t off = 0; inside(off, sizeof n, size);) {
        memcpy(&n, notes + off, sizeof n);
        uint64_t name = off + sizeof n, desc = name + ROUND_UP((uint64_t)n.namesz, 4u);
        if (!inside(desc, n.descsz, size))
            return;
        if (n.type == XEN_ELFNOTE_PHYS32_ENTRY && n.namesz == 4 && !memcmp(notes + name, "Xen", 4) &&
            (n.descsz == 4 || n.descsz == 8)) {
            plan->entry = 0;
            memcpy(&plan->entry, notes + desc, n.descsz);
            return;
        }
        off = desc + ROUND_UP((uint64_t)n.descsz, 4u);
    }
}

static const char *check_header(const struct ehdr *h, uint64_t len)
{
    static const uint8_t magic[7] = { 0x7f, 'E', 'L', 'F', 2 /* 64-bit */, 1 /* little-endian */, 1 };
    if (memcmp(h->ident, magic, sizeof magic))
        return "no 64-bit ELF file";
    if (h->machine != EM_X86_64 || (h->type != ET_EXEC && h->type != ET_DYN))
        return "no x86-64 executable";
    if (h->phentsize != sizeof(struct phdr) || !h->phnum || !inside(h->phoff, (uint64_t)h->phnum * h->phentsize, len))
        return "its program headers are damaged";
    return NULL;
}

const char *elf_check(const void *image, uint64_t len, uint64_t low, uint64_t high, struct elf_plan *plan)
{
    const uint8_t *file = image;
    struct ehdr h;
    struct phdr p;
    memset(plan, 0, sizeof *plan);
    if (len < sizeof h)
        return "no 64-bit ELF file";
    memcpy(&h, file, sizeof h);
    const char *why = check_header(&h, len);
    for (unsigned i = 0; !why && i < h.phnum; i++) {
        memcpy(&p, file + h.phoff + i * sizeof p, sizeof p);
        if (p.type == PT_LOAD)
            why = add_load(plan, &p, len, low, high);
        else if (p.type == PT_NOTE && !plan->entry && inside(p.offset, p.filesz, len))
            find_entry(plan, file + p.offset, p.filesz);
    }
    if (why)
        return why;
    if (!plan->entry)
        return "no PVH entry note: not a PVH kernel";
    for (unsigned i = 0; i < plan->nr; i++)
        if (plan->entry >= plan->seg[i].paddr && plan->entry - plan->seg[i].paddr < plan->seg[i].file_size)
            return NULL;
    return "its PVH entry lies outside its segments";
}
