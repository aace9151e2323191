/* SPDX-License-Identifier: MIT */
/*
 * The vbds: xenbus around blkback.h.
 *
 * States (<xen/io/xenbus.h>): we open the volume, advertise and go to InitWait; on the front-end's Initialised or Connected we map its
 * rings and go to Connected; on its Closing or Closed we finish what is in flight, unmap and follow; on its Initialising we
 * are at InitWait again. A detach shows Closing and goes on serving until the front-end has closed: its file system may be in use. A
 * crash of this domain moves no state: the next life maps the same rings from the keep record and asks the store afterwards.
 *
 * Whose it is, its volume, mode and limits are those of its entry in the slot table; the nodes of that are not read.
 *
 * A vbd whose record is unsound, or differs from its entry or from the disk's own table, is stalled: nothing of it is touched and `bh-stalled` in its back-end directory says why, until its
 * front-end closes. What cannot be opened has `bh-error` and stays at Initialising.
 */
#pragma once
#include <xenbus_backend.h>
#include <bh.h>
#include <counters.h>
#include "blkback.h"
#include "keep.h"
#include "volume.h"

struct vbd {
    struct be_dev be;
    bool connected;                /* rings are mapped: disk works */
    bool draining;                 /* about to close, requests are in flight */
    bool restated;                 /* sectors and the like were written in this life */
    bool told, said;               /* its broken ring was printed; bh-stalled was written */
    struct talk comings, breaches; /* lines about connecting and closing; about broken rings */
    const char *stalled;           /* why, or NULL */
    bool aside; /* ... as it is put aside, and its record, if it has one, waits for another chance */
    bool waits; /* ... until its disk is there: the same */
    char spec[SLOT_SPEC];
    unsigned mode;          /* VOLUME_* */
    bool discard;           /* may be offered */
    unsigned queues, order; /* offered; their journal pages are promised */
    struct volume_claim claim;
    struct blkdev *dev; /* where that is */
    struct grant_map map[KEEP_QUEUES];
    struct keep_conn conn;
    struct bb_disk disk;
    struct counters counters; /* disk.stats in the store */
};

/* What the files of the block driver domain share at run time. */
struct blk {
    struct bb bb;
    struct batch batch; /* empty whenever a store call may block, but for sends */
    struct keep keep;
    struct blkdev *dev[BLK_MAX_DEVS]; /* a controller's disk, or a relay's (relay.h) */
    unsigned nr_devs;
    bool devs_to_come; /* there may be more of them than so far */
    uint64_t devs_by;  /* ... and nobody needs to hear that until then */
    bool devs_new; /* one more is there, or none will come: who waits for one is looked at, the store is told of its volumes */
};
extern struct blk blk;

/* Takes over the connections of the last life: no store access. Returns how many. A controller's disk is there, or is not. */
unsigned vbds_adopt(void);
/* What the store has to say, if anything: watches, states. Blocks in store calls; only outside of a round. true: who uses what may
 * have changed. */
bool vbds_store_work(void);
/* Tells the store what was done, at most once a second. Returns when to come again, 0: nothing is unsaid. */
uint64_t vbds_say_stats(void);
/* controller.c: starts the controller, if there is one. Ends this instance if it does not start and guests have disks of ours. */
void controller_find(void);
/* What is wrong with our disk, "" if nothing is. */
const char *dev_problem(void);

/* --- between vbd.c (life) and vbd_store.c (the two directories) --- */
extern struct vbd vbds[BB_MAX_DISKS];
#define EACH_VBD(v) for (struct vbd *v = vbds; v < vbds + BB_MAX_DISKS; v++)

/* Finds and claims the volume of its entry, which must lie where it lay when it was attached. NULL, or why not. No store access. */
const char *vbd_claim(struct vbd *v, const struct slot_entry *e);
void vbd_advertise(struct vbd *v); /* opens the volume, says what we offer, goes to InitWait; or bh-error, or later */
void vbd_reopen(struct vbd *v); /* a former life did that: what it said holds */
bool vbd_properties(
    struct vbd *v,
    unsigned unit); /* size and sectors; unit: 512-byte units in a sector as the front-end counts */
/* What the front-end wrote. NULL, or what is wrong with it; *again: the store gave no answer. */
const char *vbd_read_conn(struct vbd *v, struct keep_conn *c, bool *again);
