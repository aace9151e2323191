// SPDX-License-Identifier: MIT
// LINK: ctl-dom/domain/start_info.c
// FLAGS: -Ictl-dom -Idomains/include
// What a guest finds at its first instruction: where it lies, that it lies there as a whole, and what its memory map says of that place.
#include "unit.h"
#include <xen/arch-x86/hvm/start_info.h>
#include "domain/dom.h"
#include "domain/start_info.h"

static uint8_t block[BOOT_BLOCK] __attribute__((aligned(8)));

static const struct hvm_start_info *fill(const struct boot_map *m)
{
    memset(block, 0xee, sizeof(block));
    boot_block_fill(block, m, "console=hvc0 quiet");
    return (const struct hvm_start_info *)block;
}

/* Unikernels map nothing below 1 MiB, and nothing may be over the image. */
TEST(behind_the_image)
{
    assert_int_equal(boot_block_at(0), 0x100000);
    assert_int_equal(boot_block_at(0x8000), 0x100000);
    assert_int_equal(boot_block_at(0x100000), 0x100000);
    assert_int_equal(boot_block_at(0x100001), 0x101000);
    assert_int_equal(boot_block_at(0x3456000), 0x3456000);
}

static bool inside(const struct boot_map *m, uint64_t at, uint64_t len)
{
    return at >= m->gpa && at + len <= m->gpa + BOOT_BLOCK;
}

TEST(whole)
{
    struct boot_map m = { .gpa = 0x3456000,
                          .guest = true,
                          .ram_bytes = 64 * MIB,
                          .rsdp = SPECIAL_GPA,
                          .module_gpa = 0x3800000,
                          .module_len = 12345 };
    const struct hvm_start_info *si = fill(&m);
    assert_int_equal(si->magic, XEN_HVM_START_MAGIC_VALUE);
    assert_int_equal(si->version, 1);
    assert_int_equal(si->rsdp_paddr, SPECIAL_GPA);
    assert_true(inside(&m, si->cmdline_paddr, 1));
    assert_string_equal((char *)block + (si->cmdline_paddr - m.gpa), "console=hvc0 quiet");
    assert_int_equal(si->nr_modules, 1);
    assert_true(inside(&m, si->modlist_paddr, sizeof(struct hvm_modlist_entry)));
    const struct hvm_modlist_entry *mod = (const void *)(block + (si->modlist_paddr - m.gpa));
    assert_int_equal(mod->paddr, 0x3800000);
    assert_int_equal(mod->size, 12345);
    assert_true(
        inside(&m, si->memmap_paddr, si->memmap_entries * sizeof(struct hvm_memmap_table_entry)));
    assert_true(si->memmap_paddr + si->memmap_entries * sizeof(struct hvm_memmap_table_entry) <=
                si->cmdline_paddr);
    m.module_len = 0;
    assert_int_equal(fill(&m)->nr_modules, 0);
}

/* In every size of memory the block is in RAM, and entries neither overlap nor are empty. */
TEST(in_ram)
{
    static const uint64_t mib[] = { 2, 4, 16, 64, 3072, 3073, 8192 };
    for (unsigned i = 0; i < sizeof(mib) / sizeof(mib[0]); i++) {
        struct boot_map m = { .gpa = boot_block_at(0x140000),
                              .guest = true,
                              .ram_bytes = mib[i] * MIB };
        const struct hvm_start_info *si = fill(&m);
        const struct hvm_memmap_table_entry *e = (const void *)(block + (si->memmap_paddr - m.gpa));
        uint64_t ram = 0, end = 0;
        bool there = false;
        for (unsigned n = 0; n < si->memmap_entries; n++) {
            assert_true(e[n].size && e[n].addr >= end);
            end = e[n].addr + e[n].size;
            if (e[n].type != XEN_HVM_MEMMAP_TYPE_RAM)
                continue;
            ram += e[n].size;
            there |= e[n].addr <= m.gpa && end >= m.gpa + BOOT_BLOCK;
        }
        assert_true(there);
        assert_int_equal(ram, mib[i] * MIB - 0x60000);
    }
}

/* What an instance hears of the one before. */
TEST(words)
{
    struct dom d = { .words = "domid=3", .instance = 7, .cfg = { .cmdline = "deadline=5" } };
    char text[64];

    service_cmdline(&d, " bridges=in", text, sizeof(text));
    assert_string_equal(text, "domid=3 bridges=in boot=7 deadline=5");
    d.was_ordered = true;
    service_cmdline(&d, " bridges=in", text, sizeof(text));
    assert_string_equal(text, "domid=3 bridges=in boot=7 ordered=1 deadline=5");
}

TEST(who_has_devices_bounces)
{
    struct dom d = { .cfg = { .cmdline = "console=hvc0" } };
    char text[64];

    guest_cmdline(&d, text, sizeof(text));
    assert_string_equal(text, "console=hvc0");
    d.cfg.nr_pci = 1;
    guest_cmdline(&d, text, sizeof(text));
    assert_string_equal(text, "swiotlb=force console=hvc0");
    strcpy(d.cfg.cmdline, "quiet swiotlb=1024");
    guest_cmdline(&d, text, sizeof(text));
    assert_string_equal(text, "quiet swiotlb=1024");
    strcpy(d.cfg.cmdline, "noswiotlb=1");
    guest_cmdline(&d, text, sizeof(text));
    assert_string_equal(text, "swiotlb=force noswiotlb=1");
    d.cfg.cmdline[0] = 0;
    guest_cmdline(&d, text, sizeof(text));
    assert_string_equal(text, "swiotlb=force");
}
