/* SPDX-License-Identifier: MIT */
/* The page allocator of a domain with PAGES pages of RAM, for native programs that link what uses it. */
#pragma once
#include <stdlib.h>
#include <string.h>
#include <bh.h>

#ifndef PAGES
#define PAGES 65536
#endif

struct bh_self self = { .ram_bytes = PAGES * PAGE_SIZE };
bool (*page_shortage)(void);
static __attribute__((unused)) uint64_t pages_left = PAGES;

uint64_t page_avail(void) { return pages_left; }

void *page_alloc(unsigned n)
{
    while (n > pages_left)
        if (!page_shortage || !page_shortage())
            return NULL;
    pages_left -= n;
    return memset(aligned_alloc(PAGE_SIZE, n * PAGE_SIZE), 0, n * PAGE_SIZE);
}

void page_free(void *p, unsigned n)
{
    if (p)
        pages_left += n;
    free(p);
}
