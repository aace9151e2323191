/* SPDX-License-Identifier: MIT */
/*
 * Copies to and from guest memory: see gcopy.h.
 *
 * The walk reads the guest's own tables through the p2m, each entry once, so a guest that changes them meanwhile gets one
 * of its two answers. Accessed and dirty bits are not set: hypercall arguments are kernel memory, which no guest reclaims by them.
 */
#include "mem/gcopy.h"
#include "lib/cpu.h"
#include "lib/string.h"
#include "mem/frame.h"
#include "mem/npt.h"
#include "sched/domain.h"
#include "virt/virt.h"

#define CR0_WP   (1ull << 16)
#define CR0_PG   (1ull << 31)
#define CR4_PSE  (1ull << 4)
#define CR4_PAE  (1ull << 5)
#define CR4_LA57 (1ull << 12)
#define EFER_LMA (1ull << 10)
#define PTE_P    1ull
#define PTE_RW   2ull
#define PTE_PS   0x80ull
#define PTE_ADDR 0x000ffffffffff000ull

/* The last translation of the running call, per CPU. */
static struct gcache { bool valid, write; uint64_t page, gpa; } gcache[MAX_CPUS];

void gcopy_reset(void) { gcache[this_cpu()->id].valid = false; }

static bool is_ram(enum p2m_type t, bool write)
{
    switch (t) {
    case P2M_RAM: case P2M_GRANT_RW: case P2M_SHARED:
        return true;
    case P2M_RAM_RO: case P2M_GRANT_RO: case P2M_RAM_IMMUTABLE:
        return !write;
    default:
        return false;
    }
}
static void unpin(mfn_t m, enum p2m_type t)
{
    if (p2m_counted(t))
        frame_put(m);
}

enum access { READ, WRITE };

/* One piece within a page of d. */
static int gphys_piece(struct domain *d, uint64_t gpa, void *buf, size_t n, enum access a)
{
    enum p2m_type t;
    mfn_t m = p2m_get(d, GFN(gpa >> PAGE_SHIFT), &t);
    if (!is_ram(t, a == WRITE)) {
        if (m.v != INVALID_MFN.v)
            unpin(m, t);
        return -EFAULT;
    }
    char *p = (char *)mfn_to_virt(m) + (gpa & (PAGE_SIZE - 1));
    if (a == WRITE)
        memcpy(p, buf, n);
    else
        memcpy(buf, p, n);
    unpin(m, t);
    return 0;
}

static size_t piece_len(uint64_t addr, size_t n)
{
    size_t left = PAGE_SIZE - (addr & (PAGE_SIZE - 1));
    return n < left ? n : left;
}

static int gphys_copy(struct domain *d, uint64_t gpa, char *buf, size_t n, enum access a)
{
    while (n) {
        size_t part = piece_len(gpa, n);
        int rc = gphys_piece(d, gpa, buf, part, a);
        if (rc)
            return rc;
        gpa += part;
        buf += part;
        n -= part;
    }
    return 0;
}
int gphys_read(struct domain *d, void *dst, uint64_t gpa, size_t n) { return gphys_copy(d, gpa, dst, n, READ); }
int gphys_write(struct domain *d, uint64_t gpa, const void *src, size_t n)
{
    return gphys_copy(d, gpa, (char *)(uintptr_t)src, n, WRITE); /* WRITE only reads the buffer */
}

/* An entry of a guest table: a naturally aligned load, so it never tears. at: where it stands; the page is not held. */
static int read_pte(struct domain *d, uint64_t gpa, unsigned size, uint64_t *out, const char **at)
{
    enum p2m_type t;
    mfn_t m = p2m_get(d, GFN(gpa >> PAGE_SHIFT), &t);
    int rc = -EFAULT;
    if (is_ram(t, false)) {
        const char *p = *at = (const char *)mfn_to_virt(m) + (gpa & (PAGE_SIZE - 1));
        *out = size == 8 ? *(const volatile uint64_t *)p : *(const volatile uint32_t *)p;
        rc = 0;
    }
    if (m.v != INVALID_MFN.v)
        unpin(m, t);
    return rc;
}

