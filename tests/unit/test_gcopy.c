// SPDX-License-Identifier: MIT
// LINK: hv/mem/gcopy.c hv/mem/npt.c
// The guest page walker in every paging mode, permissions, pieces across pages, hostile tables.
#include "unit.h"
#include "shim.h"
#include "arch/irq.h"
#include "base/cpu.h"
#include "mem/frame.h"
#include "mem/gcopy.h"
#include "mem/npt.h"
#include "domain/domain.h"
#include "virt/virt.h"

#define PAGES 2048u /* guest RAM: gfn g is frame g */

static struct frame frames[PAGES];
static struct domain dom;
static struct vcpu v;
static uint64_t cr[9];
static long pins, pinned; /* now, ever */

struct frame *mfn_to_frame(mfn_t m) { return m.v < PAGES ? &frames[m.v] : NULL; }
bool frame_get(mfn_t m, uint16_t owner)
{
    pins++;
    pinned++;
    return m.v < PAGES;
}
void frame_put(mfn_t m) { pins--; }
void frame_put_block(mfn_t m, unsigned order) { pins -= 1 << order; }
void apic_send_ipi(uint32_t cpu, uint8_t vector) {}
static uint64_t get_cr(const struct vcpu *x, unsigned n) { return cr[n]; }
static const struct virt_ops ops = { .get_cr = get_cr };
const struct virt_ops *virt = &ops;

static uint8_t *ram(uint64_t gpa) { return shim_ram() + gpa; }
static void put64(uint64_t gpa, uint64_t e) { memcpy(ram(gpa), &e, 8); }
static void put32(uint64_t gpa, uint32_t e) { memcpy(ram(gpa), &e, 4); }

int setup(void **state)
{
    memset(shim_ram(), 0, PAGES * 4096);
    memset(&dom, 0, sizeof dom);
    memset(&v, 0, sizeof v);
    memset(cr, 0, sizeof cr);
    dom.id = 5;
    v.domain = &dom;
    this_cpu()->current = &v;
    this_cpu()->counts = &v.counts;
    pins = 0;
    assert_int_equal(p2m_init(&dom), 0);
    for (uint64_t g = 0; g < PAGES; g++)
        assert_int_equal(p2m_set(&dom, GFN(g), MFN(g), 0, P2M_RAM), 0);
    return 0;
}
int teardown(void **state)
{
    assert_int_equal(pins, 0);
    p2m_free(&dom);
    return 0;
}

static int rd(uint64_t lin)
{
    uint8_t b;
    int rc = copy_from_guest(&b, GADDR(lin), 1);
    return rc ? rc : b;
}
static int wr(uint64_t lin, uint8_t b) { return copy_to_guest(GADDR(lin), &b, 1); }

#define P     1ull
#define W     2ull
#define PS    0x80ull
#define LIN4K 0xffff888000201234ull /* pml4 273, pdpt 0, pd 1, pt 1 */

/* pml4 at 0x10000, pdpt 0x11000, pd 0x12000, pt 0x13000; 4 KiB page 0x50000; 2 MiB page at 0x400000; 1 GiB page at 0 */
static void long_mode(void)
{
    cr[0] = 0x80010001;
    cr[3] = 0x10000 | 0xfff; /* PCID bits are not address */
    cr[4] = 0x20;
    cr[8] = 0x500;
    put64(0x10000 + 273 * 8, 0x11000 | P | W);
    put64(0x11000, 0x12000 | P | W);
    put64(0x11000 + 8, 0x0 | P | W | PS);
    put64(0x12000 + 8, 0x13000 | P | W);
    put64(0x12000 + 16, 0x400000 | P | W | PS);
    put64(0x13000 + 8, 0x50000 | P | W);
    put64(0x13000 + 16, 0x51000 | P);
}

