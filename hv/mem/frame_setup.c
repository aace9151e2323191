/* SPDX-License-Identifier: MIT */
/* Start-up of the frame allocator from the memory map: everything is the core's until it is given to the heap. */
#include "base/print.h"
#include "base/string.h"
#include "mem/bootmem.h"
#include "mem/frame.h"
#include "mem/paging.h"
#include "platform/boot_info.h"

void frame_setup(void)
{
    uint64_t max_mfn = boot_info.ram[boot_info.nr_ram - 1].end >> PAGE_SHIFT;
    struct frame_stats s;
    uint64_t at = bootmem_alloc(max_mfn * sizeof(struct frame), PAGE_SIZE, ~0ull);
    frame_init(maddr_to_virt(MADDR(at)), max_mfn);
    for (unsigned i = 0; i < boot_info.nr_ram; i++)
        frame_mark_core(MFN(boot_info.ram[i].start >> PAGE_SHIFT),
                        (boot_info.ram[i].end - boot_info.ram[i].start) >> PAGE_SHIFT);
    bootmem_finish();
    paging_frames_ready();
    void *zero = core_alloc(0), *ones = core_alloc(0);
    if (!zero || !ones)
        panic("no memory at all");
    zero_mfn = virt_to_mfn(zero);
    memset(ones, 0xff, PAGE_SIZE);
    ones_mfn = virt_to_mfn(ones);
    frame_get_stats(&s);
    log_info("memory: %lu MiB, %lu MiB free", s.total >> 8, s.free >> 8);
}
