// SPDX-License-Identifier: MIT
// LINK: hv/platform/range.c hv/boot/elf.c common/elf.c hv/boot/acpi_parse.c hv/time/calendar.c
// What the core reads before it runs anything: address ranges, the control domain's ELF, ACPI tables, the CMOS calendar.
#include "unit.h"
#include "shim.h"
#include "boot/acpi.h"
#include "boot/elf.h"
#include "elf_image.h"
#include "platform/range.h"
#include "time/calendar.h"

/* --- ranges, against a map of single units ----------------------------------------------------------------- */
TEST(ranges_match_a_model)
{
    static struct range_set s;
    static bool model[256];
    srand(7);
    for (unsigned n = 0; n < 30000; n++) {
        if (n % 3000 == 0) {
            memset(&s, 0, sizeof s);
            memset(model, 0, sizeof model);
        }
        unsigned a = (unsigned)rand() % 250, b = a + (unsigned)rand() % 7;
        bool add = rand() & 1;
        assert_true(add ? range_add(&s, a, b) : range_remove(&s, a, b));
        memset(model + a, add, b - a);
        unsigned at = 0;
        for (unsigned i = 0; i < s.nr; i++) { /* sorted, disjoint, not touching, exact */
            assert_true(s.r[i].start >= at + (i > 0) && s.r[i].end > s.r[i].start);
            for (; at < s.r[i].start; at++)
                assert_false(model[at]);
            for (; at < s.r[i].end; at++)
                assert_true(model[at]);
        }
        for (; at < 256; at++)
            assert_false(model[at]);
    }
}

TEST(ranges_full_never_give_too_much)
{
    static struct range_set s;
    memset(&s, 0, sizeof s);
    for (unsigned i = 0; i < BOOT_MAX_RANGES; i++)
        assert_true(range_add(&s, 100 * i, 100 * i + 50));
    assert_false(range_add(&s, 1000000, 1000001));
    assert_false(range_remove(&s, 110, 120)); /* no room for the tail: it is lost, not kept */
    assert_false(range_covers(&s, 110, 115));
    assert_true(range_covers(&s, 100, 110));
}

TEST(ranges_find_from_the_top)
{
    static struct range_set s;
    memset(&s, 0, sizeof s);
    range_add(&s, 0x1000, 0x9000);
    range_add(&s, 0x100000, 0x110000);
    assert_int_equal(range_find_high(&s, 0x1000, 0x1000, ~0ull), 0x10f000);
    assert_int_equal(range_find_high(&s, 0x1000, 0x1000, 0x100000), 0x8000);
    assert_int_equal(range_find_high(&s, 0x5000, 0x8000, 0x108000), 0x100000);
    assert_int_equal(range_find_high(&s, 0x20000, 0x1000, ~0ull), 0);
}

/* --- ELF ---------------------------------------------------------------------------------------------------------- */
#define LOW  0x10000ull
#define HIGH 0x4000000ull
static const char *check(uint64_t len)
{
    static struct elf_plan plan;
    return elf_check(image, len, LOW, HIGH, &plan);
}

TEST(elf_accepted)
{
    struct elf_plan plan;
    make_elf();
    assert_null(elf_check(image, sizeof image, LOW, HIGH, &plan));
    assert_int_equal(plan.nr, 2);
    assert_int_equal(plan.entry, 0x100010);
    assert_int_equal(plan.seg[1].mem_size, 0x3000);
}

TEST(elf_refused)
{
    make_elf();
    assert_non_null(strstr(check(10), "no 64-bit ELF"));
    assert_non_null(strstr(check(0x480), "truncated"));
    make_elf();
    image[4] = 1;
    assert_non_null(strstr(check(4096), "no 64-bit ELF"));
    make_elf();
    put16(18, 40);
    assert_non_null(strstr(check(4096), "x86-64"));
    make_elf();
    put16(56, 0);
    assert_non_null(strstr(check(4096), "program headers"));
    make_elf();
    put64(32, ~0ull - 8);
    assert_non_null(strstr(check(4096), "program headers"));
    make_elf();
    put32(0x31c, 17);
    assert_non_null(strstr(check(4096), "PVH"));
    make_elf();
    put32(0x318, 5);
    assert_non_null(strstr(check(4096), "PVH"));
    make_elf();
    put32(0x324, 0x100400);
    assert_non_null(strstr(check(4096), "outside"));
    make_elf();
    put32(0x314, 0xfffffff0);
    assert_non_null(strstr(check(4096), "PVH"));
    make_elf();
    phdr(1, 1, 0x800, 0x100700, 0x100, 0x100);
    assert_non_null(strstr(check(4096), "overlap"));
    make_elf();
    phdr(1, 1, 0x800, 0x1000, 0x100, 0x100);
    assert_non_null(strstr(check(4096), "fit"));
    make_elf();
    phdr(1, 1, 0x800, HIGH - 0x1000, 0x100, 0x1001);
    assert_non_null(strstr(check(4096), "fit"));
    make_elf();
    phdr(1, 1, 0x800, 0x101000, 0x100, ~0ull);
    assert_non_null(strstr(check(4096), "fit"));
    make_elf();
    phdr(1, 1, ~0ull - 4, 0x101000, 0x100, 0x100);
    assert_non_null(strstr(check(4096), "beyond"));
    make_elf();
    phdr(1, 1, 0x800, 0x101000, 0x200, 0x100);
    assert_non_null(strstr(check(4096), "beyond"));
}