TEST(walks_long_mode)
{
    long_mode();
    *ram(0x50234) = 0xaa;
    *ram(0x4abcde) = 0xbb;
    *ram(0x98765) = 0xcc;
    assert_int_equal(rd(LIN4K), 0xaa);
    assert_int_equal(rd(0xffff888000400000ull + 0xabcde), 0xbb);
    assert_int_equal(rd(0xffff888040000000ull + 0x98765), 0xcc);
    assert_int_equal(rd(0xffff888000200000ull), -EFAULT); /* no entry */
    assert_int_equal(rd(0x0000888000201234ull), -EFAULT); /* not canonical */
    assert_int_equal(wr(LIN4K, 1), 0);
    assert_int_equal(*ram(0x50234), 1);
    assert_int_equal(wr(LIN4K + 4096, 1), -EFAULT); /* read-only, CR0.WP */
    assert_int_equal(rd(LIN4K + 4096), 0);
    cr[0] &= ~0x10000ull;
    assert_int_equal(wr(LIN4K + 4096, 2), 0); /* without WP a supervisor writes anywhere */
    cr[0] |= 0x10000;
    put64(0x11000, 0x12000 | P); /* read-only further up */
    assert_int_equal(wr(LIN4K, 1), -EFAULT);
    put64(0x10000 + 273 * 8, 0x11000 | P | W | PS); /* a reserved bit there: no big page */
    assert_int_equal(rd(LIN4K), 1);
}

/* Where a translation was read: a change of any entry or of what is there shows, the hardware's own marks do not. */
TEST(traces)
{
    struct gtrace t;
    long_mode();
    *ram(0x50234) = 0xaa;
    assert_int_equal(guest_trace(LIN4K, &t), 0);
    assert_int_equal(t.nr, 4);
    assert_ptr_equal(t.byte, ram(0x50234));
    assert_true(gtrace_holds(&t));
    v.phys_ptr = true; /* of its pointers; code has linear addresses */
    assert_int_equal(guest_trace(LIN4K, &t), 0);
    assert_ptr_equal(t.byte, ram(0x50234));
    uint8_t code = 0;
    assert_int_equal(guest_rewrite_code(LIN4K, &code), 0);
    assert_int_equal(code, 0xaa);
    v.phys_ptr = false;
    const uint64_t at[] = { 0x10000 + 273 * 8, 0x11000, 0x12000 + 8, 0x13000 + 8 };
    for (unsigned i = 0; i < 4; i++) {
        uint64_t e;
        memcpy(&e, ram(at[i]), 8);
        put64(at[i], e | 0x60);
        assert_true(gtrace_holds(&t));
        put64(at[i], e ^ 0x1000);
        assert_false(gtrace_holds(&t));
        put64(at[i], e & ~P);
        assert_false(gtrace_holds(&t));
        put64(at[i], e);
    }
    assert_int_equal(guest_trace(0xffff888000400000ull + 0xabcde, &t), 0);
    assert_int_equal(t.nr, 3);
    assert_ptr_equal(t.byte, ram(0x4abcde));
    assert_int_equal(guest_trace(0xffff888000200000ull, &t), -EFAULT);
    assert_int_equal(guest_trace(0x0000888000201234ull, &t), -EFAULT);
    put64(0x13000 + 8, (PAGES << 12) | P); /* no memory there */
    assert_int_equal(guest_trace(LIN4K, &t), -EFAULT);
    cr[4] |= 1u << 12;
    assert_int_equal(guest_trace(LIN4K, &t), -EFAULT);
    cr[4] = 0x20;
    cr[8] = 0;
    assert_int_equal(guest_trace(LIN4K, &t), -EFAULT);
}

TEST(walks_five_levels)
{
    long_mode();
    cr[4] |= 1 << 12;
    cr[3] = 0x14000;
    put64(0x14000 + 511 * 8, 0x10000 | P | W);
    *ram(0x50234) = 0xdd;
    assert_int_equal(rd(LIN4K), 0xdd);
    assert_int_equal(rd(0x00ff888000201234ull), -EFAULT);
}

