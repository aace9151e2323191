/* SPDX-License-Identifier: MIT */
/* Volumes: found by name in the disk's table (gpt.c), and who uses which sectors how: see volume.h. vbd.c asks before it connects one. */
#include "volume.h"
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gpt.h"

/* The table: a disk may have to spin up first; whoever waits for this domain waits 10 s. */
#define READ_NS (8 * NS_PER_S)
#define LOOK_NS (2 * NS_PER_MS) /* then it is looked at without an interrupt */
#define USERS   96u
#define PROBLEM 240u /* as much as the control domain shows */

struct volume {
    uint32_t number;          /* 0: the disk */
    uint64_t first, nr;       /* 512-byte sectors */
    char label[VOLUME_LABEL]; /* "" if it has none */
    char guid[37];
    char said[VOLUME_LABEL + 32 + USERS]; /* what the store has of it */
};

static struct blkdev *disk;
static struct volume volumes[VOLUME_MAX];
static unsigned nr_volumes;
static struct volume_claim *claims;
static struct gpt gpt;
static bool listed; /* what former instances left in the store is gone */
static bool stale;  /* somebody could write the table since it was read */
static char problem[PROBLEM];
static uint64_t read_by;
static bool silent; /* a read was not answered: its request is the driver's for good */

/* --- reading the table ---------------------------------------------------------------------------------------------- */

static void read_done(struct blk_io *io) { *(bool *)io->arg = true; }

