/* SPDX-License-Identifier: MIT */
/*
 * The boot bundle: a FIT image (flattened device tree) that carries service domains, guest kernels,
 * ramdisks and domain configurations. Nothing of it is used before its size, structure and every
 * hash node of the image in question were checked. The bundle is mapped read-only, so that a check
 * holds for good and is done once an image.
 *
 * No hypercalls; the unit test runs it on the host. What is large is hashed in pieces, between which the main loop has its turn.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUNDLE_MAX_IMAGES 64

struct image {
    const char *name;
    const void *data; /* as stored */
    size_t len;
    size_t full_len; /* inflated; from the gzip trailer, so only a claim until it has been inflated */
    bool gzip;
    bool verified, bad; /* outcome of the hash check, once it was done */
    int node;           /* offset in the tree */
    struct kept *kept;  /* what is kept of it inflated (kept.h), or NULL */
};

struct bundle {
    const void *fdt; /* NULL: no usable bundle */
    size_t len;
    struct image image[BUNDLE_MAX_IMAGES]; /* those of the default configuration, in its order */
    unsigned nr_images;
};

/* Every function below returns 0 or a negative errno, with a line for the user in err. */
int bundle_open(struct bundle *b, const void *data, size_t len, char *err, size_t n);
struct image *bundle_find(struct bundle *b, const char *name); /* or NULL */
int image_verify(struct bundle *b, struct image *img, char *err, size_t n);
/* Verifies, inflates and hands the bytes over in order, in pieces; what was inflated is kept for the
 * next time, as far as there is room. A piece is good until the sink returns or allocates memory. The
 * sink's error ends it and is returned with err left alone. */
typedef int (*sink_fn)(void *arg, const void *data, size_t len);
int image_stream(struct bundle *b, struct image *img, sink_fn sink, void *arg, char *err, size_t n);
/* The whole image in malloc'ed memory (with a NUL after it); the caller frees it. */
int image_load(struct bundle *b, struct image *img, void **out, size_t *len, size_t max, char *err,
               size_t n);