TEST(walks_pae)
{
    cr[0] = 0x80010001;
    cr[4] = 0x20;
    cr[3] = 0x10020;                     /* top level: 4 entries, 32-byte aligned */
    put64(0x10020 + 3 * 8, 0x12000 | P); /* its entries have no write permission */
    put64(0x12000 + 8, 0x13000 | P | W);
    put64(0x12000 + 16, 0x400000 | P | W | PS);
    put64(0x13000 + 8, 0x50000 | P | W);
    *ram(0x50234) = 1;
    *ram(0x400010) = 2;
    assert_int_equal(rd(0xc0201234), 1);
    assert_int_equal(rd(0xffffffffc0201234ull), 1); /* 32 bits count */
    assert_int_equal(rd(0xc0400010), 2);
    assert_int_equal(wr(0xc0201234, 9), 0);
    assert_int_equal(rd(0x201234), -EFAULT);
}

TEST(walks_32bit)
{
    cr[0] = 0x80010001;
    cr[3] = 0x10000;
    put32(0x10000 + 4, 0x13000 | 3);
    put32(0x10000 + 8, 0x400000 | 3 | 0x80);
    put32(0x13000 + 4, 0x50000 | 1);
    *ram(0x50234) = 1;
    *ram(0x400010) = 2;
    assert_int_equal(rd(0x401234), 1);
    assert_int_equal(wr(0x401234, 1), -EFAULT);
    assert_int_equal(rd(0x800010),
                     -EFAULT); /* PSE off: the entry names a page table, at 0x400000, which is empty */
    cr[4] = 0x10;
    assert_int_equal(rd(0x800010), 2);
}

TEST(without_paging)
{
    cr[0] = 1;
    *ram(0x1234) = 7;
    assert_int_equal(rd(0x1234), 7);
    assert_int_equal(rd(0xf00000000ull + 0x1234), 7);
    assert_int_equal(rd(PAGES * 4096ull), -EFAULT);
}

TEST(physical_pointers)
{
    long_mode();
    v.phys_ptr = true;
    *ram(0x777) = 3;
    assert_int_equal(rd(0x777), 3);
    assert_int_equal(rd(LIN4K), -EFAULT);
}

TEST(pieces)
{
    uint8_t out[8192], in[4 * 4096];
    long_mode();
    put64(0x13000 + 16, 0x60000 | P | W); /* neighbours in linear space, not in physical */
    put64(0x13000 + 24, 0x40000 | P | W);
    for (unsigned i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 7);
    assert_int_equal(copy_to_guest(GADDR(LIN4K), out, sizeof out), 0);
    assert_memory_equal(ram(0x50234), out, 4096 - 0x234);
    assert_memory_equal(ram(0x60000), out + 4096 - 0x234, 4096);
    assert_int_equal(copy_from_guest(in, GADDR(LIN4K), sizeof out), 0);
    assert_memory_equal(in, out, sizeof out);
    assert_int_equal(copy_from_guest(in, GADDR(LIN4K), sizeof in), -EFAULT);
}

