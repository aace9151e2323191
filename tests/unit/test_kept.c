/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/pages.c tests/unit/fit.c ctl-dom/bundle/bundle.c ctl-dom/bundle/kept.c
// FLAGS: -Ictl-dom -Idomains/include -Wl,--no-as-needed -lfdt -lz -lcrypto
/* Images that are kept inflated: the same bytes as before, no more memory than there is room for, none when others want it; and streams that
 * are not what they say. */
#include <errno.h>
#include "unit.h"
#include "pages.h"
#include "bundle/bundle.h"
#include "fit.h"
#include "bundle/kept.h"

#define PAGES 400
#define LEN   600000u /* 147 pages, of which those of the second quarter are zeroes */
#define SPACE (8u << 20)
#define NAMES "a\0b\0c\0small\0trailing\0junk\0plain\0half\0short\0cut\0long\0named"

static uint8_t *plain[4], packed[3][LEN + 1000], *fit;
static struct bundle b;
static char err[256];

static void fill(uint8_t *p, unsigned seed)
{
    srand(seed);
    for (unsigned i = 0; i < LEN; i++)
        p[i] = (uint8_t)(i / PAGE_SIZE >= 36 && i / PAGE_SIZE < 72 ? 0 : rand() % 16 + 1);
}

/* The gzip file of plain[0] with its size said otherwise, cut, with something behind it, or with all that a header may have. */
static void add_odd(size_t len)
{
    static uint8_t odd[LEN + 1000];
    static const uint8_t head[] = { 0x1f, 0x8b, 8,   4 | 8 | 16, 0,   0,   0,   0,   2,
                                    3,    3,    0,   'e',        'x', 't', 'n', 'a', 'm',
                                    'e',  0,    'w', 'o',        'r', 'd', 0 };

    memcpy(odd, packed[0], len);
    memcpy(odd + len, "more", 4);
    memcpy(odd + len + 4, packed[0] + len - 8, 8);
    fit_add(fit, "trailing", "gzip", odd, len + 12, "sha256");
    for (unsigned i = 0; i < 3; i++) {
        uint32_t size = (const uint32_t[]){ LEN / 2, LEN - 1, LEN + 1 }[i];
        memcpy(odd + len - 4, &size, 4);
        fit_add(fit, (const char *[]){ "half", "short", "long" }[i], "gzip", odd, len, "sha256");
    }
    memcpy(odd, packed[0], 100);
    odd[10] = 7; /* a block of the fourth type, which there is not */
    fit_add(fit, "junk", "gzip", odd, len, "sha256");
    fit_add(fit, "plain", "gzip", "not gzip at all, but long enough", 32, "sha256");
    memcpy(odd, packed[0], 100);
    memcpy(odd + len / 2, packed[0] + len - 8, 8);
    fit_add(fit, "cut", "gzip", odd, len / 2 + 8, "sha256");
    memcpy(odd, head, sizeof(head));
    memcpy(odd + sizeof(head), packed[0] + 10, len - 10);
    fit_add(fit, "named", "gzip", odd, len - 10 + sizeof(head), "sha256");
}

int setup_all(void **state)
{
    pages_have(PAGES);
    fit = aligned_alloc(8, SPACE);
    fit_begin(fit, SPACE);
    for (unsigned i = 0; i < 3; i++) {
        plain[i] = malloc(LEN);
        fill(plain[i], i);
        size_t len = fit_gzip(plain[i], LEN, packed[i], sizeof(packed[i]));
        fit_add(fit, (const char *[]){ "a", "b", "c" }[i], "gzip", packed[i], len, "sha256");
        if (i == 0)
            add_odd(len);
    }
    plain[3] = malloc(5000);
    memset(plain[3], 7, 5000);
    static uint8_t small[1000];
    fit_add(fit, "small", "gzip", small, fit_gzip(plain[3], 5000, small, sizeof(small)), "sha256");
    size_t len = fit_end(fit, NAMES, sizeof(NAMES));
    assert_true(len > 0);
    assert_int_equal(bundle_open(&b, fit, len, err, sizeof(err)), 0);
    return 0;
}

int teardown_all(void **state)
{
    for (unsigned i = 0; i < 4; i++)
        free(plain[i]);
    free(fit);
    return 0;
}

/* Nothing is kept, and no page is missing. */
int teardown(void **state)
{
    while (page_shortage && page_shortage())
        ;
    return !(kept_pages() == 0 && pages_left == PAGES);
}

/* --- a sink that compares ---------------------------------------------------------------------------------------- */
struct got {
    const uint8_t *want;
    unsigned pieces;
    size_t len, give_up_at; /* there all that is kept is taken away */
    size_t end_at;          /* there the sink has enough; 0: nowhere */
};

static int sink(void *arg, const void *data, size_t len)
{
    struct got *g = arg;

    assert_memory_equal(data, g->want + g->len, len);
    g->len += len;
    g->pieces++;
    if (g->end_at && g->len >= g->end_at)
        return -ENOSPC;
    if (g->give_up_at && g->len >= g->give_up_at) {
        while (page_shortage())
            ;
        g->give_up_at = 0;
    }
    return 0;
}

static struct image *image(const char *name) { return bundle_find(&b, name); }