TEST(elf_any_bytes)
{
    srand(3);
    for (unsigned n = 0; n < 200000; n++) {
        make_elf();
        for (unsigned k = (unsigned)rand() % 6; k; k--)
            image[(unsigned)rand() % 0x330] = (uint8_t)(rand() & 1 ? 0xff : rand());
        /* An exact heap copy, so that the sanitizer sees any byte read beyond it. */
        size_t len = (unsigned)rand() % 0xa00;
        uint8_t *copy = malloc(len + 1);
        memcpy(copy, image, len);
        struct elf_plan plan;
        if (!elf_check(copy, len, LOW, HIGH, &plan))
            for (unsigned i = 0; i < plan.nr; i++) {
                assert_true(plan.seg[i].offset + plan.seg[i].file_size <= len);
                assert_true(plan.seg[i].paddr >= LOW &&
                            plan.seg[i].paddr + plan.seg[i].mem_size <= HIGH);
            }
        free(copy);
    }
}

/* --- ACPI ----------------------------------------------------------------------------------------------------- */
static struct acpi_info info;
static struct acpi_header *table(uint32_t len)
{
    struct acpi_header *h = calloc(1, len);
    h->length = len;
    return h;
}

TEST(madt)
{
    struct acpi_header *h = table(44 + 8 + 8 + 12 + 10 + 16 + 8);
    uint8_t *t = (uint8_t *)h + 44;
    uint32_t addr = 0xfee00000;
    memcpy((uint8_t *)h + 36, &addr, 4);
    memcpy(t, "\0\x8\0\0\1\0\0\0", 8);                             /* APIC 0, enabled */
    memcpy(t + 8, "\0\x8\1\1\0\0\0\0", 8);                         /* APIC 1, disabled */
    memcpy(t + 16, "\1\xc\2\0\0\0\xc0\xfe\0\0\0\0", 12);           /* IO-APIC 2 */
    memcpy(t + 28, "\2\xa\0\x9\x9\0\0\0\xd\0", 10);                /* IRQ 9: GSI 9, level, high */
    memcpy(t + 38, "\x9\x10\0\0\x00\x01\0\0\1\0\0\0\0\0\0\0", 16); /* x2APIC 0x100 */
    memcpy(t + 54, "\0\x8\2\0\1\0\0\0", 8);                        /* APIC 0 again */
    memset(&info, 0, sizeof info);
    acpi_parse_madt(&info, h);
    assert_int_equal(info.nr_cpus, 2);
    assert_int_equal(info.cpu[0].apic_id, 0);
    assert_int_equal(info.cpu[1].apic_id, 0x100);
    assert_int_equal(info.nr_ioapics, 1);
    assert_int_equal(info.ioapic[0].base, 0xfec00000);
    assert_int_equal(info.isa_override[9].flags, 0xd);
    assert_int_equal(info.isa_override[4].gsi, 4);
    assert_int_equal(info.lapic_base, 0xfee00000);
    t[29] = 0; /* an entry without length must not loop */
    memset(&info, 0, sizeof info);
    acpi_parse_madt(&info, h);
    assert_int_equal(info.nr_cpus, 1);
    free(h);
}