/* The remembered translation: one call sees one answer, the next looks again. */
static long read_pins(uint64_t lin, uint8_t want)
{
    uint8_t b = 0;
    long before = pinned;
    assert_int_equal(copy_from_guest(&b, GADDR(lin), 1), 0);
    assert_int_equal(b, want);
    assert_int_equal(v.in_guest, 0);
    return pinned - before; /* a walk pins each table and the page */
}
/* What is remembered of a translation holds as long as all that it was read from: no walk then, and the walk's answer always. */
TEST(remembered)
{
    uint8_t b = 7;
    mfn_t m;
    enum p2m_type t;
    long_mode();
    *ram(0x50234) = 1;
    *ram(0x60234) = 2;
    assert_int_equal(read_pins(LIN4K, 1), 5);
    assert_int_equal(read_pins(LIN4K, 1), 0);
    *ram(0x50234) = 3;
    assert_int_equal(read_pins(LIN4K, 3), 0);
    assert_int_equal(copy_to_guest(GADDR(LIN4K), &b, 1), 0);
    assert_int_equal(read_pins(LIN4K, 7), 0);
    put64(0x13000 + 8, 0x60000 | P); /* another page, read-only */
    assert_int_equal(read_pins(LIN4K, 2), 5);
    assert_int_equal(read_pins(LIN4K, 2), 0);
    assert_int_equal(copy_to_guest(GADDR(LIN4K), &b, 1),
                     -EFAULT); /* a translation for reading does not serve a write */
    assert_int_equal(*ram(0x60234), 2);
    put64(0x13000 + 8, 0x60000 | P | W);
    assert_int_equal(read_pins(LIN4K, 2), 5);
    put64(0x12000 + 8, 0x14000 | P | W); /* another table */
    put64(0x14000 + 8, 0x50000 | P | W);
    assert_int_equal(read_pins(LIN4K, 7), 5);
    cr[3] = 0x20000; /* another address space; the tables of the first are as they were */
    for (unsigned l = 0; l < 3; l++)
        put64(0x20000 + l * 0x1000 + (l ? l / 2 * 8 : 273 * 8), (0x21000 + l * 0x1000) | P | W);
    put64(0x23000 + 8, 0x60000 | P | W);
    assert_int_equal(read_pins(LIN4K, 2), 5);
    assert_int_equal(read_pins(LIN4K, 2), 0);
    assert_int_equal(p2m_clear(&dom, GFN(0x60), &m, &t), 0); /* given away: whoever does that flushes */
    npt_flush(&dom);
    assert_int_equal(rd(LIN4K), -EFAULT);
    assert_int_equal(p2m_set(&dom, GFN(0x60), MFN(0x70), 0, P2M_RAM_IMMUTABLE), 0);
    *ram(0x70234) = 9;
    (void)read_pins(LIN4K, 9);
    assert_int_equal(read_pins(LIN4K, 9), 0);
    assert_int_equal(copy_to_guest(GADDR(LIN4K), &b, 1),
                     -EFAULT); /* its table says writable, its page is not */
    for (unsigned l = 0; l < 3; l++)
        put64(0x20000 + l * 0x1000, (0x21000 + l * 0x1000) | P | W);
    put64(0x21000, 0x22000 | P | W);
    put64(0x23000 + 0x60 * 8, 0x50000 | P | W);
    assert_int_equal(rd(0x60234), 7);
    assert_int_equal(read_pins(0x60234, 7), 0);
    cr[0] = 0x11; /* paging goes off: the address is another's */
    cr[8] = 0;
    assert_int_equal(read_pins(0x60234, 9), 1);
    assert_int_equal(read_pins(0x60234, 9), 0);
    v.phys_ptr = true;
    assert_int_equal(read_pins(0x60234, 9), 1);
    assert_int_equal(read_pins(0x60234, 9), 0);
    v.kicked = 1; /* maybe somebody waits for us to leave */
    assert_int_equal(read_pins(0x60234, 9), 1);
    v.kicked = 0;
    assert_int_equal(read_pins(0x60234, 9), 0);
    v.phys_ptr = false;
}

/* Any two pages, used in turn: each is walked for once. */
TEST(two_in_turn)
{
    uint8_t byte;
    long_mode();
    for (uint64_t other = 1; other < 64; other++) {
        put64(0x13000 + 8 * (1 + other), 0x60000 | P | W);
        npt_flush(&dom); /* what was remembered is over */
        uint64_t walks = v.counts.guest_walks;
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(copy_from_guest(&byte, GADDR(LIN4K), 1), 0);
            assert_int_equal(copy_from_guest(&byte, GADDR(LIN4K + other * 4096), 1), 0);
        }
        assert_int_equal(v.counts.guest_walks, walks + 2);
    }
}

