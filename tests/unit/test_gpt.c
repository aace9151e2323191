/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/blk/gpt.c drivers-dom/blk/volume.c drivers-dom/blk/volume_problem.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk -lz
/*
 * Partition tables made here, damaged byte by byte, at random, and by somebody who makes the CRCs right again; volumes by number,
 * name and GUID; who may use what beside whom; what the store is told.
 */
#include <errno.h>
#include "unit.h"
#include "gpt.h"
#include <zlib.h>
#include "volume.h"

enum { BLOCKS = 400, BUF_END = 0x7e };
static uint8_t disk[BLOCKS * 4096u];
static unsigned block = 512, reads;
static uint64_t bad_from = ~0ull, bad_to;
static struct gpt g;
static uint8_t buf[GPT_BUF + 1];

/* --- a disk -------------------------------------------------------------------------------------------------------- */

static uint32_t crc_of(const uint8_t *p, size_t n)
{
    uint32_t c = ~0u;
    for (; n; n--) {
        c ^= *p++;
        for (unsigned k = 0; k < 8; k++)
            c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
    }
    return ~c;
}
static void put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static void put64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }
static uint8_t *at(uint64_t lba) { return disk + lba * block; }
static unsigned table_len(void) { return 128 * 128 / block; }

static void header_crc(uint8_t *h)
{
    put32(h + 16, 0);
    put32(h + 16, crc_of(h, 92));
}
static void header(uint64_t lba, uint64_t other, uint64_t entries)
{
    uint8_t *h = at(lba);
    memcpy(h, "EFI PART", 8);
    put32(h + 8, 0x10000);
    put32(h + 12, 92);
    put64(h + 24, lba);
    put64(h + 32, other);
    put64(h + 40, 2 + table_len());
    put64(h + 48, BLOCKS - 2 - table_len());
    put64(h + 72, entries);
    put32(h + 80, 128);
    put32(h + 84, 128);
    put32(h + 88, crc_of(at(entries), 128 * 128));
    header_crc(h);
}
static void partition(unsigned number, uint64_t first, uint64_t last, const char *name)
{
    uint8_t *e = at(2) + (number - 1) * 128;
    memset(e, 0, 128);
    memset(e, 0x77, 16);
    for (unsigned i = 0; i < 16; i++)
        e[16 + i] = (uint8_t)(number << 4 | i);
    put64(e + 32, first);
    put64(e + 40, last);
    for (unsigned i = 0; name[i]; i++)
        e[56 + 2 * i] = (uint8_t)name[i];
}
static void seal(void)
{
    memcpy(at(BLOCKS - 1 - table_len()), at(2), 128 * 128);
    header(1, BLOCKS - 1, 2);
    header(BLOCKS - 1, 1, BLOCKS - 1 - table_len());
}
static void mbr(uint8_t type)
{
    disk[446 + 4] = type;
    put32(disk + 446 + 8, 1);
    put32(disk + 446 + 12, BLOCKS - 1);
    disk[510] = 0x55, disk[511] = 0xaa;
}
static void make(unsigned size)
{
    block = size;
    bad_from = ~0ull, bad_to = 0;
    memset(disk, 0, sizeof(disk));
    mbr(0xee);
    partition(1, 50, 99, "data1");
    partition(2, 100, 149, "EFI System");
    partition(3, 150, 159, "twin");
    partition(4, 160, 169, "twin");
    partition(7, 170, 170, "1");
    partition(9, 171, 180, "");
    seal();
}

static int src_read(void *arg, uint64_t lba, uint32_t n, void *to)
{
    reads++;
    if (lba >= BLOCKS || n > BLOCKS - lba || !n || n * block > GPT_BUF || to != buf)
        fail_msg("read of %u blocks at %lu", n, (unsigned long)lba);
    if (lba < bad_to && lba + n > bad_from)
        return -EIO;
    memcpy(to, at(lba), n * block);
    return 0;
}
static enum gpt_state look(void)
{
    struct gpt_source s = { .read = src_read, .nr_blocks = BLOCKS, .block = block, .buf = buf };
    buf[GPT_BUF] = BUF_END;
    reads = 0;
    gpt_read(&s, &g);
    assert_int_equal(buf[GPT_BUF], BUF_END);
    assert_true(reads < 20);
    assert_true(g.nr <= GPT_PARTS);
    for (unsigned i = 0; i < g.nr; i++) {
        assert_true(g.part[i].first > 1 && g.part[i].first <= g.part[i].last &&
                    g.part[i].last < BLOCKS - 1);
        assert_true(g.part[i].number >= 1 && g.part[i].number <= GPT_PARTS);
    }
    return g.state;
}

