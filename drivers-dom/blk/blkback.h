/* SPDX-License-Identifier: MIT */
/*
 * blkback: rings of <xen/io/blkif.h>, in the 64-bit and in the 32-bit layout, to requests of a struct blkdev. Pure: it calls only
 * the batch functions and the device's operations.
 *
 * A request's way (request.c): taken from the ring (copied once, from then on only the copy in the journal counts) -> its indirect
 * segments are copied in -> its data are copied in (write) -> the device -> its data are copied out (read) -> committed in the
 * journal, answered -> published with whatever else is ready. All data move by grant copy into pages of a pool, so a front-end cannot
 * change a write that was submitted, and the device sees nothing but the pool. A round is
 *
 *     poll the device | take from the rings | copy what waits for that, with the notifications of the last round: one exit
 *     | submit | answer, publish
 *
 * A request that nothing can be reserved for stays in its ring. Of several disks each has its share of requests and pages, and one that takes
 * nothing more holds up only its own: its back-end may be silent for good (vbd_front.h). The front-end is hostile: a malformed request gets an error response,
 * a broken ring is not touched any more.
 *
 * Order: none is promised but for barriers, which run alone in their ring. A flush goes to the device after it was taken, never
 * shared with another one, so it covers what was answered before, also by a former instance. After a crash what was taken runs again;
 * flushes and barriers of it when everything else of that disk has completed; then only comes what is new.
 */
#pragma once
#include <bh.h>
#include <store_keys.h>
#include <xen/io/blkif.h>
#include "blkdev.h"
#include "journal.h"

#define BB_REQS      128u /* in flight, all disks */
#define BB_MAX_PAGES 2048u
#define BB_MAX_DISKS 16u
#define BB_ROUND     16u               /* requests of a ring and round: fairness */
#define BB_DIRECT    11u               /* BLKIF_MAX_SEGMENTS_PER_REQUEST */
#define BB_RATE_NS   (100 * NS_PER_MS) /* so much of unused time may be used later */

struct bb_disk;

struct bb_ring {
    struct bb_disk *disk;
    uint8_t *sring; /* NULL: no ring */
    enum keep_proto proto;
    uint32_t port; /* local */
    struct journal j;
    unsigned inflight;           /* taken and not answered */
    bool barrier;                /* one is in flight: alone */
    bool blocked;                /* what is in it has to wait for something else */
    const char *broken;          /* why, or NULL */
    uint8_t replay[JOURNAL_MAX]; /* to run again: data first, flushes and barriers from replay_flush on */
    unsigned nr_replay, replay_at, replay_flush;
};

struct bb_rate {
    uint64_t per_s; /* 0: no limit */
    uint64_t next;  /* the time when what was done so far is paid for */
};

/* As counters.h has them: nothing but counters, in the order of store_keys.h. */
struct bb_stats {
#define X(NAME, name) uint64_t name;
    BH_BLK_STATS_IN_ORDER(X)
#undef X
};

struct bb_disk {
    struct blkdev *dev;
    uint64_t first, nr_sectors; /* the volume on dev, 512-byte units */
    uint32_t sector_size;
    uint32_t unit;     /* 512-byte units in what the front-end calls a sector */
    uint32_t max_segs; /* of an indirect request */
    bool ro, discard;
    bool closing; /* nothing new is taken */
    domid_t dom;
    uint32_t gen;            /* of its entry: whose fault a death at its rings is (blame.h) */
    unsigned nr_rings, turn; /* turn: the ring that comes first */
    struct bb_ring ring[KEEP_QUEUES];
    unsigned replays, replays_data; /* not answered yet; of these neither flush nor barrier */
    unsigned replays_waiting;       /* not even started */
    struct bb_rate ops, bytes;
    struct bb_stats stats;
};

struct bb_seg {
    uint32_t gref;
    uint8_t first, last; /* sectors in the page, front-end's units */
};

enum bb_phase { BB_INDIRECT, BB_COPY_IN, BB_SUBMIT, BB_DEVICE, BB_COPY_OUT };

