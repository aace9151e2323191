/* SPDX-License-Identifier: MIT */
/*
 * GUID partition tables (UEFI Specification 2.8, 5.3): found, checked by their CRCs, taken from the backup when the first is
 * damaged. Nothing in them is believed: they are a guest's to write. What would do harm is no table; what is only not as it should be is
 * told, for whoever can mend it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GPT_BUF   16384u /* bytes of the work buffer */
#define GPT_PARTS 128u   /* partitions that we take; their numbers are below or equal */
#define GPT_NAME  36u    /* UTF-16 units */

struct gpt_part {
    uint32_t number;      /* from 1 */
    uint64_t first, last; /* logical blocks, inclusive; within the disk */
    uint8_t guid[16];     /* unique partition GUID, as on the disk */
    uint16_t name[GPT_NAME];
};

enum gpt_state {
    GPT_GOOD,   /* the first copy */
    GPT_BACKUP, /* the second; `why` tells what is wrong with the first */
    GPT_NONE,   /* no partition table: a blank disk, or a file system on the whole of it */
    GPT_STALE, /* a good backup at the end (`where`), but nothing at the beginning says that there is a GPT: no table */
    GPT_MBR,   /* an MBR table and no record of a GPT; one may be behind it (`hidden`) */
    GPT_DAMAGED, /* it says that it has a GPT, but neither copy is good; `why` */
    GPT_SIZE,    /* a GPT for blocks of another size; `why` */
    GPT_IO       /* it could not be read */
};

struct gpt_source {
    /* Reads blocks [lba, lba + n) of the disk to the work buffer; 0 or -errno. */
    int (*read)(void *arg, uint64_t lba, uint32_t n, void *buf);
    void *arg;
    uint64_t nr_blocks;
    uint32_t block; /* bytes: 512 or 4096 */
    uint8_t *buf;   /* GPT_BUF bytes */
};

struct gpt {
    enum gpt_state state;
    const char *why;
    uint64_t where; /* not 0: no table is in force, but a good backup's header is in that block, and `part` is what it says */
    bool hidden; /* GPT_MBR, GPT_NONE: block 1 has the header of a GPT, block 0 no record for it: it does not count */
    bool no_record; /* GPT_GOOD without a protective record in block 0 */
    uint64_t backup; /* GPT_GOOD, GPT_BACKUP: the block of the backup's header, and what is wrong with it, or NULL */
    const char *backup_why;
    unsigned nr, skipped;   /* skipped: entries that make no sense, or beyond GPT_PARTS */
    uint32_t skipped_first; /* the number of the first of them */
    unsigned overlap[2];    /* the numbers of two partitions that have blocks in common, or 0 */
    struct gpt_part part[GPT_PARTS];
};

void gpt_read(const struct gpt_source *src, struct gpt *out);
