/* SPDX-License-Identifier: MIT */
/* The archive of a volume: see archive.h. Layout: POSIX.1-1988 10.1.1 (ustar); GNU tar differs in its magic alone, as far as we look. */
#include "volume/archive.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WINDOW (32u * 1024) /* is read at once */
#define LOOK_FOR \
    (16u * 1024 * 1024) /* so far behind damage, all of it together, another entry is looked for */
#define PAX_MOST (8 * ARCHIVE_BLOCK)
#define END      (2 * ARCHIVE_BLOCK) /* of zeroes, behind the last entry */

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8];
    char type, link[100], magic[8], uname[32], gname[32], dev[2][8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == ARCHIVE_BLOCK && offsetof(struct header, type) == 156 &&
                   offsetof(struct header, magic) == 257 && offsetof(struct header, prefix) == 345,
               "a block of ustar");

/* A part of the volume that was read. */
struct window {
    const struct archive_disk *d;
    uint64_t at;
    size_t len;
    uint8_t data[WINDOW];
};

/* NULL, and *rc: it cannot be read. at: whole blocks. */
static const uint8_t *block(struct window *w, uint64_t at, int *rc)
{
    if (at < w->at || at - w->at >= w->len) {
        uint64_t from = at - at % 4096, left = w->d->size - from;
        w->at = from;
        w->len = left < WINDOW ? (size_t)left : WINDOW;
        *rc = w->d->read(w->d->arg, from, w->data, w->len);
        if (*rc) {
            w->len = 0;
            return NULL;
        }
    }
    return w->data + (at - w->at);
}

static void tell(struct archive *a, const char *what, const char *name, uint64_t at)
{
    char line[ARCHIVE_NAME + 120];

    a->found++;
    if (!a->tell)
        return;
    snprintf(line, sizeof(line), "entry %u (%.*s, byte %lu) %s", a->entries, (int)ARCHIVE_NAME,
             *name ? name : "no name", (unsigned long)at, what);
    a->tell(line);
}

/* --- a header --- */
/* An octal number, between blanks, as all of tar's are; false: it is none. */
static bool octal(const char *text, size_t n, uint64_t *v)
{
    size_t i = 0;

    *v = 0;
    while (i < n && text[i] == ' ')
        i++;
    size_t first = i;
    for (; i < n && text[i] >= '0' && text[i] <= '7'; i++)
        *v = *v << 3 | (uint64_t)(text[i] - '0');
    bool some = i > first;
    while (i < n && (text[i] == ' ' || text[i] == '\0'))
        i++;
    return some && i == n;
}

static uint64_t sum_of(const struct header *h)
{
    const uint8_t *p = (const uint8_t *)h;
    uint64_t sum = 8 * ' '; /* in the place of its own */

    for (size_t i = 0; i < sizeof(*h); i++)
        if (i < offsetof(struct header, sum) || i >= offsetof(struct header, type))
            sum += p[i];
    return sum;
}

static bool is_posix(const struct header *h) { return !memcmp(h->magic, "ustar\00000", 8); }

static bool is_header(const struct header *h)
{
    uint64_t sum;

    return (is_posix(h) || !memcmp(h->magic, "ustar  ", 8)) &&
           octal(h->sum, sizeof(h->sum), &sum) && sum == sum_of(h);
}

static bool is_zero(const uint8_t *p)
{
    for (size_t i = 0; i < ARCHIVE_BLOCK; i++)
        if (p[i])
            return false;
    return true;
}