/* --- tables ---------------------------------------------------------------------------------------------------------- */

TEST(test_crc)
{
    assert_int_equal(crc32(0, (const Bytef *)"123456789", 9), 0xcbf43926);
    assert_int_equal(crc32(crc32(0, (const Bytef *)"1234", 4), (const Bytef *)"56789", 5),
                     0xcbf43926);
}

TEST(test_good)
{
    for (block = 512; block <= 4096; block *= 8) {
        make(block);
        assert_int_equal(look(), GPT_GOOD);
        assert_int_equal(g.nr, 6);
        assert_int_equal(g.skipped, 0);
        assert_int_equal(g.part[1].first, 100);
        assert_int_equal(g.part[1].last, 149);
        assert_int_equal(g.part[4].number, 7);
        assert_int_equal(g.part[0].name[4], '1');
    }
}

TEST(test_each_byte)
{
    make(512);
    for (unsigned i = 0; i < 92 + 128 * 128; i += i < 92 ? 1 : 13) {
        uint8_t *p = i < 92 ? at(1) + i : at(2) + i - 92;
        *p ^= (uint8_t)(1u << (i & 7));
        assert_int_equal(look(), GPT_BACKUP);
        assert_non_null(g.why);
        assert_int_equal(g.nr, 6);
        *p ^= (uint8_t)(1u << (i & 7));
    }
    at(1)[20] ^= 1; /* inside of the header, reserved */
    assert_int_equal(look(), GPT_BACKUP);
    at(BLOCKS - 1)[40] ^= 1;
    assert_int_equal(look(), GPT_DAMAGED);
    assert_int_equal(g.nr, 0);
    at(1)[20] ^= 1;
    assert_int_equal(look(), GPT_GOOD); /* nobody looks at a damaged backup */
}

TEST(test_elsewhere)
{
    make(512);
    bad_from = 1, bad_to = 2;
    assert_int_equal(look(), GPT_BACKUP);
    bad_from = 2, bad_to = 4;
    assert_int_equal(look(), GPT_BACKUP);
    bad_from = 0, bad_to = 1; /* no word about an MBR: the GPT counts */
    assert_int_equal(look(), GPT_GOOD);
    bad_from = 0, bad_to = BLOCKS;
    assert_int_equal(look(), GPT_IO);
    make(512);
    memset(disk, 0, 512); /* the protective record is gone, the first copy is not */
    assert_int_equal(look(), GPT_GOOD);
    for (unsigned i = 0; i < 3;
         i++) { /* the backup alone is no table: block 0 empty, a container in it, or the entries written over */
        make(512);
        memset(disk, i == 1 ? 'L' : 0, i == 2 ? 512 : 40 * 512);
        at(8)[1] ^= 1;
        assert_int_equal(look(), GPT_STALE);
        assert_int_equal(g.nr, 6); /* told, for whoever asks */
        assert_int_equal(g.where, BLOCKS - 1);
    }
    make(512);
    bad_from = 0, bad_to = 2; /* nor where block 0 cannot be read */
    assert_int_equal(look(), GPT_IO);
    assert_int_equal(g.where, BLOCKS - 1);
    make(4096); /* for another size of blocks: neither table nor damage */
    block = 512;
    assert_int_equal(look(), GPT_SIZE);
    make(512);
    block = 4096;
    assert_int_equal(look(), GPT_SIZE);
    make(512);
    mbr(0xee);
    memset(disk, 0, sizeof(disk));
    assert_int_equal(look(), GPT_NONE);
    mbr(0xee);
    assert_int_equal(look(), GPT_DAMAGED);
    make(512);
    mbr(0x83); /* an old GPT behind a newer MBR */
    assert_int_equal(look(), GPT_MBR);
    assert_int_equal(g.nr, 0);
    memset(disk, 'x', 500); /* a boot sector of a file system */
    assert_int_equal(look(), GPT_NONE);
    make(512);
    /* Grown: the backup is not in the last block, but the first header knows where it is. */
    uint64_t place = BLOCKS - 50;
    memcpy(at(place - 32), at(2), 128 * 128);
    header(1, place, 2);
    header(place, 1, place - 32);
    memset(at(BLOCKS - 1), 0, 512);
    put64(at(1) + 48, place - 33), header_crc(at(1));
    put64(at(place) + 48, place - 33), header_crc(at(place));
    assert_int_equal(look(), GPT_GOOD);
    at(2)[5] ^= 1;
    assert_int_equal(look(), GPT_BACKUP);
    assert_int_equal(g.nr, 6);
}

