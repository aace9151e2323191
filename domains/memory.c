/* SPDX-License-Identifier: MIT */
/*
 * The identity mapping's rights (W^X for the image, guard pages, RAM never executable), the page allocator (a bitmap over
 * the domain's RAM, right behind the image), and the window of gfns without RAM.
 */
#include "internal.h"
#include <stdlib.h>
#include <string.h>
#include <xen/hvm/params.h>

#define PAGE_ROUND(x) (((x) + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1))
#define SMALL_END     0x400000ul /* domain.lds: all of the image but BIG_DATA ends below */

extern char _text_start[], _text_end[], _rodata_end[], _end[], stack_guard[], ist_guard[];
extern uint64_t boot_pml4[512], boot_pd[4 * 512];

static uint64_t small_pt[SMALL_END / PAGE_SIZE] __attribute__((aligned(4096)));
static uint64_t *ram_map;  /* bit set: page is free */
static uint64_t ram_pages; /* pages that the bitmap covers */
static uint64_t ram_free, ram_hint;
static uint64_t window_map[BH_SVC_WINDOW_PAGES / 64]; /* bit set: taken */

void paging_init(void)
{
    for (uint64_t a = 0; a < SMALL_END; a += PAGE_SIZE) {
        uint64_t flags = PTE_P | PTE_RW | PTE_NX;

        if (a >= (uint64_t)_text_start && a < (uint64_t)_text_end)
            flags = PTE_P;
        else if (a >= (uint64_t)_text_end && a < (uint64_t)_rodata_end)
            flags = PTE_P | PTE_NX;
        small_pt[a / PAGE_SIZE] = a | flags;
    }
    page_guard(NULL);
    page_guard(stack_guard);
    page_guard(ist_guard);
    /* The tables are live, and an exit may empty the TLB between any two stores: at no time may an entry take away the
     * right to execute this. */
    for (unsigned i = 0; i < SMALL_END >> 21; i++)
        WRITE_ONCE(boot_pd[i], (uint64_t)&small_pt[i * 512] | PTE_P | PTE_RW);
    for (unsigned i = SMALL_END >> 21; i < 4 * 512; i++)
        WRITE_ONCE(boot_pd[i], boot_pd[i] | PTE_NX);
    __asm__ volatile("mov %0, %%cr3" ::"r"(boot_pml4) : "memory");
}

void page_guard(const void *page)
{
    small_pt[(uint64_t)page / PAGE_SIZE] = 0;
    __asm__ volatile("invlpg (%0)" ::"r"(page) : "memory");
}

bool page_is_guard(uint64_t addr)
{
    return addr >= PAGE_SIZE && addr < SMALL_END && !small_pt[addr / PAGE_SIZE];
}

volatile void *mmio_map(uint64_t gpa, uint64_t len)
{
    if (gpa < BH_SVC_WINDOW + BH_SVC_WINDOW_PAGES * PAGE_SIZE || !len || gpa >= 1ull << 32 ||
        len > (1ull << 32) - gpa)
        return NULL;
    for (uint64_t i = gpa >> 21; i <= (gpa + len - 1) >> 21; i++) {
        boot_pd[i] |= PTE_PCD | PTE_PWT; /* PAT entry 3: uncached at reset (APM2 7.8.2) */
        __asm__ volatile("invlpg (%0)" ::"r"(i << 21) : "memory");
    }
    return (volatile void *)gpa;
}

/* --- the page allocator --- */

static bool is_free(uint64_t p) { return ram_map[p / 64] >> (p % 64) & 1; }

static void set_free(uint64_t p, bool to)
{
    if (p >= ram_pages || is_free(p) == to)
        return;
    ram_map[p / 64] ^= 1ull << (p % 64);
    ram_free += to ? 1 : -1ull;
}

static void page_reserve(uint64_t start, uint64_t len)
{
    for (uint64_t p = start >> PAGE_SHIFT;
         len && p <= (start + len - 1) >> PAGE_SHIFT && p < ram_pages; p++)
        set_free(p, false);
}

static void reserve_start_info(const struct hvm_start_info *si)
{
    const struct hvm_modlist_entry *m = (const void *)si->modlist_paddr;

    page_reserve((uint64_t)si, sizeof(*si));
    if (si->cmdline_paddr)
        page_reserve(si->cmdline_paddr, sizeof(self.cmdline));
    page_reserve(si->modlist_paddr, si->nr_modules * sizeof(*m));
    for (unsigned i = 0; i < si->nr_modules; i++)
        page_reserve(m[i].paddr, m[i].size);
    if (si->version >= 1)
        page_reserve(si->memmap_paddr, si->memmap_entries * sizeof(struct hvm_memmap_table_entry));
}

static void reserve_slot_pages(void)
{
    static const unsigned params[] = { HVM_PARAM_CONSOLE_PFN, HVM_PARAM_STORE_PFN };
    uint64_t pfn;

    for (unsigned i = 0; i < ARRAY_SIZE(params); i++)
        if (!get_param(params[i], &pfn) && pfn)
            page_reserve(pfn << PAGE_SHIFT, PAGE_SIZE);
    if (self.keep)
        page_reserve((uint64_t)self.keep, self.nr_keep * PAGE_SIZE);
    if (self.table)
        page_reserve((uint64_t)self.table, self.nr_table * PAGE_SIZE);
}

