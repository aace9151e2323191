/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/domain/acpi.c
// FLAGS: -Ictl-dom
/* The guest's ACPI tables: checksums, links, and the fields that Linux decides by. */
#include "unit.h"
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

TEST(tables)
{
    for (unsigned vcpus = 1; vcpus <= 32; vcpus++) {
        uint8_t *buf = malloc(4096);
        size_t len = acpi_build(buf, 4096, GPA, vcpus);
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
        table(buf, len, get(fadt + 140, 8), "DSDT");
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
    assert_int_equal(acpi_build(buf, sizeof(buf), GPA, 1), 0);
}