/* A disk of 400 blocks that had fewer when it was partitioned: the backup is where it ended. */
static void grow_from(uint64_t blocks)
{
    make(512);
    memcpy(at(blocks - 33), at(2), 128 * 128);
    header(1, blocks - 1, 2);
    header(blocks - 1, 1, blocks - 33);
    memset(at(BLOCKS - 33), 0, 33 * 512);
    put64(at(1) + 48, blocks - 34), header_crc(at(1));
    put64(at(blocks - 1) + 48, blocks - 34), header_crc(at(blocks - 1));
    put32(disk + 446 + 12, (uint32_t)blocks - 1);
}

/* What does no harm is told, and only that. */
TEST(test_told)
{
    make(512);
    assert_int_equal(look(), GPT_GOOD);
    assert_null(g.backup_why);
    assert_false(g.no_record || g.hidden || g.where || g.overlap[0]);
    grow_from(300);
    assert_int_equal(look(), GPT_GOOD);
    assert_int_equal(g.backup, 299);
    assert_string_equal(g.backup_why, "is not in the last block");
    at(299)[40] ^= 1;
    assert_int_equal(look(), GPT_GOOD);
    assert_string_equal(g.backup_why, "is damaged");
    grow_from(300);
    at(2)[5] ^= 1;
    assert_int_equal(look(), GPT_BACKUP); /* the first header says where it is */
    assert_int_equal(g.backup, 299);
    at(1)[0] ^= 1; /* only block 0 does: that is nobody's word */
    assert_int_equal(look(), GPT_DAMAGED);
    assert_int_equal(g.where, 299);
    assert_int_equal(g.nr, 6);
    put32(disk + 446 + 12, ~0u);
    assert_int_equal(look(), GPT_DAMAGED);
    assert_int_equal(g.where, 0);
    assert_int_equal(g.nr, 0);
    make(512);
    put64(at(1) + 32, BLOCKS), header_crc(at(1));
    assert_int_equal(look(), GPT_GOOD);
    assert_string_equal(g.backup_why, "would be outside of the disk");
    make(512);
    partition(1, 50, 98, "data1"); /* and what the backup says is as it was */
    put32(at(1) + 88, crc_of(at(2), 128 * 128)), header_crc(at(1));
    assert_int_equal(look(), GPT_GOOD);
    assert_string_equal(g.backup_why, "says something else");
    make(512);
    memset(disk, 0, 512);
    assert_int_equal(look(), GPT_GOOD);
    assert_true(g.no_record);
    mbr(0x83);
    assert_int_equal(look(), GPT_MBR);
    assert_true(g.hidden);
    assert_int_equal(g.nr, 0);
    memset(disk + 446, 0, 64);
    assert_int_equal(look(), GPT_NONE);
    assert_true(g.hidden);
    mbr(0x83);
    at(1)[0] ^= 1;
    assert_int_equal(look(), GPT_MBR);
    assert_false(g.hidden);
    make(4096); /* a backup for this size behind a table for the other: two tables, neither counts */
    memcpy(at(1), "nothing ", 8);
    memcpy(disk + 512, "EFI PART", 8);
    assert_int_equal(look(), GPT_SIZE);
    assert_int_equal(g.where, BLOCKS - 1);
}

TEST(test_overlap)
{
    static const struct {
        uint64_t first, last;
        bool there;
    } t[] = {
        { 181, 200, false }, { 180, 200, true }, { 171, 180, true }, { 172, 173, true },
        { 160, 300, true },  { 34, 34, false },  { 40, 49, false },  { 40, 50, true },
    };
    for (unsigned i = 0; i < sizeof(t) / sizeof(*t); i++) {
        make(512);
        partition(12, t[i].first, t[i].last, "another");
        seal();
        assert_int_equal(look(), GPT_GOOD);
        assert_int_equal(g.overlap[1], t[i].there ? 12 : 0);
    }
}

TEST(test_bad_entries)
{
    make(512);
    partition(1, 10, 20, "in the table");
    partition(2, 100, BLOCKS, "beyond");
    partition(3, 99, 98, "backwards");
    partition(4, ~0ull - 4, ~0ull, "wraps");
    seal();
    assert_int_equal(look(), GPT_GOOD);
    assert_int_equal(g.nr, 2);
    assert_int_equal(g.skipped, 4);
    assert_int_equal(g.skipped_first, 1);
    make(512);
    partition(4, BLOCKS - 33, BLOCKS - 33, "in the backup's");
    seal();
    look();
    assert_int_equal(g.skipped_first, 4);
}

