/* SPDX-License-Identifier: MIT */
/*
 * mem= and badpage=: RAM that is not used. It is reserved from then on: no device's registers are believed to lie there. Boot CPU, after the command line and
 * before the first frame is given out.
 */
#include "boot/boot.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/bootmem.h"
#include "platform/range.h"

static struct range_set ram, off;

/* What is there already stays. */
static void keep(uint64_t start, uint64_t end)
{
    start = ROUND_DOWN(start, PAGE_SIZE);
    end = ROUND_UP(end, PAGE_SIZE);
    for (unsigned i = 0; i < cmdline.nr_badpage; i++)
        if (cmdline.badpage[i].start < end && start < cmdline.badpage[i].end)
            log_warn("badpage=: the core or a module lies in %lx-%lx, which is used",
                     start >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
    (void)range_remove(&off, start, end);
}

static void take_out(uint64_t start, uint64_t end)
{
    (void)range_remove(&ram, start, end);
    bootmem_drop(start, end);
    if (boot_info.nr_reserved < BOOT_MAX_RANGES)
        boot_info.reserved[boot_info.nr_reserved++] = (struct boot_range){ start, end };
}

void boot_memory_limits(void)
{
    if (!cmdline.mem && !cmdline.nr_badpage)
        return;
    for (unsigned i = 0; i < boot_info.nr_ram; i++) {
        const struct boot_range *r = &boot_info.ram[i];
        (void)range_add(&ram, r->start, r->end);
        if (cmdline.mem && r->end > cmdline.mem)
            (void)range_add(&off, MAX(r->start, ROUND_DOWN(cmdline.mem, PAGE_SIZE)), r->end);
    }
    for (unsigned i = 0; i < cmdline.nr_badpage; i++)
        (void)range_add(&off, cmdline.badpage[i].start, cmdline.badpage[i].end);
    keep(boot_info.image.start, boot_info.image.end);
    for (unsigned i = 0; i < boot_info.nr_modules; i++)
        keep(boot_info.module[i].start, boot_info.module[i].end);
    for (unsigned i = 0; i < off.nr; i++)
        take_out(off.r[i].start, off.r[i].end);
    memcpy(boot_info.ram, ram.r, ram.nr * sizeof ram.r[0]);
    boot_info.nr_ram = ram.nr;
}
