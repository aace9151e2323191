/* SPDX-License-Identifier: MIT */
/*
 * Reads the boot information of Multiboot 2 (its specification, section 3.6) or Multiboot 1 (3.3) into boot_info. Runs on the
 * early page tables, which map the low 4 GiB, before anything is allocated; the loader's own structures are dead afterwards.
 * Loader data is believed as far as its sizes: everything is bounded by what it says of itself.
 */
#include "boot/boot.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/bootmem.h"
#include "mem/frame.h"
#include "platform/range.h"

#define MB1_BOOT_MAGIC 0x2badb002u
#define MB2_BOOT_MAGIC 0x36d76289u
#define MMAP_USABLE    1u

static struct range_set usable, reserved;
extern char __image_start[], __image_end[];

static const void *low(uint64_t maddr) { return maddr_to_virt(MADDR(maddr)); }

static void add_memory(uint64_t base, uint64_t len, uint32_t type)
{
    uint64_t end = base + len;
    if (end < base)
        end = ~PAGE_SIZE + 1;
    if (type == MMAP_USABLE)
        range_add(&usable, ROUND_UP(base, PAGE_SIZE), ROUND_DOWN(end, PAGE_SIZE));
    else
        range_add(&reserved, ROUND_DOWN(base, PAGE_SIZE), ROUND_UP(end, PAGE_SIZE));
}

/* Some loaders put the file's name first: a word with a slash that is no option with one in its value. */
static const char *skip_name(const char *s, size_t max)
{
    size_t n = 0;
    bool path = false;
    while (n < max && s[n] && s[n] != ' ' && s[n] != '=')
        path |= s[n++] == '/';
    if (!path || (n < max && s[n] == '='))
        return s;
    while (n < max && s[n] == ' ')
        n++;
    return s + n;
}

static void copy_text(char *dst, size_t size, const char *src, size_t max)
{
    const char *s = skip_name(src, max);
    size_t n = strnlen(s, max - (size_t)(s - src));
    n = MIN(n, size - 1);
    memcpy(dst, s, n);
    dst[n] = 0;
}

static void add_module(uint64_t start, uint64_t end, const char *args, size_t max)
{
    unsigned i = boot_info.nr_modules;
    if (i == ARRAY_SIZE(boot_info.module) || end < start || end > BOOT_LOW_LIMIT)
        return;
    boot_info.module[i] = (struct boot_range){ start, end };
    copy_text(boot_info.module_args[i], sizeof boot_info.module_args[i], args, max);
    boot_info.nr_modules++;
}

static void keep_rsdp(const uint8_t *tag, uint32_t len)
{
    len = MIN(len, (uint32_t)sizeof boot_info.rsdp_copy);
    if (len < boot_info.rsdp_len)
        return; /* the longer one (ACPI 2) is the better one */
    memcpy(boot_info.rsdp_copy, tag, len);
    boot_info.rsdp_len = len;
}

struct mb2_tag {
    uint32_t type, size;
};
struct mb2_mmap {
    struct mb2_tag tag;
    uint32_t entry_size, version;
    uint8_t entry[];
};
struct mb2_mmap_entry {
    uint64_t base, len;
    uint32_t type, zero;
};
struct mb2_module {
    struct mb2_tag tag;
    uint32_t start, end;
    char text[];
};

static void mb2_memory_map(const struct mb2_mmap *m)
{
    struct mb2_mmap_entry e;
    if (m->tag.size < sizeof *m || m->entry_size < sizeof e)
        return;
    for (uint32_t off = 0; off + m->entry_size <= m->tag.size - sizeof *m; off += m->entry_size) {
        memcpy(&e, m->entry + off, sizeof e);
        add_memory(e.base, e.len, e.type);
    }
}

