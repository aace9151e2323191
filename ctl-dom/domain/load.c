/* SPDX-License-Identifier: MIT */
/* Configurations and images: those of the bundle, whose hashes bundle.c holds them to, and those of a volume, which may be anybody's: guests only. */
#include "domain/load.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "domain/elf.h"
#include "domain/start_info.h"

#define MAX_CONFIG (64u * 1024)
#define MAX_IMAGE  (4u * 1024 * 1024)

#define BUNDLE_WORD "bundle:"

struct bundle bundle;
const struct load_volume *load_volume;
static struct svc_image *images;

/* --- configurations ----------------------------------------------------------------------------- */
static const struct archive_file *on_volume(const char *name)
{
    return load_volume ? archive_find(load_volume->files(), name) : NULL;
}

/* What the machine is made of comes from the bundle alone, which is held to its hashes: a volume has nothing in the place of a service domain's. */
bool config_is_service(const char *full)
{
    static struct domcfg c;
    char name[sizeof(BUNDLE_WORD) + CONFIG_NAME];
    struct errbuf ignored;

    snprintf(name, sizeof(name), BUNDLE_WORD "%s", full);
    return bundle_find(&bundle, full) && (config_load(&c, name, &ignored) || c.role != BH_ROLE_GUEST);
}

bool config_on_volume(const char *name) { return on_volume(name) && !config_is_service(name); }

/* The text of one, in malloc'ed memory with a NUL behind it. */
static int bundle_text(const char *full, void **text, size_t *len, struct errbuf *e)
{
    struct image *img = bundle_find(&bundle, full);

    if (!img)
        return fail(e, -ENOENT, "%.*s: no such configuration in the bundle%s (configs lists them)",
                    (int)(strlen(full) - 4), full, load_volume ? " or on a volume" : "");
    return image_load(&bundle, img, text, len, MAX_CONFIG, e->s, sizeof(e->s));
}

struct text {
    char *at;
    size_t left;
};

static int text_sink(void *arg, const void *data, size_t len)
{
    struct text *t = arg;

    if (len > t->left)
        return -E2BIG;
    memcpy(t->at, data, len);
    t->at += len;
    t->left -= len;
    return 0;
}

static int volume_text(const char *full, uint64_t size, void **out, struct errbuf *e)
{
    struct errbuf why = { "" };

    if (size > MAX_CONFIG)
        return fail(e, -E2BIG, "%s: %lu bytes, at most %u are accepted", full, size, MAX_CONFIG);
    char *text = malloc(size + 1);
    if (!text)
        return fail(e, -ENOMEM, "%s: out of memory", full);
    struct text t = { text, size };
    int rc = load_volume->stream(full, text_sink, &t, &why);
    if (!rc && t.left)
        rc = -EBADMSG;
    if (rc) {
        free(text);
        return fail(e, rc, "%s: %s", full, why.s[0] ? why.s : errno_text(rc));
    }
    text[size] = '\0';
    *out = text;
    return 0;
}

int config_text(const char *name, struct config_text *t, struct errbuf *e)
{
    bool bundled = !strncmp(name, BUNDLE_WORD, strlen(BUNDLE_WORD));

    name += bundled ? strlen(BUNDLE_WORD) : 0;
    if (strchr(name, '/'))
        return fail(e, -ENOENT,
                    "%s: is a path: configurations come from the boot bundle, by their names there",
                    name);
    snprintf(t->name, sizeof(t->name), "%.66s%s", name, archive_is_config(name) ? "" : ".cfg");
    const struct archive_file *f = bundled || config_is_service(t->name) ? NULL : on_volume(t->name);
    t->volume = f;
    t->len = f ? (size_t)f->size : 0;
    return f ? volume_text(t->name, f->size, &t->text, e)
             : bundle_text(t->name, &t->text, &t->len, e);
}

int config_guests_only(const struct domcfg *c, const char *file, struct errbuf *e)
{
    if (c->role == BH_ROLE_GUEST && !c->image[0])
        return 0;
    return fail(e, -EPERM, "%s: is on a volume, which can only have guests with a kernel", file);
}

int config_make(struct domcfg *c, const char *name, int nr_words, char *const *words,
                struct findings *found, struct errbuf *e)
{
    struct config_text t;

    memset(found, 0, sizeof(*found));
    int rc = config_text(name, &t, e);
    if (rc)
        return rc;
    rc = config_read(c, t.name, t.text, t.len, nr_words, words, found);
    free(t.text);
    if (!rc)
        return t.volume ? config_guests_only(c, t.name, e) : 0;
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

const char *config_next(unsigned *i)
{
    const struct archive *v = load_volume ? load_volume->files() : NULL;

    while (*i < bundle.nr_images) {
        const char *name = bundle.image[(*i)++].name;
        if (archive_is_config(name))
            return name;
    }
    while (v && *i - bundle.nr_images < v->nr) {
        const char *name = v->file[(*i)++ - bundle.nr_images].name;
        if (archive_is_config(name) && !bundle_find(&bundle, name))
            return name;
    }
    return NULL;
}

/* --- kernels, ramdisks -------------------------------------------------------------------------- */
bool boot_file_find(struct boot_file *f, const char *name)
{
    const struct archive_file *v = on_volume(name);

    *f = (struct boot_file){ .img = v ? NULL : bundle_find(&bundle, name) };
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->len = v ? v->size : f->img ? f->img->full_len : 0;
    return v || f->img;
}

int boot_file_stream(const struct boot_file *f, sink_fn sink, void *arg, char *err, size_t n)
{
    struct errbuf e = { "" };

    if (f->img)
        return image_stream(&bundle, f->img, sink, arg, err, n);
    int rc = load_volume->stream(f->name, sink, arg, &e);
    if (e.s[0])
        snprintf(err, n, "%s", e.s);
    return rc;
}

/* --- images of service domains ------------------------------------------------------------------ */
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
