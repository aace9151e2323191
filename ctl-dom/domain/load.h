/* SPDX-License-Identifier: MIT */
/* From the bundle to what the builder works with: configurations, and service images that are kept for restarts. */
#pragma once
#include "bundle/bundle.h"
#include "config/config.h"
#include "domain/error.h"

struct svc_seg {
    uint64_t gpa;
    const void *src;
    size_t len;
    bool writable;
};
/* An inflated image, kept for restarts and shared by all domains that run it. */
struct svc_image {
    char name[64];
    void *file;
    struct svc_seg seg[16]; /* ELF_SEGMENTS */
    unsigned nr_segs;
    uint64_t entry, high;
    struct svc_image *next;
};

extern struct bundle bundle; /* the one that the machine was started with; main.c opens it */

/* NAME or NAME.cfg of the bundle, not checked yet; with words of the command (config_read). found: all that there is to say of it; e: the first
 * error, or why there is no such file, of which found has nothing. */
int config_make(struct domcfg *c, const char *name, int nr_words, char *const *words,
                struct findings *found, struct errbuf *e);
int config_load(struct domcfg *c, const char *name, struct errbuf *e);
/* NULL, and why. */
struct svc_image *svc_image_get(const char *name, struct errbuf *e);
