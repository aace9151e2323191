/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/pages.c tests/unit/fit.c ctl-dom/bundle/bundle.c ctl-dom/bundle/kept.c
// FLAGS: -Ictl-dom -Idomains/include -Wl,--no-as-needed -lfdt -lz -lcrypto
/* The boot bundle: SHA-256, structure, compression, and every kind of damage. */
#include <errno.h>
#include "unit.h"
#include "bundle/bundle.h"
#include "fit.h"
#include "pages.h"

#define SPACE 65536
static uint8_t plain[30000], packed[32768];
static size_t packed_len;
static char err[256];

static void hash_is(const char *text, size_t len, const char *hex)
{
    uint8_t d[32];
    char got[65];
    sha256(text, len, d);
    for (unsigned i = 0; i < 32; i++)
        snprintf(got + 2 * i, 3, "%02x", d[i]);
    assert_string_equal(got, hex);
}

/* FIPS 180-4's examples, and the lengths around the padding's limits. */
TEST(sha)
{
    hash_is("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash_is("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hash_is("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *a = malloc(1000000);
    memset(a, 'a', 1000000);
    hash_is(a, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    hash_is(a, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    hash_is(a, 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    free(a);
}

static size_t make(uint8_t *fdt)
{
    static const char loadables[] = "kernel\0text.cfg\0crc\0odd";
    fit_begin(fdt, SPACE);
    fit_add(fdt, "kernel", "gzip", packed, packed_len, "sha256");
    fit_add(fdt, "text.cfg", "none", "name = 1\n", 9, "sha256");
    fit_add(fdt, "crc", "none", "123456789", 9, "crc32");
    fit_add(fdt, "odd", "none", "123456789", 9, "md4");
    return fit_end(fdt, loadables, sizeof(loadables));
}

static uint8_t *fit;
static size_t fit_len;

int setup_all(void **state)
{
    srand(1);
    for (unsigned i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i < 10000 ? 0 : rand() % 16);
    packed_len = fit_gzip(plain, sizeof(plain), packed, sizeof(packed));
    fit = aligned_alloc(8, SPACE);
    fit_len = make(fit);
    assert_true(fit_len > 0);
    return 0;
}

int teardown_all(void **state)
{
    free(fit);
    return 0;
}

/* A copy with exactly len bytes, so that the sanitizer sees a read past the end. */
static uint8_t *copy(size_t len)
{
    uint8_t *p = aligned_alloc(8, (len + 7) & ~7ul);
    memcpy(p, fit, len);
    return p;
}

TEST(good)
{
    struct bundle b;
    void *out;
    size_t len;
    assert_int_equal(bundle_open(&b, fit, fit_len, err, sizeof(err)), 0);
    assert_int_equal(b.nr_images, 4);
    assert_string_equal(b.image[1].name, "text.cfg");
    struct image *k = bundle_find(&b, "kernel");
    assert_non_null(k);
    assert_int_equal(k->full_len, sizeof(plain));
    assert_int_equal(image_load(&b, k, &out, &len, 1 << 20, err, sizeof(err)), 0);
    assert_int_equal(len, sizeof(plain));
    assert_memory_equal(out, plain, len);
    free(out);
    assert_int_equal(image_load(&b, k, &out, &len, 1000, err, sizeof(err)), -E2BIG);
    assert_int_equal(image_load(&b, bundle_find(&b, "text.cfg"), &out, &len, 1000, err, sizeof(err)),
                     0);
    assert_string_equal(out, "name = 1\n");
    free(out);
    assert_int_equal(image_verify(&b, bundle_find(&b, "crc"), err, sizeof(err)), 0);
    assert_int_equal(image_verify(&b, bundle_find(&b, "odd"), err, sizeof(err)), -EBADMSG);
    assert_string_equal(err, "bundle: image 'odd': no usable hash");
    assert_null(bundle_find(&b, "nosuch"));
}

/* A large image is hashed in pieces, between which others have their turn; one like a service's in one: those are read in the midst of an
 * adoption, which nobody is to look at yet. */
TEST(hashed_in_pieces)
{
    enum { LARGE = 1 << 20, SMALL = 200 << 10 };
    uint8_t *space = aligned_alloc(8, 2 * LARGE), *data = calloc(1, LARGE);
    struct bundle b;

    memset(data + SMALL, 'x', LARGE - SMALL);
    fit_begin(space, 2 * LARGE);
    fit_add(space, "large", "none", data, LARGE, "sha256");
    fit_add(space, "small", "none", data, SMALL, "sha256");
    size_t len = fit_end(space, "large\0small", 12);
    assert_int_equal(bundle_open(&b, space, len, err, sizeof(err)), 0);
    breaths = 0;
    assert_int_equal(image_verify(&b, bundle_find(&b, "small"), err, sizeof(err)), 0);
    assert_int_equal(breaths, 0);
    assert_int_equal(image_verify(&b, bundle_find(&b, "large"), err, sizeof(err)), 0);
    assert_int_equal(breaths, 3);
    assert_int_equal(image_verify(&b, bundle_find(&b, "large"), err, sizeof(err)), 0);
    assert_int_equal(breaths, 3); /* checked once */
    free(space);
    free(data);
}

TEST(damage)
{
    struct bundle b;
    void *out;
    size_t len;

    assert_true(bundle_open(&b, NULL, 0, err, sizeof(err)) < 0);
    assert_true(bundle_open(&b, "short", 5, err, sizeof(err)) < 0);
    assert_string_equal(err, "bundle: no FIT image (bad magic)");
    uint8_t *p = copy(fit_len / 3);
    assert_true(bundle_open(&b, p, fit_len / 3, err, sizeof(err)) < 0);
    assert_non_null(strstr(err, "truncated"));
    free(p);
    p = copy(fit_len);
    struct image *k;
    assert_int_equal(bundle_open(&b, p, fit_len, err, sizeof(err)), 0);
    k = bundle_find(&b, "kernel");
    ((uint8_t *)p)[(size_t)((const uint8_t *)k->data - p) + 100] ^= 1;
    assert_int_equal(image_load(&b, k, &out, &len, 1 << 20, err, sizeof(err)), -EBADMSG);
    assert_string_equal(err, "bundle: image 'kernel': hash mismatch");
    /* Told each time, checked once; the others go on. */
    assert_int_equal(image_load(&b, k, &out, &len, 1 << 20, err, sizeof(err)), -EBADMSG);
    assert_int_equal(image_verify(&b, bundle_find(&b, "text.cfg"), err, sizeof(err)), 0);
    free(p);
}

TEST(flipped_bits)
{
    srand(5);
    for (unsigned round = 0; round < 3000; round++) {
        struct bundle b;
        uint8_t *p = copy(fit_len);
        for (unsigned k = 0; k < 4;
             k++) { /* header, structure (at its end) and strings, less often data */
            size_t at = k == 0  ? (size_t)rand() % 64
                        : k < 3 ? fit_len - 1 - (size_t)rand() % 900
                                : (size_t)rand() % fit_len;
            p[at] ^= (uint8_t)(1u << rand() % 8);
        }
        bundle_open(&b, p, fit_len, err, sizeof(err));
        for (unsigned i = 0; i < b.nr_images; i++) {
            void *out;
            size_t len;
            if (!image_load(&b, &b.image[i], &out, &len, 1 << 20, err, sizeof(err)))
                free(out);
        }
        free(p);
    }
}
