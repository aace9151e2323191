/* SPDX-License-Identifier: MIT */
/* GUID partition tables: see gpt.h. Section numbers are those of the UEFI Specification 2.8. */
#include "gpt.h"
#include <string.h>
#include <zlib.h>

#define HEADER_MIN  92u
#define ENTRY_MIN   128u
#define ENTRIES_MAX 1024u /* a table of more is no table: bounds the time that checking takes */

/* 5.3.2: the header, by offset; entries at 5.3.3. All little-endian. */
enum {
    H_SIZE = 12,
    H_CRC = 16,
    H_SELF = 24,
    H_OTHER = 32,
    H_FIRST = 40,
    H_LAST = 48,
    H_ENTRIES = 72,
    H_NR = 80,
    H_ESIZE = 84,
    H_ECRC = 88
};
enum { E_TYPE = 0, E_GUID = 16, E_FIRST = 32, E_LAST = 40, E_NAME = 56 };

/* 5.2.1: four records of 16 bytes from 446 on; type at +4. */
#define MBR_RECORDS    446u
#define MBR_SIGNATURE  510u
#define MBR_PROTECTIVE 0xeeu

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static uint64_t get64(const uint8_t *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }

/* --- one copy: header, then entries --------------------------------------------------------------------------------- */

struct header {
    uint64_t self, other, first, last, entries;
    uint32_t nr, entry, crc;
};

static uint64_t table_blocks(const struct gpt_source *src, const struct header *h)
{
    return ((uint64_t)h->nr * h->entry + src->block - 1) / src->block;
}

/* Whether some of n blocks from `at` on are in what h says that partitions may use. */
static bool usable(const struct header *h, uint64_t at, uint64_t n)
{
    return n && at <= h->last && at + n > h->first;
}

static const char larger[] = "it is for a larger disk";

/* What the CRC cannot tell: whether it makes sense on this disk. The places where a header is looked for are in no partition: block 1, the
 * last one, and the one that the header names. Nor is block 0. */
static const char *header_sane(const struct gpt_source *src, const struct header *h, uint64_t lba)
{
    if (h->self != lba)
        return "its header belongs elsewhere";
    if (h->nr > ENTRIES_MAX || h->entry < ENTRY_MIN || h->entry > 4096 || (h->entry & (h->entry - 1)))
        return "its entries have a size that makes no sense";
    uint64_t n = table_blocks(src, h);
    if (h->first > h->last || h->last >= src->nr_blocks)
        return larger;
    if (h->entries < 2 || h->entries >= src->nr_blocks || n > src->nr_blocks - h->entries)
        return "its entries lie outside of the disk";
    if (usable(h, h->entries, n))
        return "its entries lie among its partitions";
    if (usable(h, 0, 2) || usable(h, src->nr_blocks - 1, 1) || usable(h, h->self, 1) ||
        usable(h, h->other, 1))
        return "its headers lie among its partitions";
    return NULL;
}

static const char unreadable[] = "its header cannot be read", gone[] = "its header is gone";

/* A header that says so of itself and whose CRC is right; NULL, or what is wrong with it. */
static const char *read_header(const struct gpt_source *src, uint64_t lba, struct header *h)
{
    uint8_t *b = src->buf;

    memset(h, 0, sizeof(*h));
    if (src->read(src->arg, lba, 1, b))
        return unreadable;
    if (memcmp(b, "EFI PART", 8))
        return gone;
    uint32_t size = get32(b + H_SIZE), crc = get32(b + H_CRC);
    if (size < HEADER_MIN || size > src->block)
        return "its header has a size that makes no sense";
    memset(b + H_CRC, 0, 4);
    if (crc32(0, b, size) != crc)
        return "its header's CRC is wrong";
    *h = (struct header){
        .self = get64(b + H_SELF),
        .other = get64(b + H_OTHER),
        .first = get64(b + H_FIRST),
        .last = get64(b + H_LAST),
        .entries = get64(b + H_ENTRIES),
        .nr = get32(b + H_NR),
        .entry = get32(b + H_ESIZE),
        .crc = get32(b + H_ECRC),
    };
    return header_sane(src, h, lba);
}

static void add_part(const struct header *h, uint32_t number, const uint8_t *e, struct gpt *out)
{
    static const uint8_t unused[16];
    uint64_t first = get64(e + E_FIRST), last = get64(e + E_LAST);

    if (!memcmp(e + E_TYPE, unused, 16))
        return;
    if (number > GPT_PARTS || first < h->first || last > h->last || first > last) {
        if (!out->skipped++)
            out->skipped_first = number;
        return;
    }
    struct gpt_part *p = &out->part[out->nr++];
    p->number = number;
    p->first = first;
    p->last = last;
    memcpy(p->guid, e + E_GUID, 16);
    for (unsigned i = 0; i < GPT_NAME; i++)
        p->name[i] = (uint16_t)(e[E_NAME + 2 * i] | e[E_NAME + 2 * i + 1] << 8);
}

