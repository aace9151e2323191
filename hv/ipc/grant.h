/* SPDX-License-Identifier: MIT */
/*
 * Grants, version 1 tables (<xen/grant_table.h>).
 *
 * A table has up to GRANT_MAX_FRAMES frames of 512 entries, core-owned, which the domain maps at a gfn of its choice. They, the
 * records of entries and those of mappings are from the allowance of the domain whose they are.
 * Each entry in use has an active record (pins). Each mapping made has a handle in the mapper's maptrack.
 * Locks: granter: grant.lock (changes of table size; entry pins under the entry's own bit lock); mapper: maptrack_lock.
 * Copies run with both frames pinned and no lock held. GTF_reading/GTF_writing are cleared with the last pin.
 */
#pragma once
#include <stdint.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include "base/lock.h"
#include "base/types.h"

struct domain;
#define GRANT_MAX_FRAMES 64
#define GRANT_PER_FRAME  512

#define ACTIVE_PER_PAGE 128u
struct grant_active {
    struct spinlock lock;
    uint32_t pins_ro, pins_rw; /* mappings and copies in flight */
    mfn_t mfn;                 /* valid while pinned */
    uint16_t domid;            /* grantee while pinned */
    bool stale; /* pinned when its entry was taken back: no further pins until the last is gone */
    bool immutable; /* the frame may only be read */
};
struct maptrack {
    uint32_t ref;
    uint16_t domid; /* granter */
    uint8_t flags;  /* MT_* */
    uint8_t pad;
    uint64_t gfn; /* where it is in the mapper's p2m; free: the next free handle */
};
#define MT_USED           1u
#define MT_RO             2u
#define MT_CLEARING       4u /* unmap under way: the leaf is gone, the pins are not */
#define MT_DETACHED       8u /* the granter was restarted: shows a frame of the core, pins nothing */
#define MAPTRACK_PER_PAGE 256u
#define MAPTRACK_PAGES    256u
#define ACTIVE_PAGES      (GRANT_MAX_FRAMES * GRANT_PER_FRAME / ACTIVE_PER_PAGE)
#define MAPTRACK_NONE     (~0ull)
struct grant_table {
    struct spinlock lock;
    uint32_t nr_frames;
    grant_entry_v1_t *shared[GRANT_MAX_FRAMES];
    struct grant_active **active; /* ACTIVE_PAGES of records, on demand; the array by itself, so that a domain fits into a frame */
    uint64_t frame_gfn[GRANT_MAX_FRAMES];
    struct spinlock maptrack_lock;
    struct maptrack **maptrack; /* MAPTRACK_PAGES, on demand; the array by itself */
    uint32_t nr_maptrack;       /* handles made so far */
    uint64_t free_handle;       /* first free one, MAPTRACK_NONE if none */
    void *blank; /* page of the core under all writable mappings that were detached; made with the first handle */
    uint32_t unpinned; /* grant_holder: no record below this one is pinned any more */
};

int grant_init(struct domain *d) __must_check; /* one frame to begin with */
void grant_free(struct domain *d);
int grant_frame_mfn(struct domain *d, uint32_t idx,
                    mfn_t *m) __must_check; /* grows up to idx (XENMAPSPACE_grant_table) */
void grant_seed(struct domain *d, uint32_t ref, domid_t to, uint64_t gfn); /* SETUP_RINGS */
/* n copies; fills their status. Current domain acts. */
void grant_copy(struct gnttab_copy *op, unsigned n);
/* Fence: unmaps everything d has mapped (drops its pins, clears GTF flags with the last) and gives the handles' pages back; true
 * when done. d does not run. */
bool grant_unmap_all(struct domain *d, uint64_t *cursor, unsigned budget);
/* Fence: clears d's entries but 0 and 1, then gives every foreign mapping of d's frames (those two aside) a frame of the
 * core instead: the common zero frame for read-only ones, the mapper's blank page for writable ones. Handles stay valid. Every entry,
 * record, handle and domain looked at counts in the budget. True when done. */
struct grant_cursor { /* how far it is; all zero: not begun */
    enum { GRANT_REVOKE, GRANT_MAPPERS, GRANT_PINS } phase;
    domid_t mapper; /* MAPPERS: who is looked at, or the next one */
    uint64_t at;    /* entry, handle or record that comes next */
};
bool grant_redirect(struct domain *d, struct grant_cursor *c, unsigned budget);
/* Clears the entries from *ref on, so that nothing more is mapped or copied by them; what is mapped stays until its holder unmaps.
 * The domain does not run. Counts every entry in the budget; true at the end of the table. */
bool grant_revoke(struct domain *d, uint64_t *ref, unsigned *budget);

/* Of a destroyed domain: who has one of its frames pinned, BH_DOMID_NONE if nobody. False: not found within `budget` records, call
 * again; pins of a destroyed domain only go, so what was looked at is not looked at again. */
bool grant_holder(struct domain *d, domid_t *holder, unsigned budget);
/* Gives m's mappings of the destroyed domain d's frames a page of the core instead, as grant_redirect does. True when done. */
bool grant_reclaim(struct domain *d, struct domain *m, uint64_t *handle, unsigned budget);

/* Grants d, by an entry from *at - EVTCHN_PORTS on, to domid id? 1 or 0, HC_AGAIN when the budget of entries is spent. */
int grant_names(struct domain *d, domid_t id, uint64_t *at, unsigned *budget);

/* Shared by grant.c (tables, entries, pins), grant_map.c (mappings) and grant_op.c (the hypercall). */
#define GRANT_BATCH 32u /* operations between two looks at the clock, mappings per flush */
/* Pins the frame of entry `ref` of rd for `ld`: checks and marks the entry, takes one frame reference. GNTST_*. */
int16_t grant_pin(struct domain *rd, uint32_t ref, domid_t ld, bool ro, mfn_t *m) __must_check;
/* Undoes one pin: drops its frame reference, then clears the entry's marks with the last. */
void grant_unpin(struct domain *rd, uint32_t ref, bool ro);
int16_t grant_swap(struct domain *d, uint32_t ra,
                   uint32_t rb) __must_check; /* GNTST_*: eagain while either is pinned */
struct grant_active *grant_active(struct domain *d,
                                  uint32_t ref); /* NULL: no such entry, or no memory */
grant_entry_v1_t *grant_entry(struct domain *d, uint32_t ref); /* NULL: no such entry */
/* After a revoke, whose pins only go: no entry from `keep` on is pinned, and none that is stale. False: at *ref one is (call again: copies
 * end by themselves), or the budget is spent. */
bool grant_idle(struct domain *d, uint32_t keep, uint64_t *ref, unsigned *budget);
/* The slot's entries as SETUP_RINGS made them, whatever the instance wrote there; what was pinned by other means is stale. */
void grant_reseed(struct domain *d, uint32_t ref, domid_t to, uint64_t gfn);
void grant_map_one(struct domain *ld, struct gnttab_map_grant_ref *op);
/* n <= GRANT_BATCH unmaps with one flush. */
void grant_unmap_batch(struct domain *ld, struct gnttab_unmap_grant_ref *op, unsigned n);
