/* SPDX-License-Identifier: MIT */
/*
 * A volume's archive: what tar(1) writes to the beginning of a partition (POSIX.1-1988 ustar, or GNU tar's own variant of it). Of several
 * entries of one name the last counts, as for tar; a configuration without a byte takes those before it away. So it is only ever appended to,
 * and one block makes what was appended count: its header, which comes last.
 *
 * Whoever wrote it may have written anything: nothing of it is believed but what a header with a right checksum says of itself, within the
 * volume. What is wrong is told, the rest is used; but an archive in which something is damaged is not appended to.
 *
 * Pure: it reads and writes by the functions that it is given.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARCHIVE_BLOCK   512u
#define ARCHIVE_FILES   64u          /* names */
#define ARCHIVE_ENTRIES 4096u        /* also those that count no more */
#define ARCHIVE_NAME    64u          /* bytes, with the NUL */
#define ARCHIVE_TEXT    (64u * 1024) /* bytes of a configuration */

/* How the volume is reached: whole blocks. 0 or a negative errno. */
struct archive_disk {
    uint64_t size;   /* of the volume, bytes */
    uint32_t sector; /* writes are whole sectors, each of which is written whole or not at all */
    int (*read)(void *arg, uint64_t at, void *to, size_t len);
    int (*write)(void *arg, uint64_t at, const void *from, size_t len);
    int (*flush)(void *arg);
    void *arg;
};

struct archive_file {
    char name[ARCHIVE_NAME];
    uint64_t at, size; /* its bytes, within the volume */
};

struct archive {
    struct archive_file file[ARCHIVE_FILES]; /* in the order of their entries */
    unsigned nr;
    uint64_t end;     /* where the next entry goes */
    bool sound;       /* it may be appended to */
    unsigned entries; /* also those that count no more */
    unsigned found;   /* how much is wrong with it */
    /* Told each thing that is; may be NULL. */
    void (*tell)(const char *what);
};

/* Reads the directory: a->tell is set, all else is filled. 0; a negative errno: the volume cannot be read, and what was found until there stays. */
int archive_scan(struct archive *a, const struct archive_disk *d);
const struct archive_file *archive_find(const struct archive *a, const char *name); /* or NULL */
bool archive_is_config(const char *name);                                           /* NAME.cfg */
/* One more entry. 0: it is on the disk; or a negative errno: -EINVAL (the archive is not sound, or the name no good), -ENOSPC, -EMFILE (ARCHIVE_FILES are there), or the disk's: then
 * it is there or it is not, and nothing else has changed. a is to be scanned again. */
int archive_append(const struct archive *a, const struct archive_disk *d, const char *name,
                   const void *data, size_t len, uint64_t mtime);
