/* SPDX-License-Identifier: MIT */
/*
 * Volumes: the whole disk and the partitions of its GPT, and who uses which part of it.
 *
 * A volume is named as in `phy:blk0:data1`, here without the domain's name: "disk" is the whole disk ("@disk" too, which no label can be),
 * then a partition's number, its unique GUID, or its label. In labels everything but letters, digits, "._+-" and characters beyond ASCII
 * counts as "_". A name of nothing but digits is a number, whatever labels say. An empty name, and one that means two volumes, is refused.
 * A relay's disks (relay.h) have names: "xvda" is that whole disk, "xvda/data1" a partition of it, and "data1" too where no other disk has one.
 *
 * Where no table is in force but the disk still has a good backup of one, "@backup/" before a name means what that says (gpt.h: `where`);
 * these are not listed.
 *
 * Users are held against each other by extent, not by name: a partition and its disk overlap. One writer, or any number of
 * readers; a forced user ("w!", "r!") is let in beside whoever is there, but opens the door to nobody else.
 *
 * A guest that has the whole disk can rewrite the table. So the control domain notes where a volume lay when it was attached (slot
 * table), and whoever opens or adopts it later finds it there or does not serve it (vbd.c).
 */
#pragma once
#include <bh.h>
#include "blkdev.h"
#include "gpt.h"

#define VOLUME_MAX   256u /* a disk has up to 128 partitions */
#define VOLUME_LABEL 112u /* 36 characters of UTF-16 as UTF-8, and a NUL */

enum volume_mode {
    VOLUME_READ = 0,
    VOLUME_WRITE = 1,
    VOLUME_FORCE = 2
}; /* or'ed: VOLUME_WRITE | VOLUME_FORCE is "w!" */

/* A user of an extent: lives in the vbd, linked while claimed. */
struct volume_claim {
    struct volume_claim *next;
    domid_t domid;
    unsigned mode;
    uint64_t first, nr; /* 512-byte sectors */
    bool claimed;
};

/* A disk may have to spin up first; whoever waits for this domain waits 10 s. */
#define VOLUMES_SCAN_NS (8 * NS_PER_S)
/* Reads the partition table (blocking, so long at most; nothing else may be in flight) and says what it found. Whatever is wrong with the
 * table, the whole disk is a volume afterwards: NULL. Else why the disk cannot be used: it did not answer, and a request of ours is
 * the driver's for good. The table is read again, by volume_find and volumes_tell, when a user who could write it is gone and
 * there is no other. */
const char *volumes_scan(struct blkdev *d) __attribute__((warn_unused_result));
void volumes_forget(struct blkdev *d);     /* it is none of ours any more; it has no users */
bool volumes_used(const struct blkdev *d); /* somebody has a volume of it */
/* What is wrong with the table, for a message; "" if nothing is. */
const char *volumes_problem(void);
/* The extent of a volume in 512-byte sectors, from the base of its disk on (blkdev.h). NULL, or why there is none (a sentence for a message, valid until the next call). */
const char *volume_find(const char *spec, uint64_t *first, uint64_t *nr);
/* c->domid, mode, first and nr are filled in. NULL and it is in use, or why not. */
const char *volume_claim(struct volume_claim *c);
bool volume_overlap(const struct volume_claim *a, const struct volume_claim *b);
void volume_release(struct volume_claim *c); /* nothing happens if it is not claimed */
/* volume_problem.c: what is wrong with a table, and one more problem, behind what is in problem. */
#define PROBLEM     240u /* as much as the control domain shows */
#define FROM_BACKUP "@backup/"
void table_problem(const struct gpt *gpt, char *problem);
void add_problem(char *problem, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Writes what changed to volumes/N = "name bytes users" in our store directory (N: 0 the disk, else the partition's number, and 1000 more for each next disk;
 * users: "-" or domains with their modes, as 16w,17r). Calls the store; to be called now and then from the main loop. 0 or -errno:
 * what failed is tried again at the next call. */
int volumes_tell(void);