/* A table whose usable part holds the table itself: either copy's header, either copy's entries, block 0. Field by field, in one copy and in
 * the other; what the other copy says still counts when it is good, and not where the first one has partitions. */
TEST(test_covers_itself)
{
    const uint64_t end = BLOCKS - 1 - 32;
    static const struct {
        uint64_t first, last, entries;
        bool backup;
    } t[] = {
        { 0, 300, 340, false },        { 1, 300, 340, false },
        { 2, 300, 340, false }, /* entries behind: the header must be before, all the same */
        { 33, 300, 2, false },         { 34, BLOCKS - 1, 2, false },
        { 34, BLOCKS - 2, 2, false },  { 0, 300, BLOCKS - 33, true },
        { 1, 300, BLOCKS - 33, true }, { 20, 300, BLOCKS - 33, true },
        { 34, BLOCKS - 1, 2, true },   { 33, 300, BLOCKS - 33, true },
    };
    for (unsigned i = 0; i < sizeof(t) / sizeof(*t); i++) {
        make(512);
        uint8_t *h = at(t[i].backup ? BLOCKS - 1 : 1);
        if (t[i].backup)
            at(1)[0] ^= 1; /* but for its header it is there: entries at block 2 */
        memmove(at(t[i].entries), at(2), t[i].entries == 340 ? 20 * 512 : 128 * 128);
        put32(h + 80, t[i].entries == 340 ? 80 : 128);
        put32(h + 88, crc_of(at(t[i].entries), t[i].entries == 340 ? 80 * 128 : 128 * 128));
        put64(h + 40, t[i].first), put64(h + 48, t[i].last), put64(h + 72, t[i].entries);
        header_crc(h);
        enum gpt_state s = look();
        if (i == 2) /* block 2 is as free as any there */
            assert_int_equal(s, GPT_GOOD);
        else if (t[i].backup)
            assert_int_equal(s, i == 8 || i == 10 ? GPT_BACKUP : GPT_DAMAGED);
        else if (t[i].last > 300) /* the backup's place, too */
            assert_int_equal(s, GPT_DAMAGED);
        else
            assert_int_equal(s, GPT_BACKUP);
    }
    make(512); /* the backup's entries only: known from its header. A guest's to write, so they are in force no more than the first copy is */
    put64(at(1) + 48, end), header_crc(at(1));
    assert_int_equal(look(), GPT_DAMAGED);
    assert_non_null(strstr(g.why, "other copy"));
    assert_int_equal(g.where, 0);
    at(BLOCKS - 1)[0] ^= 1; /* which is not there: then there is no other copy */
    assert_int_equal(look(), GPT_GOOD);
    make(512); /* the first copy's entries are damaged, its header is good: the backup is held against it */
    at(2)[1] ^= 1;
    put64(at(BLOCKS - 1) + 40, 33), header_crc(at(BLOCKS - 1));
    assert_int_equal(look(), GPT_DAMAGED);
    put64(at(BLOCKS - 1) + 40, 34), header_crc(at(BLOCKS - 1));
    assert_int_equal(look(), GPT_BACKUP);
    make(512); /* the block that the header names for its backup */
    put64(at(1) + 32, 300), header_crc(at(1));
    assert_int_equal(look(), GPT_BACKUP);
    memcpy(at(260), at(2), 128 * 128); /* there a guest has made one, which leaves out its own place */
    header(300, 1, 260);
    put64(at(300) + 48, 259), header_crc(at(300));
    assert_int_equal(look(), GPT_BACKUP);
    assert_int_equal(g.backup, BLOCKS - 1); /* the true one */
    assert_int_equal(g.part[5].last, 180);
    at(BLOCKS - 1)[0] ^= 1;
    assert_int_equal(look(), GPT_DAMAGED);
    assert_int_equal(g.where, 0);
    assert_int_equal(g.nr, 0);
}

/* Copied to a smaller disk: its last block is one of a partition, whose user has made a table there that gives him all. */
TEST(test_cut)
{
    for (unsigned i = 0; i < 3; i++) {
        make(512);
        put64(at(1) + 32, 2 * BLOCKS - 1), put64(at(1) + 48, 2 * BLOCKS - 34), header_crc(at(1));
        put32(disk + 446 + 12, 2 * BLOCKS - 1);
        if (i == 1) /* then the protective record tells */
            at(1)[40] ^= 1;
        if (i == 2) /* that of a disk whose size has no room there */
            put32(disk + 446 + 12, ~0u);
        assert_int_equal(look(), GPT_DAMAGED);
        assert_non_null(strstr(g.why, "larger disk"));
    }
    make(512); /* just so much smaller that the last block is the last one for partitions */
    put64(at(1) + 32, BLOCKS + 32), put64(at(1) + 48, BLOCKS - 1), header_crc(at(1));
    put32(disk + 446 + 12, ~0u);
    assert_int_equal(look(), GPT_DAMAGED);
    make(512);
    put32(disk + 446 + 12, ~0u);
    at(1)[40] ^= 1;
    assert_int_equal(look(), GPT_BACKUP);
}

