/* SPDX-License-Identifier: MIT */
/* Volumes: found by name in the disk's table (gpt.c), and who uses which sectors how: see volume.h. vbd.c asks before it connects one. */
#include "volume.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS (2 * NS_PER_MS) /* the disk is looked at without an interrupt */
#define USERS   96u

/* A disk and its table. */
struct table {
    struct blkdev *disk; /* NULL: none */
    enum gpt_state state;
    bool backup; /* the partitions are of a table that is not in force */
    bool stale;  /* somebody could write it since it was read */
    char problem[PROBLEM];
};

struct volume {
    const struct table *of;
    uint32_t number;          /* 0: the disk */
    uint64_t first, nr;       /* 512-byte sectors */
    char label[VOLUME_LABEL]; /* "" if it has none */
    char guid[37];
    char said[VOLUME_LABEL + 32 + USERS]; /* what the store has of it */
};

static struct table tables[BLK_MAX_DEVS];
static struct volume volumes[VOLUME_MAX];
static unsigned nr_volumes;
static struct volume_claim *claims;
static struct gpt gpt; /* of the disk that is being read */
static bool listed;    /* what former instances left in the store is gone */
static uint64_t read_by;
static bool silent; /* a read was not answered: its request is the driver's for good */

#define EACH_TABLE(t)  for (struct table *t = tables; t < tables + BLK_MAX_DEVS; t++)
#define EACH_VOLUME(v) for (struct volume *v = volumes; v < volumes + nr_volumes; v++)

/* --- reading the table ---------------------------------------------------------------------------------------------- */

static void read_done(struct blk_io *io) { *(bool *)io->arg = true; }

static int disk_read(void *arg, uint64_t lba, uint32_t n, void *buf)
{
    static struct blk_io io;
    static bool done;
    struct blkdev *disk = arg;
    uint64_t now;

    if (silent || (silent = disk->away))
        return -ETIME;
    done = false;
    io = (struct blk_io){ .op = BLK_READ,
                          .sector = lba * (disk->sector_size / 512),
                          .nr_sectors = n * (disk->sector_size / 512),
                          .seg[0] = { buf, n * disk->sector_size },
                          .nr_segs = 1,
                          .done = read_done,
                          .arg = &done };
    if (disk->ops->submit(disk, &io))
        return -EBUSY;
    while (disk->ops->poll(disk), !done) {
        now = now_ns();
        if (now > read_by || disk->away) {
            silent = true;
            return -ETIME;
        }
        if (xs_idle)
            xs_idle(); /* the others' disks go on */
        if (!done && !disk->ops->arm(disk))
            event_wait(now + LOOK_NS);
    }
    return io.status;
}

/* --- names ------------------------------------------------------------------------------------------------------------ */

static bool label_char(unsigned c)
{
    return c >= 0x80 || isalnum((int)c) || (c && strchr("._+-", (int)c));
}