static void read_mb2(const uint8_t *info)
{
    uint32_t total;
    memcpy(&total, info, sizeof total);
    for (uint32_t off = 8; off + sizeof(struct mb2_tag) <= total;) {
        const struct mb2_tag *t = (const void *)(info + off);
        if (t->size < sizeof *t || t->size > total - off || t->type == 0)
            break;
        switch (t->type) {
        case 1:
            copy_text(boot_info.cmdline, sizeof boot_info.cmdline, (const char *)(t + 1),
                      t->size - sizeof *t);
            break;
        case 3: {
            const struct mb2_module *m = (const void *)t;
            if (t->size > sizeof *m)
                add_module(m->start, m->end, m->text, t->size - sizeof *m);
            break;
        }
        case 6: mb2_memory_map((const void *)t); break;
        case 14:
        case 15: keep_rsdp((const uint8_t *)(t + 1), t->size - (uint32_t)sizeof *t); break;
        }
        off += ROUND_UP(t->size, 8u);
    }
}

struct mb1_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, nr_mods, mods, syms[4], mmap_length,
        mmap_addr;
};
struct mb1_module {
    uint32_t start, end, text, pad;
};
struct mb1_mmap_entry {
    uint32_t size;
    uint64_t base, len;
    uint32_t type;
} __packed;
#define MB1_CMDLINE (1u << 2)
#define MB1_MODS    (1u << 3)
#define MB1_MMAP    (1u << 6)

static void read_mb1(const struct mb1_info *m)
{
    struct mb1_mmap_entry e;
    if (m->flags & MB1_CMDLINE)
        copy_text(boot_info.cmdline, sizeof boot_info.cmdline, low(m->cmdline),
                  sizeof boot_info.cmdline);
    if (m->flags & MB1_MODS)
        for (uint32_t i = 0; i < MIN(m->nr_mods, 2u); i++) {
            const struct mb1_module *mod = (const struct mb1_module *)low(m->mods) + i;
            add_module(mod->start, mod->end, mod->text ? low(mod->text) : "",
                       sizeof boot_info.module_args[0]);
        }
    if (!(m->flags & MB1_MMAP))
        return;
    for (uint32_t off = 0; off + sizeof e <= m->mmap_length; off += e.size + 4) {
        memcpy(&e, (const uint8_t *)low(m->mmap_addr) + off, sizeof e);
        if (e.size < sizeof e - 4)
            break;
        add_memory(e.base, e.len, e.type);
    }
}

/* A module that is not page-aligned or lies where the core allocates nothing from moves to pages of its own. */
static void relocate_module(struct boot_range *m)
{
    uint64_t len = m->end - m->start;
    if (!len)
        return;
    if (m->start & ~PAGE_MASK || m->start < LOW_MIB) {
        uint64_t at = bootmem_alloc(len, PAGE_SIZE, BOOT_LOW_LIMIT);
        memmove(maddr_to_virt(MADDR(at)), low(m->start), len);
        *m = (struct boot_range){ at, at + len };
    }
    /* A domain sees whole pages: nothing of others may follow in the last one. */
    memset((uint8_t *)maddr_to_virt(MADDR(m->end)), 0, ROUND_UP(m->end, PAGE_SIZE) - m->end);
}

void boot_info_init(uint32_t magic, uint32_t info)
{
    if (magic == MB2_BOOT_MAGIC)
        read_mb2(low(info));
    else if (magic == MB1_BOOT_MAGIC)
        read_mb1(low(info));
    else
        panic("not started by a Multiboot loader (magic %x)", magic);

    for (unsigned i = 0; i < reserved.nr; i++)
        range_remove(&usable, reserved.r[i].start, reserved.r[i].end);
    memcpy(boot_info.ram, usable.r, usable.nr * sizeof usable.r[0]);
    boot_info.nr_ram = usable.nr;
    memcpy(boot_info.reserved, reserved.r, reserved.nr * sizeof reserved.r[0]);
    boot_info.nr_reserved = reserved.nr;
    boot_info.image = (struct boot_range){ virt_to_maddr(__image_start).v,
                                           virt_to_maddr(__image_end).v };
    if (!usable.nr)
        panic("the loader gave no memory map");
    bootmem_init();
    for (unsigned i = 0; i < boot_info.nr_modules; i++)
        relocate_module(&boot_info.module[i]);
}