TEST(s5)
{
    static const struct {
        const char *aml;
        size_t len;
        bool ok;
        uint8_t type;
    } row[] = {
        { "\0\0\x8_S5_\x12\x6\x4\xa\x5\xa\x5\0\0", 16, true, 5 }, /* BytePrefix */
        { "\0\x8\\_S5_\x12\x6\x4\0\0\0\0\0", 14, true, 0 },       /* ZeroOp, rooted name */
        { "\0\0\x8_S5_\x12\x6\x4\1\0\0\0\0", 14, true, 1 },
        { "\0\0\0_S5_\x12\x6\x4\xa\x5\xa\x5\0", 14, false, 0 }, /* a use, not a definition */
        { "\0\0\x8_S5_\x12\xc6", 9, false, 0 },                 /* ends inside */
        { "\0\0\x8_S5_", 7, false, 0 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
        struct acpi_header *h = table((uint32_t)(sizeof *h + row[i].len));
        memcpy(h + 1, row[i].aml, row[i].len);
        memset(&info, 0, sizeof info);
        acpi_parse_s5(&info, h);
        assert_int_equal(info.has_s5, row[i].ok);
        if (row[i].ok)
            assert_int_equal(info.slp_typ_s5, row[i].type);
        free(h);
    }
}

TEST(acpi_any_bytes)
{
    srand(5);
    for (unsigned n = 0; n < 100000; n++) {
        uint32_t len = 36 + (unsigned)rand() % 260;
        struct acpi_header *h = table(len);
        uint64_t dsdt = 0;
        for (uint32_t i = 36; i < len; i++)
            ((uint8_t *)h)[i] = (uint8_t)(rand() % 3 ? rand() % 18 : rand());
        if (len > 60 && n & 1)
            memcpy((uint8_t *)h + 36 + (unsigned)rand() % (len - 50), "\x8_S5_\x12", 6);
        memset(&info, 0, sizeof info);
        acpi_parse_madt(&info, h);
        acpi_parse_fadt(&info, h, &dsdt);
        acpi_parse_hpet(&info, h);
        acpi_parse_mcfg(&info, h);
        acpi_parse_s5(&info, h);
        assert_true(info.nr_cpus <= MAX_CPUS && info.nr_ioapics <= 4);
        free(h);
    }
}

TEST(checksum)
{
    assert_true(acpi_checksum_ok("\x01\xff", 2));
    assert_false(acpi_checksum_ok("\x01\xfe", 2));
}

/* --- calendar --------------------------------------------------------------------------------------------------- */
TEST(second_begins)
{
    struct clock_edge e = { 0 };
    uint64_t at = 0, ms = 1000000;
    assert_false(clock_edge(&e, 10 * ms, false, 7, &at)); /* the first look has nothing to compare with */
    assert_false(clock_edge(&e, 30 * ms, false, 7, &at));
    assert_false(clock_edge(&e, 50 * ms, true, 8, &at)); /* registers in motion */
    assert_true(clock_edge(&e, 70 * ms, false, 8, &at));
    assert_int_equal(at, 50 * ms); /* between the looks at 30 and at 70 */
    assert_false(clock_edge(&e, 90 * ms, false, 8, &at));
    assert_false(clock_edge(&e, 400 * ms, false, 9, &at)); /* it was away for too long */
    assert_false(clock_edge(&e, 420 * ms, false, 9, &at));
    assert_true(clock_edge(&e, 440 * ms, false, 10, &at));
}

TEST(calendar)
{
    assert_int_equal(calendar_seconds(1970, 1, 1, 0, 0, 0), 0);
    assert_int_equal(calendar_seconds(2000, 2, 29, 12, 0, 0), 951825600);
    assert_int_equal(calendar_seconds(2026, 11, 21, 8, 30, 15), 1795249815);
    assert_int_equal(calendar_seconds(2100, 3, 1, 0, 0, 0), 4107542400);
    static const uint8_t bcd[7] = { 0x15, 0x30, 0x08, 0x21, 0x11, 0x26, 0x20 };
    static const uint8_t bin[7] = { 15, 30, 8, 21, 11, 26, 0 };
    static const uint8_t pm[7] = { 0x15, 0x30, 0x88, 0x21, 0x11, 0x26, 0x20 },
                         noon[7] = { 0, 0, 0x92, 1, 1, 0x70, 0x19 };
    assert_int_equal(calendar_from_cmos(bcd, 0x02), 1795249815);
    assert_int_equal(calendar_from_cmos(bin, 0x06), 1795249815);
    assert_int_equal(calendar_from_cmos(pm, 0x00), 1795249815 + 12 * 3600);
    assert_int_equal(calendar_from_cmos(noon, 0x00), 12 * 3600);
    static const uint8_t bad[7] = { 0, 0, 0, 0, 0x13, 0, 0 };
    assert_int_equal(calendar_from_cmos(bad, 0x02), 0);
}
