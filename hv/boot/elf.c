/* SPDX-License-Identifier: MIT */
/* The control domain's image: whole in memory, 64-bit, judged before a byte of it is loaded. */
#include "boot/elf.h"
#include "common/elf.h"
#include "common/string.h"

static const char *add_load(struct elf_plan *plan, const struct elf_phdr *p, uint64_t len,
                            uint64_t low, uint64_t high)
{
    if (!elf_inside(p->offset, p->filesz, len) || p->filesz > p->memsz)
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

static const char *check_header(const struct elf_header *h, uint64_t len)
{
    static const uint8_t magic[7] = { 0x7f, 'E', 'L', 'F', 2 /* 64-bit */, 1 /* little-endian */, 1 };
    if (memcmp(h->ident, magic, sizeof magic))
        return "no 64-bit ELF file";
    if (h->machine != EM_X86_64 || (h->type != ET_EXEC && h->type != ET_DYN))
        return "no x86-64 executable";
    if (h->phentsize != sizeof(struct elf_phdr) || !h->phnum ||
        !elf_inside(h->phoff, (uint64_t)h->phnum * h->phentsize, len))
        return "its program headers are damaged";
    return NULL;
}

const char *elf_check(const void *image, uint64_t len, uint64_t low, uint64_t high,
                      struct elf_plan *plan)
{
    const uint8_t *file = image;
    struct elf_header h;
    struct elf_phdr p;
    bool found = false;
    memset(plan, 0, sizeof *plan);
    if (len < sizeof h)
        return "no 64-bit ELF file";
    memcpy(&h, file, sizeof h);
    const char *why = check_header(&h, len);
    for (unsigned i = 0; !why && i < h.phnum; i++) {
        memcpy(&p, file + h.phoff + i * sizeof p, sizeof p);
        if (p.type == PT_LOAD)
            why = add_load(plan, &p, len, low, high);
        else if (p.type == PT_NOTE && !found && elf_inside(p.offset, p.filesz, len))
            found = elf_pvh_entry(file + p.offset, p.filesz, &plan->entry);
    }
    if (why)
        return why;
    if (!found)
        return "no PVH entry note: not a PVH kernel";
    for (unsigned i = 0; i < plan->nr; i++)
        if (plan->entry >= plan->seg[i].paddr &&
            plan->entry - plan->seg[i].paddr < plan->seg[i].file_size)
            return NULL;
    return "its PVH entry lies outside its segments";
}
