/* SPDX-License-Identifier: MIT */
/*
 * Copies to and from guest memory: see gcopy.h.
 *
 * The walk reads the guest's own tables through the p2m, each entry once, so a guest that changes them meanwhile gets one
 * of its two answers. Accessed and dirty bits are not set: hypercall arguments are kernel memory, which no guest reclaims by them.
 *
 * A kernel's arguments lie on few pages, and a walk is dear. So each vCPU remembers some of its translations: the page, the paging mode and
 * CR3, where the entries stand and what they were, the page's place here, the generation of the p2m. All of that is compared again at each
 * use, so the answer is the walk's. Pointers are followed only in a stretch in which the vCPU counts as in the guest and the
 * generation still is theirs: npt_flush raises it and waits for such a vCPU before a page goes to anybody else.
 */
#include "mem/gcopy.h"
#include "common/regs.h"
#include "base/cpu.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/npt.h"
#include "domain/struct.h"
#include "platform/vendor.h"

static bool is_ram(enum p2m_type t, bool write)
{
    switch (t) {
    case P2M_RAM:
    case P2M_GRANT_RW:
    case P2M_SHARED: return true;
    case P2M_RAM_RO:
    case P2M_GRANT_RO:
    case P2M_RAM_IMMUTABLE: return !write;
    default: return false;
    }
}
static void unpin(mfn_t m, enum p2m_type t)
{
    if (p2m_counted(t))
        frame_put(m);
}

/* The caller's side of a copy: one of the two. */
struct buffer {
    char *to;
    const char *from;
};
static struct buffer reads(void *to) { return (struct buffer){ .to = to }; }
static struct buffer writes(const void *from) { return (struct buffer){ .from = from }; }
static void advance(struct buffer *b, size_t n)
{
    if (b->from)
        b->from += n;
    else
        b->to += n;
}

static void copy_piece(char *here, struct buffer b, size_t n)
{
    if (b.from)
        memcpy(here, b.from, n);
    else
        memcpy(b.to, here, n);
}

/* One piece within a page of d. m_out: gets the page's place, which is not held, and whether it may be written; or NULL. */
static int gphys_piece(struct domain *d, uint64_t gpa, struct buffer b, size_t n, struct gmemo *m_out)
{
    enum p2m_type t;
    mfn_t m = p2m_get(d, GFN(gpa >> PAGE_SHIFT), &t);
    if (!is_ram(t, b.from != NULL)) {
        if (m.v != INVALID_MFN.v)
            unpin(m, t);
        return -EFAULT;
    }
    char *page = mfn_to_virt(m);
    copy_piece(page + (gpa & (PAGE_SIZE - 1)), b, n);
    if (m_out) {
        m_out->at.byte = (uint8_t *)page;
        m_out->writable &= is_ram(t, true);
    }
    unpin(m, t);
    return 0;
}

static size_t piece_len(uint64_t addr, size_t n)
{
    size_t left = PAGE_SIZE - (addr & (PAGE_SIZE - 1));
    return n < left ? n : left;
}

static int gphys_copy(struct domain *d, uint64_t gpa, struct buffer b, size_t n)
{
    while (n) {
        size_t part = piece_len(gpa, n);
        int rc = gphys_piece(d, gpa, b, part, NULL);
        if (rc)
            return rc;
        gpa += part;
        advance(&b, part);
        n -= part;
    }
    return 0;
}
int gphys_read(struct domain *d, void *dst, uint64_t gpa, size_t n)
{
    return gphys_copy(d, gpa, reads(dst), n);
}
int gphys_write(struct domain *d, uint64_t gpa, const void *src, size_t n)
{
    return gphys_copy(d, gpa, writes(src), n);
}

/* An entry of a guest table: a naturally aligned load, so it never tears. at: where it stands; the page is not held. */
static int read_pte(struct domain *d, uint64_t gpa, unsigned size, uint64_t *out, char **at)
{
    enum p2m_type t;
    mfn_t m = p2m_get(d, GFN(gpa >> PAGE_SHIFT), &t);
    int rc = -EFAULT;
    if (is_ram(t, false)) {
        const char *p = *at = (char *)mfn_to_virt(m) + (gpa & (PAGE_SIZE - 1));
        *out = size == 8 ? *(const volatile uint64_t *)p : *(const volatile uint32_t *)p;
        rc = 0;
    }
    if (m.v != INVALID_MFN.v)
        unpin(m, t);
    return rc;
}

/* What of CR0, CR4 and EFER a translation depends on, the bits where they stand there; and MODE_PHYS of a domain whose pointers are
 * guest-physical. */
#define MODE_CR0  (CR0_WP | CR0_PG)
#define MODE_CR4  (CR4_PSE | CR4_PAE | CR4_LA57)
#define MODE_PHYS (1ull << 63)

