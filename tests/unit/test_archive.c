/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/volume/archive.c
// FLAGS: -Ictl-dom
/*
 * The archive of a volume: what tar(1) writes is read, whatever is damaged is told and the rest used, and an entry that is being appended is there or
 * is not when the power is cut after any sector.
 */
#include <errno.h>
#include "unit.h"
#include "volume/archive.h"

#define SIZE (256u * 1024)

static uint8_t image[SIZE], durable[SIZE];
static uint64_t size;
static unsigned told, reads;
static char last[256];
static long sectors_left; /* until the power is cut; -1: never */
static bool bad_disk;
static struct archive a;
static uint32_t sector = 512;

static void tell(const char *what)
{
    told++;
    snprintf(last, sizeof(last), "%s", what);
}
static int disk_read(void *arg, uint64_t at, void *to, size_t len)
{
    reads++;
    assert_true(at <= size && len <= size - at && !(at % 512) && !(len % 512));
    memcpy(to, image + at, len);
    return bad_disk ? -EIO : 0;
}
static int disk_write(void *arg, uint64_t at, const void *from, size_t len)
{
    assert_true(at <= size && len <= size - at && !(at % sector) && !(len % sector));
    for (size_t i = 0; i < len; i += sector) {
        if (!sectors_left)
            return -EIO;
        sectors_left -= sectors_left > 0;
        memcpy(image + at + i, (const uint8_t *)from + i, sector);
    }
    return 0;
}
static int disk_flush(void *arg)
{
    if (!sectors_left)
        return -EIO;
    memcpy(durable, image, sizeof(image));
    return 0;
}
static struct archive_disk disk(void)
{
    return (struct archive_disk){
        .size = size, .sector = sector, .read = disk_read, .write = disk_write, .flush = disk_flush
    };
}
static void scan(void)
{
    struct archive_disk d = disk();

    told = 0;
    last[0] = 0;
    a.tell = tell;
    assert_int_equal(archive_scan(&a, &d), 0);
    assert_int_equal(told, a.found);
}
static int append(const char *name, const char *text)
{
    struct archive_disk d = disk();

    return archive_append(&a, &d, name, text, strlen(text), 1);
}
static bool has(const char *name, const char *text)
{
    const struct archive_file *f = archive_find(&a, name);

    return f && f->size == strlen(text) && !memcmp(image + f->at, text, f->size);
}
#define HAS(name, text) assert_true(has(name, text))
#define HAS_NOT(name)   assert_null(archive_find(&a, name))
#define TOLD(n, what)                        \
    do {                                     \
        assert_int_equal(told, n);           \
        assert_non_null(strstr(last, what)); \
    } while (0)

static void resum(uint8_t *h)
{
    unsigned sum = 0;

    memset(h + 148, ' ', 8);
    for (unsigned i = 0; i < 512; i++)
        sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
}
/* As the machine's own tar makes it. */
static void tar(const char *options)
{
    char line[400];

    snprintf(line, sizeof(line),
             "d=$(mktemp -d) && cd $d && printf 'memory = 1\\n' > a.cfg && printf 'kernel' > kernel && mkdir sub && "
             "echo x > sub/b.cfg && ln -s a.cfg link.cfg && tar cf - %s; rm -rf $d",
             options);
    FILE *f = popen(line, "r");
    memset(image, 0, sizeof(image));
    assert_non_null(f);
    assert_true(fread(image, 1, sizeof(image), f) >= 1024);
    assert_int_equal(pclose(f), 0);
}

int setup(void **state)
{
    memset(image, 0, sizeof(image));
    sectors_left = -1;
    size = SIZE;
    sector = 512;
    bad_disk = false;
    return 0;
}

TEST(of_tar)
{
    static const char *const formats[] = { "--format=gnu", "--format=ustar", "--format=pax" };
    char options[100];

    for (unsigned i = 0; i < 3; i++) {
        snprintf(options, sizeof(options), "%s a.cfg kernel", formats[i]);
        tar(options);
        scan();
        HAS("a.cfg", "memory = 1\n");
        HAS("kernel", "kernel");
        assert_int_equal(a.nr, 2);
        assert_int_equal(told, 0);
        assert_true(a.sound);
        snprintf(options, sizeof(options), "%s .", formats[i]);
        tar(options);
        scan();
        HAS("a.cfg", "memory = 1\n");
        HAS("kernel", "kernel");
        assert_int_equal(a.nr, 2);
        assert_int_equal(told, 2); /* the one in a folder, the link */
        assert_true(a.sound);
    }
}

TEST(long_names_are_told)
{
    tar("--format=gnu --transform=s/a.cfg/$(printf '%0120d' 1).cfg/ a.cfg kernel");
    scan();
    TOLD(1, "extended header");
    HAS("kernel", "kernel");
    assert_int_equal(a.nr, 1);
}

/* A pax header is of the entry behind it, whose name or size it may change. */
TEST(pax)
{
    tar("--format=pax --transform=s/a.cfg/$(printf '%0120d' 1).cfg/ a.cfg kernel");
    scan();
    TOLD(1, "extended header");
    HAS("kernel", "kernel");
    assert_int_equal(a.nr, 1);
    tar("--format=pax a.cfg kernel");
    assert_int_equal(image[156], 'x');
    snprintf((char *)image + 124, 12, "%011o", 5000); /* more than is looked at */
    resum(image);
    scan();
    HAS_NOT("a.cfg");
}

