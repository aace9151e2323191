/* SPDX-License-Identifier: MIT */
/* Reads the boot bundle: structure by libfdt, data by zlib. Node and property names are U-Boot's
 * FIT format. */
#include "bundle/bundle.h"
#include "bundle/kept.h"
#include <sha256.h>
#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "job/job.h"

#define TRAILER 8u            /* RFC 1952: CRC-32 and size */
#define PIECE   (256u * 1024) /* that is hashed between two turns of the others */

static const char *prop_str(const void *fdt, int node, const char *prop)
{
    int len;
    const char *s = fdt_getprop(fdt, node, prop, &len);
    return s && len > 0 && s[len - 1] == '\0' ? s : NULL;
}

static int add_image(struct bundle *b, int images, const char *name, char *err, size_t n)
{
    struct image *img = &b->image[b->nr_images];
    int len;

    if (b->nr_images == BUNDLE_MAX_IMAGES) {
        snprintf(err, n, "bundle: more than %d images", BUNDLE_MAX_IMAGES);
        return -E2BIG;
    }
    int node = fdt_subnode_offset(b->fdt, images, name);
    if (node < 0) {
        snprintf(err, n, "bundle: image '%s' of the default configuration is missing", name);
        return -ENOENT;
    }
    img->data = fdt_getprop(b->fdt, node, "data", &len);
    const char *compression = prop_str(b->fdt, node, "compression");
    if (!img->data || len < 0 || !compression ||
        (strcmp(compression, "gzip") && strcmp(compression, "none"))) {
        snprintf(err, n, "bundle: image '%s' has no data or an unknown compression", name);
        return -EINVAL;
    }
    img->name = name;
    img->len = img->full_len = (size_t)len;
    img->gzip = !strcmp(compression, "gzip");
    img->node = node;
    if (img->gzip && img->len >= 18) { /* RFC 1952: the last four bytes are the size, little-endian */
        uint32_t size;
        memcpy(&size, (const uint8_t *)img->data + img->len - 4, 4);
        img->full_len = size;
    }
    b->nr_images++;
    return 0;
}

int bundle_open(struct bundle *b, const void *data, size_t len, char *err, size_t n)
{
    memset(b, 0, sizeof(*b));
    err[0] = '\0';
    if (!data || !len) {
        snprintf(err, n, "bundle: the loader gave none (module 1)");
        return -ENOENT;
    }
    if (len < sizeof(struct fdt_header) || fdt_magic(data) != FDT_MAGIC) {
        snprintf(err, n, "bundle: no FIT image (bad magic)");
        return -EINVAL;
    }
    if (fdt_totalsize(data) > len) {
        snprintf(err, n, "bundle: truncated, %zu of %u bytes", len, fdt_totalsize(data));
        return -EINVAL;
    }
    if (fdt_check_full(data, len) != 0) {
        snprintf(err, n, "bundle: its tree is damaged");
        return -EINVAL;
    }
    int images = fdt_path_offset(data, "/images");
    int confs = fdt_path_offset(data, "/configurations");
    const char *def = confs < 0 ? NULL : prop_str(data, confs, "default");
    int conf = def ? fdt_subnode_offset(data, confs, def) : -1;
    int list_len = 0;
    const char *list = conf < 0 ? NULL : fdt_getprop(data, conf, "loadables", &list_len);
    if (images < 0 || !list || list_len <= 0 || list[list_len - 1]) {
        snprintf(err, n, "bundle: no default configuration");
        return -EINVAL;
    }
    b->fdt = data;
    b->len = len;
    /* One bad entry does not cost the others: its message stays, the rest is usable. */
    int rc = 0;
    for (const char *p = list; p < list + list_len; p += strlen(p) + 1) {
        int one = add_image(b, images, p, err, n);
        rc = rc ? rc : one;
    }
    return rc;
}

struct image *bundle_find(struct bundle *b, const char *name)
{
    for (unsigned i = 0; b->fdt && i < b->nr_images; i++)
        if (!strcmp(b->image[i].name, name))
            return &b->image[i];
    return NULL;
}

/* A kernel and its ramdisk take a slow machine a second, in which a driver domain may die. */
static bool sha256_is(const struct image *img, const uint8_t want[32])
{
    const uint8_t *data = img->data;
    uint8_t digest[32];
    SHA256_CTX c;

    SHA256_Init(&c);
    for (size_t at = 0, n; at < img->len; at += n) {
        n = img->len - at < PIECE ? img->len - at : PIECE;
        SHA256_Update(&c, data + at, n);
        if (at + n < img->len)
            job_breathe();
    }
    SHA256_Final(digest, &c);
    return !memcmp(digest, want, sizeof(digest));
}

/* 1: matches, 0: does not, negative: a node that cannot be checked. */
static int check_hash(const struct bundle *b, const struct image *img, int node)
{
    int len;
    const char *algo = prop_str(b->fdt, node, "algo");
    const uint8_t *value = fdt_getprop(b->fdt, node, "value", &len);

    if (!algo || !value)
        return -EINVAL;
    if (!strcmp(algo, "sha256") && len == 32)
        return sha256_is(img, value);
    if (!strcmp(algo, "crc32") && len == 4) {
        uint32_t crc = __builtin_bswap32((uint32_t)crc32(0, img->data, (uInt)img->len));
        return !memcmp(&crc, value, 4);
    }
    return -EINVAL;
}

