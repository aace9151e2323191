/* SPDX-License-Identifier: MIT */
/* FIT images for tests: libfdt's writer, with the nodes that bundle_open() reads. */
#pragma once
#include <stdint.h>
#include <libfdt.h>
#include <zlib.h>
#include <sha256.h>
extern unsigned breaths; /* of the job, while an image is hashed */
void fit_begin(void *fdt, int space);
/* hash: its algorithm; sha256 and crc32 are right. */
void fit_add(void *fdt, const char *name, const char *compression, const void *data, size_t len,
             const char *hash);
/* loadables: the names, each with its NUL. Returns the length of it all; 0: no room. */
size_t fit_end(void *fdt, const char *loadables, int len);
/* Like gzip -9n; returns the length. */
size_t fit_gzip(const void *data, size_t len, void *out, size_t room);
