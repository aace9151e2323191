/* SPDX-License-Identifier: MIT */
#include "domain/start_info.h"
#include <string.h>
#include <xen/arch-x86/hvm/start_info.h>
#include "domain/dom.h"

#define MODLIST 0x80u
#define MEMMAP  0x100u
#define CMDLINE 0x1000u

static unsigned put(struct hvm_memmap_table_entry *e, unsigned n, uint64_t from, uint64_t to,
                    uint32_t type)
{
    if (from >= to)
        return n;
    e[n] = (struct hvm_memmap_table_entry){ .addr = from, .size = to - from, .type = type };
    return n + 1;
}

static unsigned memory_map(struct hvm_memmap_table_entry *e, const struct boot_map *m)
{
    uint64_t low = m->ram_bytes < LOW_RAM_END ? m->ram_bytes : LOW_RAM_END;
    unsigned n = 0;

    if (!m->guest)
        return put(e, 0, 0, m->ram_bytes, XEN_HVM_MEMMAP_TYPE_RAM);
    /* The first MiB is RAM throughout, but 640 KiB and up is told as reserved: docs/linux-pvh.md 1. */
    n = put(e, n, 0, 0xa0000, XEN_HVM_MEMMAP_TYPE_RAM);
    n = put(e, n, 0xa0000, 0x100000, XEN_HVM_MEMMAP_TYPE_RESERVED);
    n = put(e, n, 0x100000, low, XEN_HVM_MEMMAP_TYPE_RAM);
    n = put(e, n, SPECIAL_GPA, CONSOLE_GPA, XEN_HVM_MEMMAP_TYPE_ACPI);
    n = put(e, n, CONSOLE_GPA, SPECIAL_GPA + SPECIAL_PAGES * PAGE_SIZE, XEN_HVM_MEMMAP_TYPE_RESERVED);
    return put(e, n, 1ul << 32, (1ul << 32) + m->ram_bytes - low, XEN_HVM_MEMMAP_TYPE_RAM);
}

uint64_t boot_block_at(uint64_t high)
{
    return ((high > MIB ? high : MIB) + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

void boot_block_fill(uint8_t *block, const struct boot_map *m, const char *cmdline)
{
    struct hvm_start_info *si = (struct hvm_start_info *)block;
    struct hvm_modlist_entry *mod = (struct hvm_modlist_entry *)(block + MODLIST);

    memset(block, 0, BOOT_BLOCK);
    si->magic = XEN_HVM_START_MAGIC_VALUE;
    si->version = 1;
    si->rsdp_paddr = m->rsdp;
    si->cmdline_paddr = m->gpa + CMDLINE;
    si->memmap_paddr = m->gpa + MEMMAP;
    si->memmap_entries = memory_map((struct hvm_memmap_table_entry *)(block + MEMMAP), m);
    if (m->module_len) {
        si->nr_modules = 1;
        si->modlist_paddr = m->gpa + MODLIST;
        mod->paddr = m->module_gpa;
        mod->size = m->module_len;
    }
    snprintf((char *)block + CMDLINE, BOOT_BLOCK - CMDLINE, "%s", cmdline);
}

static bool has_word(const char *text, const char *word)
{
    for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
        if (p == text || p[-1] == ' ')
            return true;
    return false;
}

void guest_cmdline(const struct dom *d, char *text, size_t n)
{
    const char *said = d->cfg.cmdline;
    bool bounce = d->cfg.nr_pci && !has_word(said, "swiotlb=");

    snprintf(text, n, "%s%s%s", bounce ? "swiotlb=force" : "", bounce && *said ? " " : "", said);
}

void service_cmdline(const struct dom *d, const char *bridges, char *text, size_t n)
{
    snprintf(text, n, "%s%s boot=%lu%s %s", d->words, bridges, d->instance,
             d->was_ordered ? " ordered=1" : "", d->cfg.cmdline);
}