int image_verify(struct bundle *b, struct image *img, char *err, size_t n)
{
    int node, found = 0, rc = 1;

    if (img->verified)
        return 0;
    if (!img->bad) {
        fdt_for_each_subnode(node, b->fdt, img->node)
        {
            const char *name = fdt_get_name(b->fdt, node, NULL);
            if (!name || strncmp(name, "hash", 4) != 0)
                continue;
            found++;
            rc = check_hash(b, img, node);
            if (rc != 1)
                break;
        }
        img->verified = found && rc == 1;
        img->bad = found && rc == 0;
    }
    if (img->verified)
        return 0;
    if (img->bad)
        snprintf(err, n, "bundle: image '%s': hash mismatch", img->name);
    else
        snprintf(err, n, "bundle: image '%s': no usable hash", img->name);
    return -EBADMSG;
}

/* A stream on its way through inflateBack(). */
struct stream {
    struct image *img;
    sink_fn sink;
    void *arg;
    size_t pos;  /* bytes that came out */
    size_t from; /* the sink has those before */
    bool keep;
    bool over; /* more came out than there was to be */
    int rc;    /* the sink's */
};

static unsigned no_more(void *arg, z_const unsigned char **buf)
{
    (void)arg;
    *buf = NULL; /* all input was there from the start */
    return 0;
}

static int take(void *arg, unsigned char *data, unsigned len)
{
    struct stream *s = arg;
    size_t pos = s->pos, had = s->from > pos ? s->from - pos : 0;

    s->over = len > s->img->full_len - pos;
    if (s->over)
        return 1;
    if (s->keep)
        kept_add(s->img, pos, data, len);
    s->pos += len;
    s->rc = len > had ? s->sink(s->arg, data + had, len - had) : 0;
    return s->rc != 0;
}

static int inflate_into(struct stream *s, uint8_t *window, char *err, size_t n)
{
    const struct image *img = s->img;
    z_stream z = { .next_in = (Bytef *)(uintptr_t)img->data,
                   .avail_in = (uInt)img->len,
                   .next_out = window };
    const char *why = NULL;

    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) {
        snprintf(err, n, "bundle: image '%s': out of memory", img->name);
        return -ENOMEM;
    }
    int zrc = inflate(&z, Z_BLOCK); /* gzip's header, no more */
    inflateEnd(&z);
    /* The rest as raw deflate: the hash has vouched for every byte, so the CRC-32 of RFC 1952's trailer says nothing new. The
     * window is the output buffer, so nothing is copied to keep one. */
    if (zrc == Z_OK && (zrc = inflateBackInit(&z, MAX_WBITS, window)) == Z_OK) {
        zrc = inflateBack(&z, no_more, NULL, take, s);
        inflateBackEnd(&z);
    }
    if (zrc == Z_MEM_ERROR) {
        snprintf(err, n, "bundle: image '%s': out of memory", img->name);
        return -ENOMEM;
    }
    if (s->rc)
        return s->rc;
    if (s->over || (zrc == Z_STREAM_END && (z.avail_in != TRAILER || s->pos != img->full_len)))
        why = "its compressed data have another length than they say";
    else if (zrc == Z_BUF_ERROR)
        why = "its compressed data end too early";
    else if (zrc != Z_STREAM_END)
        why = "bad compressed data";
    if (why)
        snprintf(err, n, "bundle: image '%s': %s", img->name, why);
    return why ? -EBADMSG : 0;
}

static int inflate_all(struct stream *s, char *err, size_t n)
{
    uint8_t *window = malloc(1u << MAX_WBITS);

    if (!window) {
        snprintf(err, n, "bundle: image '%s': out of memory", s->img->name);
        return -ENOMEM;
    }
    int rc = inflate_into(s, window, err, n);
    free(window);
    return rc;
}

int image_stream(struct bundle *b, struct image *img, sink_fn sink, void *arg, char *err, size_t n)
{
    struct stream s = { .img = img, .sink = sink, .arg = arg };
    const void *piece;
    size_t len;

    int rc = image_verify(b, img, err, n);
    if (rc)
        return rc;
    if (!img->gzip)
        return sink(arg, img->data, img->len);
    while (!rc && (piece = kept_at(img, s.from, &len)) != NULL) {
        rc = sink(arg, piece, len);
        s.from += len;
    }
    /* What was kept may have been given up on the way: the rest is inflated. */
    if (rc || (s.from && s.from == img->full_len))
        return rc;
    s.keep = !s.from && kept_begin(img);
    rc = inflate_all(&s, err, n);
    if (s.keep)
        kept_end(img, !rc);
    return rc;
}

static int load_sink(void *arg, const void *data, size_t len)
{
    uint8_t **to = arg;

    memcpy(*to, data, len);
    *to += len;
    return 0;
}

int image_load(struct bundle *b, struct image *img, void **out, size_t *len, size_t max, char *err,
               size_t n)
{
    if (img->full_len > max) {
        snprintf(err, n, "bundle: image '%s': %zu bytes, at most %zu are accepted", img->name,
                 img->full_len, max);
        return -E2BIG;
    }
    int rc = image_verify(b, img, err, n);
    if (rc)
        return rc;
    uint8_t *p = malloc(img->full_len + 1), *to = p;
    if (!p) {
        snprintf(err, n, "bundle: image '%s': out of memory", img->name);
        return -ENOMEM;
    }
    struct stream s = { .img = img, .sink = load_sink, .arg = &to };
    rc = img->gzip ? inflate_all(&s, err, n) : load_sink(&to, img->data, img->len);
    if (rc) {
        free(p);
        return rc;
    }
    *to = 0;
    *out = p;
    *len = img->full_len;
    return 0;
}