static void counted(uint64_t guest_walks, uint64_t nested_walks, uint64_t hits)
{
    assert_int_equal(v.counts.guest_walks, guest_walks);
    assert_int_equal(v.counts.nested_walks, nested_walks);
    assert_int_equal(v.counts.remembered, hits);
}
/* What a copy took, of the vCPU whose pointer it was. */
TEST(copies_are_counted)
{
    uint8_t two[2];
    struct gtrace t;
    long_mode();
    put64(0x13000 + 16, 0x60000 | P | W);
    counted(0, 0, 0);
    assert_int_equal(rd(LIN4K), 0);
    counted(1, 5, 0);
    assert_int_equal(rd(LIN4K), 0);
    counted(1, 5, 1);
    assert_int_equal(copy_from_guest(two, GADDR(LIN4K + 0xdcb), 2),
                     0); /* a page that is remembered, and one that is not */
    counted(2, 10, 2);
    assert_int_equal(rd(0xffff888000300000ull), -EFAULT); /* its last entry is not there */
    counted(3, 14, 2);
    assert_int_equal(guest_trace(LIN4K, &t), 0);
    counted(4, 19, 2);
    v.phys_ptr = true;
    assert_int_equal(rd(0x777), 0);
    counted(4, 20, 2);
    assert_int_equal(rd(0x778), 0);
    counted(4, 20, 3);
    assert_int_equal(gphys_read(&dom, two, 0x7000, 2), 0);
    counted(4, 21, 3);
    assert_int_equal(v.counts.copies + v.counts.hypercalls, 0);
}

TEST(hostile_tables)
{
    enum p2m_type t;
    mfn_t m;
    long_mode();
    put64(0x10000 + 273 * 8, 0x10000 | P | W); /* points at itself: ends after four levels */
    (void)rd(LIN4K);
    cr[3] = 0xffffff000; /* no RAM there */
    assert_int_equal(rd(LIN4K), -EFAULT);
    long_mode();
    assert_int_equal(p2m_clear(&dom, GFN(0x50), &m, &t), 0);
    assert_int_equal(p2m_set(&dom, GFN(0x50), MFN(0xfee00), 0, P2M_MMIO), 0);
    assert_int_equal(rd(LIN4K), -EFAULT); /* a device's page is no memory */
    assert_int_equal(p2m_clear(&dom, GFN(0x50), &m, &t), 0);
    assert_int_equal(p2m_set(&dom, GFN(0x50), MFN(0x50), 0, P2M_RAM_RO), 0);
    assert_int_equal(rd(LIN4K), 0);
    assert_int_equal(wr(LIN4K, 1), -EFAULT);
    assert_int_equal(p2m_replace(&dom, GFN(0x50), MFN(0x50), P2M_RAM_IMMUTABLE, &m), 0);
    assert_int_equal(rd(LIN4K), 0);
    assert_int_equal(wr(LIN4K, 1), -EFAULT);
}

/* Nothing of anybody's is there: no hypercall's argument or answer, no page table, no code, no builder's copy. */
TEST(fillers)
{
    static const enum p2m_type type[] = { P2M_FILLER, P2M_FILLER_RO };
    uint8_t byte = 7;
    mfn_t m;
    for (unsigned i = 0; i < 2; i++) {
        long_mode();
        *ram(0x50234) = 0xe9;
        assert_int_equal(p2m_replace(&dom, GFN(0x50), MFN(0x50), type[i], &m), 0);
        npt_flush(&dom); /* as its callers do */
        assert_int_equal(rd(LIN4K), -EFAULT);
        assert_int_equal(wr(LIN4K, 1), -EFAULT);
        assert_int_equal(gphys_read(&dom, &byte, 0x50234, 1), -EFAULT);
        assert_int_equal(gphys_write(&dom, 0x50234, &byte, 1), -EFAULT);
        assert_int_equal(gphys_write_from_guest(&dom, 0x50234,
                                                GADDR(0xffff888040000000ull + 0x98765), 1),
                         -EFAULT);
        assert_int_equal(guest_rewrite_code(LIN4K, &byte), -EFAULT);
        assert_int_equal(byte, 7);
        assert_int_equal(*ram(0x50234), 0xe9);
        assert_int_equal(p2m_replace(&dom, GFN(0x50), MFN(0x50), P2M_RAM, &m), 0);
        npt_flush(&dom);
        assert_int_equal(rd(LIN4K), 0xe9);
        assert_int_equal(p2m_replace(&dom, GFN(0x13), MFN(0x13), type[i], &m), 0);
        npt_flush(&dom);
        assert_int_equal(rd(LIN4K), -EFAULT);
        assert_int_equal(p2m_replace(&dom, GFN(0x13), MFN(0x13), P2M_RAM, &m), 0);
        npt_flush(&dom);
        cr[4] = 0;
        cr[8] = 0;
        cr[3] = 0x20000;
        put32(0x20000, 0x21000 | P | W);
        put32(0x21000 + 4, 0x50000 | P | W);
        assert_int_equal(rd(0x1234), 0xe9);
        assert_int_equal(p2m_replace(&dom, GFN(0x21), MFN(0x21), type[i], &m), 0);
        npt_flush(&dom);
        assert_int_equal(rd(0x1234), -EFAULT);
        assert_int_equal(p2m_replace(&dom, GFN(0x21), MFN(0x21), P2M_RAM, &m), 0);
        npt_flush(&dom);
    }
}