/* Somebody who can make CRCs: any value anywhere, nothing outside of the disk is read or offered. */
TEST(test_lies)
{
    static const uint64_t nice[] = { 0,          1,          2,          33,
                                     34,         128,        4096,       BLOCKS - 2,
                                     BLOCKS - 1, BLOCKS,     0x7fffffff, 0xffffffff,
                                     1ull << 32, 1ull << 61, ~0ull,      ~0ull - 33 };
    static const unsigned field[] = { 12, 24, 32, 40, 48, 72, 80, 84, 88 };
    unsigned good = 0;

    for (unsigned i = 0; i < 4000; i++) {
        make(i & 1 ? 512 : 4096);
        for (unsigned n = 1 + (unsigned)rand() % 3; n; n--) {
            unsigned f = field[(unsigned)rand() % 9];
            uint64_t v = nice[(unsigned)rand() % 16];
            if (f == 12 || f >= 80)
                put32(at(1) + f, (uint32_t)v);
            else
                put64(at(1) + f, v);
        }
        uint8_t *e = at(2) + (unsigned)rand() % 128 * 128;
        put64(e + 32 + ((unsigned)rand() & 8), nice[(unsigned)rand() % 16]);
        put32(at(1) + 88, crc_of(at(2), 128 * 128));
        header_crc(at(1));
        good += look() == GPT_GOOD;
    }
    assert_true(good > 100);
}

/* --- volumes: the disk as a struct blkdev, the store as a list ------------------------------------------------------ */

struct bh_self self = { .name = "blk0", .domid = 4 };
void *page_alloc(unsigned n)
{
    assert_int_equal(n, GPT_BUF / 4096);
    return buf;
}
void page_free(void *p, unsigned n) {}
static uint64_t now, tick;
static bool silent;        /* the device takes requests and answers none */
static uint64_t slow, due; /* it answers after so long, or at once; when it does */
static unsigned polls;
uint64_t now_ns(void) { return now += tick; }
void (*xs_idle)(void);
unsigned event_wait(uint64_t until)
{
    if (slow)
        now = due < until ? due : until; /* its interrupt */
    return 0;
}
void bh_panic(const char *fmt, ...) { abort(); }

static struct {
    char path[32], text[128];
} node[40];
static unsigned nr_nodes, writes;
static int store_fails;

int xs_write(uint32_t tx, const char *path, const char *val)
{
    unsigned i;
    if (store_fails)
        return -EIO;
    for (i = 0; i < nr_nodes && strcmp(node[i].path, path); i++)
        ;
    nr_nodes += i == nr_nodes;
    snprintf(node[i].path, sizeof(node[i].path), "%s", path);
    snprintf(node[i].text, sizeof(node[i].text), "%s", val);
    writes++;
    return 0;
}
int xs_rm(uint32_t tx, const char *path)
{
    for (unsigned i = 0; i < nr_nodes; i++)
        if (!strcmp(node[i].path, path))
            node[i] = node[--nr_nodes];
    return 0;
}
char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    char **list = malloc(nr_nodes * (sizeof(char *) + 32) + 1), *text = (char *)(list + nr_nodes);
    assert_string_equal(path, "volumes");
    for (unsigned i = 0; i < nr_nodes; i++, text += 32)
        list[i] = strcpy(text, node[i].path + 8);
    *n = nr_nodes;
    return list;
}
static const char *told(unsigned number)
{
    char path[32];
    snprintf(path, sizeof(path), "volumes/%u", number);
    for (unsigned i = 0; i < nr_nodes; i++)
        if (!strcmp(node[i].path, path))
            return node[i].text;
    return NULL;
}

static struct blk_io *out;
static int dev_submit(struct blkdev *d, struct blk_io *io)
{
    assert_null(out);
    assert_int_equal(io->op, BLK_READ);
    assert_int_equal(io->nr_segs, 1);
    assert_int_equal(io->seg[0].len, io->nr_sectors * 512);
    assert_true((io->sector + io->nr_sectors) * 512 <= BLOCKS * block);
    out = io;
    due = now + slow;
    return 0;
}
static unsigned dev_poll(struct blkdev *d)
{
    struct blk_io *io = out;
    polls++;
    if (!io || silent || now < due)
        return 0;
    out = NULL;
    memcpy(io->seg[0].va, disk + io->sector * 512, io->seg[0].len);
    io->status = 0;
    io->done(io);
    return 1;
}
static bool dev_arm(struct blkdev *d) { return !slow; }
static const struct blkdev_ops ops = { dev_submit, dev_poll, dev_arm };
static struct blkdev dev;

