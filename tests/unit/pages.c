/* SPDX-License-Identifier: MIT */
/* pages.h. */
#include <string.h>
#include <sanitizer/asan_interface.h>
#include "pages.h"

#define MOST 4096
struct bh_self self = { .ram_bytes = MOST * PAGE_SIZE };
bool (*page_shortage)(void);
uint64_t pages_left = MOST;
static unsigned nr_pages = MOST;
static uint8_t pages_ram[MOST][PAGE_SIZE] __attribute__((aligned(4096)));
static bool page_taken[MOST];

void pages_have(unsigned n)
{
    self.ram_bytes = n * PAGE_SIZE;
    pages_left = nr_pages = n;
}

uint64_t page_avail(void) { return pages_left; }

static void *pages_find(unsigned n)
{
    for (unsigned i = 0, run = 0; n <= pages_left && i < nr_pages; i++) {
        run = page_taken[i] ? 0 : run + 1;
        if (run < n)
            continue;
        pages_left -= n;
        memset(&page_taken[i + 1 - n], 1, n);
        ASAN_UNPOISON_MEMORY_REGION(pages_ram[i + 1 - n], n * PAGE_SIZE);
        return memset(pages_ram[i + 1 - n], 0, n * PAGE_SIZE);
    }
    return NULL;
}

void *page_alloc(unsigned n)
{
    void *p;

    while (!(p = pages_find(n)) && page_shortage && page_shortage())
        ;
    return p;
}

void page_free(void *p, unsigned n)
{
    if (!p)
        return;
    pages_left += n;
    memset(&page_taken[((uint8_t *)p - pages_ram[0]) / PAGE_SIZE], 0, n);
    ASAN_POISON_MEMORY_REGION(p, n * PAGE_SIZE);
}
