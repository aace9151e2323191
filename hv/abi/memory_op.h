/* SPDX-License-Identifier: MIT */
/* Of memory_op.c, for both structure layouts of the door: 64-bit there, 32-bit in compat.c. */
#pragma once
#include "base/types.h"
#include "domain/domain.h"

struct e820 { uint64_t addr, size; uint32_t type; } __packed;
_Static_assert(sizeof(struct e820) == 20, "E820 entry: the same in both layouts");
#define MEMORY_MAP_MAX (MAX_EXTENTS + 2)

/* The domain's memory map into e[MEMORY_MAP_MAX]; returns its length. */
uint32_t memory_map_of(struct domain *d, struct e820 *e);
/* XENMEM_add_to_physmap on d itself: the page moves to gfn; what was there is gone (RAM is freed), its old place is a hole. */
int physmap_add(struct domain *d, uint32_t space, uint64_t idx, uint64_t gfn);
