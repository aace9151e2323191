/* SPDX-License-Identifier: MIT */
/*
 * A disk that another domain's back-end has (<xen/io/blkif.h>): a blkfront under blkdev.h, for a relay (relay.h), which knows the store and says
 * when there is a back-end. Between two of them it takes requests, up to its depth, and keeps them; the next one is asked all that was not done.
 *
 * The back-end is hostile. It reaches one ring and pages of this disk alone, through which all data are copied: it never sees another disk's, nor
 * the pages that blkback works with, and what it changes in them after its answer changes nothing. An answer counts if its request is out, once;
 * any other ends the connection (`breach`). Nobody else gets these pages, and no other back-end does before this one has let go of each of them
 * (vf_let_go).
 *
 * What it has answered may be lost with it: Linux answers a write to a file when it is in its own memory. So a write is done when a flush after it
 * is (`through`; one flush covers all that were answered before it was asked), and what was not done is asked again. A back-end that says that
 * what it answered outlives it (BH_KEY_KEPT) is believed: it could lose its own data in any other way.
 *
 * Pure: it calls grants, events and memory.
 */
#pragma once
#include <bh.h>
#include <xen/io/blkif.h>
#include "blkdev.h"

#define VF_SLOTS 32u  /* of the ring, one page */
#define VF_IOS   32u  /* requests that it takes */
#define VF_PAGES 112u /* what data go through; 16 disks' have room in a grant table */
#define VF_SEGS  11u  /* BLKIF_MAX_SEGMENTS_PER_REQUEST */

/* A request that it has. It goes out in parts of VF_SEGS pages. */
struct vf_io {
    struct vf_io *next;
    struct blk_io *io; /* NULL: free */
    uint64_t born;
    uint32_t at;  /* bytes that were asked for */
    unsigned out; /* parts that were not answered */
    int status;
    bool asked;
};

struct vf_list {
    struct vf_io *head, **tail;
};

/* A request in the ring. */
struct vf_slot {
    bool busy;
    uint8_t op, nr;
    uint8_t page[VF_SEGS];
    uint32_t turn; /* how often it was used: a part of the id, so that an answer too many is nobody's */
    struct vf_io *v; /* NULL: the flush that covers `covered` */
    uint32_t at, bytes;
};

struct vbd_front {
    struct blkdev dev; /* first */
    bool up;           /* it is connected */
    bool through;      /* a write is done when it was flushed */
    bool can_flush, can_discard;
    const char *breach; /* what it did that no back-end does; NULL */
    domid_t back;
    int port, ring_ref, ref[VF_PAGES]; /* 0 or less: none */
    struct blkif_sring *ring;
    uint8_t *data;                     /* VF_PAGES */
    uint32_t req_prod, told, rsp_cons; /* ours: those in the ring are anybody's; told: it knows of */
    uint8_t free_page[VF_PAGES];
    unsigned nr_free_pages, nr_ios;
    uint64_t born,
        progress; /* requests so far; when something was answered, or there was nothing to answer */
    struct vf_slot slot[VF_SLOTS];
    struct vf_io ios[VF_IOS];
    struct vf_list ask, flush,
        covered; /* to be asked for; answered; covered by the flush that is out */
    bool flushing;
    struct batch *batch; /* takes notifications */
};

/* Nothing is with it. dev has nothing of the disk yet. */
void vf_init(struct vbd_front *f, struct batch *batch);
/* A ring and pages for that domain, and a port; 0, or -errno and vf_let_go has to follow. Nothing of the former connection is left. */
int vf_offer(struct vbd_front *f, domid_t back) __attribute__((warn_unused_result));
/* The back-end has the ring; through, can_flush, can_discard and dev are set. */
void vf_up(struct vbd_front *f);
/* Nothing that the back-end does counts any more. */
void vf_down(struct vbd_front *f);
/* How many pages the back-end still has; 0: all were taken back. Only when it is down. */
unsigned vf_let_go(struct vbd_front *f);
/* Forgets what it has, for whoever gave up. Only when it is down. */
void vf_forget(struct vbd_front *f);
