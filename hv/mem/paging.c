/* SPDX-License-Identifier: MIT */
/*
 * The core's own page tables (SDM3 4.5). Four windows in the upper half, whose top-level entries exist from the start, so
 * that copies of them (smp.c) never go stale:
 *   DIRECTMAP_BASE   RAM, writable, never executable, without the image's own frames
 *   MMIO_BASE        device memory and firmware tables, uncached, handed out upwards
 *   STACK_BASE       stacks, each with unmapped pages below
 *   IMAGE_BASE       the image: text R-X, constants R--, data RW-
 * Nothing is writable and executable, nothing is mapped in the lower half. Lock: `lock` for the windows.
 */
#include "mem/paging.h"
#include "common/regs.h"
#include "base/cpu.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/bootmem.h"
#include "mem/frame.h"
#include "platform/boot_info.h"
#include "platform/cmdline.h"
#include "platform/range.h"

#define MMIO_BASE  0xffffc00000000000ull
#define MMIO_SIZE  (64ull << 30)
#define STACK_BASE 0xffffd00000000000ull
#define STACK_SIZE (1ull << 30)
#define GUARD_PAGES \
    16u /* address space costs nothing, and no frame of a function steps over so much */

extern char __text_start[], __text_end[], __rodata_end[], __data_end[], __image_end[],
    __image_start[];
static uint64_t *root;
static struct spinlock lock;
static uint64_t mmio_next = MMIO_BASE, stack_next = STACK_BASE; /* lock */
static bool frames_ready;

static uint64_t *table_alloc(void)
{
    if (frames_ready)
        return core_alloc(0);
    uint64_t *t = maddr_to_virt(MADDR(bootmem_alloc(PAGE_SIZE, PAGE_SIZE, BOOT_LOW_LIMIT)));
    return memset(t, 0, PAGE_SIZE);
}

static uint64_t *entry_table(uint64_t e) { return maddr_to_virt(MADDR(e & PTE_ADDR)); }

/* The entry of va at `level` (0: 4 KiB, 1: 2 MiB, 2: 1 GiB), tables above it made on the way; NULL without memory. */
static uint64_t *walk(uint64_t va, unsigned level)
{
    uint64_t *t = root;
    for (unsigned l = 3; l > level; l--) {
        uint64_t *e = &t[va >> (12 + 9 * l) & 511];
        if (!*e) {
            uint64_t *n = table_alloc();
            if (!n)
                return NULL;
            *e = virt_to_maddr(n).v | PTE_P | PTE_RW;
        }
        t = entry_table(*e);
    }
    return &t[va >> (12 + 9 * level) & 511];
}

/* Maps [m, m + len) at va with the largest pages that fit, up to max_level. False without memory (part is mapped). */
static bool map(uint64_t va, uint64_t m, uint64_t len, uint64_t flags, unsigned max_level)
{
    while (len) {
        unsigned level = max_level;
        while (level && ((va | m) & ((PAGE_SIZE << 9 * level) - 1) || len < PAGE_SIZE << 9 * level))
            level--;
        uint64_t *e = walk(va, level);
        if (!e)
            return false;
        *e = m | flags | PTE_P | (level ? PTE_PS : 0);
        uint64_t size = PAGE_SIZE << 9 * level;
        va += size;
        m += size;
        len -= size;
    }
    return true;
}

static void map_image(const char *start, const char *end, uint64_t flags)
{
    map((uint64_t)start, virt_to_maddr(start).v, (uint64_t)(end - start), flags, 0);
}

