/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/domain/elf.c common/elf.c
// FLAGS: -Ictl-dom
/* The streaming ELF loader: any cut of the file gives the same memory; a bad file gives a sentence.
 */
#include <errno.h>
#include "unit.h"
#include "domain/elf.h"

#define LIMIT    0x40000u
#define FILE_LEN 0x6000u
static uint8_t ram[LIMIT], file[FILE_LEN];

struct phdr {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

static int to_ram(void *arg, uint64_t gpa, const void *src, size_t len)
{
    assert_true(gpa + len <= LIMIT);
    memcpy(ram + gpa, src, len);
    return 0;
}

static void phdr(unsigned i, struct phdr p) { memcpy(file + 64 + i * sizeof(p), &p, sizeof(p)); }

/* Two segments (the first holds the header), a note inside the second. */
static void make_file(void)
{
    static const uint32_t notes[] = { 4, 8, 6, 0x006e6558, 0, 0, 4, 4, 18, 0x006e6558, 0x10040 };
    uint16_t type = 2, machine = 62, phentsize = 56, phnum = 3;
    uint64_t phoff = 64;

    for (unsigned i = 0; i < FILE_LEN; i++)
        file[i] = (uint8_t)(i * 7 + (i >> 8));
    memset(file, 0, 64);
    memcpy(file, "\177ELF\2\1\1", 7);
    memcpy(file + 16, &type, 2);
    memcpy(file + 18, &machine, 2);
    memcpy(file + 32, &phoff, 8);
    memcpy(file + 54, &phentsize, 2);
    memcpy(file + 56, &phnum, 2);
    phdr(0, (struct phdr){
                .type = 1, .offset = 0, .paddr = 0x10000, .filesz = 0x1800, .memsz = 0x2000 });
    phdr(1, (struct phdr){
                .type = 1, .offset = 0x2000, .paddr = 0x20000, .filesz = 0x3000, .memsz = 0x9000 });
    phdr(2, (struct phdr){ .type = 4, .offset = 0x3ff0, .filesz = sizeof(notes) });
    memcpy(file + 0x3ff0, notes, sizeof(notes));
}

static struct elf_stream *s;

static int load(size_t len, size_t step)
{
    int rc = 0;
    memset(ram, 0, sizeof(ram));
    elf_begin(s, to_ram, NULL, LIMIT);
    for (size_t at = 0; at < len && !rc; at += step) {
        size_t n = len - at < step ? len - at : step;
        uint8_t *piece = malloc(n);
        memcpy(piece, file + at, n);
        rc = elf_feed(s, piece, n);
        free(piece);
    }
    return rc ? rc : elf_end(s);
}

TEST(any_cut)
{
    static const size_t steps[] = { 1, 7, 64, 1000, 4095, 4096, 4097, 0x2000, FILE_LEN };
    make_file();
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_int_equal(load(FILE_LEN, steps[i]), 0);
        assert_int_equal(s->entry, 0x10040);
        assert_int_equal(s->low, 0x10000);
        assert_int_equal(s->high, 0x29000);
        assert_memory_equal(ram + 0x10000, file, 0x1800);
        assert_memory_equal(ram + 0x20000, file + 0x2000, 0x3000);
        for (unsigned a = 0x11800; a < 0x20000; a++)
            assert_int_equal(ram[a], 0);
    }
}