struct bb_req {
    struct blk_io io; /* first: done gets it back */
    struct bb_req *next;
    struct bb_disk *disk;
    struct bb_ring *ring; /* the rings' own, as entry and replay */
    struct keep_entry e;  /* the copy */
    uint16_t entry;
    uint8_t phase;
    uint8_t op;                           /* what it does: BLKIF_OP_*, that of an indirect one */
    bool flush_before, data, flush_after; /* steps left */
    bool replay;
    uint32_t nr_segs;
    uint32_t bytes;
    uint64_t discard_left;
    unsigned nr_pages;
    uint16_t page[BLK_MAX_SEGS + 1];
    uint16_t copy0, ncopies;
    struct bb_seg seg[BLK_MAX_SEGS];
};

struct bb_list {
    struct bb_req *head, **tail;
};

struct bb {
    struct batch *b;
    void (*done)(struct bb_req *q, int8_t status); /* the rings are told: q ends with this BLKIF_RSP_* */
    uint64_t now;
    uint64_t retry;              /* a limit gives way then; 0: none waits */
    uint8_t *page[BB_MAX_PAGES]; /* the pool */
    unsigned nr_pages;
    uint16_t free_page[BB_MAX_PAGES];
    unsigned nr_free_pages;
    struct bb_req req[BB_REQS];
    struct bb_req *free_req;
    struct bb_list copy, copying, submit;
    struct bb_disk *disk[BB_MAX_DISKS];
    unsigned nr_disks, turn;
    bool answered;            /* a response was published in this life */
    struct bb_ring *starving; /* lacks buffers: nobody else takes any before it got them */
    unsigned nr_devs;         /* of the round */
    bool short_of_pages;      /* a disk's share was too small for what it has to do */
};

void bb_init(struct bb *bb, struct batch *b);
void bb_pool_add(struct bb *bb, void *mem, unsigned pages); /* beyond BB_MAX_PAGES they are not used */

/* Rings of a front-end that just connected or that a dead instance left: dom, dev, volume and ring[].sring, proto, port, j.page, j.size
 * of nr_rings rings are set. */
void bb_attach(struct bb *bb, struct bb_disk *d, const struct keep_conn *c);
/* Checks all rings, then commits; notifications go to the batch. NULL; or why not, and not a byte was stored. */
const char *bb_adopt(struct bb *bb, struct bb_disk *d, const struct keep_conn *c)
    __attribute__((warn_unused_result));
/* Takes nothing new from now on. true: nothing is in flight any more, bb_detach may follow. */
bool bb_close(struct bb_disk *d);
void bb_detach(struct bb *bb, struct bb_disk *d);
void bb_limit(struct bb_rate *t,
              uint64_t per_s); /* another limit forgets what was not paid for under the old one */

/* One round; true if anything moved. */
bool bb_round(struct bb *bb, struct blkdev *const *devs, unsigned nr_devs);
/* Asks for events with the next request and completion; true: there is work already. */
bool bb_arm(struct bb *bb, struct blkdev *const *devs, unsigned nr_devs);

/* --- what request.c does for rings.c, and nothing the other way: that a request is done it says by bb->done --- */
/* Checks one of d's requests and, if `may` and there is room, takes what it needs. NULL: *status is the answer to it, or BLKIF_RSP_OKAY: it has
 * to wait for room, or BB_SHARE: for room in its disk's share. */
#define BB_SHARE 1
struct bb_req *bb_open(struct bb *bb, struct bb_disk *d, const struct keep_entry *e, bool may,
                       int8_t *status);
void bb_start(struct bb *bb,
              struct bb_req *q); /* q->ring, entry and replay are set; it may be done before this returns */
/* Copies what waits for that, with the notifications in the batch, in one exit, if `more` or something is to be copied; submits. Returns
 * copies and submissions. */
unsigned bb_step_all(struct bb *bb, bool more);
static inline void bb_charge(const struct bb *bb, struct bb_rate *t, uint64_t units)
{
    if (!t->per_s)
        return;
    if (t->next + BB_RATE_NS < bb->now)
        t->next = bb->now - BB_RATE_NS;
    t->next += units * NS_PER_S / t->per_s;
}
static inline bool bb_is_flush(const struct keep_entry *e)
{
    return e->op == BLKIF_OP_WRITE_BARRIER || e->op == BLKIF_OP_FLUSH_DISKCACHE;
}
