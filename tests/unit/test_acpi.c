/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/domain/acpi.c
// FLAGS: -Ictl-dom
/* The guest's ACPI tables: checksums, links, and the fields that Linux decides by. */
#include "unit.h"
#include <layout.h>
#include "domain/acpi.h"

#define GPA 0xffff0000ull

static uint64_t get(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

static uint8_t sum(const uint8_t *p, size_t n)
{
    uint8_t s = 0;
    while (n--)
        s = (uint8_t)(s + *p++);
    return s;
}

static const uint8_t *table(const uint8_t *buf, size_t len, uint64_t gpa, const char *signature)
{
    assert_true(gpa >= GPA && gpa + 36 <= GPA + len);
    const uint8_t *t = buf + (gpa - GPA);
    assert_memory_equal(t, signature, 4);
    assert_true(gpa + get(t + 4, 4) <= GPA + len);
    assert_int_equal(sum(t, get(t + 4, 4)), 0);
    return t;
}

/* The AML of a root bus, or none: lengths that end together, and the windows that the core gives BARs. */
static unsigned package(const uint8_t *p)
{
    assert_int_equal(p[0] & 0xf0, 0x40); /* 20.2.4: two bytes, and a nibble in the first */
    return (p[0] & 15u) | (unsigned)p[1] << 4;
}
static void root_bus(const uint8_t *p, const uint8_t *end, bool there)
{
    assert_true(there ? p < end : p == end);
    if (!there)
        return;
    assert_memory_equal(p, "\x10", 1); /* Scope */
    assert_ptr_equal(p + 1 + package(p + 1), end);
    assert_memory_equal(p + 3, "\\_SB_\x5b\x82", 7);
    assert_ptr_equal(p + 10 + package(p + 10), end);
    assert_memory_equal(p + 12, "PCI0\x08_HID\x0c\x41\xd0\x0a\x03\x08_UID\x00\x08_CRS\x11", 26);
    p += 38;
    assert_ptr_equal(p + package(p), end);
    assert_int_equal(p[2], 0x0a);
    assert_ptr_equal(p + 4 + p[3], end);
    unsigned kinds = 0;
    for (p += 4; *p != 0x79; kinds++) {
        if (*p == 0x88) {
            assert_int_equal(get(p + 8, 2) | get(p + 10, 2), 0); /* bus 0 to 0 */
            assert_int_equal(get(p + 14, 2), 1);
        } else if (*p == 0x47) {
            assert_int_equal(get(p + 2, 2), 0xcf8);
            assert_int_equal(p[7], 8);
        } else if (*p == 0x87) {
            assert_int_equal(get(p + 10, 4), BH_BARS);
            assert_int_equal(get(p + 14, 4) + 1, BH_BARS_END);
            assert_int_equal(get(p + 22, 4), BH_BARS_END - BH_BARS);
        } else {
            assert_int_equal(*p, 0x8a);
            assert_int_equal(get(p + 14, 8), BH_BARS_HIGH);
            assert_int_equal(get(p + 22, 8) + 1, BH_BARS_HIGH_END);
            assert_int_equal(get(p + 38, 8), BH_BARS_HIGH_END - BH_BARS_HIGH);
        }
        p += *p & 0x80 ? 3 + get(p + 1, 2) : 1u + (*p & 7);
    }
    assert_int_equal(kinds, 4);
    assert_ptr_equal(p + 2, end);
}

TEST(tables)
{
    for (unsigned vcpus = 1; vcpus <= 32; vcpus++) {
        uint8_t *buf = malloc(4096);
        size_t len = acpi_build(buf, 4096, GPA, vcpus, vcpus & 1);
        assert_true(len > 0);
        assert_memory_equal(buf, "RSD PTR ", 8);
        assert_int_equal(sum(buf, 20), 0);
        assert_int_equal(sum(buf, 36), 0);
        const uint8_t *xsdt = table(buf, len, get(buf + 24, 8), "XSDT");
        assert_int_equal(get(xsdt + 4, 4), 36 + 16);
        const uint8_t *fadt = table(buf, len, get(xsdt + 36, 8), "FACP");
        assert_int_equal(get(fadt + 4, 4), 276);
        assert_true(get(fadt + 112, 4) & 1u << 20);              /* HW_REDUCED */
        assert_int_equal(get(fadt + 109, 2), 1u << 2 | 1u << 5); /* no VGA, no CMOS clock, no 8042 */
        assert_int_equal(fadt[244], 1); /* sleep control register in I/O space */
        assert_int_equal(get(fadt + 248, 8), ACPI_SLEEP_PORT);
        const uint8_t *dsdt = table(buf, len, get(fadt + 140, 8), "DSDT");
        root_bus(dsdt + 36 + 15, dsdt + get(dsdt + 4, 4), vcpus & 1);
        const uint8_t *madt = table(buf, len, get(xsdt + 44, 8), "APIC");
        assert_int_equal(get(madt + 40, 4), 0); /* no PCAT_COMPAT */
        assert_int_equal(get(madt + 4, 4), 44 + 8 * vcpus);
        for (unsigned i = 0; i < vcpus; i++) {
            const uint8_t *e = madt + 44 + 8 * i;
            assert_int_equal(e[0], 0);
            assert_int_equal(e[1], 8);
            assert_int_equal(e[2], i); /* UID = Xen's vCPU id */
            assert_int_equal(e[3], 2 * i);
            assert_int_equal(get(e + 4, 4), 1);
        }
        free(buf);
    }
}

TEST(too_small)
{
    uint8_t buf[256];
    assert_int_equal(acpi_build(buf, sizeof(buf), GPA, 1, true), 0);
}