TEST(immutable_pages)
{
    char text[8];
    mfn_t m;
    cr[0] = 1;
    memcpy(ram(0x2ffc), "twelve bytes", 12);
    memcpy(ram(0x5000), "scribble", 8);
    assert_int_equal(p2m_replace(&dom, GFN(2), MFN(2), P2M_RAM_IMMUTABLE, &m), 0);
    assert_int_equal(gphys_read(&dom, text, 0x2ffc, 8), 0);
    assert_memory_equal(text, "twelve b", 8);
    assert_int_equal(gphys_write(&dom, 0x2ff0, "x", 1), -EFAULT);
    assert_int_equal(gphys_write_from_guest(&dom, 0x2ff0, GADDR(0x5000), 8), -EFAULT);
    assert_int_equal(gphys_write_from_guest(&dom, 0x1ffc, GADDR(0x5000), 8),
                     -EFAULT); /* over its start */
    assert_int_equal(gphys_write_from_guest(&dom, 0x3000, GADDR(0x2ff0), 8),
                     0); /* it may be the source */
    assert_int_equal(gphys_write(&dom, 0x4000, "x", 1), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(*(char *)ram(0x2ff0 + i), 0);
    assert_memory_equal(ram(0x2ffc), "twel", 4);
}

TEST(physical_access)
{
    char text[32];
    assert_int_equal(gphys_write(&dom, 0x1ff8, "across a page", 14), 0);
    assert_int_equal(gphys_read(&dom, text, 0x1ff8, 14), 0);
    assert_string_equal(text, "across a page");
    assert_int_equal(gphys_read(&dom, text, PAGES * 4096ull - 4, 8), -EFAULT);
    cr[0] = 1;
    memcpy(ram(0x5000), "copied", 7);
    assert_int_equal(gphys_write_from_guest(&dom, 0x2ffd, GADDR(0x5000), 7), 0);
    assert_memory_equal(ram(0x2ffd), "copied", 3);
    assert_int_equal(gphys_write_from_guest(&dom, PAGES * 4096ull - 2, GADDR(0x5000), 7), -EFAULT);
}

TEST(code_over_itself)
{
    uint8_t byte = 1;
    mfn_t m;
    cr[0] = 1;
    *ram(0x2345) = 0xe9;
    assert_int_equal(guest_rewrite_code(0x2345, &byte), 0);
    assert_int_equal(byte, 0xe9);
    assert_int_equal(*ram(0x2345), 0xe9);
    assert_int_equal(guest_rewrite_code(PAGES * 4096ull, &byte), -EFAULT);
    *ram(0x3000) = 0xcc;
    assert_int_equal(p2m_replace(&dom, GFN(3), MFN(3), P2M_RAM_IMMUTABLE, &m), 0);
    assert_int_equal(guest_rewrite_code(0x3000, &byte),
                     -EFAULT); /* nobody writes there, not even the same */
    long_mode();
    assert_int_equal(guest_rewrite_code(1ull << 47, &byte), -EFAULT); /* not canonical */
}
