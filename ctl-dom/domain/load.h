/* SPDX-License-Identifier: MIT */
/* From the bundle, and from a volume, to what the builder works with: configurations, and service images that are kept for restarts. */
#pragma once
#include "bundle/bundle.h"
#include "config/config.h"
#include "domain/error.h"
#include "volume/archive.h"

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

/* What comes from a volume counts before what the bundle has of its name (store/volume.h sets it, and waits). NULL: there is none. */
struct load_volume {
    const struct archive *(*files)(void); /* what it has; looks once */
    /* Of one, in pieces; the sink's error ends it and leaves e empty. */
    int (*stream)(const char *name, sink_fn sink, void *arg, struct errbuf *e);
};
extern const struct load_volume *load_volume;

#define CONFIG_NAME 72 /* bytes, with the NUL */
struct config_text {
    char name[CONFIG_NAME]; /* NAME.cfg */
    bool volume;            /* it is, or is to be, that of a volume */
    void *text;             /* for free() */
    size_t len;
};
/* NAME or NAME.cfg of the volume or the bundle, bundle:NAME of that alone, as it stands there. */
int config_text(const char *name, struct config_text *t, struct errbuf *e);
/* The same read, not checked yet; with words of the command (config_read). found: all that there is to say of it; e: the first
 * error, or why there is no such file, of which found has nothing. */
int config_make(struct domcfg *c, const char *name, int nr_words, char *const *words,
                struct findings *found, struct errbuf *e);
int config_load(struct domcfg *c, const char *name, struct errbuf *e);
bool config_is_service(const char *file); /* of the bundle: that of a volume does not count */
/* What of a volume is refused, whatever else is right about it: 0, or -EPERM. */
int config_guests_only(const struct domcfg *c, const char *file, struct errbuf *e);
/* The names of all configurations, the bundle's first: *i is 0 at first. NULL: there is no more. */
const char *config_next(unsigned *i);
bool config_on_volume(const char *name); /* NAME.cfg: its own counts */

/* A kernel or a ramdisk. */
struct boot_file {
    struct image *img; /* of the bundle, or NULL */
    char name[64];     /* of the volume's */
    uint64_t len;      /* inflated; as it says */
};
bool boot_file_find(struct boot_file *f, const char *name); /* false: there is none */
/* As image_stream. */
int boot_file_stream(const struct boot_file *f, sink_fn sink, void *arg, char *err, size_t n);
/* NULL, and why. */
struct svc_image *svc_image_get(const char *name, struct errbuf *e);
