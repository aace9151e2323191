/* SPDX-License-Identifier: MIT */
/* The store's heap: see mem.h. */
#include "mem.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct header {
    uint64_t size; /* what the block counts for */
};

struct xs_mem xs_mem = { .limit = (size_t)1 << 30, .fail_in = -1 };

/* What a block of n bytes takes from the page allocator: classes of sizes for the small, whole pages for the large. An
 * estimate from above keeps the budget honest whatever malloc's classes are. */
static size_t footprint(size_t n)
{
    return n <= 2000 ? n + n / 4 + 16 : (n + 32 + 4095) & ~(size_t)4095;
}

void *xs_alloc(size_t n)
{
    size_t size = n + sizeof(struct header), cost = footprint(size);
    if (xs_mem.fail_in > 0 && --xs_mem.fail_in == 0)
        return NULL;
    if (n > xs_mem.limit || xs_mem.used + cost + xs_mem.reserve > xs_mem.limit)
        return NULL;
    struct header *h = malloc(size);
    if (!h)
        return NULL;
    memset(h, 0, size);
    h->size = cost;
    xs_mem.used += cost;
    return h + 1;
}

void xs_free(void *p)
{
    if (!p)
        return;
    struct header *h = (struct header *)p - 1;
    xs_mem.used -= h->size;
    free(h);
}