/* Reads the table in pieces that hold whole blocks and whole entries; each piece is taken as it was when its CRC was made. */
static const char *read_entries(const struct gpt_source *src, const struct header *h, struct gpt *out)
{
    uint64_t bytes = (uint64_t)h->nr * h->entry, at = 0;
    uint32_t crc = 0, number = 1;

    out->nr = out->skipped = 0;
    while (at < bytes) {
        uint32_t n = bytes - at < GPT_BUF ? (uint32_t)(bytes - at) : GPT_BUF;
        if (src->read(src->arg, h->entries + at / src->block, (n + src->block - 1) / src->block,
                      src->buf))
            return "its entries cannot be read";
        crc = crc32(crc, src->buf, n);
        for (uint32_t off = 0; off < n; off += h->entry)
            add_part(h, number++, src->buf + off, out);
        at += n;
    }
    return crc == h->crc ? NULL : "its entries' CRC is wrong";
}
_Static_assert(GPT_BUF % 4096 == 0 && GPT_NAME * 2 + 56 == ENTRY_MIN, "pieces of the table; 5.3.3");

/* The entries of the other copy, wherever one is looked for: a partition that covers them could make itself another table. */
static const char *covers_other(const struct gpt_source *src, const struct header *h)
{
    const uint64_t at[] = { 1, h->other, src->nr_blocks - 1 };
    struct header o;

    for (unsigned i = 0; i < 3; i++)
        if (at[i] != h->self && at[i] < src->nr_blocks && !read_header(src, at[i], &o) &&
            usable(h, o.entries, table_blocks(src, &o)))
            return "the other copy's entries lie among its partitions";
    return NULL;
}

static const char *read_copy(const struct gpt_source *src, uint64_t lba, struct header *h,
                             struct gpt *out)
{
    const char *why = read_header(src, lba, h);

    if (!why)
        why = covers_other(src, h);
    return why ? why : read_entries(src, h, out);
}

/* --- the disk -------------------------------------------------------------------------------------------------------- */

enum mbr { MBR_NONE, MBR_TABLE, MBR_GPT, MBR_OTHER, MBR_UNREADABLE };

struct mbr_found {
    enum mbr what;
    bool cut; /* the protective record covers more than the disk (5.2.3; all ones where the size has no room) */
    uint64_t old_last; /* the last block that it covers, if that is not the disk's last */
};

static void protective(const struct gpt_source *src, const uint8_t *r, struct mbr_found *m)
{
    uint64_t end = (uint64_t)get32(r + 8) + get32(r + 12);

    m->what = MBR_GPT;
    if (get32(r + 12) == UINT32_MAX)
        return;
    m->cut = end > src->nr_blocks;
    m->old_last = end > 2 && end < src->nr_blocks ? end - 1 : 0;
}

/* MBR_NONE: nothing at all in block 0; MBR_OTHER: a boot sector without a table, as file systems have. */
static struct mbr_found read_mbr(const struct gpt_source *src)
{
    struct mbr_found m = { MBR_NONE, false, 0 };
    const uint8_t *b = src->buf;
    bool used = false, sane = true;

    if (src->read(src->arg, 0, 1, src->buf)) {
        m.what = MBR_UNREADABLE;
        return m;
    }
    if (b[MBR_SIGNATURE] != 0x55 || b[MBR_SIGNATURE + 1] != 0xaa)
        return m;
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *r = b + MBR_RECORDS + 16 * i;
        if (r[4] == MBR_PROTECTIVE) {
            protective(src, r, &m);
            return m;
        }
        if (r[0] & 0x7f)
            sane = false;
        used |= r[4] && get32(r + 12);
    }
    m.what = used && sane ? MBR_TABLE : MBR_OTHER;
    return m;
}

/* A table that was made for blocks of another size has its header at byte 512 or 4096, which is not block 1 here. */
static const char *other_size(const struct gpt_source *src)
{
    bool large = src->block > 512;

    if (src->nr_blocks < 10 || src->read(src->arg, large ? 0 : 8, 1, src->buf) ||
        memcmp(src->buf + (large ? 512 : 0), "EFI PART", 8))
        return NULL;
    return large ? "it is a GPT for blocks of 512 bytes, the disk has 4096"
                 : "it is a GPT for blocks of 4096 bytes, the disk has 512";
}