/* What is wrong with the name, or NULL; name is what can be shown of it. "" with NULL: the folder that was packed. */
static const char *name_of(const struct header *h, char name[ARCHIVE_NAME])
{
    char full[sizeof(h->prefix) + sizeof(h->name) + 2];
    size_t n = 0;

    if (is_posix(h) && h->prefix[0])
        n = (size_t)snprintf(full, sizeof(full), "%.*s/", (int)sizeof(h->prefix), h->prefix);
    snprintf(full + n, sizeof(full) - n, "%.*s", (int)sizeof(h->name), h->name);
    const char *p = full;
    while (p[0] == '.' && p[1] == '/')
        p += 2;
    n = strlen(p);
    snprintf(name, ARCHIVE_NAME, "%s", p);
    for (char *c = name; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    if (n >= ARCHIVE_NAME)
        return "has too long a name";
    for (size_t i = 0; i < n; i++)
        if (p[i] < ' ' || p[i] > '~')
            return "has a name of other characters than ASCII's";
    if (strchr(p, '/'))
        return "lies in a folder";
    return !strcmp(p, ".") || !strcmp(p, "..") ? "has a name that is none" : NULL;
}

bool archive_is_config(const char *name)
{
    size_t n = strlen(name);

    return n > 4 && !strcmp(name + n - 4, ".cfg");
}

/* --- the directory --- */
static struct archive_file *find(struct archive *a, const char *name)
{
    for (unsigned i = 0; i < a->nr; i++)
        if (!strcmp(a->file[i].name, name))
            return &a->file[i];
    return NULL;
}

const struct archive_file *archive_find(const struct archive *a, const char *name)
{
    return find((struct archive *)(uintptr_t)a, name);
}

/* One that is sound; it takes the place of what had its name. */
static void enter(struct archive *a, const char *name, uint64_t at, uint64_t size)
{
    struct archive_file *f = find(a, name);

    if (f) {
        memmove(f, f + 1, (size_t)(a->file + a->nr - f - 1) * sizeof(*f));
        a->nr--;
    }
    if (!size && archive_is_config(name))
        return;
    if (a->nr == ARCHIVE_FILES) {
        tell(a, "is one file too many", name, at - ARCHIVE_BLOCK);
        return;
    }
    f = &a->file[a->nr++];
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->at = at;
    f->size = size;
}

/* The entry whose header, a right one, lies at `at`; where the next one does. 0: there is none. */
static uint64_t entry(struct archive *a, const struct header *h, uint64_t at, uint64_t volume,
                      bool *extended)
{
    char name[ARCHIVE_NAME];
    const char *why = name_of(h, name);
    bool file = h->type == '0' || h->type == '\0' || h->type == '7', was = *extended;
    uint64_t size, whole = 0;

    *extended = h->type == 'x' || h->type == 'L';
    bool right = octal(h->size, sizeof(h->size), &size); /* 36 bits at most */
    if (right)
        whole = ARCHIVE_BLOCK + (size + ARCHIVE_BLOCK - 1) / ARCHIVE_BLOCK * ARCHIVE_BLOCK;
    if (!right || whole > volume - at) {
        tell(a, "says that it ends behind the volume", name, at);
        return 0;
    }
    if (was)
        why = "has an extended header (a long name?)";
    else if (!file && !why && *name && !strchr("5xgLK", h->type))
        why = "is no file";
    if (why && h->type != '5' && !*extended)
        tell(a, why, name, at);
    else if (file && *name)
        enter(a, name, at + ARCHIVE_BLOCK, size);
    return at + whole;
}

/* Whether the pax header whose `size` bytes lie at `at` says more than times and the like of the entry behind it (POSIX.1-2001, pax). */
static bool pax_changes(struct window *w, uint64_t at, uint64_t size, int *rc)
{
    static const char *const keys[] = { " path=", " size=", " GNU.sparse" };
    char text[PAX_MOST + 1];

    if (size > PAX_MOST)
        return true;
    for (uint64_t n = 0; n < size; n += ARCHIVE_BLOCK) {
        const uint8_t *p = block(w, at + n, rc);
        if (!p)
            return true;
        memcpy(text + n, p, ARCHIVE_BLOCK);
    }
    for (uint64_t n = 0; n < size; n++)
        for (unsigned k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
            if (size - n >= strlen(keys[k]) && !memcmp(text + n, keys[k], strlen(keys[k])))
                return true;
    return false;
}

/* Behind damage at `at` another header is looked for, in *left bytes at most. 0: there is none near, or *rc. */
static uint64_t next_header(struct window *w, uint64_t at, uint64_t *left, int *rc)
{
    while (*left && (at += ARCHIVE_BLOCK) + ARCHIVE_BLOCK <= w->d->size) {
        *left -= ARCHIVE_BLOCK;
        const uint8_t *p = block(w, at, rc);
        if (!p)
            return 0;
        if (is_header((const struct header *)p))
            return at;
    }
    return 0;
}

int archive_scan(struct archive *a, const struct archive_disk *d)
{
    static struct window w;
    bool extended = false, damaged = false;
    uint64_t at = 0, look = LOOK_FOR;
    int rc = 0;

    *a = (struct archive){ .tell = a->tell };
    w.d = d;
    w.len = 0;
    for (;; a->entries++) {
        const uint8_t *p = at + ARCHIVE_BLOCK <= d->size ? block(&w, at, &rc) : NULL;
        if (rc)
            return rc;
        if (!p) {
            tell(a, "is missing: the archive has no end", "", at);
            return 0;
        }
        if (is_zero(p))
            break;
        if (a->entries == ARCHIVE_ENTRIES) {
            tell(a, "is one too many: pack the archive anew", "", at);
            return 0;
        }
        uint64_t next;
        if (is_header((const struct header *)p)) {
            bool pax = ((const struct header *)p)->type == 'x';
            next = entry(a, (const struct header *)p, at, d->size, &extended);
            if (!next)
                return 0;
            if (pax)
                extended = pax_changes(&w, at + ARCHIVE_BLOCK, next - at - ARCHIVE_BLOCK, &rc);
            if (rc)
                return rc;
        } else {
            tell(a, at ? "is damaged" : "is none: there is no tar archive", "", at);
            damaged = true;
            extended = false;
            next = next_header(&w, at, &look, &rc);
            if (!next)
                return rc;
        }
        at = next;
    }
    a->end = at;
    a->sound = !damaged;
    return 0;
}

/* --- one more entry --- */
static void header_make(struct header *h, const char *name, size_t len, uint64_t mtime)
{
    memset(h, 0, sizeof(*h));
    memcpy(h->name, name, strlen(name));
    memcpy(h->mode, "0000644", 8);
    memcpy(h->uid, "0000000", 8);
    memcpy(h->gid, "0000000", 8);
    snprintf(h->size, sizeof(h->size), "%011lo", (unsigned long)len);
    snprintf(h->mtime, sizeof(h->mtime), "%011lo", (unsigned long)(mtime & 077777777777));
    h->type = '0';
    memcpy(h->magic, "ustar\00000", 8);
    snprintf(h->sum, sizeof(h->sum), "%06lo", (unsigned long)sum_of(h));
    h->sum[7] = ' ';
}

int archive_append(const struct archive *a, const struct archive_disk *d, const char *name,
                   const void *data, size_t len, uint64_t mtime)
{
    static uint8_t buf[4096 + ARCHIVE_BLOCK + ARCHIVE_TEXT + END + 4096];
    size_t off = a->end % d->sector, body = (len + ARCHIVE_BLOCK - 1) / ARCHIVE_BLOCK * ARCHIVE_BLOCK;
    uint64_t from = a->end - off;
    struct header *h = (struct header *)(buf + off);

    if (!a->sound || !*name || strlen(name) >= ARCHIVE_NAME || strchr(name, '/') || len > ARCHIVE_TEXT)
        return -EINVAL;
    if (len && a->nr == ARCHIVE_FILES && !archive_find(a, name))
        return -EMFILE;
    size_t all = off + sizeof(*h) + body + END;
    all = (all + d->sector - 1) / d->sector * d->sector;
    if (a->entries + 1 >= ARCHIVE_ENTRIES || all > d->size || from > d->size - all)
        return -ENOSPC;
    /* Everything but the header: the archive ends where it did. */
    memset(buf, 0, all);
    int rc = off ? d->read(d->arg, from, buf, d->sector) : 0;
    memset(h, 0, all - off);
    if (!rc && len)
        memcpy(h + 1, data, len);
    if (!rc)
        rc = d->write(d->arg, from, buf, all);
    if (!rc)
        rc = d->flush(d->arg);
    /* And now it counts. */
    header_make(h, name, len, mtime);
    if (!rc)
        rc = d->write(d->arg, from, buf, d->sector);
    return rc ? rc : d->flush(d->arg);
}
