/* SPDX-License-Identifier: MIT */
/* Configurations and service images of the bundle, whose hashes bundle.c holds them to. */
#include "domain/load.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "domain/elf.h"
#include "domain/start_info.h"

#define MAX_CONFIG (64u * 1024)
#define MAX_IMAGE  (4u * 1024 * 1024)

struct bundle bundle;
static struct svc_image *images;

int config_make(struct domcfg *c, const char *name, int nr_words, char *const *words,
                struct findings *found, struct errbuf *e)
{
    char full[72];
    void *text;
    size_t len;
    int rc;

    struct image *img = bundle_find(&bundle, name);
    size_t nlen = strlen(name);
    memset(found, 0, sizeof(*found));
    if (!img || nlen < 4 || strcmp(name + nlen - 4, ".cfg") != 0) {
        snprintf(full, sizeof(full), "%s.cfg", name);
        img = bundle_find(&bundle, full);
    }
    if (!img && strchr(name, '/'))
        return fail(e, -ENOENT,
                    "%s: is a path: configurations come from the boot bundle, by their names there",
                    name);
    if (!img)
        return fail(e, -ENOENT, "%s: no such configuration in the bundle", name);
    rc = image_load(&bundle, img, &text, &len, MAX_CONFIG, e->s, sizeof(e->s));
    if (rc)
        return rc;
    rc = config_read(c, img->name, text, len, nr_words, words, found);
    free(text);
    if (rc)
        findings_first(found, e->s, sizeof(e->s));
    return rc;
}

int config_load(struct domcfg *c, const char *name, struct errbuf *e)
{
    struct findings *found = malloc(sizeof(*found));
    int rc = found ? config_make(c, name, 0, NULL, found, e)
                   : fail(e, -ENOMEM, "%s: out of memory", name);

    free(found);
    return rc;
}

/* The file stays in memory, so that segments are read from the table afterwards. */
static int ignore(void *arg, uint64_t gpa, const void *src, size_t len)
{
    (void)arg, (void)gpa, (void)src, (void)len;
    return 0;
}

static int read_segments(struct svc_image *si, size_t len, struct errbuf *e)
{
    struct elf_stream *s = malloc(sizeof(*s));
    int rc = s ? 0 : fail(e, -ENOMEM, "image '%s': out of memory", si->name);

    if (rc)
        return rc;
    elf_begin(s, ignore, NULL, BH_SVC_BUNDLE); /* build_service knows how much memory there is */
    rc = elf_feed(s, si->file, len);
    if (!rc)
        rc = elf_end(s);
    if (rc) {
        fail(e, rc, "image '%s' %s", si->name, s->why);
    } else if (s->low < BH_SVC_IMAGE) {
        rc = fail(e, -ENOEXEC, "image '%s' starts below 1 MiB", si->name);
    } else {
        for (unsigned i = 0; i < s->nr_loads; i++)
            if (s->load[i].len)
                si->seg[si->nr_segs++] = (struct svc_seg){
                    s->load[i].gpa,
                    (const uint8_t *)si->file + s->load[i].off,
                    s->load[i].len,
                    s->load[i].writable,
                };
        si->entry = s->entry;
        si->high = s->high;
    }
    free(s);
    return rc;
}

struct svc_image *svc_image_get(const char *name, struct errbuf *e)
{
    size_t len;

    for (struct svc_image *si = images; si; si = si->next)
        if (!strcmp(si->name, name))
            return si;
    struct image *img = bundle_find(&bundle, name);
    if (!img) {
        fail(e, -ENOENT, "image '%s' is not in the bundle", name);
        return NULL;
    }
    struct svc_image *si = calloc(1, sizeof(*si));
    if (!si) {
        fail(e, -ENOMEM, "image '%s': out of memory", name);
        return NULL;
    }
    snprintf(si->name, sizeof(si->name), "%s", name);
    if (image_load(&bundle, img, &si->file, &len, MAX_IMAGE, e->s, sizeof(e->s)))
        goto free_si;
    if (read_segments(si, len, e))
        goto free_file;
    si->next = images;
    images = si;
    return si;

free_file:
    free(si->file);
free_si:
    free(si);
    return NULL;
}