/* A boot loader: ELF-32, a note behind the last segment. */
TEST(elf32)
{
    static const uint32_t head[] = { 2 | 3 << 16, 1, 0x10010, 52, 0, 0, 52 | 32 << 16, 3, 0 };
    static const uint32_t ph[3][8] = {
        { 1, 0x1000, 0xdead, 0x10000, 0x800, 0x2000, 7, 4 },
        { 1, 0x1803, 0xdead, 0x12000, 0x1001, 0x1001, 5, 4 },
        { 4, 0x2804, 0, 0, 20, 0, 4, 4 },
    };
    static const uint32_t note[] = { 4, 4, 18, 0x006e6558, 0x10010 };
    make_file();
    memset(file, 0, 0x1000);
    memcpy(file, "\177ELF\1\1\1", 7);
    memcpy(file + 16, head, sizeof(head));
    memcpy(file + 52, ph, sizeof(ph));
    memcpy(file + 0x2804, note, sizeof(note));
    assert_int_equal(load(0x2818, 777), 0);
    assert_int_equal(s->entry, 0x10010);
    assert_int_equal(s->low, 0x10000);
    assert_int_equal(s->high, 0x13001);
    assert_true(s->load[0].writable && !!s->load[1].writable == false);
    assert_memory_equal(ram + 0x10000, file + 0x1000, 0x800);
    assert_memory_equal(ram + 0x12000, file + 0x1803, 0x1001);
    file[42] = 56; /* entries of another size */
    assert_true(load(0x2818, 777) < 0);
    file[42] = 32;
    file[18] = 62; /* class 32 with 64-bit code behind a 32-bit entry: Solo5's linker scripts and Multiboot-minded tools make it */
    assert_int_equal(load(0x2818, 777), 0);
    assert_int_equal(s->entry, 0x10010);
    file[18] = 40;
    assert_true(load(0x2818, 777) < 0);
    assert_string_equal(s->why, "is no ELF file for x86");
    /* A 32-bit Linux names itself. The second note replaces what was behind the first. */
    static const uint32_t os[] = { 4, 6, 6, 0x006e6558, 0x756e696c, 0x78 };
    file[18] = 3;
    memcpy(file + 0x2804 + sizeof(note), os, sizeof(os));
    uint32_t both = sizeof(note) + sizeof(os);
    memcpy(file + 52 + 2 * 32 + 16, &both, 4);
    assert_true(load(0x2818 + sizeof(os), 777) < 0);
    assert_non_null(strstr(s->why, "32-bit Linux"));
    file[18] = 62;
    assert_int_equal(load(0x2818 + sizeof(os), 777), 0);
}

static void expect(const char *why)
{
    assert_true(load(FILE_LEN, 512) < 0);
    assert_string_equal(s->why, why);
}

TEST(refusals)
{
    make_file();
    file[0] = 'x';
    expect("is no ELF file");
    make_file();
    file[4] = 3; /* no class */
    expect("is no ELF file for x86");
    make_file();
    file[18] = 3;
    expect("is no ELF file for x86");
    make_file();
    file[34] = 1; /* program headers at 64 KiB */
    expect("has its program headers out of reach");
    make_file();
    phdr(1, (struct phdr){
                .type = 1, .offset = 0x2000, .paddr = 0x3f000, .filesz = 0x1000, .memsz = 0x2000 });
    expect("does not fit into the domain's memory");
    assert_int_equal(s->need, 0x41000);
    make_file();
    phdr(1,
         (struct phdr){
             .type = 1, .offset = 0x2000, .paddr = ~0ull - 10, .filesz = 0x1000, .memsz = 0x2000 });
    expect("has a segment that makes no sense");
    make_file();
    phdr(1, (struct phdr){
                .type = 1, .offset = 0x2000, .paddr = 0x20000, .filesz = 0x3000, .memsz = 0x2000 });
    expect("has a segment that makes no sense");
    make_file();
    phdr(2, (struct phdr){ .type = 4, .offset = 0x3ff0, .filesz = ELF_NOTES + 1 });
    expect("has too many notes");
    make_file();
    file[0x3ff0 + 32] = 17; /* the note's type */
    expect("is no PVH kernel (no Xen note of type 18)");
    make_file();
    file[0x3ff0 + 28] = 3; /* of three bytes: no entry */
    expect("is no PVH kernel (no Xen note of type 18)");
    make_file();
    file[0x3ff0 + 42] = 9; /* entry 0x90040 */
    expect("has its PVH entry outside of its segments");
    make_file();
    assert_true(load(0x4800, 512) < 0);
    assert_string_equal(s->why, "is truncated");
    assert_true(load(40, 40) < 0);
    assert_string_equal(s->why, "is no ELF file");
    assert_true(load(0, 1) < 0);
}

TEST(flipped_bits)
{
    srand(3);
    for (unsigned i = 0; i < 20000; i++) {
        make_file();
        for (unsigned k = 0; k < 3; k++) {
            unsigned at = k < 2 ? (unsigned)rand() % 240 : 0x3ff0 + (unsigned)rand() % 44;
            file[at] ^= (uint8_t)(1u << rand() % 8);
        }
        (void)load(FILE_LEN, 1 + (size_t)rand() % 5000);
    }
}

int setup_all(void **state)
{
    s = malloc(sizeof(*s));
    return !s;
}

int teardown_all(void **state)
{
    free(s);
    return 0;
}
