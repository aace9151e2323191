/* SPDX-License-Identifier: MIT */
/*
 * The ACPI table of AMD IOMMUs (48882, 5.2): which units there are and which requester ids each covers. Firmware lists a
 * unit once per block type (10h, 11h, 40h); the newest type present is used alone.
 */
#include "base/string.h"
#include "pci/iommu/amdvi.h"

#define IVRS_HEADER 48
#define IVHD_10     0x10
#define IVHD_11     0x11
#define IVHD_40     0x40

static uint16_t le16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint64_t le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static void cover(struct ivrs *o, unsigned unit, unsigned from, unsigned to, bool refused)
{
    for (unsigned id = from; id <= to; id++)
        o->by_device[id] = (uint8_t)((unit + 1) | (refused ? IVRS_REFUSED : 0) |
                                     (o->by_device[id] & IVRS_REFUSED));
}

/* 5.2.2.2: the two top bits of the type give the length, but for named ACPI devices. */
static unsigned entry_len(const uint8_t *e, unsigned left)
{
    unsigned len = 0;
    if (e[0] < 0x80)
        len = e[0] < 0x40 ? 4 : 8;
    else if (e[0] == 0xf0 && left >= 22)
        len = 22u + e[21];
    return len <= left ? len : 0;
}

static int parse_entries(struct ivrs *o, unsigned unit, const uint8_t *e, unsigned left)
{
    unsigned start = 0, len;
    bool open = false, refused = false;

    for (; left >= 4; e += len, left -= len) {
        len = entry_len(e, left);
        if (!len)
            return -EINVAL;
        unsigned id = le16(e + 1);
        switch (e[0]) {
        case 0x01: /* all */ cover(o, unit, 0, 0xffff, false); break;
        case 0x02: /* select; 46h: with extended data */
        case 0x46: cover(o, unit, id, id, false); break;
        case 0x42: /* alias: its requests carry another id */
            cover(o, unit, id, id, id != le16(e + 5));
            cover(o, unit, le16(e + 5), le16(e + 5), id != le16(e + 5));
            break;
        case 0x03: /* start of a range; 43h: aliased, 47h: extended */
        case 0x43:
        case 0x47:
            start = id;
            refused = e[0] == 0x43;
            open = true;
            break;
        case 0x04:
            if (!open || id < start)
                return -EINVAL;
            cover(o, unit, start, id, refused);
            open = false;
            break;
        case 0x48: /* special device: 1 = IO-APIC */
            cover(o, unit, le16(e + 5), le16(e + 5), true);
            if (e[7] != 1 || o->nr_ioapics == ARRAY_SIZE(o->ioapic))
                break;
            o->ioapic[o->nr_ioapics++] = le16(e + 5);
            o->has_ioapic = true;
            break;
        default: /* padding, named ACPI devices, and what came later */ break;
        }
    }
    return open ? -EINVAL : 0;
}

static int parse_unit(struct ivrs *o, const uint8_t *b, unsigned len)
{
    unsigned header = b[0] == IVHD_10 ? 24 : 40, n = o->nr_units;

    if (len < header || n == IVRS_UNITS)
        return -EINVAL;
    if (le16(b + 16)) /* another PCI segment: not enumerated */
        return 0;
    o->unit[n].flags = b[1];
    o->unit[n].devid = le16(b + 4);
    o->unit[n].cap = le16(b + 6);
    o->unit[n].base = le64(b + 8);
    if (!o->unit[n].base || o->unit[n].base & 0x3fff)
        return -EINVAL;
    o->nr_units++;
    return parse_entries(o, n, b + header, len - header);
}

/* IVMD: memory that a device uses behind everybody's back (20h all, 21h one, 22h a range). */
static void parse_memory(struct ivrs *o, const uint8_t *b, unsigned len)
{
    unsigned from = le16(b + 4), to = from;

    if (len < 32)
        return;
    if (b[0] == 0x20) {
        from = 0;
        to = 0xffff;
    } else if (b[0] == 0x22) {
        to = le16(b + 6);
    }
    for (unsigned id = from; id <= to; id++)
        o->by_device[id] |= IVRS_REFUSED;
}

int ivrs_parse(const void *table, struct ivrs *o)
{
    const uint8_t *t = table;
    uint32_t total, off;
    uint8_t type = 0;

    memcpy(&total, t + 4, sizeof(total));
    if (memcmp(t, "IVRS", 4) || total < IVRS_HEADER || total > (1u << 20))
        return -EINVAL;
    memset(o->by_device, 0, 65536);
    for (int pass = 0; pass < 2; pass++)
        for (off = IVRS_HEADER; off + 4 <= total; off += le16(t + off + 2)) {
            const uint8_t *b = t + off;
            unsigned len = le16(b + 2);
            if (len < 8 || len > total - off)
                return -EINVAL;
            if (pass == 0 && (b[0] == IVHD_10 || b[0] == IVHD_11 || b[0] == IVHD_40))
                type = MAX(type, b[0]);
            else if (pass == 1 && b[0] == type && parse_unit(o, b, len))
                return -EINVAL;
            else if (pass == 1 && b[0] >= 0x20 && b[0] <= 0x22)
                parse_memory(o, b, len);
        }
    return o->nr_units ? 0 : -EINVAL;
}