TEST(empty)
{
    scan();
    assert_true(a.sound && !a.nr && !told && !a.end);
    memset(image, 0xf6, 4096);
    scan();
    assert_false(a.sound);
    TOLD(1, "there is no tar archive");
    assert_int_equal(append("a.cfg", "x"), -EINVAL);
    assert_int_equal(image[0], 0xf6);
}

static void two(void)
{
    scan();
    assert_int_equal(append("a.cfg", "one"), 0);
    scan();
    assert_int_equal(append("b.cfg", "two"), 0);
    scan();
    HAS("a.cfg", "one");
    HAS("b.cfg", "two");
    assert_int_equal(told, 0);
}

TEST(the_last_one_counts)
{
    two();
    assert_int_equal(append("a.cfg", "three"), 0);
    scan();
    HAS("a.cfg", "three");
    assert_int_equal(a.nr, 2);
    assert_int_equal(append("a.cfg", ""), 0);
    scan();
    HAS_NOT("a.cfg");
    HAS("b.cfg", "two");
    assert_true(a.sound && a.entries == 4);
}

TEST(tar_reads_it)
{
    char out[200] = "";

    two();
    assert_int_equal(append("a.cfg", "three\n"), 0);
    FILE *f = fopen("/tmp/bh-unit-archive.tar", "w");
    assert_non_null(f);
    assert_int_equal(fwrite(image, 1, sizeof(image), f), sizeof(image));
    fclose(f);
    f = popen("tar tf /tmp/bh-unit-archive.tar && d=$(mktemp -d) && tar xf /tmp/bh-unit-archive.tar -C $d && cat $d/a.cfg; rm -rf $d",
              "r");
    assert_int_equal(fread(out, 1, sizeof(out) - 1, f), strlen("a.cfg\nb.cfg\na.cfg\nthree\n"));
    assert_int_equal(pclose(f), 0);
    assert_string_equal(out, "a.cfg\nb.cfg\na.cfg\nthree\n");
    remove("/tmp/bh-unit-archive.tar");
}

TEST(damaged)
{
    two();
    image[1] ^= 1;
    scan();
    TOLD(1, "is none");
    HAS_NOT("a.cfg");
    HAS("b.cfg", "two"); /* the rest is used */
    assert_false(a.sound);
    assert_int_equal(append("c.cfg", "x"), -EINVAL); /* and stays as it is */
    image[1] ^= 1;
    image[1024 + 300] ^= 1;
    scan();
    TOLD(1, "entry 1 (no name, byte 1024) is damaged");
    HAS("a.cfg", "one");
    assert_false(a.sound);
}

/* The tool on a host refuses what the control domain refuses. */
TEST(mkvolume_and_damage)
{
    static const char path[] = "/tmp/bh-unit-mkvolume.tar";
    static uint8_t is[SIZE];
    char line[200];

    snprintf(line, sizeof(line), "tools/mkvolume -a %s c.cfg=/dev/null 2>/dev/null", path);
    two();
    for (unsigned i = 0; i < 2; i++) {
        FILE *f = fopen(path, "wb");
        assert_true(f && fwrite(image, 1, SIZE, f) == SIZE && !fclose(f));
        assert_int_equal(system(line) == 0, !i);
        f = fopen(path, "rb");
        assert_true(f && fread(is, 1, SIZE, f) == SIZE && !fclose(f));
        assert_int_equal(!memcmp(image, is, SIZE), i);
        image[1024 + 300] ^= 1; /* the second one, which is still there */
    }
    remove(path);
}

TEST(lies)
{
    static const struct {
        unsigned at;
        const char *put, *what;
    } t[] = {
        { 0, "../a.cfg", "lies in a folder" },
        { 0, "/etc/pass", "lies in a folder" },
        { 0, "..", "has a name that is none" },
        { 0, "a\x1b[31m", "other characters" },
        { 0, "123456789012345678901234567890123456789012345678901234567890.cfg", "too long a name" },
        { 124, "77777777777", "ends behind the volume" },
        { 124, "00000777001", "ends behind the volume" },
        { 124, "-0000000001", "ends behind the volume" },
        { 124, "\x80\x01\x01\x01\x01", "ends behind the volume" },
        { 124, "           ", "ends behind the volume" },
        { 156, "2", "is no file" },
        { 156, "3", "is no file" },
        { 156, "Z", "is no file" },
    };

    for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        setup(NULL);
        two();
        memcpy(image + t[i].at, t[i].put, strlen(t[i].put) + (t[i].at == 0));
        resum(image);
        scan();
        TOLD(1, t[i].what);
        HAS_NOT("a.cfg");
        for (const char *p = last; *p; p++)
            assert_true(*p >= ' ' && *p <= '~');
    }
    setup(NULL); /* up to the last byte of the volume, and without an end */
    two();
    memset(image + 1024 + 512, 'x', sizeof(image) - 1536);
    snprintf((char *)image + 1024 + 124, 12, "%011o", SIZE - 1536);
    resum(image + 1024);
    scan();
    TOLD(1, "has no end");
    assert_non_null(archive_find(&a, "b.cfg"));
    assert_false(a.sound);
}