static void scan(unsigned size)
{
    make(size);
    dev = (struct blkdev){
        .ops = &ops, .model = "test", .nr_sectors = BLOCKS * (size / 512), .sector_size = size
    };
    assert_null(volumes_scan(&dev));
}

static void expect(const char *spec, uint64_t first, uint64_t nr)
{
    uint64_t f = 0, n = 0;
    assert_null(volume_find(spec, &f, &n));
    assert_int_equal(f, first);
    assert_int_equal(n, nr);
}
static void refuse(const char *spec, const char *word)
{
    uint64_t f, n;
    const char *why = volume_find(spec, &f, &n);
    assert_non_null(why);
    assert_non_null(strstr(why, word));
}

TEST(test_find)
{
    scan(512);
    refuse("", "no volume");
    expect("@disk", 0, BLOCKS);
    expect("disk", 0, BLOCKS);
    expect("1", 50, 50);
    expect("data1", 50, 50);
    expect("EFI_System", 100, 50);
    expect("7", 170, 1);
    expect("9", 171, 10);
    expect("23222120-2524-2726-2829-2a2b2c2d2e2f", 100, 50);
    expect("23222120-2524-2726-2829-2A2B2C2D2E2F", 100, 50);
    refuse("twin", "means 2 volumes, name one by its number: 3 4");
    refuse("5", "no volume '5'");
    refuse("0", "no volume");
    refuse("4294967297", "no volume");
    refuse("data", "no volume");
    refuse("DATA1", "no volume");
    partition(3, 150, 159, "disk"); /* a word that a label may be, but not the disk's own */
    memcpy(at(2) + 3 * 128 + 16, at(2) + 16, 16);
    partition(9, 171, 180, "23222120-2524-2726-2829-2a2b2c2d2e2f");
    seal();
    assert_null(volumes_scan(&dev));
    refuse("disk", "means 2 volumes, name one by its number: @disk 3");
    expect("@disk", 0, BLOCKS);
    expect("3", 150, 10);
    refuse("13121110-1514-1716-1819-1a1b1c1d1e1f", "means 2 volumes, name one by its number: 1 4");
    refuse("23222120-2524-2726-2829-2a2b2c2d2e2f", "means 2 volumes, name one by its number: 2 9");
    scan(4096);
    expect("data1", 400, 400);
    expect("disk", 0, BLOCKS * 8);
}

/* A table that is not in force is there for who asks for it, and for nobody else. */
TEST(test_ask)
{
    make(512);
    memset(disk, 0, 2 * 512);
    dev = (struct blkdev){ .ops = &ops, .model = "test", .nr_sectors = BLOCKS, .sector_size = 512 };
    assert_null(volumes_scan(&dev));
    assert_non_null(strstr(volumes_problem(), "backup at block 399 counts only as @backup/NAME"));
    refuse("data1", "no volume 'data1'");
    refuse("1", "no volume");
    refuse("13121110-1514-1716-1819-1a1b1c1d1e1f", "no volume");
    refuse("@backup/", "no volume");
    refuse("@backup/disk", "no volume");
    refuse("@backup/twin", "means 2 volumes, name one by its number: @backup/3 @backup/4");
    expect("@backup/data1", 50, 50);
    expect("@backup/2", 100, 50);
    expect("disk", 0, BLOCKS);
    nr_nodes = 0;
    assert_int_equal(volumes_tell(), 0);
    assert_int_equal(nr_nodes, 1);
    scan(512); /* a table in force has no such names */
    refuse("@backup/data1", "no volume");
}

/* A disk that takes a read and never answers: known after a while, and nothing of it is offered. */
TEST(test_silent)
{
    uint64_t first, nr;
    scan(512);
    silent = true;
    tick = 1000000;
    uint64_t start = now;
    const char *why = volumes_scan(&dev);
    assert_non_null(why);
    assert_non_null(strstr(why, "does not answer"));
    assert_in_range(now - start, 1000000000, 10000000000);
    assert_non_null(out); /* one request, and it is never given back */
    assert_non_null(volume_find("disk", &first, &nr));
    assert_int_equal(volumes_tell(), 0);
    silent = false;
    tick = 0;
    out = NULL;
    scan(512);
    expect("data1", 50, 50);
}