/* UTF-16 to UTF-8 with "_" for what would have to be quoted somewhere. */
static void set_label(char *to, const uint16_t *name)
{
    unsigned n = 0;

    for (unsigned i = 0; i < GPT_NAME && name[i]; i++) {
        uint32_t c = name[i];
        if (c >= 0xd800 && c < 0xdc00 && i + 1 < GPT_NAME && name[i + 1] >= 0xdc00 &&
            name[i + 1] < 0xe000)
            c = 0x10000 + ((c - 0xd800) << 10) + (name[++i] - 0xdc00u);
        if ((c >= 0xd800 && c < 0xe000) || (c >= 0x80 && c < 0xa0) || !label_char(c))
            c = '_';
        if (c >= 0x10000) {
            to[n++] = (char)(0xf0 | c >> 18);
            to[n++] = (char)(0x80 | (c >> 12 & 0x3f));
        } else if (c >= 0x800) {
            to[n++] = (char)(0xe0 | c >> 12);
        } else if (c >= 0x80) {
            to[n++] = (char)(0xc0 | c >> 6);
        }
        if (c >= 0x800)
            to[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        to[n++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    to[n] = 0;
}
_Static_assert(VOLUME_LABEL > GPT_NAME * 3, "three bytes a UTF-16 unit at most");

/* The first three fields are little-endian numbers (UEFI 2.8, appendix A). */
static void set_guid(char *to, const uint8_t *g)
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        snprintf(to, 3, "%02x", g[order[i]]);
        to += 2;
    }
}

static bool all_digits(const char *s)
{
    size_t n = strspn(s, "0123456789");

    return n && !s[n];
}

/* The disk, always: no label has such a character. "disk" is it where no partition is called so. */
static const char whole_disk[] = "@disk";

/* Before the name of a volume of a backup table that is not in force: nobody gets one of these without asking for it. */
static const char from_backup[] = FROM_BACKUP;

/* By number what is all digits, else by label, GUID, or the disk's word. Of a relay "xvda" is a disk, "xvda/" before a name says of which it is. */
static bool named(const struct volume *v, const char *spec)
{
    const char *disk = v->of->disk->name;
    size_t n = disk ? strlen(disk) : 0;

    if (n && !strncmp(spec, disk, n)) {
        if (!spec[n])
            return !v->number;
        if (spec[n] == '/')
            spec += n + 1;
    }
    if (!v->number)
        return !strcmp(spec, "disk") || !strcmp(spec, whole_disk);
    if (v->of->backup) {
        if (strncmp(spec, from_backup, sizeof(from_backup) - 1) != 0)
            return false;
        spec += sizeof(from_backup) - 1;
    }
    if (all_digits(spec))
        return v->number == strtoul(spec, NULL, 10);
    return (v->label[0] && !strcmp(v->label, spec)) || !strcasecmp(v->guid, spec);
}

/* How many volumes a name means: only one that means one is a name. */
static unsigned names(const char *spec)
{
    unsigned n = 0;

    EACH_VOLUME(v)
    n += named(v, spec);
    return n;
}

#define SHOWN (VOLUME_LABEL + 24u)

/* The word that means nothing else. */
static const char *sure_name(const struct volume *v, char to[SHOWN])
{
    const char *disk = v->of->disk->name;

    if (v->number)
        snprintf(to, SHOWN, "%s%s%s%u", disk ? disk : "", disk ? "/" : "",
                 v->of->backup ? from_backup : "", v->number);
    else
        snprintf(to, SHOWN, "%s", disk ? disk : whole_disk);
    return to;
}

/* What a user has to write to get it. */
static const char *shown_name(const struct volume *v, char to[SHOWN])
{
    const char *disk = v->of->disk->name;

    if (!v->number && !disk && names("disk") == 1)
        return "disk";
    if (!v->number || !v->label[0] || all_digits(v->label))
        return sure_name(v, to);
    snprintf(to, SHOWN, "%s%s%s", disk ? disk : "", disk ? "/" : "", v->label);
    return names(to) == 1 ? to : sure_name(v, to);
}

/* --- the list --------------------------------------------------------------------------------------------------------- */

static struct volume *volume_add(const struct table *t)
{
    struct volume *v = &volumes[nr_volumes++];

    *v = (struct volume){ .of = t, .first = t->disk->base, .nr = t->disk->nr_sectors };
    return v;
}

static void add_partition(const struct table *t, const struct gpt_part *p)
{
    unsigned per = t->disk->sector_size / 512;
    struct volume *v = volume_add(t);

    v->number = p->number;
    v->first += p->first * per; /* gpt.c: within the disk, so none of these overflows */
    v->nr = (p->last - p->first + 1) * per;
    set_label(v->label, p->name);
    set_guid(v->guid, p->guid);
}

static void say_table(const struct table *t)
{
    const struct blkdev *disk = t->disk;

    printf("%s: %s, %lu MiB, %u-byte blocks: ", self.name, disk->model, disk->nr_sectors >> 11,
           disk->sector_size);
    if (gpt.state == GPT_GOOD || gpt.state == GPT_BACKUP)
        printf("%u partition%s%s%s\n", gpt.nr, gpt.nr == 1 ? "" : "s", t->problem[0] ? "; " : "",
               t->problem);
    else
        printf("%s\n", t->problem[0] ? t->problem : "no partition table");
}

const char *volumes_problem(void)
{
    static char all[PROBLEM];

    all[0] = '\0';
    EACH_TABLE(t)
    {
        const char *name = t->disk ? t->disk->name : NULL;
        if (t->disk && t->problem[0])
            add_problem(all, "%s%s%s", name ? name : "", name ? ": " : "", t->problem);
    }
    return all;
}

static struct table *table_of(struct blkdev *d)
{
    struct table *empty = NULL;

    EACH_TABLE(t)
    {
        if (t->disk == d)
            return t;
        if (!t->disk && !empty)
            empty = t;
    }
    return empty;
}

void volumes_forget(struct blkdev *d)
{
    struct table *t = table_of(d);
    unsigned n = 0;

    EACH_VOLUME(v)
    {
        if (v->of != t)
            volumes[n++] = *v;
    }
    nr_volumes = n;
    t->disk = NULL;
    listed = false;
}

static void volumes_add(struct table *t)
{
    if (nr_volumes < VOLUME_MAX)
        (void)volume_add(t);
    if (gpt.nr > VOLUME_MAX - nr_volumes)
        add_problem(t->problem, "too many partitions on all disks: not all are volumes");
    for (unsigned i = 0; i < gpt.nr && nr_volumes < VOLUME_MAX; i++)
        add_partition(t, &gpt.part[i]);
}

const char *volumes_scan(struct blkdev *d)
{
    struct gpt_source src = { .read = disk_read,
                              .arg = d,
                              .nr_blocks = d->nr_sectors / (d->sector_size / 512),
                              .block = d->sector_size,
                              .buf = page_alloc(GPT_BUF / PAGE_SIZE) };

    volumes_forget(d);
    struct table *t = table_of(d); /* as many as there can be disks */
    silent = false;
    read_by = now_ns() + (d->scan_ns ? d->scan_ns : VOLUMES_SCAN_NS);
    *t = (struct table){ .disk = d };
    memset(&gpt, 0, sizeof(gpt));
    if (!src.buf)
        printf("%s: no memory to read the partition table\n", self.name);
    else
        gpt_read(&src, &gpt);
    if (silent) { /* the device may still write to the buffer, but one that forgets */
        static const char why[] = "it does not answer a read of its partition table";
        t->disk = NULL;
        if (d->lost) {
            d->lost(d, why);
            page_free(src.buf, GPT_BUF / PAGE_SIZE);
        }
        return why;
    }
    if (src.buf)
        page_free(src.buf, GPT_BUF / PAGE_SIZE);
    t->state = gpt.state;
    t->backup = gpt.where;
    table_problem(&gpt, t->problem);
    volumes_add(t);
    if (src.buf)
        say_table(t);
    return NULL;
}

bool volumes_used(const struct blkdev *d)
{
    for (const struct volume_claim *c = claims; c; c = c->next) {
        if (blkdev_has(d, c->first))
            return true;
    }
    return false;
}

/* A guest that had the whole disk may have partitioned it. Without users nothing is in flight, so it can be read again. */
static void refresh(void)
{
    EACH_TABLE(t)
    {
        struct blkdev *d = t->disk;
        const char *why = d && t->stale && !volumes_used(d) ? volumes_scan(d) : NULL;
        if (why && !d->lost) /* it did answer once: a reset may help */
            bh_panic("the disk is silent: %s", why);
    }
}

/* All that a name means, by the words that mean one of them each. */
static void say_ambiguous(const char *spec, unsigned n, char *why, size_t size)
{
    char word[SHOWN];
    size_t len = (size_t)snprintf(why, size,
                                  "'%.60s' means %u volumes, name one by its number:", spec, n);

    EACH_VOLUME(v)
    {
        if (named(v, spec) && len < size)
            len += (size_t)snprintf(why + len, size - len, " %s", sure_name(v, word));
    }
}

static const char *find(const char *spec, const struct volume **out)
{
    static char why[VOLUME_LABEL + 80];
    unsigned n = 0, disks = 0, mbr = 0;

    refresh();
    EACH_TABLE(t)
    {
        disks += t->disk != NULL;
        mbr += t->disk && t->state == GPT_MBR;
    }
    if (!disks)
        return "there is no disk";
    if (!spec[0])
        return "it names no volume";
    *out = NULL;
    EACH_VOLUME(v)
    if (named(v, spec)) {
        *out = v;
        n++;
    }
    if (n == 1)
        return NULL;
    if (n)
        say_ambiguous(spec, n, why, sizeof(why));
    else if (mbr && disks == 1)
        snprintf(why, sizeof(why),
                 "no volume '%.60s': an MBR partition table, only the whole disk is a volume", spec);
    else
        snprintf(why, sizeof(why), "no volume '%.100s' on %s", spec,
                 disks == 1 ? "this disk" : "these disks");
    return why;
}

const char *volume_find(const char *spec, uint64_t *first, uint64_t *nr)
{
    const struct volume *v = NULL;
    const char *why = find(spec, &v);

    if (!why) {
        *first = v->first;
        *nr = v->nr;
    }
    return why;
}

/* --- users ------------------------------------------------------------------------------------------------------------ */

bool volume_overlap(const struct volume_claim *a, const struct volume_claim *b)
{
    return a->first < b->first + b->nr && b->first < a->first + a->nr;
}

static const struct blkdev *disk_at(uint64_t first)
{
    EACH_TABLE(t)
    {
        if (t->disk && blkdev_has(t->disk, first))
            return t->disk;
    }
    return NULL;
}

const char *volume_claim(struct volume_claim *c)
{
    static char why[96];

    const struct blkdev *d = disk_at(c->first);
    if (!d || !c->nr || c->nr > d->nr_sectors - (c->first - d->base))
        return "it does not lie on the disk";
    if ((c->mode & VOLUME_WRITE) && d->read_only)
        return "the disk is read-only";
    for (const struct volume_claim *o = claims; o && !(c->mode & VOLUME_FORCE); o = o->next) {
        if (!volume_overlap(c, o) || !((c->mode | o->mode) & VOLUME_WRITE))
            continue;
        snprintf(why, sizeof(why), "domain %u %s %s already", o->domid,
                 o->mode & VOLUME_WRITE ? "writes" : "reads",
                 c->first == o->first && c->nr == o->nr ? "it"
                                                        : "a part of it or what it is a part of");
        return why;
    }
    c->next = claims;
    claims = c;
    c->claimed = true;
    return NULL;
}

void volume_release(struct volume_claim *c)
{
    struct volume_claim **link = &claims;

    if (!c->claimed)
        return;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    c->next = NULL;
    c->claimed = false;
    EACH_TABLE(t)
    {
        if (t->disk && (c->mode & VOLUME_WRITE) && c->first == t->disk->base)
            t->stale = true; /* block 0 is in no partition */
    }
}

/* --- the store -------------------------------------------------------------------------------------------------------- */

/* Users of just this extent: whoever has the disk is shown at the disk. */
static void users_of(const struct volume *v, char *to, size_t size)
{
    size_t n = 0;

    for (const struct volume_claim *c = claims; c; c = c->next) {
        if (c->first != v->first || c->nr != v->nr)
            continue;
        int len = snprintf(to + n, size - n, "%s%u%c", n ? "," : "", c->domid,
                           c->mode & VOLUME_WRITE ? 'w' : 'r');
        if ((size_t)len >= size - n) {
            snprintf(to + (n < size - 4 ? n : size - 4), 4, "...");
            return;
        }
        n += (size_t)len;
    }
    if (!n)
        snprintf(to, size, "-");
}

/* Its node: disks have a thousand each. */
static unsigned node_of(const struct volume *v)
{
    return (unsigned)(v->of->disk->base / BLK_BASE) * 1000 + v->number;
}

static int publish(struct volume *v)
{
    char path[32], text[sizeof(v->said)], users[USERS], name[SHOWN];

    users_of(v, users, sizeof(users));
    snprintf(text, sizeof(text), "%s %lu %s", shown_name(v, name), v->nr * 512, users);
    if (!strcmp(text, v->said))
        return 0;
    snprintf(path, sizeof(path), "volumes/%u", node_of(v));
    int rc = xs_write(0, path, text);
    if (!rc)
        memcpy(v->said, text, sizeof(v->said));
    return rc;
}

/* Those that the store is told of: not those of a table that is not in force. */
static bool shown(const struct volume *v) { return !v->of->backup || !v->number; }

static bool is_volume(const char *node)
{
    EACH_VOLUME(v)
    if (shown(v) && all_digits(node) && strtoul(node, NULL, 10) == node_of(v))
        return true;
    return false;
}

/* Nodes of partitions that a former instance saw and that are gone. */
static void tidy(void)
{
    unsigned n;
    char path[48], **nodes = xs_ls(0, "volumes", &n);

    for (unsigned i = 0; nodes && i < n; i++) {
        if (is_volume(nodes[i]))
            continue;
        snprintf(path, sizeof(path), "volumes/%.30s", nodes[i]);
        xs_rm(0, path);
    }
    free(nodes);
}

int volumes_tell(void)
{
    int rc = 0;

    refresh();
    if (!nr_volumes && !listed)
        return 0;
    if (!listed)
        tidy();
    listed = true;
    /* The whole disk, which is always there, comes last of its own: who sees it sees all. */
    for (struct volume *v = volumes + nr_volumes; !rc && v > volumes;) {
        if (shown(--v))
            rc = publish(v);
    }
    return rc;
}