static unsigned stream_with(const char *name, unsigned i, size_t give_up_at)
{
    struct got g = { .want = plain[i], .give_up_at = give_up_at };

    assert_int_equal(image_stream(&b, image(name), sink, &g, err, sizeof(err)), 0);
    assert_int_equal(g.len, i < 3 ? LEN : 5000);
    assert_int_equal(g.give_up_at, 0);
    return g.pieces;
}
static unsigned stream(const char *name, unsigned i) { return stream_with(name, i, 0); }

/* --- what is kept ------------------------------------------------------------------------------------------------- */
TEST(copied_the_second_time)
{
    struct image *a = image("a");

    stream("a", 0);
    assert_int_equal(kept_pages(), 147 - 36 + 1); /* zeroes take none; one for the table */
    assert_int_equal(pages_left, PAGES - (147 - 36));
    memset((uint8_t *)(uintptr_t)a->data + 10, 0xff, a->len / 2); /* nobody inflates it again */
    /* Pages that lie behind each other go together, 16 at most: 36, 36 of zeroes one by one, 75. */
    assert_int_equal(stream("a", 0), 3 + 36 + 5);
    memcpy((uint8_t *)(uintptr_t)a->data, packed[0], a->len);
    stream("small", 3);
    stream("small", 3);
    assert_int_equal(kept_pages(), 147 - 36 + 1 + 2 + 1);
}

/* A quarter stays free: 300 of 400 pages are for images, and each of these takes 112. */
TEST(the_oldest_goes)
{
    stream("a", 0);
    stream("b", 1);
    assert_true(image("a")->kept && image("b")->kept);
    stream("a", 0); /* now b is the one that was not used for longest */
    stream("c", 2);
    assert_true(image("a")->kept && !image("b")->kept && image("c")->kept);
    assert_true(pages_left >= PAGES / 4);
    stream("b", 1);
    assert_true(!image("a")->kept && image("b")->kept && image("c")->kept);
    stream("a", 0);
}

TEST(no_room_no_keeping)
{
    pages_left = PAGES / 4 + 100; /* others have the rest */
    stream("a", 0);
    assert_null(image("a")->kept);
    assert_int_equal(pages_left, PAGES / 4 + 100);
    pages_left = 3;
    stream("a", 0);
    assert_int_equal(pages_left, 3);
    pages_left = PAGES;
}

TEST(others_go_first)
{
    static void *mine[PAGES];
    unsigned n = 0;

    stream("a", 0);
    stream("b", 1);
    while (image("a")->kept)
        assert_non_null(mine[n++] = page_alloc(1));
    assert_int_equal(n, PAGES - 2 * (147 - 36) + 1); /* what was free, and one more */
    assert_non_null(image("b")->kept);
    while (n)
        page_free(mine[--n], 1);
    assert_null(page_alloc(PAGES + 1));
    assert_int_equal(kept_pages(), 0);
}

/* Somebody needs the memory while the image is being kept, or while it is copied from what was kept: the guest gets every byte once. */
TEST(given_up_on_the_way)
{
    stream_with("a", 0, LEN / 3);
    assert_null(image("a")->kept);
    for (unsigned part = 1; part < 8; part++) {
        stream("a", 0);
        assert_non_null(image("a")->kept);
        stream_with("a", 0, part * LEN / 7);
        assert_null(image("a")->kept);
    }
    assert_int_equal(pages_left, PAGES);
}

/* --- streams that are not what they say; the hash is right ---------------------------------------------------------- */
static int nowhere(void *arg, const void *data, size_t len) { return 0; }

static void refused(const char *name, const char *why)
{
    char want[100];
    void *out;
    size_t len;

    snprintf(want, sizeof(want), "bundle: image '%s': %s", name, why);
    assert_int_equal(image_stream(&b, image(name), nowhere, NULL, err, sizeof(err)), -EBADMSG);
    assert_string_equal(err, want);
    err[0] = '\0';
    assert_int_equal(image_load(&b, image(name), &out, &len, 1 << 20, err, sizeof(err)), -EBADMSG);
    assert_string_equal(err, want);
    assert_null(image(name)->kept);
    assert_int_equal(pages_left, PAGES);
}

TEST(odd_streams)
{
    stream("named", 0);
    teardown(NULL);
    refused("half", "its compressed data have another length than they say");
    refused("junk", "bad compressed data");
    b.image[image("plain") - b.image].full_len = 32; /* not what its last bytes would say */
    refused("plain", "bad compressed data");
    refused("short", "its compressed data have another length than they say");
    refused("long", "its compressed data have another length than they say");
    refused("trailing", "its compressed data have another length than they say");
    refused("cut", "its compressed data end too early");
}

TEST(the_sink_has_enough)
{
    struct got g = { .want = plain[0], .end_at = LEN / 2 };

    err[0] = '\0';
    assert_int_equal(image_stream(&b, image("a"), sink, &g, err, sizeof(err)), -ENOSPC);
    assert_string_equal(err, "");
    assert_null(image("a")->kept);
    stream("a", 0);
    g.len = 0;
    assert_int_equal(image_stream(&b, image("a"), sink, &g, err, sizeof(err)), -ENOSPC);
    stream("a", 0);
}
