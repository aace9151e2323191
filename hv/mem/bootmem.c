/* SPDX-License-Identifier: MIT */
/* Memory while the core starts, from the highest RAM down, before there are frames: bootmem.h. One CPU runs, so there is no lock. */
#include "mem/bootmem.h"
#include "base/print.h"
#include "mem/frame.h"
#include "platform/range.h"

static struct range_set left;

void bootmem_init(void)
{
    for (unsigned i = 0; i < boot_info.nr_ram; i++)
        range_add(&left, boot_info.ram[i].start, boot_info.ram[i].end);
    range_remove(&left, 0, LOW_MIB);
    range_remove(&left, boot_info.image.start, boot_info.image.end);
    for (unsigned i = 0; i < boot_info.nr_modules; i++)
        range_remove(&left, ROUND_DOWN(boot_info.module[i].start, PAGE_SIZE),
                     ROUND_UP(boot_info.module[i].end, PAGE_SIZE));
}

uint64_t bootmem_alloc(uint64_t size, uint64_t align, uint64_t limit)
{
    size = ROUND_UP(size, PAGE_SIZE);
    uint64_t at = range_find_high(&left, size, align, limit);
    if (!at)
        panic("no memory for %lu KiB while starting", (unsigned long)(size >> 10));
    range_remove(&left, at, at + size);
    return at;
}

void bootmem_drop(uint64_t start, uint64_t end) { (void)range_remove(&left, start, end); }

void bootmem_finish(void)
{
    for (unsigned i = 0; i < left.nr; i++)
        frame_add_range(MFN(left.r[i].start >> PAGE_SHIFT),
                        (left.r[i].end - left.r[i].start) >> PAGE_SHIFT);
    left.nr = 0;
}