/* The bitmap lies behind the image, and behind the start info if the builder put that there, as it does for a guest. */
static uint64_t map_place(const struct hvm_start_info *si)
{
    const uint64_t ends[] = {
        (uint64_t)(si + 1),
        si->cmdline_paddr ? si->cmdline_paddr + sizeof(self.cmdline) : 0,
        si->modlist_paddr + si->nr_modules * sizeof(struct hvm_modlist_entry),
        si->version >= 1
            ? si->memmap_paddr + si->memmap_entries * sizeof(struct hvm_memmap_table_entry)
            : 0,
    };
    uint64_t at = (uint64_t)_end;

    for (unsigned i = 0; i < ARRAY_SIZE(ends); i++)
        if (ends[i] > at)
            at = ends[i];
    return (at + 7) & ~7ul;
}

void pages_init(const struct hvm_start_info *si)
{
    const struct hvm_memmap_table_entry *e = (const void *)si->memmap_paddr;
    struct hvm_memmap_table_entry all = { .size = self.ram_bytes, .type = XEN_HVM_MEMMAP_TYPE_RAM };
    unsigned n = si->version >= 1 ? si->memmap_entries : 0;
    uint64_t top = 0;

    if (!n) {
        e = &all;
        n = 1;
    }
    for (unsigned i = 0; i < n; i++)
        if (e[i].type == XEN_HVM_MEMMAP_TYPE_RAM && e[i].addr < BH_SVC_WINDOW &&
            e[i].addr + e[i].size > top)
            top = e[i].addr + e[i].size;
    if (top > BH_SVC_WINDOW)
        top = BH_SVC_WINDOW;
    if (!self.ram_bytes)
        self.ram_bytes = top;
    ram_map = (uint64_t *)map_place(si);
    ram_pages = top >> PAGE_SHIFT;
    uint64_t map_bytes = (ram_pages + 63) / 64 * 8;
    memset(ram_map, 0, map_bytes);
    for (unsigned i = 0; i < n; i++) {
        if (e[i].type != XEN_HVM_MEMMAP_TYPE_RAM)
            continue;
        for (uint64_t a = PAGE_ROUND(e[i].addr); a + PAGE_SIZE <= e[i].addr + e[i].size && a < top;
             a += PAGE_SIZE)
            set_free(a >> PAGE_SHIFT, true);
    }
    /* Below 0x9000 lies what the builder put there (bulkhead.h); 0xa0000-0xfffff is reserved in a guest's map. */
    page_reserve(0, 0x9000);
    page_reserve((uint64_t)_text_start, (uint64_t)_end - (uint64_t)_text_start);
    page_reserve((uint64_t)ram_map, map_bytes);
    reserve_start_info(si);
    reserve_slot_pages();
    window_map[0] = 1; /* shared_info */
}

bool (*page_shortage)(void);

static void *find_pages(unsigned n)
{
    uint64_t run = 0;

    if (!n || n > ram_free)
        return NULL;
    /* First fit from where the last single-page search ended; runs restart from the bottom. */
    for (uint64_t p = n == 1 ? ram_hint : 0; p < ram_pages; p++) {
        if (p % 64 == 0 && !ram_map[p / 64]) {
            p += 63;
            run = 0;
            continue;
        }
        run = is_free(p) ? run + 1 : 0;
        if (run == n) {
            void *va = (void *)((p + 1 - n) << PAGE_SHIFT);
            page_reserve((uint64_t)va, n * PAGE_SIZE);
            if (n == 1)
                ram_hint = p;
            return va;
        }
    }
    if (n == 1 && ram_hint) {
        ram_hint = 0;
        return find_pages(1);
    }
    return NULL;
}

void *page_take(unsigned n)
{
    void *p = find_pages(n);

    while (!p && n && n < ram_pages && page_shortage && page_shortage())
        p = find_pages(n);
    return p;
}

void *page_alloc(unsigned n)
{
    void *p = page_take(n);

    return p ? memset(p, 0, n * PAGE_SIZE) : NULL;
}

void page_free(void *va, unsigned n)
{
    uint64_t p = virt_to_gfn(va);

    if (!va)
        return;
    for (unsigned i = 0; i < n; i++) {
        if (p + i >= ram_pages || is_free(p + i))
            bh_panic("page_free(%p, %u): page %u is not allocated", va, n, i);
        set_free(p + i, true);
    }
    if (p < ram_hint)
        ram_hint = p;
}

uint64_t page_avail(void) { return ram_free; }

/* --- the window --- */

void *window_alloc(unsigned n)
{
    unsigned run = 0;

    for (unsigned p = 0; n && p < BH_SVC_WINDOW_PAGES; p++) {
        run = window_map[p / 64] >> (p % 64) & 1 ? 0 : run + 1;
        if (run == n) {
            unsigned first = p + 1 - n;
            for (unsigned i = first; i <= p; i++)
                window_map[i / 64] |= 1ull << (i % 64);
            return (void *)(BH_SVC_WINDOW + first * PAGE_SIZE);
        }
    }
    return NULL;
}

void window_free(void *va, unsigned n)
{
    uint64_t first = ((uint64_t)va - BH_SVC_WINDOW) / PAGE_SIZE;

    if (!va)
        return;
    for (uint64_t i = first; i < first + n; i++) {
        if (i >= BH_SVC_WINDOW_PAGES || !(window_map[i / 64] >> (i % 64) & 1))
            bh_panic("window_free(%p, %u): not allocated", va, n);
        window_map[i / 64] &= ~(1ull << (i % 64));
    }
}
