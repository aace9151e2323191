// SPDX-License-Identifier: MIT
// LINK: ctl-dom/store/volume.c tests/unit/no_keyboard.c ctl-dom/volume/archive.c ctl-dom/domain/error.c
// FLAGS: -Ictl-dom -Idomains/include
// The volume by way of a driver domain that answers, does not, or stops in the middle: who waits for it, how often, and what stays of it.
#include <errno.h>
#include "unit.h"
#include <blkfront.h>
#include "console/console.h"
#include "domain/load.h"
#include "domain/slots.h"
#include "job/job.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/nodes.h"
#include "store/volume.h"

#define SIZE 65536u

static struct dom blk0 = { .id = 5,
                           .cfg = { .name = "blk0", .role = BH_ROLE_DRIVER, .configs = "conf" } };
struct dom *doms = &blk0;
bool store_up = true;
const struct load_volume *load_volume;
static uint8_t image[SIZE];
static uint64_t clock_ns = 1;
static unsigned opens, attached;
static enum { ANSWERS, SILENT, STOPS } how;
static unsigned reads; /* since it was opened */

void say(const char *fmt, ...) {}
uint64_t now_ns(void) { return clock_ns; }
uint64_t wallclock_ns(void) { return NS_PER_S; }
void job_wait(uint64_t until_ns) { clock_ns = until_ns > clock_ns ? until_ns : clock_ns + 1; }
char *xs_read(uint32_t tx, const char *path)
{
    return strstr(path, "/volumes/1")   ? strdup("conf 65536 0")
           : strstr(path, "/volumes/0") ? strdup("disk 65536 0")
                                        : NULL;
}
char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    static char one[] = "1";
    char **list = malloc(sizeof(*list));

    list[0] = one;
    *n = 1;
    return list;
}
int xs_rm(uint32_t tx, const char *path) { return 0; }
void dev_nodes(struct txn *t, const struct dom *d, const struct dom_dev *v) {}
void dev_paths(const struct dom *d, const struct dom_dev *v, char be[DEV_PATH], char fe[DEV_PATH])
{
    be[0] = fe[0] = '\0';
}
uint64_t dev_patience(const struct dom_dev *v, uint64_t ns) { return ns; }
int devs_attach(struct dom *d, void (*nodes)(struct txn *t, struct dom *d, void *arg),
                struct errbuf *e)
{
    attached++;
    return 0;
}
void devs_close(const struct dom *d) { attached = 0; }
int wait_backends(const struct dom *d, struct errbuf *e) { return 0; }
uint32_t slot_gen_of(const struct dom *d, const struct dom_dev *v) { return attached; }

int blkfront_open(struct blkfront *b, domid_t back, const char *fe, const char *be)
{
    static struct blkif_sring *const ring = (void *)image;

    opens++;
    reads = 0;
    *b = (struct blkfront){ .nr_sectors = SIZE / 512, .sector_size = 512, .ring = ring };
    if (how != SILENT)
        return 0;
    clock_ns += 15 * NS_PER_S;
    b->broken = "it does not connect";
    return -ETIME;
}
int blkfront_read(struct blkfront *b, uint64_t first, unsigned nr, void *to)
{
    assert_true(first * 512 + nr * 512 <= SIZE);
    if (b->broken)
        return -EIO;
    if (how == STOPS && reads++) { /* behind the directory */
        clock_ns += 15 * NS_PER_S;
        b->broken = "it does not answer";
        return -EIO;
    }
    memcpy(to, image + first * 512, nr * 512);
    return 0;
}
int blkfront_write(struct blkfront *b, uint64_t first, unsigned nr, const void *from)
{
    memcpy(image + first * 512, from, nr * 512);
    return 0;
}
int blkfront_flush(struct blkfront *b) { return 0; }
int blkfront_close(struct blkfront *b)
{
    memset(b, 0, sizeof(*b));
    b->broken = "it is closed";
    return 0;
}

static size_t got;
static int sink(void *arg, const void *data, size_t len) { return got += len, 0; }

static int stream(const char *name)
{
    struct errbuf e = { "" };

    got = 0;
    int rc = load_volume->stream(name, sink, NULL, &e);
    assert_true(!rc == !e.s[0]);
    return rc;
}

int setup(void **state)
{
    struct errbuf e;

    how = ANSWERS;
    clock_ns += 100 * NS_PER_S;
    memset(image, 0, sizeof(image));
    volume_on();
    assert_int_equal(volume_write("web.cfg", "name = 'web'", 12, &e), 0);
    opens = 0;
    return 0;
}
int teardown(void **state)
{
    assert_int_equal(attached, 0);
    return 0;
}

TEST(it_answers)
{
    assert_non_null(archive_find(load_volume->files(), "web.cfg"));
    assert_int_equal(stream("web.cfg"), 0);
    assert_int_equal(got, 12);
    assert_int_equal(stream("other.cfg"), -ENOENT);
    assert_int_equal(stream("web.cfg"), 0); /* that was no failure of the volume */
}

/* A boot that reads 64 files waits once, not 64 times. */
TEST(it_is_silent)
{
    uint64_t begin = clock_ns;
    struct errbuf e;

    how = SILENT;
    for (unsigned i = 0; i < 64; i++)
        assert_true(stream("web.cfg") < 0);
    assert_true(clock_ns - begin < 20 * NS_PER_S);
    assert_true(volume_begin(false, &e) < 0); /* who names it waits */
    assert_true(clock_ns - begin >= 30 * NS_PER_S);
    how = ANSWERS;
    clock_ns += 11 * NS_PER_S;
    assert_int_equal(stream("web.cfg"), 0);
}

TEST(it_stops_in_the_middle)
{
    uint64_t begin = clock_ns;

    how = STOPS;
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(stream("web.cfg"), -EIO);
    assert_true(clock_ns - begin < 20 * NS_PER_S);
    assert_int_equal(opens, 1);
}