/* Who waits for a disk leaves the CPU to others: it looks when there may be something to see. */
TEST(test_slow)
{
    scan(512);
    polls = 0;
    assert_null(volumes_scan(&dev));
    unsigned nr = polls; /* each was done when it was looked at */
    polls = 0;
    slow = 1900000;
    tick = 100;
    assert_null(volumes_scan(&dev));
    assert_in_range(polls, 2 * nr, 3 * nr);
    expect("data1", 50, 50);
    slow = tick = 0;
}

TEST(test_problem)
{
    scan(512);
    assert_string_equal(volumes_problem(), "");
    at(1)[20] ^= 1;
    assert_null(volumes_scan(&dev));
    assert_non_null(strstr(volumes_problem(), "its backup is used"));
    at(BLOCKS - 1)[20] ^= 1;
    assert_null(volumes_scan(&dev));
    assert_non_null(strstr(volumes_problem(), "both copies"));
    make(512);
    mbr(0x83);
    assert_null(volumes_scan(&dev));
    assert_non_null(strstr(volumes_problem(), "MBR"));
    make(512);
    partition(2, 100, BLOCKS, "beyond");
    seal();
    assert_null(volumes_scan(&dev));
    assert_non_null(strstr(volumes_problem(), "1 partition left out (2: not within the usable part"));
    at(1)[40]--, at(BLOCKS - 1)[40]--; /* no CRC is right any more */
    assert_null(volumes_scan(&dev));
    assert_non_null(strstr(volumes_problem(), "both copies"));
    memset(disk, 0, sizeof(disk));
    assert_null(volumes_scan(&dev));
    assert_string_equal(volumes_problem(), "");
}

static struct volume_claim claim(const char *spec, unsigned mode, domid_t dom)
{
    struct volume_claim c = { .mode = mode, .domid = dom };
    assert_null(volume_find(spec, &c.first, &c.nr));
    return c;
}

TEST(test_users)
{
    scan(512);
    for (unsigned a = 0; a < 4; a++)
        for (unsigned b = 0; b < 4; b++)
            for (unsigned where = 0; where < 4; where++) {
                /* the same, part and disk, disk and part, others */
                struct volume_claim x = claim(where == 2 ? "disk" : "data1", a, 16);
                struct volume_claim y = claim(where == 1   ? "disk"
                                              : where == 3 ? "2"
                                                           : "data1",
                                              b, 17);
                bool fine = where == 3 || (b & VOLUME_FORCE) || !((a | b) & VOLUME_WRITE);
                assert_null(volume_claim(&x));
                assert_int_equal(!volume_claim(&y), fine);
                volume_release(&y);
                volume_release(&y);
                volume_release(&x);
                assert_null(volume_claim(&y));
                volume_release(&y);
            }
    struct volume_claim w = claim("data1", VOLUME_WRITE, 16), d = claim("disk", VOLUME_READ, 17),
                        off = w;
    assert_null(volume_claim(&w));
    assert_non_null(strstr(volume_claim(&d), "domain 16 writes"));
    off.first = BLOCKS - 1, off.nr = 2;
    assert_non_null(volume_claim(&off));
    off.first = ~0ull, off.nr = 2;
    assert_non_null(volume_claim(&off));
    volume_release(&w);
    dev.read_only = true;
    assert_non_null(strstr(volume_claim(&w), "read-only"));
    assert_null(volume_claim(&d));
    volume_release(&d);
}

TEST(test_again)
{
    scan(512);
    struct volume_claim w = claim("disk", VOLUME_WRITE, 16),
                        r = claim("disk", VOLUME_READ | VOLUME_FORCE, 17);
    assert_null(volume_claim(&w));
    partition(5, 200, 209, "new");
    seal();
    refuse("new", "no volume");
    assert_null(volume_claim(&r));
    volume_release(&w);
    refuse("new", "no volume"); /* somebody may have reads in flight */
    volume_release(&r);
    expect("new", 200, 10);
}

