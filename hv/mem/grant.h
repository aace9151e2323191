/* SPDX-License-Identifier: MIT */
/*
 * Grants, version 1 tables (<xen/grant_table.h>).
 *
 * A table has up to GRANT_MAX_FRAMES frames of 512 entries, core-owned, which the domain maps at a gfn of its choice.
 * Each entry in use has an active record (pins). Each mapping made has a handle in the mapper's maptrack.
 * Locks: granter: grant.lock (changes of table size; entry pins under the entry's own bit lock); mapper: maptrack_lock.
 * Copies run with both frames pinned and no lock held. GTF_reading/GTF_writing are cleared with the last pin.
 */
#pragma once
#include <xen/xen.h>
#include <xen/grant_table.h>
#include "lib/lock.h"
#include "lib/types.h"

struct domain;
#define GRANT_MAX_FRAMES 64
#define GRANT_PER_FRAME  512
#define GRANT_SEEDED     8     /* entries 0..7 are the toolstack's */

struct grant_active {
    struct spinlock lock;
    uint32_t pins_ro, pins_rw; /* mappings and copies in flight */
    mfn_t mfn;                 /* valid while pinned */
    uint16_t domid;            /* grantee while pinned */
    bool redirected;           /* the granter was restarted: mappings show the zero frame */
};
struct maptrack {
    uint32_t ref;
    uint16_t domid;            /* granter */
    uint8_t  flags;            /* 1 used, 2 read-only */
    uint8_t  pad;
    uint64_t gfn;              /* where it is in the mapper's p2m */
};
struct grant_table {
    struct spinlock lock;
    uint32_t nr_frames;
    grant_entry_v1_t *shared[GRANT_MAX_FRAMES];
    struct grant_active *active[GRANT_MAX_FRAMES * 8]; /* 64 records a chunk, on demand */
    uint64_t frame_gfn[GRANT_MAX_FRAMES];
    struct spinlock maptrack_lock;
    struct maptrack *maptrack[256]; /* pages of maptrack records, on demand: bounded */
    uint32_t nr_maptrack, free_hint;
};

long do_grant_table_op(uint64_t cmd, gaddr_t arg, uint64_t count);

int grant_init(struct domain *d) __must_check;      /* one frame to begin with */
void grant_free(struct domain *d);
int grant_frame_mfn(struct domain *d, uint32_t idx, mfn_t *m) __must_check; /* grows up to idx (XENMAPSPACE_grant_table) */
void grant_seed(struct domain *d, uint32_t ref, domid_t to, uint64_t gfn);  /* SETUP_RINGS */
/* One copy; fills op->status. Current domain acts. */
void grant_copy_one(struct gnttab_copy *op);
/* Fence: unmaps everything d has mapped (drops its pins, clears GTF flags with the last); true when done. */
bool grant_unmap_all(struct domain *d, uint32_t *cursor, unsigned budget);
/* Fence: redirects foreign mappings of d's frames (slot refs 0 and 1 aside) to zero_mfn and clears d's entries but those
 * two; true when done. Destroy uses it with `all`. */
bool grant_redirect(struct domain *d, uint32_t *cursor, unsigned budget, bool all);