struct walk { struct domain *d; uint64_t cr3, cr4; bool wp, write; struct gtrace *trace; };

static void note(struct gtrace *t, const char *at, uint64_t e)
{
    if (!t)
        return;
    t->pte[t->nr] = (const volatile uint64_t *)at;
    t->val[t->nr++] = e | GTRACE_MARKS;
}

/* Levels of 8-byte entries, APM2 5.3 and 5.4: 5 or 4 in long mode, 3 with PAE (whose top level has 4 entries and no
 * write permission of its own). */
static int walk_pae(const struct walk *w, uint64_t lin, unsigned levels, uint64_t *gpa)
{
    uint64_t table = levels == 3 ? w->cr3 & 0xffffffe0ull : w->cr3 & PTE_ADDR;
    const char *at;
    bool writable = true;
    for (unsigned l = levels; l >= 1; l--) {
        unsigned shift = PAGE_SHIFT + 9 * (l - 1);
        bool pdpte = levels == 3 && l == 3;
        uint64_t idx = (lin >> shift) & (pdpte ? 3 : 511), e;
        if (read_pte(w->d, table + idx * 8, 8, &e, &at) || !(e & PTE_P))
            return -EFAULT;
        note(w->trace, at, e);
        writable = writable && (pdpte || (e & PTE_RW));
        if (l == 1 || (!pdpte && l <= 3 && (e & PTE_PS))) {
            uint64_t mask = (1ull << shift) - 1;
            *gpa = (e & PTE_ADDR & ~mask) | (lin & mask);
            return w->write && w->wp && !writable ? -EFAULT : 0;
        }
        table = e & PTE_ADDR;
    }
    return -EFAULT;
}

/* Two levels of 4-byte entries; with CR4.PSE 4 MiB pages, whose entry carries address bits 39:32 in 20:13. */
static int walk_32(const struct walk *w, uint64_t lin, uint64_t *gpa)
{
    uint64_t e;
    const char *at;
    if (read_pte(w->d, (w->cr3 & 0xfffff000ull) + (lin >> 22 & 1023) * 4, 4, &e, &at) || !(e & PTE_P))
        return -EFAULT;
    bool writable = e & PTE_RW;
    if ((e & PTE_PS) && (w->cr4 & CR4_PSE)) {
        *gpa = (e & 0xffc00000ull) | ((e >> 13 & 0xff) << 32) | (lin & 0x3fffff);
    } else {
        if (read_pte(w->d, (e & 0xfffff000ull) + (lin >> 12 & 1023) * 4, 4, &e, &at) || !(e & PTE_P))
            return -EFAULT;
        writable = writable && (e & PTE_RW);
        *gpa = (e & 0xfffff000ull) | (lin & 0xfff);
    }
    return w->write && w->wp && !writable ? -EFAULT : 0;
}

/* Supervisor access: U/S bits do not restrict it. */
static int walk_linear(struct vcpu *v, uint64_t lin, bool write, uint64_t *gpa)
{
    uint64_t cr0 = virt->get_cr(v, 0), cr4 = virt->get_cr(v, 4);
    struct walk w = { v->domain, virt->get_cr(v, 3), cr4, cr0 & CR0_WP, write, NULL };
    bool lma = virt->get_cr(v, 8) & EFER_LMA;
    if (!lma)
        lin &= 0xffffffffull;
    if (!(cr0 & CR0_PG)) {
        *gpa = lin;
        return 0;
    }
    if (lma) {
        unsigned levels = cr4 & CR4_LA57 ? 5 : 4, top = PAGE_SHIFT + 9 * levels;
        if ((uint64_t)((int64_t)(lin << (64 - top)) >> (64 - top)) != lin)
            return -EFAULT; /* not canonical */
        return walk_pae(&w, lin, levels, gpa);
    }
    return cr4 & CR4_PAE ? walk_pae(&w, lin, 3, gpa) : walk_32(&w, lin, gpa);
}

