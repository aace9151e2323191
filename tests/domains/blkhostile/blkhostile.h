/* SPDX-License-Identifier: MIT */
/*
 * A hostile disk front-end. front.c is the front-end proper, to the letter of <xen/io/blkif.h>; requests.c has malformed requests,
 * abuse.c what is done to rings and events, nodes.c what is done to the store. A step returns NULL or what went wrong.
 */
#pragma once
#include <bh.h>
#include <xen/io/blkif.h>
#include <xen/io/xenbus.h>

#define QUEUES     4u
#define RING_PAGES 4u
#define NR_MEM     16u
#define MAX_SEGS   64u
#define NO_ANSWER  (-100)

struct ring {
    uint8_t *sring;
    unsigned pages, size;
    uint32_t ref[RING_PAGES], port;
    uint32_t req_prod, rsp_cons;
};

struct fe {
    unsigned devid;
    char path[32], backend[64];
    domid_t be;
    bool rw, discard, narrow; /* narrow: the 32-bit protocol */
    uint64_t sectors;
    unsigned max_queues, max_order, max_segs; /* offered */
    unsigned queues, order;
    struct ring q[QUEUES]; /* sring: it exists */
};

union rq {
    struct blkif_request rw;
    struct blkif_request_discard di;
    struct blkif_request_indirect in;
    uint8_t byte[112];
};

/* Memory that is granted to the back-end all the time; the last page is granted for reading only. */
extern uint8_t *mem[NR_MEM];
extern uint32_t ref[NR_MEM];
extern unsigned patience; /* ms until an answer is missed */

/* --- main.c --- */
uint64_t rnd(void);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *why(const char *fmt, ...)
    __attribute__((format(printf, 1, 2))); /* a text in a static buffer */
void nap(unsigned ms);

/* --- front.c --- */
const char *fe_open(struct fe *f, unsigned devid);
void fe_write(struct fe *f, const char *key, uint64_t val);
void fe_write_text(struct fe *f, const char *key, const char *val);
void fe_rm(struct fe *f, const char *key);
unsigned be_state(struct fe *f);
/* Until the back-end is in one of the states of the mask (1 << XenbusState...). */
const char *be_wait(struct fe *f, unsigned mask);
const char *fe_ready(struct fe *f); /* to InitWait, from wherever it is; reads what is offered */
const char *fe_rings(struct fe *f, unsigned queues, unsigned order,
                     bool narrow); /* fresh ones, granted */
void fe_publish(struct fe *f);     /* their nodes */
const char *fe_connect(struct fe *f, unsigned queues, unsigned order, bool narrow); /* all of it */
const char *fe_close(struct fe *f); /* as xenbus wants it; then nothing of ours is in use any more */
const char *fe_reconnect(struct fe *f, unsigned queues, unsigned order,
                         bool narrow); /* close, connect, good */

volatile uint32_t *req_prod_of(struct ring *r);
volatile uint32_t *rsp_prod_of(struct ring *r);
uint8_t *slot_of(struct fe *f, struct ring *r, uint32_t i);
void put(struct fe *f, unsigned q, const union rq *rq); /* not shown to the back-end yet */
void push(struct fe *f, unsigned q);                    /* now it is */
const char *all_answered(struct fe *f, unsigned q);     /* whatever the answers are */
int call(struct fe *f, unsigned q,
         const union rq *rq); /* pushes one request; its status, or NO_ANSWER */
union rq rw(uint8_t op, uint64_t sector, unsigned page); /* a page, 8 sectors */
const char *good(struct fe *f,
                 unsigned q); /* writes a page and reads it back; a page is read if it is read-only */
const char *all_good(struct fe *f); /* in each queue, direct and indirect */

/* --- phases --- */
const char *malformed(struct fe *f);
const char *malformed_read_only(struct fe *f);
const char *same_id(struct fe *f);
const char *indices(struct fe *f);
const char *grants_ended(struct fe *f);
const char *slots_changed(struct fe *f);
const char *segments_changed(struct fe *f);
const char *events_flooded(struct fe *f);
const char *rings_garbage(struct fe *f);
const char *garbage_held(struct fe *f);
const char *ring_as_data(struct fe *f);
const char *nodes_connected(struct fe *f);
const char *nodes_connecting(struct fe *f);
const char *states_nonsense(struct fe *f);
const char *states_jump(struct fe *f);
const char *states_stale(struct fe *f);
const char *nodes_hidden(struct fe *f);
const char *storm(struct fe *f);
const char *storm_rude(struct fe *f);
void fill_rings(struct fe *f); /* with requests, nobody waits for the answers */