struct walk {
    struct domain *d;
    uint64_t cr3, mode;
    bool write;
    struct gtrace *trace;
};

static void note(struct gtrace *t, const char *at, uint64_t e)
{
    if (!t || t->nr == GTRACE_LEVELS)
        return;
    t->pte[t->nr] = (const volatile uint64_t *)at;
    t->val[t->nr++] = e | GTRACE_MARKS;
}

/* Levels of 8-byte entries, APM2 5.3 and 5.4: 5 or 4 in long mode, 3 with PAE (whose top level has 4 entries and no
 * write permission of its own). */
static int walk_pae(const struct walk *w, uint64_t lin, unsigned levels, uint64_t *gpa)
{
    uint64_t table = levels == 3 ? w->cr3 & 0xffffffe0ull : w->cr3 & PTE_ADDR;
    char *at;
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
            return w->write && (w->mode & CR0_WP) && !writable ? -EFAULT : 0;
        }
        table = e & PTE_ADDR;
    }
    return -EFAULT;
}

/* Two levels of 4-byte entries; with CR4.PSE 4 MiB pages, whose entry carries address bits 39:32 in 20:13. */
static int walk_32(const struct walk *w, uint64_t lin, uint64_t *gpa)
{
    uint64_t e;
    char *at;
    if (read_pte(w->d, (w->cr3 & 0xfffff000ull) + (lin >> 22 & 1023) * 4, 4, &e, &at) || !(e & PTE_P))
        return -EFAULT;
    bool writable = e & PTE_RW;
    if ((e & PTE_PS) && (w->mode & CR4_PSE)) {
        *gpa = (e & 0xffc00000ull) | ((e >> 13 & 0xff) << 32) | (lin & 0x3fffff);
    } else {
        if (read_pte(w->d, (e & 0xfffff000ull) + (lin >> 12 & 1023) * 4, 4, &e, &at) || !(e & PTE_P))
            return -EFAULT;
        writable = writable && (e & PTE_RW);
        *gpa = (e & 0xfffff000ull) | (lin & 0xfff);
    }
    return w->write && (w->mode & CR0_WP) && !writable ? -EFAULT : 0;
}

/* Supervisor access: U/S bits do not restrict it. w->trace is filled where paging has entries of 8 bytes. */
static int walk_linear(const struct walk *w, uint64_t lin, uint64_t *gpa)
{
    if (w->mode & MODE_PHYS) {
        *gpa = lin;
        return 0;
    }
    if (!(w->mode & EFER_LMA))
        lin &= 0xffffffffull;
    if (!(w->mode & CR0_PG)) {
        *gpa = lin;
        return 0;
    }
    counts()->guest_walks++;
    if (w->mode & EFER_LMA) {
        unsigned levels = w->mode & CR4_LA57 ? 5 : 4, top = PAGE_SHIFT + 9 * levels;
        if ((uint64_t)((int64_t)(lin << (64 - top)) >> (64 - top)) != lin)
            return -EFAULT; /* not canonical */
        return walk_pae(w, lin, levels, gpa);
    }
    return w->mode & CR4_PAE ? walk_pae(w, lin, 3, gpa) : walk_32(w, lin, gpa);
}

/* phys: its addresses are guest-physical. */
static struct walk walk_of(struct vcpu *v, bool phys, struct gtrace *t)
{
    struct walk w = { .d = v->domain, .mode = MODE_PHYS, .trace = t };
    if (!phys) {
        w.cr3 = virt->get_cr(v, 3);
        w.mode = (virt->get_cr(v, 0) & MODE_CR0) | (virt->get_cr(v, 4) & MODE_CR4) |
                 (virt->get_cr(v, CR_EFER) & EFER_LMA);
    }
    return w;
}

/* --- remembered ----------------------------------------------------------------------------------------------- */

/* Two that are used in turn must not drive each other out: a set holds two, the newer one first. Neighbours are in different sets, and so are
 * the same pages of a kernel's stacks, which lie 16 or 32 KiB from each other. */
#define WAYS 2u
static struct gmemo *set_of(struct vcpu *v, const struct walk *w, uint64_t lin)
{
    uint64_t page = lin >> PAGE_SHIFT;
    return &v->memo[(page ^ page >> 3 ^ w->cr3 >> PAGE_SHIFT) % (NR_GMEMOS / WAYS) * WAYS];
}
static bool is_of(const struct gmemo *m, const struct walk *w, uint64_t lin)
{
    return m->page == (lin & PAGE_MASK) && m->cr3 == w->cr3 && m->mode == w->mode && m->at.byte;
}
static void remember(struct vcpu *v, const struct walk *w, uint64_t lin, const struct gmemo *new)
{
    struct gmemo *m = set_of(v, w, lin);
    if (!is_of(m, w, lin))
        m[1] = m[0];
    m[0] = *new;
}