/* What is in force is the copy h. The other one is what a damage of the first would put in its place. */
static void look_at_backup(const struct gpt_source *src, const struct header *h, struct gpt *out)
{
    struct header o;

    out->backup = h->self == 1 ? h->other : h->self;
    if (out->backup >= src->nr_blocks)
        out->backup_why = "would be outside of the disk";
    else if (h->self == 1 && read_header(src, h->other, &o))
        out->backup_why = "is damaged";
    else if (h->self == 1 && (o.crc != h->crc || o.first != h->first || o.last != h->last))
        out->backup_why = "says something else";
    else if (out->backup != src->nr_blocks - 1)
        out->backup_why = "is not in the last block";
}

static void find_overlap(struct gpt *out)
{
    for (unsigned i = 0; i < out->nr; i++)
        for (unsigned k = 0; k < i; k++)
            if (out->part[i].first <= out->part[k].last && out->part[k].first <= out->part[i].last) {
                out->overlap[0] = out->part[k].number;
                out->overlap[1] = out->part[i].number;
                return;
            }
}

/* Whether the first header, if that much of it is good, has partitions where b or its entries lie: then they are a guest's to write. */
static bool guests(const struct gpt_source *src, const struct header *first, const struct header *b)
{
    return first->self == 1 &&
           (usable(first, b->self, 1) || usable(first, b->entries, table_blocks(src, b)));
}

/* The first good one of the places where a backup may be: where the first header says (if that much of it is good), the last block; then, and
 * that one does not count, where the disk ended when the protective record was written. None where a guest may have made it. Its block, or 0. */
static uint64_t find_backup(const struct gpt_source *src, const struct header *first,
                            const struct mbr_found *m, struct header *h, struct gpt *out,
                            bool *counts)
{
    const uint64_t at[] = { first->self == 1 ? first->other : 0, src->nr_blocks - 1, m->old_last };

    for (unsigned i = 0; !m->cut && i < 3; i++)
        if (at[i] > 1 && at[i] < src->nr_blocks && !read_copy(src, at[i], h, out) &&
            !guests(src, first, h)) {
            *counts = i < 2 && m->what == MBR_GPT;
            return at[i];
        }
    out->nr = out->skipped = 0;
    return 0;
}

/*
 * The first copy, else the one that its header names (if that much of it is good), else the one in the last block.
 * Where block 0 holds something else than a protective MBR, an old GPT behind it does not count: it is what a tool
 * left that knows no GPT. Where block 0 has no table at all, a sound first copy counts, but never the backup alone: mkfs, cryptsetup
 * and wipefs clear the beginning and leave the end, and who followed that would write into what lies there now.
 * Nor does the last block count on a disk that is shorter than what was partitioned (a copy on a smaller one): there it is a block of
 * some partition, and who has that has written what looks like a backup; so it is wherever a first header, wrong as it may be otherwise, has
 * partitions. Nor where a disk ended before it grew: that may be in a partition by now. Another backup that does not count is told with what
 * it says (`where`): an administrator may know better.
 */
static void read_table(const struct gpt_source *src, struct gpt *out)
{
    struct header h, second;
    struct mbr_found mbr = read_mbr(src);

    if (mbr.what == MBR_TABLE || mbr.what == MBR_OTHER) {
        out->state = mbr.what == MBR_TABLE ? GPT_MBR : GPT_NONE;
        out->hidden = !read_header(src, 1, &h);
        return;
    }
    const char *why = read_copy(src, 1, &h, out);
    if (!why) {
        out->state = GPT_GOOD;
        out->no_record = mbr.what == MBR_NONE;
        look_at_backup(src, &h, out);
        return;
    }
    const char *size = why == gone ? other_size(src) : NULL;
    mbr.cut |= why == larger;
    out->why = size ? size : mbr.cut ? larger : why;
    bool counts = false;
    out->where = find_backup(src, &h, &mbr, &second, out, &counts);
    if (counts && !size) {
        out->state = GPT_BACKUP;
        out->where = 0;
        look_at_backup(src, &second, out);
    } else if (mbr.what == MBR_GPT) {
        out->state = size ? GPT_SIZE : GPT_DAMAGED;
    } else if (mbr.what == MBR_UNREADABLE || why == unreadable) {
        out->state = GPT_IO;
    } else {
        out->state = out->where ? GPT_STALE : GPT_NONE;
    }
}

void gpt_read(const struct gpt_source *src, struct gpt *out)
{
    memset(out, 0, sizeof(*out));
    out->state = GPT_NONE;
    if (src->nr_blocks < 6)
        return;
    read_table(src, out);
    find_overlap(out);
}