static int disk_read(void *arg, uint64_t lba, uint32_t n, void *buf)
{
    static struct blk_io io;
    static bool done;
    uint64_t now;

    (void)arg;
    if (silent)
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
        if (now > read_by) {
            silent = true;
            return -ETIME;
        }
        if (!disk->ops->arm(disk))
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
static const char from_backup[] = "@backup/";

/* By number what is all digits, else by label, GUID, or the disk's word. */
static bool named(const struct volume *v, const char *spec)
{
    if (!v->number)
        return !strcmp(spec, "disk") || !strcmp(spec, whole_disk);
    if (gpt.where) {
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

    for (const struct volume *v = volumes; v < volumes + nr_volumes; v++)
        n += named(v, spec);
    return n;
}

/* What a user has to write to get it. */
static const char *shown_name(const struct volume *v, char *number, size_t size)
{
    if (!v->number)
        return names("disk") == 1 ? "disk" : whole_disk;
    if (v->label[0] && !all_digits(v->label) && names(v->label) == 1)
        return v->label;
    snprintf(number, size, "%u", v->number);
    return number;
}

/* --- the list --------------------------------------------------------------------------------------------------------- */

static void add_partition(const struct gpt_part *p)
{
    unsigned per = disk->sector_size / 512;
    struct volume *v = &volumes[nr_volumes++];

    memset(v, 0, sizeof(*v));
    v->number = p->number;
    v->first = p->first * per; /* gpt.c: within the disk, so none of these overflows */
    v->nr = (p->last - p->first + 1) * per;
    set_label(v->label, p->name);
    set_guid(v->guid, p->guid);
}

__attribute__((format(printf, 1, 2))) static void add_problem(const char *fmt, ...)
{
    size_t n = strlen(problem);
    va_list ap;

    if (n)
        n += (size_t)snprintf(problem + n, sizeof(problem) - n, "; ");
    va_start(ap, fmt);
    if (n < sizeof(problem))
        vsnprintf(problem + n, sizeof(problem) - n, fmt, ap);
    va_end(ap);
}

static void state_problem(void)
{
    static const char only[] = "only the whole disk is a volume";

    switch (gpt.state) {
    case GPT_GOOD: break;
    case GPT_BACKUP:
        add_problem("the first GPT is damaged (%s), its backup is used", gpt.why);
        break;
    case GPT_NONE:
        if (gpt.hidden)
            add_problem("block 0 has no record for the GPT behind it: %s (gdisk writes one)", only);
        break;
    case GPT_STALE: add_problem("no partition table: %s", only); break;
    case GPT_MBR:
        add_problem("an MBR partition table%s: %s",
                    gpt.hidden ? " without a record for the GPT behind it" : ", no GPT", only);
        break;
    case GPT_DAMAGED:
        add_problem("both copies of the GPT are damaged (%s): %s (sgdisk -v tells more)", gpt.why,
                    only);
        break;
    case GPT_SIZE:
        add_problem("%s: %s (sgdisk -o writes an empty one for it)", gpt.why, only);
        break;
    case GPT_IO: add_problem("the partition table cannot be read: %s", only); break;
    }
}

static void set_problem(void)
{
    problem[0] = '\0';
    state_problem();
    if (gpt.where)
        add_problem("an old GPT's backup at block %lu counts only as %sNAME (gdisk restores it, zeros in that block end it)",
                    gpt.where, from_backup);
    if (gpt.overlap[0])
        add_problem("partitions %u and %u overlap (sgdisk -v tells more, -d takes one away)",
                    gpt.overlap[0], gpt.overlap[1]);
    if (gpt.skipped)
        add_problem("%u partition%s left out (%u: %s)", gpt.skipped, gpt.skipped > 1 ? "s" : "",
                    gpt.skipped_first,
                    gpt.skipped_first > GPT_PARTS
                        ? "numbers beyond 128 are not served"
                        : "not within the usable part, sgdisk -v tells more");
    if (gpt.backup_why)
        add_problem("the GPT's backup in block %lu %s (sgdisk -e mends it)", gpt.backup,
                    gpt.backup_why);
    if (gpt.no_record)
        add_problem("block 0 has no protective record (gdisk writes one)");
}

static void say_table(void)
{
    printf("%s: %s, %lu MiB, %u-byte blocks: ", self.name, disk->model, disk->nr_sectors >> 11,
           disk->sector_size);
    if (gpt.state == GPT_GOOD || gpt.state == GPT_BACKUP)
        printf("%u partition%s%s%s\n", gpt.nr, gpt.nr == 1 ? "" : "s", problem[0] ? "; " : "",
               problem);
    else
        printf("%s\n", problem[0] ? problem : "no partition table");
}

const char *volumes_problem(void) { return problem; }

const char *volumes_scan(struct blkdev *d)
{
    struct gpt_source src = { .read = disk_read,
                              .nr_blocks = d->nr_sectors / (d->sector_size / 512),
                              .block = d->sector_size,
                              .buf = page_alloc(GPT_BUF / PAGE_SIZE) };

    disk = d;
    listed = stale = silent = false;
    read_by = now_ns() + READ_NS;
    memset(&volumes[0], 0, sizeof(volumes[0]));
    volumes[0].nr = d->nr_sectors;
    nr_volumes = 1;
    if (!src.buf) {
        printf("%s: no memory to read the partition table\n", self.name);
        return NULL;
    }
    gpt_read(&src, &gpt);
    if (silent) { /* the device may still write to the buffer */
        disk = NULL;
        nr_volumes = 0;
        return "it does not answer a read of its partition table";
    }
    page_free(src.buf, GPT_BUF / PAGE_SIZE);
    set_problem();
    for (unsigned i = 0; i < gpt.nr && nr_volumes < VOLUME_MAX; i++)
        add_partition(&gpt.part[i]);
    say_table();
    return NULL;
}

/* A guest that had the whole disk may have partitioned it. Without users nothing is in flight, so it can be read again. */
static void refresh(void)
{
    const char *why = stale && !claims ? volumes_scan(disk) : NULL;

    if (why) /* it did answer once: a reset may help */
        bh_panic("the disk is silent: %s", why);
}

/* All that a name means, by the words that mean one of them each. */
static void say_ambiguous(const char *spec, unsigned n, char *why, size_t size)
{
    size_t len = (size_t)snprintf(why, size,
                                  "'%.60s' means %u volumes, name one by its number:", spec, n);

    for (const struct volume *v = volumes; v < volumes + nr_volumes && len < size; v++) {
        if (!named(v, spec))
            continue;
        if (v->number)
            len += (size_t)snprintf(why + len, size - len, " %s%u", gpt.where ? from_backup : "",
                                    v->number);
        else
            len += (size_t)snprintf(why + len, size - len, " %s", whole_disk);
    }
}

static const char *find(const char *spec, const struct volume **out)
{
    static char why[VOLUME_LABEL + 80];
    unsigned n = 0;

    if (!disk)
        return "there is no disk";
    refresh();
    if (!spec[0])
        return "it names no volume";
    *out = NULL;
    for (const struct volume *v = volumes; v < volumes + nr_volumes; v++)
        if (named(v, spec)) {
            *out = v;
            n++;
        }
    if (n == 1)
        return NULL;
    if (n)
        say_ambiguous(spec, n, why, sizeof(why));
    else if (gpt.state == GPT_MBR)
        snprintf(why, sizeof(why),
                 "no volume '%.60s': an MBR partition table, only the whole disk is a volume", spec);
    else
        snprintf(why, sizeof(why), "no volume '%.100s' on this disk", spec);
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

const char *volume_claim(struct volume_claim *c)
{
    static char why[96];

    if (!disk || !c->nr || c->first >= disk->nr_sectors || c->nr > disk->nr_sectors - c->first)
        return "it does not lie on the disk";
    if ((c->mode & VOLUME_WRITE) && disk->read_only)
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
    if ((c->mode & VOLUME_WRITE) && !c->first) /* block 0 is in no partition */
        stale = true;
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

static int publish(struct volume *v)
{
    char path[32], text[sizeof(v->said)], users[USERS], number[12];

    users_of(v, users, sizeof(users));
    snprintf(text, sizeof(text), "%s %lu %s", shown_name(v, number, sizeof(number)), v->nr * 512,
             users);
    if (!strcmp(text, v->said))
        return 0;
    snprintf(path, sizeof(path), "volumes/%u", v->number);
    int rc = xs_write(0, path, text);
    if (!rc)
        memcpy(v->said, text, sizeof(v->said));
    return rc;
}

/* The first of the volumes, those that the store is told of: not those of a table that is not in force. */
static unsigned shown(void) { return gpt.where ? 1 : nr_volumes; }

static bool is_volume(const char *node)
{
    for (const struct volume *v = volumes; v < volumes + shown(); v++)
        if (all_digits(node) && strtoul(node, NULL, 10) == v->number)
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

    if (!disk)
        return 0;
    refresh();
    if (!listed)
        tidy();
    listed = true;
    /* The whole disk, which is always there, comes last: who sees it sees all. */
    for (struct volume *v = volumes + shown(); !rc && v > volumes;)
        rc = publish(--v);
    return rc;
}