/* By what is remembered, if all of it still holds. */
static bool quick(struct vcpu *v, const struct walk *w, uint64_t lin, struct buffer b, size_t n)
{
    const struct gmemo *m = set_of(v, w, lin);
    bool holds;

    if (v->kicked) /* maybe by npt_flush: who waits does not see us come again and again */
        return false;
    if (!is_of(m, w, lin) && !is_of(++m, w, lin))
        return false;
    if (b.from && !m->writable)
        return false;
    v->in_guest = 1;
    mb(); /* against npt_flush, which raises gen and then reads in_guest */
    holds = m->gen == READ_ONCE(v->domain->p2m.gen);
    if (holds) {
        __asm__ volatile(
            "lfence" ::
                : "memory"); /* nor speculatively is a pointer of another generation followed */
        holds = gtrace_holds(&m->at);
        if (holds)
            copy_piece((char *)m->at.byte + (lin & (PAGE_SIZE - 1)), b, n);
    }
    __asm__ volatile("" ::: "memory");
    v->in_guest = 0;
    v->counts.remembered += holds;
    return holds;
}

/* What paging without WP lets a supervisor write is not told by the entries; five levels, PAE's three and entries of 4 bytes are rare. */
static bool entries_tell(const struct walk *w, const struct gtrace *t)
{
    if (w->mode & MODE_PHYS || !(w->mode & CR0_PG))
        return true;
    return (w->mode & EFER_LMA) && !(w->mode & CR4_LA57) && t->nr;
}
static bool all_writable(const struct gtrace *t)
{
    for (unsigned i = 0; i < t->nr; i++)
        if (!(t->val[i] & PTE_RW))
            return false;
    return true;
}

/* One piece within a page, by a walk. */
static int walked(struct vcpu *v, struct walk *w, uint64_t lin, struct buffer b, size_t n)
{
    struct gmemo m = {
        .page = lin & PAGE_MASK, .gen = READ_ONCE(v->domain->p2m.gen), .cr3 = w->cr3, .mode = w->mode
    };
    uint64_t gpa;

    mb(); /* the generation before what is read in it */
    w->write = b.from;
    w->trace = &m.at;
    int rc = walk_linear(w, lin, &gpa);
    m.writable = all_writable(&m.at);
    if (!rc)
        rc = gphys_piece(v->domain, gpa, b, n, &m);
    if (!rc && entries_tell(w, &m.at))
        remember(v, w, lin, &m);
    return rc;
}

static int guest_copy(gaddr_t g, struct buffer b, size_t n)
{
    struct vcpu *v = this_cpu()->current;
    struct walk w = walk_of(v, READ_ONCE(v->phys_ptr), NULL);
    while (n) {
        size_t part = piece_len(g.v, n);
        int rc = quick(v, &w, g.v, b, part) ? 0 : walked(v, &w, g.v, b, part);
        if (rc)
            return rc;
        g.v += part;
        advance(&b, part);
        n -= part;
    }
    return 0;
}
int copy_from_guest(void *dst, gaddr_t src, size_t n) { return guest_copy(src, reads(dst), n); }
int copy_to_guest(gaddr_t dst, const void *src, size_t n)
{
    return guest_copy(dst, writes(src), n);
}

int guest_rewrite_code(uint64_t lin, uint8_t *byte)
{
    struct vcpu *v = this_cpu()->current;
    struct walk w = walk_of(v, false, NULL);
    uint64_t gpa;
    enum p2m_type t;
    if (walk_linear(&w, lin, &gpa))
        return -EFAULT;
    mfn_t m = p2m_get(v->domain, GFN(gpa >> PAGE_SHIFT), &t);
    int rc = -EFAULT;
    if (t == P2M_RAM) {
        uint8_t *p = (uint8_t *)mfn_to_virt(m) + (gpa & (PAGE_SIZE - 1));
        *byte = 0;
        __asm__ volatile("lock xaddb %0, %1"
                         : "+q"(*byte), "+m"(*p)); /* another vCPU may be writing there just now */
        rc = 0;
    }
    if (m.v != INVALID_MFN.v)
        unpin(m, t);
    return rc;
}

int guest_trace(uint64_t lin, struct gtrace *t)
{
    struct vcpu *v = this_cpu()->current;
    struct walk w = walk_of(v, false, t);
    uint64_t gpa;
    char *at;

    t->nr = 0;
    if (!(w.mode & EFER_LMA) || (w.mode & CR4_LA57))
        return -EFAULT;
    if (walk_linear(&w, lin, &gpa) || read_pte(v->domain, gpa & ~7ull, 8, &(uint64_t){ 0 }, &at))
        return -EFAULT;
    t->byte = (uint8_t *)at + (gpa & 7);
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
