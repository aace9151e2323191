/* SPDX-License-Identifier: MIT */
/* Of memory_op.c, for both structure layouts of the door: 64-bit there, 32-bit in compat.c. */
#pragma once
#include "domain/domain.h"

/* Copies at most *nr entries of the domain's memory map to the caller's buffer; *nr is how many then. 0 or -EFAULT. */
long memory_map_copy(struct domain *d, gaddr_t buf, uint32_t *nr);
/* XENMEM_add_to_physmap on d itself: the page moves to gfn; what was there is gone (RAM is freed), its old place is a hole. */
int physmap_add(struct domain *d, uint32_t space, uint64_t idx, uint64_t gfn);