TEST(test_publish)
{
    nr_nodes = writes = 0;
    xs_write(0, "volumes/77", "of a former life");
    scan(512);
    assert_int_equal(volumes_tell(), 0);
    assert_null(told(77));
    assert_int_equal(nr_nodes, 7);
    assert_string_equal(told(0), "disk 204800 -");
    assert_string_equal(told(1), "data1 25600 -");
    assert_string_equal(told(2), "EFI_System 25600 -");
    assert_string_equal(told(3), "3 5120 -");
    assert_string_equal(told(7), "7 512 -");
    assert_string_equal(told(9), "9 5120 -");
    struct volume_claim a = claim("2", VOLUME_WRITE, 16),
                        b = claim("2", VOLUME_READ | VOLUME_FORCE, 300), many[40];
    assert_null(volume_claim(&a));
    assert_null(volume_claim(&b));
    writes = 0;
    store_fails = 1;
    assert_int_equal(volumes_tell(), -EIO);
    store_fails = 0;
    assert_int_equal(volumes_tell(), 0);
    assert_int_equal(writes, 1);
    assert_int_equal(volumes_tell(), 0);
    assert_int_equal(writes, 1);
    assert_string_equal(told(2), "EFI_System 25600 300r,16w");
    for (unsigned i = 0; i < 40; i++) {
        many[i] = claim("2", VOLUME_READ | VOLUME_FORCE, (domid_t)(1000 + i));
        assert_null(volume_claim(&many[i]));
    }
    assert_int_equal(volumes_tell(), 0);
    assert_non_null(strstr(told(2), "..."));
    for (unsigned i = 0; i < 40; i++)
        volume_release(&many[i]);
    volume_release(&a);
    volume_release(&b);
    make(512);
    mbr(0x83);
    assert_null(volumes_scan(&dev));
    refuse("data1", "MBR");
    assert_int_equal(volumes_tell(), 0);
    assert_int_equal(nr_nodes, 1);
}

/* Of several disks, as a relay has them: a name says of which, and their volumes are none of one another's. */
TEST(test_disks)
{
    static struct blkdev a, b;
    uint64_t first, nr;

    make(512);
    volumes_forget(&dev);
    a = (struct blkdev){
        .ops = &ops, .model = "a", .name = "xvda", .nr_sectors = BLOCKS, .sector_size = 512
    };
    b = a;
    b.name = "xvdb";
    b.base = BLK_BASE;
    assert_non_null(volume_find("xvda", &first, &nr));
    assert_null(volumes_scan(&b));
    expect("data1", BLK_BASE + 50, 50);
    expect("disk", BLK_BASE, BLOCKS);
    assert_null(volumes_scan(&a));
    expect("xvda", 0, BLOCKS);
    expect("xvdb", BLK_BASE, BLOCKS);
    expect("xvda/data1", 50, 50);
    expect("xvdb/1", BLK_BASE + 50, 50);
    expect("xvdb/@disk", BLK_BASE, BLOCKS);
    refuse("data1", "means 2 volumes, name one by its number: xvdb/1 xvda/1");
    refuse("disk", "means 2 volumes, name one by its number: xvdb xvda");
    refuse("1", "means 2 volumes");
    refuse("xvda/twin", "means 2 volumes, name one by its number: xvda/3 xvda/4");
    refuse("xvdc", "no volume 'xvdc' on these disks");
    refuse("xvda/", "no volume");
    refuse("xvdadata1", "no volume");
    nr_nodes = 0;
    assert_int_equal(volumes_tell(), 0);
    assert_string_equal(told(0), "xvda 204800 -");
    assert_string_equal(told(1), "xvda/data1 25600 -");
    assert_string_equal(told(1000), "xvdb 204800 -");
    assert_string_equal(told(1003), "xvdb/3 5120 -");
    struct volume_claim x = claim("xvda", VOLUME_WRITE, 16), y = claim("xvdb", VOLUME_WRITE, 17),
                        z = claim("xvdb/data1", VOLUME_READ, 18), off = y;
    assert_null(volume_claim(&x));
    assert_false(volumes_used(&b));
    assert_null(volume_claim(&y));
    assert_true(volumes_used(&b));
    assert_non_null(strstr(volume_claim(&z), "domain 17 writes"));
    off.first = BLK_BASE + BLOCKS - 1, off.nr = 2;
    assert_non_null(strstr(volume_claim(&off), "does not lie on the disk"));
    off.first = BLOCKS, off.nr = 1; /* between the two */
    assert_non_null(strstr(volume_claim(&off), "does not lie on the disk"));
    /* One that loses its writer is read again, the other is not. */
    partition(5, 200, 209, "new");
    seal();
    volume_release(&y);
    expect("xvdb/new", BLK_BASE + 200, 10);
    refuse("xvda/new", "no volume");
    b.read_only = true;
    assert_non_null(strstr(volume_claim(&y), "read-only"));
    volumes_forget(&b);
    refuse("xvdb", "no volume 'xvdb' on this disk");
    expect("xvda/data1", 50, 50);
    assert_int_equal(volumes_tell(), 0);
    assert_null(told(1000));
    volume_release(&x);
    volumes_forget(&a);
}
