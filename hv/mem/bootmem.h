/* SPDX-License-Identifier: MIT */
/* Memory before the frame allocator runs: taken from the top of what the memory map leaves beside image and modules. */
#pragma once
#include "base/types.h"

#define BOOT_LOW_LIMIT (4ull << 30) /* what the early page tables map */
#define LOW_MIB \
    0x100000ull /* the first MiB is never handed out: firmware and the start of other CPUs use it */

void bootmem_init(void); /* from boot_info */
uint64_t bootmem_alloc(uint64_t size, uint64_t align,
                       uint64_t limit);          /* machine address; panics when there is none */
void bootmem_drop(uint64_t start, uint64_t end); /* is not to be used */
void bootmem_finish(void);                       /* everything left goes to the frame allocator */