static uint8_t header[512];
static int sparse_read(void *arg, uint64_t at, void *to, size_t len)
{
    reads++;
    memset(to, 'x', len);
    for (uint64_t i = 0; i < len; i += 512)
        if (!((at + i) % (15u << 20)))
            memcpy((uint8_t *)to + i, header, 512);
    return 0;
}

/* Damage is searched behind, but not all of a large volume, however much there is of it. */
TEST(damage_everywhere)
{
    struct archive_disk d = { .size = 1ull << 40, .sector = 512, .read = sparse_read };

    scan();
    assert_int_equal(append("f", ""), 0);
    memcpy(header, image, 512);
    told = reads = 0;
    assert_int_equal(archive_scan(&a, &d), 0);
    assert_false(a.sound);
    HAS("f", "");
    assert_in_range(reads, 1, 600);
}

TEST(too_many)
{
    char name[16];

    scan();
    for (unsigned i = 0; i < ARCHIVE_FILES; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        assert_int_equal(append(name, "x"), 0);
        scan();
    }
    assert_int_equal(append("more", "x"), -EMFILE);
    assert_int_equal(append("f1", "again"), 0);
    scan();
    TOLD(0, "");
    a.nr--; /* as somebody else's tar does it */
    assert_int_equal(append("more", "x"), 0);
    scan();
    TOLD(1, "is one file too many");
    assert_int_equal(a.nr, ARCHIVE_FILES);
    bad_disk = true;
    struct archive_disk d = disk();
    assert_int_equal(archive_scan(&a, &d), -EIO);
}

TEST(full)
{
    size = 8192;
    scan();
    for (unsigned i = 0; i < 7; i++) { /* 1,024 bytes each, and as much for the end */
        assert_int_equal(append("a.cfg", "x"), 0);
        scan();
        assert_int_equal(told, 0);
    }
    assert_int_equal(append("a.cfg", "x"), -ENOSPC);
    assert_int_equal(append("", "x"), -EINVAL);
    assert_int_equal(append("x/y", "x"), -EINVAL);
    scan();
    HAS("a.cfg", "x");
}

/* Of what was written since the last flush, any part may be on the disk after the power was cut, in any order. */
static void cut(unsigned seed)
{
    uint8_t left[SIZE];

    memcpy(left, durable, sizeof(left));
    srand(seed);
    for (uint64_t at = 0; at < size; at += sector)
        if (rand() & 1)
            memcpy(left + at, image + at, sector);
    memcpy(image, left, sizeof(left));
}

static void cuts(const char *name, const char *was, const char *is)
{
    static uint8_t before[SIZE];
    bool done = false;

    memcpy(before, image, sizeof(image));
    memset(image + a.end + 1024, 0xa5, 8192); /* what lies behind the end is anything */
    memset(before + a.end + 1024, 0xa5, 8192);
    for (long n = 0; !done; n++)
        for (unsigned seed = 0; seed < 40; seed++) {
            memcpy(image, before, sizeof(image));
            memcpy(durable, before, sizeof(image));
            scan();
            assert_int_equal(told, 0);
            sectors_left = n;
            done = !append(name, is);
            sectors_left = -1;
            cut(seed);
            scan();
            assert_int_equal(told, 0);
            assert_true(a.sound);
            if (done)
                HAS(name, is);
            else if (was && !has(name, is))
                HAS(name, was);
            HAS("b.cfg", "two");
        }
}

TEST(power_cuts)
{
    char text[3000];

    memset(text, 't', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (sector = 512; sector <= 4096; sector *= 8) {
        memset(image, 0, sizeof(image));
        two();
        cuts("a.cfg", "one", text);
        cuts("a.cfg", text, "short");
        cuts("new.cfg", NULL, text);
    }
}

/* Whatever a volume has: no file of it lies beyond it, names are plain, and it ends. */
TEST(fuzz)
{
    srand(1);
    for (unsigned round = 0; round < 3000; round++) {
        setup(NULL);
        two();
        size = 512 * (1 + (unsigned)rand() % 64);
        for (unsigned n = (unsigned)rand() % 6; n; n--) {
            unsigned h = 1024 * ((unsigned)rand() % 4);
            image[h + (unsigned)rand() % 512] = (uint8_t)rand();
            if (rand() & 1)
                memcpy(image + h, image, 512);
            if (rand() & 1)
                resum(image + h);
        }
        reads = 0;
        scan();
        assert_true(reads < 200);
        for (unsigned i = 0; i < a.nr; i++) {
            const struct archive_file *f = &a.file[i];
            assert_true(f->at <= size && f->size <= size - f->at);
            assert_true(f->name[0] && strlen(f->name) < ARCHIVE_NAME && !strchr(f->name, '/'));
        }
        if (a.sound)
            assert_true(a.end % 512 == 0 && a.end < size);
    }
}