void paging_init(void)
{
    bool giant = cpuid(0x80000000, 0).eax >= 0x80000001 && cpuid(0x80000001, 0).edx & 1u << 26;
    static struct range_set ram;
    for (unsigned i = 0; i < boot_info.nr_ram; i++)
        range_add(&ram, boot_info.ram[i].start, boot_info.ram[i].end);
    range_remove(&ram, boot_info.image.start, boot_info.image.end);

    root = table_alloc();
    for (unsigned i = 0; i < ram.nr; i++)
        map(DIRECTMAP_BASE + ram.r[i].start, ram.r[i].start, ram.r[i].end - ram.r[i].start,
            PTE_RW | PTE_NX, giant ? 2 : 1);
    map_image(__text_start, __text_end, 0);
    map_image(__text_end, __rodata_end, PTE_NX);
    map_image(__rodata_end, __image_end, PTE_RW | PTE_NX);
    walk(MMIO_BASE, 2);
    walk(STACK_BASE, 2);
    paging_load();
}

void paging_load(void)
{
    struct cpuid_regs c1 = cpuid(1, 0), c7 = { 0, 0, 0, 0 };
    if (cpuid(0, 0).eax >= 7)
        c7 = cpuid(7, 0);
    write_cr3(virt_to_maddr(root).v);
    write_cr0(read_cr0() | CR0_WP);
    uint64_t cr4 = read_cr4() | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    if (c1.ecx & 1u << 26)
        cr4 |= CR4_OSXSAVE;
    if (c7.ebx & 1u << 7 && !cmdline.nosmep)
        cr4 |= CR4_SMEP;
    if (c7.ebx & 1u << 20 && !cmdline.nosmap)
        cr4 |= CR4_SMAP;
    write_cr4(cr4);
}

void paging_frames_ready(void) { frames_ready = true; }
uint64_t paging_entry(unsigned slot) { return root[slot]; }

void *mmio_map(maddr_t m, uint64_t len)
{
    uint64_t first = ROUND_DOWN(m.v, PAGE_SIZE), size = ROUND_UP(m.v + len, PAGE_SIZE) - first;
    void *p = NULL;
    if (!len || m.v + len < m.v || size > MMIO_SIZE)
        return NULL;
    spin_lock(&lock);
    /* Large areas keep the machine address's alignment, so that they take 2 MiB pages. */
    uint64_t big = PAGE_SIZE << 9, va = mmio_next;
    if (size >= big)
        va = ROUND_UP(va, big) + (first & (big - 1));
    if (va + size <= MMIO_BASE + MMIO_SIZE && map(va, first, size, PTE_RW | PTE_NX | PTE_UC, 1)) {
        mmio_next = va + size;
        p = (void *)(va + (m.v - first));
    }
    spin_unlock(&lock);
    return p;
}

void *stack_alloc(unsigned pages)
{
    spin_lock(&lock);
    uint64_t va = stack_next + GUARD_PAGES * PAGE_SIZE; /* stays unmapped */
    uint64_t top = va + pages * PAGE_SIZE;
    void *p = top <= STACK_BASE + STACK_SIZE ? (void *)top : NULL;
    for (; p && va < top; va += PAGE_SIZE) {
        void *page = core_alloc(0);
        if (!page || !map(va, virt_to_maddr(page).v, PAGE_SIZE, PTE_RW | PTE_NX, 0))
            p = NULL;
    }
    stack_next = top;
    spin_unlock(&lock);
    return p;
}

/* Reads tables without the lock: for reports. */
static bool mapped(uint64_t va)
{
    const uint64_t *t = root;
    for (unsigned l = 3;; l--) {
        uint64_t e = t[va >> (12 + 9 * l) & 511];
        if (!(e & PTE_P))
            return false;
        if (!l || e & PTE_PS)
            return true;
        t = entry_table(e);
    }
}

static bool in_stacks(uint64_t va) { return va >= STACK_BASE && va < STACK_BASE + STACK_SIZE; }

bool stack_contains(uint64_t va)
{
    if (va >= (uint64_t)__data_end && va < (uint64_t)__image_end) /* the boot stack */
        return true;
    return root && in_stacks(va) && mapped(va);
}

bool stack_guard_hit(uint64_t va) { return root && in_stacks(va) && !mapped(va); }