static int translate(struct vcpu *v, uint64_t lin, bool write, uint64_t *gpa)
{
    if (v->phys_ptr) {
        *gpa = lin;
        return 0;
    }
    struct gcache *c = &gcache[this_cpu()->id];
    uint64_t page = lin & PAGE_MASK;
    if (!c->valid || c->page != page || (write && !c->write)) {
        uint64_t to;
        int rc = walk_linear(v, page, write, &to);
        if (rc)
            return rc;
        *c = (struct gcache){ true, write, page, to };
    }
    *gpa = c->gpa | (lin & (PAGE_SIZE - 1));
    return 0;
}

static int guest_copy(gaddr_t g, char *buf, size_t n, enum access a)
{
    struct vcpu *v = this_cpu()->current;
    while (n) {
        size_t part = piece_len(g.v, n);
        uint64_t gpa;
        int rc = translate(v, g.v, a == WRITE, &gpa);
        if (!rc)
            rc = gphys_piece(v->domain, gpa, buf, part, a);
        if (rc)
            return rc;
        g.v += part;
        buf += part;
        n -= part;
    }
    return 0;
}
int copy_from_guest(void *dst, gaddr_t src, size_t n) { return guest_copy(src, dst, n, READ); }
int copy_to_guest(gaddr_t dst, const void *src, size_t n)
{
    return guest_copy(dst, (char *)(uintptr_t)src, n, WRITE);
}

int guest_rewrite_code(uint64_t lin, uint8_t *byte)
{
    struct vcpu *v = this_cpu()->current;
    uint64_t gpa;
    enum p2m_type t;
    if (walk_linear(v, lin, false, &gpa))
        return -EFAULT;
    mfn_t m = p2m_get(v->domain, GFN(gpa >> PAGE_SHIFT), &t);
    int rc = -EFAULT;
    if (t == P2M_RAM) {
        uint8_t *p = (uint8_t *)mfn_to_virt(m) + (gpa & (PAGE_SIZE - 1));
        *byte = 0;
        __asm__ volatile("lock xaddb %0, %1" : "+q"(*byte), "+m"(*p)); /* another vCPU may be writing there just now */
        rc = 0;
    }
    if (m.v != INVALID_MFN.v)
        unpin(m, t);
    return rc;
}

int guest_trace(uint64_t lin, struct gtrace *t)
{
    struct vcpu *v = this_cpu()->current;
    uint64_t cr4 = virt->get_cr(v, 4), gpa;
    struct walk w = { v->domain, virt->get_cr(v, 3), cr4, false, false, t };
    const char *at;

    t->nr = 0;
    if (!(virt->get_cr(v, 8) & EFER_LMA) || (cr4 & CR4_LA57) || (uint64_t)((int64_t)(lin << 16) >> 16) != lin)
        return -EFAULT;
    if (walk_pae(&w, lin, 4, &gpa) || read_pte(v->domain, gpa & ~7ull, 8, &(uint64_t){ 0 }, &at))
        return -EFAULT;
    t->byte = (const uint8_t *)at + (gpa & 7);
    return 0;
}

int gphys_write_from_guest(struct domain *d, uint64_t gpa, gaddr_t src, size_t n)
{
    while (n) {
        size_t part = piece_len(gpa, n);
        enum p2m_type t;
        mfn_t m = p2m_get(d, GFN(gpa >> PAGE_SHIFT), &t);
        int rc = -EFAULT;
        if (t == P2M_RAM)
            rc = copy_from_guest((char *)mfn_to_virt(m) + (gpa & (PAGE_SIZE - 1)), src, part);
        if (m.v != INVALID_MFN.v)
            unpin(m, t);
        if (rc)
            return rc;
        src.v += part;
        gpa += part;
        n -= part;
    }
    return 0;
}
