/* SPDX-License-Identifier: MIT */
/*
 * What surrounds blkback in its native tests: a model of a front-end (Linux's xen-blkfront and its checks), its memory and grants, a
 * disk that completes in any order, and death at any store. Everything that survives a death is in struct world.
 */
#pragma once
#include "copies.h"
#include <errno.h>
#include "blkback.h"

enum {
    SECTORS = 384,
    FIRST = 16,
    DISK = SECTORS + 32,
    PAGES = 112,
    NGRANT = 512,
    QUEUES = 2,
    RPAGES = 2,
    IDS = 32 * RPAGES,
    KPAGES = 9,
    POOL = 80,
    DEPTH = 5,
    BAD_SECTOR = 300,
    START = 0xffffffe0
};
#define DISCARDED 0xffffffffu

struct grant {
    uint32_t ref;
    unsigned page, lo, hi; /* what the request lets the back-end touch */
    bool write;
};

struct shadow { /* blkfront's, by id */
    bool pending, executed, flush, barrier, read;
    uint8_t op; /* of the response */
    int expect;
    uint32_t order; /* in its ring */
    uint32_t sector, n, ver, need_seq, done_seq;
    unsigned nsegs, npages;
    uint16_t page[BLK_MAX_SEGS + 1];
    uint32_t ref[BLK_MAX_SEGS + 1];
    uint8_t off[BLK_MAX_SEGS], len[BLK_MAX_SEGS];
};

struct fe_ring {
    uint32_t req_prod, rsp_cons;
    struct shadow shadow[IDS];
    bool event;
};

struct world {
    _Alignas(4096) uint8_t ring[QUEUES][RPAGES * 4096];
    _Alignas(4096) uint8_t keep[KPAGES * 4096];
    uint8_t mem[PAGES][4096];
    bool page_used[PAGES];
    struct grant grant[NGRANT];
    uint32_t next_ref;
    struct fe_ring fe[QUEUES];
    /* shape */
    unsigned queues, rpages;
    enum keep_proto proto;
    bool eager; /* looks after every store, and uses the slots again at once; else only on events */
    unsigned fillers;
    uint32_t order, ver, next_id;
    /* disk */
    uint8_t disk[DISK][512];
    uint32_t pending[SECTORS], acked[SECTORS]; /* versions; 0: zeroes */
    uint32_t done_seq, acked_seq,
        flushed_seq; /* writes that the device completed: all, when one was last answered, flushed */
    int slow;        /* a sector whose requests do not complete; -1: none */
    bool hold_flushes; /* they do not complete */
    unsigned lifo, exec_late;
    bool be_event, connected; /* the store says Connected */
    unsigned answers, device_flushes;
};
extern struct world w;

#define RING(q) ((struct blkif_sring *)w.ring[q])
#define RSIZE   (32 * w.rpages)
extern void (*store_hook)(void); /* another CPU, at each store */
void fill(uint8_t *p, uint32_t ver, uint32_t sector);
unsigned page_get(void);
uint32_t grant_new(unsigned page, unsigned lo, unsigned hi, bool write);
extern bool lax; /* the front-end is hostile: bad grants and what it writes are its own affair */
extern uint32_t fail_ref; /* a grant whose copies fail */
uint32_t *fe_slot(unsigned q, uint32_t i);
void put(uint8_t *p, uint64_t v, unsigned n);
/* One request; returns its shadow. `indirect`: as an indirect one. */
struct shadow *fe_request(unsigned q, uint8_t op, uint32_t sector, uint32_t n, unsigned ragged,
                          bool indirect, int expect);
void fe_look(unsigned q);
extern struct bb_disk disk;
extern void (*arm_hook)(void);
extern void (*fresh_hook)(void); /* an instance begins */
extern struct blkdev the_disk;
extern struct blkdev *const devs[];
extern struct bb bb;
extern struct keep keep;
extern struct keep_conn conn;
extern const char *be_why;
/* false: the record is not believed (be_why). */
bool be_start(void);
/* Runs until it would sleep; completions count as events. */
void be_run(void);
void be_check_idle(void);
void world_init(unsigned queues, unsigned rpages, enum keep_proto proto, bool eager);
