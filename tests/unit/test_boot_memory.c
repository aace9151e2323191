// SPDX-License-Identifier: MIT
// LINK: hv/boot/memory.c hv/platform/range.c
// mem= and badpage=: what is left of the memory map, and what cannot be left out.
#include "unit.h"
#include "boot/boot.h"
#include "shim.h"

struct boot_info boot_info;
struct cmdline cmdline;
static uint64_t dropped;
void bootmem_drop(uint64_t start, uint64_t end) { dropped += end - start; }

#define MIB (1ull << 20)
static void is_ram(unsigned i, uint64_t start, uint64_t end)
{
    assert_true(i < boot_info.nr_ram);
    assert_int_equal(boot_info.ram[i].start, start);
    assert_int_equal(boot_info.ram[i].end, end);
}

TEST(limits)
{
    boot_info.ram[0] = (struct boot_range){ 0x1000, 0x9f000 };
    boot_info.ram[1] = (struct boot_range){ MIB, 64 * MIB };
    boot_info.ram[2] = (struct boot_range){ 4096 * MIB, 5120 * MIB };
    boot_info.nr_ram = 3;
    boot_info.image = (struct boot_range){ MIB, 2 * MIB };
    boot_info.module[0] = (struct boot_range){ 40 * MIB, 41 * MIB + 5 };
    boot_info.nr_modules = 1;
    boot_memory_limits(); /* nobody asked */
    assert_int_equal(boot_info.nr_ram, 3);
    cmdline.mem = 32 * MIB + 5;
    cmdline.badpage[0] = (struct boot_range){ 3 * MIB, 3 * MIB + 0x2000 };
    cmdline.badpage[1] = (struct boot_range){ MIB + 0x1000, MIB + 0x2000 }; /* the core */
    cmdline.nr_badpage = 2;
    boot_memory_limits();
    assert_int_equal(boot_info.nr_ram, 4);
    is_ram(0, 0x1000, 0x9f000);
    is_ram(1, MIB, 3 * MIB);
    is_ram(2, 3 * MIB + 0x2000, 32 * MIB);
    is_ram(3, 40 * MIB, 41 * MIB + 0x1000); /* a module stays where it lies */
    assert_int_equal(dropped, 0x2000 + 31 * MIB - 0x1000 + 1024 * MIB);
    assert_int_equal(boot_info.nr_reserved, 4);
    assert_non_null(strstr(shim_log, "badpage=: the core or a module lies in 100-1ff, which is used"));
    assert_null(strstr(shim_log, "2800-"));
}
